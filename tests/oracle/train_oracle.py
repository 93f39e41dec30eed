"""Stored vectors for whole training steps: the GPT of gpt_oracle.py under Dion and AdamW, float64.

    python3 train_oracle.py          writes gpt_ten_steps.txt beside this file

Written from the description of the optimizers (src/optim/dion.h, src/compute/kernels.h), in the plainest form:
transposes are formed, P comes from a Householder QR (its signs cancel in everything that is kept).
"""

import math

import torch

from gpt_oracle import B, HERE, T, initial_parameters, loss_and_gradients, matrix, parameter_list, tokens, write_tensors

STEPS = 10
LR = 0.02
# Dion, for the matrices
MU, RANK_FRACTION, NORM_EPS, WEIGHT_DECAY = 0.95, 0.25, 1e-8, 0.01
# AdamW, for embedding and head
BETA1, BETA2, ADAM_EPS, SCALAR_LR_SCALE = 0.9, 0.95, 1e-8, 0.1


class Dion:
    def __init__(self, index, rows, cols):
        self.transposed = rows < cols
        self.lr_factor = math.sqrt(rows / cols)
        rank = math.ceil(RANK_FRACTION * min(rows, cols))
        self.momentum = torch.zeros(rows, cols)
        self.q = matrix(3000 + index, min(rows, cols), rank, 1.0)

    def step(self, x, gradient):
        momentum = self.momentum + gradient
        tall = momentum.T if self.transposed else momentum
        p, _ = torch.linalg.qr(tall @ self.q)
        r = tall.T @ p
        tall = tall - (1 - MU) * p @ r.T
        self.momentum = tall.T if self.transposed else tall
        self.q = r / (torch.linalg.vector_norm(r, dim=0, keepdim=True) + NORM_EPS)
        update = self.q @ p.T if self.transposed else p @ self.q.T
        return (1 - LR * WEIGHT_DECAY) * x - LR * self.lr_factor * update


class AdamW:
    def __init__(self, index, rows, cols):
        self.m, self.v, self.steps = torch.zeros(rows, cols), torch.zeros(rows, cols), 0

    def step(self, x, gradient):
        self.steps += 1
        self.m = BETA1 * self.m + (1 - BETA1) * gradient
        self.v = BETA2 * self.v + (1 - BETA2) * gradient**2
        mean = self.m / (1 - BETA1**self.steps)
        square = self.v / (1 - BETA2**self.steps)
        return x - SCALAR_LR_SCALE * LR * mean / (torch.sqrt(square) + ADAM_EPS)


def train():
    weights = initial_parameters()
    rules = {
        name: (Dion if ".h." in name else AdamW)(index, rows, cols)
        for index, (name, rows, cols, _) in enumerate(parameter_list())
    }
    losses = []
    for step in range(STEPS):
        loss, gradients = loss_and_gradients(weights, tokens(4000 + step), tokens(5000 + step))
        losses.append(loss)
        for name, x in weights.items():
            weights[name] = rules[name].step(x, gradients[name] / (B * T))
    return losses, weights


if __name__ == "__main__":
    losses, weights = train()
    with open(HERE / "gpt_ten_steps.txt", "w") as file:
        file.write(f"losses {STEPS}\n" + " ".join(x.hex() for x in losses) + "\n")
        write_tensors(file, weights)
