"""Parameters that are DTensors: stepped on meshes as whole tensors are in one process, and what goes wrong is said.

As a worker, sharded.py MODE does one of the functions work_...
"""
import datetime
import sys

from support import case, expect, need, run_ranks, tap
from runs import FULL

N_STEPS = 4
# As dionode/verify.h has it for float: what rounding makes of a step, which sums in another order on a mesh.
TOLERANCE = 1e-4


def start():
    global dist, dionode, torch
    import dionode.torch
    import torch
    import torch.distributed as dist
    torch.set_num_threads(1)
    dionode.join(heap_bytes=256 << 20)  # an optimizer's memory lasts as long as the communicator, and here are dozens
    dist.init_process_group("dionode", timeout=datetime.timedelta(seconds=60))


def rules():
    """In the short tier one of each executor: low rank, whole matrices at an owner, element by element."""
    return list(dionode.rules()) if FULL else ["dion", "muon", "adamw"]


def tensors():
    """Names, values and how a mesh of two dimensions ("fs", "tp") and one of one have them; sizes that need not divide where
    one dimension cuts."""
    from torch.distributed.tensor import Replicate, Shard
    torch.manual_seed(3)
    shapes = {"columns": ((12, 10), [Shard(0), Shard(1)]), "rows": ((13, 9), [Replicate(), Shard(0)]),
              "twice": ((16, 6), [Shard(0), Shard(0)]), "filters": ((6, 4, 3, 3), [Shard(1), Shard(0)]),
              "whole": ((7, 5), [Replicate(), Replicate()]), "gain": ((11,), [Shard(0), Replicate()]), "few": ((1, 8), [Shard(0), Shard(1)])}
    return {name: (torch.randn(shape), placements) for name, (shape, placements) in shapes.items()}


def gradient(step, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(100 * step + sum(shape)))


def trained(rule, place):
    """Weights after some steps; place(name, tensor) makes a parameter or a gradient of it."""
    params = {name: torch.nn.Parameter(place(name, value)) for name, (value, _) in tensors().items()}
    optimizer = dionode.torch.Optimizer(list(params.items()), lr=0.05, rule=rule, weight_decay=0.1)
    for step in range(N_STEPS):
        for name, p in params.items():
            p.grad = place(name, gradient(step, p.shape))
        optimizer.step()
    return {name: getattr(p, "full_tensor", lambda: p)().detach() for name, p in params.items()}, optimizer


def difference(a, b):
    return max((((a[name] - b[name]).norm() / b[name].norm()).item(), name) for name in b)


def meshes(n):
    shapes = [(n,), (1, n), (n, 1)] + [(2, n // 2)] * (n > 2)
    return [dist.init_device_mesh("cpu", shape, mesh_dim_names=("fs", "tp")[:len(shape)]) for shape in shapes]


def work_steps():
    from torch.distributed.tensor import distribute_tensor
    start()
    for rule in rules():
        alone, _ = trained(rule, lambda name, x: x.clone())
        for mesh in meshes(dist.get_world_size()):
            found, _ = trained(rule, lambda name, x: distribute_tensor(x.clone(), mesh, tensors()[name][1][:mesh.ndim]))
            off, name = difference(found, alone)
            expect(off <= TOLERANCE, f"{rule} on {tuple(mesh.shape)}: {name} differs by {off}, more than {TOLERANCE}")
            print(rule, tuple(mesh.shape), off, name)


def model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Embedding(17, 12), torch.nn.Linear(12, 24), torch.nn.Tanh(), torch.nn.Linear(24, 17))


def fit(net, rule, steps=N_STEPS):
    """All ranks have the same rows, so their mean is what one process has."""
    groups = dionode.torch.param_groups(net, head=net[3])
    optimizer = dionode.torch.Optimizer(groups, lr=0.02, rule=rule)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.arange(17)), torch.arange(17).roll(1)).backward()
        optimizer.step()
    return {name: getattr(p, "full_tensor", lambda: p)().detach() for name, p in net.named_parameters()}, optimizer


def shard(net, mesh):
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
    if "tp" in mesh.mesh_dim_names and mesh["tp"].size() > 1:
        parallelize_module(net, mesh["tp"], {"1": ColwiseParallel(), "3": RowwiseParallel()})
    if mesh["fs"].size() > 1:
        for layer in net[1], net[3]:
            fully_shard(layer, mesh=mesh["fs"])
        fully_shard(net, mesh=mesh["fs"])
    return net


def work_models():
    """FSDP2, tensor parallelism, and both."""
    start()
    for rule in rules():
        alone, _ = fit(model(), rule)
        for mesh in meshes(dist.get_world_size()):
            found, optimizer = fit(shard(model(), mesh), rule)
            off, name = difference(found, alone)
            expect(off <= TOLERANCE, f"{rule} on {tuple(mesh.shape)}: {name} differs by {off}, more than {TOLERANCE}")
            print(rule, tuple(mesh.shape), off, name, len(optimizer.reports))
    expect(dist.group.WORLD.comm.stats().payload["momentum"] == 0, "momentum was exchanged")


def work_errors():
    from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
    start()
    mesh = dist.init_device_mesh("cpu", (2,))
    both = dist.init_device_mesh("cpu", (1, 2))

    def refuse(text, p):
        try:
            dionode.torch.Optimizer([("w", torch.nn.Parameter(p))], lr=0.1)
        except TypeError as error:
            expect(text in str(error), f"{error}")
        else:
            expect(False, f"no error that says '{text}'")

    refuse("w: P(sum) of a parameter", DTensor.from_local(torch.ones(4, 4), mesh, [Partial()]))
    refuse("along its first or second dimension", distribute_tensor(torch.ones(4, 4, 4), mesh, [Shard(2)]))
    refuse("float64", distribute_tensor(torch.ones(4, 4, dtype=torch.float64), mesh, [Shard(0)]))
    refuse("w: 5 rows or columns that 2 dimensions of a mesh cut into 2", distribute_tensor(torch.ones(5, 4), both, [Shard(0), Shard(0)]))

    def make():
        p = torch.nn.Parameter(distribute_tensor(torch.ones(6, 4), mesh, [Shard(0)]))
        return p, dionode.torch.Optimizer([p], lr=0.1, mu=0.9)

    # States are this rank's own; loaded, the run goes on bit for bit.
    results = []
    for cut in False, True:
        p, optimizer = make()
        for step in range(4):
            if cut and step == 2:
                weight, saved = p.detach().clone(), optimizer.state_dict()
                p, optimizer = make()
                with torch.no_grad():
                    p.copy_(weight)
                optimizer.load_state_dict(saved)
            p.grad = distribute_tensor(gradient(step, (6, 4)), mesh, [Shard(0)])
            optimizer.step()
        results.append(p.full_tensor().detach())
    expect(torch.equal(*results), f"loaded, the weights differ by {(results[0] - results[1]).abs().max()}")
    # Of two parameters that are sharded in different ways one has no gradient: it stays, on all ranks; or on one: all raise.
    a = torch.nn.Parameter(distribute_tensor(torch.ones(6, 4), mesh, [Shard(0)]))
    b = torch.nn.Parameter(distribute_tensor(torch.ones(6, 4), both, [Replicate(), Replicate()]))
    optimizer = dionode.torch.Optimizer([a, b], lr=0.1)
    expect(len(optimizer.param_groups[0]["steps"]) == 2, "not sharded in two ways")
    a.grad = distribute_tensor(torch.ones(6, 4), mesh, [Shard(0)])
    optimizer.step()
    expect(bool((a.to_local() != 1).all() and (b.to_local() == 1).all()), f"{a.to_local()} {b.to_local()}")
    if dist.get_rank() == 1:
        a.grad = None
    try:
        optimizer.step()
    except ValueError as error:
        expect("1 of 2 ranks have no gradient" in str(error), f"{error}")
    else:
        expect(False, "no error of a gradient that is missing on one rank")


def n_ranks():
    return (2, 4) if FULL else (2,)


@case
def sharded_tensors_step_as_whole_ones_in_one_process():
    need("torch")
    for n in n_ranks():
        print("#", run_ranks(n, __file__, "steps", limit_s=400)[0].strip().replace("\n", "\n# "))


@case
def fsdp2_and_tensor_parallel_models_train_as_in_one_process():
    need("torch")
    for n in n_ranks():
        print("#", run_ranks(n, __file__, "models", limit_s=400)[0].strip().replace("\n", "\n# "))


@case
def what_cannot_be_stepped_is_refused_and_states_go_on():
    need("torch")
    run_ranks(2, __file__, "errors")


if len(sys.argv) > 1:
    globals()["work_" + sys.argv[1]](*sys.argv[2:])
else:
    tap()
