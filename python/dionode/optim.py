"""Optimizers of arrays, by any rule of the library: include/dionode/optim.h."""
import array
import ctypes as c
import enum
import math
import typing
import weakref

from ._library import Axis, Error, OptimConfig, OptimReport, OptimTensor, Type, TYPE_BYTES, library
from .comm import buffer, mesh_size

KINDS = enum.IntEnum("KINDS", "matrix embedding head vector", start=0)  # dn_param_kind

MEMORY = -6  # DN_ERR_MEMORY
NAME_BYTES = 64  # DN_OPTIM_NAME_MAX: so many are too many

# Options of every rule; those of some have dn_rule_takes.
GENERAL = "clip_grad_norm", "state_precision"


class Report(typing.NamedTuple):
    """The result of a step, equal on all ranks: dn_optim_report."""
    skipped: bool  # some gradient was not finite, and nothing was changed
    grad_norm: float
    clip: float
    n_zero: int
    n_fallback: int


class Parameter(typing.NamedTuple):
    """float32; what this rank has of it is in one piece."""
    name: str
    kind: KINDS
    shape: tuple  # rows, columns
    weight: int  # addresses
    grad: int
    sharding: tuple = (Axis.FS, 0), (Axis.TP, 0)  # of rows, of columns: axis, and unit (0: not sharded)
    place: int = 0

    def describe(self, tensor):
        """Into an OptimTensor."""
        tensor.tensor.name = self.name.encode()[:NAME_BYTES]
        tensor.tensor.rows, tensor.tensor.cols = self.shape
        tensor.tensor.row_sharding, tensor.tensor.col_sharding = self.sharding
        tensor.kind, tensor.weight, tensor.grad, tensor.place = self.kind, self.weight, self.grad, self.place


class Config:
    """A dn_optim_config: its first fields by their place, options by name, as in a configuration file."""

    def __init__(self, rule, scalar_rule, options):
        keys, n = library().dn_config_keys(), 0
        offsets = {}
        while keys[n].name:
            offsets[keys[n].name.decode()] = keys[n].offset
            n += 1
        self._memory = c.create_string_buffer(max(offsets.values()) + 4096)
        library().dn_config_init(self._memory)
        # weight_decay is groups[matrix].weight_decay.
        at = offsets["weight_decay"] - OptimConfig.groups.offset - c.sizeof(c.c_double)
        self.address = c.addressof(self._memory) + at
        head = OptimConfig.from_address(self.address)
        self._rules = head.matrix_rule, head.scalar_rule = rule.encode(), scalar_rule.encode()
        for name, value in options.items():
            if not takes((rule, scalar_rule), name):
                raise ValueError(f"{name}: no option of {rule} or {scalar_rule}; `dionode train --keys` names those of each rule")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            library().dn_config_set(self._memory, f"{name}={text}".encode())


def takes(rules, option):
    """Whether it is an option of one of the rules; or a rule is unknown, which dn_optim_create says."""
    found = [library().dn_rule_find(rule.encode()) for rule in rules]
    return option in GENERAL or any(not rule or library().dn_rule_takes(rule, option.encode()) for rule in found)


def describe(parameters):
    """As OptimTensor[]."""
    tensors = (OptimTensor * len(parameters))()
    for tensor, parameter in zip(tensors, parameters):
        parameter.describe(tensor)
    return tensors


def heap_bytes(config, tensors, size):
    """What an optimizer takes of each rank's heap on a mesh of that size."""
    return library().dn_optim_heap_bytes(config.address, tensors, len(tensors), mesh_size(size))


class State(typing.NamedTuple):
    """What this rank holds of a tensor of optimizer state."""
    name: str       # "momentum", "q", ... of the parameter
    parameter: int
    type: Type
    shape: tuple
    memory: c.Array  # keeps the optimizer alive


class Handle:
    """A dn_optim. Weights are stepped where they lie; gradients are read, and may be overwritten."""

    def __init__(self, config, parameters, mesh, n_threads):
        self.names = [p.name for p in parameters]
        self.weights = [p.weight for p in parameters]
        self.mesh = mesh if mesh and mesh.all.size > 1 else None
        self._frozen = [False] * len(parameters)
        self._optim = c.c_void_p()
        tensors = describe(parameters)
        try:
            library().dn_optim_create(config.address, tensors, len(tensors), self.mesh and self.mesh.handle, n_threads,
                                      c.byref(self._optim))
        except Error as error:
            if error.status != MEMORY or not self.mesh:
                raise
            need = heap_bytes(config, tensors, self.mesh.size.values())
            raise Error(MEMORY, f"{error}; this optimizer takes {need} in all: give more to dionode.join(heap_bytes=...), "
                                "or to `dionode launch --arena`") from None
        weakref.finalize(self, library().dn_optim_destroy, c.byref(self._optim)).atexit = False

    def step(self, step, lr, missing):
        """missing: for each parameter whether it has no gradient, and so stays as it is."""
        self.agree(missing)
        if all(missing):
            raise ValueError("a step without gradients: none of the parameters has one")
        for i, frozen in enumerate(missing):
            if frozen != self._frozen[i]:
                library().dn_optim_set_frozen(self._optim, i, frozen)
        self._frozen = list(missing)
        report = OptimReport()
        library().dn_optim_step(self._optim, step, lr, report)
        return Report(*(getattr(report, name) for name in Report._fields))

    def agree(self, missing):
        """All ranks have the same gradients, or all raise."""
        if not self.mesh:
            return
        counts = array.array("i", missing)
        self.mesh.all.all_reduce(counts)
        for name, count in zip(self.names, counts):
            if 0 < count < self.mesh.all.size:
                raise ValueError(f"{name}: {count} of {self.mesh.all.size} ranks have no gradient of it; all must have one, or none")

    def set_weight_decay(self, weight_decay):
        library().dn_optim_set_weight_decay(self._optim, b"*", weight_decay)

    def states(self):
        rank = self.mesh.all.rank if self.mesh else 0
        for index in range(library().dn_optim_n_states(self._optim)):
            state = library().dn_optim_state(self._optim, index)[0]
            shard = library().dn_optim_state_shard(self._optim, index, rank)
            full = state.name.decode()
            name = max((n for n in self.names if full.endswith("." + n)), key=len)
            shape = shard.block.rows, shard.block.cols
            memory = (c.c_char * (shape[0] * shape[1] * TYPE_BYTES[state.type])).from_address(shard.data or self._optim.value)
            memory.owner = self
            yield State(full.removesuffix("." + name), self.names.index(name), Type(state.type), shape, memory)


class Optimizer:
    """Steps float32 arrays in place: NumPy's, or whatever has a buffer that can be written.

    rule: of matrices; scalar_rule: of everything else (dionode.rules()). kinds: for each array "matrix", "embedding",
    "head" or "vector"; by default what has two dimensions or more is a matrix. weight_decay: of all; by default 0.01 of
    matrices. comm (dionode.join()): each rank's gradient is of its own part of the batch, and their mean counts; weights
    are equal on all ranks before, and stay so bit for bit. n_threads 0: OMP_NUM_THREADS, or this rank's share of the
    cores. options: those of the rules, as `dionode train --keys` names them.
    """

    def __init__(self, arrays, lr, rule="dion", scalar_rule="lion", weight_decay=None, kinds=None, names=None, comm=None,
                 n_threads=0, **options):
        self.lr = lr
        self.steps = 0
        self.arrays = list(arrays)
        shapes = [memoryview(x).shape for x in self.arrays]
        names = names or [str(i) for i in range(len(shapes))]
        kinds = kinds or [default_kind(shape) for shape in shapes]
        self._grads = []
        parameters = []
        for name, kind, shape, x in zip(names, kinds, shapes, self.arrays, strict=True):
            address, count = _floats(name, x)
            self._grads.append((c.c_float * count)())
            parameters.append(Parameter(name, kind_of(name, kind), matrix_shape(shape), address, c.addressof(self._grads[-1])))
        self._handle = Handle(Config(rule, scalar_rule, options), parameters, comm and comm.mesh, n_threads)
        if weight_decay is not None:
            self._handle.set_weight_decay(weight_decay)

    def step(self, gradients, lr=None):
        """A gradient for each array, or None where there is none: it then stays as it is. lr: the optimizer's, unless
        given."""
        gradients = list(gradients)
        for name, to, gradient in zip(self._handle.names, self._grads, gradients, strict=True):
            if gradient is not None:
                address, count = _floats(name, gradient)
                if count != len(to):
                    raise ValueError(f"{name}: a gradient of {count} elements for {len(to)} weights")
                c.memmove(to, address, c.sizeof(to))
        report = self._handle.step(self.steps, self.lr if lr is None else lr, [g is None for g in gradients])
        self.steps += not report.skipped
        return report

    def state_dict(self):
        """Steps, and this rank's part of each state, as bytes."""
        states = {f"{s.name}.{self._handle.names[s.parameter]}": bytes(s.memory) for s in self._handle.states()}
        return {"steps": self.steps, "states": states}

    def load_state_dict(self, saved):
        """From an optimizer of the same arrays, rule and options, on as many ranks."""
        for s in self._handle.states():
            name = f"{s.name}.{self._handle.names[s.parameter]}"
            load(name, s, saved["states"].get(name))
        self.steps = saved["steps"]


def default_kind(shape):
    return "matrix" if len(shape) > 1 else "vector"


def kind_of(name, kind):
    if kind not in KINDS.__members__:
        raise ValueError(f"{name}: there is no kind '{kind}': give one of {', '.join(KINDS.__members__)}")
    return KINDS[kind]


def matrix_shape(shape):
    """Rows, and columns: everything else. A vector is a column."""
    rows, *others = shape or (1,)
    return rows, math.prod(others)


def load(name, state, saved):
    """Into a state, from what has as many bytes."""
    if saved is None or len(saved) != len(state.memory):
        raise ValueError(f"{name}: {'missing' if saved is None else f'{len(saved)} bytes'} in what was saved, "
                         f"{len(state.memory)} bytes here: it is of other arrays, or of another rule")
    state.memory[:] = saved


def _floats(name, x):
    """Address and number of elements."""
    address, count, type = buffer(x)
    if type != Type.F32:
        raise TypeError(f"{name}: {type.name} where float32 is needed")
    return address, count
