"""The N-th call of a function fails, for N = 1, 2, ... until none does: each time a clear error and its exit status, or
a run that does without; never a hang, and nothing left.

What is allowed to go on without: huge pages, and binding (the log says so).
"""
import concurrent.futures
import glob
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import case, expect, session, tap  # noqa: E402

PROGRAM, JOINER = os.environ["FAILING_PROGRAM"], os.environ["FAILING_JOINER"]
MEMORY, PEER, TIMEOUT, SYSTEM = 6, 7, 8, 10
PORTS = range(20000 + 16 * os.getpid() % 30000, 60000)  # of names in /dev/shm; no port is opened
N_WORKERS = 2
LIMIT = 60  # no function is called so often that its N-th call is that far


def start(command, **env):
    return subprocess.Popen(command, env=dict(os.environ, **env), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, start_new_session=True)


def end(process):
    try:
        out, err = process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    limit = time.monotonic() + 1
    while session(process.pid):
        expect(time.monotonic() < limit, f"processes are left: {session(process.pid)}")
        time.sleep(0.002)
    return process.returncode, out, err


def launched(call, n, where, **env):
    """Whether the call was reached; and what the launcher made of it."""
    names = set(os.listdir("/dev/shm"))  # one that was killed in between may have left one, whose pid comes again
    process = start([PROGRAM, "finish", str(N_WORKERS), "5"], FAIL_CALL=call, FAIL_AT=str(n), FAIL_IN=where, **env)
    code, out, err = end(process)
    hit = f"hit {call} {n}\n" in out
    done = [line for line in out.splitlines() if line.startswith("done ")]
    what = f"{call} {n} in {where}: {code}: {out}{err}"
    if not done:  # the test program itself could not begin
        expect(hit and code == 98, what)
        return hit, MEMORY, ""
    _, status, _, leaks, *message = done[0].split(" ", 4)
    expect(code == -int(status), f"exit status and code differ: {what}")
    # Who is refused the way back to its own processors stays where it was; everything else is given back.
    expect(leaks == "0" or (hit and call == "hwloc_set_cpubind" and leaks == "1"), f"leaks: {what}")
    left = [name for name in set(os.listdir("/dev/shm")) - names if name.startswith(f"dionode-{process.pid}-")]
    expect(not left or os.path.exists(f"/proc/{process.pid}"), f"{left} left: {what}")  # unless another has that pid now
    expect((code == 0) == (message == [""]), f"a failure is told, a success is not: {what}")
    return hit, code, message[0]


def every_launched(call, where, allowed, at_least=1, words="", **env):
    """Goes through all N. allowed: exit statuses that may come of it."""
    for n in range(1, LIMIT):
        hit, code, message = launched(call, n, where, **env)
        if not hit:
            expect(code == 0, f"{call}: an untouched run fails: {message}")
            expect(n > at_least, f"{call} was called {n - 1} times in {where}")
            return
        expect(code in allowed, f"{call} {n} in {where}: {code}: {message}")
        expect(code == 0 or words in message, f"{call} {n} in {where}: {message}")
    raise AssertionError(f"{call} in {where}: no end")


@case
def the_launcher_without_memory():
    every_launched("mmap64", "launcher", {0, MEMORY})  # another address may do
    every_launched("ftruncate64", "launcher", {MEMORY}, words="No space left")
    every_launched("posix_fallocate64", "launcher", {MEMORY}, words="No space left")
    every_launched("malloc", "launcher", {MEMORY})
    every_launched("calloc", "launcher", {MEMORY})
    every_launched("madvise", "launcher", {0})


@case
def the_launcher_without_descriptors_or_processes():
    every_launched("shm_open", "launcher", {SYSTEM}, words="Too many open files")
    every_launched("memfd_create", "launcher", {SYSTEM}, words="Too many open files", FAIL_SHM="1")
    every_launched("signalfd", "launcher", {SYSTEM}, words="Too many open files")
    every_launched("pipe2", "launcher", {SYSTEM}, words="Too many open files")
    every_launched("fork", "launcher", {SYSTEM}, at_least=N_WORKERS, words="cannot start worker")
    every_launched("pidfd_open", "launcher", {SYSTEM}, at_least=N_WORKERS, words="cannot monitor worker")


@case
def the_launcher_without_the_right_to_bind():
    two_domains = {"HWLOC_SYNTHETIC": "pack:2 [numa] core:1 pu:1", "HWLOC_THISSYSTEM": "1"}
    every_launched("hwloc_set_cpubind", "launcher", {0})
    every_launched("hwloc_set_membind", "launcher", {0}, at_least=0, **two_domains)


@case
def a_worker_without_memory():
    for rank in ("0", "1"):
        every_launched("mmap64", rank, {SYSTEM}, words=f"worker {rank}")
        every_launched("madvise", rank, {0, MEMORY})
        every_launched("malloc", rank, {MEMORY})
        every_launched("calloc", rank, {MEMORY})


def attached(call, n, victim, port, **env):
    """Two ranks under another launcher, one of which suffers: whether it did, and (exit status, stderr) of both."""
    ranks = [start([JOINER, "10", "0", "1"], RANK=str(r), LOCAL_RANK=str(r), WORLD_SIZE="2", MASTER_PORT=str(port),
                   FAIL_CALL=call, FAIL_AT=str(n), FAIL_IN=str(victim), **env) for r in range(2)]
    done = [end(process) for process in ranks]
    what = f"{call} {n} in {victim}: {done}"
    expect(not glob.glob(f"/dev/shm/dionode-{os.geteuid()}-port{port}-*"), f"a name is left: {what}")
    for code, _, err in done:
        failures = [line for line in err.splitlines() if "using anonymous shared memory" not in line]
        expect(len(failures) == (code != 0), f"one line for a failure: {what}")
    return f"hit {call} {n}\n" in done[victim][1], [(code, err) for code, _, err in done]


def every_attached(port, call, victim, allowed, **env):
    for n in range(1, LIMIT):
        hit, done = attached(call, n, victim, port, **env)
        what = f"{call} {n} in {victim}: {done}"
        if not hit:
            expect(done[0][0] == done[1][0] == 0, f"an untouched run fails: {what}")
            expect(n > 1, f"never called: {what}")
            return
        expect(done[victim][0] in allowed, what)
        expect(done[1 - victim][0] in (PEER, TIMEOUT) if done[victim][0] else done[1 - victim][0] == 0, what)
    raise AssertionError(f"{call} in {victim}: no end")


def all_attached(victim, calls, **env):
    """Three at a time, as they wait for their deadlines."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for tried in [pool.submit(every_attached, port, call, victim, allowed, **env)
                      for port, (call, allowed) in zip(PORTS, calls.items())]:
            tried.result()


@case
def the_first_rank_of_a_world_without_a_launcher():
    """The first locks that it tries may be of names that runs beside it have, which it would remove were they dead."""
    all_attached(0, {"malloc": {MEMORY}, "mmap64": {0, MEMORY}, "shm_open": {SYSTEM}, "flock": {0, SYSTEM}, "ftruncate64": {MEMORY},
                     "pidfd_open": {SYSTEM}, "calloc": {MEMORY}})
    all_attached(0, {"memfd_create": {SYSTEM}}, FAIL_SHM="1")


@case
def another_rank_of_a_world_without_a_launcher():
    all_attached(1, {"mmap64": {SYSTEM}, "eventfd": {SYSTEM}, "pthread_create": {SYSTEM}, "pidfd_open": {SYSTEM}})
    hit, done = attached("shm_open", 1, 1, PORTS[0])
    expect(hit and done[1][0] == SYSTEM and done[0][0] == TIMEOUT, str(done))


tap()
