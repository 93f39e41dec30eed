"""The same two models in PyTorch on the same cores: forward and backward alone, as a baseline for bench/train.

    python3 bench/train_pytorch.py [--threads N] [--steps N]     needs PyTorch (PyPI: torch, a CPU build)

Prints tokens/s, ms a step and the share of the best sgemm that PyTorch itself reaches here. No optimizer step is timed,
so the comparison favours PyTorch.
"""
import argparse
import statistics
import time

import torch
import torch.nn.functional as F

SHAPES = {  # as in bench/train.c: width, layers, heads, vocabulary, positions, sequences at a time
    "quickstart": (256, 4, 4, 256, 256, 8),
    "160m": (768, 12, 6, 50304, 1024, 1),
}


def rms_norm(x):
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 2.0**-23)


def rotate(x, cos, sin):
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos + b * sin, b * cos - a * sin], dim=-1)


class Block(torch.nn.Module):
    def __init__(self, C, NH):
        super().__init__()
        self.NH = NH
        self.qkv = torch.nn.Linear(C, 3 * C, bias=False)
        self.proj = torch.nn.Linear(C, C, bias=False)
        self.fc = torch.nn.Linear(C, 4 * C, bias=False)
        self.mlp_proj = torch.nn.Linear(4 * C, C, bias=False)

    def forward(self, x, cos, sin):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.NH, C // self.NH).transpose(1, 2)
                   for t in self.qkv(rms_norm(x)).chunk(3, dim=-1))
        q, k = (rotate(rms_norm(t), cos, sin) for t in (q, k))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp_proj(F.relu(self.fc(rms_norm(x))).square())


class GPT(torch.nn.Module):
    def __init__(self, C, L, NH, V, T):
        super().__init__()
        self.wte = torch.nn.Embedding(V, C)
        self.blocks = torch.nn.ModuleList(Block(C, NH) for _ in range(L))
        self.head = torch.nn.Linear(C, V, bias=False)
        half = C // NH // 2
        angles = torch.outer(torch.arange(T), 10000.0 ** (-torch.arange(half) / half))
        self.cos, self.sin = angles.cos(), angles.sin()

    def forward(self, tokens, targets):
        x = self.wte(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = self.head(rms_norm(x))
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.view(-1))


def seconds(work, repeats):
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def gemm_peak():
    n = 1536
    a, b = torch.randn(n, n), torch.randn(n, n)
    return 2 * n**3 / seconds(lambda: a @ b, 9)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--steps", type=int, default=7)
    arguments.add_argument("--fma-limit", type=float, metavar="GFLOP/s",
                           help="of as many threads, as dionode train tells it: PyTorch has no operation that waits for no memory")
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    print(f"# PyTorch {torch.__version__}, {given.threads} threads, medians of {given.steps}, forward and backward")
    print(f"{'model':<12} {'tokens/s':>10} {'ms':>10} {'of GEMM peak':>13} {'of FMA limit':>13}")
    for name, (C, L, NH, V, T, B) in SHAPES.items():
        model, tokens = GPT(C, L, NH, V, T), torch.randint(256, (B, T))
        time_s = seconds(lambda: model(tokens, tokens).backward(), given.steps)
        flops = B * T * (6 * (12 * L * C * C + V * C) + 6 * L * T * C)
        of_fma = f"{flops / time_s / (1e7 * given.fma_limit):12.1f}%" if given.fma_limit else f"{'-':>13}"
        print(f"{name:<12} {B * T / time_s:10.0f} {1e3 * time_s:10.1f} {100 * flops / time_s / gemm_peak():12.1f}% {of_fma}")


main()
