"""The backend "dionode" of torch.distributed: collectives of CPU tensors through shared memory, on one node.

Each call does its work before it returns. Reductions combine in rank order, so they give the same bits on all ranks and in
every run: natively for float32, float64, bfloat16, int32 and int64 by SUM, AVG, MIN and MAX, for all else by gathering and
folding here. What only moves goes as bytes.
"""
import math

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import Work, _create_work_from_future

from .._library import Op, Traffic, Type, library
from ..comm import join
from .optim import DTYPES

TYPES = {dtype: type for type, dtype in DTYPES.items()}
_RedOp = dist.ReduceOp.RedOpType
OPS = {_RedOp.SUM: Op.SUM, _RedOp.AVG: Op.AVG, _RedOp.MIN: Op.MIN, _RedOp.MAX: Op.MAX}
FOLDS = {_RedOp.SUM: torch.add, _RedOp.AVG: torch.add, _RedOp.PRODUCT: torch.mul, _RedOp.MIN: torch.minimum,
         _RedOp.MAX: torch.maximum, _RedOp.BAND: torch.bitwise_and, _RedOp.BOR: torch.bitwise_or,
         _RedOp.BXOR: torch.bitwise_xor}
LINE = 64           # chunks of a buffer end where cache lines do: dn_comm_chunk_bounds
EAGER_BYTES = 1 << 14  # sends of so much return at once; larger ones move when they are waited for


class ProcessGroup(dist.ProcessGroup):
    """traffic: what the bytes of following calls count as ("gradient", "weights", "activations", ...). stats() tells them:
    each axis of a mesh is a group of its own."""

    supports_coalescing = False

    def __init__(self, comm):
        super().__init__(comm.rank, comm.size)
        self.comm = comm
        self.traffic = "gradient"
        self._pending = []
        self._room = torch.empty(0, dtype=torch.uint8)

    def getBackendName(self):
        return "dionode"

    def _get_backend(self, device):
        if torch.device(device).type != "cpu":
            raise RuntimeError(f"dionode moves tensors of the CPU only, not of {device}")
        return self

    def _set_group_name(self, name):
        self._name = name

    @property
    def group_name(self):
        return self._name

    def _set_group_desc(self, text):
        self._desc = text

    @property
    def group_desc(self):
        return self._desc

    def stats(self, reset=False):
        return self.comm.stats(reset)

    # ---- bytes and numbers, contiguous ----

    def _call(self, name, *arguments):
        getattr(library(), name)(self.comm.handle, *arguments, Traffic[self.traffic.upper()])

    def _gather_rows(self, rows, mine):
        """rows [size, bytes] = every rank's mine [bytes]."""
        n = mine.numel()
        if n % LINE == 0 and rows.data_ptr() % 4 == 0:
            rows[self.rank()].copy_(mine)
            self._call("dn_comm_all_gather", rows.data_ptr(), rows.numel() // 4, Type.I32)
        else:
            padded = torch.empty(self.size(), -(-n // LINE) * LINE, dtype=torch.uint8)
            padded[self.rank(), :n] = mine
            self._gather_rows(padded, padded[self.rank()])
            rows.copy_(padded[:, :n])

    def _exchange_rows(self, to, rows):
        """to[i] [bytes] = row of this rank at rank i: rows [size, bytes], or a list of rows of any lengths."""
        n = max(row.numel() for row in rows)
        if isinstance(rows, torch.Tensor) and n % 4 == 0 and rows.data_ptr() % 4 == to.data_ptr() % 4 == 0:
            self._call("dn_comm_all_to_all", rows.data_ptr(), to.data_ptr(), n // 4, Type.I32)
            return
        if not isinstance(rows, torch.Tensor):  # the longest of all ranks
            longest = torch.tensor([n])
            self._call("dn_comm_all_reduce", longest.data_ptr(), 1, Type.I64, Op.MAX)
            n = longest.item()
        padded, received = torch.empty(2, self.size(), -(-n // 4) * 4, dtype=torch.uint8)
        for i, row in enumerate(rows):
            padded[i, :row.numel()] = row
        self._exchange_rows(received, padded)
        for i in range(self.size()):
            to[i].copy_(received[i, :to[i].numel()])

    def _move(self, name, buffer, peer):
        """Sends or receives bytes."""
        n = buffer.numel()
        if n % 4 == 0 and buffer.data_ptr() % 4 == 0:
            self._call(name, buffer.data_ptr(), n // 4, Type.I32, peer)
            return
        padded = torch.empty(-(-n // 4) * 4, dtype=torch.uint8)
        padded[:n] = buffer
        self._move(name, padded, peer)
        buffer.copy_(padded[:n])

    def _fold(self, rows, op):
        """The reduction of rows [size, n], in rank order."""
        total = rows[0].clone()
        for row in rows[1:]:
            total = FOLDS[op](total, row)
        if op == _RedOp.AVG:
            total = total.div(self.size(), rounding_mode=None if total.is_floating_point() or total.is_complex() else "trunc")
        return total

    def _reduce(self, flat, op, root=None):
        """In place; on root only, if there is one."""
        if flat.dtype in TYPES and op in OPS:
            name, roots = ("dn_comm_all_reduce", ()) if root is None else ("dn_comm_reduce", (root,))
            self._call(name, flat.data_ptr(), flat.numel(), TYPES[flat.dtype], OPS[op], *roots)
        else:
            rows = torch.empty(self.size(), flat.numel(), dtype=flat.dtype)
            self._gather_rows(_rows(rows, self.size()), _bytes(flat))
            if root in (None, self.rank()):
                flat.copy_(self._fold(rows, op))

    def _scratch(self, rows, columns, dtype):
        """Memory that stays until the next call: fresh pages for every large tensor would cost more than its reduction."""
        n = rows * columns * dtype.itemsize
        if n > self._room.numel():
            self._room = torch.empty(n, dtype=torch.uint8)
        return self._room[:n].view(dtype).view(rows, columns)

    def _reduce_scatter(self, to, flat, op):
        """to [n] = this rank's row of the reduction of flat [size * n]."""
        n, line = to.numel(), LINE // to.element_size()
        rows = flat.view(self.size(), n)
        if to.dtype in TYPES and op in OPS:
            padded = self._scratch(self.size(), -(-n // line) * line, to.dtype)
            padded[:, :n] = rows
            self._call("dn_comm_reduce_scatter", padded.data_ptr(), padded.numel(), TYPES[to.dtype], OPS[op])
            to.copy_(padded[self.rank(), :n])
        else:
            received = torch.empty_like(rows)
            self._exchange_rows(_rows(received, self.size()), _rows(rows, self.size()))
            to.copy_(self._fold(received, op))

    # ---- torch.distributed's calls, of which some have an older name, too ----

    @torch.no_grad()
    def allreduce(self, tensors, opts=dist.AllreduceOptions()):
        for tensor in tensors:
            with _Dense(tensor) as flat:
                self._reduce(flat, _op(opts))
        return _done(tensors)

    allreduce_coalesced = allreduce

    @torch.no_grad()
    def reduce(self, tensors, opts):
        for tensor in tensors:
            if self.rank() == opts.rootRank:
                with _Dense(tensor) as flat:
                    self._reduce(flat, _op(opts), opts.rootRank)
            else:
                self._reduce(_flat(tensor).clone(), _op(opts), opts.rootRank)
        return _done(tensors)

    @torch.no_grad()
    def broadcast(self, tensors, opts):
        for tensor in tensors:
            with _Dense(tensor) as flat:
                self._call("dn_comm_broadcast", flat.data_ptr(), flat.numel() * flat.element_size(), opts.rootRank)
        return _done(tensors)

    @torch.no_grad()
    def all_gather_single(self, output, input, opts=None):
        with _Dense(output) as flat:
            self._gather_rows(_rows(flat, self.size()), _bytes(_flat(input)))
        return _done([output])

    @torch.no_grad()
    def allgather(self, outputs, inputs, opts=None):
        for tensors, input in zip(outputs, inputs):
            rows = torch.empty(self.size(), input.numel(), dtype=input.dtype)
            self.all_gather_single(rows, input)
            for tensor, row in zip(tensors, rows):
                tensor.copy_(row.view(tensor.shape))
        return _done(outputs)

    def allgather_coalesced(self, outputs, inputs, opts=None):
        return self.allgather(outputs, inputs)

    def all_gather_single_coalesced(self, outputs, inputs, opts=None):
        for output, input in zip(outputs, inputs):
            self.all_gather_single(output, input)
        return _done(outputs)

    @torch.no_grad()
    def reduce_scatter_single(self, output, input, opts):
        with _Dense(output) as flat:
            self._reduce_scatter(flat, _flat(input), _op(opts))
        return _done([output])

    @torch.no_grad()
    def reduce_scatter(self, outputs, inputs, opts):
        for output, tensors in zip(outputs, inputs):
            self.reduce_scatter_single(output, torch.cat([_flat(tensor) for tensor in tensors]), opts)
        return _done(outputs)

    def reduce_scatter_single_coalesced(self, outputs, inputs, opts):
        for output, input in zip(outputs, inputs):
            self.reduce_scatter_single(output, input, opts)
        return _done(outputs)

    @torch.no_grad()
    def all_to_all_single(self, output, input, output_splits, input_splits, opts=None):
        with _Dense(output) as flat:
            if output_splits or input_splits:
                self._exchange_rows(_split(flat, output, output_splits, self.size()),
                                    _split(_flat(input), input, input_splits, self.size()))
            else:
                self._exchange_rows(_rows(flat, self.size()), _rows(_flat(input), self.size()))
        return _done([output])

    @torch.no_grad()
    def alltoall(self, outputs, inputs, opts=None):
        received = [torch.empty(tensor.numel() * tensor.element_size(), dtype=torch.uint8) for tensor in outputs]
        self._exchange_rows(received, [_bytes(_flat(tensor)) for tensor in inputs])
        for tensor, row in zip(outputs, received):
            tensor.copy_(row.view(tensor.dtype).view(tensor.shape))
        return _done(outputs)

    @torch.no_grad()
    def gather(self, outputs, inputs, opts):
        for i, input in enumerate(inputs):
            if self.rank() != opts.rootRank:
                self._move("dn_comm_send", _bytes(_flat(input)), opts.rootRank)
                continue
            for rank, tensor in enumerate(outputs[i]):
                if rank == self.rank():
                    tensor.copy_(input)
                else:
                    with _Dense(tensor) as flat:
                        self._move("dn_comm_receive", _bytes(flat), rank)
        return _done(outputs)

    @torch.no_grad()
    def scatter(self, outputs, inputs, opts):
        for i, output in enumerate(outputs):
            if self.rank() != opts.rootRank:
                with _Dense(output) as flat:
                    self._move("dn_comm_receive", _bytes(flat), opts.rootRank)
                continue
            for rank, tensor in enumerate(inputs[i]):
                if rank == self.rank():
                    output.copy_(tensor)
                else:
                    self._move("dn_comm_send", _bytes(_flat(tensor)), rank)
        return _done(outputs)

    def barrier(self, opts=None):
        library().dn_comm_barrier(self.comm.handle)
        return _done([])

    def send(self, tensors, peer, tag=0):
        work = _Transfer(self, tensors, peer, tag, is_send=True)
        small = sum(t.numel() * t.element_size() for t in tensors) <= EAGER_BYTES
        if small and not any(w.is_send and w.peer == peer for w in self._pending):
            work.run()
        else:
            self._pending.append(work)
        return work

    def recv(self, tensors, peer, tag=0):
        self._pending.append(_Transfer(self, tensors, peer, tag, is_send=False))
        return self._pending[-1]

    def move_pending(self):
        """In an order that is the same on all ranks, pair by pair, of which the lower rank sends first: whoever waits is
        never waited for."""
        pending, self._pending = self._pending, []
        me = self.rank()
        pending.sort(key=lambda work: (min(me, work.peer), max(me, work.peer), work.is_send != (me < work.peer)))
        for work in pending:
            work.run()

    def _start_coalescing(self, device):
        pass

    def _end_coalescing(self, device):
        return _done([])

    _allgather_base = all_gather_single
    allgather_into_tensor_coalesced = all_gather_single_coalesced
    _reduce_scatter_base = reduce_scatter_single
    reduce_scatter_tensor_coalesced = reduce_scatter_single_coalesced
    alltoall_base = all_to_all_single


class _Transfer(Work):
    """One send or receive that may be still to come."""

    def __init__(self, group, tensors, peer, tag, is_send):
        super().__init__()
        if tag != 0:
            raise ValueError(f"tag {tag}: messages between two ranks arrive in order, and have no tags")
        self.group, self.tensors, self.peer, self.is_send = group, tensors, peer, is_send
        self.moved = False

    @torch.no_grad()
    def run(self):
        for tensor in self.tensors:
            if self.is_send:
                self.group._move("dn_comm_send", _bytes(_flat(tensor)), self.peer)
            else:
                with _Dense(tensor) as flat:
                    self.group._move("dn_comm_receive", _bytes(flat), self.peer)
        self.moved = True

    def is_completed(self):
        return self.moved

    def wait(self, timeout=None):
        if not self.moved:
            self.group.move_pending()
        return True


class _Dense:
    """A tensor as a vector in one piece that is written to; where it has gaps, by way of a copy."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __enter__(self):
        self.flat = _flat(self.tensor)
        return self.flat

    def __exit__(self, kind, *_):
        if kind is None and not self.tensor.is_contiguous():
            self.tensor.copy_(self.flat.view(self.tensor.shape))


def _flat(tensor):
    if tensor.device.type != "cpu" or tensor.layout != torch.strided:
        raise RuntimeError(f"a {tensor.layout} tensor on {tensor.device}: dionode moves dense tensors of the CPU only")
    return tensor.detach().contiguous().view(-1)


def _bytes(flat):
    return flat.view(-1).view(torch.uint8)


def _rows(flat, n):
    """Bytes [n, bytes of each]."""
    return _bytes(flat).view(n, flat.numel() * flat.element_size() // n)


def _split(flat, tensor, lengths, n):
    """Bytes of the pieces of a tensor whose first dimension is split in such lengths, or evenly."""
    each = flat.element_size() * math.prod(tensor.shape[1:])
    return _bytes(flat).split([each * length for length in lengths or [len(tensor) // n] * n])


def _op(opts):
    op = getattr(opts.reduceOp, "op", opts.reduceOp)
    if op not in FOLDS:
        raise ValueError(f"{opts.reduceOp}: dionode reduces by {', '.join(known.name for known in FOLDS)}")
    return op


def _done(result):
    future = torch.futures.Future()
    future.set_result(result)
    return _create_work_from_future(future)


def _create(opts, _):
    world = join(deadline_s=opts.timeout.total_seconds())
    if not opts.global_ranks_in_group and world.size != opts.group_size:
        raise RuntimeError(f"a group of {opts.group_size} ranks, but the environment says {world.size}: start the processes by "
                           "torchrun or `dionode launch`, which set RANK, WORLD_SIZE and LOCAL_RANK")
    return ProcessGroup(world.group(opts.global_ranks_in_group) if opts.global_ranks_in_group else world)


dist.Backend.register_backend("dionode", _create, extended_api=True, devices=["cpu"])
