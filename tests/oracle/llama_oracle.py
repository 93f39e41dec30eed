"""Stored vectors for Llama, from an implementation that shares nothing with src/: numpy, and derivatives by complex steps.

    python3 llama_oracle.py            writes llama_model.txt beside this file

f(x + ih) = f(x) + ih f'(x) + O(h^2): with h = 1e-40 the imaginary part, divided by h, is the derivative to the last bits,
one pass for each number of each parameter, and there is no backward pass that could be wrong with ours. Written from the
published description (RMS norm with gain, half-split rotary positions, grouped heads, SwiGLU), one position after the
other. README.md says what to install.
"""
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent

V, T, C, L, NH, NKV, HD, F, B = 19, 7, 12, 2, 4, 2, 4, 20, 2
EPS, THETA = 1e-3, 100.0
STEP = 1e-40


def mix(x):
    """32 bits in, 32 well-mixed bits out; the same few integer operations in vectors.h."""
    x &= 0xFFFFFFFF
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


def bits(stream, index):
    return mix(mix(stream) + index)


def number(stream, index):
    """In [-1, 1), a multiple of 2^-23: exact in float and in double."""
    return (bits(stream, index) >> 8) / 2.0**23 - 1


def parameter_list():
    """(name, rows, cols, offset, amplitude) in the order of llama.c; gains are around 1."""
    params = [("model.embed_tokens", V, C, 0, 2.0)]
    for layer in range(L):
        block = f"model.layers.{layer}."
        for name, rows, cols in (
            ("self_attn.q_proj", NH * HD, C),
            ("self_attn.k_proj", NKV * HD, C),
            ("self_attn.v_proj", NKV * HD, C),
            ("self_attn.o_proj", C, NH * HD),
            ("input_layernorm", C, 1),
            ("mlp.gate_proj", F, C),
            ("mlp.up_proj", F, C),
            ("mlp.down_proj", C, F),
            ("post_attention_layernorm", C, 1),
        ):
            gain = name.endswith("layernorm")
            params.append((block + name, rows, cols, 1.0 if gain else 0.0, 0.5))
    return params + [("lm_head", V, C, 0, 1.0), ("model.norm", C, 1, 1.0, 0.5)]


def initial_parameters():
    return {
        name + ".weight": np.array([[offset + amplitude * number(p, i * cols + j) for j in range(cols)] for i in range(rows)])
        for p, (name, rows, cols, offset, amplitude) in enumerate(parameter_list())
    }


def tokens(stream):
    return [[bits(stream, b * T + t) % V for t in range(T)] for b in range(B)]


def norm(x, gain):
    return x / np.sqrt((x * x).sum() / C + EPS) * gain[:, 0]


def rotate(head, t):
    out = head.copy()
    for i in range(HD // 2):
        angle = t * THETA ** (-2.0 * i / HD)
        u, w = head[i], head[i + HD // 2]
        out[i] = u * np.cos(angle) - w * np.sin(angle)
        out[i + HD // 2] = w * np.cos(angle) + u * np.sin(angle)
    return out


def attention(rows, w, block):
    """rows [T][C], normalized; one query after the other."""
    q, k, v = ([row @ w[f"{block}self_attn.{n}_proj.weight"].T for row in rows] for n in "qkv")
    out = []
    for t in range(T):
        heads = []
        for h in range(NH):
            kv = slice(h // (NH // NKV) * HD, (h // (NH // NKV) + 1) * HD)
            query = rotate(q[t][h * HD:(h + 1) * HD], t)
            scores = np.array([(query * rotate(k[s][kv], s)).sum() / HD**0.5 for s in range(t + 1)])
            weights = np.exp(scores - scores.real.max())
            weights = weights / weights.sum()
            heads.append(sum(weights[s] * v[s][kv] for s in range(t + 1)))
        out.append(np.concatenate(heads) @ w[f"{block}self_attn.o_proj.weight"].T)
    return out


def mlp(row, w, block):
    gate, up = row @ w[f"{block}mlp.gate_proj.weight"].T, row @ w[f"{block}mlp.up_proj.weight"].T
    return (gate / (1 + np.exp(-gate)) * up) @ w[f"{block}mlp.down_proj.weight"].T


def loss_sum(w, inputs, targets):
    loss = 0
    for b in range(B):
        x = [w["model.embed_tokens.weight"][token] for token in inputs[b]]
        for layer in range(L):
            block = f"model.layers.{layer}."
            added = attention([norm(row, w[block + "input_layernorm.weight"]) for row in x], w, block)
            x = [row + a for row, a in zip(x, added)]
            x = [row + mlp(norm(row, w[block + "post_attention_layernorm.weight"]), w, block) for row in x]
        for row, target in zip(x, targets[b]):
            logits = norm(row, w["model.norm.weight"]) @ w["lm_head.weight"].T
            largest = logits.real.max()
            loss += largest + np.log(np.exp(logits - largest).sum()) - logits[target]
    return loss


def main():
    w = {name: x.astype(complex) for name, x in initial_parameters().items()}
    inputs, targets = tokens(1000), tokens(2000)
    with open(HERE / "llama_model.txt", "w") as file:
        file.write(f"sizes V {V} T {T} C {C} L {L} NH {NH} NKV {NKV} hd {HD} F {F} B {B} eps {EPS} theta {THETA}\n")
        file.write(f"losses 1\n{float(loss_sum(w, inputs, targets).real).hex()}\n")
        for name, x in w.items():
            file.write(f"{name} {x.shape[0]} {x.shape[1]}\n")
            for i in range(x.shape[0]):
                row = []
                for j in range(x.shape[1]):
                    x[i, j] += 1j * STEP
                    row.append(float((loss_sum(w, inputs, targets).imag / STEP)).hex())
                    x[i, j] = x[i, j].real
                file.write(" ".join(row) + "\n")


if __name__ == "__main__":
    main()
