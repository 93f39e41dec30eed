"""Is a sharded operation what one process computes? On every mesh of ranks, against one: include/dionode/verify.h.

    def operation(v, mesh):
        rows = mesh.shard(ROWS, "dp")
        y = ...                                     # this rank's rows of Y, with mesh.comm("dp").all_reduce(...), ...
        v.block("forward", "Y", (ROWS, COLS), y, at=(rows.start, 0))

    comm = dionode.join(heap_bytes=dionode.verify.heap_bytes(8))
    report = dionode.verify.run(comm, operation)    # python3 under dionode launch -n 8, or torchrun
    print(report)
"""
import ctypes as c
import os
import weakref

from . import _library
from ._library import library
from .comm import Mesh, axes_of, buffer, mesh_size
from .optim import matrix_shape

ARG = -1  # DN_ERR_ARG


class Verification:
    """One operation on one mesh, as a rank sees it."""

    def __init__(self, handle):
        self.handle = handle

    @property
    def rounding(self):
        """Whether this call measures the effect of rounding: the data are then to be perturbed in their last bits."""
        return library().dn_verify_rounding(self.handle)

    def block(self, line, name, shape, data, at=(0, 0), replicated=()):
        """Shows a block of a tensor of that shape: a contiguous array of as many rows and columns (the first dimension, and
        all others together), whose first row and column is `at`. replicated: axes ("dp", ...) along which ranks have the
        same block; along all others blocks tile the tensor."""
        address, _, type = buffer(data)
        rows, cols = matrix_shape(shape)
        block_rows, block_cols = matrix_shape(memoryview(data).shape)
        tensor = _library.Tensor(name=name.encode(), rows=rows, cols=cols, type=type)
        shown = _library.VerifyTensor(line=line.encode(), tensor=tensor, replicated=axes_of(replicated))
        library().dn_verify_block(self.handle, c.byref(shown), _library.Block(at[0], block_rows, at[1], block_cols), address)

    def scalar(self, line, value):
        """Shows a number that is equal on all ranks that show it."""
        library().dn_verify_scalar(self.handle, line.encode(), value)

    def same(self, line, name, comm, data):
        """Collective over comm: the array must be bitwise equal on all members."""
        address, count, type = buffer(data)
        library().dn_verify_same(self.handle, line.encode(), name.encode(), comm.handle, address, count * _library.TYPE_BYTES[type])

    def bytes(self, line, counted, expected, cluster=0.0):
        """Bytes of this rank, which must be those expected (comm.stats()); cluster: what a network would have carried."""
        library().dn_verify_bytes(self.handle, line.encode(), counted, expected, cluster)

    def hops(self, line, counted, expected):
        library().dn_verify_hops(self.handle, line.encode(), counted, expected)

    def amount(self, line, bytes):
        """Bytes of memory, for display."""
        library().dn_verify_amount(self.handle, line.encode(), bytes)


class Report:
    """Of all meshes, equal on all ranks. str() is the table, 100 columns wide."""

    def __init__(self, handle):
        self._handle = handle
        weakref.finalize(self, library().dn_verify_report_destroy, c.byref(handle))

    @property
    def holds(self):
        """Whether every line holds on every mesh."""
        return library().dn_verify_holds(self._handle)

    def check(self):
        """Raises dionode.Error if not: with the number of meshes that failed and the first line. On one rank, the one that
        prints: a rank that ends with an error ends the others."""
        library().dn_verify_status(self._handle)

    def write_json(self, path):
        """Everything, each tensor on each mesh."""
        library().dn_verify_write_json(self._handle, os.fsencode(path))

    def __str__(self):
        return _written(lambda file: library().dn_verify_print(self._handle, file))


def _options(tolerance, max_ranks, max_replicas, mesh, heap_bytes, reference_bytes, rounding, by_replicas=False):
    options = library().dn_verify_defaults()
    if tolerance is not None:
        options.tolerance = tolerance
    options.max_ranks, options.max_replicas, options.rounding, options.by_replicas = max_ranks, max_replicas, rounding, by_replicas
    options.heap_bytes, options.reference_bytes = heap_bytes, reference_bytes
    options.mesh = mesh_size((mesh.get("dp", 1), mesh.get("fs", 1), mesh.get("tp", 1)) if mesh else (0, 0, 0))
    return options


HEAP_BYTES = 1 << 20


def heap_bytes(n_ranks, max_ranks=0, mesh=None, heap_bytes=HEAP_BYTES, reference_bytes=HEAP_BYTES):
    """What run() takes of each rank's heap, with n_ranks ranks: for dionode.join."""
    options = _options(None, max_ranks, 0, mesh, heap_bytes, reference_bytes, False)
    return library().dn_verify_heap_bytes(c.byref(options), n_ranks)


def run(comm, operation, tolerance=None, max_ranks=0, max_replicas=0, mesh=None, heap_bytes=HEAP_BYTES,
        reference_bytes=HEAP_BYTES, rounding=False, by_replicas=False):
    """Collective. Runs operation(v, mesh) on one rank, then on every mesh dp x fs x tp of up to max_ranks (0: of comm), or on
    one mesh ({"dp": 2, "tp": 2}), and compares what it shows of itself by v, a Verification: a Report.

    The operation starts from the same numbers each time. tolerance: relative; None: 1e-4. rounding: also as much as
    rounding is seen to make of it. by_replicas: a mesh is compared with dp x 1 x 1 instead of one rank. heap_bytes: for groups
    and optimizers of the operation; reference_bytes: of each rank, for what the reference shows. An exception in the operation comes out of run() on its rank when all meshes are done; a
    dionode.Error fails the mesh only.
    """
    raised = []

    @_library.VerifyFn
    def called(handle, on, _):
        try:
            operation(Verification(handle), Mesh(on))
        except _library.Error as error:
            return error.status
        except BaseException as error:
            raised.append(error)
            return ARG
        return 0

    options = _options(tolerance, max_ranks, max_replicas, mesh, heap_bytes, reference_bytes, rounding, by_replicas)
    report = c.c_void_p()
    try:
        library().dn_verify_run(comm.handle, c.byref(options), called, None, c.byref(report))
    except _library.Error:
        if not raised:
            raise
    if raised:
        library().dn_verify_report_destroy(c.byref(report))
        raise raised[0]
    return Report(report)


def inject(name):
    """Plants a sharding bug in this process, for all meshes but the reference; "none" removes it. On every rank."""
    library().dn_verify_inject(name.encode())


def bugs():
    """What can be planted: {name: what it does}."""
    lines = _written(library().dn_verify_inject_list).splitlines()
    return dict(line.strip().split(None, 1) for line in lines)


def _written(write):
    """What is written to a C file."""
    libc = c.CDLL(None)
    libc.fdopen.restype, libc.fdopen.argtypes = c.c_void_p, [c.c_int, c.c_char_p]
    libc.fclose.argtypes = [c.c_void_p]
    memory = os.memfd_create("dionode")
    with open(memory, encoding="utf-8") as text:
        file = libc.fdopen(os.dup(memory), b"w")
        write(file)
        libc.fclose(file)
        text.seek(0)
        return text.read()
