"""Several nodes, pretended under one mpirun by DIONODE_NODE: every call, whole runs, deaths, stops and what is refused."""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, Place, Skip, alive, case, children, expect, random_tokens, run, tap, write_shard  # noqa: E402

PROGRAM, EXACT, JOINED, MODULE, LATE_FOLDER = (os.environ[name] for name in ("DIONODE", "DIONODE_F64", "JOINED", "MPI_MODULE",
                                                                            "LATE_FOLDER"))
CONFIG, DATA, PEER, TIMEOUT = 2, 3, 7, 8
# Ranks share two cores here, and tests may run as root in a container. Leaks are looked for in our own code, not in MPI's.
MPI = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1", OMPI_MCA_rmaps_base_oversubscribe="1",
           OMPI_MCA_plm_rsh_agent="", ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0")


def on_nodes(nodes, command):
    """mpirun's command line: nodes: ranks of each."""
    if not shutil.which("mpirun"):
        raise Skip("no mpirun")
    if not os.path.exists(MODULE):
        raise Skip("built without MPI")
    line = ["mpirun"]
    for node, n in enumerate(nodes):
        line += [":"] * (node > 0) + ["-np", str(n), "-x", f"DIONODE_NODE={node}"] + command
    return line


def train(place, nodes, program=PROGRAM, name="run", limit_s=240, **changes):
    settings = dict(changes, checkpoint_dir=place.file(name))
    return run(on_nodes(nodes, [program, "train", place.config(**settings)]), limit_s=limit_s, env=MPI)


def rank_of(pid):
    with open(f"/proc/{pid}/environ") as file:
        return int(dict(entry.split("=", 1) for entry in file.read().split("\0") if "=" in entry)["OMPI_COMM_WORLD_RANK"])


@contextlib.contextmanager
def started(place, nodes, **changes):
    """A run without an end: mpirun's process, and the ranks' numbers once they train."""
    command = on_nodes(nodes, [PROGRAM, "train", place.config(num_iterations=10**6, **changes)])
    with open(place.file("out"), "w") as out:
        job = subprocess.Popen(command, env=MPI, stdout=out, stderr=out)
    try:
        place.wait_for_step(2, limit_s=200)
        yield job, sorted(children(job.pid), key=rank_of)
    finally:
        for pid in [*children(job.pid), job.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        job.wait()


def told(place):
    with open(place.file("out")) as file:
        return file.read()


def ends(job, pids, limit_s=60):
    """mpirun's exit status; no rank is left."""
    status = job.wait(timeout=limit_s)
    left = [pid for pid in pids if alive(pid)]
    for pid in left:  # mpirun has killed it, and the kernel has not said so yet
        for _ in range(200):
            if alive(pid):
                time.sleep(0.05)
    left = [pid for pid in pids if alive(pid)]
    expect(not left, f"ranks {left} are left")
    return status


def same_losses(a, b, what):
    """To rounding in double."""
    expect([x["step"] for x in a] == [x["step"] for x in b], f"{what}: steps {[x['step'] for x in b]}")
    for x, y in zip(a, b):
        apart = abs(x["loss"] - y["loss"])
        expect(apart <= 1e-12 * abs(x["loss"]), f"{what}, step {x['step']}: {x['loss']!r} and {y['loss']!r}")


@case
def every_call_is_right_between_nodes():
    for nodes in [(2, 2), (1, 1, 1, 1), (3, 3), (3, 1)] if FULL else [(2, 2)]:
        done = run(on_nodes(nodes, [JOINED] + ["all"] * FULL), limit_s=1500 if FULL else 300, env=MPI)
        expect(done.returncode == 0 and " wrong 0 network yes" in done.stdout, f"{nodes}: {done.returncode} {done.stdout} {done.stderr}")


@case
def every_call_is_right_whatever_overtakes_what():
    """Messages of different tags in strange orders, and short ones 5 ms late (transport_late.c)."""
    late = dict(MPI, DIONODE_TRANSPORT="late", DIONODE_MODULES=LATE_FOLDER, LATE_MODULE=MODULE)
    for nodes in [(1, 1), (2, 2), (3, 1)] if FULL else [(1, 1)]:
        done = run(on_nodes(nodes, [JOINED]), limit_s=900, env=late)
        expect(done.returncode == 0 and " wrong 0 network yes" in done.stdout, f"{nodes}: {done.returncode} {done.stdout} {done.stderr}")


@case
def what_is_begun_unlike_on_another_node_is_told():
    done = run(on_nodes((1, 1), [JOINED, "apart"]), env=MPI)
    expect(done.returncode != 0 and "all ranks must make the same calls" in done.stderr, f"{done.returncode} {done.stdout} {done.stderr}")


@case
def bench_measures_between_nodes_and_beside_mpi():
    if not os.path.exists(MODULE):
        raise Skip("built without MPI")
    small = ["-n", "2", "-w", "0", "--triad", "256K"]
    for op, lines in [("latency-nodes", ["-b", "4", "-e", "4"]), ("all-reduce", ["-b", "1M", "-e", "1M", "--versus", "mpi"]),
                      ("begin-all-reduce", ["-b", "1M", "-e", "1M"])]:
        done = run([PROGRAM, "bench", "comm", "--nodes", "2x2", "--op", op, *lines, *small], env=MPI, limit_s=200)
        expect(done.returncode == 0 and "# wrong values: 0 OK" in done.stdout and "# node 1 rank   2" in done.stdout,
               f"{op}: {done.returncode} {done.stdout} {done.stderr}")
        expect("MPI/ours" in done.stdout or op != "all-reduce", done.stdout)
    done = run([PROGRAM, "bench", "comm", "--np", "2", "--op", "latency-nodes"])
    expect(done.returncode == CONFIG and "needs two nodes" in done.stderr, f"{done.returncode} {done.stderr}")


@case
def losses_are_those_of_one_node_over_resumes_on_two_four_and_one_node_and_bits_repeat():
    meshes = [{"optimizer": "dion", "dp_size": 4}]
    if FULL:
        meshes += [{"optimizer": "dion", "fs_size": 2, "dp_size": 2}, {"optimizer": "muon", "tp_size": 2, "dp_size": 2},
                   {"optimizer": "adamw", "dp_size": 4}, {"optimizer": "dion2", "dp_size": 4},
                   {"optimizer": "adamw", "dp_size": 4, "strategy": "diloco", "sync_every": 4},
                   {"optimizer": "adamw", "dp_size": 4, "strategy": "streaming", "sync_every": 4},
                   {"optimizer": "adamw", "dp_size": 4, "strategy": "sparseloco", "sync_every": 4},
                   {"optimizer": "adamw", "dp_size": 4, "strategy": "noloco", "sync_every": 4},
                   {"optimizer": "adamw", "dp_size": 4, "strategy": "demo"}]
    for mesh in meshes:
        with Place() as place:
            settings = dict(mesh, num_iterations=8, checkpoint_freq=100)
            done = run([EXACT, "train", "--np", "4", place.config(checkpoint_dir=place.file("one"), **settings)], limit_s=240)
            expect(done.returncode == 0, done.stderr)
            four = (1, 1, 1, 1) if mesh.get("fs_size", 1) * mesh.get("tp_size", 1) == 1 else (2, 2)
            for name, nodes, last in [("run", (2, 2), 4), ("again", (2, 2), 4), ("run", four, 6)]:
                done = train(place, nodes, program=EXACT, name=name, stop_after=last, **settings)
                expect(done.returncode == 0, f"{mesh} {nodes}: {done.returncode}, {done.stderr}")
            done = run([EXACT, "train", "--np", "4", place.config(checkpoint_dir=place.file("run"), **settings)], limit_s=240)
            expect(done.returncode == 0, done.stderr)
            same_losses(place.metrics("one"), place.metrics("run"), str(mesh))
            for key in ["loss", "grad_norm", "weights_hash"]:
                first, again = ([x.get(key) for x in place.metrics(name)[:4]] for name in ("run", "again"))
                hashed = key != "weights_hash" or "strategy" not in mesh  # replicas that differ between syncs have no hash
                expect(first == again and (any(first) or not hashed), f"{mesh}: {key} {first}, and again {again}")


@case
def bytes_between_nodes_are_those_of_the_formula():
    """Rank 0 receives its quarter of the gradients, as the other node's sum, and the quarter of the weights that it takes for its
    node; counted in all are its gradients, and its own quarter of the weights."""
    with Place() as place:
        done = train(place, (2, 2), optimizer="adamw", dp_size=4, num_iterations=2)
        expect(done.returncode == 0, done.stderr)
        for x in place.metrics():
            expect(x["bytes_network"] == x["bytes_dp"] / 1.25 / 2, f"{x['bytes_network']} of {x['bytes_dp']} bytes")
        done = place.train(np=2, optimizer="adamw", dp_size=2, num_iterations=1, checkpoint_dir=place.file("one"))
        expect(done.returncode == 0 and "bytes_network" not in place.metrics("one")[0], f"{done.stderr} {place.metrics('one')}")


@case
def islands_that_are_nodes_keep_gradients_in_them_and_compute_what_two_islands_of_one_node_do():
    """Of the weights each rank brings its node's half across: of that it receives a half as the other node's sum, and the other half
    back. In steps between nothing crosses."""
    settings = {"optimizer": "adamw", "dp_size": 4, "strategy": "daso", "across_every": 2, "across_wait": 0, "across_warmup": 0,
                "across_cooldown": 0, "hash_every": 0, "num_iterations": 6, "checkpoint_freq": 100}
    with Place() as place:
        done = train(place, (2, 2), program=EXACT, islands="nodes", **settings)
        expect(done.returncode == 0, done.stderr)
        for x in place.metrics():
            wanted = x["bytes_uncompressed"] / 2 * (x["step"] % 2 == 0)
            expect(x["bytes_network"] == wanted, f"step {x['step']}: {x['bytes_network']} bytes, not {wanted}")
        done = run([EXACT, "train", "--np", "4", place.config(checkpoint_dir=place.file("one"), islands=2, **settings)], limit_s=240)
        expect(done.returncode == 0, done.stderr)
        same_losses(place.metrics("one"), place.metrics("run"), "islands: nodes")


@case
def a_killed_rank_or_node_ends_the_run_on_all_nodes():
    draw = random.Random(20)
    with Place() as place:
        for n in range(200 if FULL else 5):
            with started(place, (2, 2), dp_size=4, checkpoint_dir=place.file("run")) as (job, pids):
                expect(len(pids) == 4, f"ranks {pids}")
                victims = draw.sample(pids, 1) if n % 2 == 0 else pids[2:]
                time.sleep(draw.random() * 0.2)
                for pid in victims:
                    os.kill(pid, signal.SIGKILL)
                status = ends(job, pids)
                # Of mpirun, which has seen the signal; or of the first of the other ranks that had to end.
                expect(status in (128 + signal.SIGKILL, PEER), f"exit status {status}: {told(place)}")
            shutil.rmtree(place.file("run"))


@case
def a_node_that_does_not_answer_is_named_after_the_deadline():
    for ranks in [(0, 1), (2, 3)] if FULL else [(0, 1)]:
        with Place() as place, started(place, (2, 2), dp_size=4, timeout_s=4) as (job, pids):
            for rank in ranks:
                os.kill(pids[rank], signal.SIGSTOP)
            status = ends(job, pids)
            text = told(place)
            expect(status == TIMEOUT, f"exit status {status}: {text}")
            expect(any(f"worker {rank} (pid {pids[rank]}) made no progress for 4 s" in text for rank in ranks), text)


@case
def a_stop_saves_on_all_nodes_and_the_run_goes_on():
    with Place() as place:
        with started(place, (2, 2), dp_size=4) as (job, pids):
            rows = [line.split()[:3] for line in run([PROGRAM, "stat", str(pids[2])]).stdout.splitlines()[2:]]
            wanted = [[str(rank // 2), str(rank), str(pids[rank])] for rank in range(4)]
            expect(rows == wanted, f"dionode stat: node, rank and pid {rows}, not {wanted}")
            os.kill(pids[3], signal.SIGTERM)  # told to rank 0, which is on the other node
            status = ends(job, pids)
            text = told(place)
        expect(status == 128 + signal.SIGTERM, f"exit status {status}: {text}")
        step = len(place.metrics())
        expect(os.path.exists(place.file(f"run/step_{step:08d}.safetensors")), f"{os.listdir(place.file('run'))} after {step}")
        done = train(place, (2, 2), dp_size=4, num_iterations=step + 1)
        expect(done.returncode == 0 and len(place.metrics()) == step + 1, done.stderr)


@case
def ranks_that_were_started_differently_or_have_other_data_are_told_before_the_first_step():
    with Place() as place:
        for settings, words in (("seed=1", "seed 0 -> 1"), ("model_dim=64", "model_dim 32 -> 64"), ("checkpoint_freq=3", "checkpoint_freq 0 -> 3")):
            line = on_nodes((1, 1), [PROGRAM, "train", place.config(dp_size=2)]) + [settings]  # of the second node
            done = run(line, env=MPI)
            expect(done.returncode == CONFIG and f"dionode: rank 1 was started with other settings than rank 0 (there -> here): {words};"
                   in done.stderr, f"{settings}: {done.returncode} {done.stderr}")
        write_shard(place.file("other.bin"), random_tokens(5000, seed=3))
        for kind in ("train", "val"):  # the same name, other tokens on each node
            files = place.file(f"{kind}.bin")
            place.config(**{"dp_size": 2, f"{kind}_files": files, "val_tokens": 64})
            for node, source in enumerate((place.file(f"data/{kind}_000000.bin"), place.file("other.bin"))):
                shutil.copy(source, place.file(f"of{node}"))
            # each rank in mounts of its own
            mounts = f"mount --bind {place.path}/of$DIONODE_NODE {files} && exec {PROGRAM} train {place.file('config.yaml')}"
            open(files, "w").close()
            if os.getuid() != 0:
                raise Skip("mounts of our own need root")
            done = run(on_nodes((1, 1), ["unshare", "-m", "sh", "-c", mounts]), env=MPI)
            what = {"train": "training", "val": "validation"}[kind]
            expect(done.returncode == DATA and f"the ranks' {what} tokens are not the same" in done.stderr, f"{done.returncode} {done.stderr}")
        expect(not os.path.exists(place.file("run/metrics.jsonl")), "a step was made")


@case
def what_cannot_be_is_told_before_the_first_step():
    with Place() as place:
        done = train(place, (1, 1), dp_size=1, fs_size=2)
        expect(done.returncode == CONFIG and "ranks 0 and 1 share weights" in done.stderr, f"{done.returncode} {done.stderr}")
        config = place.config(dp_size=2)
        for told_to_second in [["-x", "DIONODE_NODE=one"], []]:
            line = on_nodes((1, 1), [PROGRAM, "train", config])
            at = line.index("DIONODE_NODE=1") - 1
            line[at:at + 2] = told_to_second
            done = run(line, env=dict(MPI, DIONODE_TRANSPORT="mpi"))
            expect(done.returncode == CONFIG and "or none of them" in done.stderr, f"{done.returncode} {done.stderr}")
        done = run(on_nodes((1, 1), [PROGRAM, "train", "--np", "2", config]), env=MPI)
        expect(done.returncode == CONFIG and "another launcher has started the ranks" in done.stderr, f"{done.returncode} {done.stderr}")


tap()
