"""The N-th call on files of a run fails - open, read, write, sync, rename, link, unlink, mkdir, close, truncate; with an
error, interrupted, or having transferred half - for N = 1, 2, ... until none does. Each time: success or one line and
exit status 5, no torn file, no good checkpoint lost, and a resume that ends with the bits of a run that nothing
happened to.

`./check --full` (DIONODE_FULL=1) tries every N; otherwise the first call of each kind on each file, a
middle one and the last.
tests/mutation/weaken_disk.py shows which planted faults are found.
"""
import errno

from durable import IO, Trial, read_files, step_of
from runs import FULL, case, expect, tap  # durable knows where it is

HALF = 0
HARMLESS = {("read", HALF), ("write", HALF), ("write", errno.EINTR)}
FATAL = {(call, error) for call in ("write", "sync") for error in (errno.EIO, errno.ENOSPC)}  # never passed over
ERRORS = {
    "open": [errno.EIO, errno.ENOSPC, errno.EINTR, errno.EMFILE], "read": [errno.EIO, errno.EINTR, HALF],
    "write": [errno.ENOSPC, errno.EIO, errno.EINTR, HALF], "sync": [errno.EIO, errno.ENOSPC, errno.EINTR],
    "rename": [errno.EIO, errno.ENOSPC], "link": [errno.EIO, errno.ENOSPC], "unlink": [errno.EIO, errno.EACCES],
    "mkdir": [errno.ENOSPC, errno.EIO], "close": [errno.EIO, errno.EINTR], "truncate": [errno.EIO, errno.EINTR],
}
EVERY = list(ERRORS)


def allowed(call, error, role):
    """Exit statuses. What the launcher writes is its name into a lock, for people: no reason to stop."""
    if (call, error) in HARMLESS:
        return (0,)
    return (IO,) if (call, error) in FATAL and (call, role) != ("write", "launcher") else (0, IO)


def one(trial, files, call, n, error, role, **options):
    """Whether the call was reached."""
    done = trial.train("hurt", files, role=role, fail=call, at=n, error=error, **options)
    what = f"{call} {n} of {role} fails ({errno.errorcode.get(error, 'half')}): {done.returncode}: {done.stderr}"
    hit = trial.was_hit()
    left, start = read_files(trial.file("hurt")), trial.newest(files)
    errors = [line for line in done.stderr.splitlines() if line.startswith("dionode: ") and "warning" not in line]
    expect(done.returncode in (allowed(call, error, role) if hit else (0,)), what)
    expect(len(errors) == (done.returncode != 0), f"one line for a failure: {what}")
    if done.returncode == 0:  # beginning anew would end with the same bits, but is not what was asked for
        expect(start == 0 or f"after step {start} " in done.stderr, f"did not go on after step {start}: {what}")
        trial.expect_complete(left, what)
    if call != "unlink":
        trial.expect_tidy(left, what)
    expect(trial.newest(left) >= start, f"a good checkpoint is lost: {sorted(left)}: {what}")
    trial.expect_resume(left, what)
    return hit


def walk(trial, files, role, calls=EVERY, errors=None, **options):
    done = trial.train("hurt", files, **options)
    expect(done.returncode == 0, done.stderr)
    made = {call: [what for who, kind, what in trial.trace() if (who, kind) == (role, call)] for call in calls}
    for call, what in made.items():
        n = len(what)
        for at, error in enumerate(errors or ERRORS[call]):
            # The first of each thing and the last one fail in one way, or transfer half; one in the middle in the other ways.
            some = {what.index(thing) + 1 for thing in what} | {n} if at == 0 or error == HALF else {(n + 1) // 2}
            for i in range(1, n + 1):
                if FULL or i in some:
                    expect(one(trial, files, call, i, error, role, **options), f"{call} was called {i - 1} times, not {n}")
            if FULL:
                expect(not one(trial, files, call, n + 1, error, role, **options), f"{call}: more than {n} calls")
    return {call: len(made[call]) for call in calls}


def expect_reached(counts, *calls):
    for call in calls:
        expect(counts[call] > 0, f"no {call} was met: {counts}")


@case
def a_run_that_goes_on_from_a_checkpoint():
    with Trial() as trial:
        counts = walk(trial, trial.half, "0")
        expect_reached(counts, "open", "read", "write", "sync", "rename", "link", "unlink", "close", "truncate")


@case
def a_run_that_begins():
    with Trial() as trial:
        expect_reached(walk(trial, {}, "launcher"), "mkdir", "sync")
        if FULL:
            walk(trial, {}, "0")


@case
def files_that_have_a_name_from_the_beginning():
    with Trial() as trial:
        calls = EVERY if FULL else ["open", "write", "sync", "rename"]
        walk(trial, trial.half, "0", calls, None if FULL else [errno.EIO], nameless=False)


@case
def another_worker_of_two():
    with Trial(np=2) as trial:
        expect_reached(walk(trial, trial.half, "1", ["open", "write"], [errno.EIO], nameless=False), "open", "write")


if FULL:
    @case
    def two_workers():
        with Trial(np=2) as trial:
            for role in ("0", "1"):
                walk(trial, trial.half, role)


tap()
