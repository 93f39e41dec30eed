"""torch.optim.Optimizer by the rules of the library."""
import torch

from .._library import Type
from ..optim import Config, Handle, Parameter, default_kind, kind_of, load, matrix_shape, takes

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
    """Steps contiguous float32 parameters on the CPU in place.

    Each parameter group may have its own values of all that follows but comm, and "kind": "matrix", "embedding", "head"
    or "vector"; without it what has two dimensions or more is a matrix. lr and weight_decay may change between steps, as
    schedulers do. A parameter whose .grad is None stays as it is.

    rule: of matrices; scalar_rule: of everything else (dionode.rules()). weight_decay: of all; None: 0.01 of matrices.
    options: those of the rules, as `dionode train --keys` names them (mu=0.9, ortho_fraction=0.5, ...).
    comm (dionode.join()): the processes train together, without DDP: each one's gradient is that of its own part of the
    batch, and their mean counts (Dion exchanges low-rank factors instead of gradients). Parameters are equal on all
    before, and stay so bit for bit. Without it each process steps alone: also under DDP, whose gradients are equal.

    reports: of the last step, a dionode.Report for each group.
    """

    def __init__(self, params, lr, rule="dion", scalar_rule="lion", weight_decay=None, comm=None, **options):
        self._comm = comm
        self._handles = []
        self._grads = []
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
        parameters, grads = [], []
        for i, p in enumerate(group["params"]):
            name = group.get("param_names", [""] * (i + 1))[i]
            _check(name or f"parameter {i}", p)
            kind = group["kind"] or default_kind(p.shape)
            grads.append(torch.zeros_like(p, requires_grad=False))
            parameters.append(Parameter(name if 0 < len(name.encode()) < NAME_BYTES else str(i), kind_of(name, kind),
                                        matrix_shape(p.shape), p.data_ptr(), grads[-1].data_ptr()))
        config = Config(*_rules(group), options)
        self._handles.append(Handle(config, parameters, self._comm, torch.get_num_threads()))
        self._grads.append(grads)
        self._show_states(group, self._handles[-1])

    def _show_states(self, group, handle):
        """Of each parameter, under its name: the library's own memory."""
        for s in handle.states():
            shown = torch.frombuffer(s.memory, dtype=DTYPES[s.type]) if len(s.memory) else torch.empty(0, dtype=DTYPES[s.type])
            self.state[group["params"][s.parameter]][s.name] = shown.view(s.shape)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self.reports = []
        for group, handle, grads in zip(self.param_groups, self._handles, self._grads):
            for p, grad, address in zip(group["params"], grads, handle.weights):
                if p.data_ptr() != address:
                    raise RuntimeError("a parameter has moved in memory since the optimizer was made: make it afterwards")
                if p.grad is not None:
                    grad.copy_(p.grad.to_dense())
            if group["weight_decay"] is not None:
                handle.set_weight_decay(group["weight_decay"])
            report = handle.step(group["steps"], float(group["lr"]), [p.grad is None for p in group["params"]])
            group["steps"] += not report.skipped
            self.reports.append(report)
        return loss

    def load_state_dict(self, state_dict):
        super().load_state_dict(state_dict)
        for group, handle in zip(self.param_groups, self._handles):
            for s in handle.states():
                saved = self.state[group["params"][s.parameter]].get(s.name)
                saved = None if saved is None else bytes(saved.to(DTYPES[s.type]).contiguous().view(torch.uint8).numpy())
                load(f"{s.name} of parameter {s.parameter}", s, saved)
            self._show_states(group, handle)


def _rules(group):
    return group["rule"], group["scalar_rule"]


def _check(name, p):
    if type(p.data) is not torch.Tensor or p.device.type != "cpu" or p.dtype != torch.float32 or not p.is_contiguous():
        gaps = "" if type(p.data) is not torch.Tensor or p.is_contiguous() else ", not contiguous"
        raise TypeError(f"{name}: {type(p.data).__name__} of {p.dtype} on {p.device}{gaps}: Dionode steps contiguous "
                        "torch.float32 tensors on the CPU")
