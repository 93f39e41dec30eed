"""For tests of the Python package: which Python runs them, what it has, and processes that find each other.

DIONODE_PYTHON is a Python with PyTorch and NumPy (an environment of its own); without it, the one that runs the tests.
What needs a package that it lacks is skipped by name.
"""
import importlib
import os
import signal
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "support"), os.path.join(HERE, "..", "..", "python")]
os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
sys.dont_write_bytecode = True
python = os.environ.pop("DIONODE_PYTHON", None)
if python:
    os.execv(python, [python, *sys.argv])

from runs import PROGRAM, Skip, case, expect, run, tap  # noqa: E402, F401


def need(*packages):
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError:
            raise Skip(f"{package} is not installed in {os.path.basename(sys.executable)}") from None


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Ranks:
    """Python processes as torchrun starts them, each with its output; none is left behind."""

    def __init__(self, n, script, *arguments):
        shared = dict(os.environ, WORLD_SIZE=str(n), LOCAL_WORLD_SIZE=str(n), MASTER_ADDR="127.0.0.1",
                      MASTER_PORT=str(free_port()), OMP_NUM_THREADS="1")
        self.ranks = [subprocess.Popen([sys.executable, script, *arguments], text=True, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, env=dict(shared, RANK=str(rank), LOCAL_RANK=str(rank)))
                      for rank in range(n)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.ranks:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.communicate()

    def outputs(self, limit_s=120):
        return [process.communicate(timeout=limit_s)[0] for process in self.ranks]


def run_ranks(n, script, *arguments, limit_s=120):
    """What each rank printed, all having ended well."""
    with Ranks(n, script, *arguments) as started:
        outputs = started.outputs(limit_s)
        for rank, process in enumerate(started.ranks):
            expect(process.returncode == 0, f"rank {rank}: exit status {process.returncode}\n" + "\n".join(outputs))
        return outputs
