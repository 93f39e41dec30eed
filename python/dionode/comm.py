"""Communicators: the processes of this node, started by torchrun or `dionode launch`, and what they exchange."""
import atexit
import ctypes as c
import functools
import struct
import sys

from . import _library
from ._library import Axis, Collective, Error, Op, Traffic, Type, TYPE_BYTES, library

HEAP_BYTES = 64 << 20  # under torchrun, unless said otherwise
DEADLINE_S = 60
PHASE = b"Python"  # in the table of `dionode stat`
_FORMATS = {"f": Type.F32, "d": Type.F64, "i": Type.I32, "q": Type.I64, "l": Type.I64}


class Stats:
    """Bytes of this rank since they were last reset, as include/dionode/comm.h defines them: by what they are for (payload,
    moved, crossed, cluster), and by collective."""

    def __init__(self, found):
        for name in "payload", "moved", "crossed", "cluster":
            setattr(self, name, {kind.name.lower(): getattr(found, name)[kind] for kind in Traffic})
        self.by_collective = {kind.name.lower(): found.by_collective[kind] for kind in Collective}

    def __repr__(self):
        told = {name: {k: v for k, v in values.items() if v} for name, values in vars(self).items()}
        return f"Stats({', '.join(f'{name}={values}' for name, values in told.items())})"


class Comm:
    """Some ranks and their collectives. Every rank calls them in the same order, with the same sizes and types."""

    def __init__(self, handle):
        self.handle = handle

    rank = property(lambda self: library().dn_comm_rank(self.handle))
    size = property(lambda self: library().dn_comm_size(self.handle))

    def barrier(self):
        library().dn_comm_barrier(self.handle)

    def all_reduce(self, array, op="sum", kind="control"):
        """In place, in rank order: the same bits on all ranks and in every run. op: sum, avg, min, max. Bytes count as
        `kind`: factors, gradient, weights, activations, control, ..."""
        address, count, type = buffer(array)
        library().dn_comm_all_reduce(self.handle, address, count, type, Op[op.upper()], Traffic[kind.upper()])

    def broadcast(self, array, root=0, kind="control"):
        address, count, type = buffer(array)
        library().dn_comm_broadcast(self.handle, address, count * TYPE_BYTES[type], root, Traffic[kind.upper()])

    def group(self, ranks, heap_bytes=0):
        """A communicator of some of these ranks, in that order. Collective over them alone. heap_bytes: memory of its own, of
        this one's."""
        handle = c.c_void_p()
        library().dn_comm_create_group(self.handle, (c.c_int * len(ranks))(*ranks), len(ranks), heap_bytes, c.byref(handle))
        return Comm(handle)

    def stats(self, reset=False):
        return Stats(library().dn_comm_get_stats(self.handle, reset))

    @functools.cached_property
    def mesh(self):
        """All ranks as replicas, for optimizers."""
        return create_mesh(self, (self.size, 1, 1))


class Mesh:
    """Ranks as a box dp x fs x tp: include/dionode/mesh.h. size and at (this rank's coordinates) by axis; all: its
    communicator."""

    def __init__(self, handle):
        self.handle = handle
        self.size, self.at = ({axis.name.lower(): numbers[axis] for axis in Axis} for numbers in (handle[0].size, handle[0].at))
        self.all = Comm(handle[0].all)

    def comm(self, *axes):
        """The communicator along some axes, as ("fs", "tp"): ranks whose other coordinates are this one's."""
        return Comm(library().dn_mesh_comm(self.handle, axes_of(axes)))

    def shard(self, n, axis, unit=1):
        """What this rank has of n rows or columns that an axis shards, in units: a range."""
        found = library().dn_shard_range(n, unit, self.size[axis], self.at[axis])
        return range(found.first, found.end)


def create_mesh(comm, size):
    """Collective. Takes heap; lasts as long as the communicator."""
    handle = c.POINTER(_library.Mesh)()
    library().dn_mesh_create(comm.handle, mesh_size(size), c.byref(handle))
    return Mesh(handle)


def mesh_size(size):
    return (c.c_int * len(Axis))(*size)


def axes_of(names):
    """A set of axes."""
    return sum(1 << Axis[name.upper()] for name in set(names))


def buffer(array):
    """(address, number of elements, type) of a contiguous array that can be written; of NumPy, array.array, ..."""
    view = memoryview(array)
    type = _FORMATS.get(view.format)
    if type is None or not view.c_contiguous or view.readonly:
        raise TypeError(f"an array of format '{view.format}'{' with gaps' * (not view.c_contiguous)}"
                        f"{', read only' * view.readonly}: give one of float32, float64, int32 or int64 in one piece")
    return c.addressof(c.c_char.from_buffer(array)) if view.nbytes else None, view.nbytes // struct.calcsize(view.format), type


_world = None


def join(heap_bytes=None, deadline_s=DEADLINE_S):
    """The communicator of all processes of this run, by RANK, WORLD_SIZE and LOCAL_RANK; alone, of one. Collective the
    first time, afterwards the same one. It is left when the process ends.

    heap_bytes: memory for optimizers and groups, on each rank (64 MiB; under `dionode launch` what --arena gives).
    deadline_s: after so long without a sign of life a rank that others wait for counts as hung; `dionode launch` has its
    own (--timeout). A rank that died is noticed at once. Both end in dionode.Error, which names the rank.
    """
    global _world
    if _world is None:
        if heap_bytes is None:
            heap_bytes = 0 if library().dn_launch_is_worker() else HEAP_BYTES
        handle = c.c_void_p()
        try:
            library().dn_comm_join(heap_bytes, deadline_s, c.byref(handle))
        except Error as error:
            library().dn_comm_leave(c.byref(handle), error.status)
            raise
        library().dn_comm_tick(handle, 0, PHASE)
        _world = Comm(handle)
        atexit.register(_leave)
    return _world


def _leave():
    """After an exception nothing is said: to the others this process has then died, and they name it."""
    if not hasattr(sys, "last_value"):
        library().dn_comm_leave(c.byref(_world.handle), 0)
