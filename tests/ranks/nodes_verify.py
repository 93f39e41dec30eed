"""`dionode verify --nodes`: pretended nodes under mpirun compute what one rank does, with every rule and strategy."""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from nodes import MPI, need_mpi  # noqa: E402
from runs import FULL, PROGRAM, Skip, assignments, case, expect, lossless, of_replicas, rules, run, tap  # noqa: E402

CONFIG, SANITIZED = (os.environ[name] for name in ("CONFIG", "SANITIZED"))
CONFIGURATION, NUMERIC = 2, 9
PRECISION = ["--precision", "float" if SANITIZED and not FULL else "double"]  # the short tier under sanitizers has no program in double


def verify(*arguments):
    need_mpi()
    return run([PROGRAM, "verify", CONFIG, *PRECISION, "--steps", "3", *arguments], limit_s=900, env=MPI)


def meshes(*arguments):
    """Those that hold, and the name and size of the largest difference."""
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        path = os.path.join(folder, "all.json")
        done = verify("--json", path, *arguments)
        expect(done.returncode == 0, f"{arguments}: exit status {done.returncode}: {done.stdout[-3000:]}{done.stderr}")
        expect(os.listdir(folder) == ["all.json"], f"{os.listdir(folder)}")
        with open(path) as file:
            return [(m["dp"], m["fs"], m["tp"]) for m in json.load(file)[PRECISION[1]]["meshes"]]


def possible(nodes, ranks):
    """Meshes of up to that many ranks whose replicas are on one node each: the first node has the first ranks."""
    numbers = range(1, nodes * ranks + 1)
    return {(dp, fs, tp) for dp in numbers for fs in numbers for tp in numbers if dp * fs * tp <= nodes * ranks and all(
        first // ranks == (first + fs * tp - 1) // ranks for first in range(0, dp * fs * tp, fs * tp))}


@case
def every_mesh_whose_replicas_are_on_one_node_each_holds():
    for nodes, ranks in [(2, 2), (4, 1), (2, 3)] if FULL else [(2, 1)]:
        found = meshes("--nodes", f"{nodes}x{ranks}")
        expect(set(found) == possible(nodes, ranks) and len(set(found)) == len(found), f"{nodes} x {ranks}: {found}")


@case
def what_is_wrong_between_nodes_is_caught_and_what_cannot_be_is_told():
    done = verify("--nodes", "2x1", "--mesh", "dp=2", "--inject", "sum-for-average", "replicate_mesh_grad_sync=false")
    expect(done.returncode == NUMERIC, f"{done.returncode}: {done.stdout}{done.stderr}")
    done = verify("--nodes", "2x1", "--mesh", "fs=2")
    expect(done.returncode == CONFIGURATION and "2 ranks are a replica" in done.stderr, f"{done.returncode}: {done.stderr}")
    done = verify("--nodes", "2x1", "--ranks", "2")
    expect(done.returncode == CONFIGURATION and "--ranks and --nodes" in done.stderr, f"{done.returncode}: {done.stderr}")
    done = verify("--nodes", "2")
    expect(done.returncode == CONFIGURATION and "is not nodes x ranks" in done.stderr, f"{done.returncode}: {done.stderr}")


@case
def every_rule_and_strategy_holds_on_two_by_two_four_by_one_and_two_by_three():
    if not FULL:
        raise Skip("in the long tier")
    settings = [[f"optimizer={rule}"] for rule in rules()] + [["replicate_mesh_grad_sync=false"]]
    settings += [[f"strategy={name}", *assignments(lossless(CONFIG, name))] for name in of_replicas()]
    for setting in settings:
        most = 2 if "strategy=noloco" in setting else 6  # equals one rank with two replicas only
        for nodes, mesh in [("2x2", "dp=2,fs=2"), ("2x2", "dp=2,tp=2"), ("2x2", "dp=4"), ("4x1", "dp=4"), ("2x3", "dp=6"), ("2x3", "dp=2,fs=3")]:
            if int(mesh[3]) <= most:
                meshes("--nodes", nodes, "--mesh", mesh, *setting)


tap()
