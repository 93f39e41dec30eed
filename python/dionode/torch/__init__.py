"""Dionode for PyTorch, on CPUs: an optimizer, and the backend "dionode" of torch.distributed.

    import dionode.torch

    optimizer = dionode.torch.Optimizer(dionode.torch.param_groups(model, head=model.head), lr=0.01, rule="dion")
    torch.distributed.init_process_group("dionode")
"""
from .optim import Optimizer, param_groups
from .process_group import ProcessGroup

__all__ = ["Optimizer", "ProcessGroup", "param_groups"]
