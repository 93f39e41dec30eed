"""Twenty steps of four replicas under every strategy that lets them step alone, in numpy float64, written from the published
rules alone, as vectors for tests/oracle/strategies.c.

    python strategies_oracle.py > strategies_vectors.h
    python strategies_oracle.py NAME     the cases of that strategy alone: to append those of a new one
"""
import sys

import numpy as np

N, STEPS, LR, MU, BETA1, BETA2, EPS, DECAY = 4, 20, 0.05, 0.9, 0.9, 0.95, 1e-8, 0.1
SHAPES = [(7, 3), (5, 4), (6, 1)]  # embedding, matrix, vector: shares of four replicas are uneven and may be empty
SIZE = sum(rows * cols for rows, cols in SHAPES)
DECAYED = np.concatenate([np.full(rows * cols, float(i == 1)) for i, (rows, cols) in enumerate(SHAPES)])

CASES = [
    ("local_sgd", {"rule": "sgd", "sync_every": 1}),
    ("local_sgd", {"rule": "sgd", "sync_every": 3}),
    ("local_sgd", {"rule": "adamw", "sync_every": 5}),
    ("diloco", {"rule": "sgd", "sync_every": 3, "outer_lr": 0.7, "outer_momentum": 0.9}),
    ("diloco", {"rule": "adamw", "sync_every": 3, "outer_lr": 0.8, "outer_momentum": 0.6}),
    ("diloco", {"rule": "adamw", "sync_every": 4, "outer_lr": None, "outer_momentum": None}),
]


def draws(seed):
    while True:
        seed = (1664525 * seed + 1013904223) % 2**32
        yield seed / 2**31 - 1


def drawn(generator):
    return np.array([next(generator) for _ in range(SIZE)])


# ---- rules, of one replica ----

def sgd(w, g, s):
    s["m"] = MU * s["m"] + g
    return (1 - LR * DECAY * DECAYED) * w - LR * s["m"]


def adamw(w, g, s):
    s["t"] += 1
    s["m"] = BETA1 * s["m"] + (1 - BETA1) * g
    s["v"] = BETA2 * s["v"] + (1 - BETA2) * g * g
    update = s["m"] / (1 - BETA1 ** s["t"]) / (np.sqrt(s["v"] / (1 - BETA2 ** s["t"])) + EPS)
    return (1 - LR * DECAY * DECAYED) * w - LR * update


RULES = {"sgd": sgd, "adamw": adamw}


# ---- strategies: weights [N, SIZE] after a step, their states, and the next weights ----

def local_sgd(w, outer, o):
    return np.repeat(w.mean(axis=0)[None], N, axis=0)


def diloco(w, outer, o):
    """The outer optimizer is Nesterov's as in PyTorch's SGD, on the mean of what the replicas moved by."""
    rounds = STEPS // o["sync_every"]
    lr, mu = (1, 0) if rounds < 100 else (0.8, 0.6) if rounds < 500 else (0.7, 0.9)
    lr = lr if o["outer_lr"] is None else o["outer_lr"]
    mu = mu if o["outer_momentum"] is None else o["outer_momentum"]
    drift = (outer["anchor"] - w).mean(axis=0)
    outer["momentum"] = mu * outer["momentum"] + drift
    outer["anchor"] = outer["anchor"] - lr * (drift + mu * outer["momentum"])
    return np.repeat(outer["anchor"][None], N, axis=0)


STRATEGIES = {"local_sgd": (local_sgd, []), "diloco": (diloco, ["anchor", "momentum"])}


def run(seed, name, o):
    strategy, states = STRATEGIES[name]
    generator = draws(seed)
    start = drawn(generator)
    steepness, centre = zip(*[(drawn(generator), drawn(generator)) for _ in range(N)])
    w = np.repeat(start[None], N, axis=0)
    outer = {"anchor": start.copy(), "momentum": np.zeros(SIZE)}
    inner = [{"m": np.zeros(SIZE), "v": np.zeros(SIZE), "t": 0} for _ in range(N)]
    for step in range(1, STEPS + 1):
        for i in range(N):
            gradient = (1.5 + steepness[i]) * (w[i] - centre[i]) + w[i] ** 3
            w[i] = RULES[o["rule"]](w[i], gradient, inner[i])
        if step % o["sync_every"] == 0:
            w = strategy(w, outer, o)
    return w.ravel(), [outer[state] for state in states]


def show(numbers):
    text = [float(x).hex() for x in numbers]
    rows = [", ".join(text[i:i + 4]) for i in range(0, len(text), 4)]
    return "(const double[]){\n" + ",\n".join(rows) + "}"


def main():
    only = sys.argv[1] if len(sys.argv) > 1 else None
    if not only:
        print("/* Made by strategies_oracle.py; see README.md. */\n/* clang-format off */")
        print("static const oracle_case cases[] = {")
    for seed, (name, o) in enumerate(CASES, 1):
        if only not in (None, name):
            continue
        weights, states = run(seed, name, o)
        outer = ["NAN" if o.get(key) is None else repr(float(o[key])) for key in ("outer_lr", "outer_momentum")]
        print(f'{{{seed}, "{name}", "{o["rule"]}", {{{STEPS}, {o["sync_every"]}, {outer[0]}, {outer[1]}}},')
        print(show(weights) + ",\n{" + ", ".join(show(state) for state in states) + "}},")
    if not only:
        print("};\n/* clang-format on */")


if __name__ == "__main__":
    main()
