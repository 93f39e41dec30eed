"""Runs on several nodes: real ones are pretended under one mpirun by DIONODE_NODE. Skipped by name without MPI."""
import contextlib
import os
import shutil
import signal
import subprocess
import time

from runs import PROGRAM, Skip, alive, children, expect, run

MODULE = os.environ["MPI_MODULE"]
# Ranks share two cores here, and tests may run as root in a container. Leaks are looked for in our own code, not in MPI's. There is
# no other machine to start ranks on. A transport of tests that opens MPI's has a dn_transport_module of its own, of the same size.
MPI = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
           OMPI_MCA_plm_rsh_agent="", ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0:detect_odr_violation=1")


def need_mpi():
    if not shutil.which("mpirun"):
        raise Skip("no mpirun")
    if not os.path.exists(MODULE):
        raise Skip("built without MPI")


def on_nodes(nodes, command, options=()):
    """mpirun's command line: nodes: ranks of each; options: of mpirun."""
    need_mpi()
    line = ["mpirun", *options]
    for node, n in enumerate(nodes):
        line += [":"] * (node > 0) + ["-np", str(n), "-x", f"DIONODE_NODE={node}"] + command
    return line


def train(place, nodes, program=PROGRAM, name="run", limit_s=240, **changes):
    settings = dict(changes, checkpoint_dir=place.file(name))
    return run(on_nodes(nodes, [program, "train", place.config(**settings)]), limit_s=limit_s, env=MPI)


def left_with(done, status):
    """Whether a rank left with an error of this status. mpirun of Open MPI 4.1 gives it, but at times dies itself then, in a thread of PMIx."""
    return done.returncode == status or (done.returncode == -signal.SIGSEGV and "libpmix" in done.stderr)


def environment(pid):
    with open(f"/proc/{pid}/environ") as file:
        return dict(entry.split("=", 1) for entry in file.read().split("\0") if "=" in entry)


def rank_of(pid):
    return int(environment(pid)["OMPI_COMM_WORLD_RANK"])


def number_of(pid):
    """Open MPI's number of the job that a rank is of."""
    return int(environment(pid)["PMIX_NAMESPACE"])


def left_of(number):
    """Files in shared memory of a job: Open MPI's are named by the number in hexadecimal, ours in decimal."""
    return [name for name in os.listdir("/dev/shm") if f".{number:x}." in name or f"-job{number}" in name]


def remove_left(number):
    """Where mpirun itself was killed Open MPI's files stay."""
    for name in left_of(number):
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join("/dev/shm", name))


class Job:
    """A run without an end: mpirun's process, and the ranks' numbers once they are there."""

    def __init__(self, place, nodes, program=PROGRAM, options=(), **changes):
        command = on_nodes(nodes, [program, "train", place.config(**dict({"num_iterations": 10**6}, **changes))], options)
        self.place, self.n = place, sum(nodes)
        self.out = place.file("out")
        self.pids, self.number = [], None
        with open(self.out, "w") as out:
            self.mpirun = subprocess.Popen(command, env=MPI, stdout=out, stderr=out)

    def wait_for_step(self, step, **options):
        self.place.wait_for_step(step, **options)
        self.pids = sorted(self.ranks(), key=rank_of)
        expect(len(self.pids) == self.n, f"ranks {self.pids}")
        self.number = number_of(self.pids[0])

    def ranks(self):
        return children(self.mpirun.pid)

    def told(self):
        with open(self.out) as file:
            return file.read()

    def kill(self):
        for pid in [*self.ranks(), self.mpirun.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.mpirun.wait()
        if self.number:
            remove_left(self.number)

    def ends(self, limit_s=60):
        """mpirun's exit status; no rank is left."""
        status = self.mpirun.wait(timeout=limit_s)
        for _ in range(200):  # mpirun has killed them, and the kernel has not said so yet
            left = [pid for pid in self.pids if alive(pid)]
            if not left:
                return status
            time.sleep(0.05)
        raise AssertionError(f"ranks {left} are left: {self.told()}")


@contextlib.contextmanager
def started(place, nodes, **changes):
    """A job that trains."""
    job = Job(place, nodes, **changes)
    try:
        job.wait_for_step(2, limit_s=200)
        yield job
    finally:
        job.kill()


def same_losses(a, b, what):
    """To rounding in double."""
    expect([x["step"] for x in a] == [x["step"] for x in b], f"{what}: steps {[x['step'] for x in b]}")
    for x, y in zip(a, b):
        apart = abs(x["loss"] - y["loss"])
        expect(apart <= 1e-12 * abs(x["loss"]), f"{what}, step {x['step']}: {x['loss']!r} and {y['loss']!r}")
