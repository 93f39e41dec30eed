"""One step and twenty of every optimizer of the family in numpy float64, written from the published rules alone, as
vectors for tests/oracle/family.c.

    python family_oracle.py > family_vectors.h
    python family_oracle.py RULE     the cases of that rule alone: to append those of a new rule, so that the others
                                     do not change in the last bits of another numpy
"""

import math
import sys

import numpy as np

STEPS, LR, BETA1, BETA2, SECOND_BETA, EPS = 20, 0.02, 0.9, 0.95, 0.95, 1e-8

# Keller Jordan's Muon; microsoft/dion; Polar Express (arXiv 2505.16932) with safety factor 1.02 in the norm.
SETS = {
    "KELLER": (1.0, [(3.4445, -4.7750, 2.0315)] * 5),
    "DION": (1.0, [(4.0848, -6.8946, 2.9270), (3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037),
                   (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012)]),
    "POLAR_EXPRESS": (1.02, [(8.156554524902461, -22.48329292557795, 15.878769915207462),
                             (4.042929935166739, -2.808917465908714, 0.5000178451051316),
                             (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
                             (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
                             (2.3465413258596377, -1.7097828382687081, 0.42323551169305323)]),
}
DEFAULTS = {"rows": 8, "cols": 5, "set": "POLAR_EXPRESS", "gram": False, "adjust": "SPECTRAL_NORM", "nesterov": False,
            "cautious": False, "mu": 0.95, "weight_decay": 0.1, "fraction": 1.0}
TALL, WIDE, SQUARE = {"rows": 8, "cols": 5}, {"rows": 5, "cols": 8}, {"rows": 6, "cols": 6}

CASES = [
    ("MUON", {**TALL, "set": "KELLER"}),
    ("MUON", {**WIDE, "set": "KELLER", "nesterov": True, "adjust": "RMS_NORM"}),
    ("MUON", {**SQUARE, "set": "DION", "adjust": "NONE", "weight_decay": 0.0}),
    ("MUON", {**WIDE, "set": "DION", "gram": True}),
    ("MUON", {**TALL, "set": "POLAR_EXPRESS", "nesterov": True, "adjust": "RMS_NORM"}),
    ("MUON", {**SQUARE, "gram": True, "nesterov": True, "mu": 0.8}),
    ("NORMUON", {**TALL, "nesterov": True}),
    ("NORMUON", {**WIDE, "adjust": "RMS_NORM"}),
    ("NORMUON", {**SQUARE, "set": "KELLER", "adjust": "NONE", "weight_decay": 0.0}),
    ("DION2", {**TALL, "fraction": 0.25}),
    ("DION2", {**WIDE, "fraction": 0.5, "adjust": "RMS_NORM"}),
    ("DION2", {**SQUARE, "fraction": 0.5, "mu": 0.8, "adjust": "NONE", "weight_decay": 0.0}),
    ("DION2", {**WIDE, "fraction": 1.0}),
    ("DION3", {**TALL, "fraction": 0.25, "gram": True}),
    ("DION3", {**WIDE, "fraction": 0.5, "adjust": "RMS_NORM"}),
    ("DION3", {**SQUARE, "fraction": 1.0, "gram": True, "adjust": "NONE", "weight_decay": 0.0}),
    ("SGD", {**TALL, "mu": 0.9}),
    ("SGD", {**WIDE, "mu": 0.9, "nesterov": True, "weight_decay": 0.0}),
    ("SGD", {**SQUARE, "mu": 0.0}),
    ("ADAMW", {**TALL}),
    ("ADAMW", {**WIDE, "cautious": True, "weight_decay": 5.0}),
    ("ORTH_DION", {**TALL, "fraction": 0.25}),
    ("ORTH_DION", {**WIDE, "fraction": 0.5}),
    ("ORTH_DION", {**SQUARE, "fraction": 1.0, "weight_decay": 0.0}),
    ("LION", {**TALL}),
    ("LION", {**WIDE, "weight_decay": 5.0}),
    ("SOAP", {**TALL}),
    ("SOAP", {**WIDE, "weight_decay": 0.0}),
    ("SOAP", {**SQUARE}),
    ("SOAP", {"rows": 1, "cols": 7}),
]


def numbers(state):
    """Endless numbers in [-1, 1), the same bits in any language: a 32-bit linear congruence."""
    while True:
        state = (1664525 * state + 1013904223) % 2**32
        yield state / 2**31 - 1


def take(source, rows, cols):
    return np.array([next(source) for _ in range(rows * cols)]).reshape(rows, cols)


def polar(u, o):
    """Newton-Schulz, always with the short side first."""
    if u.shape[0] > u.shape[1]:
        return polar(u.T, o).T
    factor, triples = SETS[o["set"]]
    x = u / (factor * np.linalg.norm(u) + EPS)
    if not o["gram"]:
        for a, b, c in triples:
            gram = x @ x.T
            x = a * x + b * (gram @ x) + c * (gram @ (gram @ x))
        return x
    for part in triples[:2], triples[2:]:
        r, acc = x @ x.T, np.eye(x.shape[0])
        for a, b, c in part:
            z = b * r + c * (r @ r)
            acc = acc @ z + a * acc
            whole = z + a * np.eye(x.shape[0])
            r = whole @ r @ whole
        x = acc @ x
    return x


def adjusted(o):
    rows, cols = o["rows"], o["cols"]
    return {"NONE": 1.0, "SPECTRAL_NORM": math.sqrt(rows / cols), "RMS_NORM": 0.2 * math.sqrt(max(rows, cols))}[o["adjust"]]


def heavy_ball(s, g, o):
    s["m"] = o["mu"] * s["m"] + g
    return g + o["mu"] * s["m"] if o["nesterov"] else s["m"]


def normalize_rows(update, v):
    """NorMuon's normalization; returns the update and the new second moments of its rows."""
    v = SECOND_BETA * v + (1 - SECOND_BETA) * np.mean(update**2, axis=1)
    scaled = update / (np.sqrt(v)[:, None] + 1e-8)
    return scaled * np.linalg.norm(update) / max(np.linalg.norm(scaled), 1e-8), v


def muon(s, g, o):
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"] - LR * adjusted(o) * polar(heavy_ball(s, g, o), o)


def normuon(s, g, o):
    update, s["v"] = normalize_rows(polar(heavy_ball(s, g, o), o), s["v"])
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"] - LR * adjusted(o) * update


def largest(norms, fraction):
    return np.argsort(-norms, kind="stable")[: max(1, math.ceil(fraction * len(norms)))]


def dion2(s, g, o):
    s["m"] = s["m"] + g
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"]
    if o["rows"] <= o["cols"]:
        chosen = (largest(np.abs(s["m"]).sum(axis=1), o["fraction"]), slice(None))
    else:
        chosen = (slice(None), largest(np.abs(s["m"]).sum(axis=0), o["fraction"]))
    s["x"][chosen] -= LR * adjusted(o) * polar(s["m"][chosen], o)
    s["m"][chosen] *= o["mu"]


def dion3(s, g, o):
    s["m"] = s["m"] + g
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"]
    rows = largest(np.abs(s["m"]).sum(axis=1), o["fraction"])
    update, s["v"][rows] = normalize_rows(polar(s["m"][rows], o), s["v"][rows])
    s["x"][rows] -= LR * adjusted(o) * update
    s["m"][rows] *= o["mu"]


def sgd(s, g, o):
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"] - LR * heavy_ball(s, g, o)


def adamw(s, g, o):
    s["t"] += 1
    s["m"] = BETA1 * s["m"] + (1 - BETA1) * g
    s["v"] = BETA2 * s["v"] + (1 - BETA2) * g * g
    update = s["m"] / (1 - BETA1 ** s["t"]) / (np.sqrt(s["v"] / (1 - BETA2 ** s["t"])) + EPS)
    decays = (update * s["x"] >= 0) if o["cautious"] else 1.0
    s["x"] = s["x"] - LR * o["weight_decay"] * decays * s["x"] - LR * update


def lion(s, g, o):
    update = np.sign(BETA1 * s["m"] + (1 - BETA1) * g)
    s["m"] = BETA2 * s["m"] + (1 - BETA2) * g
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"] - LR * update


def orthonormalize(p):
    """Signs as if the triangular factor had a positive diagonal; only Q, not the update, can tell."""
    basis, factor = np.linalg.qr(p)
    return basis * np.sign(np.diag(factor))


def orth_dion(s, g, o):
    s["m"] = s["m"] + g
    wide = o["rows"] < o["cols"]
    b = s["m"].T if wide else s["m"]
    p = orthonormalize(b @ s["v"])
    r = b.T @ p
    s["v"] = orthonormalize(r)
    captured, update = p @ r.T, p @ s["v"].T
    s["m"] = s["m"] - (1 - o["mu"]) * (captured.T if wide else captured)
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"] - LR * math.sqrt(o["rows"] / o["cols"]) * (update.T if wide else update)


def soap(s, g, o):
    """Algorithm 3 of arXiv 2409.11321 with b1, b2 and bias corrections of Adam; bases start as the identity and turn
    after steps 1, 11, 21, ... by one power iteration with the preconditioner, shifted by its norm over its size."""
    if s["t"] == 0:
        s.update(v=np.zeros_like(g), left=np.zeros((o["rows"],) * 2), right=np.zeros((o["cols"],) * 2),
                 left_basis=np.eye(o["rows"]), right_basis=np.eye(o["cols"]))
    s["t"] += 1
    s["m"] = BETA1 * s["m"] + (1 - BETA1) * g
    turned = s["left_basis"].T @ g @ s["right_basis"]
    s["v"] = BETA2 * s["v"] + (1 - BETA2) * turned**2
    mean = s["left_basis"].T @ s["m"] @ s["right_basis"] / (1 - BETA1 ** s["t"])
    update = mean / (np.sqrt(s["v"] / (1 - BETA2 ** s["t"])) + EPS)
    s["x"] = (1 - LR * o["weight_decay"]) * s["x"] - LR * s["left_basis"] @ update @ s["right_basis"].T
    for side, gram in ("left", g @ g.T), ("right", g.T @ g):
        s[side] = BETA2 * s[side] + (1 - BETA2) * gram
        if s["t"] % 10 == 1:
            shift = np.sqrt((s[side] ** 2).sum()) / len(gram)
            s[side + "_basis"] = orthonormalize((s[side] + shift * np.eye(len(gram))) @ s[side + "_basis"])


RULES = {"MUON": muon, "NORMUON": normuon, "DION2": dion2, "DION3": dion3, "SGD": sgd, "ADAMW": adamw,
         "ORTH_DION": orth_dion, "LION": lion, "SOAP": soap}

# Rule -> its states in the order of its row; all others have a momentum m and perhaps a v.
STATES = {"SOAP": ("m", "v", "left", "right", "left_basis", "right_basis")}


def second_state(rule, o, source):
    rows, cols = o["rows"], o["cols"]
    if rule == "ADAMW":
        return np.zeros((rows, cols))
    if rule == "ORTH_DION":
        return take(source, min(rows, cols), math.ceil(o["fraction"] * min(rows, cols)))
    return np.zeros(rows)


def array(a):
    words = [float(v).hex() for v in np.asarray(a).ravel()]
    lines = [", ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
    return "(const double[]){\n" + ",\n".join(lines) + "}"


def c_word(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)


def print_case(seed, rule, options):
    o = {**DEFAULTS, **options}
    source = numbers(seed)
    s = {"t": 0, "x": take(source, o["rows"], o["cols"]), "m": np.zeros((o["rows"], o["cols"]))}
    s["v"] = second_state(rule, o, source)
    first = None
    for _ in range(STEPS):
        RULES[rule](s, take(source, o["rows"], o["cols"]), o)
        first = s["x"].copy() if first is None else first
    words = ", ".join(f".{k} = {c_word(o[k])}" for k in ("nesterov", "cautious", "mu", "weight_decay", "fraction"))
    print(f"{{{seed}, {{.rule = \"{rule.lower()}\", .rows = {o['rows']}, .cols = {o['cols']}, .adjust = DN_ADJUST_{o['adjust']},")
    print(f"  .ns = {{.set = DN_NS_{o['set']}, .gram = {c_word(o['gram'])}, .eps = {EPS}}}, .beta2 = {SECOND_BETA}, {words}}},")
    states = ",\n".join(array(s[name]) for name in STATES.get(rule, ("m", "v")))
    print(f"{array(first)},\n{array(s['x'])},\n{{{states}}}}},")


def adaptive_ranks():
    """AdaDion on spectra that widen and narrow: (effective rank, next rank) of each step, cap 64, from rank 24."""
    smoothed, r, rows = None, 24, []
    for t in range(STEPS):
        width = 40.0 if t < 9 else 3.0
        norms = np.exp(-np.arange(r) / width)
        share = norms / norms.sum()
        effective = math.exp(-(share * np.log(share)).sum())
        smoothed = effective if smoothed is None else 0.9 * smoothed + 0.1 * effective
        aim = min(max(8 * math.floor(1.5 * smoothed / 8 + 0.5), 16), 64)
        r = min(max(aim, r - 8), r + 16)
        rows.append((effective, r))
    return rows


def main():
    if sys.argv[1:]:
        for seed, (rule, options) in enumerate(CASES, start=1):
            if rule == sys.argv[1].upper():
                print_case(seed, rule, options)
        return
    print("/* Made by family_oracle.py; see README.md. */")
    print("/* clang-format off */")
    print("static const oracle_case cases[] = {")
    for seed, (rule, options) in enumerate(CASES, start=1):
        print_case(seed, rule, options)
    print("};")
    print("static const struct { double effective; size_t rank; } ranks[] = {")
    for effective, r in adaptive_ranks():
        print(f"{{{effective.hex()}, {r}}},")
    print("};")


if __name__ == "__main__":
    main()
