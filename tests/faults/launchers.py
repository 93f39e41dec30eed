"""Programs that join under a launcher of ours, under another's, and alone; launchers that start anew; looking at a run."""
import atexit
import contextlib
import fcntl
import glob
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, PROGRAM, Skip, case, children, expect, run, tap  # noqa: E402

EXAMPLE, JOINER = os.environ["EXAMPLE"], os.environ["JOINER"]
ARG, CONFIG, MEMORY, PEER, TIMEOUT, SYSTEM = 1, 2, 6, 7, 8, 10
PORT = str(20000 + os.getpid() % 30000)  # of names in /dev/shm; no port is opened
BEGINNING = f"/dev/shm/dionode-{os.geteuid()}-port{PORT}"


def launch(*arguments):
    return run([PROGRAM, "launch", *arguments])


def sums(text, n):
    return sorted(text.splitlines()) == sorted(
        f"rank {r} of {n}: {s} {2 * s} ... {1000 * s}" for s in [n * (n + 1) // 2] for r in range(n))


def start(command, env=None):
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    atexit.register(process.kill)  # where a case fails in the middle; no effect on one that was waited for
    return process


def attach(rank, size, *command, **more):
    """One rank, as another launcher would start it."""
    env = {k: v for k, v in os.environ.items() if k != "DIONODE_WORLD"}
    env.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size), MASTER_PORT=PORT)
    env.update(more)
    return start(command, env)


def ends(processes):
    """(exit status, stdout, stderr) of each."""
    texts = [p.communicate(timeout=30) for p in processes]
    return [(p.returncode, out, err) for p, (out, err) in zip(processes, texts)]


def nothing_is_left():
    left = glob.glob(BEGINNING + "*-*")
    expect(not left, f"{left} is left")


@case
def the_example_adds_up_under_dionode_launch():
    done = launch("-n", "4", EXAMPLE)
    expect(done.returncode == 0 and sums(done.stdout, 4), done.stdout + done.stderr)


@case
def the_example_adds_up_under_another_launcher():
    done = ends([attach(rank, 4, EXAMPLE) for rank in (3, 1, 0, 2)])
    expect(all(code == 0 for code, _, _ in done) and sums("".join(out for _, out, _ in done), 4), str(done))
    nothing_is_left()


@case
def the_example_adds_up_alone():
    expect(sums(run([EXAMPLE]).stdout, 1), "alone")


def mpirun(*arguments):
    if not shutil.which("mpirun") or "Open MPI" not in run(["mpirun", "--version"]).stdout:
        raise Skip("Open MPI's mpirun is not installed")
    return ["mpirun", "--allow-run-as-root", *arguments]


@case
def the_example_adds_up_under_mpirun():
    done = run(mpirun("--oversubscribe", "-n", "3", EXAMPLE))
    expect(done.returncode == 0 and sums(done.stdout, 3), done.stdout + done.stderr)


@case
def the_example_adds_up_under_torchrun():
    if not shutil.which("torchrun"):
        raise Skip("PyTorch's torchrun is not installed")
    done = run(["torchrun", "--no-python", "--nproc-per-node", "3", "--master-port", PORT, EXAMPLE])
    expect(done.returncode == 0 and sums(done.stdout, 3), done.stdout + done.stderr)
    nothing_is_left()


def allowed(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(line.split()[1] for line in file if line.startswith("Cpus_allowed_list:"))


def planned(n):
    """Processors of each of n workers, as `dionode topo` tells."""
    lines = run([PROGRAM, "topo", "--np", str(n)]).stdout.splitlines()
    return [line.split()[-1] for line in lines if line.strip().startswith("= taskset -c")]


def where_they_run(processes):
    """Processors of the joined ranks in order of rank, each read by its own pid; ends them."""
    at = {}
    for process in processes:
        word, rank, pid = process.stdout.readline().split()
        expect(word == "ready", "not ready")
        at[int(rank)] = allowed(pid)
    for process in processes:
        process.kill()
        process.communicate()
    return [at[rank] for rank in sorted(at)]


@case
def ranks_of_another_launcher_are_bound_as_planned():
    n = 2
    at = where_they_run([attach(rank, n, JOINER, "0") for rank in range(n)])
    stayed = len(os.sched_getaffinity(0)) < os.cpu_count() and at == [allowed("self")] * n  # this test was bound itself
    expect(at == planned(n) or stayed, f"{at}, planned {planned(n)}")


@case
def ranks_that_their_launcher_has_bound_stay_there():
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise Skip("one processor only")
    last = str(usable[-1])  # both where the plan would have one of them
    bound = where_they_run([attach(rank, 2, "taskset", "-c", last, JOINER, "0") for rank in range(2)])
    expect(bound == [last, last], str(bound))


@case
def ranks_that_mpirun_has_bound_stay_there_and_may_be_started_by_a_shell_each():
    if len(os.sched_getaffinity(0)) < 2:
        raise Skip("one processor only")
    done = run(mpirun("--bind-to", "core", "-n", "2", "sh", "-c",
                      f"'{JOINER}' 3; grep Cpus_allowed_list /proc/$$/status"))
    expect(done.returncode == 0 and "out 0 0" in done.stdout and "out 1 0" in done.stdout, done.stdout + done.stderr)
    at = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("Cpus_allowed_list")]
    expect(len(set(at)) == 2, str(at))


@case
def a_dev_shm_without_room_is_done_without():
    """In a mount of our own: a /dev/shm of 64 KiB, in which a name has room and a heap has not."""
    script = f"mount -t tmpfs -o size=64k none /dev/shm || exit 99; '{EXAMPLE}' & RANK=1 LOCAL_RANK=1 '{EXAMPLE}'; " \
             "code=$?; wait $! && ls /dev/shm && exit $code"
    env = dict(os.environ, RANK="0", LOCAL_RANK="0", WORLD_SIZE="2", MASTER_PORT=PORT)
    done = run(["unshare", "--mount", "sh", "-c", script], env=env)
    if done.returncode in (1, 99) and not done.stdout:
        raise Skip("this system lets nobody mount a /dev/shm of his own")
    expect(done.returncode == 0 and sums(done.stdout, 2), f"{done.returncode}: {done.stdout}{done.stderr}")
    expect(done.stderr.count("using anonymous shared memory") == 1, done.stderr)


@case
def a_worker_that_cannot_reach_the_others_says_so_itself():
    close = f'[ $RANK = 0 ] || eval "exec ${{DIONODE_WORLD%%:*}}>&-"; exec "{EXAMPLE}"'
    done = launch("-n", "2", "sh", "-c", close)
    told = [line for line in done.stderr.splitlines() if "worker 1 cannot join the others" in line]
    expect(done.returncode == SYSTEM and len(told) == 1 and "is not the launcher's shared memory" in told[0], done.stderr)
    expect("worker 1" in done.stderr.splitlines()[-1], done.stderr)  # and the launcher, of the run


@case
def a_name_that_a_dead_run_left_is_taken_away():
    """Of the same id or another, as runs under mpirun have."""
    for beginning, content in ((BEGINNING, b""), (BEGINNING, b"x" * 5000), (BEGINNING + "7node1", b"x" * 48)):
        with open(f"{beginning}-{'5' * 16}", "wb") as file:
            file.write(content)
        done = ends([attach(rank, 2, EXAMPLE) for rank in (1, 0)])
        expect(all(code == 0 for code, _, _ in done), str(done))
        nothing_is_left()


@contextlib.contextmanager
def of_another_user(paths):
    """Files of another user, each open and locked as a host's would be; one is a pipe, one a link to a file of this user."""
    if os.geteuid() != 0:
        raise Skip("only root can put down files of another user")
    held = []
    try:
        for number, path in enumerate(paths):
            if number == 1:
                os.mkfifo(path, 0o666)
            elif number == 2:
                os.symlink("/etc/passwd", path)
            else:
                with open(path, "wb") as file:
                    file.write(struct.pack("<QiiQQQQ", 0x31646c72576e4444, os.getpid(), 0, 0, 0, 0, 0) + bytes(5000))
                os.chmod(path, 0o666)
                held.append(os.open(path, os.O_RDWR))
                fcntl.flock(held[-1], fcntl.LOCK_EX)
            os.chown(path, 65534, 65534, follow_symlinks=False)
        yield
        expect(all(os.path.lexists(path) for path in paths), "what is another user's was taken away")
    finally:
        for descriptor in held:
            os.close(descriptor)
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


@case
def names_that_another_user_has_taken_block_no_join():
    with of_another_user([BEGINNING] + [f"{BEGINNING}-{digit * 16}" for digit in "0123456789abcdef"]):
        done = ends([attach(rank, 2, EXAMPLE) for rank in (1, 0)])
        expect(all(code == 0 for code, _, _ in done), str(done))
        (code, _, errors), = ends([attach(1, 2, JOINER, "5")])  # nor do they mislead
        expect(code == TIMEOUT and "local rank 0 did not join" in errors, f"{code}: {errors}")
    nothing_is_left()


@case
def names_that_another_user_has_taken_block_no_launch():
    """The first names that processes to come might have had."""
    with open("/proc/sys/kernel/ns_last_pid") as file:
        last = int(file.read())
    with of_another_user([f"/dev/shm/dionode-{last + i}-0" for i in range(1, 100)]):
        done = launch("-n", "2", EXAMPLE)
        expect(done.returncode == 0 and sums(done.stdout, 2), done.stdout + done.stderr)


@case
def two_runs_of_one_user_that_start_under_one_name_do_not_mix():
    """The second waits until the first has started; both hosts come first, so that their names meet."""
    hosts = [attach(0, 2, JOINER, "5", "0", "20") for _ in range(2)]
    others = []
    for _ in range(2):  # a rank for one run, and, when that is complete, one for the other
        others.append(attach(1, 2, JOINER, "5", "0", "20"))
        expect(others[-1].stdout.readline().startswith("ready 1 "), "the second rank found no host")
    done = ends(hosts + others)
    expect(all(code == 0 for code, _, _ in done), str(done))
    nothing_is_left()


@case
def ranks_that_do_not_come_are_named_after_the_deadline():
    (code, _, errors), = ends([attach(0, 3, JOINER, "5")])
    expect(code == TIMEOUT and "1 2" in errors, f"{code}: {errors}")
    nothing_is_left()
    (code, _, errors), = ends([attach(1, 3, JOINER, "5")])
    expect(code == TIMEOUT and "local rank 0 did not join" in errors, f"{code}: {errors}")
    nothing_is_left()


@case
def an_environment_that_makes_no_sense_is_refused():
    for changes in ({"RANK": "x"}, {"RANK": "-1"}, {"RANK": "2"}, {"WORLD_SIZE": "0"}, {"WORLD_SIZE": "1000"},
                    {"LOCAL_WORLD_SIZE": "1"}):
        (code, _, errors), = ends([attach(1, 2, JOINER, "5", **changes)])
        expect(code == CONFIG and len(errors.splitlines()) == 1, f"{changes}: {code}: {errors}")


@case
def a_rank_that_is_there_twice_and_ranks_that_disagree_are_told():
    done = ends([attach(rank, 3, JOINER, "5") for rank in (0, 1, 1)])
    expect(any(code == CONFIG and "two processes have rank 1" in err for code, _, err in done), str(done))
    done = ends([attach(0, 3, JOINER, "5"), attach(1, 2, JOINER, "5")])
    expect(done[1][0] == CONFIG and "world size 2" in done[1][2] and "world size 3" in done[1][2], str(done))
    nothing_is_left()


@case
def the_death_of_a_rank_is_heard_without_a_launcher_of_ours():
    processes = [attach(rank, 3, JOINER, "0") for rank in range(3)]
    for process in processes:
        expect(process.stdout.readline().startswith("ready"), "not ready")
    victim = processes.pop(1)
    victim.kill()
    killed = time.monotonic()
    done = ends(processes)
    expect(time.monotonic() - killed < 1.5, "heard by the deadline, not by the watch")
    for code, out, errors in done:
        expect(code == PEER and f"rank 1 (pid {victim.pid}) ended" in errors, f"{code}: {out} {errors}")
    victim.communicate()
    nothing_is_left()


@case
def deaths_at_any_moment_of_joining_or_after_it_end_the_others():
    draw = random.Random(5)
    for _ in range(12):
        size = draw.randint(2, 5)
        processes = [attach(rank, size, JOINER, "0", "0", "1") for rank in range(size)]
        time.sleep(draw.random() * 0.04)
        victim = processes.pop(draw.randrange(size))
        victim.send_signal(draw.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGSTOP]))
        for code, out, errors in ends(processes):
            expect(code in (PEER, TIMEOUT) and errors, f"{code}: {out} {errors}")
        victim.kill()
        victim.communicate()
    # A victim may have left the name; who comes next takes it away.
    expect(all(code == 0 for code, _, _ in ends([attach(rank, 2, EXAMPLE) for rank in range(2)])), "no new start")
    nothing_is_left()


@case
def a_failed_launch_is_told_by_its_exit_status():
    expect(launch("-n", "2", "--arena", "2M", "no_such_program").returncode == SYSTEM, "no program")
    expect(launch("-n", "2", "--arena", "2Q", EXAMPLE).returncode == CONFIG, "size")
    expect(launch("-n", "2").returncode == CONFIG, "nothing to launch")
    done = launch("-n", "2", "--arena", "0", EXAMPLE)
    expect(done.returncode == MEMORY and "--arena 1M" in done.stderr, done.stderr)
    done = launch("-n", "2", "--timeout", "0.3", "sleep", "30")
    expect(done.returncode == TIMEOUT and "rank      pid" in done.stderr, done.stderr)


@case
def ctrl_c_is_passed_on_to_the_program():
    process = start([PROGRAM, "launch", "-n", "2", JOINER, "0"])
    expect(process.stdout.readline().startswith("ready"), "not ready")
    process.send_signal(signal.SIGINT)
    (code, out, errors), = ends([process])
    expect(code == 128 + signal.SIGINT and "out 0 0" in out and "out 1 0" in out, f"{code}: {out} {errors}")


@case
def workers_are_started_anew_as_often_as_allowed():
    done = launch("-n", "3", "--max-restarts", "2", JOINER, "20", "2")
    expect(done.returncode == 0 and "restart 2 of 2" in done.stderr, done.stderr)
    expect(sorted(line for line in done.stdout.splitlines() if line.endswith(" 0")) == ["out 0 0", "out 1 0", "out 2 0"],
           done.stdout)
    done = launch("-n", "3", "--max-restarts", "1", JOINER, "20", "2")
    expect(done.returncode == PEER and "worker 1" in done.stderr.splitlines()[-1], done.stderr)


@case
def a_training_run_whose_worker_is_killed_finishes_as_if_it_had_not_been():
    slow = {"sequence_length": 64, "num_iterations": 40, "checkpoint_freq": 5}
    with Place() as place:
        expect(place.train(np=2, checkpoint_dir=place.file("whole"), **slow).returncode == 0, "training failed")
        command = place.command(np=2, checkpoint_dir=place.file("hurt"), **slow)
        process = start(command + ["--max-restarts", "1"])
        place.wait_for_step(13, "hurt")  # the checkpoint of step 5 is on the disk when that of step 10 is begun
        os.kill(children(process.pid)[1], signal.SIGKILL)
        (code, _, errors), = ends([process])
        expect(code == 0 and "restart 1 of 1" in errors, f"{code}: {errors}")
        measured = [[(m["step"], m["loss"], m.get("weights_hash"), m["bytes_dp"]) for m in place.metrics(name)]
                    for name in ("whole", "hurt")]
        expect(len(measured[0]) == 40 and measured[0] == measured[1], "metrics differ")


@case
def a_run_can_be_looked_at_through_its_launcher_and_its_workers():
    process = start([PROGRAM, "launch", "-n", "2", JOINER, "0"])
    expect(process.stdout.readline().startswith("ready"), "not ready")
    workers = children(process.pid)
    for pid in [process.pid] + workers:
        done = run([PROGRAM, "stat", str(pid)])
        lines = done.stdout.splitlines()
        expect(done.returncode == 0 and len(lines) == 4 and lines[0] == "running", done.stdout + done.stderr)
        expect([line.split()[1] for line in lines[2:]] == [str(w) for w in workers], done.stdout)
        expect(all("meeting" in line and int(line.split()[2]) >= 1 for line in lines[2:]), done.stdout)
    process.terminate()
    ends([process])


@case
def looking_at_the_wrong_process_is_an_error():
    done = run([PROGRAM, "stat", str(os.getpid())])
    expect(done.returncode == ARG and "neither a launcher nor a worker" in done.stderr, done.stderr)
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = run([PROGRAM, "stat", str(gone.pid)])
    expect(done.returncode == ARG and "no process" in done.stderr, done.stderr)
    expect(run([PROGRAM, "stat", "x"]).returncode == CONFIG, "not a number")
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    if run(["sh", "-c", f"'{PROGRAM}' --version"], **nobody).returncode != 0:
        return  # the build folder is not open to others
    done = run([PROGRAM, "stat", "1"], **nobody)
    expect(done.returncode == SYSTEM and "another user's" in done.stderr, done.stderr)


tap()
