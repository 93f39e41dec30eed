"""FedPepTAO's scores of layers once more, in numpy, as published: eigenvalues of the matrix of cosines of what a batch's texts become.

    layers_oracle.py            writes layers.txt beside itself: batches of outputs, their scores, and which layers are chosen; spectra, and
                                which share of layers they choose
"""
import math
import os
import random

import numpy as np

RIDGE = 1e-5


def score(outputs):
    unit = outputs / np.maximum(np.linalg.norm(outputs, axis=1, keepdims=True), 1e-300)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, 1)
    eigenvalues = np.linalg.eigvalsh(cosines) + RIDGE
    return float((np.log(eigenvalues) + 1 / eigenvalues).sum())


def batch(draw, B, n, alike):
    """Outputs [B,n] with so much in common."""
    common = [draw.gauss(0, 1) for _ in range(n)]
    return np.array([[alike * common[i] + draw.gauss(0, 1) for i in range(n)] for _ in range(B)])


def share(nodes, weights):
    """As published, but for the mass above t: there a sum over 10,000 cells, here the integral."""
    deviation = math.sqrt(1e-5 * max(1, max(nodes) - min(nodes)))

    def above(t):
        return 1 - sum(w * (1 + math.erf((t - x) / deviation / math.sqrt(2))) / 2 for x, w in zip(nodes, weights))

    step = 0.1
    while True:
        t, ratios = 0.0, []
        while not ratios or ratios[-1] >= ratios[0] / 2:
            if len(ratios) >= 4 and all(abs(a - b) < 0.005 for a, b in zip(ratios[-3:], ratios[-4:-1])):
                return ratios[-1]
            ratios.append(above(t))
            t += step
        step /= 2


def spectrum(draw, n, bulk, outliers):
    """Of a matrix with a bulk of eigenvalues around 0 and some above it, as the quadrature of a random vector has it: all n of them."""
    eigenvalues = np.array([bulk * draw.gauss(0, 1) for _ in range(n - len(outliers))] + outliers)
    turned, _ = np.linalg.qr(np.array([[draw.gauss(0, 1) for _ in range(n)] for _ in range(n)]))
    nodes, vectors = np.linalg.eigh(turned @ np.diag(eigenvalues) @ turned.T)
    start = np.array([draw.choice((-1, 1)) for _ in range(n)]) / math.sqrt(n)
    return [float(x) for x in nodes], [float(x) for x in (vectors.T @ start) ** 2]


def write_shares(draw, file):
    spectra = [spectrum(draw, n, bulk, outliers) for n, bulk, outliers in (
        (12, 1e-3, [0.5, 2.0]), (20, 0.02, [0.9, 1.0, 3.0, 7.5]), (30, 0.3, [4.0]), (8, 0.0, [0.15, 0.25, 0.35]),
        (16, 1.0, []), (10, 0.001, [40.0, 55.0]))]
    spectra += [([-3.0, -1.0], [0.5, 0.5]), ([1.5], [1.0])]  # nothing above 0; all
    print("shares", len(spectra), file=file)
    for nodes, weights in spectra:
        print(len(nodes), share(nodes, weights).hex(), file=file)
        print(*(x.hex() for x in nodes + weights), file=file)


def write(file):
    draw = random.Random(11)
    batches = [batch(draw, B, n, alike) for B, n, alike in ((1, 3, 0), (2, 5, 0), (5, 9, 0.5), (8, 40, 3), (12, 7, 0), (16, 30, 20))]
    batches.append(np.vstack([batches[2], batches[2][:1]]))  # a text twice: an eigenvalue of RIDGE
    batches.append(np.vstack([batches[3][:3], np.zeros(40)]))
    print("batches", len(batches), file=file)
    scores = []
    for x in batches:
        scores.append(score(x))
        print(*x.shape, scores[-1].hex(), file=file)
        for row in x:
            print(*(float(value).hex() for value in row), file=file)
    scores += [scores[3], 0.0]  # equal ones; the last layer's
    order = sorted(range(len(scores)), key=lambda layer: (-scores[layer], layer))
    shares = (0.01, 0.2, 0.25, 0.5, 0.99, 1)
    print("choices", len(scores), len(shares), *(value.hex() for value in scores), file=file)
    for of_layers in shares:
        chosen = order[:max(round(of_layers * len(scores) + 1e-9), 1)]
        print(of_layers, *(int(layer in chosen) for layer in range(len(scores))), file=file)
    write_shares(draw, file)


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.txt"), "w", encoding="utf-8") as out:
    write(out)
