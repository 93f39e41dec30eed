"""Stored vectors for what fine-tuning on labels adds to a model: a prefix, adapters, SHERL's side module, and the head of classes.

    python3 tuned_oracle.py            writes tuned_model.txt beside this file

The model below is that of llama_oracle.py; what stands on it is written again from the papers, one position after the other, and
derivatives are taken by complex steps, as there. README.md says what to install. Numbers of a parameter are a stream of its name.
"""
import pathlib

import numpy as np

from llama_oracle import C, F, HD, NH, NKV, B, STEP, T, V, bits, norm, number, rotate

HERE = pathlib.Path(__file__).parent
L = 3  # so that there is something to mix
CLASSES, PROMPT, RANK, SCALE, REDUCTION = 5, 3, 2, 1.5, 2
R = C // REDUCTION
LABELS = [(6, 2), (3, 4)]  # of each sequence: the last token's position, and the class
MATRICES = {"self_attn.q_proj": (NH * HD, C), "self_attn.k_proj": (NKV * HD, C), "self_attn.v_proj": (NKV * HD, C),
            "self_attn.o_proj": (C, NH * HD), "mlp.gate_proj": (F, C), "mlp.up_proj": (F, C), "mlp.down_proj": (C, F)}


def stream(name):
    """FNV-1a of the name."""
    x = 0x811C9DC5
    for byte in name.encode():
        x = (x ^ byte) * 0x01000193 & 0xFFFFFFFF
    return x


def draw(name, rows, cols, amplitude, offset=0.0):
    return np.array([[offset + amplitude * number(stream(name), i * cols + j) for j in range(cols)] for i in range(rows)], complex)


def parameters(way):
    """Of the model, which is frozen, and what is trained."""
    frozen = {"model.embed_tokens.weight": draw("model.embed_tokens.weight", V, C, 2), "model.norm.weight": draw("model.norm.weight", C, 1, 0.5, 1)}
    trained = {"score.weight": draw("score.weight", CLASSES, C, 1)}
    for layer in range(L):
        block = f"model.layers.{layer}."
        for name, (rows, cols) in MATRICES.items():
            frozen[block + name + ".weight"] = draw(block + name + ".weight", rows, cols, 0.5)
            if way == "lora":
                for part, shape in (("lora_A", (RANK, cols)), ("lora_B", (rows, RANK))):
                    at = f"{block}{name}.{part}.weight"
                    trained[at] = draw(at, *shape, 0.5)
        for name in ("input_layernorm", "post_attention_layernorm"):
            frozen[block + name + ".weight"] = draw(block + name + ".weight", C, 1, 0.5, 1)
        if way == "prompt":
            for what in "kv":
                at = f"{block}prefix_{what}.weight"
                trained[at] = draw(at, PROMPT, NKV * HD, 2)
        if way == "sherl":
            for what, cols in (("down", C), ("transform", R), ("gate", R)):
                trained[f"sherl.{layer}.{what}.weight"] = draw(f"sherl.{layer}.{what}.weight", R, cols, 0.5)
    if way == "sherl":
        trained["sherl.up.weight"] = draw("sherl.up.weight", C, R, 0.5)
        trained["sherl.attend.weight"] = draw("sherl.attend.weight", R, 1, 0.5, 1)
        trained["sherl.gamma.bias"] = np.full((1, 1), 0.03, complex)
    return frozen, trained


def relu(x):
    return np.where(x.real > 0, x, 0)


def product(x, w, name):
    """x W^T, and what an adapter adds: scale (x A^T) B^T."""
    y = x @ w[name + ".weight"].T
    if name + ".lora_A.weight" in w:
        y = y + SCALE * (x @ w[name + ".lora_A.weight"].T) @ w[name + ".lora_B.weight"].T
    return y


def attention(rows, w, block):
    """A prefix is keys and values that every query sees, in no position: they are not rotated."""
    q, k, v = ([product(row, w, f"{block}self_attn.{n}_proj") for row in rows] for n in "qkv")
    keys, values = (w.get(f"{block}prefix_{n}.weight", np.zeros((0, NKV * HD))) for n in "kv")
    out = []
    for t in range(len(rows)):
        heads = []
        for h in range(NH):
            kv = slice(h // (NH // NKV) * HD, (h // (NH // NKV) + 1) * HD)
            query = rotate(q[t][h * HD:(h + 1) * HD], t)
            seen = [key[kv] for key in keys] + [rotate(k[s][kv], s) for s in range(t + 1)]
            what = [value[kv] for value in values] + [v[s][kv] for s in range(t + 1)]
            scores = np.array([(query * key).sum() / HD**0.5 for key in seen])
            weights = np.exp(scores - scores.real.max())
            weights = weights / weights.sum()
            heads.append(sum(p * x for p, x in zip(weights, what)))
        out.append(product(np.concatenate(heads), w, f"{block}self_attn.o_proj"))
    return out


def mlp(row, w, block):
    gate, up = product(row, w, f"{block}mlp.gate_proj"), product(row, w, f"{block}mlp.up_proj")
    return product(gate / (1 + np.exp(-gate)) * up, w, f"{block}mlp.down_proj")


def side_module(outputs, w):
    """The input of the last block at one position, of the outputs [L][C] of the embedding and all blocks before it."""
    f = []
    for layer, x in enumerate(outputs):
        z = relu(x @ w[f"sherl.{layer}.down.weight"].T)
        f.append((z @ w[f"sherl.{layer}.transform.weight"].T + z) / (1 + np.exp(-(z @ w[f"sherl.{layer}.gate.weight"].T))))
    shallow, deep = f[:-1], f[-1]
    lengths = [np.sqrt((x * x).sum()) for x in shallow]
    unit = [x / n if n != 0 else x for x, n in zip(shallow, lengths)]
    s = []
    for x, u in zip(shallow, unit):
        redundancy = sum(relu((u * other).sum()) for other in unit)
        s.append(relu((w["sherl.attend.weight"][:, 0] * x * deep).sum()) / redundancy if redundancy != 0 else 0)  # x is 0: it matters not
    mixed = deep + sum(share / (sum(s) + 1e-6) * x for share, x in zip(s, shallow))
    return relu(mixed) @ w["sherl.up.weight"].T + np.tanh(10 * w["sherl.gamma.bias"][0, 0]) * outputs[-1]


def loss_sum(w, inputs):
    loss = 0
    for tokens, (last, label) in zip(inputs, LABELS):
        x = [w["model.embed_tokens.weight"][token] for token in tokens[:last + 1]]
        outputs = [x]
        for layer in range(L):
            block = f"model.layers.{layer}."
            if layer == L - 1 and "sherl.up.weight" in w:
                x = [side_module([rows[t] for rows in outputs], w) for t in range(last + 1)]
            added = attention([norm(row, w[block + "input_layernorm.weight"]) for row in x], w, block)
            x = [row + a for row, a in zip(x, added)]
            x = [row + mlp(norm(row, w[block + "post_attention_layernorm.weight"]), w, block) for row in x]
            outputs.append(x)
        scores = norm(x[-1], w["model.norm.weight"]) @ w["score.weight"].T
        largest = scores.real.max()
        loss += largest + np.log(np.exp(scores - largest).sum()) - scores[label]
    return loss


def main():
    inputs = [[bits(1000, b * T + t) % V for t in range(T)] for b in range(B)]
    with open(HERE / "tuned_model.txt", "w", encoding="utf-8") as file:
        for way in ("prompt", "lora", "sherl"):
            frozen, trained = parameters(way)
            w = frozen | trained
            file.write(f"way {way} {len(trained)}\nlosses 1\n{float(loss_sum(w, inputs).real).hex()}\n")
            for name, x in trained.items():
                file.write(f"{name} {x.shape[0]} {x.shape[1]}\n")
                for i in range(x.shape[0]):
                    row = []
                    for j in range(x.shape[1]):
                        x[i, j] += 1j * STEP
                        row.append(float(loss_sum(w, inputs).imag / STEP).hex())
                        x[i, j] = x[i, j].real
                    file.write(" ".join(row) + "\n")


if __name__ == "__main__":
    main()
