"""Several nodes, pretended under one mpirun by DIONODE_NODE: every call, whole runs, stops and what is refused."""
import os
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from nodes import MODULE, MPI, Job, left_with, need_mpi, number_of, on_nodes, rank_of, same_losses, started, train  # noqa: E402
from runs import FULL, PROGRAM, Place, Skip, case, expect, random_tokens, run, tap, wait_until, write_shard  # noqa: E402

EXACT, JOINED, LATE_FOLDER = (os.environ[name] for name in ("DIONODE_F64", "JOINED", "LATE_FOLDER"))
CONFIG, DATA, CHECKPOINT, TIMEOUT = 2, 3, 4, 8


def late():
    """The environment of runs over a transport that delivers late and in strange orders."""
    return dict(MPI, DIONODE_TRANSPORT="late", DIONODE_MODULES=LATE_FOLDER, LATE_MODULE=MODULE)


@case
def every_call_is_right_between_nodes():
    for nodes in [(2, 2), (1, 1, 1, 1), (3, 3), (3, 1)] if FULL else [(2, 2)]:
        done = run(on_nodes(nodes, [JOINED] + ["all"] * FULL), limit_s=1500 if FULL else 300, env=MPI)
        expect(done.returncode == 0 and " wrong 0 network yes" in done.stdout, f"{nodes}: {done.returncode} {done.stdout} {done.stderr}")


@case
def every_call_is_right_whatever_overtakes_what():
    """Messages of different tags in strange orders, and short ones 5 ms late (transport_late.c)."""
    for nodes in [(1, 1), (2, 2), (3, 1)] if FULL else [(1, 1)]:
        done = run(on_nodes(nodes, [JOINED]), limit_s=900, env=late())
        expect(done.returncode == 0 and " wrong 0 network yes" in done.stdout, f"{nodes}: {done.returncode} {done.stdout} {done.stderr}")


@case
def what_is_begun_unlike_on_another_node_is_told():
    done = run(on_nodes((1, 1), [JOINED, "apart"]), env=MPI)
    expect(done.returncode != 0 and "all ranks must make the same calls" in done.stderr, f"{done.returncode} {done.stdout} {done.stderr}")


@case
def what_is_begun_waits_for_nobody_on_more_nodes_than_moves_have_room_for():
    """A rank has 64 moves under way: with 34 nodes calls alone are more."""
    if not FULL:
        raise Skip("in the long tier")
    done = run(on_nodes((1,) * 34, [JOINED, "many"]), limit_s=300, env=MPI)
    expect(done.returncode == 0 and " wrong 0 " in done.stdout, f"{done.returncode} {done.stdout} {done.stderr}")


@case
def a_transport_that_never_starts_or_ends_is_told_after_the_deadline():
    for call, words in (("start", "the start of the transport between nodes did not return within 3 s"),
                        ("finish", "the end of the transport between nodes did not return within 3 s")):
        env = dict(late(), LATE_MS="0", LATE_NEVER=call)
        with Place() as place:
            done = run(on_nodes((1, 1), [PROGRAM, "train", place.config(dp_size=2, num_iterations=1, timeout_s=3)]), env=env)
            expect(left_with(done, TIMEOUT) and words in done.stderr, f"{call}: {done.returncode} {done.stdout} {done.stderr}")


@case
def bench_measures_between_nodes_and_beside_mpi():
    need_mpi()
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
def gradients_are_on_their_way_to_other_nodes_during_the_backward_pass():
    """All but the embedding's, which are complete when the pass ends; of P ranks each brings (P - 1) / P of the bytes to owners. They
    are one exchange. Losses are those of one node, bits those of any other order of messages."""
    embedding = 256 * 32
    for nodes in [(1, 1), (2, 2), (1, 1, 1, 1)] if FULL else [(1, 1)]:
        with Place() as place:
            P = sum(nodes)
            settings = {"optimizer": "adamw", "dp_size": P, "n_layer": 5, "num_iterations": 5}
            done = train(place, nodes, program=EXACT, **settings)
            expect(done.returncode == 0, f"{nodes}: {done.returncode} {done.stderr}")
            for x in place.metrics():
                gradients = x["cluster_bytes_dp"] / 2  # the other half are weights
                wanted = gradients - (P - 1) / P * 8 * embedding
                expect(x["overlap_bytes"] == wanted > 0.8 * gradients and x["overlap_s"] > 0 and x["hops_dp"] == 2 * (P - 1),
                       f"{nodes}: {x['overlap_bytes']} bytes in {x['overlap_s']} s, not {wanted} of {gradients}, {x['hops_dp']} hops")
            came, all_of_them = (sum(x[key] for x in place.metrics()) for key in ("bytes_network_early", "bytes_network"))
            print(f"# {nodes}: {came} of {all_of_them} bytes were here when they were waited for", flush=True)
            expect(0 < came < all_of_them, f"{nodes}: {came} of {all_of_them} bytes came early")
            done = run([EXACT, "train", "--np", str(P), place.config(checkpoint_dir=place.file("one"), **settings)], limit_s=240)
            expect(done.returncode == 0, done.stderr)
            same_losses(place.metrics("one"), place.metrics(), f"{nodes}")
            if not FULL:
                continue
            config = place.config(checkpoint_dir=place.file("late"), **settings)
            done = run(on_nodes(nodes, [EXACT, "train", config]), env=late(), limit_s=400)
            expect(done.returncode == 0, f"late, {nodes}: {done.returncode} {done.stderr}")
            for x, y in zip(place.metrics(), place.metrics("late")):
                for key in ("loss", "grad_norm", "weights_hash", "overlap_bytes"):
                    expect(x[key] == y[key], f"late, {nodes}, step {x['step']}: {key} {y[key]!r}, not {x[key]!r}")


@case
def of_factors_only_what_is_not_compressed_is_on_its_way_before_the_step():
    """The head, behind which all layers go backward: P is made of clipped gradients, when all are there."""
    if not FULL:
        raise Skip("in the long tier")
    with Place() as place:
        done = train(place, (1, 1), optimizer="dion", dp_size=2, num_iterations=3)
        expect(done.returncode == 0, done.stderr)
        for x in place.metrics():
            expect(x["overlap_bytes"] == 4 / 2 * 256 * 32, f"{x['overlap_bytes']} bytes of a head of 256 x 32")


@case
def what_has_begun_ends_where_no_step_follows():
    """Of a loss that is not finite, and of a stop in the middle of a pass."""
    if not FULL:
        raise Skip("in the long tier")
    with Place() as place:
        settings = {"lr": 1e6, "warmup_ratio": 0, "weight_decay": 100, "dp_size": 2, "num_iterations": 200}  # 1e8 times as large a step
        two = train(place, (1, 1), **settings)
        one = place.train(np=2, checkpoint_dir=place.file("one"), **settings)
        skipped = [[x["skipped"] for x in place.metrics(name)] for name in ("run", "one")]
        expect(two.returncode == one.returncode and skipped[0] == skipped[1] and any(skipped[0]),
               f"{two.returncode} and {one.returncode}, skipped {skipped}: {two.stderr}")
    with Place() as place:
        settings = {"model_dim": 256, "n_layer": 8, "sequence_length": 256, "dp_size": 2, "timeout_s": 60}
        with started(place, (1, 1), optimizer="adamw", **settings) as job:
            os.kill(job.pids[1], signal.SIGTERM)
            status = job.ends()
            step = len(place.metrics())
            expect(status == 128 + signal.SIGTERM, f"exit status {status}: {job.told()}")
            expect(os.path.exists(place.file(f"run/step_{step:08d}.safetensors")), f"{os.listdir(place.file('run'))} after {step}")


@case
def replicas_of_one_node_each_begin_no_average_before_their_strategy_exchanges():
    """Both ranks of a replica have the gains of norms: what they average of these is behind the exchange, and crosses no network."""
    if not FULL:
        raise Skip("in the long tier")
    for strategy in ("powersgd", "local_sgd"):
        with Place() as place:
            done = train(place, (2, 2), architecture="llama", optimizer="adamw", dp_size=2, tp_size=2, strategy=strategy, hash_every=0,
                         num_iterations=3)
            expect(done.returncode == 0, f"{strategy}: {done.returncode} {done.stderr}")
            for x in place.metrics():
                expect(x["overlap_s"] == 0 and x["overlap_bytes"] == 0,
                       f"{strategy}, step {x['step']}: {x['overlap_bytes']} bytes began {x['overlap_s']} s before the step")


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


def stopped_and_resumed(place, job, status):
    """The run was saved after its last step, and goes on from there."""
    step = len(place.metrics())
    expect(os.path.exists(place.file(f"run/step_{step:08d}.safetensors")), f"{os.listdir(place.file('run'))} after {step}: {status}, {job.told()}")
    done = train(place, (2, 2), dp_size=4, num_iterations=step + 1)
    expect(done.returncode == 0 and len(place.metrics()) == step + 1, done.stderr)


@case
def what_is_taken_up_later_is_sent_ahead_between_nodes():
    """Streaming DiLoCo in few bits: of each fragment rank 0 receives what the two ranks of its rail on the other node owe, while it
    computes; the steps between have barriers behind which MPI, which keeps the order, has brought it."""
    settings = {"optimizer": "adamw", "dp_size": 4, "strategy": "streaming", "wire": "fp4", "sync_every": 8, "fragments": 2, "overlap": 3,
                "hash_every": 0, "num_iterations": 30}
    with Place() as place:
        done = train(place, (2, 2), program=EXACT, stop_after=24, **settings)
        expect(done.returncode == 0, f"{done.returncode} {done.stderr}")
        across = sum(x["bytes_network"] for x in place.metrics())
        early = sum(x["bytes_network_early"] for x in place.metrics())
        sent = sum(x["bytes_delta"] for x in place.metrics())  # by rank 0, as much as each
        begun = [x["step"] for x in place.metrics() if x["bytes_network"] > 0]
        taken = [x["step"] for x in place.metrics() if x["bytes_delta"] > 0]
        expect(taken and [step - 3 for step in taken] == [step for step in begun if step + 3 <= 24], f"begun in {begun}, taken up in {taken}")
        expect(0 < early <= across, f"{early} of {across} bytes came early")
        print(f"# {early} of {across} bytes came early; {sent} were sent", flush=True)
        done = train(place, (2, 2), program=EXACT, **settings)  # goes on with messages in flight
        expect(done.returncode == 0, f"{done.returncode} {done.stderr}")
        done = run([EXACT, "train", "--np", "4", place.config(checkpoint_dir=place.file("one"), **settings)], limit_s=240)
        expect(done.returncode == 0, done.stderr)
        same_losses(place.metrics("one"), place.metrics(), "sent ahead")


@case
def messages_that_all_read_cross_once_to_each_node():
    """DeMo's and SparseLoCo's: rank 0 receives what the rank of its rail sends, and reads the other's where its node-mate received it;
    dynthresh's, too, where that rank's messages are not as long as its own, and a few numbers of means come with them. Losses are those
    of one node, bits those of any other order of messages."""
    if not FULL:
        raise Skip("in the long tier")
    for strategy in ({"strategy": "demo"}, {"strategy": "sparseloco", "sync_every": 2}, {"strategy": "dynthresh", "threshold_quantile": 0.9}):
        settings = {"optimizer": "adamw", "dp_size": 4, "hash_every": 0, "num_iterations": 6, **strategy}
        with Place() as place:
            done = train(place, (2, 2), program=EXACT, **settings)
            expect(done.returncode == 0, f"{strategy}: {done.returncode} {done.stderr}")
            for x in place.metrics():
                sent = x["bytes_delta"] or x["bytes_gradients"]
                near = 0.3 if strategy["strategy"] == "dynthresh" else 0
                expect(abs(x["bytes_network"] - sent) <= near * sent, f"{strategy}: {x['bytes_network']} bytes of {sent}")
            expect(any(x["bytes_network"] for x in place.metrics()), f"{strategy}: nothing crossed")
            done = run([EXACT, "train", "--np", "4", place.config(checkpoint_dir=place.file("one"), **settings)], limit_s=240)
            expect(done.returncode == 0, done.stderr)
            same_losses(place.metrics("one"), place.metrics(), str(strategy))
            done = run(on_nodes((2, 2), [EXACT, "train", place.config(checkpoint_dir=place.file("late"), **settings)]), env=late(), limit_s=400)
            expect(done.returncode == 0, f"late, {strategy}: {done.returncode} {done.stderr}")
            losses = [[x["loss"] for x in place.metrics(name)] for name in ("run", "late")]
            expect(losses[0] == losses[1], f"late, {strategy}: {losses}")


@case
def means_that_are_taken_up_later_are_formed_meanwhile_and_checkpoints_hold_each_message():
    """What begins in one step has the same bytes as what is gathered when it ends, of the same fragment. Checkpoints between the two
    change nothing in the run that goes on, nor in one that begins with them. Of fragments under way together one is formed early, and
    others are taken up meanwhile."""
    if not FULL:
        raise Skip("in the long tier")
    streaming = {"strategy": "streaming", "sync_every": 8, "fragments": 2, "overlap": 3}
    daso = {"strategy": "daso", "across_every": 4, "across_wait": 2, "across_warmup": 0, "across_cooldown": 0}
    together = {**streaming, "fragments": 3, "overlap": 7}
    for nodes, one, more in [((2, 2), {}, streaming), ((1, 1), {}, streaming), ((1, 1), {}, together),
                             ((2, 2), {"islands": 2}, {**daso, "islands": "nodes"})]:
        settings = {"optimizer": "adamw", "dp_size": sum(nodes), "hash_every": 0, "num_iterations": 24, "checkpoint_freq": 5, **more}
        with Place() as place:
            for last in (10, 24):
                done = train(place, nodes, program=EXACT, stop_after=last, **settings)
                expect(done.returncode == 0, f"{nodes} {more}: {done.returncode} {done.stderr}")
            done = run([EXACT, "train", "--np", str(sum(nodes)), place.config(checkpoint_dir=place.file("one"), **{**settings, **one})], limit_s=240)
            expect(done.returncode == 0, done.stderr)
            same_losses(place.metrics("one"), place.metrics(), f"{nodes} {more}")
            came = sum(x["bytes_network_early"] for x in place.metrics())
            crossed = {x["step"]: x["bytes_network"] for x in place.metrics() if x["bytes_network"] > 0}
            print(f"# {nodes} {more['strategy']}: {came} of {sum(crossed.values())} bytes came early", flush=True)
            expect(came > 0, f"{nodes} {more}: nothing came early of {crossed}")
            if more == streaming:
                begun = [step for step in range(4, 22, 4) if step != 8]  # the first after 10 is taken up by a run that did not begin it
                expect(all(crossed[step] == crossed[step + 3] for step in begun), f"{nodes}: {crossed}")
                expect(set(crossed) == set(range(4, 25, 4)) | set(range(7, 25, 4)), f"{nodes}: {crossed}")


@case
def a_stop_saves_on_all_nodes_and_the_run_goes_on():
    with Place() as place:
        with started(place, (2, 2), dp_size=4) as job:
            rows = [line.split()[:3] for line in run([PROGRAM, "stat", str(job.pids[2])]).stdout.splitlines()[2:]]
            wanted = [[str(rank // 2), str(rank), str(job.pids[rank])] for rank in range(4)]
            expect(rows == wanted, f"dionode stat: node, rank and pid {rows}, not {wanted}")
            os.kill(job.pids[3], signal.SIGTERM)  # told to rank 0, which is on the other node
            status = job.ends()
            expect(status == 128 + signal.SIGTERM, f"exit status {status}: {job.told()}")
        stopped_and_resumed(place, job, status)


@case
def who_sleeps_on_a_link_hears_a_stop_of_another_node():
    """Of 100 s, in the first step."""
    if not FULL:
        raise Skip("in the long tier")
    with Place() as place:
        job = Job(place, (1, 1), optimizer="adamw", dp_size=2, link_dp="1Gbit:100s")
        try:
            wait_until(lambda: all(" optimizer " in run([PROGRAM, "stat", str(pid)]).stdout for pid in job.ranks()) and len(job.ranks()) == 2,
                       "step")
            job.pids = sorted(job.ranks(), key=rank_of)
            job.number = number_of(job.pids[0])
            time.sleep(1)  # both have got their gradients, and sleep
            os.kill(job.pids[1], signal.SIGTERM)
            status = job.ends()
            expect(status == 128 + signal.SIGTERM, f"exit status {status}: {job.told()}")
        finally:
            job.kill()


@case
def a_signal_to_mpirun_saves_on_all_nodes_and_the_run_goes_on():
    """Ctrl-C is SIGINT. mpirun gives its ranks the time that it was told before it kills them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        with Place() as place:
            with started(place, (2, 2), options=["--mca", "odls_base_sigkill_timeout", "8"], dp_size=4) as job:
                job.mpirun.send_signal(number)
                status = job.ends()
                expect(status != 0, f"{number}: exit status 0: {job.told()}")
            stopped_and_resumed(place, job, status)


@case
def a_request_to_save_goes_through_mpirun_and_the_run_goes_on():
    with Place() as place, started(place, (2, 2), dp_size=4) as job:
        saved = [name for name in os.listdir(place.file("run")) if name.startswith("step_")]
        job.mpirun.send_signal(signal.SIGUSR1)
        wait_until(lambda: [name for name in os.listdir(place.file("run")) if name.startswith("step_")] != saved, "a checkpoint")
        steps = len(place.metrics())
        place.wait_for_step(steps + 2)


@case
def ranks_that_were_started_differently_or_have_other_data_are_told_before_the_first_step():
    with Place() as place:
        for settings, words in (("seed=1", "seed 0 -> 1"), ("model_dim=64", "model_dim 32 -> 64"), ("checkpoint_freq=3", "checkpoint_freq 0 -> 3")):
            line = on_nodes((1, 1), [PROGRAM, "train", place.config(dp_size=2)]) + [settings]  # of the second node
            done = run(line, env=MPI)
            expect(left_with(done, CONFIG) and f"dionode: rank 1 was started with other settings than rank 0 (there -> here): {words};"
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
            expect(left_with(done, DATA) and f"the ranks' {what} tokens are not the same" in done.stderr, f"{done.returncode} {done.stderr}")
        expect(not os.path.exists(place.file("run/metrics.jsonl")), "a step was made")


@case
def checkpoints_of_a_folder_that_the_first_node_has_alone_are_gathered_and_taken_up():
    if os.getuid() != 0:
        raise Skip("mounts of our own need root")
    settings = {"optimizer": "dion", "dp_size": 2, "num_iterations": 9, "checkpoint_keep": 9}
    with Place() as place:
        def in_folders_of_their_own(last, gather):  # each rank in mounts of its own
            config = place.config(checkpoint_gather=gather, stop_after=last, **settings)
            mounts = f"mount --bind {place.path}/of$DIONODE_NODE {place.file('run')} && exec {EXACT} train {config}"
            return run(on_nodes((1, 1), ["unshare", "-m", "sh", "-c", mounts]), env=MPI)

        for name in ("of0", "of1", "run"):
            os.mkdir(place.file(name))
        for last in (3, 6, 9):
            done = in_folders_of_their_own(last, True)
            expect(done.returncode == 0, f"{last}: {done.returncode} {done.stderr}")
            there = [name for name in sorted(os.listdir(place.file("of1"))) if name.startswith("step_")]
            wanted = [f"step_{step:08d}.safetensors" for step in range(3, last, 3)]  # those from which a run went on
            expect(there == wanted, f"the second node has {there}, not {wanted}")
            for name in there:
                with open(place.file(f"of0/{name}"), "rb") as a, open(place.file(f"of1/{name}"), "rb") as b:
                    expect(a.read() == b.read(), f"{name} is another file")
        done = run([EXACT, "train", "--np", "2", place.config(checkpoint_dir=place.file("one"), **settings)])
        expect(done.returncode == 0, done.stderr)
        same_losses(place.metrics("one"), place.metrics("of0"), "gathered")
        done = in_folders_of_their_own(9, False)
        expect(left_with(done, CHECKPOINT) and "is not the same folder on all nodes" in done.stderr, f"{done.returncode} {done.stderr}")


@case
def verify_and_bench_tell_too_that_ranks_were_started_differently():
    with Place() as place:
        verify = [PROGRAM, "verify", place.config(), "--mesh", "dp=2", "--steps"]
        bench = [PROGRAM, "bench", "comm", "--op", "barrier", "--triad", "64K", "-w", "0", "-n"]
        for command, option, extra, words in [(verify, "2", ["model_dim=64"], "other settings than rank 0 (there -> here): model_dim 32 -> 64"),
                                              (verify, "2", None, "other options than rank 0: '--mesh 2,1,1,1 --stages 0 --steps 3 "),
                                              (bench, "2", None, " -n 3 ")]:
            line = on_nodes((1, 1), [*command, option])
            line = [*line, *extra] if extra else [*line[:-1], "3"]  # of the second node
            done = run(line, env=MPI)
            expect(left_with(done, CONFIG) and "dionode: rank 1 was started with" in done.stderr and words in done.stderr,
                   f"{line}: {done.returncode} {done.stderr}")


@case
def topo_shows_nodes_ranks_and_what_messages_between_them_take():
    done = run(on_nodes((2, 1), [PROGRAM, "topo"]), env=MPI, limit_s=200)
    expect(done.returncode == 0, f"{done.returncode} {done.stdout} {done.stderr}")
    head, ranks, *tables = done.stdout.strip().split("\n\n")
    expect(head.startswith("nodes      2, of 3 ranks\nrails      1"), head)
    rows = [line.split() for line in ranks.splitlines()[1:]]
    expect([row[:3] for row in rows] == [[node, rank, os.uname().nodename] for node, rank in [("0", "0"), ("0", "1"), ("1", "2")]], ranks)
    expect(len(tables) == 2, done.stdout)
    for table in tables:  # the second node has one rank
        (a, b), (c, none) = [line.split()[1:] for line in table.splitlines()[2:]]
        expect(none == "-" and all(float(x) > 0 for x in (a, b, c)), table)
    done = run(on_nodes((1, 1), [PROGRAM, "topo", "--np", "2"]), env=MPI)
    expect(done.returncode != 0 and "shown as they are" in done.stderr, f"{done.returncode} {done.stderr}")


@case
def what_cannot_be_is_told_before_the_first_step():
    with Place() as place:
        done = train(place, (1, 1), dp_size=1, fs_size=2)
        expect(left_with(done, CONFIG) and "ranks 0 and 1 share weights" in done.stderr, f"{done.returncode} {done.stderr}")
        done = train(place, (1, 1), dp_size=1, pp_size=2)  # 8 sequences of 16 positions of 32 numbers, there and back
        expect(left_with(done, CONFIG) and "ranks 0 and 1 are stages of one replica" in done.stderr and " 32.8 kB of activations" in
               done.stderr, f"{done.returncode} {done.stderr}")
        config = place.config(dp_size=2)
        for told_to_second in [["-x", "DIONODE_NODE=one"], []]:
            line = on_nodes((1, 1), [PROGRAM, "train", config])
            at = line.index("DIONODE_NODE=1") - 1
            line[at:at + 2] = told_to_second
            done = run(line, env=dict(MPI, DIONODE_TRANSPORT="mpi"))
            expect(left_with(done, CONFIG) and "or none of them" in done.stderr, f"{done.returncode} {done.stderr}")
        done = run(on_nodes((1, 1), [PROGRAM, "train", "--np", "2", config]), env=MPI)
        expect(left_with(done, CONFIG) and "another launcher has started the ranks" in done.stderr, f"{done.returncode} {done.stderr}")


tap()
