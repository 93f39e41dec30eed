#!/usr/bin/env python3
"""torch.distributed's backend "dionode" beside gloo: collectives of 4 B to 64 MiB, a DDP and an FSDP2 step.

    bench/process_group.py [--np N] [--budget S]      needs the package (docs/python.md) and PyTorch

Nine pairs, alternating in one run; the ratio is the median of the pairs' (lower and upper quartile), below 1 where dionode
takes less time. Markdown, as docs/measured/python.md has it.
"""
import os
import socket
import statistics
import subprocess
import sys
import time

from arguments import Arguments

PAIRS = 9
SIZES = [4, 64, 1 << 10, 16 << 10, 256 << 10, 4 << 20, 64 << 20]


def launch(n, arguments):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    shared = dict(os.environ, WORLD_SIZE=str(n), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), OMP_NUM_THREADS="1")
    ranks = [subprocess.Popen([sys.executable, __file__, *arguments], env=dict(shared, RANK=str(rank), LOCAL_RANK=str(rank)))
             for rank in range(n)]
    return max(abs(process.wait()) for process in ranks)


def timed(call, times):
    dist.barrier()
    began = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - began) / times


def compare(name, ours, gloo, budget):
    """A row: the budget in seconds is for all pairs."""
    slower = torch.tensor([max(timed(ours, 2), timed(gloo, 2))])
    dist.all_reduce(slower, dist.ReduceOp.MAX)
    times = max(1, min(1000, int(budget / (2 * PAIRS * slower.item()))))
    pairs = [(timed(ours, times), timed(gloo, times)) for _ in range(PAIRS)]
    if dist.get_rank() == 0:
        a, b = (statistics.median(one) for one in zip(*pairs))
        low, middle, high = statistics.quantiles([x / y for x, y in pairs], n=4)
        print(f"| {name} | {a * 1e6:.1f} | {b * 1e6:.1f} | {middle:.2f} ({low:.2f} - {high:.2f}) |", flush=True)


def collectives(budget):
    n = dist.get_world_size()
    for size in SIZES:
        x = torch.zeros(max(1, size // 4))
        parts = torch.zeros(n, -(-x.numel() // n))
        calls = {"all-reduce": lambda group: dist.all_reduce(x, group=group),
                 "broadcast": lambda group: dist.broadcast(x, 0, group=group),
                 "all-gather": lambda group: dist.all_gather_into_tensor(parts.view(-1), parts[0].clone(), group=group),
                 "reduce-scatter": lambda group: dist.reduce_scatter_tensor(parts[0].clone(), parts.view(-1), group=group)}
        for name, call in calls.items():
            compare(f"{name}, {text(size)}", lambda: call(None), lambda: call(GLOO), budget)


def text(size):
    return f"{size} B" if size < 1024 else f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(*(layer for _ in range(6) for layer in (torch.nn.Linear(512, 512), torch.nn.GELU())))


def stepper(kind, group, mesh):
    net = model()
    if kind == "DDP":
        net = torch.nn.parallel.DistributedDataParallel(net, process_group=group)
    else:
        for layer in net:
            if isinstance(layer, torch.nn.Linear):
                fully_shard(layer, mesh=mesh)
        fully_shard(net, mesh=mesh)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    x = torch.randn(32, 512)

    def step():
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()

    return step


def work(budget):
    global dist, torch, GLOO, fully_shard
    import torch
    import torch.distributed as dist
    import dionode.torch  # noqa: F401
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.fsdp import fully_shard
    torch.set_num_threads(1)
    dist.init_process_group("dionode")
    GLOO = dist.new_group(backend="gloo")
    n = dist.get_world_size()
    if dist.get_rank() == 0:
        print(f"{n} ranks, PyTorch {torch.__version__}, dionode {dionode.version()}, float32, {PAIRS} pairs\n\n"
              "| | dionode, us | gloo, us | ratio (quartiles) |\n|---|---:|---:|---:|")
    collectives(budget)
    meshes = DeviceMesh("cpu", list(range(n))), DeviceMesh.from_group(GLOO, "cpu")
    for kind in "DDP", "FSDP2":
        compare(f"{kind} step, 1.6 M parameters", stepper(kind, None, meshes[0]), stepper(kind, GLOO, meshes[1]), 4 * budget)


if __name__ == "__main__":
    parser = Arguments(__doc__)
    parser.add_argument("--np", type=int, default=2, help="ranks (2)")
    parser.add_argument("--budget", type=float, default=1.0, help="seconds for each row (1)")
    given = parser.parse_args()
    if "RANK" in os.environ:
        work(given.budget)
    else:
        sys.exit(launch(given.np, sys.argv[1:]))
