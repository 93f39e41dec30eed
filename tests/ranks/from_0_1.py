"""Files of version 0.1 go on: a run is resumed from its checkpoint, evaluated, and its metrics are continued, under the
same names. How the fixtures were made: tests/fixtures/README.md."""
import json
import math
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, case, expect, run, tap, tensors, write_shard, PROGRAM  # noqa: E402

FIXTURES = os.path.join(os.path.dirname(__file__), "..", "fixtures", "0.1")
STEPS, STORED = 20, 10  # of the whole run; after which the checkpoint was written
MODEL = {"model_dim": 16, "n_layer": 1, "n_head": 2, "vocab_size": 64, "sequence_length": 8, "batch_size": 4,
         "device_batch_size": 2, "num_iterations": STEPS, "val_tokens": 128, "val_loss_every": 5, "seed": 5,
         "ortho_fraction": 0.25, "hash_every": 1, "scalar_opt": "adamw", "dp_size": 2}
RUNS = {
    "dion": {},  # replicas keep momenta of their own
    "adaptive": {"adaptive_rank": True, "state_precision": "bfloat16", "dp_size": 1, "fs_size": 2, "beta2": 0.95},
}
# Another processor, compiler or BLAS rounds otherwise in each of a few steps.
TOLERANCE = 1e-3


def drawn(n, x):
    """n tokens by a generator of our own, so that no library's matters."""
    tokens = []
    for _ in range(n):
        x = (1103515245 * x + 12345) % 2**31
        tokens.append((x >> 16) % 64)
    return tokens


def changes(place, name):
    write_shard(place.file("data/train_000000.bin"), drawn(2000, 1))
    write_shard(place.file("data/val_000000.bin"), drawn(500, 2))
    return dict(MODEL, **RUNS[name])


def stored(name, file):
    with open(os.path.join(FIXTURES, name, file), "rb") as f:
        return f.read()


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def close(a, b):
    return math.isclose(a, b, rel_tol=TOLERANCE)


@case
def a_run_goes_on_where_0_1_left_it():
    for name in RUNS:
        with Place() as place:
            settings = changes(place, name)
            shutil.copytree(os.path.join(FIXTURES, name), place.file("run"))
            done = place.train(np=2, **settings)
            expect(done.returncode == 0, f"{name}: {done.stderr}")
            expect(f"{STORED}" in done.stderr, f"{name}: {done.stderr}")
            old, whole, new = lines(stored(name, "metrics.jsonl")), lines(stored(name, "whole.jsonl")), place.metrics()
            expect(len(old) == STORED and new[:STORED] == old, f"{name}: the lines of 0.1 are not kept")
            expect([m["step"] for m in new] == [m["step"] for m in whole], f"{name}: {len(new)} lines")
            for a, b in zip(new, whole):
                gone = set(b) - set(a) - {"peak_share"}  # which so short a run does not have now
                expect(not gone, f"{name}: {sorted(gone)} are missing in {a}")
                expect(close(a["loss"], b["loss"]), f"{name}, step {a['step']}: loss {a['loss']} is not {b['loss']}")
            a, b = tensors(place.checkpoint(STEPS)), tensors(stored(name, f"step_{STORED:08d}.safetensors"))
            expect({n: len(x) for n, x in a.items()} == {n: len(x) for n, x in b.items()},
                   f"{name}: {sorted(set(a) ^ set(b))}")


@case
def a_checkpoint_of_0_1_is_evaluated_as_0_1_did():
    for name in RUNS:
        with Place() as place:
            changes(place, name)
            shutil.copytree(os.path.join(FIXTURES, name), place.file("run"))
            done = run([PROGRAM, "eval", place.file("run"), f"data_dir={place.file('data')}"])
            expect(done.returncode == 0, f"{name}: {done.stderr}")
            right = next(m["val_loss"] for m in lines(stored(name, "metrics.jsonl")) if m["step"] == STORED)
            shown = [float(w) for w in done.stdout.replace(",", " ").split() if w.replace(".", "", 1).isdigit() and "." in w]
            expect(any(abs(x - right) < 1e-3 for x in shown), f"{name}: {right} is not in '{done.stdout}'")


if sys.argv[1:] == ["make"]:  # by a program of 0.1
    for name in RUNS:
        with Place() as place:
            settings = changes(place, name)
            done = place.train(np=2, **settings)
            expect(done.returncode == 0, f"{name}: {done.stderr}")
            folder = os.path.join(FIXTURES, name)
            os.makedirs(folder, exist_ok=True)
            shutil.copy(place.file("run/metrics.jsonl"), os.path.join(folder, "whole.jsonl"))
            done = place.train(np=2, **dict(settings, checkpoint_dir=place.file("part"), stop_after=STORED))
            expect(done.returncode == 0, f"{name}: {done.stderr}")
            for file in ("metrics.jsonl", f"step_{STORED:08d}.safetensors"):
                shutil.copy(place.file(f"part/{file}"), folder)
    sys.exit(0)
tap()
