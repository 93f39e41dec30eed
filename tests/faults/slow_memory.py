"""Memory that takes longer than timeout_s to be had is no hang, nor are first weights that take longer to be drawn: there are signs
of life from the loop that does it, and a stop is heard there."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, run, tap, wait_until  # noqa: E402

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


@case
def weights_that_take_several_deadlines_to_draw_are_no_hang():
    with Place() as place:
        began = time.monotonic()
        done = run(place.command(np=2, timeout_s=2, **MODEL), env=dict(PRELOADED, COPY_MS="400"))
        took = time.monotonic() - began
        expect(done.returncode == 0, f"{done.returncode}: {done.stderr}")
        expect(took > 5, f"done after {took:.1f} s: this test slows nothing down")


@case
def a_stop_while_weights_are_drawn_is_heard_before_they_are():
    """They take 32 s."""
    with Place() as place:
        process = subprocess.Popen(place.command(np=2, timeout_s=60, **MODEL), env=dict(PRELOADED, COPY_MS="2000"),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: "initializing" in run([PROGRAM, "stat", str(process.pid)]).stdout, "phase 'initializing'")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        took = time.monotonic() - began
        expect(process.returncode == 128 + signal.SIGTERM, f"{process.returncode}: {errors}")
        expect("stopped while initializing" in errors, errors)
        expect(took < 16, f"heard after {took:.1f} s")
        left = [name for name in os.listdir(place.file("run")) if name.endswith(".safetensors")] if os.path.exists(place.file("run")) else []
        expect(not left, f"{left}")


tap()
