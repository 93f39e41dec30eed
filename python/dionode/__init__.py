"""Dionode for Python: its optimizers on arrays, and its collectives between the processes of one node.

    import dionode

    optimizer = dionode.Optimizer([w], lr=0.01, rule="dion")      # w: a float32 array, stepped in place
    optimizer.step([gradient])

PyTorch parameters: dionode.torch. Everything here needs no package, arrays are whatever has a buffer.
"""
from ._library import Error, rules, version
from .comm import Comm, Stats, join
from .optim import KINDS, Optimizer, Report

__all__ = ["Comm", "Error", "KINDS", "Optimizer", "Report", "Stats", "join", "rules", "version"]
