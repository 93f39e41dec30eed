"""A slow disk is no hang: while a checkpoint is written, synced and read there are signs of life, from the loop that
does it, however much longer than timeout_s it takes in all. And it does not stop training, where there is memory for a copy of
a checkpoint, until the next one is due or the run ends."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, expect_stop_while_initializing, run, tap, tensors  # noqa: E402

# 0.3 s a MiB: a deadline of two seconds is long for one, and the whole checkpoint takes several.
SLOW = dict(os.environ, LD_PRELOAD=os.environ["SLOW_DISK"], SLOW_NS="286",
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
PEER = 7
MODEL = {"model_dim": 128, "n_layer": 1, "vocab_size": 2048, "timeout_s": 2, "hash_every": 0}


@case
def a_checkpoint_that_takes_several_deadlines_to_write_and_to_read_is_no_hang():
    with Place() as place:
        written = run(place.command(np=2, stop_after=1, **MODEL), env=SLOW)
        expect(written.returncode == 0, written.stderr)
        megabytes = len(place.checkpoint(1)) / 2**20
        expect(megabytes > 5, f"a checkpoint of {megabytes:.1f} MiB is too small for this test")
        read = run(place.command(np=2, num_iterations=1, **MODEL), env=SLOW)
        expect(read.returncode == 0, read.stderr)


@case
def a_stop_while_a_checkpoint_is_read_is_heard_within_a_chunk():
    """Two seconds a MiB: what is left to read takes ten at least, a chunk two."""
    with Place() as place:
        written = place.train(np=2, num_iterations=2, stop_after=1, **MODEL)
        expect(written.returncode == 0, written.stderr)
        before = place.checkpoint(1)
        process = subprocess.Popen(place.command(np=2, num_iterations=2, **{**MODEL, "timeout_s": 60}),
                                   env={**SLOW, "SLOW_NS": "2000"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while "reading check" not in run([PROGRAM, "stat", str(process.pid)]).stdout:
            expect(process.poll() is None, "the run has ended")
            time.sleep(0.01)
        expect_stop_while_initializing(process, 8)
        expect(place.checkpoint(1) == before, "the checkpoint changed")


@case
def a_second_signal_while_a_checkpoint_is_written_leaves_the_good_one_and_says_what_is_lost():
    """0.6 s a MiB: the save takes seconds."""
    with Place() as place:
        written = place.train(np=2, num_iterations=1000000, stop_after=1, **MODEL)
        expect(written.returncode == 0, written.stderr)
        before, keys = place.checkpoint(1), {**MODEL, "timeout_s": 60}
        process = subprocess.Popen(place.command(np=2, num_iterations=1000000, **keys), env={**SLOW, "SLOW_NS": "572"},
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        place.wait_for_step(3)
        process.send_signal(signal.SIGINT)
        while "saving check" not in run([PROGRAM, "stat", str(process.pid)]).stdout:
            expect(process.poll() is None, "the run has ended")
            time.sleep(0.01)
        time.sleep(0.5)  # sooner than a quarter of a second after the first, the second is taken for it
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        expect(process.returncode == PEER, f"{process.returncode}: {errors}")
        expect("by force" in errors and "nothing was saved since step 1" in errors, errors)
        expect(sorted(os.listdir(place.file("run"))) == ["metrics.jsonl", "step_00000001.safetensors"],
               f"{os.listdir(place.file('run'))}")
        expect(place.checkpoint(1) == before, "the good checkpoint changed")
        again = place.train(np=2, num_iterations=1000000, stop_after=2, **keys)
        expect(again.returncode == 0 and "after step 1 " in again.stderr, again.stderr)


def phase_of_rank_0(process):
    table = run([PROGRAM, "stat", str(process.pid)]).stdout
    return table.splitlines()[2] if table.count("\n") > 2 else ""


def wait_until(process, is_so, what, limit_s=90):
    end = time.monotonic() + limit_s
    while not is_so():
        expect(process.poll() is None, f"the run has ended before {what}")
        expect(time.monotonic() < end, f"not within {limit_s} s: {what}")
        time.sleep(0.01)


def wait_until_it_waits(place, process, step):
    wait_until(process, lambda: os.path.exists(place.file("run/metrics.jsonl")) and len(place.metrics()) >= step and
               "saving check" in phase_of_rank_0(process), f"it waited for the disk after step {step}")
    expect(len(place.metrics()) == step and not names(place), f"{names(place)}, {len(place.metrics())} steps")


def held_up(place, gate, **changes):
    """A run whose disk takes nothing before the file is there."""
    env = {**SLOW, "SLOW_NS": "0", "DISK_GATE": gate}
    return subprocess.Popen(place.command(np=2, **{**MODEL, "timeout_s": 120, **changes}), env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def names(place):
    return sorted(name for name in os.listdir(place.file("run")) if name.endswith(".safetensors"))


@case
def training_goes_on_while_a_checkpoint_is_written_and_the_next_one_waits_for_it():
    changes = {"num_iterations": 6, "checkpoint_freq": 2, "val_tokens": 64, "val_loss_every": 2}
    with Place() as place:
        whole = place.train(np=2, **{**MODEL, **changes, "timeout_s": 120, "checkpoint_dir": place.file("whole")})
        expect(whole.returncode == 0, whole.stderr)
        gate = place.file("gate")
        process = held_up(place, gate, **changes)
        wait_until_it_waits(place, process, 4)
        open(gate, "w").close()
        _, errors = process.communicate(timeout=120)
        expect(process.returncode == 0, errors)
        expect(names(place) == ["best.safetensors", "step_00000004.safetensors", "step_00000006.safetensors"], f"{names(place)}")
        for step in (4, 6):  # but for the folder's name in the configuration
            expect(tensors(place.checkpoint(step)) == tensors(place.checkpoint(step, "whole")), f"other bits after step {step}")


@case
def the_end_of_a_run_waits_for_the_checkpoint_that_is_being_written():
    with Place() as place:
        gate = place.file("gate")
        process = held_up(place, gate, num_iterations=1000000, checkpoint_freq=2, stop_after=3)
        wait_until_it_waits(place, process, 3)
        open(gate, "w").close()
        _, errors = process.communicate(timeout=120)
        expect(process.returncode == 0 and "stopped after step 3" in errors, errors)
        expect(names(place) == ["step_00000002.safetensors", "step_00000003.safetensors"], f"{names(place)}")


@case
def a_stop_that_comes_while_a_run_waits_for_a_checkpoint_loses_none():
    with Place() as place:
        gate = place.file("gate")
        process = held_up(place, gate, num_iterations=1000000, checkpoint_freq=2)
        wait_until_it_waits(place, process, 4)
        process.send_signal(signal.SIGTERM)
        open(gate, "w").close()
        _, errors = process.communicate(timeout=120)
        made = len(place.metrics())  # it may hear of the stop a step or some later
        expect(process.returncode == 128 + signal.SIGTERM and f"stopped after step {made}" in errors, f"{process.returncode}: {errors}")
        expect(made >= 4 and f"step_{made:08d}.safetensors" in names(place), f"{made} steps, {names(place)}")


tap()
