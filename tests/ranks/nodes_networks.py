"""Two nodes in network namespaces of their own, with host names of their own, joined by a pair of virtual interfaces of limited speed:
mpirun starts ranks there as on a cluster, by an agent instead of ssh, and everything between nodes goes over TCP. As root, where the
kernel lets it; skipped by name elsewhere."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from nodes import MPI, need_mpi, number_of, remove_left, same_losses  # noqa: E402
from runs import PROGRAM, Place, Skip, case, expect, run, session, tap, wait_until  # noqa: E402

EXACT = os.environ["DIONODE_F64"]
MBIT, DELAY_MS = 1000, 5
AGENT = """#!/bin/sh
host=$1
shift
exec ip netns exec "{prefix}$host" unshare --uts sh -c 'hostname "$0" && exec sh -c "$*"' "$host" "$@"
"""


class Networks:
    """Nodes `a` and `b`. delays: whether messages are late, beside slow: some kernels can only make them slow."""

    def __init__(self, folder):
        self.prefix = f"dn{os.getpid()}-"
        self.agent = os.path.join(folder, "agent")
        with open(self.agent, "w") as file:
            file.write(AGENT.format(prefix=self.prefix))
        os.chmod(self.agent, 0o700)
        self.delays = True

    def ip(self, *arguments):
        done = run(["ip", *arguments])
        if done.returncode != 0:
            raise Skip(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    def link(self, node):
        return f"dn{node}{os.getpid() % 10**8}"

    def limit(self, node):
        shape = ["tc", "-n", self.prefix + node, "qdisc", "replace", "dev", self.link(node), "root"]
        if run([*shape, "netem", "delay", f"{DELAY_MS}ms", "rate", f"{MBIT}mbit", "limit", "100000"]).returncode == 0:
            return
        self.delays = False
        done = run([*shape, "tbf", "rate", f"{MBIT}mbit", "burst", "64kb", "latency", "500ms"])
        if done.returncode != 0:
            raise Skip(f"no netem and no tbf in this kernel: {done.stderr.strip()}")

    def open(self):
        for node in "ab":
            self.ip("netns", "add", self.prefix + node)
        self.ip("link", "add", self.link("a"), "netns", self.prefix + "a", "type", "veth", "peer", "name", self.link("b"), "netns",
                self.prefix + "b")
        for number, node in enumerate("ab", 1):
            self.ip("-n", self.prefix + node, "addr", "add", f"10.77.0.{number}/24", "dev", self.link(node))
            self.ip("-n", self.prefix + node, "link", "set", "lo", "up")
            self.ip("-n", self.prefix + node, "link", "set", self.link(node), "up")
            self.limit(node)

    def close(self):
        for node in "ab":
            run(["ip", "netns", "del", self.prefix + node])

    def command(self, ranks, command):
        """mpirun on node a: so many ranks on each."""
        return [self.agent, "a", "mpirun", "--bind-to", "none", "--host", f"a:{ranks},b:{ranks}", "--mca", "plm_rsh_agent", self.agent,
                "--mca", "btl", "self,vader,tcp", *command]


@contextlib.contextmanager
def networks():
    need_mpi()
    if os.getuid() != 0 or not shutil.which("ip") or not shutil.which("tc"):
        raise Skip("networks of our own need root, ip and tc")
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        both = Networks(folder)
        try:
            both.open()
            yield both
        finally:
            both.close()


ENV = {name: value for name, value in MPI.items() if name != "OMPI_MCA_plm_rsh_agent"}


@case
def a_run_on_two_networks_has_the_losses_of_one_node():
    settings = {"optimizer": "dion", "dp_size": 4, "num_iterations": 6}
    with networks() as both, Place() as place:
        done = run(both.command(2, [EXACT, "train", place.config(**settings)]), limit_s=240, env=ENV)
        expect(done.returncode == 0, f"{done.returncode} {done.stderr}")
        expect(all(x["bytes_network"] > 0 for x in place.metrics()), f"{place.metrics()}")
        done = run([EXACT, "train", "--np", "4", place.config(checkpoint_dir=place.file("one"), **settings)], limit_s=240)
        expect(done.returncode == 0, done.stderr)
        same_losses(place.metrics("one"), place.metrics(), "two networks")


@case
def topo_finds_the_nodes_and_no_message_is_faster_than_the_link():
    """Whatever else the machine does can only make it slower; what fits into the queue's burst passes at once."""
    with networks() as both:
        done = run(both.command(2, [PROGRAM, "topo"]), limit_s=240, env=ENV)
        expect(done.returncode == 0, f"{done.returncode} {done.stderr}")
        _, ranks, latency, bandwidth = done.stdout.strip().split("\n\n")
        hosts = [line.split()[:3] for line in ranks.splitlines()[1:]]
        expect(hosts == [["0", "0", "a"], ["0", "1", "a"], ["1", "2", "b"], ["1", "3", "b"]], ranks)
        across = [[float(line.split()[at]) for at, line in ((2, table.splitlines()[2]), (1, table.splitlines()[3]))]
                  for table in (latency, bandwidth)]
        print(f"# between networks: {across[0]} us, {across[1]} GB/s", flush=True)
        if both.delays:
            expect(all(us >= 1e3 * DELAY_MS for us in across[0]), latency)
        expect(all(0 < gb_s <= 1.1 * MBIT / 8e3 for gb_s in across[1]), bandwidth)
        if not both.delays:
            raise Skip("this kernel has no netem: only bandwidth was limited")


def ranks_in(number):
    """Processes of a session that are the program."""
    found = []
    for pid in session(number):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if os.path.samefile(f"/proc/{pid}/exe", PROGRAM):
                found.append(pid)
    return found


@case
def a_network_that_is_cut_ends_all_ranks_on_both_nodes_after_the_deadline():
    """mpirun and its daemon are not told, and wait for each other until TCP gives up."""
    limit_s = 20
    with networks() as both, Place() as place:
        command = both.command(2, [PROGRAM, "train", place.config(dp_size=4, num_iterations=10**6, timeout_s=limit_s)])
        with open(place.file("out"), "w") as out:
            job = subprocess.Popen(command, env=ENV, stdout=out, stderr=out, start_new_session=True)
        number = None
        try:
            place.wait_for_step(2, limit_s=200)
            ranks = ranks_in(job.pid)
            expect(len(ranks) == 4, f"ranks {ranks}")
            number = number_of(ranks[0])
            both.ip("-n", both.prefix + "a", "link", "set", both.link("a"), "down")
            wait_until(lambda: not ranks_in(job.pid), "end of all ranks", 200)
            with open(place.file("out")) as file:
                text = file.read()
            expect(re.search(rf"worker \d+ \(pid \d+\) made no progress for {limit_s} s", text), text)
        finally:
            for pid in session(job.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            job.wait()
            if number:
                remove_left(number)


tap()
