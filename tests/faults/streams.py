"""Standard descriptors that are closed, readers that go away and files at their limit: the work is done all the same."""
import contextlib
import itertools
import os
import resource
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, PROGRAM, case, expect, tap  # noqa: E402

JOINER = os.environ["JOINER"]
MEMORY = 6
COMBINATIONS = [c for n in (1, 2, 3) for c in itertools.combinations((0, 1, 2), n)]
N_STEPS = 3


def start_without(closed, command, **options):
    """Output that is not closed goes nowhere: a pipe of ours would fill what was closed."""
    open_ones = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, preexec_fn=lambda: [os.close(fd) for fd in closed], **open_ones, **options)


def expect_trained(place, code, what):
    expect(code == 0, f"{what}: exit status {code}")
    steps = [m["step"] for m in place.metrics()]
    expect(steps == list(range(1, N_STEPS + 1)), f"{what}: steps {steps}")
    expect(os.path.exists(place.file(f"run/step_{N_STEPS:08d}.safetensors")), f"{what}: no checkpoint")


@case
def a_run_trains_whichever_standard_descriptors_are_closed():
    for closed in COMBINATIONS:
        with Place() as place:
            code = start_without(closed, place.command(np=2, num_iterations=N_STEPS)).wait(timeout=60)
            expect_trained(place, code, f"{closed} closed")


@case
def a_launched_program_runs_whichever_standard_descriptors_are_closed():
    for closed in COMBINATIONS:
        with Place() as place:
            script = f'"{JOINER}" 5 && : > "{place.path}/done_$RANK"'
            code = start_without(closed, [PROGRAM, "launch", "-n", "2", "sh", "-c", script]).wait(timeout=60)
            done = sorted(name for name in os.listdir(place.path) if name.startswith("done_"))
            expect(code == 0 and done == ["done_0", "done_1"], f"{closed} closed: exit status {code}, {done}")


def descriptors(pid):
    """What each open descriptor of a process is; one that is closed meanwhile is none."""
    folder, found = f"/proc/{pid}/fd", {}
    for number in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found[int(number)] = os.readlink(f"{folder}/{number}")
    return found


def wait_for_segment(pid):
    """The process's descriptors once one of them is the shared segment."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = descriptors(pid)
        if any("/memfd:dionode" in target or ("/dev/shm/dionode-" in target and "port" not in target)
               for target in found.values()):
            return found
        time.sleep(0.005)
    raise AssertionError(f"no segment among the descriptors {descriptors(pid)}")


@case
def a_rank_under_another_launcher_gets_no_segment_as_standard_descriptor():
    for closed in COMBINATIONS:
        env = dict(os.environ, WORLD_SIZE="2", MASTER_PORT=str(20000 + os.getpid() % 30000))
        ranks = [start_without(closed, [JOINER, "0"], env=dict(env, RANK=r, LOCAL_RANK=r)) for r in "01"]
        try:
            for process in ranks:
                found = wait_for_segment(process.pid)
                got = [found.get(number) for number in (0, 1, 2)]
                expect(got == ["/dev/null"] * 3, f"{closed} closed: descriptors 0, 1, 2 are {got}")
        finally:
            for process in ranks:
                process.kill()
                process.wait()


def start_with_no_reader(command, **options):
    """Standard error is a pipe whose other end is closed from the first line on."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer,
                                restore_signals=True, **options)
    finally:
        os.close(writer)


@case
def a_run_whose_progress_nobody_reads_goes_on():
    with Place() as place:
        code = start_with_no_reader(place.command(np=2, num_iterations=N_STEPS)).wait(timeout=60)
        expect_trained(place, code, "no reader")


@case
def ctrl_c_saves_when_it_has_ended_the_reader_too():
    with Place() as place:
        process = start_with_no_reader(place.command(np=2, num_iterations=100000))
        place.wait_for_step(3)
        process.send_signal(signal.SIGINT)
        code = process.wait(timeout=60)
        saved = [name for name in os.listdir(place.file("run")) if name.endswith(".safetensors")]
        expect(code == 128 + signal.SIGINT and len(saved) == 1, f"exit status {code}, saved {saved}")


@case
def a_limit_of_file_sizes_that_leaves_no_shared_memory_is_an_error_and_no_signal():
    with Place() as place:
        done = subprocess.run(place.command(np=2), capture_output=True, text=True, timeout=60, restore_signals=True,
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
        expect(done.returncode == MEMORY and "ulimit -f" in done.stderr, f"{done.returncode}: {done.stderr}")


@case
def a_progress_file_at_its_limit_does_not_end_the_run():
    """Standard error appends to a sparse file that is as large as files may be, and no other file comes near."""
    limit = 1 << 31
    with Place() as place, open(place.file("log"), "ab") as log:
        log.truncate(limit)
        process = subprocess.Popen(place.command(np=2, num_iterations=N_STEPS), stderr=log, restore_signals=True,
                                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        expect_trained(place, process.wait(timeout=60), "file size limit")


tap()
