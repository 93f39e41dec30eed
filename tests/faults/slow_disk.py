"""A slow disk is no hang: while a checkpoint is written, synced and read there are signs of life, from the loop that
does it, however much longer than timeout_s it takes in all."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, case, expect, run, tap  # noqa: E402

# 0.3 s a MiB: a second's deadline is long for one, and a tenth of what the whole checkpoint takes.
SLOW = dict(os.environ, LD_PRELOAD=os.environ["SLOW_DISK"], SLOW_NS="286",
            ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
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


tap()
