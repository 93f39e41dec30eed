"""torch.optim.Optimizer by the rules of the library."""
import torch

from .._library import Type, library
from ..comm import create_mesh, join, mesh_size
from ..optim import Config, Handle, Parameter, default_kind, describe, heap_bytes, kind_of, load, matrix_shape, takes
from .sharding import layouts, local

DTYPES = {Type.F32: torch.float32, Type.F64: torch.float64, Type.BF16: torch.bfloat16, Type.I32: torch.int32,
          Type.I64: torch.int64}
NAME_BYTES = 52
NO_OPTIONS = {"params", "param_names", "lr", "initial_lr", "rule", "scalar_rule", "weight_decay", "kind", "steps"}


def param_groups(module, head=None):
    """Parameter groups of a module by kind: weights of torch.nn.Embedding, those of `head` (a module: it turns features
    into logits), other matrices, vectors. The kind selects the rule, and a shape cannot tell a head from a matrix. Names
    come along."""
    kinds = {id(m.weight): "embedding" for m in module.modules() if isinstance(m, torch.nn.Embedding)}
    kinds |= {id(p): "head" for p in (head.parameters() if head else ()) if p.dim() > 1 and id(p) not in kinds}
    groups = {}
    for name, p in module.named_parameters():
        groups.setdefault(kinds.get(id(p), default_kind(p.shape)), []).append((name, p))
    return [{"params": named, "kind": kind} for kind, named in groups.items()]


class Optimizer(torch.optim.Optimizer):
    """Steps float32 parameters on the CPU in place: tensors, and the shards of DTensors (FSDP2, tensor parallelism).

    Each parameter group may have its own values of all that follows but comm, and "kind": "matrix", "embedding", "head"
    or "vector"; without it what has two dimensions or more is a matrix. lr and weight_decay may change between steps, as
    schedulers do. A parameter whose .grad is None stays as it is.

    rule: of matrices; scalar_rule: of everything else (dionode.rules()). weight_decay: of all; None: 0.01 of matrices.
    options: those of the rules, as `dionode train --keys` names them (mu=0.9, ortho_fraction=0.5, ...).
    comm (dionode.join()): the processes train together, without DDP: each one's gradient is that of its own part of the
    batch, and their mean counts (Dion exchanges low-rank factors instead of gradients). Parameters are equal on all
    before, and stay so bit for bit. Without it each process steps alone: also under DDP, whose gradients are equal.
    DTensors are stepped by the ranks of their mesh together in either case, as whole tensors would be, up to rounding;
    comm, or without it dionode.join(), gives the memory. All ranks make their optimizers alike.

    reports: of the last step, a dionode.Report for each group; of DTensors one for each way in which they are sharded.
    """

    def __init__(self, params, lr, rule="dion", scalar_rule="lion", weight_decay=None, comm=None, **options):
        self._comm = comm
        self._parts = []  # of groups: (index of the group, handle, parameters, their gradients)
        self.reports = []
        super().__init__(params, dict(lr=lr, rule=rule, scalar_rule=scalar_rule, weight_decay=weight_decay, kind=None,
                                      steps=0, **options))
        for name in options:
            if not any(takes(_rules(group), name) for group in self.param_groups):
                raise ValueError(f"{name}: no option of a rule that is used; `dionode train --keys` names those of each rule")

    def add_param_group(self, param_group):
        own = set(param_group)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        options = {name: value for name, value in group.items() if name not in NO_OPTIONS and
                   (name in own or takes(_rules(group), name))}  # other rules' defaults are not this group's concern
        config = Config(*_rules(group), options)
        names = [name or f"parameter {i}" for i, name in enumerate(group.get("param_names", [""] * len(group["params"])))]
        for name, p in zip(names, group["params"]):
            _check(name, p)
        parts = {}
        for i, (name, p, (layout, sharding)) in enumerate(zip(names, group["params"], layouts(names, group["params"]))):
            kind = group["kind"] or default_kind(p.shape)
            grad = torch.zeros_like(local(p), requires_grad=False)
            params, grads, parameters = parts.setdefault(layout, ([], [], []))
            params.append(p)
            grads.append(grad)
            short = name if len(name.encode()) < NAME_BYTES and "param_names" in group else str(i)
            parameters.append(Parameter(short, kind_of(name, kind), matrix_shape(p.shape), local(p).data_ptr(), grad.data_ptr(),
                                        sharding, 1 + i))
        if len(parts) > 1 and options.get("clip_grad_norm"):
            raise ValueError("clip_grad_norm: of parameters that are sharded in several ways, of which each has a norm of its own: "
                             "call torch.nn.utils.clip_grad_norm_ before the step")
        group["steps"] = [0] * len(parts)
        for layout, (params, grads, parameters) in parts.items():
            handle = Handle(config, parameters, self._mesh(layout, config, parameters), torch.get_num_threads())
            self._parts.append((len(self.param_groups) - 1, handle, params, grads))
            self._show_states(handle, params)

    def _mesh(self, layout, config, parameters):
        if layout is None:
            return self._comm and self._comm.mesh
        ranks, size = layout
        if len(ranks) == 1:
            return None
        need = heap_bytes(config, describe(parameters), size) + library().dn_mesh_heap_bytes(mesh_size(size))
        return create_mesh((self._comm or join()).group(ranks, need), size)

    def _show_states(self, handle, params):
        """Of each parameter, under its name: the library's own memory."""
        for s in handle.states():
            shown = torch.frombuffer(s.memory, dtype=DTYPES[s.type]) if len(s.memory) else torch.empty(0, dtype=DTYPES[s.type])
            self.state[params[s.parameter]][s.name] = shown.view(s.shape)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.reports = []
        taken = [0] * len(self.param_groups)
        for index, handle, params, grads in self._parts:
            group, part = self.param_groups[index], taken[index]
            taken[index] += 1
            missing = [p.grad is None for p in params]
            if all(missing) and any(p.grad is not None for p in group["params"]):
                handle.agree(missing)
                continue
            for p, grad, address in zip(params, grads, handle.weights):
                if local(p).data_ptr() != address:
                    raise RuntimeError("a parameter has moved in memory since the optimizer was made: make it afterwards")
                if p.grad is not None:
                    grad.copy_(local(p.grad, p).to_dense())
            if group["weight_decay"] is not None:
                handle.set_weight_decay(group["weight_decay"])
            report = handle.step(group["steps"][part], float(group["lr"]), missing)
            group["steps"][part] += not report.skipped
            self.reports.append(report)
        return loss

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        for _, handle, params, _ in self._parts:
            for s in handle.states():
                saved = self.state[params[s.parameter]].get(s.name)
                saved = None if saved is None else bytes(saved.to(DTYPES[s.type]).contiguous().view(torch.uint8).numpy())
                load(f"{s.name} of parameter {s.parameter}", s, saved)
            self._show_states(handle, params)


def _rules(group):
    return group["rule"], group["scalar_rule"]


def _check(name, p):
    data = local(p)
    if type(data) is not torch.Tensor or data.device.type != "cpu" or data.dtype != torch.float32 or not data.is_contiguous():
        gaps = "" if type(data) is not torch.Tensor or data.is_contiguous() else ", not contiguous"
        raise TypeError(f"{name}: {type(data).__name__} of {data.dtype} on {data.device}{gaps}: Dionode steps contiguous "
                        "torch.float32 tensors on the CPU")
