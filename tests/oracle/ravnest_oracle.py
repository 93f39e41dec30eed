"""Stored vectors for Ravnest (Menon et al., arXiv 2401.01728): asynchronous stages in two clusters, whose weights are averaged.

    python3 ravnest_oracle.py            writes ravnest_steps.txt beside this file

Written from the published rule alone, without stages, messages or an order of micro-batches: of S stages, stage s steps by the gradient at
the weights as they were S - 1 - s updates ago, as soon as there have been as many,

    w_s(k + 1) = w_s(k) - lr grad_s(w_0(k - (S-1)), w_1(k - (S-2)), ..., w_{S-1}(k))

in each cluster by itself, of its own tokens; after every second update clusters have the mean of their weights, and what was kept of
earlier ones stays each cluster's own. The model is that of llama_oracle.py, cut into embedding, blocks and head; derivatives by complex
steps, as there. README.md says what to install.
"""
import pathlib

import numpy as np

from llama_oracle import L, STEP, B, T, initial_parameters, loss_sum, tokens

HERE = pathlib.Path(__file__).parent
STEPS, CLUSTERS, EVERY, LR = 7, 2, 2, 0.4


def stage_of(name):
    return 0 if "embed" in name else 1 + int(name.split(".")[2]) if ".layers." in name else L + 1


def gradients(w, inputs, targets):
    w, found = {name: x.astype(complex) for name, x in w.items()}, {}
    for name, x in w.items():
        found[name] = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            x[at] += 1j * STEP
            found[name][at] = loss_sum(w, inputs, targets).imag / STEP
            x[at] = x[at].real
    return loss_sum(w, inputs, targets).real, found


def train():
    versions = [[initial_parameters()] for _ in range(CLUSTERS)]
    losses = []
    for k in range(STEPS):
        loss = 0.0
        for cluster, mine in enumerate(versions):
            seen = {name: mine[max(0, k - (L + 1 - stage_of(name)))][name] for name in mine[k]}
            own, g = gradients(seen, tokens(4000 + 10 * k + cluster), tokens(5000 + 10 * k + cluster))
            loss += own
            mine.append({name: x - LR * g[name] / (B * T) for name, x in mine[k].items()})
        losses.append(loss)
        if (k + 1) % EVERY == 0:
            mean = {name: sum(mine[k + 1][name] for mine in versions) / CLUSTERS for name in versions[0][k + 1]}
            for mine in versions:
                mine[k + 1] = mean
    return losses, [mine[-1] for mine in versions]


def main():
    losses, weights = train()
    with open(HERE / "ravnest_steps.txt", "w", encoding="utf-8") as file:
        file.write(f"losses {STEPS}\n" + " ".join(float(x).hex() for x in losses) + "\n")
        for w in weights:
            for name, x in w.items():
                file.write(f"{name} {x.shape[0]} {x.shape[1]}\n")
                for row in x.tolist():
                    file.write(" ".join(v.hex() for v in row) + "\n")


if __name__ == "__main__":
    main()
