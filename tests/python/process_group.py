"""torch.distributed over the backend "dionode": its collectives and what is built on them (DDP, FSDP2, tensor parallelism)
beside gloo, the same bits in every run, and a rank that dies or hangs is named.

As a worker, process_group.py MODE does one of the functions work_...
"""
import datetime
import os
import signal
import sys
import time

from support import Ranks, case, expect, need, run_ranks, tap
from runs import FULL


def start(seconds=60):
    global dionode, dist, torch, F
    import dionode.torch
    import torch
    import torch.distributed as dist
    import torch.nn.functional as F
    torch.set_num_threads(1)
    # All have started, however slowly, before the deadline counts.
    store, rank, n = next(dist.rendezvous("env://", timeout=datetime.timedelta(seconds=300)))
    store.set(f"started {rank}", "")
    store.wait([f"started {r}" for r in range(n)])
    dist.init_process_group("dionode", store=store, rank=rank, world_size=n, timeout=datetime.timedelta(seconds=seconds))


# ---- workers ----

def draw(shape, dtype, rank):
    """Small whole numbers: their sums and products are exact in every dtype and order."""
    generator = torch.Generator().manual_seed(100 * len(shape) + rank)
    return torch.randint(0, 3, shape, generator=generator).to(dtype)


def work_collectives():
    start()
    rank, n = dist.get_rank(), dist.get_world_size()
    gloo = dist.new_group(backend="gloo")
    counts = {"compared": 0, "refused by gloo": 0}

    def compare(name, call):
        """call(group) returns tensors."""
        ours = call(None)
        try:
            theirs = call(gloo)
        except (RuntimeError, ValueError, TypeError):
            counts["refused by gloo"] += 1
            return
        for a, b in zip(ours, theirs, strict=True):
            expect(a.dtype == b.dtype and torch.equal(a, b), f"{name}, rank {rank}: {a} here, {b} by gloo")
        counts["compared"] += 1

    ops = dist.ReduceOp
    folds = {ops.SUM: torch.add, ops.PRODUCT: torch.mul, ops.MIN: torch.minimum, ops.MAX: torch.maximum}
    for shape in (), (1,), (3,), (64,), (5, 7), (2, 3, 41), (60001,):
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int8, torch.uint8, torch.int16,
                      torch.int32, torch.int64, torch.bool):
            what = f"{dtype} {shape}"
            mine = draw(shape, dtype, rank)
            all = [draw(shape, dtype, r) for r in range(n)]

            def gathered(group):
                out = [torch.zeros_like(mine) for _ in range(n)]
                dist.all_gather(out, mine, group=group)
                return out

            def gathered_at(group):
                out = [torch.zeros_like(mine) for _ in range(n)]
                dist.gather(mine, out if rank == 1 else None, dst=1, group=group)
                return out

            def scattered(group):
                out = torch.zeros_like(mine)
                dist.scatter(out, all if rank == 0 else None, src=0, group=group)
                return [out]

            def broadcast(group):
                out = mine.clone()
                dist.broadcast(out, src=n - 1, group=group)
                return [out]

            def exchanged(group):
                out = [torch.zeros_like(mine) for _ in range(n)]
                dist.all_to_all(out, [(x if dtype == torch.bool else x + rank).clone() for x in all], group=group)
                return out

            for call in gathered, gathered_at, scattered, broadcast, exchanged:
                compare(f"{call.__name__} {what}", call)
            expect(all_equal(gathered(None), all), f"gathered {what}")
            if dtype == torch.bool:
                continue
            for op, fold in folds.items():
                def reduced(group):
                    out = mine.clone()
                    dist.all_reduce(out, op, group=group)
                    return [out]

                def reduced_at(group):
                    out = mine.clone()
                    dist.reduce(out, dst=1, op=op, group=group)
                    return [out] if rank == 1 else []

                total = all[0]
                for x in all[1:]:
                    total = fold(total, x)
                expect(torch.equal(reduced(None)[0], total), f"{op} {what}: {reduced(None)[0]}, not {total}")
                compare(f"all_reduce {op} {what}", reduced)
                compare(f"reduce {op} {what}", reduced_at)
                rows = [x.reshape(-1) * (1 + r % 2) for r, x in enumerate(all)]

                def scattered_sum(group):
                    out = torch.zeros_like(rows[0])
                    dist.reduce_scatter_tensor(out, torch.cat(rows), op, group=group)
                    return [out]

                compare(f"reduce_scatter_tensor {op} {what}", scattered_sum)
                total = rows[rank]
                for _ in range(n - 1):
                    total = fold(total, rows[rank])
                expect(torch.equal(scattered_sum(None)[0], total), f"reduce_scatter {op} {what}")
    order = [torch.tensor([2.0**24, 1.0, -2.0**24, 1.0][r % 4]) for r in range(n)]  # any other order rounds otherwise
    total = order[0]
    for x in order[1:]:
        total = total + x
    for size in 1, 100_000:
        x = order[rank].repeat(size)
        dist.all_reduce(x)
        expect(bool((x == total).all()), f"in rank order {total}, found {x}")
    # With gaps, of uneven lengths, averages.
    gaps = torch.arange(24.).view(4, 6).T + rank
    before = gaps.clone()
    dist.all_reduce(gaps)
    expect(torch.equal(gaps, n * (before - rank) + n * (n - 1) / 2), f"with gaps: {gaps}")
    mean = torch.full((3,), float(rank))
    dist.all_reduce(mean, ops.AVG)
    expect(torch.equal(mean, torch.full((3,), (n - 1) / 2)), f"mean {mean}")

    def uneven(group):  # rank r sends r + i + 1 rows to rank i
        rows = torch.arange(sum(rank + i + 1 for i in range(n)) * 3, dtype=torch.float32).view(-1, 3) + 100 * rank
        out = torch.zeros(sum(rank + i + 1 for i in range(n)), 3)
        splits = [rank + i + 1 for i in range(n)]
        dist.all_to_all_single(out, rows, splits, splits, group=group)
        return [out]

    compare("all_to_all_single", uneven)

    def to_the_first(group):  # all others receive nothing, and it has nothing to send
        rows = torch.ones((rank > 0) * 3, 2, dtype=torch.uint8)
        out = torch.zeros((rank == 0) * 3 * (n - 1), 2, dtype=torch.uint8)
        dist.all_to_all_single(out, rows, [(rank == 0) * (r > 0) * 3 for r in range(n)],
                               [(rank > 0) * (r == 0) * 3 for r in range(n)], group=group)
        return [out]

    compare("all_to_all_single to one", to_the_first)
    for dtype in torch.float32, torch.uint8:  # what has no elements passes
        nothing, rows = torch.empty(0, dtype=dtype), torch.empty(n, 0, dtype=dtype)
        dist.all_reduce(nothing)
        dist.broadcast(nothing, 0)
        dist.all_gather_into_tensor(rows, nothing)
        dist.reduce_scatter_tensor(nothing, rows)
        dist.all_to_all_single(rows, rows.clone())
    def begun(group):  # several at once, waited for from the last to the first
        sums, rows, mine, first = (torch.full((k,), float(rank + 1)) for k in (5, 3 * n, 3, 4))
        works = [dist.all_reduce(sums, group=group, async_op=True),
                 dist.all_gather_into_tensor(rows, mine, group=group, async_op=True),
                 dist.reduce_scatter_tensor(mine, torch.arange(3. * n) * (rank + 1), group=group, async_op=True),
                 dist.broadcast(first, src=1, group=group, async_op=True), dist.barrier(group=group, async_op=True)]
        for work in works[::-1]:
            work.wait()
            expect(group is gloo or work.is_completed(), f"{work} was waited for, and is not complete")
        return [sums, rows, mine, first]

    compare("begun together", begun)
    future = dist.all_reduce(torch.ones(3), async_op=True).get_future()
    expect(torch.equal(future.wait()[0], torch.full((3,), float(n))), f"the future of an all-reduce has {future.value()}")
    objects = [None] * n
    dist.all_gather_object(objects, {"rank": rank})
    expect(objects == [{"rank": r} for r in range(n)], f"{objects}")
    work_messages(rank, n)
    expect(counts["compared"] > 500, f"{counts}")
    stats = dist.group.WORLD.stats(reset=True)
    x = torch.zeros(256)
    dist.group.WORLD.traffic = "activations"
    dist.all_reduce(x)
    stats = dist.group.WORLD.stats()
    expect(stats.payload["activations"] == 1024 and sum(stats.payload.values()) == 1024 and
           stats.by_collective["all_reduce"] == 1024, f"{stats}")
    print(counts)


def all_equal(found, expected):
    return len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected))


def work_messages(rank, n):
    """Around a ring, each sending first: small ones, and larger than any queue."""
    for count in 1, 3, 100_000:
        for first in "send", "receive":
            x, y = torch.full((count,), rank), torch.empty(count, dtype=torch.int64)
            ops = [dist.P2POp(dist.isend, x, (rank + 1) % n), dist.P2POp(dist.irecv, y, (rank - 1) % n)]
            for work in dist.batch_isend_irecv(ops if first == "send" else ops[::-1]):
                work.wait()
            expect(bool((y == (rank - 1) % n).all()), f"{count} from rank {(rank - 1) % n}: {y}")
    if rank == 0:
        dist.send(torch.arange(7, dtype=torch.uint8), 1)
    if rank == 1:
        x = torch.zeros(7, dtype=torch.uint8)
        dist.recv(x, 0)
        expect(x.tolist() == list(range(7)), f"{x}")


def train(kind, mesh, group):
    """Weights after five steps of SGD on data that differs by rank."""
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(13, 32), torch.nn.Tanh(), torch.nn.Linear(32, 32), torch.nn.Tanh(),
                                torch.nn.Linear(32, 5))
    if kind == "ddp":
        model = torch.nn.parallel.DistributedDataParallel(model, process_group=group)
    elif kind == "fsdp2":
        for layer in model[0], model[2]:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
    else:
        parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0 if kind == "tp" else dist.get_rank())
    for _ in range(5):
        x, y = torch.randn(8, 13, generator=generator), torch.randint(5, (8,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    weights = [getattr(p, "full_tensor", lambda: p)().detach().flatten() for p in model.parameters()]
    return torch.cat(weights)


def work_train():
    import hashlib
    from torch.distributed.device_mesh import DeviceMesh
    start()
    n = dist.get_world_size()
    gloo = dist.new_group(backend="gloo")
    own = DeviceMesh("cpu", torch.arange(n))
    theirs = DeviceMesh.from_group(gloo, "cpu")
    for kind in "ddp", "fsdp2", "tp":
        a, b = train(kind, own, None), train(kind, theirs, gloo)
        off = (a - b).abs().max().item()
        # Of two ranks a sum has one order, and halves are exact. Of more, each sum of P gradients may differ by P-1
        # roundings (2^-24, of values up to 1) in each of 5 steps, momentum makes at most 10 of one, lr 0.1 takes them back:
        # 5 (P-1) 2^-24, times 10 for what the next gradients make of them.
        bound = 0 if n == 2 else 50 * (n - 1) * 2.0**-24
        expect(off <= bound, f"{kind} on {n} ranks: weights differ from gloo's by {off}, more than {bound}")
        print(kind, hashlib.sha256(a.numpy().tobytes()).hexdigest())
    # Its gradients averaged by DDP, the optimizer steps alike on all ranks, and alone.
    torch.manual_seed(0)
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(6, 7))
    optimizer = dionode.torch.Optimizer(model.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        model(torch.full((2, 6), 1.0 + dist.get_rank())).square().sum().backward()
        optimizer.step()
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    first = weights.clone()
    dist.broadcast(first, 0)
    expect(torch.equal(weights, first), f"under DDP the weights differ by {(weights - first).abs().max()}")
    mesh = dist.init_device_mesh("cpu", (2, n // 2), mesh_dim_names=("dp", "fs"))  # axes with bytes of their own
    mesh.get_group("dp").stats(reset=True)
    x = torch.ones(64)
    dist.all_reduce(x, group=mesh.get_group("dp"))
    expect(bool((x == 2).all()), f"over dp: {x[0]}")
    found = {axis: sum(mesh.get_group(axis).stats().payload.values()) for axis in ("dp", "fs")}
    expect(found == {"dp": 256, "fs": 0}, f"{found}")


def work_fail(way):
    start(seconds=10)
    x = torch.zeros(4)
    dist.all_reduce(x)
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL) if way == "dead" else time.sleep(300)
    try:
        dist.all_reduce(x)
    except dionode.Error as error:
        print(f"{error.status}: {error}", flush=True)


# ---- cases ----

def ranks():
    return (2, 3) if FULL else (2,)


@case
def collectives_give_what_gloo_gives_in_all_shapes_and_types():
    need("torch")
    for n in ranks():
        print("#", run_ranks(n, __file__, "collectives", limit_s=400)[0].strip())


@case
def ddp_fsdp2_and_tensor_parallelism_train_as_on_gloo_with_the_same_bits_in_every_run():
    need("torch")
    for n in (2, 4) if FULL else (2,):
        first, again = (run_ranks(n, __file__, "train", limit_s=400)[0] for _ in range(2))
        expect(first == again and len(first.split()) == 6, f"{n} ranks, once:\n{first}and again:\n{again}")


def expect_named(way, *words):
    with Ranks(2, __file__, "fail", way) as started:
        output = started.ranks[0].communicate(timeout=200)[0]
        expect(all(word in output for word in words), f"{words} expected: {output}")


@case
def a_rank_that_is_killed_is_named():
    need("torch")
    expect_named("dead", "-7: ", "rank 1 (pid", "ended")


@case
def a_rank_that_hangs_is_named_after_the_deadline():
    need("torch")
    expect_named("hung", "-8: ", " 1 (pid", "for 10 s")


if len(sys.argv) > 1:
    globals()["work_" + sys.argv[1]](*sys.argv[2:])
else:
    tap()
