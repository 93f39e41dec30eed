"""One step and twenty of every optimizer of the family in numpy float64, written from the published rules alone, as
vectors for tests/oracle/family.c.

    python family_oracle.py          computes all again
    python family_oracle.py RULE     the cases of that rule alone, so that the others do not change in the last bits of
                                     another numpy

It keeps them at its end, from where the build takes them (vectors.py).
"""

import math
import sys

import numpy as np

import vectors

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
    ("MUON", {**WIDE, "cautious": True, "weight_decay": 5.0}),
    ("NORMUON", {**TALL, "cautious": True, "weight_decay": 5.0}),
    ("LION", {**WIDE, "cautious": True, "weight_decay": 5.0}),
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


def kept(x, update, o):
    """Weights after their decay: cautious, only where update and weight have one sign."""
    decays = (update * x >= 0) if o["cautious"] else 1.0
    return x - LR * o["weight_decay"] * decays * x


def muon(s, g, o):
    update = polar(heavy_ball(s, g, o), o)
    s["x"] = kept(s["x"], update, o) - LR * adjusted(o) * update


def normuon(s, g, o):
    update, s["v"] = normalize_rows(polar(heavy_ball(s, g, o), o), s["v"])
    s["x"] = kept(s["x"], update, o) - LR * adjusted(o) * update


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
    s["x"] = kept(s["x"], update, o) - LR * update


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
        s.update(left=np.zeros((o["rows"],) * 2), right=np.zeros((o["cols"],) * 2),
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

# Rule -> its states in the order of its row, first 0 everywhere and of the parameter's shape, unless the rule makes them
# others in its first step; all others have a momentum m and perhaps a v, a number a row.
STATES = {"ADAMW": ("m", "v"), "SOAP": ("m", "v", "left", "right", "left_basis", "right_basis")}


def second_state(rule, o, source):
    rows, cols = o["rows"], o["cols"]
    if rule == "ORTH_DION":
        return take(source, min(rows, cols), math.ceil(o["fraction"] * min(rows, cols)))
    return np.zeros(rows)


def array(a):
    words = [float(v).hex() for v in np.asarray(a).ravel()]
    lines = [", ".join(words[i : i + 4]) for i in range(0, len(words), 4)]
    return "(const double[]){\n" + ",\n".join(lines) + "}"


def c_word(value):
    return str(value).lower() if isinstance(value, bool) else repr(value)


def case(seed, rule, options):
    o = {**DEFAULTS, **options}
    source = numbers(seed)
    s = {"t": 0, "x": take(source, o["rows"], o["cols"]), "m": np.zeros((o["rows"], o["cols"]))}
    s["v"] = second_state(rule, o, source)
    s |= {name: np.zeros((o["rows"], o["cols"])) for name in STATES.get(rule, ())}
    first = None
    for _ in range(STEPS):
        RULES[rule](s, take(source, o["rows"], o["cols"]), o)
        first = s["x"].copy() if first is None else first
    words = ", ".join(f".{k} = {c_word(o[k])}" for k in ("nesterov", "cautious", "mu", "weight_decay", "fraction"))
    states = ",\n".join(array(s[name]) for name in STATES.get(rule, ("m", "v")))
    return (f"{{{seed}, {{.rule = \"{rule.lower()}\", .rows = {o['rows']}, .cols = {o['cols']}, "
            f".adjust = DN_ADJUST_{o['adjust']},\n"
            f"  .ns = {{.set = DN_NS_{o['set']}, .gram = {c_word(o['gram'])}, .eps = {EPS}}}, .beta2 = {SECOND_BETA}, {words}}},\n"
            f"{array(first)},\n{array(s['x'])},\n{{{states}}}}},\n")


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
    only = sys.argv[1:2]
    cases = {seed: case(seed, rule, options) for seed, (rule, options) in enumerate(CASES, start=1)
             if not only or rule == only[0].upper()}
    held = vectors.with_cases(vectors.held(__file__), cases)
    if not only:
        ranks = "".join(f"{{{effective.hex()}, {r}}},\n" for effective, r in adaptive_ranks())
        held = held[:held.index("ranks[] = {\n") + 12] + ranks + "};\n"
    vectors.hold(__file__, held)


if __name__ == "__main__":
    main()

VECTORS = """
/* clang-format off */
static const oracle_case cases[] = {
{1, {.rule = "muon", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_KELLER, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.13059b1d0526dp-1, -0x1.166bac49c04e4p-2, 0x1.c41b632c6bc94p-7, 0x1.a84e00e7e1c22p-2,
-0x1.cf26846913835p-1, -0x1.fc6e280336da7p-3, 0x1.184afd7027d84p-1, 0x1.f1941a03fd2dfp-4,
-0x1.ee22a41115e36p-1, 0x1.111b200fc7844p-2, -0x1.fb920369bdf9ap-2, -0x1.2868349e8d052p-3,
0x1.61ff0b88a50a4p-3, 0x1.5d63a5076aeb4p-1, -0x1.13f188a34fcfcp-1, 0x1.f30a05eb3c861p-1,
0x1.73cb22692cab7p-1, -0x1.5312a0627882dp-2, 0x1.78aa61e2f17acp-2, 0x1.2a2544bf54b63p-4,
-0x1.25cc492ffc378p-1, -0x1.92f284f510f67p-1, -0x1.b32d585623a96p-1, -0x1.71d0d477548dcp-2,
-0x1.7e04e0c7950ddp-1, 0x1.9d9b76e803b5cp-2, 0x1.6b2fcd290a12ep-3, -0x1.d9a3e7be92198p-3,
-0x1.ee2f2b6337c9ep-2, 0x1.fd74844363659p-2, 0x1.b8f8d5f712bb3p-1, -0x1.49e4ca0f069bdp-1,
-0x1.585945c7acce3p-2, 0x1.e7425add7fb89p-1, -0x1.cf7f8f75a1ef0p-3, 0x1.951a8345de769p-4,
-0x1.109b648e02844p-4, 0x1.fd32a4874a371p-1, 0x1.7a8a3f1e9effcp-1, 0x1.ab59eca4e76bbp-2},
(const double[]){
-0x1.264eaac847452p-1, -0x1.1101400ceef8bp-2, 0x1.441982f0f5562p-4, 0x1.e6ab502715c44p-2,
-0x1.f6c95783bc6a5p-1, -0x1.784f173d8cdf8p-3, 0x1.34710050a2702p-2, 0x1.17b27faca7615p-2,
-0x1.062afa50d2650p+0, 0x1.e3f919f6c061bp-4, -0x1.436bb35c45abdp-1, -0x1.275dfa30eb2f8p-4,
0x1.41684dc8f0ec8p-5, 0x1.33dfa9c46a9dap-1, -0x1.60a2d264a5c4ep-1, 0x1.10b76345ec07fp+0,
0x1.569cd74237809p-1, -0x1.04c22835ec2ebp-1, 0x1.fa7c2e43cfbb1p-2, 0x1.d9847a64fc826p-5,
-0x1.b75665df9df55p-1, -0x1.87722bba9d13ap-1, -0x1.7416892213f7dp-1, -0x1.906f9bb3a9cb2p-2,
-0x1.4c47f930da914p-1, 0x1.98aa86f4ad400p-2, 0x1.74e0110588f97p-2, -0x1.4afaac2a05614p-3,
-0x1.831f05df59878p-2, 0x1.2b33a7d355f50p-2, 0x1.9eb2fc29e195fp-1, -0x1.8d47a94e5ab88p-1,
-0x1.cd4f7f1073743p-2, 0x1.a9b6136ae7f5ap-1, -0x1.e23ad6e96881bp-3, 0x1.fcf86f05f7229p-4,
-0x1.ae4ae9c3f5f77p-4, 0x1.e1e2b8204dc26p-1, 0x1.09dd146362b69p-1, 0x1.96ecc757bd468p-2},
{(const double[]){
-0x1.abc14b7416818p-1, 0x1.4e2b8ac17fe98p+0, 0x1.2b9c9f83a6a8fp-1, -0x1.a78e056f7b373p+0,
0x1.f499cfecc1631p-1, 0x1.010fe3c63e136p+0, 0x1.8063d8aa7846ap+0, -0x1.b9415be86f210p-1,
0x1.7bef9d0476837p+0, 0x1.58c22376a1892p+0, 0x1.93b132eba237ep+0, -0x1.a77fbd6e41779p+0,
0x1.591b0f3f5dcbep-1, 0x1.b9e9f9023381ap+0, -0x1.7d98f20ddac28p-3, -0x1.8f92108de6b53p+1,
-0x1.80d5ccd15af64p-2, 0x1.000abbd0a4400p+2, -0x1.ca931fca61a98p+0, 0x1.5f0daf97c4113p-1,
0x1.c18e770a4e4ccp+1, -0x1.e0b41af33b853p-1, -0x1.b7a9a38ad8463p+0, -0x1.b4df2d9a520fep-3,
-0x1.9e406cb9e997cp+1, -0x1.56f946f318d02p-1, -0x1.9a1b4d6801408p-1, 0x1.424df8d085673p-4,
-0x1.1c63797810d25p+2, 0x1.2840f2af88b12p+0, 0x1.8b5ff8dfd5d80p-4, -0x1.4bc223de115f0p-7,
0x1.4763b5060248cp+0, 0x1.da1970473addap+0, -0x1.3e042e5e2cc5fp+1, -0x1.c2a392c0cd1c2p-1,
-0x1.d915c98319e20p-1, 0x1.2cbd67c0f7f77p-1, 0x1.00abdac3e20abp+0, 0x1.dfbc0e71567bbp+0},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0}}},
{2, {.rule = "muon", .rows = 5, .cols = 8, .adjust = DN_ADJUST_RMS_NORM,
  .ns = {.set = DN_NS_KELLER, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = true, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.0dfa1ec669941p-1, -0x1.5e51fd1240a4ap-4, -0x1.3e8f597a12ca4p-1, 0x1.e933b0c0b615ep-2,
0x1.bd288a5fdd532p-2, -0x1.868d1d093bb19p-1, -0x1.2e0aba90aafaap-1, -0x1.f774d44ab6d20p-5,
0x1.85f723d6f7216p-5, 0x1.96a7f2f63d31ap-2, 0x1.a00aa0cdd679ap-2, -0x1.933788b13a797p-1,
0x1.1ed4356b3dd42p-3, 0x1.296f0397423f4p-1, -0x1.26f42c36e84fdp-4, -0x1.ae8002f643d1dp-4,
-0x1.ef2d82024b20dp-1, -0x1.440a1939512bdp-2, 0x1.e93b5ece71d97p-1, -0x1.5881880b95f50p-3,
0x1.a0c0d4e48c960p-1, 0x1.511c00e65ee3bp-2, 0x1.eea32d79494fep-2, -0x1.c5971d00cefafp-3,
-0x1.00e3b445d2ef1p-1, -0x1.67175c96aece4p-1, -0x1.45a1615730d31p-1, -0x1.684464b5b6a24p-1,
-0x1.b5a771532bf81p-1, -0x1.0b29b52e48383p-2, 0x1.593bf684e2b17p-5, -0x1.5d21cf6685d15p-2,
-0x1.98d196f66e5c2p-2, 0x1.6e4f7ffe6098ap-3, 0x1.2197bf53ed44dp-1, -0x1.c13af839cbc52p-5,
-0x1.6d79219ef9064p-2, 0x1.448e77439deb6p-1, 0x1.15e1ad413bd8ap-1, 0x1.6e3fa77761e18p-1},
(const double[]){
-0x1.f00a8e4c09ef3p-2, -0x1.a5eb936fadeeap-4, -0x1.37657fd67e151p-1, 0x1.85295288c7475p-2,
0x1.3f089ad80ab5bp-2, -0x1.880f210c8baefp-1, -0x1.38bc8eb70e2b6p-1, -0x1.34f2d7daa2b73p-6,
0x1.12cb8e26734d0p-4, 0x1.53bfd6ecc6203p-2, 0x1.9027453257cb5p-2, -0x1.a9b23974efb3bp-1,
0x1.0b703381bc978p-3, 0x1.1c335495838e0p-1, 0x1.099098311bb7fp-9, -0x1.6b433ec769fd6p-4,
-0x1.c6bc9a73041d1p-1, -0x1.2c844b41aa6b4p-2, 0x1.b18896069c8c6p-1, -0x1.ae6d3ec2fcaa4p-3,
0x1.8ab8f0abb6f39p-1, 0x1.1c7236f14ba03p-2, 0x1.f2c4674e0844bp-2, -0x1.0bb7f0ed966aep-2,
-0x1.23a09325b7d47p-1, -0x1.7df328dd5b0cfp-1, -0x1.5faddea3bd288p-1, -0x1.4bcc4043531cbp-1,
-0x1.b8be13e9d4c6bp-1, -0x1.fd834a58e1910p-3, 0x1.8702cf2ffb522p-4, -0x1.45768dc876f9ep-2,
-0x1.8243601994694p-2, 0x1.17243cfc627c7p-3, 0x1.32adb1a59e7f0p-1, -0x1.0d9e0f72e2b2bp-5,
-0x1.8be17d664368cp-2, 0x1.3fc5bfd8e0971p-1, 0x1.304c3c7bac1fep-1, 0x1.4d3151b66fc00p-1},
{(const double[]){
-0x1.12f00c09ef12ep-4, -0x1.34571b983575bp+0, -0x1.290e8af06065ap+1, 0x1.e2da4e57ceea8p-1,
0x1.3447ce165a2c6p+2, 0x1.f80889822b939p+1, 0x1.44e2616202c42p+0, -0x1.83b7aa8b03c0bp+1,
-0x1.fd657b5b9b87dp+0, 0x1.ab0794c6ad947p+1, -0x1.2a17f866fa861p+0, 0x1.222a9fe9d3fd4p+2,
0x1.55f812ac27a65p+0, -0x1.dac0f89a561a4p-3, -0x1.defcc10c76b92p+1, 0x1.43fe84bfc8784p-4,
-0x1.6c887b1321748p+0, -0x1.d963d8d7e8b8ap-3, 0x1.5a0f638a532c0p+1, 0x1.b878a859fa336p+0,
0x1.8c74b4e4ec890p+0, -0x1.3cd22552ed42ap-2, -0x1.913450d3ac444p-1, 0x1.ebbbfe16c85b8p-1,
0x1.edb923eb11010p+1, 0x1.096e8302379dap+1, 0x1.966451f2a4d7dp+0, -0x1.738cad8f13813p+0,
0x1.8094f8c0c86d8p+0, -0x1.86d6b21378718p-1, -0x1.7bfa183f7be52p+0, -0x1.a0e6c223d1cd4p-2,
-0x1.0800009ba7c00p+0, 0x1.ee326553fe5d8p-2, -0x1.c963676ce3460p-1, 0x1.a52c38d49e531p+0,
0x1.f11e6bc1a0f5dp+0, -0x1.e54edb1c97979p+0, -0x1.a84a1ad163c63p+1, 0x1.d6c342ef2f4c9p+0},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
{3, {.rule = "muon", .rows = 6, .cols = 6, .adjust = DN_ADJUST_NONE,
  .ns = {.set = DN_NS_DION, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.0, .fraction = 1.0},
(const double[]){
-0x1.090ecc8429e66p-1, 0x1.a0bc422f91261p-4, 0x1.8205b673affc7p-1, 0x1.2497392604aecp-1,
-0x1.d3467fc7e3eb3p-3, 0x1.70baf743903e7p-1, 0x1.1d8349044bee1p-2, -0x1.cd4da9c3d9a21p-3,
-0x1.e47041d7786cdp-1, 0x1.07fc60a65d991p-1, -0x1.5aac758405306p-1, 0x1.2f6b3e6bddcd4p-1,
0x1.8d97d69728716p-4, 0x1.e7a2b2b0cd790p-2, 0x1.80b976048ccddp-2, 0x1.a1b7f760ccb6bp-1,
-0x1.53bd257768844p-1, -0x1.307900ec6d28ap-2, -0x1.c11fa888ff2dfp-2, -0x1.a0b2483b4c61ap-2,
0x1.951bf6649c849p-3, -0x1.1262f30854fd0p-1, -0x1.7fe42ed480849p-3, -0x1.2b25b83d8780ep-4,
-0x1.06d041e303af2p-2, 0x1.7645c87f7cd69p-3, 0x1.24b38ae0034aap-1, 0x1.a425a43b8d703p-1,
0x1.88d459d10e706p-1, 0x1.f5f9f8e311713p-1, -0x1.9007aa4600b75p-1, -0x1.0282f899d413ep-6,
-0x1.efb0aa6319c36p-2, -0x1.35aca4130f99cp-1, -0x1.4c11c967482bbp-1, -0x1.b67d7bdd43a1bp-3},
(const double[]){
-0x1.1ab841c604b53p-1, 0x1.1e6db322a5df4p-11, 0x1.74786354bd0b8p-1, 0x1.426a9a6bcfd82p-1,
-0x1.260f8409b51b9p-2, 0x1.0ff0d1a8299fdp-1, 0x1.1da70cfe00ee4p-2, -0x1.7ef8f63f3c1fap-2,
-0x1.e28cdfd8e5d15p-1, 0x1.47ea5073fc7d1p-1, -0x1.2a1da4523f9e8p-1, 0x1.1eb1daf4ed082p-1,
0x1.07f86ed854d14p-2, 0x1.c860cff5d3482p-2, 0x1.a5d7db7d6da39p-2, 0x1.8a8fc01b30a28p-1,
-0x1.5b2dca3346325p-1, -0x1.01e64e96ca613p-2, -0x1.00cefa0c28673p-1, -0x1.8f536c960aeafp-2,
0x1.c0cb29324cfb5p-2, -0x1.c911ed961f51dp-2, -0x1.d9a27360855e6p-3, -0x1.311f98b6bdbb4p-3,
-0x1.01ffd6cf270b5p-2, 0x1.281a332191ffdp-4, 0x1.812c4cdb2700dp-1, 0x1.8e9dc68e7925bp-1,
0x1.7e00904dc98e6p-1, 0x1.0db7fee0f926ap+0, -0x1.8cd678105d290p-1, 0x1.6f43bbdfc7a27p-3,
-0x1.02375392296bbp-1, -0x1.1420f96253d06p-1, -0x1.4c41e304c7009p-1, -0x1.69250610dda97p-2},
{(const double[]){
0x1.5e5d2f3c49fcap-2, -0x1.13a4f1229d550p-3, -0x1.943cf4fe19dacp-3, -0x1.38bc3bfc63fc8p-2,
-0x1.71fe94a7d6c22p-1, 0x1.15464d5deefb0p-3, -0x1.a15fbd5a1ededp+1, 0x1.42faf3c2310e3p+0,
0x1.394a3688790e1p-1, -0x1.746c2d3ec40e5p+0, -0x1.568991a81c20cp+1, -0x1.e1fd3669dded7p-2,
0x1.184bb79ea18bep-1, 0x1.33764aee4b870p-4, -0x1.177f60060984dp+0, 0x1.bee7bc47b9d18p-4,
-0x1.88b7e2b32610fp+0, -0x1.f1b515d09749cp-6, 0x1.c3d1d60d77bb9p-1, 0x1.16d1a68de21b0p-4,
-0x1.9bf5eb4385b53p+1, -0x1.8f4ac67803f39p+0, 0x1.ec5b587c560e7p-1, 0x1.5db17f2ab3a10p-2,
0x1.f442ff54000d4p+0, 0x1.31a1aac42e896p+1, -0x1.69af6ebc41476p-1, 0x1.993923729f2f5p+0,
0x1.0507f55ef39c4p+0, -0x1.75c0dec979adcp+0, -0x1.262af3a3fe24ap-1, -0x1.55e9d35fc17fbp+1,
0x1.efb265d0662e0p-6, -0x1.73cff6446c189p-1, -0x1.20b914c3cc7e9p-1, 0x1.d0813ba1a611cp+0},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0}}},
{4, {.rule = "muon", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_DION, .gram = true, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.087eef42c0789p-1, 0x1.1d79554642386p-2, 0x1.c4e50c70c7947p-4, 0x1.47081ab975aecp-1,
-0x1.cab1b48e7bd4fp-1, 0x1.d8ff3e03a2983p-3, -0x1.bc46147c0c52fp-1, -0x1.93731437a4860p-2,
0x1.5bb77810741bdp-4, 0x1.3aa3db097fc4bp-1, 0x1.b7902ae3ef402p-3, -0x1.92771b1b2069fp-5,
0x1.99f2859263c20p-5, 0x1.8731b09124e89p-2, 0x1.b0603aed50bc7p-1, -0x1.e29a7d202ed92p-3,
-0x1.6cb1c702e2709p-2, -0x1.0955de3efb07cp-2, 0x1.4e7006cd8ef30p-3, -0x1.3824e32e57a84p-1,
-0x1.b2ce49ab98d37p-2, 0x1.2e87e3cee2d29p-1, -0x1.a7e79c1e7444cp-1, 0x1.2d74ae5a0dbc8p-4,
-0x1.3801f176a315dp-5, -0x1.e251dff988eaap-1, -0x1.d97a106677f97p-3, 0x1.7038e445b6acdp-2,
0x1.8d1515c5ddf64p-2, 0x1.9f2ccb68f3940p-3, 0x1.8c51664f08cc1p-2, 0x1.1997ed6b1c2eap-2,
-0x1.1c98c8a5437f6p-1, 0x1.31965990817f1p-1, 0x1.4857ce1cdf0f1p-3, -0x1.731936da4a2bcp-2,
-0x1.dd6c25db5d8efp-1, -0x1.58806f320dbe8p-4, 0x1.0f8868e6e8098p-3, -0x1.61d4c035aac35p-1},
(const double[]){
-0x1.124670edbb85ep-1, 0x1.7fa20427744f0p-3, -0x1.5d39d8b6f3d81p-5, 0x1.00d3a22ed9d11p-1,
-0x1.f30416d16cd65p-1, 0x1.14155d981611bp-2, -0x1.8ee4737ac265bp-1, -0x1.d0e0b2a967326p-2,
0x1.b78cf1fe0f891p-5, 0x1.005c04f28a72cp-1, 0x1.42b2a6bc0b653p-3, 0x1.1039a36c64450p-4,
0x1.4ff3c463be0d4p-4, 0x1.4fc466579ef53p-2, 0x1.ea85cc1ea9af8p-1, -0x1.3cfde5903a88bp-3,
-0x1.4246877f5d8b8p-3, -0x1.989c31d995405p-3, 0x1.0034691b0f0d6p-3, -0x1.255f65eff550cp-1,
-0x1.d6ad220950041p-2, 0x1.e91cb7a703a9fp-2, -0x1.6733c80744169p-1, 0x1.066af10f3a1c0p-4,
-0x1.e826713966249p-5, -0x1.dbf75a07ef7e2p-1, -0x1.b7ece60d4ea33p-4, 0x1.491ea2786069ep-3,
0x1.6f32fbff6cc88p-2, 0x1.606ee2e733d42p-3, 0x1.bf60a6c9dba69p-2, 0x1.6ad2dac860048p-2,
-0x1.4ad6925d72703p-1, 0x1.f5176909a5fc4p-2, 0x1.77db7bf546277p-3, -0x1.648aff3f96015p-2,
-0x1.a674b17f3be28p-1, -0x1.a8cb5362a956ap-3, 0x1.33f12a3ec810ap-3, -0x1.6c7fd53e35e30p-1},
{(const double[]){
0x1.9b23adfa07045p+1, 0x1.0d8a4d6ea52b4p-1, 0x1.957a0b68f0308p-2, 0x1.991df753e68b5p-2,
0x1.922e2ef346227p+1, -0x1.0039ed16baca8p+1, 0x1.4ba4ecc8dc116p-3, 0x1.b3afec640ef5ap+0,
-0x1.21d00f71f2112p-2, 0x1.887f5d5ef4580p+0, 0x1.dca893efb19a0p+0, -0x1.002d338680f66p+2,
0x1.aaa82bc4922f7p+0, 0x1.2e6a877ed50cep-1, 0x1.eeab039d311ecp-2, -0x1.0fba3bf17a3b0p-2,
-0x1.d868d2eb2f560p+1, -0x1.b18f50cadc3f1p+0, 0x1.42975575bc630p-4, 0x1.407cafccf5cc7p+0,
0x1.5a89ca0c440eap+0, 0x1.b8082835e7420p+0, -0x1.490867786bfcdp+0, 0x1.7f0b8d7d4b4f6p-1,
0x1.29c63f581766ep+2, 0x1.203b99110bad8p-2, -0x1.df08e07d781a4p+0, 0x1.610d43265b21cp+2,
-0x1.49c40335f7340p-6, 0x1.24b411f2fd0aap-2, 0x1.26a51956af212p-1, -0x1.6521829e5a466p+0,
0x1.e1194bb2be6fap-2, 0x1.49eadb314275bp-1, -0x1.134db434a3b55p+1, 0x1.82744633b5786p+0,
-0x1.a0f710df31ae2p+1, 0x1.fcabd83b5a640p-1, -0x1.9e315c6308438p-2, 0x1.dd9f9bfe4fcb6p-1},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
{5, {.rule = "muon", .rows = 8, .cols = 5, .adjust = DN_ADJUST_RMS_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = true, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.0efd7e8bf02b9p-1, 0x1.d7e0480460fecp-2, -0x1.0495f734c094bp-1, 0x1.680971f7479c9p-1,
0x1.bddf1735f8395p-2, -0x1.186ad96b27dc4p-2, 0x1.0ade20319a526p-8, -0x1.1ca1625d44814p-1,
-0x1.cba5e0dd93af7p-1, 0x1.7a7b86d3f9237p-1, -0x1.b9a39d8adb91fp-1, -0x1.591216327debfp-1,
-0x1.73bf36efe8480p-10, 0x1.28fbee367f569p-2, -0x1.6482f51fcc984p-1, 0x1.5e5c156af3fd2p-1,
-0x1.81e9bccfda2a4p-5, -0x1.c34a461954fc5p-3, 0x1.82e0925a1b643p-1, -0x1.b0301d228d395p-1,
0x1.ea5bb8055d749p-1, -0x1.28cf18be2fd80p-2, 0x1.03fbea9eb6947p-1, 0x1.b826b06c1add8p-3,
0x1.9de613bd14843p-3, -0x1.9d7bde21637f7p-5, 0x1.e8d0cf569c399p-1, -0x1.c2fc118b0b62fp-4,
0x1.206d06f67edbcp-7, -0x1.1da74636f4209p-1, -0x1.bc050af18de73p-2, 0x1.2e57d05b08429p-1,
-0x1.3c5b865f7dd4bp-1, -0x1.7d2a1da56a335p-3, 0x1.e6b4796d4e9ccp-1, -0x1.0b60b2cd92e21p-1,
0x1.91aa46074c9abp-1, -0x1.beef147d3dc3fp-2, -0x1.18f2d37dda5e8p-4, -0x1.98cf3668c1bf5p-2},
(const double[]){
-0x1.0c08ad1b47ffep-1, 0x1.8d6cbf9c5d719p-2, -0x1.b78ee17fe4877p-2, 0x1.4a2d3630e3735p-1,
0x1.5e554d2b90397p-2, -0x1.d826ca8e81597p-3, 0x1.07b589d585583p-4, -0x1.c28ac28d4e104p-2,
-0x1.ba9f8457efaf7p-1, 0x1.5aafb3d5168b3p-1, -0x1.b8a85d9f3b1fdp-1, -0x1.4715b16f4aad0p-1,
-0x1.c34f89d0330a2p-6, 0x1.3e4d506a6c983p-2, -0x1.2eb19139a43dcp-1, 0x1.78aa4f3e8174ap-1,
0x1.0efca02c6e9edp-6, -0x1.a1eb7d9bc7e69p-3, 0x1.4d82af497b4d3p-1, -0x1.a4bf41f591f5ep-1,
0x1.0b2e6ce892993p+0, -0x1.2cf8ccd46f24ap-2, 0x1.c8c81853c1131p-2, 0x1.d46e848b622fep-3,
0x1.6039a59580532p-3, -0x1.915a0645565edp-5, 0x1.d2403e3bfa113p-1, -0x1.83af1ea51a4e8p-4,
0x1.45cb60e148677p-5, -0x1.3b653c538900ap-1, -0x1.932f687a6ccb3p-2, 0x1.256063fcf043dp-1,
-0x1.f53c89dd77d0ep-2, -0x1.42926c14ef750p-4, 0x1.d838d931b0202p-1, -0x1.eebe63f77979cp-2,
0x1.952bf89d7e43ep-1, -0x1.c0ce58a1adf79p-2, -0x1.cb102009840b9p-4, -0x1.755705f3c3c83p-2},
{(const double[]){
-0x1.878625b749299p+1, 0x1.9efac5d73c194p+1, -0x1.a16150257d458p+0, 0x1.06738a7cf9ebep-1,
0x1.27308c56195b8p+1, -0x1.e7f643142624ep+0, 0x1.302a634e20620p-1, -0x1.9754562cee7c6p+1,
0x1.17b0bfb280d1cp-3, 0x1.5a47e9e1765ccp-3, 0x1.4ae35edf52416p+1, 0x1.355286be08745p+0,
0x1.cfda195252fc3p-1, -0x1.8a60bc4d2ef87p-2, 0x1.b492e38d8d3b8p-4, -0x1.85b2789174f4ep+1,
-0x1.ac7211a86f133p+1, 0x1.3d216757b4feap+0, 0x1.346669158f4a2p+1, 0x1.479786ed67da8p+1,
-0x1.dc56710b9781cp+1, -0x1.bf4374e1e12eap+0, 0x1.cc57dc75c4cdcp+0, 0x1.f350325f45656p-2,
0x1.abd25161b1470p-1, 0x1.62ae95a7af7a0p+0, -0x1.4e593a20bfbcep-1, -0x1.f7aa768838a2cp+0,
0x1.286caf35ca8f4p-3, 0x1.e0ee5570c7136p+1, 0x1.2efa34d26d10cp+0, -0x1.80ceeb5a59504p-2,
-0x1.99ffe37cd549cp+0, -0x1.e2d8fd54fcb12p+0, -0x1.61329667336c0p-3, -0x1.5e41ae1254a7ap-1,
-0x1.4e7384081fc60p-7, -0x1.63f0ced3e3530p+0, 0x1.18dfa7a63f4e6p-1, -0x1.defbf8c447a00p-8},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0}}},
{6, {.rule = "muon", .rows = 6, .cols = 6, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = true, .eps = 1e-08}, .beta2 = 0.95, .nesterov = true, .cautious = false, .mu = 0.8, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.0eb48fd99e567p-1, 0x1.4fa720f58077fp-1, 0x1.b2b65ad0ea14bp-1, 0x1.8ff7bb70374e1p-1,
-0x1.ddbf6d2ce3f8ap-3, -0x1.8a1b5128ed0c2p-1, 0x1.b2983abc188dbp-1, -0x1.700ff93ac67cap-1,
0x1.fd6eec4023719p-4, 0x1.b87a055650b2fp-1, 0x1.7e12451f28160p-5, 0x1.5d8a524a9d9c8p-1,
-0x1.84f4c8c2e1d6ep-5, 0x1.7e558489b7a54p-3, -0x1.e8c5bf3a7824dp-3, -0x1.732c079b1c325p-2,
0x1.0309b78388ed6p-2, -0x1.7b83fd3a987c1p-3, -0x1.4ec362f578f0cp-1, 0x1.dd96c9edc8681p-1,
0x1.6ae00d2681d14p-2, 0x1.a8902701d1b19p-1, -0x1.5758f4a8cca20p-3, 0x1.6be7e87555400p-2,
0x1.c8e130e52e705p-2, 0x1.b06b88a5d010dp-1, 0x1.52ebc86fe450dp-3, -0x1.22a265c970f2dp-1,
-0x1.7bc6018ca9e8cp-2, 0x1.5854c34308fddp-1, 0x1.7b678703e8113p-1, 0x1.d1229689f0a01p-1,
-0x1.6859f56b6db79p-1, -0x1.ea47d055068a8p-1, -0x1.0b780b897d6f7p-2, -0x1.5c8ddc1dd296ep-1},
(const double[]){
-0x1.f6da53e8c7a01p-2, 0x1.6888d8bdc77fcp-1, 0x1.c06d0b535b43dp-1, 0x1.887b4af74bd3dp-1,
-0x1.cedc738779e7ep-3, -0x1.6501400fbb6b2p-1, 0x1.8e58d59332d8ap-1, -0x1.59e314e3c259ap-1,
0x1.da8505e8b0097p-4, 0x1.7b87f86b0a320p-1, 0x1.da957c371f6a3p-4, 0x1.33b88e55dd077p-1,
-0x1.440f9ebc3af8ap-5, 0x1.1e22e654a9b6cp-3, -0x1.1bad28898f9b0p-2, -0x1.7cbb11857065dp-2,
0x1.68dbab2cb173ap-2, -0x1.514d3e5e5fabap-4, -0x1.55cde4b201944p-1, 0x1.d3391e48aaf9fp-1,
0x1.0a20b3382c46fp-2, 0x1.7a294c39a3732p-1, -0x1.817225b8a66dep-4, 0x1.1142790ecd532p-2,
0x1.f262d40275c94p-2, 0x1.c3b673b177f68p-1, 0x1.632a563dc6847p-3, -0x1.0f7ba1e3eaaf4p-1,
-0x1.3555732d340bdp-2, 0x1.88944a0a8da82p-1, 0x1.53b6d5467dec1p-1, 0x1.a55f245595f44p-1,
-0x1.872d003127e16p-1, -0x1.8014552f152a3p-1, -0x1.71e1c0c49c5d3p-2, -0x1.5d462092eadcap-1},
{(const double[]){
-0x1.2b4c98d764376p-1, -0x1.a4aea6ddc6504p-1, 0x1.9b398d6d626f3p-1, 0x1.5c2c5d4de16a1p-2,
0x1.6de3bae80d55ap-2, -0x1.42c6b67d90d39p-2, -0x1.ec840ed6c3c18p-5, 0x1.ce7b503c012f4p-4,
-0x1.5d5853c150f0cp-2, 0x1.9b94ddfaebe49p+0, -0x1.e7ce3bf90ccc0p-6, 0x1.7358aececa3eap-1,
-0x1.7d295d7981d9cp+0, -0x1.006750d7cc078p+0, -0x1.073890ed9145cp-4, -0x1.079614e7c382cp-1,
-0x1.0ff753e229f3ep+0, -0x1.e2f237ff227d5p-1, 0x1.ba535ceb37f4ap+0, 0x1.d2d1b71095765p-1,
-0x1.c7216d24391b6p-1, 0x1.d5c1fb117df2dp-1, -0x1.e3716e72896f8p-3, 0x1.9c703ca0d6a3ap-2,
-0x1.42f20ed5c4764p+0, -0x1.18c2ce41d7f88p-2, -0x1.0a47dbf745013p+0, 0x1.265485f15e773p+0,
-0x1.42b95909b6a58p+0, -0x1.8e69a95536992p+0, 0x1.1ed10b49b7487p+0, -0x1.12da83fabde84p-1,
0x1.c130866821c5bp-1, -0x1.c4928be5ce727p+0, 0x1.931ebf75d471dp+0, 0x1.edb42c52e53d5p+0},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0}}},
{7, {.rule = "normuon", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = true, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.0429c74e37cd6p-1, 0x1.aa912fcfdace1p-1, 0x1.cf7c5a20e11a0p-3, 0x1.aedacf4ec06f8p-1,
-0x1.c896a640a066cp-1, 0x1.719c242d9a465p-1, -0x1.2155d1550ac5ep-2, -0x1.ca3462b16cf58p-1,
-0x1.b82704d9b90f0p-1, 0x1.e69984027d6ecp-1, 0x1.e8585b8641630p-1, 0x1.2960fc5ce56f9p-4,
-0x1.5f93725751234p-4, 0x1.5f3f991ac54a0p-4, 0x1.a72c71cbd3214p-3, 0x1.1b301acad73aap-1,
0x1.23e7f21e4a97bp-1, -0x1.4552a9a90831ap-3, -0x1.52541d8d3e708p-5, 0x1.6e264b2754fcfp-1,
-0x1.1e5e9b877dff9p-2, -0x1.953a06c5b6dfep-5, -0x1.994bfa4283729p-1, 0x1.fc1eb90c5bd2bp-2,
0x1.54ad353d6b85cp-1, -0x1.314f88eb3a0f2p-2, -0x1.4551c768a852ap-1, 0x1.eaa2bb47bdb63p-1,
-0x1.8112455d204d2p-1, -0x1.a2dda90ce7e09p-4, -0x1.693c39bbf9482p-4, -0x1.92b328ed71648p-1,
-0x1.90b332aa3ef4bp-1, 0x1.d4084631fb6a1p-3, 0x1.1a572ef8b5d9ep-1, -0x1.aea506620073dp-1,
0x1.c31ddcf105e95p-3, 0x1.b6367333456c9p-1, -0x1.e93f8f30d798ap-2, 0x1.62a8cfd8ded39p-3},
(const double[]){
-0x1.b60fc70178949p-2, 0x1.ff18ae7de908fp-1, 0x1.bd43f71ca129cp-5, 0x1.be7603138502fp-1,
-0x1.e0dfd706d8b44p-1, 0x1.a5754fbe93e6cp-1, -0x1.6b9e522120752p-2, -0x1.84ec70d35aec9p-1,
-0x1.805d39a7bbac3p-1, 0x1.a44556a8e37eep-1, 0x1.b8d625bd71a45p-1, 0x1.db13db6fee64cp-5,
-0x1.15350ecfa40e0p-3, 0x1.814cc149caf2ap-4, 0x1.7206e6fc0a370p-4, 0x1.2bcda693ea802p-1,
0x1.5b5b40e3f8206p-1, 0x1.83e887863d6fap-8, 0x1.4221edcd4533bp-4, 0x1.9d35c134b645ep-1,
-0x1.6eda0ab376678p-3, -0x1.4e7766c3a52cbp-4, -0x1.b73ffd585487cp-1, 0x1.d170cab5273a3p-2,
0x1.562437f7e67cfp-1, -0x1.8215fe1b9ce12p-2, -0x1.ab74f0bfb8469p-2, 0x1.de660d03f337fp-1,
-0x1.602554c256bf3p-1, -0x1.391996217acecp-6, -0x1.95a5cb56a982dp-5, -0x1.9d37b76e5f6a5p-1,
-0x1.ed303e6e69ee0p-1, 0x1.bbdb2a9102479p-3, 0x1.7884264aa2414p-1, -0x1.0ebc8da661941p+0,
0x1.e4d29ae2d48b4p-3, 0x1.bc3b6c551bb74p-1, -0x1.20016ec54c4b4p-1, 0x1.d711ed706089cp-3},
{(const double[]){
-0x1.db7b2d170c487p-1, -0x1.db6cae8eb3260p+0, 0x1.4a4cf69c50b28p+0, -0x1.6946efaffab26p+0,
0x1.4681bc2aa106cp-1, -0x1.79db0ea01867cp-2, 0x1.c0fef2450f4dcp-2, -0x1.6278ccbe8a615p+1,
-0x1.5d5a642738581p+0, 0x1.490f908954bcep+1, -0x1.ec13d3c2425cep-1, 0x1.28cb97abaaba2p+0,
0x1.fe6daa6b67df7p-1, -0x1.9fbcebda8f8aap-1, 0x1.45da5e7f53683p-1, 0x1.bd2cd79a6a6cap-2,
-0x1.47127a1fdba73p+0, 0x1.37209ce623836p-1, -0x1.e8528c1658be0p-3, -0x1.6371d5c413b24p+0,
0x1.d3d16bf29fdfap-2, -0x1.e0babc10b27c4p+0, 0x1.37ed2660ba3e0p-1, -0x1.1754e60dd5546p-1,
-0x1.768792e403390p-3, -0x1.7ac7850bf2a3ap-1, -0x1.ad3194618cbe3p+0, -0x1.0877b7e5e9f80p-1,
0x1.8ccc05cc88befp+0, 0x1.b27afd307597bp-1, -0x1.2261f34e2398bp-2, -0x1.c5ca039478e0ap-1,
0x1.a5e9aaee147b3p+1, -0x1.866c192765294p-4, -0x1.6907eb1858dd1p+0, 0x1.62f9d8da36027p+1,
-0x1.766a071f019f4p+0, -0x1.de30f4b910467p+0, 0x1.54a052c7a9f9dp-1, -0x1.51adbc2091ffdp+0},
(const double[]){
0x1.9a39f898d10ebp-4, 0x1.763941faa6c96p-4, 0x1.052a665c37f8fp-4, 0x1.41f85bf842f17p-4,
0x1.4bd0ce4a3744ep-4, 0x1.3d2139f5ee23ep-4, 0x1.6971c1d7a09cbp-4, 0x1.7086ada6ffce3p-4}}},
{8, {.rule = "normuon", .rows = 5, .cols = 8, .adjust = DN_ADJUST_RMS_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.089383dc581fep-1, -0x1.f8f911664ff66p-1, -0x1.9a80fddd9767fp-2, 0x1.dc26b6fb14559p-1,
0x1.b3e16de98b7e1p-2, 0x1.afe201524ad89p-3, 0x1.2c0580a6d31bcp-1, 0x1.e1141fec269b8p-1,
0x1.39ba3d9b64b74p-3, -0x1.d412523906498p-1, -0x1.32c7956b1ef31p-3, -0x1.1e4be46e96fd7p-1,
-0x1.1e0c50d6089bbp-3, -0x1.332ead7482560p-9, 0x1.55a1b205292eep-1, -0x1.09280726c95d9p-1,
0x1.bc3049e34464ap-1, -0x1.1fd2edc94ef97p-3, 0x1.15cefa6351641p-1, 0x1.e850e7b1eb3c9p-2,
-0x1.c7120ae8ea285p-1, -0x1.d046a4fe6ba7cp-1, 0x1.0f09302a45020p-1, 0x1.47534ece51534p-1,
0x1.cfb3fd522dfc2p-1, 0x1.32e8719f3f50ap-1, 0x1.1f043f021d825p-1, 0x1.f9502e327a414p-2,
0x1.ba433d7d8c9ccp-1, -0x1.b636c2cfd46d3p-1, -0x1.d13dc44430094p-1, -0x1.eb90a1f645daap-2,
-0x1.ad7a6b737393dp-1, -0x1.1689193b882bfp-1, -0x1.51ee16bfa193ap-1, -0x1.f6cdd1176155bp-1,
-0x1.3e7f4da23bb15p-4, 0x1.003fdf35d90e3p-1, -0x1.5b2363af0a7e6p-1, 0x1.e2bfa5f1a4164p-2},
(const double[]){
-0x1.163e1568d25dep-1, -0x1.ca0e65c83e270p-1, -0x1.593a21f633318p-2, 0x1.d6ea8ec1cd8f4p-1,
0x1.0d50ef6eb609fp-1, 0x1.005404a69f6b0p-2, 0x1.2e73c8bdf42e9p-1, 0x1.b819bb47e1186p-1,
0x1.17edbc547dfbbp-2, -0x1.b0cfc74a1c2b3p-1, -0x1.4ac3d96dbd75dp-3, -0x1.fe221e42d1341p-2,
-0x1.c66123a8e1bd6p-4, -0x1.3658c8fbf3f68p-8, 0x1.5837423521295p-1, -0x1.2bb9316ddbc47p-1,
0x1.98059fa989592p-1, -0x1.e6412ed6df4f6p-3, 0x1.c329ca1e8bcbdp-2, 0x1.8b1b6d5affd6cp-2,
-0x1.979ffbb759c9cp-1, -0x1.ccdfb0bf3530ep-1, 0x1.f8c114d11e71fp-2, 0x1.14085aaac3358p-1,
0x1.a4c55eadccd74p-1, 0x1.3ebd27429d2dap-1, 0x1.14b6d9dc6c31fp-1, 0x1.c6e2ded11d4e4p-2,
0x1.8156fae7b215ap-1, -0x1.a92a8e21f74b8p-1, -0x1.90d6dbe0f19a0p-1, -0x1.1d3271de48240p-1,
-0x1.983f2f0e5cd72p-1, -0x1.faeb66029aa36p-2, -0x1.51af9343c33b0p-1, -0x1.fe9c111480219p-1,
-0x1.06268dc4ea091p-5, 0x1.1d6634b53e345p-1, -0x1.41432c9a5e01bp-1, 0x1.1587b86a9702ep-1},
{(const double[]){
0x1.8e680d614fcb7p+1, -0x1.592d2b9bcab64p-2, -0x1.2a63894ba348ap+1, -0x1.b15f482ce4aafp-1,
-0x1.9d3cf80cfb2a9p+1, 0x1.f9d83325067f1p-1, 0x1.f290e97386fa4p+0, 0x1.d9f5164d7a964p-1,
-0x1.746af2620330fp+1, -0x1.a0fb4a53ba604p+0, 0x1.891e99003a3c0p+0, -0x1.9d863d8e97ff8p+0,
0x1.110a47cadc994p+0, 0x1.c9c956d1c2954p-1, -0x1.dc1a085dbcb34p+0, 0x1.47e549c203a62p+1,
0x1.46086d26f0660p+1, 0x1.993592b273cccp+1, 0x1.76d674d60af0cp+1, 0x1.56c5820aeca4ap+1,
-0x1.a6fef1290b049p+0, -0x1.16d1c45935de6p-2, 0x1.8d1871f46eaf2p-1, 0x1.1b7ba1566afc0p-8,
0x1.281f0153d3098p-3, -0x1.53542542b3de2p-2, 0x1.2ca008920c5ccp-2, 0x1.70dd61b29c154p+0,
0x1.b9defa15e6827p+0, 0x1.6a2f7697fef05p-2, -0x1.07667ca0fea72p+1, 0x1.f3f9ef876e814p+0,
-0x1.7f8b17ba7570ep-2, -0x1.2adad49efb2cbp-1, -0x1.86e7a043f4feap-1, -0x1.f1f492b31fa6cp-1,
-0x1.b0c8ba5212d4ap+0, -0x1.11e7ed9d010f4p+1, -0x1.0b0cd26638d24p-2, -0x1.0455b1b0acf46p+2},
(const double[]){
0x1.51c8d27eb1fd8p-4, 0x1.5389c230d6630p-4, 0x1.595e4cf7b0debp-4, 0x1.50492a2f10427p-4,
0x1.533c7004dd98bp-4}}},
{9, {.rule = "normuon", .rows = 6, .cols = 6, .adjust = DN_ADJUST_NONE,
  .ns = {.set = DN_NS_KELLER, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.0, .fraction = 1.0},
(const double[]){
-0x1.06bbb7fd2833ap-1, -0x1.a256fe86f1264p-1, 0x1.ef038c51ad3ccp-1, -0x1.0276ac6de293cp+0,
-0x1.ef341b8d0076ep-3, -0x1.2d03934def90ap-2, -0x1.1c48fb0b8dd34p-1, 0x1.87cccabe76328p-1,
-0x1.a997f5fdb5474p-1, -0x1.952223b9e095ep-1, 0x1.845ec659bc86ep-1, 0x1.a0649eae858e5p-1,
-0x1.94b3a33ac9f49p-3, -0x1.85f88148df798p-4, -0x1.c5963ff1ff8cep-1, 0x1.a2e2daa366726p-2,
-0x1.aad3e6606ef9ep-1, -0x1.a1c873412df0cp-4, -0x1.b89f70f770e7fp-1, 0x1.0f0debbad1698p-2,
0x1.fa8332f7e80c1p-2, 0x1.b4c046dbbe464p-3, -0x1.22c22d5cbcfe0p-3, 0x1.9553ce73b9a9cp-1,
-0x1.bd0b0e2aa44d7p-1, -0x1.09c6bf598252cp-1, -0x1.e0f28e0e6d5dcp-3, 0x1.bdd41f1f3720dp-6,
0x1.f8a7120b6125ep-2, 0x1.8a0bb8909273ap-2, 0x1.06d0a27dfa39ep-2, -0x1.5bff6dba7f8acp-3,
-0x1.d4405db913bf5p-1, 0x1.5a44b526e8357p-1, 0x1.fd4df92b90fa6p-4, 0x1.b57681f1e3830p-1},
(const double[]){
-0x1.766a4709e8ad4p-2, -0x1.b394f1c921e30p-1, 0x1.e93e6cb695bf9p-1, -0x1.cddcfbb72decep-1,
-0x1.7fcad04e4a366p-4, -0x1.1c0623e6dae3fp-2, -0x1.6db167b9119a3p-1, 0x1.6f4dee65bc211p-1,
-0x1.a92642e2359eep-1, -0x1.457c5e561fccfp-1, 0x1.58d5f119c43f2p-1, 0x1.beaaf3913b839p-1,
-0x1.15087110e5cb4p-2, -0x1.480d10ee80522p-3, -0x1.bafaa4ac4eaf3p-1, 0x1.0fc877e93339dp-2,
-0x1.b0f4857c2f697p-1, -0x1.8ac8ab80989a8p-3, -0x1.6d2f1048b5501p-1, 0x1.2530e7dc4716bp-2,
0x1.5c86ee3164c2ap-1, 0x1.2c37ad8ccce2bp-2, -0x1.0f5bb10b3eb99p-2, 0x1.a7e931b2d053ap-1,
-0x1.e2712ee9e6895p-1, -0x1.44a247f699194p-1, -0x1.b0ac99b7c75c6p-4, -0x1.eb31ec64b8870p-7,
0x1.021b9fea326dbp-1, 0x1.3ae12cc853721p-1, 0x1.36d70000f6355p-2, -0x1.f1bb4f90fbe65p-6,
-0x1.0208f2ae9abc4p+0, 0x1.698cd42fff501p-1, 0x1.873b1e23a38ffp-6, 0x1.eb29448b258a2p-1},
{(const double[]){
-0x1.543045cf6116dp+0, 0x1.cc32ce948858cp-3, 0x1.08bcf6a6dc1dbp+0, 0x1.41b3eb44c6176p+0,
0x1.0b32937f136adp-1, 0x1.faf9a98d8dc21p-1, 0x1.9ec5f22b847fep+0, 0x1.68cbfaeb06d00p-2,
-0x1.28b1a54f65d88p-1, 0x1.121eec4336448p-2, 0x1.10c4bbee2390cp+1, 0x1.d71bb6451b45ap+0,
-0x1.1170109c533bap+0, 0x1.d61c5b4a0a54cp-2, 0x1.9724182545348p-4, 0x1.c36093399c547p+1,
0x1.4775663116c16p+0, -0x1.296067c7cca55p-1, -0x1.150bf1b251a37p+1, 0x1.0d05e66aa459cp-1,
-0x1.d97abc681f068p-2, -0x1.473c91a63b64ap+0, 0x1.5b995d3fad406p-1, -0x1.61e5eb54109fbp+0,
0x1.5358ce5a955dap-2, 0x1.e5aafc5c64bb0p-2, -0x1.29f22d716970ep+1, -0x1.a198c4fdd57d2p-1,
0x1.8091827834e2cp-6, -0x1.3daa59564d7e2p+1, -0x1.87e223a2c7c7cp-5, -0x1.4997279b8a688p+1,
0x1.064ab34a25450p+1, 0x1.ec0e7f56b41e9p-1, -0x1.9e9a9d495419cp-6, -0x1.a2e70ea916499p+0},
(const double[]){
0x1.753c6491c6080p-4, 0x1.4228b8ab2d3bfp-4, 0x1.7449347b702cfp-4, 0x1.77255337a59cbp-4,
0x1.7e0a545822737p-4, 0x1.78252b520daddp-4}}},
{10, {.rule = "dion2", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 0.25},
(const double[]){
-0x1.09c3e84a9999ap-1, -0x1.414c0b5ef1aa0p-1, 0x1.548c501272b02p-2, -0x1.d51b49dd47079p-1,
-0x1.c7acb09fae9fdp-1, -0x1.99e3707020c4ap-1, 0x1.3af53c1220c4ap-2, 0x1.342f6861b645ap-1,
0x1.96b94dac84050p-3, -0x1.5884b0b5a070fp-1, -0x1.53532cc84dd2fp-2, 0x1.5e45f15bb645ap-3,
-0x1.e08ea75c72b02p-3, -0x1.862979deda070p-3, -0x1.b7cdeed57eeecp-2, -0x1.4b6a7e2f3f7cfp-1,
-0x1.0a72cc51624ddp-1, -0x1.28f3c4610624ep-4, -0x1.02b8546197470p-2, 0x1.0f8c36956756ap-6,
-0x1.06be913cf5c29p-3, -0x1.5140231000000p-1, -0x1.9615626b49ba6p-1, 0x1.e012070256ca9p-1,
-0x1.417b5c576cc93p-1, 0x1.77269bd116873p-2, 0x1.e74c2440126e9p-1, -0x1.bb8cb1dfb645ap-2,
0x1.6b7d099125964p-4, -0x1.97a5d0fde44d7p-2, -0x1.1f07e00ce353fp-1, 0x1.2bf139cdc28f6p-3,
-0x1.faed1b001a9fcp-1, -0x1.040f472620bb5p-3, 0x1.de7bbc83fb111p-1, 0x1.6888737c1cac1p-1,
-0x1.4bd6c2f7d0e56p-1, -0x1.b80b58ec8b439p-3, 0x1.d221dc653d71ep-1, -0x1.de0e1b36a987bp-1},
(const double[]){
-0x1.da444f80b0fa0p-2, -0x1.4b42edfa858b4p-1, 0x1.6def873fb53bcp-2, -0x1.a6718c025e9cep-1,
-0x1.9be0cc9b037b9p-1, -0x1.41393cda035a1p-1, 0x1.0e0f79304a12fp-2, 0x1.1456f1fa0d611p-1,
0x1.370dbdc542e3ep-2, -0x1.376b1f40ce648p-1, -0x1.5afdd86885d41p-3, 0x1.731ffed76402cp-3,
-0x1.b1da039ca5072p-3, -0x1.bafcbea062978p-3, -0x1.ae58bc334fd28p-2, -0x1.73d57f686c828p-1,
-0x1.07a6113cb6c03p-1, -0x1.87d11194f9c9ap-5, -0x1.cd013dcb6031fp-4, 0x1.344a14c937afep-6,
-0x1.9244d7a1b159dp-5, -0x1.34a78b6703720p-1, -0x1.8a915c05ea49ep-1, 0x1.1d3008c18725bp+0,
-0x1.4b21a867299adp-1, 0x1.63216c0fba047p-2, 0x1.db29d27fb6808p-1, -0x1.ae9c68b05c281p-2,
-0x1.244e622d6b99ap-5, -0x1.8fb710f0e64a5p-2, -0x1.e1b028881bb64p-2, 0x1.13be5cb970e72p-3,
-0x1.eee30c40c90d1p-1, -0x1.0f6ffe681f411p-2, 0x1.d03855c84caa9p-1, 0x1.1de925022b779p-1,
-0x1.3e130a04515b0p-1, -0x1.9fb73ba6fb89ap-3, 0x1.b4ca51624e063p-1, -0x1.a7b3167cd6385p-1},
{(const double[]){
0x1.073fd49b95b3ep+0, 0x1.87006c603e76cp+1, -0x1.46b880cdf29fcp+1, -0x1.5f8885a180527p+0,
-0x1.27b75b7b813e6p+0, -0x1.b27083496d751p+1, 0x1.642a08543dc28p+1, -0x1.0edd3ffc1a5e5p+0,
-0x1.cc6ed51ae5000p+0, -0x1.8b0e5cead0d6dp+0, -0x1.4d0345b94bb48p+1, -0x1.2ebf16bdc645ap+1,
0x1.a3261de1b6044p-1, 0x1.e6054266da0efp+0, 0x1.37498b248328fp-1, 0x1.5b0dac9077901p-2,
0x1.2deddd51df9dap+0, -0x1.47514f095d2f0p+0, -0x1.0530e8d4af6e0p-4, 0x1.1d718a68deff2p+0,
-0x1.179a25d01013ep+1, -0x1.6bf637cd0f9dap+1, 0x1.db9c064059ba4p+0, -0x1.249dc2ea8c7c8p+0,
0x1.92ad44bae1964p-1, -0x1.8feaccae84802p-5, -0x1.a97c5033ff7cbp-2, 0x1.54b377f81f9dbp+1,
0x1.2c74d92583ff8p+0, -0x1.21a628eb5fb5ep-2, -0x1.3394e449a5c46p+1, 0x1.d01ae2c21061cp-4,
0x1.5d09203675810p-1, 0x1.b1d714b815f5ap+0, -0x1.61b2975ab047ap+0, -0x1.86dae930ab16dp-1,
0x1.a9eea9fe0bc6ap-2, -0x1.8dc94de4cfdf2p-1, -0x1.d87b993620eb2p-2, -0x1.03f8c84f0038ap+2},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0}}},
{11, {.rule = "dion2", .rows = 5, .cols = 8, .adjust = DN_ADJUST_RMS_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 0.5},
(const double[]){
-0x1.0730b18cee2d8p-1, -0x1.cf9c27f34cd25p-2, -0x1.33a85b937166ep-2, -0x1.b53914e15e160p-1,
0x1.b58f39bc2ef31p-2, 0x1.64e3c105d9650p-1, -0x1.a8a7758d7b2eap-1, 0x1.bcf01bd4dc65ep-2,
-0x1.950e64bb1eb85p-1, -0x1.248d9eab353f8p-1, 0x1.2605fc6947ae1p-1, -0x1.d513ba3360419p-2,
-0x1.1f927082978d5p-2, -0x1.2824385326e98p-2, 0x1.2bed0c526e979p-5, 0x1.21d2692d95810p-2,
-0x1.ace385fa4be76p-3, -0x1.69f01894c7e27p-5, 0x1.597f2b57483bap-2, -0x1.9fa4ed5c68a8bp-3,
-0x1.7c6c0b8b16594p-1, 0x1.d54ed13a0e1e6p-2, 0x1.1a1653f20fe3dp-1, -0x1.d88e0212dc68dp-1,
-0x1.910799b5fbe77p-2, -0x1.7eddeb1a70a3dp-1, 0x1.3750bdfeb851fp-3, -0x1.cbd01287e5604p-1,
-0x1.1b20020e1cac1p-2, 0x1.b155bf5cf3b64p-1, 0x1.3978da2f851ecp-1, 0x1.d306b89ae5604p-2,
0x1.df5cf2d58b05cp-1, -0x1.cffc67cf02d77p-1, -0x1.18fbf6f38ea4bp-2, 0x1.1b650f20d969fp-1,
-0x1.dc1d335515692p-1, -0x1.23ee724e69813p-1, 0x1.6b88dd3f034aep-1, -0x1.47dda9de5c1acp-1},
(const double[]){
-0x1.16a14278113afp-1, -0x1.bfa748fa221d8p-2, -0x1.4ab698b2a2e4dp-2, -0x1.b98ab36c355a3p-1,
0x1.95143ef00d9c2p-2, 0x1.3b0757fbe263bp-1, -0x1.95e49e7018aa2p-1, 0x1.597e6c111ca09p-2,
-0x1.81ab7372f122ep-1, -0x1.fc1a8bc0b14acp-2, 0x1.fa3b23cb64520p-2, -0x1.d504da64f8198p-2,
-0x1.3c88a90397b7fp-2, -0x1.2a65628cacc42p-2, -0x1.40c9dcdd1cc32p-5, 0x1.387a6fcb26858p-2,
-0x1.d6ada589c4a5ep-3, -0x1.9137053d61c56p-5, 0x1.3d25a695afdbap-2, -0x1.5d2a9cd5ce0f5p-3,
-0x1.6fc20d8839edfp-1, 0x1.bd01bbfb31743p-2, 0x1.1cb9a9be7a371p-1, -0x1.be656632ad577p-1,
-0x1.5f73f36ed04c1p-2, -0x1.7295b52f89c23p-1, 0x1.2ee455ba5cf25p-3, -0x1.ab9d052586decp-1,
-0x1.0e7a1cc8f3388p-2, 0x1.9306cbf1db064p-1, 0x1.1de9b9d74ae01p-1, 0x1.bbc665a8579e0p-2,
0x1.c2838ed8d3364p-1, -0x1.a3ab73cbe84bap-1, -0x1.2ede92f7f3101p-2, 0x1.043f749789f97p-1,
-0x1.bc72f71d069bcp-1, -0x1.f9b5a778dff10p-2, 0x1.3c25f4081bbe5p-1, -0x1.21da17380838ep-1},
{(const double[]){
0x1.928b0b466acc2p+1, -0x1.469ed21ac922bp-2, -0x1.6bb34f6c619b0p+0, 0x1.0ea27ed388afep-1,
-0x1.49eba7f6c90f7p-1, 0x1.11a332304d733p+1, -0x1.caf2104af4a75p+0, 0x1.3937efb95db10p+1,
-0x1.913e908853054p-5, -0x1.1b16a1368763cp-1, 0x1.8573f262931fbp-1, -0x1.37dc6542788d8p-4,
0x1.dd2762e962bcap+1, 0x1.56dbba847045cp+0, 0x1.51869c09922d4p+1, -0x1.8450ff540d101p+0,
0x1.6cee236acddc6p+1, -0x1.c0ce91d82c3eap+0, 0x1.e2f73b4a2dd6cp+0, 0x1.f44263ccb6226p+0,
0x1.573d3f91f7a92p-1, -0x1.6d6bf85e8dac0p-5, -0x1.e91034c8de060p-4, 0x1.32a03cf441814p-2,
-0x1.05342b8418f0bp+0, 0x1.0a9aa82be326dp-1, 0x1.f8be8c0a69377p-1, -0x1.1ec863e92a7d9p+1,
-0x1.b9fe7c35d2bc7p+0, 0x1.eb25817828956p+0, 0x1.c224b05390b9cp+0, 0x1.04d55388747f4p-2,
0x1.fa137d81d1b4ap-1, -0x1.b1b66edd63c29p-1, 0x1.99a36b7f5b6b0p-2, 0x1.2c3ce51494155p+1,
0x1.ae2ad92a2a28ap-3, -0x1.4afc1ea60e8c0p-1, 0x1.54871085e348ap+1, 0x1.069ea6e8bd007p-1},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
{12, {.rule = "dion2", .rows = 6, .cols = 6, .adjust = DN_ADJUST_NONE,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.8, .weight_decay = 0.0, .fraction = 0.5},
(const double[]){
-0x1.0cf15f5c32486p-1, -0x1.02f224abed2dfp-2, -0x1.df0cc662fad3dp-1, -0x1.8923dc1c7b950p-1,
-0x1.cec0ff4377cd4p-3, 0x1.7ada18a142effp-3, 0x1.08ef3a4000000p-5, 0x1.122b09a000000p-2,
0x1.cc39b03000000p-3, -0x1.d49fdbd000000p-2, -0x1.08c5b74c00000p-1, 0x1.d23d36a000000p-1,
-0x1.4f8958c800000p-2, -0x1.8b69973000000p-2, 0x1.f92dcd8800000p-2, -0x1.9184629000000p-1,
0x1.756b616000000p-4, -0x1.840b120000000p-7, 0x1.de3cddd400000p-1, -0x1.b62ced8000000p-2,
0x1.458745bc00000p-1, -0x1.a2817ff000000p-2, -0x1.d21610e000000p-4, -0x1.91bb35f000000p-1,
-0x1.589e7dd549513p-3, 0x1.0ff0771c3e946p-3, -0x1.4787abcef7256p-1, 0x1.47333ad1dd442p-1,
-0x1.4ef293f472856p-1, 0x1.76812bbe0c222p-4, -0x1.993198b50f48fp-3, 0x1.8a23244f9f6d3p-1,
0x1.b7b96e4ab00f6p-1, 0x1.4648149d27326p-2, 0x1.06456fa56cdb3p-1, 0x1.a1d6eeae57549p-2},
(const double[]){
-0x1.aafb8ef0be1e0p-2, -0x1.de6d5f041dc7ep-3, -0x1.0c2967a60eb6ep+0, -0x1.662a06bd15c09p-1,
-0x1.11b01de733892p-2, 0x1.31a00d2d4076fp-3, -0x1.1c18bf1792439p-4, 0x1.1352e1f1e546cp-2,
0x1.e4dda7b300d0ap-3, -0x1.c22a431848f59p-2, -0x1.07d9515e3a52bp-1, 0x1.d15da503a89e7p-1,
-0x1.1401870014cc3p-2, -0x1.78e6079c4461cp-2, 0x1.ca334eed32fc9p-2, -0x1.7c12e4bd6a787p-1,
0x1.7f76f9571e265p-3, -0x1.c2752b93d72dap-5, 0x1.e02bc2d8abe54p-1, -0x1.9f04af34861dfp-2,
0x1.56736a0d4ba17p-1, -0x1.65748765b40f9p-2, -0x1.375ebcac0a6a5p-3, -0x1.827c5e2b7b938p-1,
-0x1.af1d8425bedd8p-3, 0x1.803b262896f31p-3, -0x1.33a2e3adf2170p-1, 0x1.92d21bb41e21cp-1,
-0x1.630db9e0d3192p-1, 0x1.209ebc32d1a68p-3, -0x1.7483d36e380b3p-3, 0x1.6d5635057bcb3p-1,
0x1.a27d25e8e2150p-1, 0x1.6153dd1653dd1p-2, 0x1.e0c5ec7e79312p-2, 0x1.9a7aebc36e7fcp-2},
{(const double[]){
-0x1.e9680dad97c67p+0, 0x1.29d01d185973dp+0, 0x1.828bfaac379d3p+0, -0x1.8e8680fb4c6cdp-5,
-0x1.7b630f348ff7fp-2, -0x1.4eeb0a1554c55p+0, 0x1.31a0d61f40130p+0, 0x1.5533144e359a4p-1,
0x1.f317e2dfadc07p-1, 0x1.a40da7188e3bfp-1, -0x1.1801f1cddf363p+0, -0x1.66e3944428caap-1,
-0x1.5c99fbb899608p-2, -0x1.82351c58c4b6ep+0, 0x1.c2f3268c3995ap+0, 0x1.bcc4300753d80p-5,
-0x1.fc224c96d4e2cp-2, 0x1.8eecebc1b4b80p-5, -0x1.b763eb2b484d0p-5, -0x1.470f8e042d8c4p+0,
-0x1.f40487f0d8dbfp-1, 0x1.2f00f112ecae8p-2, 0x1.87c28fca800edp+0, 0x1.ebe124c3675d3p-4,
0x1.2e9161288eae9p+0, 0x1.1144e31d1d3c7p+0, -0x1.79d2e9404b4d4p+0, -0x1.b9f382c7fce65p-1,
0x1.40b24e5b827c4p-1, -0x1.f1d9aebb02e80p+0, 0x1.dba996c700042p-1, 0x1.7d73ed951505ap-2,
-0x1.2df462cc9f2fep+0, -0x1.b78163fd76688p-1, 0x1.e2f9aa087fcb8p+0, 0x1.1736c1bf0cfe2p+0},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0}}},
{13, {.rule = "dion2", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.09d777b5e3d2ep-1, -0x1.5d2b939922d56p-4, 0x1.bc241032b100dp-2, -0x1.62f4b706b334cp-1,
-0x1.d0597b342d774p-1, -0x1.3e679b7ea9c21p-2, 0x1.ccfdb01964562p-1, 0x1.b9a3a903d7605p-4,
-0x1.8158799009bd6p-1, -0x1.5898c5158d22ap-2, 0x1.8ba0602c74756p-2, 0x1.20f3cc0242f10p-2,
-0x1.81965e274c6a5p-2, -0x1.edb6a91f05a9ap-2, 0x1.e88c83fdb7a2ep-1, 0x1.166c16c59c1d0p-3,
0x1.8eecf66c267d0p-2, 0x1.d3c41de7c2631p-7, -0x1.d721fbe513ac2p-2, -0x1.5162dc9059789p-1,
0x1.00f25f5cc4923p-6, 0x1.71a23d5468ee8p-1, -0x1.87a45d61aba27p-1, -0x1.494256a6575ebp-1,
0x1.2afadd5100e46p-4, -0x1.f975e8f63de5ap-1, 0x1.15265df6b476cp-1, 0x1.4c28ef5c4aa0ap-3,
0x1.ee85689fa7f5ap-1, -0x1.6151c1e334cb1p-1, 0x1.ed8b99bd0b378p-1, -0x1.d7fbd38a62d39p-1,
0x1.8fd4a834c465cp-1, -0x1.f0c25c3a646fbp-2, -0x1.6097667128825p-1, 0x1.f2edf73bb80c1p-3,
0x1.ed1dc8e455cf1p-2, 0x1.6ed6a92cb6969p-1, 0x1.361f8e308a157p-2, -0x1.125bfeb5bd720p-4},
(const double[]){
-0x1.5cd276adf06ffp-1, -0x1.3c3654638bf83p-4, 0x1.9a12f7a932abfp-2, -0x1.2ab97ece218d0p-1,
-0x1.d6c94dc840b90p-1, -0x1.ad976cdac396dp-2, 0x1.c8750171d816fp-1, 0x1.32bcbb76057ccp-3,
-0x1.44536117bed59p-1, -0x1.abf63de5762f2p-2, 0x1.f5273acfaf8a0p-3, 0x1.4deb315a48b22p-2,
-0x1.c9abb47719ac1p-2, -0x1.0a5ea555ff60ep-1, 0x1.def7daaf3821cp-1, 0x1.d58eeb92a1a50p-4,
0x1.74ad23d519773p-2, 0x1.1cf2c74a99837p-5, -0x1.cdbcdd0a52ae9p-2, -0x1.6c53627dffbddp-1,
-0x1.10657430dfd5fp-5, 0x1.9bf10fd07a7fcp-1, -0x1.8532fb64cc383p-1, -0x1.01daacf558342p-1,
-0x1.745ea0c23c884p-6, -0x1.f68c943b5ab7ep-1, 0x1.d5f1502d22edcp-2, 0x1.c08eea22ec613p-3,
0x1.df0745f099a28p-1, -0x1.31090ecb11605p-1, 0x1.002795da3c4cep+0, -0x1.86150c1941a45p-1,
0x1.828adc41a4a19p-1, -0x1.f6294c04791a1p-2, -0x1.23f68bf509d6fp-1, 0x1.7d7dc4d9b86b4p-2,
0x1.dfaa1bccac3f4p-2, 0x1.7a77f90d595dbp-1, 0x1.d0d6271e52501p-3, -0x1.334074d41564dp-6},
{(const double[]){
0x1.09c9ae3bb8a84p+1, 0x1.3d0dc6fa81b92p-3, -0x1.d6ac5a76629ddp-1, -0x1.fe576861aadbbp+0,
-0x1.4c6cd5a16e1a7p+0, 0x1.56082cf70dff4p+1, -0x1.b48ec661339fbp-3, -0x1.0db1af0f445bep+0,
-0x1.7cc5578bdf7d0p+0, 0x1.c5f38459ce2a5p+0, 0x1.692ebb242a524p+1, 0x1.b94a33eaa367dp-2,
0x1.4ed9dbd20ff1ep+0, -0x1.d8589da8b168dp-3, 0x1.044797ca48869p+1, -0x1.05dd6a617ba78p-1,
0x1.0ff0e3fbe9fe9p+0, -0x1.9f93260f2d9c5p+0, 0x1.75995ff5cff44p-1, 0x1.88d7550b5ff2fp+0,
0x1.fc3b633319e9ap+0, -0x1.cf5d520b7e867p+1, 0x1.1eb024ac00e7cp+1, -0x1.941d874d3ba65p+0,
0x1.4f0c9597508fep-1, -0x1.1d6d0fd264f2ap-2, -0x1.31d6e505ca40bp-2, -0x1.f3c019979f1cep-2,
-0x1.beb76687e899ep-2, 0x1.1de90fe52f2a5p-2, -0x1.3c5b486383413p-2, -0x1.c7944fb51b684p+0,
-0x1.6346a56af7fa3p-2, 0x1.069cb65860b93p+1, -0x1.df21a4f09f588p-1, -0x1.e7129c0f76febp-1,
-0x1.19cb9ae8e9ca1p+0, -0x1.ed6878ba97805p-1, 0x1.b9b3b2dd0b615p+0, 0x1.7f49672e3150cp-1},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
{14, {.rule = "dion3", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = true, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 0.25},
(const double[]){
-0x1.082e578b66666p-1, 0x1.8bdc37d3f7ceep-4, -0x1.828105b039581p-3, -0x1.40cb77fd645a2p-1,
0x1.b6a1c93218937p-2, -0x1.a33ef7e818937p-1, -0x1.f1b6adc34bc6ap-3, -0x1.1485f428d4fdfp-4,
0x1.09473aad2b021p-2, -0x1.d1b2944353f7dp-3, -0x1.66d2b7b9b020cp-1, -0x1.65d0664bced91p-2,
-0x1.ad73c6ffb22d1p-2, -0x1.27ca7d33ef9dbp-1, -0x1.2f309dbb624ddp-1, -0x1.d6031fa25a1cbp-1,
0x1.679dd873f5c29p-1, 0x1.9045568f5c28fp-5, 0x1.066d502c72b02p-3, -0x1.c20f13e1df3b6p-1,
-0x1.2e75ae734ecd4p-1, -0x1.5d8be4b294ee0p-3, 0x1.27c9cee819cdep-1, -0x1.005aa5f70cd72p-1,
0x1.4f53b6ad726e7p-2, -0x1.92514cc10624ep-4, -0x1.013ff0f7ba5e3p-2, -0x1.2ff31214c49bap-2,
0x1.296d1f62d70a4p-1, 0x1.1a057144c49bap-1, 0x1.2ddea2375b8a8p-3, -0x1.2da89f2703a46p-1,
0x1.703a0f65860d8p-1, 0x1.74a69daaec7b8p-1, 0x1.dc60bcdd53d8cp-4, 0x1.65f7b2b28f5c3p-4,
0x1.9f42a979b22d1p-3, 0x1.70a23bbc9ba5ep-2, 0x1.c079a608c49bap-4, 0x1.dabb04cbd70a4p-3},
(const double[]){
-0x1.4ece73735ff08p-1, -0x1.c12b1c2239023p-7, -0x1.3a21d1ead516fp-2, -0x1.1fb9176a7d714p-1,
0x1.61203d86da68fp-2, -0x1.925c8d40b0ffcp-1, -0x1.e36f3c8415f45p-3, -0x1.6933d6370a902p-4,
0x1.f551c33cae4afp-3, -0x1.a2ef020d0fc71p-3, -0x1.5ad71fb95fa59p-1, -0x1.32a0a31378f0bp-2,
-0x1.b473e57e7a019p-2, -0x1.305e08672b9e8p-1, -0x1.2ac804c2c5613p-1, -0x1.ac8a697fb6fe5p-1,
0x1.52a18891d81c5p-1, 0x1.2f3dba8884a41p-4, 0x1.3e1f17cd99a29p-3, -0x1.83cf08998572ep-1,
-0x1.1b54260ca21a0p-1, -0x1.4a238b9fd7628p-3, 0x1.19f7a5b617604p-1, -0x1.f4e0a6cba9bebp-2,
0x1.567af41505712p-2, -0x1.1a95e44d1dd72p-4, -0x1.e739b8e2de0bdp-3, -0x1.025ea1d7c76aap-2,
0x1.2bec11b0e6ee0p-1, 0x1.0db76b55046a6p-1, 0x1.a604133cc27c5p-3, -0x1.5d89670a58903p-1,
0x1.7723a9b3dc796p-1, 0x1.4771f07160fbep-1, 0x1.a301615d40fe8p-7, -0x1.3fc370cb5863fp-5,
0x1.1ef1c37f00da4p-3, 0x1.79208bf575a0ap-2, 0x1.e15051ab184e1p-4, 0x1.5ae55bbc660d0p-2},
{(const double[]){
0x1.61ab3cebaa2dep+1, 0x1.a0baef46c5482p+0, 0x1.128729de1459bp+1, -0x1.c2a818d23013cp-3,
0x1.fbb7efd0fe764p+0, 0x1.326bf92500000p+1, -0x1.a3b6f67a66668p-3, 0x1.5f7fdc9c66664p-1,
-0x1.c242cc98b3334p+0, 0x1.d2c4055b33334p-1, -0x1.6b69552323d70p+0, -0x1.699dc4a823d70p+1,
0x1.fd0d93bf0a3c8p-4, 0x1.dae21a131eb82p+0, 0x1.a9353af63851fp+0, -0x1.0bd3aad3afd5fp+0,
-0x1.03198b1e3989ap+0, -0x1.dd8c9309f6493p+0, 0x1.54ffb744f8a48p-2, -0x1.04ec49d73772bp+2,
0x1.d2dad319c7ae4p-2, -0x1.7f01edd73eb85p+2, -0x1.2a9563a6051e8p-2, 0x1.7009c9860f5c0p-1,
0x1.5458945f9eb90p-2, -0x1.a294ed160a3d8p+0, -0x1.7931d22d7ae10p-2, 0x1.2f9781e09eb86p+0,
-0x1.2ae942ca13333p+1, 0x1.4d6a5e7333340p-5, 0x1.6deca1756b228p-1, 0x1.9bb6048fb048fp+0,
-0x1.465bb4ae2d81cp-1, 0x1.78d293832cb5ap-2, 0x1.bfffa233cede5p+1, 0x1.6e7ab72c77dd3p+1,
0x1.a57c7dee55014p+0, 0x1.f7a8ffdc1a1acp-7, 0x1.ee8b5b46dbd31p-2, -0x1.0d0ab9a4f8aa7p+2},
(const double[]){
0x1.716a416fd8bfdp-4, 0x1.45e38697e6deep-7, 0x1.4b5bb78270582p-6, 0x1.8472e9b56399ep-5,
0x1.3917c634843bcp-6, 0x1.4c270f6b9e900p-6, 0x1.1ad4997cc2d12p-4, 0x1.1813823016d1ap-4}}},
{15, {.rule = "dion3", .rows = 5, .cols = 8, .adjust = DN_ADJUST_RMS_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 0.5},
(const double[]){
-0x1.05beafa094f19p-1, 0x1.1d8182b007af2p-2, -0x1.a57a2d2afec44p-1, -0x1.1898d8467464ep-1,
-0x1.dbc29c09466dcp-3, 0x1.5b476370ad692p-1, 0x1.3e42426ef332dp-1, -0x1.e2ae7c35a134ap-3,
-0x1.7268bc55fd136p-1, -0x1.da46dcea66f92p-4, 0x1.aea332b934046p-3, -0x1.f228ad544e8efp-1,
-0x1.dd3f16d9a2100p-2, -0x1.56dafbd5ec47dp-1, -0x1.229ce497250cbp-3, 0x1.2ee9b5f4509edp-7,
-0x1.fc7b5abd95e31p-1, 0x1.2e857a1fad78ap-4, 0x1.71cfff7968166p-1, 0x1.c99d001b17bcfp-1,
0x1.8d14abfc9a9cap-1, 0x1.efde3027924e6p-1, -0x1.65817eddcdcacp-4, -0x1.6d3dc5b3038c0p-2,
0x1.17626e89126e9p-1, 0x1.913853aa851ecp-1, 0x1.e3dbc90960419p-1, -0x1.860342a26c8b4p-1,
0x1.9c6bb5bbb645ap-3, -0x1.b444eb6a04189p-3, -0x1.5e5f5fafbe76dp-1, -0x1.34a845204dd2fp-2,
0x1.478fa2e7ba5e3p-1, -0x1.bdcd3c87ced91p-5, 0x1.cdbd2eb970a3dp-1, -0x1.119b47990624ep-4,
-0x1.56133eeb645a2p-4, 0x1.3496a9a0c49bap-8, -0x1.7dc8eb69fbe77p-4, 0x1.0c6a927e60419p-1},
(const double[]){
-0x1.d1fef2a36cab5p-2, 0x1.275b0662bc308p-2, -0x1.7b50319a5c0bbp-1, -0x1.016bbbd35bc0bp-1,
-0x1.ccb3c5d7e40e0p-3, 0x1.3b163a3003fc5p-1, 0x1.40125914b3fc3p-1, -0x1.7eb4987e5abe7p-3,
-0x1.7e2d2485abb80p-1, -0x1.641265f364015p-4, 0x1.4c53769d94b13p-3, -0x1.ea18ba7aaa297p-1,
-0x1.fd17f6b59ea49p-2, -0x1.5e71a98a97d4bp-1, -0x1.087646dcb9201p-3, -0x1.7c34bfe2d21c2p-5,
-0x1.eb57559522e7dp-1, 0x1.ceb87fa8cd80dp-14, 0x1.750fa1b3140dbp-1, 0x1.cf8d17446edd9p-1,
0x1.7de52e6f0b701p-1, 0x1.d99e6a9e02b7ep-1, -0x1.438ea8ae74295p-4, -0x1.63b2a69533094p-2,
0x1.f8c7d09ecca52p-2, 0x1.87fa7254fa839p-1, 0x1.c715781e61e07p-1, -0x1.74bbc16d13c29p-1,
0x1.bdebfeedb46f0p-3, -0x1.29e5ea1bbbdbep-3, -0x1.6229fc58625a1p-1, -0x1.ff7ad52d557eep-3,
0x1.508c59b346be0p-1, 0x1.b46c081164ff1p-8, 0x1.bead3fb9d3acbp-1, -0x1.1f11573098b78p-4,
-0x1.6575666da43e1p-4, 0x1.35d72f3debeebp-4, -0x1.8c247c22ed844p-4, 0x1.00cdbbdb29aa3p-1},
{(const double[]){
-0x1.5f550d3a982b5p+0, 0x1.e21a181ef448bp-1, -0x1.918a5ff71dc07p+1, -0x1.7b6c484799299p-1,
0x1.260113e66ea68p-2, 0x1.01cfae06c7c0cp+1, -0x1.f429dc2df5543p-1, -0x1.9e2a7314d2f64p+1,
0x1.0974bbceb6aebp+1, -0x1.23d33d66f3ecfp+1, -0x1.b489ed37259c8p-4, 0x1.2bed99236a621p+0,
0x1.740d6984fa1bdp+1, 0x1.ce1966911df93p-1, -0x1.308f4c73ac754p-2, 0x1.d5e6fc641925ep+1,
-0x1.d310f6c695598p-1, 0x1.ffac9fbb9ffe8p+0, 0x1.2d3e2896daa92p-2, 0x1.dcee3e0c62ae8p-2,
-0x1.da92cc368f075p+0, 0x1.7989dd1fbe6a4p-1, -0x1.539c4255c959ap-1, 0x1.0050bbc981c64p+1,
0x1.ad3346afdde34p-1, -0x1.52dd2ad86d244p-1, 0x1.50f8fcc3ded36p-1, -0x1.2fa83081cf287p+1,
-0x1.2199a4367e58cp+1, -0x1.1d7807483e765p+1, 0x1.205239c4443dcp-1, 0x1.3c19eb742bc68p+0,
-0x1.03a64365038e8p+1, -0x1.295f95d09496ap+2, -0x1.db8c0f95604f6p-1, 0x1.eda78dc54e6d9p-7,
-0x1.e5df0129402f3p-2, -0x1.c272b2f7fa23ep+0, 0x1.09f12be774ad3p+1, 0x1.6b6298880a2d0p-1},
(const double[]){
0x1.befa7e9244fa2p-5, 0x1.1d5f0d1473c2ep-4, 0x1.fb8b70ead39ffp-5, 0x1.98a67c93c9736p-5,
0x1.97664adbcd935p-5}}},
{16, {.rule = "dion3", .rows = 6, .cols = 6, .adjust = DN_ADJUST_NONE,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = true, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.0, .fraction = 1.0},
(const double[]){
-0x1.05848d412c375p-1, 0x1.d9cc6a1163230p-2, 0x1.1c6791b3c7574p-1, -0x1.ef904d84a5754p-2,
-0x1.d7042216083ddp-1, 0x1.70ead05159bf4p-3, -0x1.063eba8612e66p-1, -0x1.a85a1191e9f68p-2,
0x1.1e9c36e78cb03p-2, 0x1.9d17e6c2367f4p-9, -0x1.c6a6df6540f83p-1, 0x1.918a6ed017c3fp-2,
-0x1.ffee41c03485ep-2, -0x1.88908778c70a2p-1, 0x1.43c506e3cf424p-2, 0x1.ddfdf792103a0p-1,
-0x1.5cf07c0dea3b5p-1, 0x1.9dff16d02997ep-4, -0x1.5e595e5a913aep-1, 0x1.58c4e25e4f204p-1,
0x1.3d25fa1d2081dp-3, 0x1.89080aaebc430p-4, -0x1.86d64f6518c89p-1, -0x1.c20758f479ceap-3,
0x1.8e772a0d0518ep-1, -0x1.60b30929eff7bp-2, 0x1.3a8b29bebd2afp-3, 0x1.86360c9ece86bp-1,
-0x1.76a6318699e3ep-3, -0x1.f900d77c277a2p-1, 0x1.ec8d75e806812p-2, 0x1.13590c5622182p-7,
0x1.1f2844c883d04p-1, -0x1.b63b9f70e186ap-1, -0x1.323883f7a7a48p-2, -0x1.b3909aeb72693p-3},
(const double[]){
-0x1.1db28af1b78abp-1, 0x1.dd6016bb5667dp-2, 0x1.45a03183b6837p-1, -0x1.7c203de8ce3fbp-1,
-0x1.b520808afc074p-1, 0x1.fe206fb9b8a8bp-3, -0x1.9fa6dced3d471p-2, -0x1.4c57ac0a1181cp-2,
0x1.aab424c01d560p-4, -0x1.c44ae26b0ec25p-7, -0x1.73f5b9e70cdd1p-1, 0x1.7883125f9358fp-2,
-0x1.af019e2e201ccp-2, -0x1.b13af9d54b23bp-1, 0x1.91c97e6987433p-2, 0x1.0a2d5741b1629p+0,
-0x1.912da54bdf731p-1, -0x1.07d334069fda5p-4, -0x1.6c7dacd8b9915p-1, 0x1.6a0f668c27903p-1,
0x1.9c86beb25630fp-3, 0x1.fe35440cb7ddap-4, -0x1.48b056fd80a24p-1, -0x1.3a896095ab923p-2,
0x1.f4049a9e678fdp-1, -0x1.bccf0014c06a3p-2, 0x1.6010f3d5f70fcp-3, 0x1.80bc774977832p-1,
-0x1.064876aabffbap-2, -0x1.cf19905016603p-1, 0x1.05c66bc5b2f4dp-1, -0x1.58688abcecffdp-3,
0x1.3213ef1818333p-1, -0x1.ae44b70beda02p-1, -0x1.440b142bf31c2p-3, -0x1.7a728bb2aaf9dp-3},
{(const double[]){
0x1.a19dedf320264p+0, -0x1.076a501cf68a0p+0, -0x1.6c331130062b2p+1, 0x1.06f75dd21c228p+1,
-0x1.1814396066e8fp-1, 0x1.1c1ec876db967p-1, 0x1.1158209afbc02p-2, -0x1.2da2c28e7a859p-1,
0x1.4e88eeeecc970p+1, -0x1.4a240bc039fa7p-1, -0x1.41ca374236ed7p+0, 0x1.aabf2aeb0b741p-1,
0x1.3d39d82218d45p-1, 0x1.4204f62b2ed56p-3, -0x1.b42c904ecaa45p-1, -0x1.1d42404664277p-1,
0x1.52c70c7882bc6p-2, 0x1.4fff99f29b7f5p+0, 0x1.98711fa99965fp-4, 0x1.b464bf73b3d9ep-2,
0x1.06acdc264d872p-4, 0x1.a3b5061449ff0p-1, -0x1.e7653bcc5a516p-1, 0x1.f780733cf050ep+0,
-0x1.34a3868476a35p+1, 0x1.ca90f1d7519b3p-3, 0x1.95c35fc9f4369p+1, -0x1.db9cf41caee87p+0,
0x1.51bf0f9bbb537p-1, 0x1.855cad503ad41p-3, 0x1.35ede497f727fp+0, 0x1.c9aba4259665bp-1,
0x1.17e06ca2cc492p+1, -0x1.838e414c77cd0p-1, -0x1.85d3bbb08f1c1p+0, 0x1.4ed258ed439b0p-1},
(const double[]){
0x1.bc9abab3d4ea5p-4, 0x1.ce744e8d86cd1p-4, 0x1.bfc122d4491a6p-4, 0x1.ce18c65acfc7ep-4,
0x1.b76c0ea45bdf6p-4, 0x1.d0b0350f16d29p-4}}},
{17, {.rule = "sgd", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.9, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.0aa21a587ae14p-1, 0x1.4d86a5bc0e560p-1, -0x1.0a547b510624ep-4, -0x1.957f48425a1cbp-2,
0x1.bb95bd4f5c28fp-2, -0x1.472fd93c0c49cp-2, 0x1.5024856e1cac1p-2, -0x1.1a4f96b76a7efp-1,
-0x1.5cb57e8ef1aa0p-1, 0x1.d7892af3645a2p-4, 0x1.857c1e6c08313p-6, -0x1.01df683c147aep-2,
-0x1.22f3bb8dc28f5p-1, -0x1.c05da3c356041p-1, 0x1.8c82dea6fdf3bp-1, -0x1.0478cb5018937p-3,
-0x1.8ef3669d3f7cfp-2, 0x1.40f02ff2c8b44p-3, -0x1.1bca67d72b021p-4, 0x1.c375f167e3540p-2,
-0x1.c16ce2de76c8bp-2, -0x1.8ba2e369ac083p-1, 0x1.34182fe0a7efap-1, -0x1.a3eb8ea7ced92p-5,
-0x1.004e1f3d6c8b4p+0, 0x1.1aff7ca94dd2fp-1, -0x1.51e94707e353fp-1, 0x1.2f8a150bdb22dp-2,
-0x1.1af0562fef9dbp-1, 0x1.03ea2e7fba5e4p-2, -0x1.4c6dbdb6e147bp-2, 0x1.4006838b6872bp-2,
0x1.007c6c77a5e35p-1, 0x1.76a9d4abd2f1ap-2, 0x1.e4799a55374bcp-2, -0x1.820f5f1aed917p-2,
-0x1.5745bc8000000p-1, -0x1.7025b5917ae15p-1, -0x1.eb48c180fdf3bp-2, -0x1.d0332bfabe76cp-1},
(const double[]){
-0x1.ac42fc93e7f98p-1, 0x1.18aafc578d5dcp-1, 0x1.90d9a44f3e63dp-3, -0x1.24fe41ed17774p-4,
0x1.6cc8618a41ceep-4, -0x1.87692a6066df6p-1, 0x1.a2e65505538f0p-2, -0x1.89d7456422a9dp-2,
-0x1.48593efe07f22p-1, 0x1.79887d4abdd67p-1, 0x1.fab3e1ed27631p-4, -0x1.9e9d21baea2fap-4,
-0x1.d1c674da06379p-2, -0x1.54d800400b15dp-1, 0x1.384d7426eb0e4p+0, -0x1.970bae2daaf07p-2,
-0x1.c0c45ebfa45a2p-1, 0x1.88d022a02c3b3p-2, 0x1.1cef09756ecb2p-2, 0x1.a600d2c92d418p-1,
-0x1.5f5aabb490959p-2, -0x1.10f1092e6f781p+0, 0x1.8d428136e12f6p-1, -0x1.593fa3f5ffdd1p-4,
-0x1.50c8a13ed1a5bp+0, 0x1.4e2babca8f5adp-2, -0x1.c4e4db9360826p-1, 0x1.cbdef907fd204p-2,
-0x1.8194b1ba62b97p-1, 0x1.726b7bea91396p-3, -0x1.11159a317c4f6p-3, 0x1.38c7076384bbep-2,
0x1.09c73d2ba9d8cp-1, -0x1.10de25c58deeep-5, -0x1.e462e20d9e3d0p-5, -0x1.d49945aa2f0e6p-3,
-0x1.56d789e209172p-1, -0x1.08a0da869968fp+0, -0x1.8ee5b3108e6f6p-1, -0x1.38d3f36ec702ap-1},
{(const double[]){
0x1.10137334613edp+0, -0x1.fb69da6a4c505p-1, -0x1.9812ddeb12541p-1, -0x1.25d79e44415c6p+0,
-0x1.6e6646413c4d5p-2, 0x1.2b23a39dc535fp+0, 0x1.b067a03ee3524p-3, 0x1.6276f5b0a159ap-2,
-0x1.260877afefaaep+0, 0x1.6a9065e093c44p-1, -0x1.1624a2a00d584p-1, -0x1.07e27ea79c99ap+1,
0x1.3680dcc45622cp-2, -0x1.ffd2c817c87d8p-2, -0x1.5b8ca38414a10p-1, 0x1.032ea2110be2cp-1,
0x1.5f9fb00230892p+1, 0x1.9970ce19eb018p-1, -0x1.793f3c5826c78p-4, -0x1.b2600b806db97p+0,
-0x1.cad5aa08f13a0p+0, 0x1.52308db2c78d4p-2, -0x1.f502ca06bcea1p-1, 0x1.92f0ba21d32dep+0,
-0x1.534e2ae64b917p-3, -0x1.4c7091b562bdep+0, -0x1.30c80e052fd43p+0, 0x1.b0c69a9e8b60cp+0,
-0x1.6cd6b17e8a964p-2, -0x1.5f11e1e4412a2p-1, 0x1.2c691496fac8dp-1, 0x1.01216bd676e2cp+0,
-0x1.aaa4e3642595cp+0, -0x1.6cb0ec52695e3p-4, 0x1.963861a4ea649p+0, -0x1.1e5ec5a96ce7dp-2,
0x1.22b9a1666150dp-3, 0x1.a964abb79ea10p+0, 0x1.48bd7bd94d852p+0, -0x1.65e7f3a6cfc60p+0},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0}}},
{18, {.rule = "sgd", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = true, .cautious = false, .mu = 0.9, .weight_decay = 0.0, .fraction = 1.0},
(const double[]){
-0x1.03a17e022b021p-1, 0x1.b4b881eaf9db2p-1, -0x1.72c9a83d5a1cbp-1, -0x1.6da04ad8dd2f2p-2,
-0x1.180d6b531eb85p-2, -0x1.9fc7da9b43958p-1, -0x1.8d12980c6c8b4p-1, -0x1.853d575add2f2p-1,
0x1.45135d77b22d1p-2, 0x1.9db2a0d418937p-3, 0x1.d7060bf3dd2f2p-1, -0x1.c39375530624ep-1,
-0x1.41f048989999ap-1, -0x1.ee772c8570a3dp-1, -0x1.811b33c19ba5ep-1, 0x1.b10799ea9374cp-1,
-0x1.7d924980f5c29p-4, 0x1.46eb9e7f5c28fp-3, 0x1.073758ba95810p-1, 0x1.f3a21686147aep-3,
0x1.cf8e76b7d9168p-1, 0x1.41f6b9bc6a7f0p-2, -0x1.656711eba5e35p-5, 0x1.841498cbe76c9p-4,
-0x1.781d4efd5e354p-1, -0x1.121583288b439p-1, 0x1.1b36a8d751eb8p-1, -0x1.8c2999e947ae1p-3,
-0x1.d311983b49ba6p-1, -0x1.f30967e2b020cp-2, 0x1.9d7cfbe46872bp-1, 0x1.4f9c80feac083p-1,
0x1.a277be3db645ap-2, -0x1.98b5c95ec8b44p-2, -0x1.628553539fbe7p-1, -0x1.007a429c4dd2fp-1,
-0x1.dca20cbdc8b44p-1, 0x1.d86ba0474bc6ap-1, -0x1.55c57bd2d2f1bp-1, -0x1.3d803ef53b646p-1},
(const double[]){
-0x1.396fbd58b3acbp-2, 0x1.67cdac2471ad7p-1, -0x1.69bd461d5bb0ap+0, -0x1.6eca7e9a0c3eep-1,
-0x1.99a2c1b21852dp-3, -0x1.f150689696af4p-2, -0x1.606c4fb304229p-1, -0x1.7719a49608223p-1,
0x1.0ac3ca766c05ap-5, -0x1.4b445ea354cabp-2, 0x1.83a60395cf7d5p-1, -0x1.730a3dcf9f8dcp+0,
-0x1.0c37242b44c37p-2, -0x1.746344e07c3ccp-1, -0x1.04e9234bd7fe0p-1, 0x1.697cdb5f96f3dp+0,
-0x1.6d90748fd467cp-1, -0x1.f283079910f4dp-4, 0x1.a890bcdd068e5p-1, 0x1.24500a3ce32c7p-2,
0x1.3ae5e2ac34883p-1, 0x1.ec0146330ee31p-1, 0x1.7f5765fe6961ep-7, 0x1.45f6754e5e214p-2,
-0x1.2741198b04fd1p-1, -0x1.1254c55fc2a77p+0, 0x1.dfcb893c6fd2ap-3, 0x1.a9531220fb550p-4,
-0x1.99996576e7958p-1, -0x1.af718f257987ep-1, 0x1.6663791c9da5ep-1, 0x1.b0168947363cep-1,
0x1.09ae6f1c31628p-5, -0x1.b0f6f9df9326dp-1, -0x1.9c8eeaa784c12p-1, -0x1.303d7984bbddap-2,
-0x1.07ea35fd7aa06p+0, 0x1.1bb80acb8edaap+0, 0x1.3818078ba49acp-5, -0x1.dfef10f0822cap-2},
{(const double[]){
0x1.753ed9e5a2085p+0, 0x1.682e7ebf1953cp+0, 0x1.89622ca66ce87p+1, 0x1.e4cd34f8e3d24p-1,
0x1.5cd8b50c35ec4p+0, -0x1.8a2c5beecdeaap-1, 0x1.3643767d8175bp+0, -0x1.0297ea6bf996ep+1,
0x1.40654d189c0a8p-2, 0x1.165f7090fb91ap+0, 0x1.4f597b4b4a4bcp-2, 0x1.d22e690ccb730p+0,
-0x1.5c48962f9e810p-1, -0x1.796a1930d2a76p-1, 0x1.34b91cc8cd480p-7, -0x1.d00741c96961ap-1,
0x1.232540bf39cb6p+1, -0x1.dc61079c60938p-3, -0x1.37ee3f55540fap+0, 0x1.938ec65577dc6p+0,
0x1.0ff01a0029bccp-2, -0x1.1167d9009d2cdp+1, -0x1.00d5c6ac11d04p-3, 0x1.689dbd9f87d74p+1,
-0x1.c1296e469ac70p-3, 0x1.2a86dce08ac5ep+1, 0x1.26dc100eae784p-2, -0x1.b6af0d1a958e0p+0,
0x1.87250c3f22458p+0, -0x1.b3a5e9037718cp+0, 0x1.6df4c38062c50p-4, 0x1.8012503192d90p-4,
0x1.0998bf91962b1p+0, 0x1.d47405785a5fep-1, 0x1.da9f90019d920p-3, -0x1.b2dc84a12e8f0p+0,
0x1.9f29238a53bc5p+0, -0x1.b8f2c91d8e250p-1, -0x1.e4b8381b165f7p+0, 0x1.369936b5bd3cep-1},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
{19, {.rule = "sgd", .rows = 6, .cols = 6, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.0, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.0e1309743d70ap-1, -0x1.017888a23020dp+0, 0x1.597d121353f7dp-1, -0x1.011a8a491a9fcp-2,
-0x1.c7b1696dae148p-1, 0x1.45854bee16873p-1, 0x1.3df4e98560418p-4, -0x1.ccc2e7eaa9fbep-1,
-0x1.4ef8866283127p-1, 0x1.70af8306bc6a8p-2, -0x1.5c7f5c5f7ced9p-3, 0x1.fbbd7f64147afp-2,
-0x1.56406ec153f7dp-1, 0x1.e52cbedfd0e56p-1, -0x1.48df207e45a1dp-2, -0x1.0866c99ad4fdfp-2,
0x1.c393778178d4fp-3, 0x1.ab1b1134a3d70p-3, -0x1.bc6e0e9f3b646p-1, -0x1.48055835c28f6p-7,
0x1.33518dad16873p-2, -0x1.0861b9b1872b0p-1, -0x1.7c57d627c6a7fp-1, 0x1.ac409f6c624ddp-3,
-0x1.05c28d90f9db2p-1, 0x1.482b5b4056042p-2, -0x1.f2b79ccb851ebp-3, -0x1.3e4f808626e97p-1,
0x1.58f6f50c1cac0p-1, 0x1.6cb60b715a1cbp-1, 0x1.018c074b43958p-5, 0x1.e6c6601b28f5cp-1,
0x1.51f8bef5374bdp-2, 0x1.8f4d985dac084p-1, 0x1.415fd48c49ba6p-4, -0x1.6151a034ae148p-1},
(const double[]){
-0x1.e0bd5b35c807cp-2, -0x1.e128eb4c54ddcp-1, 0x1.4d6d050b8d7b2p-1, -0x1.aff56c5b1ab2cp-3,
-0x1.a4fc23089a917p-1, 0x1.5081d86fef4b7p-1, 0x1.555651e0bad8cp-3, -0x1.b51247be4fcc8p-1,
-0x1.3ff2b785bbb46p-1, 0x1.da17bf025b484p-3, -0x1.27caab55f3638p-3, 0x1.dc4ba6497c602p-2,
-0x1.3272ef614edbcp-1, 0x1.bb139632bb7afp-1, -0x1.482f844e220cbp-2, -0x1.198219adddbabp-3,
0x1.8df53ece828b8p-3, 0x1.e6a3811cd5ce8p-3, -0x1.a0cf907c05b30p-1, -0x1.5f7fff4e0a8f3p-5,
0x1.0e74c637dca11p-2, -0x1.eeb9892da2fb7p-2, -0x1.7cbb9782a35b6p-1, 0x1.26b6c2f12b534p-2,
-0x1.24b437d2653cfp-1, 0x1.4e3dde5f9418bp-2, -0x1.fbb402cc99d43p-3, -0x1.39f38ace28e98p-1,
0x1.3a685566fd6cdp-1, 0x1.7c0bca7c948a6p-1, -0x1.99c509659fabcp-5, 0x1.d0f6e69a98db1p-1,
0x1.8f5dfd519ad6cp-2, 0x1.98b40512c1434p-1, 0x1.4b1c854a1654dp-4, -0x1.4e0f8eea49d48p-1},
{(const double[]){
0x1.dc9c3f9800000p-1, 0x1.9cd9983400000p-1, 0x1.e205008000000p-3, 0x1.d2f8cf1c00000p-1,
0x1.27de7a0000000p-7, -0x1.7fc246f000000p-3, -0x1.7440880000000p-8, -0x1.c83c815000000p-3,
-0x1.081e4ec800000p-1, 0x1.c3461d5400000p-1, -0x1.56d13d4000000p-1, 0x1.2f74313c00000p-1,
0x1.751c358800000p-1, -0x1.a4394a9c00000p-1, 0x1.f7736e4000000p-3, -0x1.3981ac3400000p-1,
0x1.8a7556d800000p-1, 0x1.3563467400000p-1, 0x1.72c9960000000p-5, 0x1.bcf7aeb800000p-2,
0x1.9dd0652800000p-1, 0x1.bd0dc10800000p-2, 0x1.e8edcc3000000p-1, 0x1.75da4bec00000p-1,
-0x1.ade24f8800000p-1, 0x1.2d45939400000p-1, 0x1.6085440000000p-1, -0x1.a99efa1000000p-3,
0x1.3355119000000p-2, -0x1.f293905c00000p-1, -0x1.110cbcc000000p-3, -0x1.cc556fe800000p-2,
0x1.15c4f86000000p-3, -0x1.586e7b4c00000p-1, 0x1.649342a000000p-1, -0x1.893c20c800000p-2},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0}}},
{20, {.rule = "adamw", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.100b6f0e26a29p-1, -0x1.aa8a44668b094p-1, 0x1.e14572ff04a04p-8, -0x1.a03e922ccb6edp-3,
0x1.c8a77eacad96ep-2, 0x1.5fbc22a0b5882p-3, 0x1.e4e70d3ff7fd4p-1, 0x1.e3802e066510ep-1,
0x1.88a2b7a97bff0p-2, 0x1.c32fbb116d88ap-2, 0x1.7125dbe992772p-1, -0x1.cb3b7503a6dd5p-4,
-0x1.6ed8aa9eb1a3dp-1, 0x1.b8f5e79ec2dfep-1, 0x1.029b2b9e12a1dp-3, 0x1.4dce33d553f2ap-1,
0x1.0a85a8b65f134p-1, 0x1.afec66df99028p-3, -0x1.12731f56b7facp-2, -0x1.c06124d2ec962p-3,
-0x1.2510d0997ddeap-2, 0x1.3b11ed09f57d6p-1, 0x1.41e69f44f0c8fp-1, 0x1.5e339fd985120p-2,
-0x1.31dddc42eb4f0p-2, -0x1.8cd8ec439ff53p-1, 0x1.d62dfd3189aeep-1, 0x1.d9f0fa8cd2112p-1,
0x1.1e6c72a332037p-2, -0x1.ed89b7debf63ap-5, -0x1.93796eb293739p-1, -0x1.756722f291be8p-1,
0x1.2cac364eb6167p-2, -0x1.5c13c5d158effp-7, 0x1.b614a607b428fp-1, -0x1.a2b1d4c1e1f8dp-1,
0x1.008f63dd4c2c0p-1, 0x1.f44a85f537d2ap-3, 0x1.d18e6e92954b2p-1, 0x1.57d8cb5b3d278p-7},
(const double[]){
-0x1.01c4799637cdbp-1, -0x1.626601479aa69p-1, -0x1.83bed2039df8ep-5, -0x1.b76c328a950c6p-3,
0x1.ad08e85c008f3p-2, 0x1.06dbff78cd2b3p-2, 0x1.f9c507d56b64cp-1, 0x1.fb12ee1d8547fp-1,
0x1.625a57d7bd655p-2, 0x1.f68e8a69ce7b8p-2, 0x1.4ed0067c70072p-1, -0x1.d8aa959f33db5p-3,
-0x1.444307bdb2d95p-1, 0x1.02f9af1649dfdp+0, -0x1.0ea98c1270c63p-5, 0x1.1a11490a017c3p-1,
0x1.0ed4115defb1ep-1, 0x1.833c87b304d27p-4, -0x1.47966744b18edp-2, -0x1.c65d66337c176p-4,
-0x1.1f25d080dc868p-2, 0x1.7acbfa4633b3cp-1, 0x1.20944bf17a519p-1, 0x1.b03629c18f69cp-3,
-0x1.83175b8002eb7p-2, -0x1.53d964568f595p-1, 0x1.a86ac153c58eap-1, 0x1.9602bbd2a2dd4p-1,
0x1.fce0349cced7ep-3, -0x1.758f0d3f37bc0p-5, -0x1.79642d8258e17p-1, -0x1.248857770233ap-1,
0x1.15581ab55b94bp-2, -0x1.513e939cfa760p-7, 0x1.a7c04be152e77p-1, -0x1.87d774fed5708p-1,
0x1.773db17765ff4p-2, 0x1.59dea4712935fp-3, 0x1.b20e20024213ap-1, 0x1.9a9df9280c361p-4},
{(const double[]){
-0x1.3def6ef23af38p-4, -0x1.5c147225f314ap-3, 0x1.4a686791eaedcp-3, 0x1.0c940fa8b0f43p-4,
-0x1.ead24d238cdc0p-11, -0x1.65f180af86516p-5, 0x1.0775e79baf792p-5, -0x1.85328781c9e7bp-4,
0x1.28aa12b7d8477p-5, -0x1.9880bc12cf196p-4, 0x1.85f57edaedb95p-4, 0x1.7459419964f85p-5,
-0x1.bdc13bbf7ebaap-4, 0x1.1b25cb3847f28p-9, -0x1.2f072aa284797p-5, -0x1.17fc16e0a8353p-2,
-0x1.7185895dd6bbfp-5, -0x1.577cd8f0eb79bp-4, 0x1.10fa74012d202p-2, 0x1.7c9830c5257d0p-8,
-0x1.b511136f9b56bp-5, -0x1.d54e41c4b1d1bp-3, 0x1.57e108604a941p-3, 0x1.a2efae08313f1p-3,
-0x1.d8f255be0d457p-5, -0x1.fe582abc16a48p-5, -0x1.b50ffee2db0d8p-3, -0x1.bc078bc0a5694p-4,
0x1.f85e67ca54cf0p-4, 0x1.080e382c8f25cp-5, -0x1.7923346d94236p-6, -0x1.06481f0969dc5p-5,
-0x1.177a853420185p-5, 0x1.2d0087ce0e038p-5, 0x1.30a97c17c7310p-3, 0x1.a17bf620a436cp-6,
0x1.28bf82400f349p-4, -0x1.587031266f6f8p-9, 0x1.f1f5b6c240e96p-6, -0x1.508df57c1407cp-3},
(const double[]){
0x1.97d8a64152f7ap-3, 0x1.a0b66b43aaf14p-3, 0x1.a2bf89ef7cb5cp-3, 0x1.ab42259405e47p-3,
0x1.22995cc4267cdp-3, 0x1.e881bfd32893fp-3, 0x1.af13b549390dfp-3, 0x1.72793b8bb8b52p-3,
0x1.c5e3adda5f000p-3, 0x1.6531148e7cf50p-2, 0x1.50bc2cc3c957dp-3, 0x1.4ca70428ce129p-3,
0x1.d5856e85bd72dp-3, 0x1.00cc8eeb351f3p-3, 0x1.334910e2a6b79p-3, 0x1.371cad4c5d9a9p-2,
0x1.cfb1ecd9a4b66p-3, 0x1.d90cc6e6b9fbdp-3, 0x1.b44c75803748ep-3, 0x1.d84090f2a94edp-3,
0x1.f15c22739a96bp-3, 0x1.8ae07faf12281p-3, 0x1.c671f46afb6ebp-3, 0x1.bd95080b8806ep-3,
0x1.0ab564ca6966cp-2, 0x1.c0e9d0162687bp-3, 0x1.f364461f5f2c0p-3, 0x1.92449fe2bbc85p-3,
0x1.6709c5f2d0132p-3, 0x1.a5931f21798d3p-3, 0x1.f37c5d0020df3p-3, 0x1.c50a5f1a6deeap-3,
0x1.c10ab695c6459p-4, 0x1.ece555ba46c28p-4, 0x1.86f4e0d4f9732p-3, 0x1.6527f72a5a5d5p-3,
0x1.41c544c5b559cp-3, 0x1.1bb7d306acea2p-3, 0x1.a00098aa47db3p-3, 0x1.8ac5d84b735adp-3}}},
{21, {.rule = "adamw", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = true, .mu = 0.95, .weight_decay = 5.0, .fraction = 1.0},
(const double[]){
-0x1.102c26dbde562p-1, -0x1.4e7e6464a1279p-1, -0x1.0bb529b429590p-1, -0x1.09609d5213f77p-3,
-0x1.0a823c2131389p-2, -0x1.30690db45e84ep-2, -0x1.584168998f61cp-3, 0x1.8e96fa1613a63p-1,
-0x1.46dd703277b95p-1, 0x1.fec272fb4ec14p-2, -0x1.2e256a75a3babp-2, -0x1.553d1dcec813ep-1,
-0x1.87414d71f8d76p-1, 0x1.4dc7cd9952920p-1, 0x1.0bb92bb32b38fp-1, -0x1.571722e7f59bdp-2,
0x1.7c7df2e0bf214p-1, 0x1.20869a351c570p-2, 0x1.5075b0b0ef640p-2, -0x1.98d98d2e686c4p-2,
-0x1.e3a768d066393p-1, -0x1.30ecbb1aaa8adp-2, -0x1.93bba5eac505dp-6, 0x1.bdfa1304352e3p-2,
-0x1.47ec706c299bap-6, 0x1.b602d9ed9ce3bp-4, 0x1.adf390ccda8fcp-4, 0x1.82872c5afb56cp-2,
-0x1.a9db577d35a83p-5, -0x1.69071aead376ep-1, 0x1.3c69bfa0f0e9bp-2, -0x1.d79ce796c4bbcp-2,
0x1.49270999f96dbp-3, -0x1.5c2dcbe9ec4b4p-1, -0x1.19af97ad9ffdbp-2, -0x1.0391d1de88df4p+0,
0x1.3ed80620381ecp-3, -0x1.91f9a00ccb6fbp-4, 0x1.6a7a74f9e26e3p-1, 0x1.36cb0d26cb980p-2},
(const double[]){
-0x1.4025d02f8bc36p-2, -0x1.90967d03959bbp-3, -0x1.99fdd29261a4fp-3, 0x1.bfdb87abbde40p-13,
-0x1.3b8cc49582af4p-3, -0x1.ed66751486361p-5, -0x1.20e942ce5620ap-7, 0x1.255c42538f4bap-1,
-0x1.94231ecbefe0fp-4, 0x1.a386695f59faep-3, -0x1.a962e6a502428p-4, -0x1.7128c6c9bbba1p-2,
-0x1.962c5066e1c59p-2, 0x1.87bf2270e46cep-3, 0x1.38764ecc39c41p-4, -0x1.a2c541e71f3e8p-3,
0x1.8be7c4eb1a26bp-3, -0x1.a8dc11ceb01f4p-6, 0x1.c40adfc010211p-3, -0x1.8988c3b54e6d8p-2,
-0x1.d0ea339ce43d9p-2, 0x1.51400538ef530p-5, -0x1.7277eb0725c1fp-4, 0x1.6e4340f323f67p-3,
0x1.1550ddacc9f5ep-5, 0x1.158256420c9ffp-3, -0x1.60e8f1332b8bbp-5, 0x1.029d3690aa534p-3,
-0x1.2db00613cee1fp-3, -0x1.94d508699e556p-3, 0x1.8a7ba319814e8p-2, -0x1.6d290592a1223p-4,
-0x1.7840163763e3cp-6, -0x1.12baa32ceebacp-1, -0x1.36a1a3f1f1535p-5, -0x1.0a8eeb1cbe1d2p+0,
0x1.6788b1db24b2fp-4, 0x1.5018ac08b716dp-5, 0x1.05afe98d483f6p+0, 0x1.ebdd6e462c5d4p-3},
{(const double[]){
-0x1.800e120a35b36p-7, -0x1.17f1083240f45p-3, 0x1.c2d62090cd4a5p-3, -0x1.d35f59026d578p-6,
0x1.fbaa11e332122p-4, -0x1.cfb8115695b6cp-4, -0x1.8152f15fa5c21p-4, 0x1.e56b14af41780p-5,
-0x1.d4ce996b53a65p-4, 0x1.3104679814970p-4, -0x1.68c970fe2a4f0p-5, 0x1.161d6c8078addp-4,
-0x1.5c20cd2780de2p-3, 0x1.a8440e8e9f367p-5, -0x1.fec927bad7014p-4, 0x1.79ebeaae3c0a4p-4,
0x1.05857c65d426ap-5, 0x1.0583b5599a9aep-2, 0x1.f61f6c74e6bb8p-6, 0x1.29bae52cad115p-3,
0x1.2056b89bfff0cp-3, -0x1.31863f6371070p-2, 0x1.91148b872356ep-6, 0x1.903736c858974p-9,
-0x1.aada57c926148p-7, -0x1.510d70dde43b8p-4, 0x1.bc0ece22d81fep-5, 0x1.63b7ac778f728p-4,
0x1.ac53b57468464p-7, 0x1.b74d6f0814451p-3, -0x1.273ffc59a7b2ap-2, -0x1.42bb04fad0017p-3,
0x1.f6c71d5be2958p-5, 0x1.462e666284261p-4, 0x1.2e287598a21f8p-3, 0x1.7363edeef2232p-3,
0x1.5fe85b352594fp-5, -0x1.a884f15e8c00fp-5, -0x1.12b75863b92a7p-2, 0x1.f727d5e277e82p-3},
(const double[]){
0x1.2585c54730860p-3, 0x1.039bfee536b48p-2, 0x1.5439e50cb2b43p-3, 0x1.50e94083ee3b2p-3,
0x1.e8a63ecfebc6cp-3, 0x1.5a1b6074ce729p-3, 0x1.0e93c690b61f8p-3, 0x1.c626f4df1caefp-3,
0x1.71430ae4b7f28p-3, 0x1.6c3715e360d7ap-3, 0x1.982af972a38e3p-3, 0x1.1907eb9408fffp-2,
0x1.f6dcdccea9c55p-3, 0x1.a0b9cded6147bp-3, 0x1.986128d9e50d3p-3, 0x1.b9fd1465d5ff4p-3,
0x1.a62c6b10757ebp-3, 0x1.84bfcee30b322p-3, 0x1.2d63e6aa7e930p-2, 0x1.15086bf63d3c6p-3,
0x1.42c9f460298ddp-3, 0x1.6cf64b47c1bd4p-3, 0x1.237fe21d4429cp-3, 0x1.7d2f7ceb1ad21p-3,
0x1.00c5f378f623bp-2, 0x1.e966da33e7adcp-3, 0x1.da62eaf6dcd0ap-3, 0x1.6c7597c99f347p-3,
0x1.9ac10b7dcb617p-3, 0x1.8027b3925a9bap-3, 0x1.0c819d0dae9f2p-2, 0x1.a64f6797d16e4p-3,
0x1.e51396450a853p-3, 0x1.8701d72e34156p-3, 0x1.c23eafddd168fp-3, 0x1.b6a537bd027b2p-3,
0x1.e084e80e5ae2fp-3, 0x1.f2b36086ca633p-3, 0x1.0a18fb8fa8f44p-2, 0x1.0f7d3e4dc8dacp-2}}},
{22, {.rule = "orth_dion", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 0.25},
(const double[]){
-0x1.049d2a65f71cdp-1, -0x1.c8af2320149a8p-2, 0x1.8b9087ec5638cp-1, -0x1.5d8c441ee3363p-5,
-0x1.cf02ed53a4e47p-1, -0x1.b5dcd3779b725p-1, 0x1.4b31df4b480ffp-1, 0x1.2b504db565953p-1,
0x1.946f3795dd610p-2, 0x1.606b16f9a80c5p-1, 0x1.1d71da850858ep-1, 0x1.36d17244639aep-1,
-0x1.914705b310c8bp-1, 0x1.4588299e0c417p-1, -0x1.e0764c0749f5dp-1, 0x1.124a1276bb8cep-1,
-0x1.af193d8b0fddbp-1, 0x1.2a63558719334p-2, 0x1.d4049c143ce61p-1, -0x1.61315f1eb219dp-1,
0x1.d4bdb9656b34ap-2, 0x1.b3a68e339f4edp-1, -0x1.65fc729d89cbep-1, 0x1.4639c3c571851p-1,
0x1.86ebeb6f21b17p-3, 0x1.ef7b38d0dcdbbp-1, -0x1.4d203fd0b800ap-1, -0x1.e25f439c9f497p-7,
-0x1.ca064df3910b8p-2, 0x1.ba25308684ce5p-2, -0x1.d57633eaff436p-2, -0x1.001650d0a36b1p-3,
0x1.0f48982529f40p-3, 0x1.bf46ca371b8cap-2, 0x1.decca8d83dfedp-2, 0x1.b30f7554671dap-1,
-0x1.93321fe0cd123p-4, -0x1.fa69b4429cd3cp-2, 0x1.ef240b43dc05fp-2, 0x1.25834c48cf578p-1},
(const double[]){
-0x1.5c15cdc20981ep-2, -0x1.c99d6b34a9d05p-2, 0x1.bf7b39c3d9228p-1, -0x1.801e7e7c5d4c8p-5,
-0x1.e96f683ffdd35p-1, -0x1.e13a65ef40304p-1, 0x1.2d6b36b2f0c8dp-1, 0x1.71238401e3e9ep-1,
0x1.e3b92723aa59ap-2, 0x1.29527bbc787bbp-1, 0x1.4754727858254p-1, 0x1.7ae8b94814b7cp-1,
-0x1.9dfab5f906395p-1, 0x1.1b52a3141fc1dp-1, -0x1.b1c7e9ce22cd9p-1, 0x1.6388a5ccf0dd2p-1,
-0x1.6cc3f40baf187p-1, 0x1.0e7ed421bf9ebp-2, 0x1.a27f689d5b1b9p-1, -0x1.4d152ad48ddd0p-1,
0x1.ac014c151958dp-2, 0x1.a8427aab0f986p-1, -0x1.3b77505603ef1p-1, 0x1.49ce6f0be30a9p-1,
0x1.5df3b368b2be9p-3, 0x1.b475e91964301p-1, -0x1.1105545a0b0a6p-1, -0x1.b58b62afebbedp-6,
-0x1.96aeae852553ap-2, 0x1.db610ba118351p-2, -0x1.0c15e1a25d349p-1, -0x1.0450849d36541p-3,
0x1.bcd99901eb3f2p-5, 0x1.baca73fc9780bp-2, 0x1.e78b4b4b61ce4p-2, 0x1.de8a055e3e99ap-1,
-0x1.ae19c205802cfp-5, -0x1.ec045150a0f9ap-2, 0x1.bde57daf75326p-2, 0x1.19deac454bff8p-1},
{(const double[]){
-0x1.43d1e73493f28p+1, 0x1.644419bdc7da6p+0, -0x1.2fc4818c25260p+2, 0x1.2add5f1df27a9p+1,
0x1.0c7a7bb006effp-1, 0x1.5373366cfe549p-1, -0x1.9227174317b19p+0, -0x1.a87f268c52b70p+1,
-0x1.2db930df0eca4p-4, -0x1.4843684d7eb66p-3, 0x1.6511a485397dep-2, -0x1.e9323d8ace06cp+1,
0x1.1c456132b64b7p+1, 0x1.4886f6d2af28ap+1, -0x1.71642a593fa46p+0, -0x1.b7c820430bd1dp+1,
-0x1.106383806db42p+0, -0x1.6b94bd445f941p-1, -0x1.14d1bad6209e8p+0, 0x1.49d0c915a94a1p-1,
0x1.bbe5e1b51ca9fp+1, -0x1.286e95529a1e6p-1, -0x1.e49704f1f576dp-2, 0x1.1f4726f78ffd8p+0,
0x1.4343adab118bfp+1, 0x1.15724145cc055p+1, -0x1.cf484bc91ce34p+1, 0x1.51eecbb450cefp-1,
-0x1.40e8d60b5946ep-1, -0x1.6a5445fb17fd7p-3, 0x1.77693241d43f0p+0, -0x1.3e2ae939413f5p-2,
0x1.566fa3fddd9b1p+0, 0x1.658cc352fac0ep-1, -0x1.c6f0949401bb0p+0, -0x1.ffc73ed7cae6cp+0,
-0x1.597f1f1a0690fp-1, -0x1.587de0ec04abdp-1, -0x1.1c21fe1e6e9b7p-4, 0x1.70360ba5ecc2fp+1},
(const double[]){
0x1.e9e04e0ad872cp-2, -0x1.787e27a319b6fp-1, -0x1.c6c3747adf979p-2, -0x1.5579da0723196p-1,
0x1.64bbbf0396c46p-1, 0x1.cdc42ad1922a7p-5, 0x1.68351bf7a0394p-9, 0x1.76b313fae86a8p-4,
-0x1.308a4a93bebd8p-2, -0x1.ba70bfc651933p-5}}},
{23, {.rule = "orth_dion", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 0.5},
(const double[]){
-0x1.023af5dc6ec33p-1, -0x1.1681dae189248p-2, 0x1.2278cd70be968p-3, 0x1.8652f611575c2p-5,
0x1.b2a7d88c823b5p-2, 0x1.49a012f114700p-1, -0x1.eff6920fb5996p-2, 0x1.b3f8212e2f78ep-2,
-0x1.27a6dd8aeb7fap-1, 0x1.99b17ce08fb7ap-1, -0x1.11f275ac11dfdp-1, -0x1.fcc785af44387p-6,
-0x1.a93786a2bb878p-1, 0x1.1d8a3be8b3a11p-1, -0x1.f074a46784a65p-2, -0x1.0d49420a4843dp-1,
-0x1.14fee74fd27acp-1, 0x1.4fb625c276bcdp-2, -0x1.ff95bc6698e0fp-2, -0x1.d71115ebbf8f6p-1,
-0x1.514efd6c98215p-3, -0x1.a9413a191f619p-6, 0x1.3ec20f4c09414p-1, 0x1.95da3513b9d33p-1,
0x1.aef8f5f53a6fbp-2, -0x1.27201a0ecebeep-3, 0x1.12662bf29249dp-1, -0x1.efa8ace6d37f2p-2,
-0x1.ae4d322dabb62p-1, -0x1.5cd95f5d735e0p-2, 0x1.701c509e1fea1p-1, 0x1.6900b65ca1dbdp-3,
0x1.b5f38bb44a0b2p-5, -0x1.62dbda4e86fe3p-2, -0x1.78f90b37fa70fp-1, 0x1.65fb65db82bb5p-1,
-0x1.882f3aed358a7p-2, -0x1.ad05e408b39b8p-1, 0x1.18d57aceeb350p-2, 0x1.bdc271dda2156p-1},
(const double[]){
-0x1.05acc7aea00d6p-1, -0x1.25c87333aa568p-2, 0x1.9885660dabfc1p-3, 0x1.e96d682e0e6f8p-5,
0x1.7884da3010495p-2, 0x1.6962e60e29c0fp-1, -0x1.a2ee78fe23653p-2, 0x1.0bdcc6d1da88ep-1,
-0x1.1da0560cdf0afp-1, 0x1.62aed26b40397p-1, -0x1.f9437e67b0494p-2, -0x1.a54de5212c9bbp-4,
-0x1.6982707d636bfp-1, 0x1.5114e4cd5e9ecp-1, -0x1.d4ff8a061eb6cp-2, -0x1.d2d5ec5746736p-2,
-0x1.02368ad9e8d31p-1, 0x1.2ae0039198978p-2, -0x1.1a4502d0f2602p-1, -0x1.fda3c4e2d6a6ep-1,
-0x1.446b7f1c43254p-3, -0x1.4fdfaeb2e4f56p-4, 0x1.e5aad3c25151fp-2, 0x1.d8398d938119fp-1,
0x1.b62c07575adfep-2, -0x1.c59f35955ae79p-4, 0x1.e19b1889643efp-2, -0x1.d420c64cbd496p-2,
-0x1.b95ca75a12acap-1, -0x1.79cb17a38a2cdp-2, 0x1.55cbb20ce4e95p-1, 0x1.d00e5836677fap-3,
0x1.e0384ce1e59a3p-4, -0x1.4d01c3c6d912cp-2, -0x1.66c03104323bep-1, 0x1.675f8e45f8503p-1,
-0x1.368722dec8c62p-2, -0x1.762ec809b569ap-1, 0x1.e69d312e2b3a0p-3, 0x1.a7af4d24e063ap-1},
{(const double[]){
0x1.dc82512e96b9ap+0, 0x1.bc127369cb638p-2, 0x1.5d6bddf329c0bp+0, 0x1.fd6c22543d208p+0,
0x1.7e940a29ce1f9p-1, -0x1.c906041814c9fp+0, -0x1.a1af2dac0072fp+0, -0x1.3a45e5a02d41dp+0,
-0x1.df9039517ae63p-1, 0x1.e3b6fd48045cep+0, -0x1.3afbd3d2b838ep+1, 0x1.38dd77ad9c2b7p+1,
-0x1.46c47d4fd0891p+1, -0x1.c40a6b3aa6ffbp-1, -0x1.73d8d72d120a1p-1, -0x1.d11a4e3ef242ep-3,
-0x1.90772fbc366cfp-2, 0x1.7331abddb830fp+1, 0x1.6b4d88f8aa0c8p-1, 0x1.c2f6b7414e15dp+1,
0x1.141fa0f6c1de5p+0, -0x1.1693d30e7b430p-7, 0x1.c535a70d048b0p-2, -0x1.d51e18fb60fdcp+0,
-0x1.4044889e0118bp-3, -0x1.17cbcaf60920ap+0, 0x1.adcaca547951fp+0, 0x1.2f8d705abaa88p-7,
0x1.8247328118cf8p-3, 0x1.75d024d84c701p+0, -0x1.01285e5f04e06p+0, -0x1.c53a77152853dp-1,
-0x1.6c4bdfa9fa4cap+1, -0x1.56729264c8a5fp+0, 0x1.c433dc1f28358p-4, -0x1.b9bc70df86633p-1,
-0x1.ecd3abe4061b6p-2, -0x1.169801a8c67efp+1, 0x1.cfc6a0f749263p-1, 0x1.7362502ada361p-2},
(const double[]){
-0x1.d85dc2b8722e4p-2, 0x1.5e111c72ad5bcp-12, 0x1.96900b1ababf8p-2, -0x1.336c899678fefp-3,
0x1.abd2e8548efa7p-1, 0x1.29b2b38c62664p-3, -0x1.68fd816caa026p-1, 0x1.0b0facb8a050cp-3,
-0x1.412ceca79b959p-1, -0x1.38058ea653b5fp-4, -0x1.8c2b7fb3ffd8dp-2, -0x1.92e7eaeae5934p-2,
0x1.05f408da4aea1p-1, 0x1.78614244438b6p-2, -0x1.0b7a793f36cecp-1}}},
{24, {.rule = "orth_dion", .rows = 6, .cols = 6, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.0, .fraction = 1.0},
(const double[]){
-0x1.075d12f028074p-1, -0x1.62690610e3621p-4, -0x1.039c712bd6a52p-1, 0x1.d67a7d2dcae06p-4,
-0x1.d87be1923d3eep-3, 0x1.fb00fd5570e2fp-4, 0x1.92cf57eded4f9p-2, 0x1.04e6a7308e9afp-2,
0x1.b53a5c4f987afp-2, 0x1.dbc1686a6f03dp-1, 0x1.7fb834fd1e92dp-2, -0x1.4c7e4dd83a478p-1,
-0x1.c17bcfb0b1af3p-1, 0x1.dfa137efc6bd2p-2, -0x1.9470c60b41b7cp-6, 0x1.9e03109a93ab0p-2,
-0x1.f13bfa02ba237p-3, 0x1.5ccf3159c3f7ap-2, 0x1.bbeec8b4acf99p-4, 0x1.b5ce959d8ecffp-1,
-0x1.8993bcff35b87p-1, -0x1.d1d5d4ead79fcp-1, -0x1.11ab2c9d04eecp-6, 0x1.dcb1ed6d94892p-1,
0x1.53f9f19f186ffp-1, 0x1.77f2f947a600ep-1, -0x1.1a2b38c68b263p-2, -0x1.f109c098a0a38p-1,
0x1.8b9cb00038457p-1, 0x1.cb6bf9afa044ep-1, -0x1.b8a1b19bf1a08p-4, 0x1.e56116382e4efp-2,
-0x1.18881205b273ap-6, 0x1.bafb402db0295p-1, 0x1.b2a697667deb5p-5, 0x1.10aebcb00d3b5p-1},
(const double[]){
-0x1.777e8e2c814f0p-1, -0x1.f3270eff163edp-6, -0x1.248d233f048f8p-1, -0x1.6ff91ac11c04ap-6,
-0x1.93819fcb6e353p-3, -0x1.7a67bb98c7b1ep-10, 0x1.a9ed0c0e8877bp-2, 0x1.b06e72f609706p-3,
0x1.fb7112db66b84p-2, 0x1.bfd71a75daa01p-1, 0x1.0d28f0d9d961ep-1, -0x1.1cdf08ecda80fp-1,
-0x1.93ce7bbfd5999p-1, 0x1.5f09771bf58dap-1, -0x1.9c2a645a6a58dp-3, 0x1.d232b81f415ffp-2,
-0x1.d6f81accb2607p-3, 0x1.59e9a497b8355p-2, 0x1.dbabe253ac07ap-3, 0x1.7b88a9f3ce3eep-1,
-0x1.80460e54973e8p-1, -0x1.f4bec187769c3p-1, 0x1.2e432b7df4582p-3, 0x1.94799c3b6cc0bp-1,
0x1.803796408f56ap-1, 0x1.66c9039faa77bp-1, -0x1.9495609818ec2p-2, -0x1.04de6580ebca8p+0,
0x1.c0487a32dc336p-1, 0x1.a181c2360b3dep-1, -0x1.083aeeaede1f0p-3, 0x1.f61ecb80df302p-2,
0x1.30fa7a43a5398p-4, 0x1.f3c0f0e9337abp-1, 0x1.8e4c951b8d2f1p-5, 0x1.a1ac2182a02f7p-2},
{(const double[]){
0x1.54b73fd559db8p+1, 0x1.03f6d57654531p+0, -0x1.299e722a41550p-1, 0x1.0856da8848245p+1,
0x1.3b379867f8b84p-2, -0x1.d614dd65ffa26p-1, -0x1.b7cc1044bb297p-1, 0x1.06a9ec63f8eacp+1,
0x1.d6d0a7ca94334p-2, 0x1.be084a79c8bbcp-2, -0x1.ac74c70f937f2p-2, 0x1.d9e132076bf0bp-1,
-0x1.e38c28c6890cap-1, -0x1.57fda11226990p+1, 0x1.d123454aa6c88p+0, 0x1.1f3d5c55a10b5p-4,
0x1.60b7b6ff32aabp-2, 0x1.0aee16a4a6ac4p+1, -0x1.27dfe75be30fcp+0, 0x1.b41551906023fp+1,
-0x1.343da7dc27cfdp-1, 0x1.9db2e88ae2692p+0, -0x1.f1b3ba47ae0bbp+1, 0x1.36f3acf56d31fp+0,
-0x1.da2f7893fb67bp-2, -0x1.2492898482829p-1, 0x1.06a24112218fdp+0, -0x1.e3515ec350bfdp+0,
0x1.d1724022c38f2p-2, 0x1.7ee343d4c9f7bp+0, 0x1.2a71c17d83c9ap+0, -0x1.f84cadcbbf01dp+0,
-0x1.4fabb6b4d35d6p+0, -0x1.0485f9280b401p+1, 0x1.238ac904fe1adp-1, 0x1.ded3a9594ce10p-1},
(const double[]){
0x1.dea6d8dee9960p-5, -0x1.4dfcb834b55d1p-1, -0x1.ae24fb353bdd1p-4, 0x1.548c7fb6430c7p-1,
-0x1.2a514f8c2766ap-3, -0x1.3df65d3c54825p-2, -0x1.80d1774bc8174p-1, -0x1.0915ed4b9deb2p-5,
0x1.51b29bfb96f27p-2, 0x1.ee18ef2f554eap-3, 0x1.0440acf669838p-1, 0x1.7e65a45403d4bp-4,
0x1.272c3953b2f47p-3, 0x1.5154ac37168acp-2, -0x1.dc6693f18130cp-2, 0x1.bf21aee9c1c35p-4,
0x1.2b6752cd07e8dp-1, -0x1.189d707ce935cp-1, -0x1.a6903adb5ce26p-2, -0x1.96bafa4d8e8a3p-3,
-0x1.9cbef84e4e00ap-1, -0x1.348d57f39ae90p-3, -0x1.6d1bdd0486311p-4, 0x1.533f7a37c6a2dp-2,
0x1.ee5e2cbf986d2p-2, -0x1.5be2b50b76726p-2, -0x1.73b26411fd7acp-9, 0x1.6a664fd220e55p-7,
0x1.2c995afcd0179p-1, 0x1.1b89d7b3f9266p-1, 0x1.63dc284cd810cp-4, 0x1.1d1813308c19ep-1,
-0x1.e2cff48fd354ap-4, 0x1.5d01d9387d279p-1, -0x1.490167ba9ed28p-3, 0x1.b01436cf4a02ap-2}}},
{25, {.rule = "lion", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.0e107a2170a3ep-1, 0x1.cb509e754fdf4p-4, 0x1.b4994fc49fbe7p-1, 0x1.5455a60e8f5c3p-3,
-0x1.c5ff8c68e5604p-1, -0x1.66809c79851ebp-2, -0x1.7a7529b95c28fp-1, 0x1.14a8e10f8d4fep-4,
-0x1.229b1faed0e56p-1, -0x1.e254acd1e978dp-1, -0x1.7a4768e5ef9dbp-1, 0x1.637c5d76020c4p-1,
-0x1.d099916c08312p-1, 0x1.5c8f73e5126e9p-2, 0x1.a2c9c325ba5e3p-2, -0x1.5e6a711fe978dp-1,
0x1.b26c0638d4fdep-5, 0x1.734d364e39581p-2, 0x1.5a096cf49fbe7p-1, 0x1.36da944fccccdp-1,
0x1.3ee65888a3d71p-1, 0x1.a29e0174e5604p-3, -0x1.552dce76ed916p-1, -0x1.cbf408eafbe77p-1,
0x1.bef0dc19c28f6p-1, -0x1.975d8f7600000p-2, 0x1.e738833fd2f1bp-1, 0x1.1d392f9a3b645p-1,
0x1.831deb9e76c8bp-2, 0x1.cceba2fbb6459p-4, -0x1.e74bcf994bc6bp-1, 0x1.8ec1410a74bc6p-1,
-0x1.2906e98041893p-4, 0x1.b39a62da3d70ap-5, 0x1.bd246f3b26e98p-1, 0x1.a10c0a2fba5e4p-2,
-0x1.f0cad8921cac1p-1, 0x1.b207879866666p-2, -0x1.aad96299ba5e3p-4, -0x1.20641dbe91687p-1},
(const double[]){
-0x1.73772e0e60a3fp-1, 0x1.b5020d01192a0p-8, 0x1.09e42777b3f15p+0, 0x1.e218d125eb7c4p-5,
-0x1.2fe0513e2ea90p+0, -0x1.ebacd6dabfcf2p-3, -0x1.ef51fdaef5607p-1, 0x1.783d65dd44980p-5,
-0x1.b34460d3668edp-3, -0x1.8b1772efdb1b8p-1, -0x1.25a405403994bp-1, 0x1.f76785e2b49c3p-2,
-0x1.002978bf7c505p-1, 0x1.126589f3bbc9fp-2, 0x1.2e03f1c3edd66p-2, -0x1.32f63a3e2eee9p-1,
0x1.d53306b98af8dp-3, 0x1.8257c738b2433p-4, 0x1.6cc1199bab6a0p-2, 0x1.a14d4c4a4b839p-2,
0x1.013ae94370013p-1, 0x1.6f171647462bfp-3, -0x1.2a270c8a9e61dp-1, -0x1.c3832d3c7110fp-1,
0x1.e0f2eb830bec6p-1, -0x1.832d86d1a0027p-1, 0x1.8e45d9899a2a6p-1, 0x1.1d5c6341d0a7cp-1,
0x1.6320c13bb07a4p-2, -0x1.0f43e9f0cdbeep-2, -0x1.8eb625eff0b0fp-1, 0x1.392522660a907p-1,
-0x1.a4e258b4084dfp-7, -0x1.49c6c85a3ec47p-2, 0x1.033d939f55ff2p+0, 0x1.4b1740bf810a2p-1,
-0x1.96997d65a80b1p-1, 0x1.df391fd794388p-2, -0x1.e78478e2ed0e5p-4, -0x1.359214a9ef500p-1},
{(const double[]){
0x1.0a6240e75d023p-4, 0x1.31b02804def00p-4, -0x1.d52e8421e61f5p-6, 0x1.1f869595d27eep-4,
0x1.73b50b0e1a9fdp-5, 0x1.d922c956ff72cp-7, 0x1.1497482bf1decp-5, 0x1.97f7425e508b2p-7,
-0x1.a8e80dca7df70p-5, -0x1.2408239d6c73ap-6, 0x1.ed1c06862034fp-8, -0x1.831667da88627p-7,
-0x1.cf4fc43f05f22p-3, 0x1.7c7af296c90e4p-6, 0x1.9f1382e33c3a8p-6, -0x1.680e5def2ac68p-5,
-0x1.fa60e6016143cp-6, 0x1.8d4f17c67b2bdp-5, 0x1.431ab2adf2497p-4, 0x1.4e8115099452ep-4,
0x1.8ba35e2e7634dp-6, 0x1.502d6ae8c983dp-6, -0x1.4a777b2411848p-8, -0x1.d4f7760511c6cp-4,
0x1.8cebf7dea8280p-11, 0x1.de05b338697dap-4, 0x1.a5fd7aea33058p-8, -0x1.d89079ad74e16p-6,
-0x1.1ef600c727e8fp-4, 0x1.e29062d847e42p-4, 0x1.dbc3d0466aa9ap-8, 0x1.275ba98a7e3ddp-4,
0x1.22dd211f164c9p-5, 0x1.13487d1b2045ep-4, -0x1.254e11d425ff2p-6, -0x1.ca3e0679fc482p-5,
-0x1.ab32ae0662950p-4, -0x1.11a2fc1002b90p-4, -0x1.52790ba55cd0ep-5, 0x1.9a63afa7b3338p-4},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0}}},
{26, {.rule = "lion", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 5.0, .fraction = 1.0},
(const double[]){
-0x1.bf6d402451eb8p-2, 0x1.10bfcbde147aep-2, 0x1.ea831ffa8f5c2p-3, 0x1.04a28d92e147bp-2,
0x1.72a5ad35eb852p-2, -0x1.89274c3c28f5cp-1, 0x1.c7a35e6851eb9p-4, -0x1.78bd2e7eb851fp-4,
0x1.c479431547ae2p-2, -0x1.917f5ffbd70a4p-1, 0x1.81fa953a8f5c2p-3, 0x1.d188291c28f5cp-5,
-0x1.b74c07e6f5c29p-1, 0x1.bf063b63d70a4p-3, 0x1.8e40ae6ef5c29p-1, 0x1.0a0b0fdc7ae15p-2,
0x1.4940d1591eb85p-2, 0x1.91ceaa1e147afp-2, -0x1.4f5f8175d70a4p-1, 0x1.86ebdf6c7ae15p-2,
-0x1.0956ef83d70a4p-5, -0x1.210b7b1c28f5cp-1, 0x1.3703fda03d70bp-1, -0x1.5bb1d001c28f6p-1,
-0x1.9b5be1b6a3d71p-1, 0x1.e5ee75a47ae15p-2, 0x1.1c7daaedc28f6p-3, 0x1.4c5f158e147aep-4,
0x1.2c96685d70a3ep-5, -0x1.2dbbaf3a3d70bp-1, 0x1.e6423c8dc28f6p-3, -0x1.8f90f2be8f5c3p-1,
-0x1.092729af0a3d8p-3, -0x1.5333d518a3d71p-1, -0x1.31e3271c51eb8p-2, 0x1.858363d3d70a4p-3,
0x1.68e247ef70a3ep-1, 0x1.ea7d655c28f5cp-5, -0x1.1967c44c51eb8p-2, -0x1.a644e7870a3d8p-3},
(const double[]){
-0x1.4fdb246e6374fp-6, 0x1.54505008b028dp-6, -0x1.c9a7beb7299bep-5, 0x1.de1994ec73cb2p-4,
-0x1.d7fb7ca6a5fa8p-5, 0x1.1ca7f36718e30p-9, 0x1.c329b43f4fac1p-4, 0x1.3ebf7b40ef3b1p-5,
-0x1.49c6914bcd68ep-8, -0x1.a2a3c931838f5p-3, -0x1.909f167f13e77p-5, -0x1.2968ec865f730p-3,
-0x1.23150fc9f255ep-4, -0x1.846371636940ap-5, 0x1.5d0cb2c15b63cp-4, 0x1.1326ef5c49158p-4,
0x1.77bea0acc639cp-3, 0x1.44b9550d7bc8dp-4, -0x1.ae04f39587645p-3, 0x1.260dc63632a29p-3,
-0x1.7f833df3731dep-4, 0x1.1a0ef15251c48p-4, 0x1.1b2f2247e6186p-5, 0x1.4cca8a27f97d7p-4,
0x1.0e46951853358p-5, 0x1.8e8e514bf4e6ap-5, -0x1.84a1b2841a3e1p-4, 0x1.9664572204ca4p-5,
0x1.72b4e52c00602p-5, -0x1.a8fe6d19c2f04p-4, 0x1.624232c94b6e8p-4, -0x1.25d1886194fd0p-3,
0x1.247e40eab547dp-3, -0x1.466d752f2f54cp-3, 0x1.131eb7f7e7725p-4, -0x1.f36f6269523a7p-6,
0x1.146ad426917cap-5, -0x1.ff91bc11cdc17p-4, -0x1.108a56435312ap-7, 0x1.841bab0210debp-4},
{(const double[]){
0x1.b964b7a361faep-7, -0x1.fe2c2c0e09d0ap-7, 0x1.738c43083094ap-5, -0x1.d9b5bba779e81p-4,
0x1.2d20618a4d1dcp-3, -0x1.3dcb918ca6752p-5, -0x1.8527c31a29fa4p-3, -0x1.3c3784c5c52fcp-5,
0x1.668b5ba26c198p-5, 0x1.3dbf03c7b6c71p-5, 0x1.df668ad6089c8p-6, 0x1.d811d983991a0p-4,
-0x1.bfb69f20a4b66p-5, -0x1.5d6eeef2b6741p-5, 0x1.f003428de3c3ap-6, 0x1.d68d52a23691cp-7,
-0x1.fb4d1fc6a2c82p-4, 0x1.ed0c512c18a39p-5, 0x1.a149276ac7cd0p-5, -0x1.517c187345d76p-5,
0x1.5295e2fd7a7b2p-4, -0x1.1f4997ee5c8e6p-4, 0x1.bc4a0c9cbed78p-5, -0x1.0e06749ad4ea6p-3,
-0x1.f9e7243094f17p-4, 0x1.147d5828fa23ep-4, 0x1.58f02bcecfcb2p-4, -0x1.cf92f44c5c0b0p-8,
0x1.56c0526b1a9e6p-5, 0x1.890962d1eca0cp-6, -0x1.c47abde102d6cp-9, -0x1.7c09be29932a0p-7,
-0x1.6ac0b0b602581p-3, 0x1.1aff8a6676c4bp-5, -0x1.06951df134202p-3, 0x1.ffc0cc93d7a08p-9,
0x1.becdcfc42301ep-5, 0x1.ac1bc84f464b0p-8, -0x1.066cc2b3f0137p-3, -0x1.358bfb0f0d3b3p-5},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
{27, {.rule = "soap", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.f195a0f7c66c6p-2, 0x1.e59bb9f26a40bp-2, -0x1.9fa780293fbdcp-2, 0x1.417bab19b21f6p-2,
-0x1.c7075beae23a0p-3, 0x1.470bc927aef67p-1, 0x1.e20f868a62620p-1, -0x1.d1405887f78bep-3,
-0x1.f8a048ef9adc4p-2, -0x1.6ce95bc25d307p-1, -0x1.c461184e1b132p-1, -0x1.0c3f742a65d21p-1,
0x1.fe0f08019d845p-1, 0x1.2f333a9983486p-3, -0x1.45666e4c0cd84p-1, -0x1.a3b6c1d57b396p-1,
0x1.68a9f3e64cdb2p-1, 0x1.b170044af573ep-2, -0x1.6942ffe20ee40p-4, 0x1.3dc72bac3a034p-3,
-0x1.4cf8009bbb5c0p-1, 0x1.d2240d54c6760p-2, 0x1.b0a98c4c538adp-7, -0x1.4dddb87e8c379p-1,
-0x1.3a94db356377dp-1, -0x1.2e22a2358e381p-1, -0x1.60324786853f7p-1, -0x1.7db487283647bp-2,
-0x1.5d3519a634a08p-2, 0x1.3ddeb3aade3bap-1, -0x1.343e116463010p-1, -0x1.3224598420762p-1,
-0x1.0930439bb1f6ap-2, 0x1.092941380158cp-1, 0x1.adcf26315b5adp-2, 0x1.950a341053ad2p-4,
0x1.d0057306a3a4dp-2, -0x1.f944f025dcabep-3, -0x1.04ebd0b218dc6p-1, 0x1.f8e661c225620p-5},
(const double[]){
-0x1.6d107861ff507p-2, 0x1.07608325e3506p-1, -0x1.c0934e930a09fp-2, 0x1.2cce83fb6acc0p-2,
-0x1.206f05206c5bcp-3, 0x1.62204bd758ef5p-1, 0x1.68a281ff8c8a0p-1, -0x1.a0e1f4d1d1b1cp-3,
-0x1.b11f3259ca5e5p-2, -0x1.5c1c7db09ea3ep-1, -0x1.8fad38ab2683cp-1, -0x1.9bcbb045e188ep-2,
0x1.00758cac15b90p+0, 0x1.84459a00c15d5p-3, -0x1.50dbf92116351p-1, -0x1.6f6f1683e1135p-1,
0x1.5347964bcf39dp-1, 0x1.bcac7bc6a8f2ep-2, -0x1.17d0e8667c08fp-5, -0x1.01d3ed031a40cp-7,
-0x1.caa0fb079465dp-2, 0x1.b9397b02e0ee5p-3, 0x1.44bc0b2a59df2p-5, -0x1.01c976ef3e814p-1,
-0x1.1544a0f0ed1f1p-1, -0x1.d85a22ad6fb5fp-2, -0x1.5e7ffd277b6e2p-1, -0x1.dd6f98df472bep-2,
-0x1.b779b924490b4p-3, 0x1.446188738e46ep-1, -0x1.2f0bd9643ca94p-1, -0x1.483b693e3dd1ep-1,
-0x1.a01a5f1a9548dp-2, 0x1.f8a191ba288d7p-2, 0x1.5772ee306d4b5p-2, 0x1.a7f57ce4bb234p-4,
0x1.a833f6e42a63fp-2, -0x1.2a27e079e9f60p-2, -0x1.088546b593256p-1, 0x1.95e0e84825d3bp-3},
{(const double[]){
-0x1.19be802552cb7p-3, -0x1.14ec83daf0b54p-4, 0x1.fcfb2e8392072p-3, -0x1.b19efec0a5194p-4,
-0x1.56f66b33f9c0fp-3, -0x1.f214bbbd00b66p-3, 0x1.1a7b1b50234e4p-2, -0x1.6ddb55224fe52p-4,
-0x1.352080d28ef0fp-3, -0x1.fa5cb63659342p-3, -0x1.357d8e56dc998p-3, -0x1.563bd873cdebap-5,
0x1.852663a000854p-6, -0x1.01fd779924430p-8, -0x1.8350ffb8bfc47p-5, -0x1.146866447cd92p-5,
0x1.51dc557ffd906p-6, 0x1.3ea924d76bfa4p-5, 0x1.692f7da039428p-5, 0x1.8a6fbe198e8f4p-3,
-0x1.cb3df0cc1605dp-3, 0x1.319b12316e2cap-2, -0x1.dc5e653d4cbcap-4, -0x1.83698a3f252e4p-4,
-0x1.5108d1d66d739p-3, 0x1.5383cb17d7f68p-4, -0x1.259e9f5ddc391p-5, 0x1.1a900fb4ae7d6p-3,
-0x1.3486e15484dafp-3, 0x1.43ebb2830c02dp-7, 0x1.0fbf8e4c3a633p-3, -0x1.c5fd51d781154p-6,
0x1.c8825d9956bc9p-4, -0x1.d0d0d779818fcp-4, 0x1.85557d250351cp-5, 0x1.7caab240daea4p-4,
0x1.8df65258a0ad0p-3, 0x1.936290026053ap-3, 0x1.f3f76663557f0p-4, -0x1.762a28177550ep-4},
(const double[]){
0x1.0e13db9e8d380p-2, 0x1.e07f754585ec3p-3, 0x1.d3e767d740734p-3, 0x1.e36c6c9458ad3p-3,
0x1.8e412e0992e09p-3, 0x1.93138ff831ae8p-3, 0x1.64467e54da539p-2, 0x1.966500df2200ap-3,
0x1.4f6cada65207ap-4, 0x1.2ab3a03466d91p-2, 0x1.ec0f83b83decap-3, 0x1.49d96270acd30p-3,
0x1.a63dd026d9270p-3, 0x1.6e8a2eb8f7894p-3, 0x1.83b0d6538582fp-3, 0x1.750f92d4d98fdp-3,
0x1.47ce87c73c702p-2, 0x1.0679776e6b47dp-2, 0x1.461785931340dp-2, 0x1.79f4aa2957428p-2,
0x1.48ce9424defd7p-3, 0x1.be336297d8fe0p-3, 0x1.4fe322a6e8953p-3, 0x1.7d01ca82ad910p-3,
0x1.e8c98d10a8895p-3, 0x1.3eec57ea1bd43p-2, 0x1.6748e1ef3b1a8p-3, 0x1.58d971ef3812cp-3,
0x1.4313cd3455aadp-3, 0x1.ad30a3f4d979ap-3, 0x1.1c8d49861911ep-2, 0x1.197414a34bb2fp-2,
0x1.c8e0b3c505201p-4, 0x1.174f73fa0a837p-2, 0x1.52f125e490a64p-3, 0x1.343b89128a7f4p-3,
0x1.9684767ff038ap-3, 0x1.df989bc4b3ac3p-3, 0x1.d9cfeeeb53ab7p-3, 0x1.b3395b80416a7p-3},
(const double[]){
0x1.1ad508fda38b4p+0, 0x1.7ea3db8a6879ep-3, 0x1.304165633c45ap-3, -0x1.4f629dc0d100ap-5,
-0x1.33002ffc8a372p-4, 0x1.7f30c7b440797p-5, -0x1.04b221946ab4ap-3, 0x1.046fa2fa63186p-3,
0x1.7ea3db8a6879ep-3, 0x1.255a56fb8fcaap+0, 0x1.022e28cce8b4bp-3, 0x1.9d67ae9bbd700p-13,
0x1.e5049a425c278p-4, -0x1.557747ec8e78ep-6, -0x1.b45784fefcba7p-4, 0x1.8e337a83d44a0p-7,
0x1.304165633c45ap-3, 0x1.022e28cce8b4bp-3, 0x1.003f4e2606795p+0, 0x1.534ad56bf54b1p-2,
-0x1.d9346d4eebaa2p-6, -0x1.fab721afee5eep-4, 0x1.0e453481a0480p-9, -0x1.b36b7dab7972cp-4,
-0x1.4f629dc0d100ap-5, 0x1.9d67ae9bbd700p-13, 0x1.534ad56bf54b1p-2, 0x1.227a2d1b10ca8p+0,
-0x1.b54c452b5f1f4p-4, 0x1.0cca82fe64515p-2, -0x1.10b122e348185p-6, -0x1.a42ac6bc1be98p-4,
-0x1.33002ffc8a372p-4, 0x1.e5049a425c278p-4, -0x1.d9346d4eebaa2p-6, -0x1.b54c452b5f1f4p-4,
0x1.258c3f531f955p+0, -0x1.b94fd5ccbf75cp-5, -0x1.aaf85d7626cfep-6, 0x1.2f175e393f7edp-3,
0x1.7f30c7b440797p-5, -0x1.557747ec8e78ep-6, -0x1.fab721afee5eep-4, 0x1.0cca82fe64515p-2,
-0x1.b94fd5ccbf75cp-5, 0x1.0de4ef3cfc192p+0, 0x1.b095a4145f522p-4, 0x1.270094c227156p-3,
-0x1.04b221946ab4ap-3, -0x1.b45784fefcba7p-4, 0x1.0e453481a0480p-9, -0x1.10b122e348185p-6,
-0x1.aaf85d7626cfep-6, 0x1.b095a4145f522p-4, 0x1.08ef191b6ebfbp+0, -0x1.b30f62e7ec4afp-3,
0x1.046fa2fa63186p-3, 0x1.8e337a83d44a0p-7, -0x1.b36b7dab7972cp-4, -0x1.a42ac6bc1be98p-4,
0x1.2f175e393f7edp-3, 0x1.270094c227156p-3, -0x1.b30f62e7ec4afp-3, 0x1.31709b07dd017p+0},
(const double[]){
0x1.bac2dce6973e2p+0, -0x1.07730fe5370f7p-6, -0x1.a8c01b1da5ed0p-3, -0x1.045baa178f0c4p-5,
0x1.899e8aa8010e4p-6, -0x1.07730fe5370f7p-6, 0x1.c6caa0dcb187ep+0, 0x1.e0b5c683de4d0p-9,
-0x1.cf2c03c011909p-3, -0x1.09d21d955b2bcp-3, -0x1.a8c01b1da5ed0p-3, 0x1.e0b5c683de4d0p-9,
0x1.afe3d380e7411p+0, 0x1.825e4e140bd55p-3, -0x1.e429f5caa8bc5p-4, -0x1.045baa178f0c4p-5,
-0x1.cf2c03c011909p-3, 0x1.825e4e140bd55p-3, 0x1.ac98ace59aab0p+0, 0x1.4cddcccc59481p-4,
0x1.899e8aa8010e4p-6, -0x1.09d21d955b2bcp-3, -0x1.e429f5caa8bc5p-4, 0x1.4cddcccc59481p-4,
0x1.f2afbfc3e756fp+0},
(const double[]){
0x1.a3e025e820a9ep-1, -0x1.d7d10504db54bp-4, -0x1.3bdc59fef62fep-3, 0x1.34b2e820a5525p-6,
0x1.527f90199ff66p-2, -0x1.13340e56045aep-6, 0x1.658e83f3feb9ep-2, 0x1.efc0d8b6884c0p-3,
0x1.6a118efdc0dd0p-5, 0x1.685132dc428a9p-1, -0x1.865187675dae2p-5, 0x1.f75dfd19375b5p-4,
0x1.651067d3b0b1dp-6, -0x1.439e7a4f4017dp-1, 0x1.965f81518de4fp-3, -0x1.b788540d28831p-3,
-0x1.b31e94cbca611p-9, -0x1.f7fbba1eb5089p-7, 0x1.941dcfa803d61p-1, 0x1.60c95de6fe139p-2,
-0x1.f9fb4c2ade017p-6, 0x1.68719b1ee0633p-3, 0x1.d55881a7e6c60p-2, -0x1.03a1c98df7eedp-3,
-0x1.205a6ddc1c8abp-3, -0x1.6d81b3553e556p-3, -0x1.01f5c8aea6172p-4, 0x1.8c2aedbeae6d0p-1,
0x1.9f592ffe359e0p-2, -0x1.a2cde10f546c3p-3, -0x1.49ef90f90fcbep-2, 0x1.81d2af960a780p-3,
-0x1.ad816d50f0e2cp-3, 0x1.23da10539ef67p-2, 0x1.9d6c06da2aefap-3, -0x1.7652e61fd3312p-2,
0x1.9cb3851292ef8p-1, 0x1.a8c5cd5babbd3p-3, -0x1.4b45e717cae1dp-4, 0x1.1254bbb66187ap-5,
0x1.5217babcc4c05p-3, 0x1.9f20ca83871adp-2, -0x1.3a1de1c58dd25p-2, 0x1.6466cfe5d35acp-2,
-0x1.c050f4fc5ed11p-6, 0x1.5190faf11482cp-1, -0x1.4c394534523b6p-4, -0x1.8e1b5b7f2bf24p-2,
-0x1.ebd8e501aae1fp-2, -0x1.6f6fd758b6a50p-8, -0x1.b41c92c4f91b5p-2, 0x1.98b5d07b388b0p-4,
0x1.abd1f82393ca4p-5, 0x1.0c30e9c68e215p-3, 0x1.60664b69516b1p-1, 0x1.29579be8c012dp-2,
0x1.f6082fb78a16bp-5, 0x1.d974abbae27d1p-2, 0x1.673ba22ef183cp-3, 0x1.92a55125164b2p-5,
-0x1.11f30dd8f435ap-2, 0x1.718a804ba2fcep-3, -0x1.8f02b4965f283p-3, 0x1.8ef6fb0a164acp-1},
(const double[]){
0x1.d12a81e4900bep-1, 0x1.50a4ad78fc66cp-5, 0x1.2b0696ed37f70p-6, 0x1.8b4f8b24f35a7p-5,
-0x1.a67d069bb83a6p-2, 0x1.1aee26db23207p-4, 0x1.c5e39cc83acd1p-1, -0x1.ba477dcc3e797p-5,
0x1.6e7f8380544acp-2, 0x1.1e9742fcf151cp-2, -0x1.a192c53b4f0eap-4, 0x1.88bd2dcce847ep-4,
0x1.f2fb29c9fd1b3p-1, 0x1.dd07f2a780ed0p-5, -0x1.51f4ccd2d7b4ep-3, 0x1.60756943baa2dp-8,
-0x1.9494677b043bbp-2, -0x1.d6b337b80de7ep-10, 0x1.d4926b5a38e4cp-1, 0x1.456cf1550db7ap-4,
0x1.98cfbbf6d0c51p-2, -0x1.bc9b8538605edp-3, 0x1.bbcb54e9754dep-3, -0x1.5a8541b254471p-3,
0x1.b1cff91237252p-1}}},
{28, {.rule = "soap", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.0, .fraction = 1.0},
(const double[]){
-0x1.0d64fd743059dp-1, 0x1.3babbe15e53f0p-1, 0x1.00b2f6ba1a225p+0, 0x1.b6f019b6902d7p-2,
-0x1.dc0633e618623p-1, 0x1.1558eea5d4544p-3, -0x1.3c5d09ec868fap-3, -0x1.94da049e2c366p-2,
0x1.ef35cd5d178cbp-2, -0x1.32d60b10d3d3ep-1, -0x1.257b515e6b131p-6, 0x1.b07113809acd3p-1,
0x1.e75dc37b3f84fp-1, 0x1.78e8da350f296p-4, -0x1.71109d6da2595p-3, 0x1.34e879462709cp-3,
0x1.03191800521e6p+0, 0x1.fa6ffd2f87b13p-2, 0x1.e000c4f28e71dp-2, -0x1.227f9895dc41ep-4,
0x1.8a899d9bf5830p-1, -0x1.83402310dfe19p-2, -0x1.4aeda83a843dcp-1, -0x1.05158e5106816p-1,
-0x1.aefe8a12553dep-2, 0x1.0258b5f0a880ep-2, 0x1.04d44396ab2a7p-1, -0x1.993fe33f41372p-1,
-0x1.862a25859672ep-1, -0x1.7776aae716e41p-3, 0x1.24ddd9a522fd1p-1, -0x1.fda391c1ac17bp-3,
-0x1.2bdae765c4d4cp-2, -0x1.3bb966d3ace20p-2, -0x1.91bbb74da665cp-1, -0x1.86fe0f05837d9p-4,
0x1.5682f267d6e25p-3, -0x1.34dc8dd76c344p-1, -0x1.6d747dfa66006p-1, 0x1.6b43f0635b9a5p-2},
(const double[]){
-0x1.c69279506501dp-2, 0x1.0d65cc0d32300p-1, 0x1.c8de2622a9313p-1, 0x1.031f09dc83711p-1,
-0x1.0877235a3d229p+0, 0x1.e9aeb62868e3ep-5, -0x1.031ca2df3202dp-3, -0x1.a0d0b302b8178p-2,
0x1.139c2d0d75202p-1, -0x1.38758730bb6b6p-1, 0x1.abd724cc881bap-4, 0x1.a1e490d24e71dp-1,
0x1.e39d3feb7653dp-1, 0x1.f2b8294387dc4p-5, -0x1.851a4b99751dcp-4, 0x1.2f68db4a448a5p-2,
0x1.17ca61a676477p+0, 0x1.160619a429e6bp-1, 0x1.b71785bec21a0p-2, -0x1.1c0258564bb35p-2,
0x1.d975d6683518ep-1, -0x1.9b78fc69c82c4p-2, -0x1.1bb8f8ea86071p-1, -0x1.446f322e5a788p-1,
-0x1.457821f313731p-2, 0x1.3dc299f58ab2fp-2, 0x1.275542feef1c0p-1, -0x1.84e286f93331cp-1,
-0x1.963c31936c15ep-1, -0x1.a5a1e5568714cp-3, 0x1.39840175bc760p-1, -0x1.f9ffad6e5a796p-4,
-0x1.14b877041a911p-2, -0x1.ad5b49a101c51p-2, -0x1.843e815d53230p-1, -0x1.92a6d34d2a22dp-4,
0x1.3178b7fca9e37p-4, -0x1.1a35469f0faa2p-1, -0x1.495bad2a1275ep-1, 0x1.b985b431624c2p-2},
{(const double[]){
-0x1.5da22472f2507p-7, 0x1.d6c687529084bp-3, 0x1.2b85e003af696p-3, 0x1.69ee4aabed844p-3,
0x1.d0a0feff175b2p-5, 0x1.7283c1478a86fp-3, 0x1.c787b910db62ep-4, 0x1.be5961d3dfb91p-4,
0x1.0b0cd9095a2b7p-3, 0x1.f88982b00251ap-4, -0x1.58682a3a01363p-3, 0x1.4633b43b0c804p-6,
-0x1.22f750ad7a498p-7, -0x1.33b982ed49542p-4, -0x1.f2e19ed103292p-3, -0x1.4b1240f9b0b61p-3,
-0x1.3a4ebe5aa9f6fp-2, 0x1.886bfb8aa0f45p-3, 0x1.16b244a9404f6p-5, 0x1.9dde663ea8776p-3,
-0x1.516cea3757448p-9, 0x1.2ad6ceaa308c1p-4, 0x1.8cf29f0f56196p-4, -0x1.2a163bb80bfcbp-5,
-0x1.0c88f96db19a8p-3, -0x1.944303f3019d0p-4, -0x1.9f9c79a1114afp-8, -0x1.7c71f56ed6876p-4,
-0x1.f9294b648a398p-8, -0x1.5bb5eabbd9bb4p-3, -0x1.c8c147a88c2e9p-3, -0x1.7ec3bce961608p-6,
0x1.758ee505258d4p-6, 0x1.63fa1d38a9d30p-5, -0x1.242c33e0f4372p-3, -0x1.3e5cfda0a4ac4p-3,
0x1.a76335df50a96p-5, 0x1.ad673c8ee71d2p-4, 0x1.5b7abaeb35785p-4, 0x1.1c0af470a7a25p-5},
(const double[]){
0x1.7a5c4f0a7e0b2p-3, 0x1.7bafc3c77e18dp-3, 0x1.adc3836bc31c4p-4, 0x1.851d5770980abp-3,
0x1.cd14925c88ea1p-3, 0x1.3e3b10b334817p-2, 0x1.a2c1c18f8307ep-4, 0x1.3e89850df232ap-2,
0x1.052d779435811p-2, 0x1.f5d8c1ec1b84bp-3, 0x1.555fce020e360p-3, 0x1.067740cfde8c2p-2,
0x1.b4c40b2a67b8cp-3, 0x1.e8ca72cf9e4c5p-3, 0x1.7b48a90d75d9fp-3, 0x1.9a8a568edd88ap-3,
0x1.c7d152e39903fp-3, 0x1.740ad09a42a79p-3, 0x1.543fc2d1044aep-3, 0x1.5bbdef5b6f44dp-4,
0x1.f5899a67fd50bp-3, 0x1.36ceb80e102c7p-2, 0x1.17ed11ebea7f7p-2, 0x1.809acd4c8a328p-3,
0x1.0a0cd74cbd4c1p-2, 0x1.1d8989aaa3146p-2, 0x1.3d247756036aep-3, 0x1.e7dfe02cd8dd0p-3,
0x1.1c96eeec9683ap-2, 0x1.fc8f4ace11cecp-3, 0x1.55544f4537a6cp-3, 0x1.0fb33893bf312p-3,
0x1.c4a230de6f669p-3, 0x1.7bb0bb73ce718p-3, 0x1.011a838c9a551p-2, 0x1.6416f73e73555p-2,
0x1.480a10cfc85f5p-2, 0x1.3c76f3c16a7ddp-3, 0x1.2f11d57066e16p-3, 0x1.b129a7e1bef23p-3},
(const double[]){
0x1.c037e087259aap+0, -0x1.d33f23ee0e306p-4, 0x1.1f7a1ec20b5a6p-4, -0x1.0d4870a8248e1p-5,
-0x1.a043ffa7980e7p-6, -0x1.d33f23ee0e306p-4, 0x1.c2f72429ab270p+0, -0x1.d01a60e5645f9p-5,
0x1.29dca96c81c2dp-2, 0x1.b8831edd25f76p-6, 0x1.1f7a1ec20b5a6p-4, -0x1.d01a60e5645f9p-5,
0x1.9d1009705338ap+0, 0x1.3a1e040e2b96ap-5, 0x1.0ebed0020c094p-7, -0x1.0d4870a8248e1p-5,
0x1.29dca96c81c2dp-2, 0x1.3a1e040e2b96ap-5, 0x1.bce781ede7755p+0, -0x1.699e3ff79090fp-3,
-0x1.a043ffa7980e7p-6, 0x1.b8831edd25f76p-6, 0x1.0ebed0020c094p-7, -0x1.699e3ff79090fp-3,
0x1.c5d83c14b7d69p+0},
(const double[]){
0x1.1c1c09edda594p+0, -0x1.81b08a91c2143p-4, -0x1.5c9b407690cefp-4, -0x1.4abace0c37794p-5,
-0x1.87feca2b8cfd4p-3, -0x1.3d56c1a7441f2p-4, 0x1.523f647de8048p-7, 0x1.5ac049be81d9ep-6,
-0x1.81b08a91c2143p-4, 0x1.2fe00898558bep+0, 0x1.37e6592531538p-3, 0x1.0572abcf67c78p-3,
-0x1.3899d01b7853dp-4, -0x1.9706de19fbea0p-6, -0x1.23267177167a6p-2, -0x1.0ea2aae22cf9fp-3,
-0x1.5c9b407690cefp-4, 0x1.37e6592531538p-3, 0x1.db677c1233aa9p-1, 0x1.ffb992a9d1b68p-4,
-0x1.5551a924fc74ep-3, 0x1.a962681bce7e8p-7, -0x1.647dd4bc8c73ep-5, -0x1.2eb9cb89b63f4p-6,
-0x1.4abace0c37794p-5, 0x1.0572abcf67c78p-3, 0x1.ffb992a9d1b68p-4, 0x1.0e73959ce314fp+0,
-0x1.a35ece42e9252p-4, -0x1.b12e1033c5feep-8, 0x1.ce0df6c50aee9p-5, -0x1.c9b9c99d509eap-3,
-0x1.87feca2b8cfd4p-3, -0x1.3899d01b7853dp-4, -0x1.5551a924fc74ep-3, -0x1.a35ece42e9252p-4,
0x1.13680e0c2ffa0p+0, 0x1.0a993e0128a86p-4, 0x1.fa4af449faf36p-6, -0x1.754f1c2e0b93ep-4,
-0x1.3d56c1a7441f2p-4, -0x1.9706de19fbea0p-6, 0x1.a962681bce7e8p-7, -0x1.b12e1033c5feep-8,
0x1.0a993e0128a86p-4, 0x1.1e8fa162339c5p+0, 0x1.1e1f6f036e08dp-2, -0x1.9040452232726p-5,
0x1.523f647de8048p-7, -0x1.23267177167a6p-2, -0x1.647dd4bc8c73ep-5, 0x1.ce0df6c50aee9p-5,
0x1.fa4af449faf36p-6, 0x1.1e1f6f036e08dp-2, 0x1.3a479089ee25ep+0, 0x1.f39ab960cc9d1p-4,
0x1.5ac049be81d9ep-6, -0x1.0ea2aae22cf9fp-3, -0x1.2eb9cb89b63f4p-6, -0x1.c9b9c99d509eap-3,
-0x1.754f1c2e0b93ep-4, -0x1.9040452232726p-5, 0x1.f39ab960cc9d1p-4, 0x1.dd384bfe8975cp-1},
(const double[]){
0x1.bb1c9490c2b88p-1, -0x1.38a1c7fe04064p-4, 0x1.90cdbee2ba3ddp-3, -0x1.bbb700d08c16ap-6,
-0x1.d0ea277e26a3cp-2, 0x1.2f55e8836db6ap-4, 0x1.fdc6eae061149p-1, -0x1.109c5e81232e6p-6,
-0x1.6a7cf4ab481fdp-5, -0x1.f7c7dbfa2f9cap-6, -0x1.b0ed545f1ad0dp-3, 0x1.67d696960214fp-5,
0x1.da6dda300c9f9p-1, 0x1.39ccd833a3507p-2, -0x1.de5dd48d7203ap-6, 0x1.9f4a5700d333ep-4,
0x1.eb2dd432818f8p-6, -0x1.2b730c7c2d2cbp-2, 0x1.e69be2475c23cp-1, 0x1.676d91fe49c08p-8,
0x1.befcd39d16684p-2, -0x1.ae21c276d2da4p-9, 0x1.0d3e2b573d817p-3, -0x1.6d4dc986ef1bcp-7,
0x1.c7a99ec18c1ccp-1},
(const double[]){
0x1.a8e72893c0c8ep-1, 0x1.c068be45f7e27p-4, 0x1.9c447cc9b1cccp-2, 0x1.7296dfa8a0cc5p-2,
0x1.0bb9b341bbd5ap-9, 0x1.06192e82c6a7ap-4, -0x1.7642ff2c0cb7fp-5, -0x1.cb597892b3f7cp-8,
-0x1.6d47bb0dac399p-5, 0x1.7026e57ec5781p-1, -0x1.1e9328487a0d2p-3, 0x1.03a8307047b7bp-6,
-0x1.04d5114c9f067p-1, 0x1.10fb046a79426p-2, 0x1.a597607b6a13ap-4, 0x1.62abfb7c8e955p-2,
-0x1.b6080e48ccb0dp-2, -0x1.869b14368c134p-5, 0x1.ac22d59c145bfp-1, 0x1.6d568f42aa8cep-4,
-0x1.49a83439e1286p-5, -0x1.a2e0a60e6a95fp-6, 0x1.b345ab3cc940dp-4, 0x1.39edf2ffbd35ep-2,
-0x1.2e253cd694179p-2, -0x1.cc2ca5fa4c59ap-5, -0x1.b73527b256b90p-3, 0x1.be52062ec6515p-1,
0x1.2bb4af334ee2dp-3, 0x1.17992ae702238p-2, -0x1.6614822834599p-4, -0x1.13b8af32d9ff6p-6,
-0x1.c9f16763316b6p-6, 0x1.0742643030edep-1, -0x1.10cc3b860fbaap-7, -0x1.4d148eea6c12ap-4,
0x1.91a020e74c876p-1, -0x1.17959823017fdp-3, -0x1.7e4d2db825de5p-3, 0x1.f2f10bdd3a6ddp-3,
-0x1.53109ec008cb7p-5, -0x1.3472fc3bca1a5p-5, 0x1.561a25023a352p-3, -0x1.222c218c8b5d9p-2,
0x1.2287a18e08a8bp-4, 0x1.8c66a9fba340dp-1, -0x1.fdf4ffce6a7f4p-2, -0x1.85b4f5449e72ap-3,
0x1.930ca44aadaa3p-4, -0x1.01adebe6bb569p-3, -0x1.cee3877f79ff8p-5, -0x1.bf37830db41cfp-4,
0x1.3e02f133c4c04p-2, 0x1.e91b9b3552cc5p-2, 0x1.93f7ec2f9f43cp-1, 0x1.c586bd2caca93p-4,
0x1.50fb1f4ed5a3dp-3, -0x1.b729ebabf12ddp-2, -0x1.a365796bd1952p-3, -0x1.7696ae5818f74p-5,
-0x1.9c8a536235322p-6, 0x1.e001fa96390e3p-5, -0x1.0108cd1af571ep-2, 0x1.a58d584fa91acp-1}}},
{29, {.rule = "soap", .rows = 6, .cols = 6, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.f00010579d3ebp-2, 0x1.ac31a626597f2p-1, 0x1.7c5b8f2a616c5p-2, 0x1.d8cc832791b49p-2,
0x1.c4f7bcd064ab8p-2, -0x1.a22d6df459502p-2, 0x1.551b61cd5c593p-1, -0x1.342b0ac2fd33ap-1,
-0x1.fdf5d7796ac08p-2, -0x1.eefc15623dd5bp-2, 0x1.c6832c121eec6p-1, 0x1.640ab7ec5dd80p-3,
0x1.ba4909eb2bb10p-1, -0x1.6ae1cc2f18448p-5, 0x1.e330d6b560596p-3, -0x1.d488314d74132p-1,
-0x1.5c416fdb57d39p-1, 0x1.0c444a61a3975p-1, -0x1.c8d50e2e82564p-1, -0x1.2fedfcce9d970p-2,
0x1.384c7bf9bee02p-3, 0x1.697c8cf605346p-1, 0x1.4e38399880433p-1, -0x1.4da34b22124a5p-2,
-0x1.7c727b1728f69p-3, -0x1.a5115df5e80bfp-1, -0x1.016732fcee756p-2, 0x1.6305ff8191b7bp-1,
0x1.b639e447753d5p-1, -0x1.d04ea496a4355p-1, -0x1.b2d5c7c54df64p-3, 0x1.f64a362bae73ep-5,
-0x1.9f290a4735d0ap-2, 0x1.ce2319c43d5f7p-1, 0x1.9a079726c0798p-5, -0x1.fef9654b77590p-3},
(const double[]){
-0x1.869b7d78151bdp-2, 0x1.c84bb70924579p-1, 0x1.5fffdd14bb282p-2, 0x1.04928f35d109dp-1,
0x1.b3c77f3855d40p-2, -0x1.b8517632802c2p-2, 0x1.422c11f6cba83p-1, -0x1.44d35ea036962p-1,
-0x1.fc7724727dba4p-2, -0x1.fe22e39575eb0p-2, 0x1.0859f8dc52159p+0, 0x1.11e7dc862e7dap-5,
0x1.9f967f9bd7311p-1, -0x1.b8149a16504dcp-4, 0x1.f0efc59c5c39dp-3, -0x1.769b292593286p-1,
-0x1.79a74d4d18162p-1, 0x1.3c45efa441541p-1, -0x1.af46ec4ae3463p-1, -0x1.8e7987273dc9ep-3,
0x1.79ff7a8102da7p-3, 0x1.6eb16b84ac997p-1, 0x1.e45a3678a00d7p-2, -0x1.6378fd4d021d2p-2,
-0x1.e3e286d19458bp-3, -0x1.9a6254e54c94ep-1, -0x1.6e375f2b270fep-3, 0x1.074bcbc094debp-1,
0x1.7710bbfab2d0ep-1, -0x1.a4bdd284c12fbp-1, -0x1.3b9fdbd0ecbd6p-2, 0x1.0fd23eea9e062p-5,
-0x1.10011f3e2c732p-1, 0x1.a402d500394d0p-1, 0x1.17f58d76f54d8p-3, -0x1.ba69dfd1879a8p-3},
{(const double[]){
-0x1.aeb7754fbb61cp-5, -0x1.7fd274a6b5b49p-4, 0x1.ebd42ad4e979ep-5, -0x1.a4307a798bd7ap-4,
-0x1.1b0b5ec5d8d0ep-5, 0x1.b477ffab1846bp-4, 0x1.9a6ac41109f6ap-6, 0x1.11c442cea4447p-4,
0x1.8d2dff5da2602p-8, -0x1.f3645fb3eb49ep-5, -0x1.df41ac2fbf758p-3, 0x1.b1c971b214b3bp-3,
-0x1.409ce073e0263p-5, -0x1.42fcfb4b9ce04p-6, -0x1.821e690a47ff8p-3, -0x1.135444fab0beep-3,
0x1.218f905790efbp-2, -0x1.a37965487eea2p-4, -0x1.3d11a2096aad6p-3, -0x1.5729a0a2eb429p-3,
-0x1.636a41a951961p-5, -0x1.55ed63cad7e36p-2, -0x1.30095b9026405p-3, -0x1.790e08bc7ce58p-3,
0x1.6eeaed2bfb62ep-3, 0x1.3e56137e3836bp-6, -0x1.7cf0664347b6bp-5, 0x1.b3d44978dff52p-4,
0x1.8f006a0895355p-5, -0x1.0a99df20c1e17p-2, 0x1.165e25f553262p-2, 0x1.c0860a747a458p-6,
0x1.b927aa905c6f9p-5, 0x1.fae178c103430p-5, -0x1.4715b7a89f2a4p-3, -0x1.86cff00aec9fcp-3},
(const double[]){
0x1.db3e8de88dc84p-3, 0x1.7147120be3662p-3, 0x1.23af212fec860p-2, 0x1.6e3c8007e7de4p-2,
0x1.d55a0ad998e12p-3, 0x1.c66a83e83fac6p-3, 0x1.b0f32de2bc8a9p-3, 0x1.c903a539ac7d1p-3,
0x1.648f081149208p-4, 0x1.45b20b1058d78p-2, 0x1.894243fe4b9a7p-3, 0x1.4ebd7575b2c20p-2,
0x1.028e8deb5c08ep-2, 0x1.dd293ff48743cp-3, 0x1.4895fc9a23f4fp-3, 0x1.92f28c821f58cp-3,
0x1.00be06d428c35p-2, 0x1.85b63718596b9p-3, 0x1.c0ef40268b8b1p-3, 0x1.a9727e1473a36p-3,
0x1.1e2fc230b17cep-3, 0x1.186bebb7b6ad9p-2, 0x1.ae3e61299367ep-3, 0x1.0b1216cb23df0p-3,
0x1.3fa19998e9d82p-3, 0x1.d4b73fc94bf15p-3, 0x1.a77a359480532p-4, 0x1.dcdd2b8b04ebap-3,
0x1.6aa42bc39946ep-3, 0x1.384500b889689p-2, 0x1.409ddcd381712p-3, 0x1.4ca31a1d55b22p-3,
0x1.6c61ddccc2d56p-3, 0x1.62638bcc4825cp-2, 0x1.7eeecd547ae38p-3, 0x1.26a92b375f286p-2},
(const double[]){
0x1.67867058885c8p+0, 0x1.66873d06ef104p-6, -0x1.cfd3f30dda37cp-5, -0x1.bba63a567033dp-6,
0x1.7ce6fbc0b88bfp-3, 0x1.1cc9f984e3e83p-4, 0x1.66873d06ef104p-6, 0x1.6b47d22f9201fp+0,
-0x1.1b2e52ad6dab0p-4, 0x1.4f92aa80d1663p-7, -0x1.af07628612aa8p-6, -0x1.b476756de1373p-4,
-0x1.cfd3f30dda37cp-5, -0x1.1b2e52ad6dab0p-4, 0x1.6e1508872cf1bp+0, -0x1.0eaafac121578p-7,
-0x1.1eda94a60bbd4p-2, 0x1.2172e227712f8p-5, -0x1.bba63a567033dp-6, 0x1.4f92aa80d1663p-7,
-0x1.0eaafac121578p-7, 0x1.27491ac2d9bfep+0, -0x1.16d8b6863d8d6p-4, 0x1.08a3c250d3940p-8,
0x1.7ce6fbc0b88bfp-3, -0x1.af07628612aa8p-6, -0x1.1eda94a60bbd4p-2, -0x1.16d8b6863d8d6p-4,
0x1.208edfefca3c3p+0, -0x1.ed04199e49495p-5, 0x1.1cc9f984e3e83p-4, -0x1.b476756de1373p-4,
0x1.2172e227712f8p-5, 0x1.08a3c250d3940p-8, -0x1.ed04199e49495p-5, 0x1.50e5c6b872bb0p+0},
(const double[]){
0x1.354f6ffbf0108p+0, 0x1.0af866521f15dp-2, 0x1.5e1b8fb018eb9p-4, 0x1.a861a4861d5e5p-4,
-0x1.2e99f03cc47c0p-9, -0x1.f168b64d8d324p-5, 0x1.0af866521f15dp-2, 0x1.289b995fd6fd1p+0,
0x1.1b95904a015ffp-2, 0x1.1e398b1f3a722p-6, -0x1.bf42370983ac4p-4, 0x1.79bba23edb2cep-6,
0x1.5e1b8fb018eb9p-4, 0x1.1b95904a015ffp-2, 0x1.2349cb20d75f4p+0, 0x1.4fe54b8b44e75p-4,
-0x1.a71c8cf162ef8p-9, -0x1.c101213c64778p-4, 0x1.a861a4861d5e5p-4, 0x1.1e398b1f3a722p-6,
0x1.4fe54b8b44e75p-4, 0x1.81239448fbe74p+0, 0x1.04235bfb43427p-2, -0x1.8ab2aaf1626e7p-4,
-0x1.2e99f03cc47c0p-9, -0x1.bf42370983ac4p-4, -0x1.a71c8cf162ef8p-9, 0x1.04235bfb43427p-2,
0x1.66dea165c1cc1p+0, 0x1.4ef81d893ac70p-4, -0x1.f168b64d8d324p-5, 0x1.79bba23edb2cep-6,
-0x1.c101213c64778p-4, -0x1.8ab2aaf1626e7p-4, 0x1.4ef81d893ac70p-4, 0x1.706a024f01e75p+0},
(const double[]){
0x1.7121df1bc6f56p-1, 0x1.f2db2a3c1bc0bp-3, 0x1.715e371175221p-2, 0x1.8e183663c930dp-3,
-0x1.d4c50c06945b7p-2, -0x1.aac097b5d81bfp-3, -0x1.a0fde7d2d8eedp-3, 0x1.ca6698eed540fp-1,
-0x1.4efc9b722befbp-3, 0x1.4b99062ab2447p-2, 0x1.4502ae9a464abp-3, 0x1.9675b387bd270p-7,
-0x1.e362729f3e707p-2, -0x1.51f1c8e1e26f0p-5, 0x1.add12a6a35a5ap-1, 0x1.036a7637ea814p-2,
-0x1.f3102f3fa56d0p-6, 0x1.33003512c1d3bp-4, 0x1.0b4917d7c00b5p-4, -0x1.5ff9121ff5210p-2,
-0x1.0e5d2c1a43b01p-2, 0x1.ba9781559a5a5p-1, -0x1.0803d22f821b3p-5, 0x1.f3f5dcb488654p-3,
0x1.cee91bab336eep-2, -0x1.4018bd8ac7500p-8, 0x1.0af26b5ba7c82p-2, 0x1.0633aec529c70p-6,
0x1.a7a48d2517113p-1, 0x1.a785a6b517336p-3, 0x1.5e0f54795af9bp-4, 0x1.1bd89491d7c6fp-3,
0x1.b967dedf1c48cp-6, -0x1.b5a5d536466cfp-3, -0x1.1f2c35b574332p-2, 0x1.d79c041d8a878p-1},
(const double[]){
0x1.e2f761a45310ap-1, -0x1.247d5e9c5e238p-2, -0x1.b221a3ad698a3p-5, 0x1.1c35888a4ac88p-3,
-0x1.cc42f5fd9c274p-6, 0x1.36b5bc1309c9ep-4, 0x1.e7ae58c2c772ep-4, 0x1.71a832eb564c8p-1,
-0x1.0e5bdbe42a640p-1, 0x1.87630d04fe524p-2, -0x1.56a0a785947c1p-3, 0x1.ba261acbdacbap-4,
0x1.06e2ce765c858p-3, 0x1.bfc4925057783p-2, 0x1.9c09aa398e556p-1, 0x1.221da092be58ap-2,
0x1.8a0d6ae28bd3dp-3, 0x1.52ea25bfe5475p-3, -0x1.0e3a32f3f67f2p-2, -0x1.b86472640de23p-2,
0x1.ba276eebc44d1p-5, 0x1.8bfbbd057ffbep-1, -0x1.62534ec62b971p-2, 0x1.4137dda093cc8p-3,
-0x1.5ee5766aa3c48p-4, -0x1.1f232d1e82e02p-3, -0x1.087ca94707869p-2, 0x1.15cef0f1a1d54p-2,
0x1.c8dab54f0d405p-1, 0x1.874692471693dp-3, -0x1.9eeadba209ea4p-5, -0x1.29f12f1c7d2f1p-5,
-0x1.0ef357716a418p-5, -0x1.2659eec4d6867p-2, -0x1.14eabb3ebcd32p-3, 0x1.e42203129f551p-1}}},
{30, {.rule = "soap", .rows = 1, .cols = 7, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = false, .mu = 0.95, .weight_decay = 0.1, .fraction = 1.0},
(const double[]){
-0x1.ef3547da18c26p-2, 0x1.f468a979f97aep-1, -0x1.081180b83ac77p-2, 0x1.26b558d2b14f1p-1,
-0x1.c97c87a3e2640p-3, -0x1.d2ea8669c2dacp-1, -0x1.b7bb54fa45c6bp-2},
(const double[]){
-0x1.a22f080efd639p-2, 0x1.c9c0f1670110dp-1, -0x1.c737b57426788p-3, 0x1.eb5f344a6ae58p-2,
-0x1.c3abf12fa9d12p-3, -0x1.dd64b3c8a43a3p-1, -0x1.f3d5dd3378911p-2},
{(const double[]){
-0x1.2b40e99322ca8p-6, 0x1.a692888df9272p-4, -0x1.4a9aab67d6f44p-5, -0x1.30ce92c84c63fp-4,
0x1.0a21ebff1f2bap-5, -0x1.993783c97a4dcp-3, 0x1.9a3e39aae91a6p-3},
(const double[]){
0x1.474645f9eebdfp-2, 0x1.ba17bc62fa44ap-3, 0x1.c7819dc47f65ap-3, 0x1.24db48ca5167ep-3,
0x1.0434cb4598a31p-3, 0x1.46e261f84c13cp-3, 0x1.f02a76345b7bcp-3},
(const double[]){
0x1.6e085a4afd182p+0},
(const double[]){
0x1.24c97ab05289cp-2, -0x1.34c3561fe5ad7p-7, -0x1.780a8a1534980p-5, 0x1.0a40833037651p-3,
-0x1.93038e6a410b2p-5, -0x1.09646be240d23p-4, -0x1.0048bcca9a359p-4, -0x1.34c3561fe5ad7p-7,
0x1.5975f3c3b18bbp-3, -0x1.a5b98377b60a9p-7, -0x1.45fc1dccb8ffep-7, -0x1.836aea4d5c71bp-5,
0x1.da1c4f0a7f81ap-5, -0x1.34eabeeffbedep-8, -0x1.780a8a1534980p-5, -0x1.a5b98377b60a9p-7,
0x1.71de835a000ddp-3, 0x1.639412b371316p-8, 0x1.0e5d2893ac1b5p-4, -0x1.bbcba04f5708ap-7,
0x1.800dca8a5805dp-4, 0x1.0a40833037651p-3, -0x1.45fc1dccb8ffep-7, 0x1.639412b371316p-8,
0x1.717e69ff7b132p-3, 0x1.86fdfa142d05cp-6, -0x1.493474a015663p-6, -0x1.5a38b5bc7692ap-6,
-0x1.93038e6a410b2p-5, -0x1.836aea4d5c71bp-5, 0x1.0e5d2893ac1b5p-4, 0x1.86fdfa142d05cp-6,
0x1.1f89c80ab7599p-3, -0x1.3d9cbc6287a7ep-4, 0x1.aec85edde1aacp-5, -0x1.09646be240d23p-4,
0x1.da1c4f0a7f81ap-5, -0x1.bbcba04f5708ap-7, -0x1.493474a015663p-6, -0x1.3d9cbc6287a7ep-4,
0x1.e4f6bfeb8a94cp-3, -0x1.d4684e5c64e82p-5, -0x1.0048bcca9a359p-4, -0x1.34eabeeffbedep-8,
0x1.800dca8a5805dp-4, -0x1.5a38b5bc7692ap-6, 0x1.aec85edde1aacp-5, -0x1.d4684e5c64e82p-5,
0x1.e55c73e3d5126p-3},
(const double[]){
0x1.0000000000000p+0},
(const double[]){
0x1.380695c15ee38p-1, 0x1.03272990857ddp-1, -0x1.e69ddda2867d7p-3, -0x1.38a51244ab9aep-2,
-0x1.45f6fec24af99p-4, 0x1.caf1c48b1a8adp-2, 0x1.fe58369215af1p-4, -0x1.00d43812e525dp-2,
0x1.980ae69152189p-1, 0x1.c6660fdec2800p-4, 0x1.ae97383965a48p-4, 0x1.97fb3d45c6a64p-2,
-0x1.4b75672f6cd6cp-2, -0x1.f701256c2d82ep-4, 0x1.ec7e6664ca0f4p-3, 0x1.75860dfdb86f1p-5,
0x1.96ad00d0a9416p-1, -0x1.7738b753ce750p-3, -0x1.0400bed252dbdp-2, 0x1.e3d3f11397000p-12,
-0x1.d68d06aa11948p-2, 0x1.6c3cec0284ff5p-2, 0x1.669cf84ac9e00p-4, 0x1.06f2c35a41d7cp-4,
0x1.d24d208d24ff7p-1, -0x1.61c6b1bc84123p-3, 0x1.f5e800ba81a98p-6, 0x1.3894ff7d3e092p-5,
0x1.21e26dbb65b9ap-2, -0x1.21b00c243be4dp-2, 0x1.933f0e6922b56p-3, 0x1.e3e9b7959271ep-5,
0x1.b7b6c85eeb67cp-1, 0x1.efc8877ea441ep-3, -0x1.32a7bb070cf8ap-5, -0x1.1773f25a720c3p-1,
0x1.f74f58a58aa3ap-4, 0x1.01ddd52c96ac7p-3, 0x1.4894ebbd7d7dcp-3, -0x1.89e0da8cbf214p-5,
0x1.97da5a095db15p-1, -0x1.7a7768c592e22p-4, -0x1.d68339061c677p-5, 0x1.f81bffa78e780p-5,
0x1.f752c21ced055p-2, -0x1.e3054157f8d69p-5, -0x1.be397fbf990aap-6, -0x1.07372119ccf28p-6,
0x1.ba7842adf9f61p-1}}},
{31, {.rule = "muon", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = true, .mu = 0.95, .weight_decay = 5.0, .fraction = 1.0},
(const double[]){
-0x1.07bef2fbe134ap-1, -0x1.a66503b34a1bep-1, -0x1.d4bcd4d4c1737p-1, 0x1.45ac0f7599163p-1,
-0x1.d5d7169bab671p-1, 0x1.36181274660c3p-1, 0x1.a6da5dc571a94p-2, -0x1.a5d226ed12f50p-1,
-0x1.cdd5460db5971p-2, -0x1.1e470db91a888p-2, 0x1.77d9188cc9cc1p-1, 0x1.aa557f71ef239p-1,
0x1.6be0b780f282ap-1, -0x1.c8fd16ba7d571p-3, -0x1.a9ef3642edff1p-1, 0x1.de0610fb93bf0p-1,
-0x1.404f0087f8ed5p-4, 0x1.001c4d840381cp-1, 0x1.018ee5d69de06p-2, -0x1.77101bed6f296p-1,
0x1.cf878b57ad716p-1, 0x1.f9e91259a8714p-1, -0x1.26d83f97a6e33p-1, -0x1.94d2edf45759dp-5,
0x1.14c8e22867415p-2, 0x1.a740796c41b21p-1, 0x1.b302524894656p-4, -0x1.ce44d00c7a5e9p-3,
0x1.fc51ad97058bbp-4, -0x1.db308d6be0d13p-2, 0x1.9d08db6036473p-4, 0x1.2e1f0d9540704p-1,
-0x1.e5d78a8432328p-2, -0x1.50f7e78f267fep-1, -0x1.87871b976ae77p-2, -0x1.ed68212cb0addp-2,
-0x1.59dbc9853a411p-1, 0x1.11df072393c64p-2, 0x1.5505fcdcbce56p-1, -0x1.93133715a8efdp-1},
(const double[]){
-0x1.1ba8bbb4c171bp-1, -0x1.4f21b1d9c1648p-1, -0x1.2964af88c4bc6p-1, 0x1.060ae1f7b93cfp-3,
-0x1.e72234e93bbd5p-1, 0x1.852ac98aea6d9p-2, 0x1.d8c3e8a3eb354p-5, -0x1.30aa7e1cd071bp-3,
-0x1.01980df96f08ap-1, -0x1.9eb9a1d990b6fp-6, 0x1.767b0562e1eb8p-2, 0x1.5cfb0f29b8931p-1,
0x1.ff0839e34e459p-4, 0x1.406d2222998ffp-4, -0x1.7f217933edfb6p-2, 0x1.9c4316f957ab7p-1,
-0x1.5943fbaa8bff3p-5, 0x1.0948349e8035ap-5, 0x1.b1c726d46c38ep-3, -0x1.febf49a81bd09p-4,
0x1.a72e36499b83ap-2, 0x1.256fb2c088227p-3, -0x1.ba61e1ebc0a54p-5, 0x1.544fba1bfbd9ap-5,
0x1.4fad8be6a32e2p-10, 0x1.44dec3aa66e9dp-2, 0x1.072a4201af3fap-9, -0x1.50351a31561e4p-2,
0x1.bb4ae1526ae67p-3, -0x1.7b525a551801dp-3, -0x1.1970d470cfcbdp-6, 0x1.0c2a30f7bb173p-1,
-0x1.07fb1e2d423abp-3, -0x1.42754d72658f4p-3, -0x1.c99deb4639688p-2, -0x1.fb0eddedd6ee8p-3,
-0x1.1baf1c37bf644p-4, 0x1.261c58c6d6f1ap-3, 0x1.759d2821d3001p-1, -0x1.16d62be3415aep-3},
{(const double[]){
0x1.b42f0e314878ep+0, -0x1.9f898d0dc6b55p-1, 0x1.e6eecbad773a8p+0, 0x1.b7d0a3af0e080p+0,
0x1.05d0479a68d74p+2, -0x1.8cf579a638edbp+0, 0x1.02044b23f1bbdp-1, 0x1.d5967139ea182p-3,
0x1.cbc22baa79ef8p+0, -0x1.925d8d5b0061dp+1, -0x1.338db002b7f00p-1, -0x1.9fa0f75532e1dp+1,
0x1.702b3daadf4dbp+1, -0x1.60cf9f43195fap+2, 0x1.cc9bedbb2b101p-1, -0x1.05170a46ff7c8p+1,
0x1.5ae256d3513d1p-1, 0x1.402d2a2e3ef38p-5, -0x1.fa5dd794828fap+0, 0x1.2de1ecb7eab44p-5,
0x1.20868f1309de2p-1, -0x1.5c22220b42ce0p-6, -0x1.1d07c7b7b9ae7p+0, -0x1.04cd0cf620248p+1,
0x1.0ca674d3e0f32p-2, -0x1.1f0e817d6bacdp-1, -0x1.a7bc236538526p-1, 0x1.5c497850f361ap+0,
-0x1.be8f7885edb6fp+1, -0x1.e30141985e64fp-1, 0x1.2a40168a9ef40p-5, -0x1.c517bc6e47a04p-1,
-0x1.aff06b148a1d8p-3, -0x1.beacca1a883e5p-3, 0x1.14f8b18e5ea4cp+1, 0x1.db82a1ac6b2f2p+0,
-0x1.adbe6173ca96fp-1, 0x1.b68b9f065f163p+0, -0x1.922edf341d67ep-1, 0x1.7571bc8a34ca0p-1},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
{32, {.rule = "normuon", .rows = 8, .cols = 5, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = true, .mu = 0.95, .weight_decay = 5.0, .fraction = 1.0},
(const double[]){
-0x1.065f45c301b65p-1, -0x1.4cc42e45a8295p-1, 0x1.9fa680ad35cf0p-2, 0x1.3fd870b426794p-1,
0x1.b1bada0ddf2efp-2, 0x1.ae83fa55ea278p-4, -0x1.79d653142016ep-1, 0x1.d5fc4dc70a4f2p-1,
0x1.026d8fb16d51bp-1, -0x1.5639707d348c7p-3, -0x1.4a50a30173c38p-2, 0x1.06ff36a5633e2p-2,
0x1.569b50973ff0ep-1, -0x1.209cd378d75f1p-2, -0x1.504db68bf6a24p-2, -0x1.32a19417491e5p-3,
0x1.906f040952b6ep-3, 0x1.109052ea154d6p-1, 0x1.8d24f650f6ff0p-1, -0x1.b3b77f26ca372p-1,
0x1.e8985c3b5c29fp-3, 0x1.5b1e409e60c23p-4, 0x1.6931654254e16p-1, 0x1.6544935bd5457p-4,
0x1.e98b1e5c48492p-2, -0x1.583193dc25339p-3, -0x1.356419cbef743p-1, -0x1.32d719d47d303p-1,
-0x1.189d92d67c1c5p-2, 0x1.8ddc0c952b683p-1, -0x1.448fa20a41b73p-1, 0x1.f4c25a28e6861p-1,
-0x1.3be6aa5fdd39fp-1, 0x1.00f9beed61b33p-1, 0x1.6e89f4242b051p-2, -0x1.39e7258513c05p-1,
-0x1.f2237376f3110p-1, -0x1.ae46f5879d351p-5, 0x1.d98d8c2c7ca82p-2, -0x1.c2b3167845870p-2},
(const double[]){
-0x1.0465b62719473p-1, -0x1.66e9edd30b664p-6, 0x1.6ebcd38b833c9p-5, 0x1.3ebc085b9e975p-1,
0x1.00905d752410ep-2, 0x1.60915d27d5a98p-3, -0x1.4dbe70e44e29dp-4, 0x1.d3a3ad6b248d8p-3,
-0x1.330f77eeeb321p-5, -0x1.57557960ec2a0p-2, 0x1.1eddd103c0d12p-4, 0x1.d506f5062c33ap-2,
0x1.b65bc9bf00af8p-4, 0x1.c6152b9ae05ecp-6, -0x1.f27c7ab47fe4bp-5, -0x1.2940a312237a9p-3,
-0x1.0f840a8ecbdabp-4, 0x1.964b0109108c6p-6, 0x1.098d955ae4eefp-5, 0x1.9f80237d86cc0p-11,
0x1.bca89cdd08239p-5, 0x1.0b5a807d7181ap-8, 0x1.c60eed273d062p-4, 0x1.0f3c09f2b7e0ep-2,
0x1.1522670d8a1eap-2, -0x1.6513edb56ac9dp-3, -0x1.48c49a38ef6c7p-7, -0x1.edab271c53328p-5,
-0x1.8546624364904p-2, 0x1.20318a6c13283p-1, -0x1.7a96c67f6fb6dp-1, 0x1.8db04ff45057fp-2,
-0x1.b0baaad76b350p-2, 0x1.39fc03a995b93p-2, -0x1.5b7678e663edfp-8, -0x1.1943cd773257cp-5,
-0x1.3161e616c7ccbp+0, -0x1.7d14d9463a54cp-8, 0x1.ffe39f7583005p-3, -0x1.6d2da27129d3ap-2},
{(const double[]){
0x1.54333e23eef48p+0, -0x1.f9d4a799beaa8p-1, 0x1.e0abdbb958facp-1, -0x1.4fac800726cbcp+0,
-0x1.263512be768d8p+1, -0x1.31af5a90e8d33p+2, 0x1.c1283e7698a2cp-3, 0x1.51bc1e634441dp-1,
0x1.13183e59d7f3ep+1, 0x1.43ec66cf8cbdep+0, -0x1.98830e27e04b4p+0, -0x1.0fa0986bcfa6fp+1,
-0x1.7be4bf141f3a4p-1, -0x1.889e312295809p+0, -0x1.d445a2e10aff4p-2, -0x1.14e8de8e5cc23p-1,
0x1.665f1a7a5ddfdp+0, 0x1.8a77d956921c2p-2, 0x1.76a3a78fcd5b8p+1, -0x1.532ecb423e0a4p+1,
-0x1.0f6fe4c97c952p-1, 0x1.5af87fac4ca76p+0, 0x1.7faa029a3abc7p+1, -0x1.b4da8d4ab6a92p+1,
0x1.2bfe6b0fdfe50p-4, -0x1.c4bb2a11fdcdcp-1, -0x1.5d3ada33f8dbap+0, 0x1.31775aa71bd98p-3,
0x1.0129f069b4a3dp-2, -0x1.5b1f3410b06d0p+0, 0x1.2bb99bc0cfb7ap-1, 0x1.fdef3f87391d0p-3,
0x1.d7cd5c34d1f27p+0, -0x1.70546f1946318p-2, 0x1.1849056a49af3p+0, 0x1.ed4c0905426ddp-2,
0x1.6652602e8416fp+0, 0x1.113ab25ca9d5cp-1, 0x1.b2432ac0c6040p-3, 0x1.ab6922904f426p+0},
(const double[]){
0x1.129c30b590433p-4, 0x1.99efc02de5c9ap-4, 0x1.5c3d8639f1ab0p-4, 0x1.b3139a02a5c3fp-4,
0x1.274f6de98488ap-4, 0x1.a41b46ffff9bap-5, 0x1.61dd4dcdd169dp-4, 0x1.7f703fc3eefdfp-4}}},
{33, {.rule = "lion", .rows = 5, .cols = 8, .adjust = DN_ADJUST_SPECTRAL_NORM,
  .ns = {.set = DN_NS_POLAR_EXPRESS, .gram = false, .eps = 1e-08}, .beta2 = 0.95, .nesterov = false, .cautious = true, .mu = 0.95, .weight_decay = 5.0, .fraction = 1.0},
(const double[]){
-0x1.ba6d28c851eb8p-2, -0x1.90278fa91eb85p-2, -0x1.10ba4ef3d70a4p-3, 0x1.98fe2437d70a4p-1,
-0x1.9ac1d570a3d71p-3, -0x1.630ad5a5eb852p-2, 0x1.3f4665af5c28fp-3, 0x1.4d97f7095c28fp-1,
-0x1.64ae20751eb85p-2, -0x1.4cfc9d5eb851fp-6, 0x1.1e624ebbd70a4p-1, -0x1.639997dfae148p-2,
0x1.388cdb528f5c2p-1, -0x1.653235d2b851ep-2, 0x1.a621885eb851fp-4, 0x1.9fa27367d70a4p-1,
0x1.16587a13d70a4p-1, 0x1.4b0b58cfd70a4p-1, -0x1.cfbbb26d1eb85p-2, 0x1.6e2e369af5c29p-1,
-0x1.6f2776c7ae148p-2, -0x1.588600ffc28f6p-1, 0x1.ca9bcabd70a3ep-5, 0x1.79bfb43f0a3d7p-3,
0x1.960f26b3d70a4p-1, 0x1.33e5bda08f5c2p-1, 0x1.15dd05fbd70a4p-1, 0x1.be2ce397d70a4p-1,
-0x1.53b794c3d70a4p-1, 0x1.e8150ffae147bp-6, 0x1.f3c17897ae148p-2, -0x1.79a9db9fd70a4p-1,
-0x1.663f79f3d70a4p-1, -0x1.74a7671f0a3d7p-3, -0x1.6234637cf5c29p-1, -0x1.bc66208fd70a4p-1,
0x1.8bc44723d70a4p-1, -0x1.b1637d4fae148p-2, 0x1.152f5fd7ae148p-2, -0x1.47d1b4ef0a3d7p-3},
(const double[]){
-0x1.7028be3ba2f03p-2, -0x1.a60c96064bb1fp-3, -0x1.69490a3385de8p-5, 0x1.0d8cfcd7978d6p+0,
0x1.6e5fcc4cc7c24p-5, -0x1.28787559926ecp-1, -0x1.e063fc85e0a15p-6, 0x1.16a2ecfd5b649p-1,
0x1.82b01c469c87ep-3, 0x1.5292965105662p-4, -0x1.11cb71921704ap-5, -0x1.033ff4b0f2937p-2,
0x1.9a319a84fe7bap-7, 0x1.b5599c881fb79p-4, 0x1.2d9c7f9d2005dp-4, 0x1.bccbfd73d33e6p-3,
0x1.828cff9a18abep-2, 0x1.79b839e1db31dp-4, -0x1.eb12eb8ec05b6p-2, -0x1.0e02c28fd4b14p-4,
-0x1.65254dafb4d94p-5, -0x1.2f51c96a169b4p-4, 0x1.172228281719fp-2, -0x1.cf039f2fa2495p-4,
0x1.2c4f416e66668p+0, -0x1.dde599c4b54c5p-4, 0x1.50e327a9ee5afp-5, 0x1.57a17e7d327c1p-1,
-0x1.47a2ed18d97b4p-1, 0x1.f3703ab949c5fp-4, -0x1.20e249c6dbe80p-4, 0x1.4c73fb2ec5b44p-7,
-0x1.72e07466ba6e1p-6, 0x1.cffd7c445f108p-4, -0x1.d8155e13b127dp-3, -0x1.4cbd8c585c3f2p-1,
0x1.a8c26afbdfecfp-4, -0x1.47f49578e955cp-2, 0x1.e94115d521e30p-5, 0x1.2dc55ee5f53c7p-7},
{(const double[]){
0x1.f484fe2fab25ep-5, 0x1.a96688c11706ap-4, -0x1.7cb03b001c600p-9, -0x1.4affe8a736d6ap-4,
-0x1.6117f2369aef7p-6, 0x1.3076da488f51cp-3, 0x1.e4bb2461a9195p-4, -0x1.cb8ae29f84700p-12,
-0x1.ad4a9e578c764p-3, -0x1.0363c5e6db31fp-4, 0x1.5cb8a77766e78p-6, 0x1.247175725f453p-3,
0x1.f9d536d2c308ap-5, -0x1.4dfc33b3fdd44p-3, 0x1.1430e6027c0dcp-4, 0x1.787c8d252dcf8p-6,
-0x1.bfad7a4af2d0cp-5, 0x1.c24aa52d2f745p-8, 0x1.02ad510240aaap-4, 0x1.19b3bd8d9887dp-3,
-0x1.02dd1ed608304p-8, -0x1.16f5e5baaeddep-5, -0x1.6777a88d0974fp-3, 0x1.7a461f68f21a0p-4,
-0x1.2967b7f481b73p-4, 0x1.37f058f202646p-5, 0x1.ac261001447b0p-8, -0x1.2dca730518d78p-4,
0x1.8275612599e1fp-4, -0x1.80d71b092de48p-6, 0x1.b7ffc7f2036d6p-4, -0x1.099265b64d967p-5,
-0x1.f0817a2c6a9a4p-5, -0x1.381f043ac3360p-3, -0x1.eb5a2bc5b0873p-5, 0x1.c142e2b4e9928p-6,
0x1.5ccc4a13b3fe4p-5, 0x1.0a6f8a44bb7c0p-4, 0x1.0ee6c47428f0cp-7, -0x1.227135b9d036fp-5},
(const double[]){
0x0.0p+0, 0x0.0p+0, 0x0.0p+0, 0x0.0p+0,
0x0.0p+0}}},
};
static const struct { double effective; size_t rank; } ranks[] = {
{0x1.7a57ead4db8acp+4, 32},
{0x1.f2bfd206d2d2ap+4, 40},
{0x1.3342a148921f7p+5, 40},
{0x1.3342a148921f7p+5, 40},
{0x1.3342a148921f7p+5, 40},
{0x1.3342a148921f7p+5, 40},
{0x1.3342a148921f7p+5, 48},
{0x1.6a6677ca2d4a9p+5, 48},
{0x1.6a6677ca2d4a9p+5, 48},
{0x1.0629809a7214bp+3, 48},
{0x1.0629809a7214bp+3, 40},
{0x1.062812a17b320p+3, 40},
{0x1.062812a17b320p+3, 40},
{0x1.062812a17b320p+3, 32},
{0x1.061761c949e6ap+3, 32},
{0x1.061761c949e6ap+3, 32},
{0x1.061761c949e6ap+3, 32},
{0x1.061761c949e6ap+3, 24},
{0x1.055f3ec9c9de6p+3, 24},
{0x1.055f3ec9c9de6p+3, 24},
};
"""
