"""FedPepTAO's scores of layers once more, in numpy, as published: eigenvalues of the matrix of cosines of what a batch's texts become.

    layers_oracle.py            writes layers.txt beside itself: batches of outputs, their scores, and which layers are chosen
"""
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
    for share in shares:
        chosen = order[:max(round(share * len(scores) + 1e-9), 1)]
        print(share, *(int(layer in chosen) for layer in range(len(scores))), file=file)


with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "layers.txt"), "w", encoding="utf-8") as out:
    write(out)
