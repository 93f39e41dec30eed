"""Whole runs of strategies whose replicas step alone: against one worker where nothing is lost, resumed
against uninterrupted, the consensus in checkpoints and validation, bytes against the formula, keys that contradict."""
import json
import os
import re
import shutil
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, Place, case, expect, lossless, of_replicas, rules, run, tap, tensors, PROGRAM  # noqa: E402

DOUBLE = "f64" in os.path.basename(PROGRAM)
BOUND = 1e-11 if DOUBLE else 1e-4  # as train_runs.py
REAL_BYTES = 8 if DOUBLE else 4
ALL = of_replicas()
PAIRS = ("noloco",)  # never equal, and more than two replicas are not one worker
OUTER = {"outer_lr": 0.7, "outer_momentum": 0.9}
VERIFY = os.path.join(os.path.dirname(__file__), "..", "..", "configs", "verify.yaml")


def trained(place, name, np, **changes):
    done = place.train(np=np, checkpoint_dir=place.file(name), **changes)
    expect(done.returncode == 0, f"{name}: {done.stderr}")
    return [m["loss"] for m in place.metrics(name)]


def worst_of(one, many):
    return max(abs(a - b) / abs(a) for a, b in zip(one, many))


def wire(changes):
    return "coded" if changes.get("wire") else "delta"


def numbers(data):
    return struct.unpack(f"<{len(data) // REAL_BYTES}{'d' if DOUBLE else 'f'}", data)


def stored(place, name, step=20):
    return tensors(place.checkpoint(step, name))


@case
def lossless_settings_train_as_one_worker():
    for strategy in ALL:
        with Place() as place:
            changes = {"strategy": strategy, **lossless(VERIFY, strategy)}
            one = trained(place, "one", 1, **changes)
            expect(one[0] != one[-1], "nothing was learned")
            meshes = ((4, {"dp_size": 2, "fs_size": 2}), (2, {}), (6, {"dp_size": 3, "tp_size": 2}))
            for np, mesh in meshes[:1 if not FULL else 2 if strategy in PAIRS else 3]:
                many = trained(place, f"on{np}", np, **changes, **mesh)
                expect(len(many) == 20 and worst_of(one, many) < BOUND,
                       f"{strategy} on {np}: losses differ by {worst_of(one, many):.1e}, bound {BOUND:.0e}")
                compared = all("weights_hash" in m for m in place.metrics(f"on{np}"))
                expect(compared or strategy in PAIRS, f"{strategy}: weights were not compared")


@case
def how_a_replica_is_cut_changes_nothing_between_exchanges_either():
    """Against replicas of one worker each: other settings than the lossless ones, with a rule that makes no more of rounding than
    it is. Who looks at blocks as they are cut says so."""
    own = {"diloco": OUTER, "streaming": {**OUTER, "fragments": 2, "overlap": 2}, "cyclic": {"cycle_amplitude": 0.3, "cycles": 2},
           "fda": {"variance_threshold": 0.5}, "daso": {"across_every": 4, "across_wait": 2}, "replicators": {"demo_update": "plain"}}
    said = {"sparseloco": "tiles", "demo": "tiles", "dynthresh": "thresholds", "powersgd": "factors"}

    def verified(strategy, *more, **changes):
        keys = {"strategy": strategy, "optimizer": "sgd", "scalar_opt": "sgd", "lr": 0.1, "sync_every": 4, **own.get(strategy, {}), **changes}
        return run([PROGRAM, "verify", VERIFY, "-n", "8" if FULL else "4", "--steps", "9", "--precision", "double" if DOUBLE else "float",
                    *more, *(f"{key}={value}" for key, value in keys.items())])

    for strategy in ALL if FULL else ("streaming", "demo"):
        done = verified(strategy, "--reference", "dp")
        if strategy in said:
            expect(done.returncode == 2 and f"{said[strategy]} are those of a rank's block" in done.stderr, f"{strategy}: {done.stderr}")
        else:
            expect(done.returncode == 0, f"{strategy}: {done.stderr}{done.stdout}")
            expect(verified(strategy).returncode == 2, f"{strategy}: is one rank's under these settings")
    for more, words in (({"wire": "fp4"}, "numbers that share a scale"), ({"wire": "bf16"}, None)):
        done = verified("streaming", "--reference", "dp", **more)
        expect(done.returncode == (2 if words else 0) and (words or "") in done.stderr, f"{more}: {done.returncode}, {done.stderr}")
    done = verified("streaming", "--reference", "dp", "--inject", "late-apply")
    expect(done.returncode == 9, f"late-apply: {done.returncode}, {done.stderr}{done.stdout}")


@case
def every_rule_steps_inside_of_a_replica_however_that_is_cut():
    """Against replicas of one worker each, after one exchange and between two."""
    for rule in rules() if FULL else ():
        keys = {"strategy": "local_sgd", "sync_every": 3, "optimizer": rule, "scalar_opt": "adamw", "lr": 0.02}
        done = run([PROGRAM, "verify", VERIFY, "-n", "8", "--mesh", "dp=2,fs=2,tp=2", "--reference", "dp", "--steps", "5", "--precision",
                    "double" if DOUBLE else "float", *(f"{key}={value}" for key, value in keys.items())])
        expect(done.returncode == 0, f"{rule}: {done.returncode}, {done.stderr}{done.stdout}")


@case
def replicas_differ_between_exchanges_and_the_checkpoint_holds_each_and_their_mean():
    with Place() as place:
        trained(place, "run", 3, strategy="local_sgd", sync_every=6, optimizer="muon", dp_size=3)
        for m in place.metrics("run"):
            expect(("weights_hash" in m) == (m["step"] % 6 == 0), f"step {m['step']}: weights_hash {m.get('weights_hash')}")
        file = stored(place, "run")
        names = [name for name in file if name.startswith("transformer.") and ".replica" not in name]
        expect(names, f"no parameters among {sorted(file)}")
        for name in names:
            replicas = [numbers(file[f"{name}.replica{k}"]) for k in range(3)]
            mean = [sum(x) / 3 for x in zip(*replicas)]
            worst = max(abs(a - b) for a, b in zip(mean, numbers(file[name])))
            expect(worst < (1e-15 if DOUBLE else 1e-6), f"{name}: the mean is {worst:.1e} off")
            expect(replicas[0] != replicas[1] != replicas[2], f"{name}: replicas are equal")
        trained(place, "even", 3, strategy="local_sgd", sync_every=10, optimizer="muon", dp_size=3)
        expect(not any(name.startswith("transformer.") and ".replica" in name for name in stored(place, "even")),
               "replicas that are equal were written one by one")


@case
def stopped_between_exchanges_a_run_goes_on_bit_for_bit():
    for strategy, changes in (("diloco", {"optimizer": "adamw", "lr": 0.002, **OUTER}),
                              ("local_sgd", {"optimizer": "muon", "state_precision": "bfloat16"}),
                              ("diloco", {"optimizer": "dion", "fs_size": 2, "dp_size": 2}))[:3 if FULL else 2]:
        with Place() as place:
            np = 4 if "fs_size" in changes else 2
            changes = {"strategy": strategy, "sync_every": 5, "val_tokens": 256, "val_loss_every": 4, **changes}
            whole = trained(place, "whole", np, **changes)
            trained(place, "parts", np, stop_after=8, **changes)
            expect(trained(place, "parts", np, **changes) == whole, f"{changes}: losses differ")
            expect(stored(place, "parts") == stored(place, "whole"), f"{changes}: states differ")
            a, b = ([m.get("val_loss") for m in place.metrics(name)] for name in ("whole", "parts"))
            expect(a == b and sum(x is not None for x in a) == 5, f"{changes}: validation losses {a} and {b}")


@case
def stopped_with_messages_in_flight_and_states_of_all_kinds_a_run_goes_on_bit_for_bit():
    """Step 8 lies between begin (step 7) and end (step 10) of the second fragment's exchange."""
    flying = {"strategy": "streaming", "sync_every": 5, "fragments": 2, "overlap": 3, "optimizer": "adamw", "lr": 0.002}
    runs = [{**flying, "wire": "fp4"}, flying, {"strategy": "powersgd", "optimizer": "adamw", "lr": 0.002},
            {"strategy": "fda", "variance_threshold": 0.5, "optimizer": "sgd", "lr": 0.1},
            {"strategy": "noloco", "sync_every": 3, "optimizer": "sgd"},
            {"strategy": "daso", "across_every": 4, "across_wait": 2, "plateau_every": 2, "optimizer": "adamw", "lr": 0.002},
            {"strategy": "desloc", "sync_every": 2, "optimizer": "adamw", "lr": 0.002},
            {"strategy": "replicators", "lr": 0.002}, {"strategy": "demo", "wire": "sign", "lr": 0.002},
            {"strategy": "dynthresh", "threshold_quantile": 0.9, "threshold_every": 6, "optimizer": "adamw", "lr": 0.002},
            {"strategy": "sparseloco", "sync_every": 3, "wire": "int2", "optimizer": "adamw", "lr": 0.002}]
    for changes in runs if FULL else runs[:3] + [c for c in runs if c["strategy"] == "daso"]:
        with Place() as place:
            mesh = {"dp_size": 2, "fs_size": 2}
            whole = trained(place, "whole", 4, **changes, **mesh)
            trained(place, "parts", 4, stop_after=8, **changes, **mesh)
            begun = {"streaming": "streaming.delta.6.", "daso": "daso.across.7."}.get(changes["strategy"])
            names = [name for name in stored(place, "parts", 8) if begun and name.startswith(begun.replace("delta", wire(changes)))]
            expect((len(names) > 0) == (begun is not None), f"{changes}: in flight are {names}")
            expect(trained(place, "parts", 4, **changes, **mesh) == whole, f"{changes}: losses differ")
            expect(stored(place, "parts") == stored(place, "whole"), f"{changes}: states differ")


@case
def messages_in_flight_arrive_when_a_run_goes_on_with_less_overlap():
    """What began in step 7 was to end in step 10: with overlap 1 it is late, and ends in step 9. An exchange alone moves anchors."""
    with Place() as place:
        changes = {"strategy": "streaming", "sync_every": 5, "fragments": 2, "optimizer": "sgd", "lr": 0.1}
        trained(place, "run", 2, overlap=3, stop_after=8, **changes)
        before = stored(place, "run", 8)
        flying = sorted(name[len("streaming.delta.6."):-len(".replica0")] for name in before
                        if name.startswith("streaming.delta.6.") and name.endswith(".replica0"))
        trained(place, "run", 2, overlap=1, stop_after=9, **changes)
        after = stored(place, "run", 9)
        moved = sorted(name[len("streaming.anchor."):] for name in before
                       if name.startswith("streaming.anchor.") and before[name] != after[name])
        expect(flying and moved == flying, f"in flight were {flying}, anchors moved of {moved}")
        expect(not any(name.startswith("streaming.delta.6.") for name in after), "it is still in flight")


@case
def killed_it_goes_on_bit_for_bit():
    """With overlap 6 of 7 steps something is in flight at every checkpoint but those of steps 6, 13, ..."""
    for changes in ({"strategy": "streaming", "optimizer": "adamw", "lr": 0.002, "sync_every": 7, "overlap": 6, "wire": "fp4"},
                    {"strategy": "diloco", "optimizer": "muon", "sync_every": 30, **OUTER})[:2 if FULL else 1]:
        with Place() as place:
            changes = {**changes, "num_iterations": 120}
            whole = trained(place, "whole", 2, **changes)
            worker = place.start(np=2, checkpoint_freq=5, **changes)
            place.wait_for_step(20)
            worker.send_signal(signal.SIGKILL)
            worker.communicate()
            saved = [int(name[5:13]) for name in os.listdir(place.file("run")) if name.startswith("step_")]
            if changes["strategy"] == "streaming":
                flying = [name for name in stored(place, "run", max(saved)) if name.startswith("streaming.coded.")]
                expect(flying or max(saved) % 7 == 6, f"nothing was in flight after step {max(saved)}")
            expect(trained(place, "run", 2, checkpoint_freq=5, **changes) == whole, "losses differ")
            expect(stored(place, "run", 120) == stored(place, "whole", 120), "states differ")


@case
def validation_is_of_the_consensus_as_eval_is():
    with Place() as place:
        changes = {"strategy": "local_sgd", "sync_every": 7, "optimizer": "adamw", "lr": 0.01}
        losses = trained(place, "run", 2, val_tokens=960, val_loss_every=4, **changes)
        expect(losses == trained(place, "unseen", 2, **changes), "validation has changed the run")
        told = place.metrics("run")[-1]["val_loss"]
        done = run([PROGRAM, "eval", place.file("run")])
        expect(done.returncode == 0, done.stderr)
        found = [float(word) for word in done.stdout.replace(",", " ").split() if word.replace(".", "", 1).isdigit()]
        expect(any(abs(x - told) < 1e-4 for x in found), f"validation loss {told}, eval says {done.stdout}")


@case
def a_save_that_is_asked_for_between_exchanges_changes_nothing():
    """Steps of many micro-batches: it is asked for in the middle of one."""
    with Place() as place:
        changes = {"strategy": "diloco", "sync_every": 8, "optimizer": "muon", "num_iterations": 4, "batch_size": 3000,
                   "device_batch_size": 1, **OUTER}
        whole = trained(place, "whole", 2, **changes)
        launcher = place.start(np=2, checkpoint_keep=100, **changes)
        place.wait_for_step(1)
        launcher.send_signal(signal.SIGUSR1)
        _, said = launcher.communicate(timeout=90)
        expect(launcher.returncode == 0, said)
        expect([m["loss"] for m in place.metrics("run")] == whole, "it changed the run")
        saved = sorted(name for name in os.listdir(place.file("run")) if name.startswith("step_"))
        expect(len(saved) == 2, f"saved are {saved}: {said}")
        os.unlink(place.file("run/" + saved[-1]))  # from the one that was asked for
        expect(trained(place, "run", 2, **changes) == whole, "losses differ")
        expect(stored(place, "run", 4) == stored(place, "whole", 4), "states differ")


@case
def other_numbers_of_replicas_and_other_strategies_go_on_from_the_consensus():
    with Place() as place:
        changes = {"sync_every": 6, "optimizer": "adamw", "lr": 0.002}
        trained(place, "saved", 2, strategy="diloco", stop_after=9, dp_size=2, **changes, **OUTER)
        consensus = stored(place, "saved", 9)
        for number, (np, other) in enumerate(((3, {"strategy": "diloco"}), (2, {"strategy": "average"}), (1, {}),
                                              (2, {"strategy": "local_sgd"}))):
            name = f"on{number}"
            shutil.copytree(place.file("saved"), place.file(name))
            trained(place, name, np, **{**changes, **other})
            expect(len(place.metrics(name)) == 20, f"{other}: {len(place.metrics(name))} steps")
        # From average to diloco: it begins at the weights as they are.
        trained(place, "plain", 2, strategy="average", stop_after=9, **changes)
        trained(place, "plain", 2, strategy="diloco", stop_after=10, **changes)
        before, after = stored(place, "plain", 9), stored(place, "plain", 10)
        name = next(name for name in before if name.startswith("transformer."))
        expect(after[f"diloco.anchor.{name}"] == before[name], "the anchor is not where diloco began")
        expect(f"{name}.replica0" in consensus, "replicas of the first run were not apart")


@case
def an_exchange_moves_the_bytes_of_the_formula():
    with Place() as place:
        for strategy in ("local_sgd", "diloco"):
            trained(place, strategy, 2, strategy=strategy, sync_every=5, optimizer="sgd")
            data = place.checkpoint(20, strategy)
            n = struct.unpack("<Q", data[:8])[0]
            header = json.loads(data[8:8 + n])
            shapes = [entry["shape"] for name, entry in header.items()
                      if name.startswith(("transformer.", "lm_head."))]
            wanted = 0
            for shape in shapes:  # what is reduced, and the first replica's share of the rows, which is gathered
                rows, cols = shape[0], shape[1] if len(shape) > 1 else 1
                wanted += (rows + (rows + 1) // 2) * cols * REAL_BYTES
            for m in place.metrics(strategy):
                expect(m["bytes_dp"] == (wanted if m["step"] % 5 == 0 else 0),
                       f"{strategy}, step {m['step']}: {m['bytes_dp']} bytes, {wanted} in exchanges")
                expect(m["bytes_gradients"] == 0, "gradients were exchanged")


def entries_bytes(shape, density, tile_rows, padded):
    """Of a parameter, in tiles of so many rows and 64 columns: 16-bit indices, numbers, each a multiple of 8 bytes."""
    rows, cols = shape
    if not padded:
        tile_rows = min(tile_rows, rows)
    width = 64 if padded else min(64, cols)
    tiles = -(-rows // tile_rows) * -(-cols // 64)
    entries = tiles * -(-density * tile_rows * width // 4096)
    return -(-2 * entries // 8) * 8 + -(-REAL_BYTES * entries // 8) * 8


@case
def the_largest_entries_move_the_bytes_of_the_formula():
    """density: of 4096."""
    with Place() as place:
        for strategy, every, changes in (("demo", 1, {"demo_topk": 48}), ("sparseloco", 5, {"density": 48 / 4096, "sync_every": 5})):
            trained(place, strategy, 3, strategy=strategy, **changes)
            data = place.checkpoint(20, strategy)
            header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
            shapes = {name: x["shape"] for name, x in header.items() if name.startswith(("transformer.", "lm_head."))}
            runs = ("transformer.wte.", "lm_head.") if strategy == "demo" else ()
            wanted = sum(entries_bytes(shape, 48, 1 if name.startswith(runs) else 64, strategy == "demo")
                         for name, shape in shapes.items())
            for m in place.metrics(strategy):
                moved = m["bytes_dp"]
                expect(moved == (wanted if m["step"] % every == 0 else 0),
                       f"{strategy}, step {m['step']}: {moved} bytes, {wanted} in exchanges")


@case
def islands_exchange_a_share_of_the_weights_across_when_it_is_due():
    """Of the first worker: an exchange begins every fifth step and ends two steps later."""
    with Place() as place:
        changes = {"strategy": "daso", "islands": 2, "across_every": 5, "across_wait": 2, "optimizer": "sgd"}
        trained(place, "run", 4, **changes)
        data = place.checkpoint(20, "run")
        header = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
        shapes = [entry["shape"] for name, entry in header.items()
                  if name.startswith(("transformer.", "lm_head.")) and ".replica" not in name]
        gradients = inside = across = 0
        for shape in shapes:
            rows, row = shape[0], (shape[1] if len(shape) > 1 else 1) * REAL_BYTES
            half, quarter = (rows + 1) // 2, ((rows + 1) // 2 + 1) // 2
            gradients += (rows + half) * row
            inside += half * row
            across += (half + quarter) * row
        for m in place.metrics("run"):
            due = m["step"] in (7, 12, 17)
            expect(m["bytes_across"] == (across if due else 0), f"step {m['step']}: {m['bytes_across']} bytes, {across} in exchanges")
            wanted = gradients + (inside + across if due else 0)
            expect(m["bytes_dp"] == wanted, f"step {m['step']}: {m['bytes_dp']} bytes over dp, not {wanted}")
            expect(m["hops_across"] == (2 if due else 0), f"step {m['step']}: {m['hops_across']} hops")
        changes["across_wait"] = 0
        plain = trained(place, "plain", 4, **changes)
        slow = trained(place, "slow", 4, link_across="1Gbit:50ms", **changes)
        expect(plain == slow, "the emulated link changed numbers")
        for m in place.metrics("slow"):
            expect((m["link_s"] > 0) == (m["step"] % 5 == 0), f"step {m['step']}: {m['link_s']} s on the link")


@case
def islands_by_domains_are_those_of_the_workers_places():
    """On a machine of two domains, and on one."""
    with Place() as place:
        changes = {"strategy": "daso", "across_every": 3, "optimizer": "sgd", "num_iterations": 8}
        for domains, n in ((2, 2), (1, 1))[:2 if FULL else 1]:
            os.environ["HWLOC_SYNTHETIC"] = f"pack:{domains} [numa] core:4 pu:1"
            try:
                by_domains = trained(place, f"numa{n}", 4, islands="numa", **changes)
                expect(by_domains == trained(place, f"by{n}", 4, islands=n, **changes), f"{domains} domains: losses differ")
                expect(stored(place, f"numa{n}", 8) == stored(place, f"by{n}", 8), f"{domains} domains: states differ")
                if n > 1:
                    done = place.train(np=3, islands="numa", **changes)
                    expect(done.returncode == 2 and "islands numa: 3 replicas" in done.stderr, f"{done.returncode}, {done.stderr}")
            finally:
                del os.environ["HWLOC_SYNTHETIC"]


@case
def average_and_factors_are_what_replicate_mesh_grad_sync_says():
    with Place() as place:
        for strategy, sync in (("factors", True), ("average", False)):
            told = trained(place, strategy, 2, strategy=strategy)
            expect(told == trained(place, f"as_{strategy}", 2, replicate_mesh_grad_sync=sync), f"{strategy}: losses differ")
            expect(stored(place, strategy) == stored(place, f"as_{strategy}"), f"{strategy}: states differ")


WIDE = {"model_dim": 128, "n_layer": 1, "num_iterations": 2, "lr": 0.002, "replicate_mesh_grad_sync": "auto"}
FEW, MANY = {"batch_size": 12}, {"batch_size": 160, "device_batch_size": 64}  # below and above a step of which factors are 1 %


def said_of_replicas(done):
    expect(done.returncode == 0, done.stderr)
    lines = [line for line in done.stderr.splitlines() if line.startswith("replicas  exchange ")]
    expect(len(lines) == 1, f"{lines} in {done.stderr}")
    return lines[0]


def exchanged_factors(place, name):
    """Of the step that came last. Dion's own exchange goes on where gradients are averaged, but less of P and R is in it."""
    matrices = [(128, 128)] * 4 + [(512, 128), (128, 512)]
    both = sum((m + n) * min(m, n) // 4 for m, n in matrices) * (8 if DOUBLE else 4)
    return place.metrics(name)[-1]["bytes_factors"] == both


@case
def auto_chooses_by_the_batch_and_a_resumed_run_keeps_what_it_chose():
    """With another batch, on other meshes, each of which would now choose otherwise: on all ranks, or their collectives would not
    meet."""
    with Place() as place:
        for name, begin, other, chosen, sync in (("few", FEW, MANY, "whole gradients", False),
                                                 ("many", MANY, FEW, "low-rank factors", True)):
            def go_on(np, dir, **changes):
                return place.train(np, checkpoint_dir=place.file(dir), **WIDE | changes)

            said = said_of_replicas(go_on(2, name, **begin))
            rest = "whole gradients" if sync else "low-rank factors"
            times = re.fullmatch(rf"replicas  exchange {chosen}: predicted (\S+) s a step, with {rest} (\S+) s \(of workers of "
                                 r"345 GFLOP/s\)", said)
            expect(times, said)
            factors, gradients = (float(times.group(k)) for k in ((1, 2) if sync else (2, 1)))
            expect((factors <= 1.01 * gradients) == sync, said)
            expect(exchanged_factors(place, name) == sync, f"{place.metrics(name)[-1]}")
            explicit = go_on(2, name + "_said", **begin, replicate_mesh_grad_sync=sync)
            expect("replicas  exchange" not in explicit.stderr, f"nothing was left to choose: {explicit.stderr}")
            expect(stored(place, name, 2) == stored(place, name + "_said", 2), f"{name}: auto is not {sync}")
            for np, mesh in ((2, {}), (4, {"dp_size": 2, "fs_size": 2}), (3, {}))[:3 if FULL else 2]:
                moved = f"{name}{np}"
                shutil.copytree(place.file(name), place.file(moved))
                said = said_of_replicas(go_on(np, moved, **other, **mesh, num_iterations=3))
                expect(f"exchange {chosen}, as the checkpoint says" in said, said)
                expect("which would not be chosen now" in said or np != 2, said)
                expect(np == 4 or exchanged_factors(place, moved) == sync, f"{place.metrics(moved)[-1]}")
                shutil.rmtree(place.file(moved))


@case
def auto_chooses_by_the_link():
    with Place() as place:
        said = said_of_replicas(place.train(2, **WIDE | FEW, link_dp="1Gbit:10us"))
        expect("exchange low-rank factors:" in said, said)


@case
def verify_refuses_what_is_not_one_rank():
    for strategy in ALL:
        done = run([PROGRAM, "verify", VERIFY, "-n", "4", "--steps", "5", "--precision", "double" if DOUBLE else "float",
                    f"strategy={strategy}", *(f"{key}={value}" for key, value in lossless(VERIFY, strategy).items())])
        expect(done.returncode == 0, f"{strategy}: {done.stderr}{done.stdout}")


@case
def keys_that_contradict_each_other_are_refused():
    with Place() as place:
        for changes, words in (({"strategy": "factors", "replicate_mesh_grad_sync": False}, "contradict"),
                               ({"strategy": "factors", "optimizer": "muon"}, 
                                "strategy factors: rule muon has no low-rank factors to exchange; use strategy average"),
                               ({"strategy": "daso", "islands": 3}, "islands 3: 2 replicas"),
                               ({"strategy": "daso", "across_wait": 5}, "across_wait 5"),
                               ({"strategy": "locl_sgd"}, "not one of")):
            done = place.train(np=2, **changes)
            expect(done.returncode == 2 and words in done.stderr, f"{changes}: {done.returncode}, {done.stderr}")


tap()
