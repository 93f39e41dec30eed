"""Memory that takes longer than timeout_s to be had is no hang, nor are first weights that take longer to be drawn or read: there
are signs of life from the loop that does it, and a stop is heard there."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, expect_stop_while_initializing, run, tap, wait_until  # noqa: E402

JOINER = os.environ["JOINER"]
PRELOADED = dict(os.environ, LD_PRELOAD=os.environ["SLOW_MEMORY"],
                 ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
# Eight pieces of 65,536 numbers in the embedding, and eight in the head.
MODEL = {"model_dim": 128, "n_layer": 1, "vocab_size": 4096, "num_iterations": 1, "hash_every": 0}


@case
def memory_that_takes_several_deadlines_to_allocate_is_no_hang():
    """Eight chunks of 64 MiB of 0.8 s each. The launcher waits a second longer than the deadline."""
    began = time.monotonic()
    done = run([PROGRAM, "launch", "-n", "2", "--arena", "512M", "--timeout", "2", JOINER, "1", "0", "2", str(512 << 20)],
               env=dict(PRELOADED, POPULATE_MS="800"))
    took = time.monotonic() - began
    expect(done.returncode == 0, f"{done.returncode}: {done.stderr}")
    expect(took > 5, f"done after {took:.1f} s: this test slows nothing down")


def train_slowly(place, ms, **changes):
    command = place.command(np=2, **{**MODEL, **changes})
    return subprocess.Popen(command, env=dict(PRELOADED, COPY_MS=ms), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def other_run(place):
    """The keys of a run that begins with the weights of one that is there."""
    first = place.train(np=2, **MODEL)
    expect(first.returncode == 0, first.stderr)
    return {"init_from": place.file("run"), "checkpoint_dir": place.file("next")}


@case
def weights_that_take_several_deadlines_to_draw_and_as_many_to_read_are_no_hang():
    """16 pieces of 0.4 s, twice."""
    with Place() as place:
        keys = other_run(place)
        began = time.monotonic()
        process = train_slowly(place, "400", timeout_s=2, **keys)
        _, errors = process.communicate(timeout=120)
        took = time.monotonic() - began
        expect(process.returncode == 0, f"{process.returncode}: {errors}")
        expect(took > 11, f"done after {took:.1f} s: this test slows nothing down")


@case
def a_stop_while_weights_are_drawn_is_heard_before_they_are():
    """They take 16 s."""
    with Place() as place:
        process = train_slowly(place, "1000", timeout_s=60)
        wait_until(lambda: "initializing" in run([PROGRAM, "stat", str(process.pid)]).stdout, "phase 'initializing'")
        expect_stop_while_initializing(process, 8)
        left = os.listdir(place.file("run")) if os.path.exists(place.file("run")) else []
        expect(not any(name.endswith(".safetensors") for name in left), f"{left}")


@case
def a_stop_while_weights_of_another_run_are_read_is_heard_before_they_are():
    """They take 8 s, after as many in which they are drawn."""
    with Place() as place:
        process = train_slowly(place, "500", timeout_s=60, **other_run(place))
        expect(any("weights of" in line for line in process.stderr), "no weights are read")  # said when the first of them is
        expect_stop_while_initializing(process, 5)


tap()
