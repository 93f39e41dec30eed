"""Twenty Dion steps in numpy float64, written from the paper's algorithm alone, as vectors for tests/oracle/dion.c.

    python dion_oracle.py > dion_vectors.h
"""

import math

import numpy as np

STEPS, LR, MU, EPS = 20, 0.02, 0.95, 1e-8

# rows, cols, rank fraction, rank multiple, weight decay, power iterations
CASES = [
    (20, 12, 0.25, 1, 0.1, 1),
    (12, 20, 0.25, 1, 0.1, 1),
    (14, 14, 0.25, 1, 0.0, 1),
    (20, 12, 0.5, 4, 0.0, 2),
    (12, 20, 0.5, 4, 0.1, 2),
    (14, 14, 0.5, 1, 0.1, 2),
    (12, 20, 1.0, 1, 0.1, 1),
    (14, 14, 1.0, 1, 0.0, 1),
]


def numbers(state):
    """Endless numbers in [-1, 1), the same bits in any language: a 32-bit linear congruence."""
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield state / 2**31 - 1


def take(source, rows, cols):
    return np.array([next(source) for _ in range(rows * cols)]).reshape(rows, cols)


def rank_of(rows, cols, fraction, multiple):
    return min(multiple * math.ceil(fraction * min(rows, cols) / multiple), rows, cols)


def orthonormalize(p):
    """Signs as if the triangular factor had a positive diagonal; only Q, not the update, can tell."""
    basis, factor = np.linalg.qr(p)
    return basis * np.sign(np.diag(factor))


def dion_step(x, m, q, g, decay, power_iters):
    rows, cols = x.shape
    m = m + g
    b = m.T if rows < cols else m
    r = q
    for _ in range(power_iters):
        p = orthonormalize(b @ r)
        r = b.T @ p
    captured, q = p @ r.T, r / (np.linalg.norm(r, axis=0) + EPS)
    update = p @ q.T
    if rows < cols:
        captured, update = captured.T, update.T
    m = m - (1 - MU) * captured
    x = (1 - LR * decay) * x - LR * math.sqrt(rows / cols) * update
    return x, m, q


def run(seed, rows, cols, fraction, multiple, decay, power_iters):
    source = numbers(seed)
    x = take(source, rows, cols)
    q = take(source, min(rows, cols), rank_of(rows, cols, fraction, multiple))
    m = np.zeros((rows, cols))
    for _ in range(STEPS):
        x, m, q = dion_step(x, m, q, take(source, rows, cols), decay, power_iters)
    return x, m, q


def array(a):
    words = [float(v).hex() for v in a.ravel()]
    lines = [", ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
    return "(const double[]){\n" + ",\n".join(lines) + "}"


def main():
    print("/* Made by dion_oracle.py; see dion.md. */")
    print("/* clang-format off */")
    print("static const oracle_case cases[] = {")
    for seed, case in enumerate(CASES, start=1):
        rows, cols, fraction, multiple, decay, power_iters = case
        x, m, q = run(seed, *case)
        print(f"{{{seed}, {rows}, {cols}, {fraction}, {multiple}, {decay}, {power_iters}, {q.shape[1]},")
        print(f"{array(x)},\n{array(m)},\n{array(q)}}},")
    print("};")


if __name__ == "__main__":
    main()
