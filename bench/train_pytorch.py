"""Whole training steps of the same two models by PyTorch, eager and compiled, and by builds of Dionode, by turns on the same cores.

    python3 bench/train_pytorch.py [BUILD ...] [--model NAME] [--rounds N] [--threads N]

needs PyTorch (PyPI: torch, a CPU build) and a C++ compiler, which torch.compile calls. BUILD is a build folder of this revision or of an
earlier one. PyTorch steps by AdamW (fused), Dionode as bench/train.c has it: by Dion. In each round everyone has its turn, so that what
else the machine does meets all of them alike; a first round only warms up. Cells are medians (quartiles), shares are those of each round.
"""
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

from arguments import Arguments

SHAPES = {  # as in bench/train.c: width, layers, heads, vocabulary, positions, sequences at a time; two times these are a step
    "quickstart": (256, 4, 4, 256, 256, 8),
    "160m": (768, 12, 6, 50304, 1024, 1),
}
MICRO_BATCHES = 2
STEPS = {"quickstart": 20, "160m": 2}  # of a turn; Dionode's has two more before, since it starts anew


def arguments():
    parser = Arguments(__doc__)
    parser.add_argument("builds", nargs="*", type=pathlib.Path, metavar="BUILD", help="build folder")
    parser.add_argument("--model", choices=SHAPES, help="this one alone (both)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (5)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of each (all cores that this process may use)")
    return parser.parse_args()


GIVEN = arguments()  # --help needs no PyTorch

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402


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


class PyTorch:
    def __init__(self, shape, compiled):
        C, L, NH, V, T, B = shape
        model = GPT(C, L, NH, V, T)
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        self.model, self.tokens = torch.compile(model) if compiled else model, torch.randint(256, (B, T))

    def step_s(self, steps):
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            for _ in range(MICRO_BATCHES):
                (self.model(self.tokens, self.tokens) / MICRO_BATCHES).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            times.append(time.perf_counter() - start)
        return statistics.median(times)


class Dionode:
    """A run of one worker for each turn."""

    def __init__(self, build, shape, place):
        C, L, NH, V, T, B = shape
        self.program, self.place, self.turn = build.resolve() / "dionode", place, 0
        self.keys = {"model_dim": C, "n_layer": L, "n_head": NH, "vocab_size": V, "sequence_length": T, "device_batch_size": B,
                     "batch_size": MICRO_BATCHES * B, "num_iterations": 100000, "val_tokens": 0, "scalar_opt": "adamw", "hash_every": 0}
        numbers = [(i * i + i // 251) % 251 for i in range(1 << 18)]
        (place / "train.bin").write_bytes(struct.pack("<256i", 20240520, 1, len(numbers), *[0] * 253) + struct.pack(f"<{len(numbers)}H", *numbers))
        (place / "empty.yaml").write_text("optimizer: dion\n")

    def step_s(self, steps):
        self.turn += 1
        with tempfile.TemporaryDirectory(dir=self.place) as run:
            keys = {**self.keys, "stop_after": steps + 2, "train_files": self.place / "train.bin", "checkpoint_dir": f"{run}/run"}
            done = subprocess.run([self.program, "train", "--np", "1", self.place / "empty.yaml", *(f"{k}={v}" for k, v in keys.items())],
                                  capture_output=True, text=True, check=False)
            metrics = pathlib.Path(run) / "run" / "metrics.jsonl"
            if done.returncode or not metrics.exists():
                sys.exit(f"{self.program}: {done.stderr}")
            times = [json.loads(line).get("step_s") for line in metrics.read_text().splitlines()]
        return statistics.median([seconds for seconds in times if seconds][2:])


def cell(values, form):
    low, median, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return f"{median:{form}} ({low:{form}} to {high:{form}})"


def compare(name, given, place):
    C, L, NH, V, T, B = shape = SHAPES[name]
    who = {"PyTorch": PyTorch(shape, False), "torch.compile": PyTorch(shape, True)}
    for i, build in enumerate(given.builds):
        (place / f"{name}{i}").mkdir()
        who[f"dionode, {build}"] = Dionode(build, shape, place / f"{name}{i}")
    times = {program: [] for program in who}
    for turn in range(given.rounds + 1):
        for program, it in who.items():
            seconds = it.step_s(STEPS[name])
            if turn > 0:
                times[program].append(seconds)
        print(f"{name}: round {turn} of {given.rounds}", file=sys.stderr, flush=True)
    for program in who:
        rates = [MICRO_BATCHES * B * T / seconds for seconds in times[program]]
        ratios = [theirs / ours for theirs, ours in zip(times["torch.compile"], times[program])]
        print(f"| {name} | {program} | {cell(rates, '.0f')} | {1e3 * statistics.median(times[program]):.1f} | {cell(ratios, '.3f')} |", flush=True)


def main():
    given = GIVEN
    torch.set_num_threads(given.threads)
    print(f"PyTorch {torch.__version__}, {given.threads} threads, {given.rounds} rounds\n")
    print("| model | program | tokens/s | ms a step | times torch.compile |\n|---|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="dionode-bench-") as place:
        for name in [given.model] if given.model else SHAPES:
            compare(name, given, pathlib.Path(place))


main()
