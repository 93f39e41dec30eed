"""How DTensors lie, in the terms of a mesh dp x fs x tp: replicas, shards of rows, shards of columns."""
import math

from torch.distributed.tensor import DTensor
from torch.distributed.tensor.placement_types import _StridedShard

from .._library import Axis


def local(tensor, like=None):
    """What this rank has of a tensor, as it is placed, or as `like` is."""
    tensor = getattr(tensor, "data", tensor)
    if not isinstance(tensor, DTensor):
        return tensor
    if like is not None and tensor.placements != like.placements:
        tensor = tensor.redistribute(placements=like.placements)
    return tensor.to_local()


def layouts(names, params):
    """Of each: ((ranks in the order of a mesh, its size), sharding as optim.Parameter has it); (None, unsharded) of a plain
    tensor.

    DTensors of one DeviceMesh share a layout where they can: its dimensions that shard something are fs and tp, all others
    dp. A tensor that two of them cut along one dimension has a layout with these two as one axis. A dimension of a tensor is
    cut into chunks as torch.chunk does, by the outermost dimension of the mesh first, but by a strided one last (FSDP2 over
    tensor parallelism).
    """
    cuts = [_cuts(name, p) if isinstance(p.data, DTensor) else None for name, p in zip(names, params)]
    shared = {}  # by mesh: dimensions that shard something
    for p, cut in zip(params, cuts):
        if cut and max(map(len, cut)) < 2:
            shared.setdefault(p.device_mesh, set()).update(cut[0] + cut[1])
    return [_layout(name, p, cut, sorted(shared.get(p.device_mesh, ()))) if cut else (None, UNSHARDED)
            for name, p, cut in zip(names, params, cuts)]


UNSHARDED = (Axis.FS, 0), (Axis.TP, 0)


def _cuts(name, p):
    """By which dimensions of its mesh rows are cut, and columns: two lists, in the order of the cuts."""
    cuts = [], []
    for number, placement in enumerate(p.placements):
        if placement.is_replicate():
            continue
        if not (placement.is_shard() or isinstance(placement, _StridedShard)) or placement.dim > 1:
            raise TypeError(f"{name}: {placement} of a parameter: Dionode steps what is replicated, or sharded along its first "
                            "or second dimension")
        cuts[placement.dim].append(number)
    for numbers in cuts:
        numbers.sort(key=lambda number: (isinstance(p.placements[number], _StridedShard), number))
    return cuts


def _layout(name, p, cuts, shared):
    mesh = p.device_mesh.mesh
    by_axis = {axis: [number] for axis, number in zip((Axis.FS, Axis.TP), shared)}
    if max(map(len, cuts)) > 1 or len(shared) > 2:
        by_axis = {Axis.FS: cuts[0], Axis.TP: cuts[1]}
    used = sum(by_axis.values(), [])
    order = [[number for number in range(mesh.ndim) if number not in used], by_axis.get(Axis.FS, []), by_axis.get(Axis.TP, [])]
    size = tuple(math.prod(mesh.shape[number] for number in numbers) for numbers in order)
    sharding = list(UNSHARDED)
    for dimension, numbers in enumerate(cuts):
        if not numbers:
            continue
        axis = next(axis for axis in by_axis if by_axis[axis] == numbers)
        n, parts = p.shape[dimension], size[axis]
        if len(numbers) > 1 and n % parts:
            raise TypeError(f"{name}: {n} rows or columns that {len(numbers)} dimensions of a mesh cut into {parts}: give it "
                            "sizes that divide them")
        each = 1 if dimension == 0 else math.prod(p.shape[2:])
        sharding[dimension] = axis, -(-n // parts) * each
    return (tuple(mesh.permute(sum(order, [])).flatten().tolist()), size), tuple(sharding)
