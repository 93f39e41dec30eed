"""Fine-tuning: what is frozen stays as it was, on every mesh and under every kind of strategy."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, expect, run, tap, tensors  # noqa: E402

CONFIG = os.environ["CONFIG"]
RANKS = 8 if FULL else 4
# The value vectors of all blocks, which stand within a stack of three; the upper MLP.
TRAINABLE = "['*.c_v.*', '*.1.mlp.*']"
TRAINED = [f"transformer.h.{block}.attn.c_v.weight" for block in (0, 1)] + [
    f"transformer.h.1.mlp.{name}.weight" for name in ("c_fc", "c_proj")]


def last(place, name="run"):
    """Tensors of the newest checkpoint."""
    step = max(int(file[5:13]) for file in os.listdir(place.file(name)) if file.startswith("step_"))
    return tensors(place.checkpoint(step, name))


def initial(place, **changes):
    """The weights that runs of this place begin with: those of a run that learns nothing."""
    done = place.train(checkpoint_dir=place.file("still"), lr=0, num_iterations=1, **changes)
    expect(done.returncode == 0, done.stderr)
    return {name: data for name, data in last(place, "still").items() if name.startswith(("transformer.", "lm_head."))}


def check_frozen(first, now, what):
    for name, data in first.items():
        expect((now[name] == data) == (name not in TRAINED), f"{what}: {name} {'changed' if now[name] != data else 'did not'}")
    states = {name for name in now if name not in first}
    expect(states and all(any(name in state for name in TRAINED) for state in states), f"{what}: {states}")


@case
def what_is_frozen_keeps_its_bits_and_has_no_state():
    with Place() as place:
        first = initial(place)
        kinds = [("factors", {"dp_size": 2, "fs_size": 2, "tp_size": 2}),
                 ("full gradients", {"dp_size": 3, "replicate_mesh_grad_sync": False}),
                 ("apart", {"dp_size": 3, "strategy": "local_sgd", "sync_every": 3, "optimizer": "muon"}),
                 ("instead of the rule", {"dp_size": 2, "tp_size": 2, "strategy": "demo"})]
        for what, keys in kinds if FULL else kinds[::2]:
            np = keys.get("dp_size", 1) * keys.get("fs_size", 1) * keys.get("tp_size", 1)
            name = what.replace(" ", "-")
            settings = {"trainable": TRAINABLE, "num_iterations": 5, "val_tokens": 64, "val_loss_every": 2, **keys}
            done = place.train(np, checkpoint_dir=place.file(name), **settings)
            expect(done.returncode == 0, f"{what}: {done.stderr}")
            expect(f"in {len(TRAINED)} of" in done.stderr, done.stderr)
            check_frozen(first, last(place, name), what)
            parts = {**settings, "checkpoint_dir": place.file(name + "-parts")}
            place.train(np, stop_after=2, **parts)
            done = place.train(np, **parts)
            expect(done.returncode == 0 and "resumed" in done.stderr, f"{what}: {done.stderr}")
            expect(last(place, name) == last(place, name + "-parts"), f"{what}: a stop and its continuation end elsewhere")


@case
def what_is_frozen_is_not_exchanged():
    with Place() as place:
        for name, keys in (("all", {}), ("some", {"trainable": TRAINABLE})):
            done = place.train(4, checkpoint_dir=place.file(name), num_iterations=2, dp_size=2, fs_size=2,
                               replicate_mesh_grad_sync=False, **keys)
            expect(done.returncode == 0, done.stderr)
        whole, some = (place.metrics(name)[-1] for name in ("all", "some"))
        # of c_v 2 x 32 x 32, of the MLP 2 x 32 x 128 numbers: half of each on a rank of fs
        expect(some["bytes_uncompressed"] == 4 * (2 * 1024 + 2 * 4096) / 2, f"{some['bytes_uncompressed']}")
        share = some["bytes_gradients"] / whole["bytes_gradients"]
        expected = (2 * 1024 + 2 * 4096) / (2 * (4 * 1024 + 2 * 4096) + 2 * 256 * 32)
        expect(abs(share / expected - 1) < 0.01, f"{share} of all gradients were exchanged, {expected} are trained")


@case
def every_mesh_trains_the_same():
    for keys in ([], ["optimizer=adamw", "split_heads=true"], ["architecture=gpt2", "optimizer=muon", "trainable=['*k_proj*', '*mlp*bias']"],
                 ["architecture=gemma", "trainable=['*q_proj*', '*layernorm*']"])[:4 if FULL else 2]:
        done = run([PROGRAM, "verify", CONFIG, "-n", str(RANKS), "--precision", "float", "--steps", "3", f"trainable={TRAINABLE}", *keys],
                   limit_s=300)
        expect(done.returncode == 0, f"{keys}: {done.stdout[-3000:]}{done.stderr}")


@case
def a_name_that_nothing_has_is_refused():
    with Place() as place:
        for value, word in (("['*.c_x.*']", "'*.c_x.*' matches no parameter"), ("*.c_v.*", "expected a list"),
                            ("[]", None)):
            done = place.train(trainable=value, num_iterations=1)
            expect(done.returncode == (2 if word else 0) and (word or "finished") in done.stderr, f"{value}: {done.stderr}")


tap()
