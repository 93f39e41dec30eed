"""Every architecture there is (in the short tier some that differ in kind), through the same commands: train, verify,
resume, evaluate, generate."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, Place, case, expect, run, tap, tensors, PROGRAM  # noqa: E402

CONFIG = os.environ["CONFIG"]


def architectures():
    keys = run([PROGRAM, "train", "--keys"]).stdout
    names = re.search(r"^architecture .*\((.*)\)$", keys, re.M).group(1).split("|")
    expect(len(names) >= 2, f"{names}")
    return names if FULL else [name for name in names if name in ("gpt", "gpt2", "llama", "mlp")]


def trained(place, name, np=1, **changes):
    done = place.train(np=np, checkpoint_dir=place.file(name), **changes)
    expect(done.returncode == 0, f"{name}, {changes}: {done.stderr}")
    return [m["loss"] for m in place.metrics(name)]


def write_counting(place):
    """Bytes that count on and on: who has seen one position knows the next."""
    with open(place.file("counting"), "wb") as file:
        file.write(bytes(range(256)) * 40)
    return {"train_files": place.file("counting"), "val_files": place.file("counting")}


@case
def each_learns_what_can_be_known():
    with Place() as place:
        data = write_counting(place)
        for name in architectures():
            losses = trained(place, name, 2, architecture=name, num_iterations=100, lr=0.02, **data)
            expect(losses[0] > 5 and losses[-1] < 1, f"{name}: {losses[0]} -> {losses[-1]}")


@case
def each_goes_on_after_a_stop_bit_for_bit_on_every_axis():
    with Place() as place:
        mesh = {"dp_size": 2, "fs_size": 2, "tp_size": 2}
        for name in architectures():
            whole = trained(place, f"{name}-whole", 8, architecture=name, **mesh)
            trained(place, f"{name}-parts", 8, architecture=name, stop_after=7, **mesh)
            parts = trained(place, f"{name}-parts", 8, architecture=name, **mesh)
            expect(parts == whole, f"{name}: {parts[-3:]} is not {whole[-3:]}")
            first, second = (tensors(place.checkpoint(20, f"{name}-{kind}")) for kind in ("whole", "parts"))
            expect(first == second, f"{name}: checkpoints differ")


@case
def each_is_the_same_on_all_meshes_of_four():
    for name in architectures():
        done = run([PROGRAM, "verify", CONFIG, "-n", "4", "--precision", "float", "--steps", "5", f"architecture={name}"],
                   limit_s=300)
        expect(done.returncode == 0, f"{name}: {done.stdout[-2000:]}{done.stderr}")


@case
def heads_that_are_tied_shared_or_have_gains_are_the_same_on_all_meshes():
    """Of eight in the long tier: gpt2 has learned positions and biases, llama here one head of keys for all and a tied head,
    qwen3 gains on its heads."""
    precision = "double" if os.path.exists(PROGRAM + "-f64") else "float"  # sanitizers build one of them
    for name, *keys in (["gpt2"], ["llama", "n_kv_head=1", "tie_embeddings=true"], ["qwen3"]):
        done = run([PROGRAM, "verify", CONFIG, "-n", "8" if FULL else "3", "--precision", precision, "--steps", "5",
                    f"architecture={name}", *keys], limit_s=600)
        expect(done.returncode == 0, f"{name}: {done.stdout[-2000:]}{done.stderr}")


@case
def each_is_the_same_on_a_device_whose_memory_no_host_reads():
    """In the order of streams in which copies overtake kernels wherever no event forbids it."""
    for name in architectures():
        done = run([PROGRAM, "verify", CONFIG, "-n", "4" if FULL else "2", "--precision", "float", "--steps", "2", "device=fake",
                    f"architecture={name}", "mlp_bias=true"], limit_s=300, env={**os.environ, "DIONODE_FAKE_ORDER": "last"})
        expect(done.returncode == 0, f"{name}: {done.stdout[-2000:]}{done.stderr}")


@case
def each_is_evaluated_as_in_training_and_generates_what_it_learned():
    with Place() as place:
        data = write_counting(place)
        for name in architectures():
            trained(place, name, architecture=name, num_iterations=200, val_tokens=512, **data)
            evaluated = run([PROGRAM, "eval", place.file(name)])
            expect(evaluated.returncode == 0, f"{name}: {evaluated.stderr}")
            shown, stored = float(evaluated.stdout.split()[1]), place.metrics(name)[-1]["val_loss"]
            expect(abs(shown - stored) < 2e-6, f"{name}: eval {shown}, training {stored}")  # six digits are printed
            # Rows of 16 begin with multiples of 16, '@' among them: no row taught what follows on an A that is the first.
            made = run([PROGRAM, "generate", place.file(name), "@ABC", "--tokens", "8", "--temperature", "0"])
            expect(made.returncode == 0 and made.stdout.startswith("@ABCDEFGHIJK"), f"{name}: {made.stdout!r}{made.stderr}")


@case
def a_checkpoint_of_another_architecture_is_refused_by_name():
    with Place() as place:
        first, second = architectures()[:2]
        trained(place, "run", architecture=first)
        done = place.train(architecture=second, num_iterations=30)
        expect(done.returncode != 0 and f"architecture '{first}' -> '{second}'" in done.stderr, done.stderr)
        done = place.train(architecture="none")
        expect(done.returncode == 2 and f"{first}|{second}" in done.stderr, done.stderr)


tap()
