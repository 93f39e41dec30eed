"""Does a model learn in mixed precision what it learns in float? Losses of 2,000 steps, beside what another seed changes."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, case, expect, mixed_precision, run, tap, write_shard  # noqa: E402

SEEDS = 1, 2, 3, 4
STEPS, SECTIONS, LIMIT_S = 2000, 8, 600


def chain(n, seed):
    """Of each pair of tokens four are likely to follow, one of them most; so there is something to learn in every step of these
    2,000, by both attention and MLP."""
    draw, next_of = random.Random(seed), random.Random(0)
    likely = [[next_of.randrange(64) for _ in range(4)] for _ in range(64 * 64)]
    tokens = [0, 0]
    while len(tokens) < n:
        tokens.append(draw.choices(likely[64 * tokens[-2] + tokens[-1]], (8, 4, 2, 1))[0])
    return tokens


# One thread: a step takes a few milliseconds, and a busy machine makes threads wait for each other.
ENV = {**os.environ, "HWLOC_SYNTHETIC": "numanode:1 core:1 pu:1"}


def sections(place, name, **changes):
    """Mean losses of eighths of a run, which starts the same way with the same seed."""
    done = run(place.command(checkpoint_dir=place.file(name), **changes), LIMIT_S, env=ENV)
    expect(done.returncode == 0, f"{name}: {done.stderr}")
    losses = [line["loss"] for line in place.metrics(name)]
    expect(len(losses) == STEPS, f"{len(losses)} steps")
    part = STEPS // SECTIONS
    return [sum(losses[i * part:(i + 1) * part]) / part for i in range(SECTIONS)]


@case
def two_thousand_steps_learn_alike():
    keys = dict(vocab_size=64, sequence_length=32, num_iterations=STEPS, hash_every=0)
    with Place() as place:
        write_shard(place.file("data/train_000000.bin"), chain(600000, 1))
        plain = [sections(place, f"float{seed}", seed=seed, **keys) for seed in SEEDS]
        mixed = [sections(place, f"mixed{seed}", seed=seed, precision=mixed_precision(), **keys) for seed in SEEDS]
        expect(all(run[-1] < run[0] - 0.5 for run in plain), f"nothing was learned: {plain}")
        for i in range(SECTIONS):
            of_float, of_mixed = [run[i] for run in plain], [run[i] for run in mixed]
            spread = max(of_float) - min(of_float)
            means = sum(of_float) / len(SEEDS), sum(of_mixed) / len(SEEDS)
            print(f"# section {i + 1}: float {means[0]:.5f}, mixed {means[1]:.5f}, between seeds {spread:.5f}")
            expect(abs(means[0] - means[1]) < spread, f"section {i + 1}: mixed {means[1]}, float {means[0]}, apart by more than the {spread} between seeds")
            expect(of_mixed != of_float, "the same numbers: no mixed precision")


tap()
