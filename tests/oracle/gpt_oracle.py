"""Stored vectors for the GPT, from an implementation that shares nothing with src/: PyTorch, float64, autograd.

    python3 gpt_oracle.py            writes gpt_gradients.txt and gpt_channels.txt beside this file

Written from the description of the model (src/model/gpt.c), in the plainest form: explicit softmax over a masked
square of scores, one head dimension at a time where that is clearer. README.md says what to install.
"""

import pathlib

import torch

torch.set_default_dtype(torch.float64)
HERE = pathlib.Path(__file__).parent

V, T, C, L, NH, B = 19, 11, 12, 2, 2, 3
HD = C // NH
RMS_EPS = 2.0**-23  # FLT_EPSILON


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


def matrix(stream, rows, cols, amplitude):
    return torch.tensor([[amplitude * number(stream, i * cols + j) for j in range(cols)] for i in range(rows)])


def tokens(stream):
    return torch.tensor([[bits(stream, b * T + t) % V for t in range(T)] for b in range(B)])


def parameter_list():
    """(name, rows, cols, amplitude) in the order of gpt.h."""
    params = [("transformer.wte.weight", V, C, 2.0)]
    for layer in range(L):
        block = f"transformer.h.{layer}."
        for name, rows, cols in (
            ("attn.c_q", C, C),
            ("attn.c_k", C, C),
            ("attn.c_v", C, C),
            ("attn.c_proj", C, C),
            ("mlp.c_fc", 4 * C, C),
            ("mlp.c_proj", C, 4 * C),
        ):
            params.append((f"{block}{name}.weight", rows, cols, 0.5))
    params.append(("lm_head.weight", V, C, 1.0))
    return params


def initial_parameters():
    return {
        name: matrix(p, rows, cols, amplitude) for p, (name, rows, cols, amplitude) in enumerate(parameter_list())
    }


def rms_norm(x):
    return x / torch.sqrt((x * x).mean(dim=-1, keepdim=True) + RMS_EPS)


def rotate(x):
    """x [B, T, NH, HD]: pair i is the elements i and i + HD/2, turned by -t * 10000^(-2i/HD)."""
    out = torch.empty_like(x)
    half = HD // 2
    for i in range(half):
        angle = torch.arange(T, dtype=torch.float64) * 10000.0 ** (-2.0 * i / HD)
        c, s = torch.cos(angle)[None, :, None], torch.sin(angle)[None, :, None]
        out[..., i] = x[..., i] * c + x[..., i + half] * s
        out[..., i + half] = x[..., i + half] * c - x[..., i] * s
    return out


def attention(x, w, block):
    q, k, v = (
        torch.einsum("btc,dc->btd", x, w[f"{block}attn.c_{n}.weight"]).reshape(B, T, NH, HD) for n in "qkv"
    )
    q, k = rms_norm(rotate(q)), rms_norm(rotate(k))
    scores = torch.einsum("bihd,bjhd->bhij", q, k) / HD**0.5
    later = torch.triu(torch.ones(T, T, dtype=torch.bool), diagonal=1)
    scores = scores.masked_fill(later, float("-inf"))
    weights = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
    weights = weights / weights.sum(dim=-1, keepdim=True)
    out = torch.einsum("bhij,bjhd->bihd", weights, v).reshape(B, T, C)
    return torch.einsum("btc,dc->btd", out, w[f"{block}attn.c_proj.weight"])


def mlp(x, w, block):
    hidden = torch.einsum("btc,dc->btd", x, w[f"{block}mlp.c_fc.weight"])
    return torch.einsum("btc,dc->btd", hidden.clamp(min=0) ** 2, w[f"{block}mlp.c_proj.weight"])


def cross(x, kept):
    """What a channel between stages lets through: of each position the numbers of largest magnitude, others are 0."""
    order = x.detach().abs().sort(dim=-1, descending=True)
    gap = (order.values[..., kept - 1] - order.values[..., kept]) / order.values[..., kept - 1]
    assert gap.min() > 1e-4, "a rounding in float might decide"
    return x * torch.zeros_like(x).scatter(-1, order.indices[..., :kept], 1.0)


CHANNELS = {0: 5, 1: 7}  # behind the embedding, behind the first block


def loss_sum(w, inputs, targets, channels={}):
    x = w["transformer.wte.weight"][inputs]
    for layer in range(L):
        block = f"transformer.h.{layer}."
        x = cross(x, channels[layer]) if layer in channels else x
        x = x + attention(rms_norm(x), w, block)
        x = x + mlp(rms_norm(x), w, block)
    logits = torch.einsum("btc,vc->btv", rms_norm(x), w["lm_head.weight"])
    log_p = torch.log_softmax(logits, dim=-1)
    return -log_p.gather(-1, targets[..., None]).sum()


def loss_and_gradients(w, inputs, targets, channels={}):
    leaves = {name: x.detach().clone().requires_grad_(True) for name, x in w.items()}
    loss = loss_sum(leaves, inputs, targets, channels)
    loss.backward()
    return loss.item(), {name: x.grad for name, x in leaves.items()}


def write_tensors(file, tensors):
    """Every number as a hexadecimal float: exact, and readable by strtod."""
    for name, x in tensors.items():
        file.write(f"{name} {x.shape[0]} {x.shape[1]}\n")
        for row in x.tolist():
            file.write(" ".join(v.hex() for v in row) + "\n")


def write_gradients(name, channels):
    loss, gradients = loss_and_gradients(initial_parameters(), tokens(1000), tokens(2000), channels)
    with open(HERE / name, "w") as file:
        file.write(f"losses 1\n{loss.hex()}\n")
        write_tensors(file, gradients)


if __name__ == "__main__":
    write_gradients("gpt_gradients.txt", {})
    write_gradients("gpt_channels.txt", CHANNELS)
