"""Hyperdimensional computing once more, in numpy, from what encode.h and learn.h say: hypervectors of texts, records and frozen
outputs, classes as sums, damped retraining. All results are integers, so C must have the same.

    hdc_oracle.py               writes hdc.txt beside itself: inputs, hypervectors, and sums and predictions of each round
    hdc_oracle.py PROGRAM       drawn files of labels: what `dionode finetune --how hdc` gets right, at once and after some rounds
"""
import io
import json
import os
import random
import subprocess
import sys
import tempfile

SKIPPED = 77  # to meson: not a failure
try:
    import numpy as np
except ImportError:
    print("there is no numpy")
    sys.exit(SKIPPED)
from strategies_oracle import bits, normal, uniform

LEVELS = 17
# Names of random vectors: a trigram's is its bytes' number.
PLACE, LEVEL, FLIP, TIE = (k << 32 for k in (1, 2, 3, 4))
PROJECTION = 0x70726f6a << 24


class Encoder:
    def __init__(self, seed, D):
        self.seed, self.D = seed, D
        self.levels = [np.where(uniform(seed, FLIP, D) < level / (2 * (LEVELS - 1)), -1, 1) * self.drawn(LEVEL) for level in range(LEVELS)]

    def drawn(self, key):
        """A random vector [D] of signs: -1 where a bit is 1."""
        words = bits(self.seed, key, np.arange((self.D + 63) // 64))
        return 1 - 2 * (words[np.arange(self.D) // 64] >> (np.arange(self.D) % 64).astype(np.uint64) & np.uint64(1)).astype(int)

    def bundle(self, vectors):
        total = sum(vectors)
        return np.where(total == 0, self.drawn(TIE), np.sign(total))

    def ngram(self, text):
        padded = b"\0" + text + b"\0"
        return self.bundle([self.drawn(int.from_bytes(padded[i:i + 3], "big")) for i in range(len(text))])

    def record(self, x, low, high):
        at = [min(max((value - low) / (high - low), 0), 1) * (LEVELS - 1) for value in x]
        return self.bundle([self.drawn(PLACE + i) * self.levels[round(level)] for i, level in enumerate(at)])  # ties to even

    def features(self, y):
        projected = normal(self.seed, PROJECTION, self.D * len(y)).reshape(self.D, len(y)) @ y
        assert abs(projected).min() > 1e-3, "a sign that rounding could turn: draw others"
        return np.where(projected < 0, -1, 1)


def predict(sums, h):
    lengths = np.sqrt((sums * sums).sum(1).astype(float))
    cosine = np.where(lengths > 0, (h @ sums.T) / np.where(lengths > 0, lengths, 1), 0)
    return cosine.argmax(1)  # of equal ones the first


def trained(h, classes, n_classes, rounds):
    """Sums at once and after each round."""
    sums = np.zeros((n_classes, h.shape[1]), int)
    np.add.at(sums, classes, h)
    stages = [sums]
    for r in range(1, rounds + 1):
        changes, found = np.zeros_like(sums), predict(sums, h)
        for x, right, wrong in zip(h, classes, found):
            if right != wrong:
                changes[right] += x
                changes[wrong] -= x
        sums = sums + np.sign(changes) * ((2 * abs(changes) + r) // (2 * r))  # to the nearest, ties away from 0
        stages.append(sums)
    return stages


# ---- stored ----

SEED, D, CLASSES, N, ROUNDS, WIDTH = 5, 150, 4, 32, 5, 6


def write(file):
    draw, encoder = random.Random(2), Encoder(SEED, D)
    classes = [draw.randrange(CLASSES) for _ in range(N)]
    texts = [bytes(draw.randrange(97, 100 + 2 * k) for _ in range(draw.randrange(1, 9))) for k in classes]
    records = [[float(draw.randrange(-8, 9) // (1 + k)) for _ in range(WIDTH)] for k in classes]
    outputs = [[draw.gauss(0.4 * (i == k), 1) for i in range(WIDTH)] for k in classes]
    low, high = min(map(min, records)), max(map(max, records))
    print("seed", SEED, "D", D, "classes", CLASSES, "n", N, "rounds", ROUNDS, "width", WIDTH, "low", low, "high", high, file=file)
    print(*classes, file=file)
    for name, inputs, encode in (("ngram", texts, encoder.ngram), ("record", records, lambda x: encoder.record(x, low, high)),
                                 ("features", outputs, lambda x: encoder.features(np.array(x)))):
        print(name, file=file)
        h = np.array([encode(x) for x in inputs])
        for x, signs in zip(inputs, h):
            print(x.decode() if name == "ngram" else " ".join(value.hex() for value in x), "".join("-" if s < 0 else "+" for s in signs), file=file)
        stages = trained(h, classes, CLASSES, ROUNDS)
        assert any((a != b).any() for a, b in zip(stages[1:], stages[2:])), "retraining ends at once"
        for sums in stages:
            print(*predict(sums, h), file=file)
            for row in sums:
                print(*row, file=file)


# ---- the program ----

def held_out(row):
    return row % 5 == 4


def check(program, folder, seed):
    draw = random.Random(seed)
    n, n_classes, dimensions, rounds = draw.randrange(40, 90), draw.randrange(2, 6), draw.randrange(40, 400), draw.randrange(1, 7)
    encoder, classes = Encoder(seed, dimensions), [draw.randrange(n_classes) for _ in range(n)]
    names = sorted(set(classes))
    classes = [names.index(k) for k in classes]
    for how in ("ngram", "record"):
        if how == "ngram":
            inputs = [bytes(draw.randrange(97, 101 + 2 * k) for _ in range(draw.randrange(2, 12))) for k in classes]
            text = [x.decode() for x in inputs]
            h = np.array([encoder.ngram(x) for x in inputs])
        else:
            inputs = [[draw.randrange(0, 20) + 3 * k for _ in range(5)] for k in classes]
            text = [",".join(map(str, x)) for x in inputs]
            known = [value for i, x in enumerate(inputs) for value in x if not held_out(i)]
            h = np.array([encoder.record(x, min(known), max(known)) for x in inputs])
        rows, test = ([i for i in range(n) if held_out(i) == of] for of in (False, True))
        path = os.path.join(folder, "labels.tsv")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{names[k]}\t{x}\n" for k, x in zip(classes, text))
        done = subprocess.run([program, "finetune", "--labels", path, "--how", "hdc", "--encoder", how, "--dimensions", str(dimensions),
                               "--rounds", str(rounds), f"seed={seed}", "--json"], capture_output=True, text=True, check=False, timeout=60)
        if done.returncode:
            return f"{how}, seed {seed}: {done.stderr}"
        said = json.loads(done.stdout)
        stages = trained(h[rows], np.array(classes)[rows], len(names), rounds)
        expected = [int((predict(sums, h[test]) == np.array(classes)[test]).sum()) for sums in (stages[0], stages[-1])]
        got = [said["at_once"] * len(test), said["accuracy"] * len(test)]
        if any(abs(a - b) > 1e-6 for a, b in zip(got, expected)):  # counts
            return f"{how}, seed {seed}: {got} of {len(test)} right, not {expected}"
    return ""


STORED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hdc.txt")

if __name__ == "__main__" and len(sys.argv) == 1:
    with open(STORED, "w", encoding="utf-8") as out:
        write(out)
elif __name__ == "__main__":
    again = io.StringIO()
    write(again)
    with open(STORED, encoding="utf-8") as stored:
        if stored.read() != again.getvalue():
            sys.exit("hdc.txt is not what this writes")
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as place:
        wrong = [said for said in (check(sys.argv[1], place, seed) for seed in range(12)) if said]
    print("\n".join(wrong) or "12 files of labels: the same")
    sys.exit(bool(wrong))
