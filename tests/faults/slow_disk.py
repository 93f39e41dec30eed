"""A slow disk is no hang: while a checkpoint is written, synced and read there are signs of life, from the loop that
does it, however much longer than timeout_s it takes in all."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, run, tap  # noqa: E402

# 0.3 s a MiB: a second's deadline is long for one, and a tenth of what the whole checkpoint takes.
SLOW = dict(os.environ, LD_PRELOAD=os.environ["SLOW_DISK"], SLOW_NS="286",
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
PEER = 7
MODEL = {"model_dim": 128, "n_layer": 1, "vocab_size": 2048, "timeout_s": 1, "hash_every": 0}


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
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        took = time.monotonic() - began
        expect(process.returncode == 128 + signal.SIGTERM, f"{process.returncode}: {errors}")
        expect("stopped while initializing" in errors, errors)
        expect(took < 8, f"heard after {took:.1f} s")
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


tap()
