"""Deaths on several nodes, pretended under one mpirun: of ranks and whole nodes, at any time. The job ends on all nodes, with the rank's
name and never with status 0; nothing is left behind; and what was saved goes on, on any number of nodes."""
import contextlib
import os
import random
import re
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from nodes import Job, left_of, number_of, same_losses, started, train  # noqa: E402
from runs import FULL, Place, Skip, case, expect, run, tap  # noqa: E402

EXACT = os.environ["DIONODE_F64"]
PEER, TIMEOUT = 7, 8
TOGETHER = 5  # jobs at a time: most of a death is waiting
LIMIT_S = 60  # of a busy machine; and the deadline, which so does not end what a death should
KILLS = 200 if FULL else TOGETHER


@case
def a_killed_rank_or_node_ends_the_run_on_all_nodes_and_leaves_nothing():
    draw = random.Random(20)
    for batch in range(KILLS // TOGETHER):
        with contextlib.ExitStack() as stack:
            jobs = []
            for _ in range(TOGETHER):
                place = stack.enter_context(Place())
                job = Job(place, (2, 2) if FULL else (1, 1), dp_size=4 if FULL else 2, timeout_s=LIMIT_S)
                stack.callback(job.kill)
                jobs.append(job)
            for job in jobs:
                job.wait_for_step(2, limit_s=200)
            victims = []
            for n, job in enumerate(jobs):
                half = len(job.pids) // 2
                of_node = range(half, 2 * half) if draw.random() < 0.5 else range(half)
                victims.append([draw.randrange(len(job.pids))] if n % 2 == 0 else list(of_node))
            for ranks, job in zip(victims, jobs):
                time.sleep(draw.random() * 0.05)
                for rank in ranks:
                    os.kill(job.pids[rank], signal.SIGKILL)
            for ranks, job in zip(victims, jobs):
                status, text = job.ends(LIMIT_S), job.told()
                # Of mpirun, which has seen the signal; or of the first of the other ranks that had to end.
                expect(status in (128 + signal.SIGKILL, PEER), f"exit status {status}: {text}")
                named = re.findall(r"rank (\d+) (?:\(pid \d+\) ended in step|with PID \d+ on node \S+ exited on signal 9)", text)
                expect(set(map(int, named)) & set(ranks), f"ranks {ranks} were killed, {named} named: {text}")
                expect(not left_of(job.number), f"/dev/shm has {left_of(job.number)} of a job that has ended")


@case
def ranks_that_are_killed_while_they_start_end_the_run_too():
    if not FULL:
        raise Skip("in the long tier")
    draw, numbers = random.Random(21), []
    for _ in range(40):
        with Place() as place:
            job = Job(place, (2, 2), dp_size=4)
            try:
                time.sleep(draw.random() * 0.6)
                ranks = job.ranks()
                if not ranks:  # none yet
                    continue
                with contextlib.suppress(OSError, KeyError):  # not yet executed
                    numbers.append(number_of(ranks[0]))
                os.kill(draw.choice(ranks), signal.SIGKILL)
                status = job.ends()
                expect(status != 0, f"exit status 0: {job.told()}")
            finally:
                job.kill()
    with Place() as place:  # who is killed with a name for the others leaves it to the next run
        done = train(place, (1, 1), dp_size=2, num_iterations=1)
        expect(done.returncode == 0, done.stderr)
    left = [name for number in numbers for name in left_of(number) if name.startswith("dionode-")]
    expect(not left, f"/dev/shm has {left} of jobs that have ended")


@case
def a_node_that_does_not_answer_is_named_after_the_deadline():
    if not FULL:
        raise Skip("in the long tier")
    for ranks in [(0, 1), (2, 3)]:
        with Place() as place, started(place, (2, 2), dp_size=4, timeout_s=4) as job:
            for rank in ranks:
                os.kill(job.pids[rank], signal.SIGSTOP)
            status, text = job.ends(), job.told()
            expect(status == TIMEOUT, f"exit status {status}: {text}")
            expect(any(f"worker {rank} (pid {job.pids[rank]}) made no progress for 4 s" in text for rank in ranks), text)


@case
def a_run_whose_node_was_killed_goes_on_on_four_two_and_one_node():
    settings = {"optimizer": "dion", "dp_size": 4, "num_iterations": 10**5, "checkpoint_freq": 3}
    with Place() as place:
        if not FULL:
            raise Skip("in the long tier")
        with started(place, (2, 2), program=EXACT, **settings) as job:
            place.wait_for_step(4)
            for pid in job.pids[2:]:
                os.kill(pid, signal.SIGKILL)
            expect(job.ends() != 0, job.told())
        saved = max(int(name[5:13]) for name in os.listdir(place.file("run")) if re.fullmatch(r"step_\d+\.safetensors", name))
        for more, nodes in enumerate([(1, 1, 1, 1), (2, 2)], 1):
            done = train(place, nodes, program=EXACT, stop_after=saved + 3 * more, **settings)
            expect(done.returncode == 0, f"{nodes}: {done.returncode}, {done.stderr}")
        for name in ("run", "one"):
            done = run([EXACT, "train", "--np", "4", place.config(checkpoint_dir=place.file(name), stop_after=saved + 9, **settings)], limit_s=240)
            expect(done.returncode == 0, done.stderr)
        same_losses(place.metrics("one"), place.metrics("run"), f"killed after step {saved}")


tap()
