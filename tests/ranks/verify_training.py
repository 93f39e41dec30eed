"""`dionode verify`: holds for everything there is, on every mesh, and notices every bug that can be planted."""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, alive, assignments, case, children, choices, expect, lossless, mixed_precision, of_clients, of_replicas, rules, run, tap  # noqa: E402

CONFIG = os.environ["CONFIG"]
# Every mesh of eight ranks in the long run, of four in the short one, where settings are tried on one that has all axes.
RANKS = 8 if FULL else 4
ALL_AXES = ["--mesh", "dp=2,fs=2,tp=2"]
# Under sanitizers the short run has no program in double.
SANITIZED = os.environ["SANITIZED"] != ""
# Sanitizers see every mesh by default settings, and every setting on some; the plain long run has all of both.
THOROUGH = FULL and not SANITIZED
PRECISIONS = ["float"] if SANITIZED and not FULL else ["double", "float"]
BOTH = ["--precision", "both" if len(PRECISIONS) == 2 else "float"]
TIGHT = ["--precision", PRECISIONS[0]]
STEPS = ["--steps", "5"] if SANITIZED else []  # unless they are asked for
CONFIGURATION, IO, NUMERIC, UNCAUGHT = 2, 5, 9, 11
MESHES = [(dp, fs, tp) for dp in range(1, RANKS + 1) for fs in range(1, RANKS + 1) for tp in range(1, RANKS + 1)
          if dp * fs * tp <= RANKS]
TOLERANCE = {"float": 1e-4, "double": 1e-12}


def verify(*arguments, ranks=RANKS, env=None):
    return run([PROGRAM, "verify", CONFIG, "-n", str(ranks), *STEPS, *arguments], limit_s=1200,
               env={**os.environ, **(env or {})})


def verified(*arguments, ranks=RANKS):
    """What the JSON of a run says that ends well."""
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        path = os.path.join(folder, "all.json")
        done = verify("--json", path, *arguments, ranks=ranks)
        expect(done.returncode == 0, f"{arguments}: exit status {done.returncode}: {done.stdout[-3000:]}{done.stderr}")
        expect(os.listdir(folder) == ["all.json"], f"{os.listdir(folder)}")
        with open(path) as file:
            return json.load(file)


def findings(mesh, kind):
    return [(line["line"], found) for line in mesh["lines"] if line["kind"] == kind for found in line["findings"]]


def expect_within_tolerance(report, what):
    """The fixed tolerance, whatever rounding may do; in float with the batch of eight ranks, for which the model's
    seed was chosen. Q in float after the first step is left to verify's own bound (ten times what a last bit of the weights
    does): by then columns have turned towards each other whose singular values are close."""
    for precision, all_meshes in report.items():
        if precision == "float" and not FULL:
            continue
        for mesh in all_meshes["meshes"][1:]:
            for line, found in findings(mesh, "difference"):
                if found["name"].startswith("dion.q.") and precision == "float" and line != "Q, 1 step":
                    continue
                expect(found["difference"] <= TOLERANCE[precision],
                       f"{what}, {precision}, {mesh['dp']} x {mesh['fs']} x {mesh['tp']}, {line}: {found}")


@case
def every_mesh_holds_in_both_precisions_and_the_file_has_all_of_it():
    report = verified(*BOTH, "--steps", "20")
    expect(sorted(report) == PRECISIONS, f"{sorted(report)}")
    expect_within_tolerance(report, "default")
    for precision in report.values():
        meshes = precision["meshes"]
        expect({(m["dp"], m["fs"], m["tp"]) for m in meshes} == set(MESHES) and len(meshes) == len(MESHES), "meshes")
        for mesh in meshes:
            lines = {line["line"] for line in mesh["lines"]}
            for what in ("gradient", "weights", "momentum", "Q", "second moment"):
                expect({f"{what}, 1 step", f"{what}, 20 steps"} <= lines, f"{lines}")
            expect({"loss", "replicas", "coverage", "memory a rank"} <= lines, f"{lines}")
            expect(sum(line == "loss" for line, _ in findings(mesh, "difference")) == 20, "a loss a step")


@case
def heads_that_are_split_hold_on_every_mesh():
    for sync in ("true", "false"):
        report = verified(*BOTH, "split_heads=true", f"replicate_mesh_grad_sync={sync}", "--steps", "5")
        expect_within_tolerance(report, "split heads")
        tensors = {found["name"] for line, found in findings(report[PRECISIONS[0]]["meshes"][-1], "difference")
                   if line.startswith("Q")}
        expect(any(".attn.c_q.weight." in tensor for tensor in tensors), f"{tensors}")
    for rule in ("muon", "normuon", "dion2", "dion3"):
        where = BOTH if THOROUGH else TIGHT + ALL_AXES
        expect_within_tolerance(verified(*where, "split_heads=true", f"optimizer={rule}", "--steps", "5"), rule)


@case
def bytes_are_shown_by_axis_and_collective_beside_the_formula_and_a_cluster():
    ways = {"dp": (2, 1, 1), "fs": (1, 2, 1), "tp": (1, 1, 2)}
    meshes = verified("--precision", "float", ranks=2)["float"]["meshes"]
    for mesh in meshes[1:]:
        counted = findings(mesh, "bytes")
        axes = {line.split()[0] for line, _ in counted}
        expect(axes == {axis for axis, size in ways.items() if size == (mesh["dp"], mesh["fs"], mesh["tp"])}, f"{axes}")
        for line, found in counted:
            whole = {"all-reduce": 1, "reduce-scatter": 0.5}.get(line.split()[1])  # (P-1)/P of it, twice or once
            expect(found["bytes"] == found["formula"] > 0, f"{line}: {found}")
            expect(whole is None or found["cluster"] == whole * found["bytes"], f"{line}: {found}")


STAGED = ["n_layer=6", "batch_size=8"]  # eight units, so that there can be eight stages


def count(meshes):
    return sum(1 for mesh in meshes for pp in range(1, RANKS + 1) if mesh[0] * mesh[1] * mesh[2] * pp <= RANKS)


@case
def stages_of_a_pipeline_hold_on_every_mesh_with_dion_and_adamw():
    for setting in (["optimizer=dion"], ["optimizer=adamw"]) if THOROUGH else (["optimizer=dion"],):
        report = verified(*TIGHT, "--stages", str(RANKS), "--steps", "3", *STAGED, *setting)
        meshes = report[PRECISIONS[0]]["meshes"]
        expect(len(meshes) == count(MESHES), f"{len(meshes)} meshes of {count(MESHES)}")
        expect_within_tolerance(report, f"stages, {setting}")
        for mesh in meshes[1:]:
            sent = [found for line, found in findings(mesh, "bytes") if line == "pp sent"]
            expect(bool(sent) == (mesh["pp"] > 1), f"{mesh['pp']} stages: {sent}")


@case
def stages_hold_with_every_rule_and_architecture_and_tied_heads():
    short = [("dp=2,pp=2", ["architecture=gemma"]), ("pp=3", ["architecture=mlp", "optimizer=muon", "link_pp=1Gbit:1ms,8Gbit:1ms"]),
             ("pp=2,fs=2,tp=2", ["tie_embeddings=true", "vocab_size=1000"]),  # a last stage of the head alone
             ("pp=3", ["architecture=llama", "lora_rank=2", "optimizer=adamw"]), ("pp=2", ["tie_embeddings=true", "device=fake"]),
             ("pp=2", ["trainable=['*.1.*', '*.4.*']"])]  # a stage behind another goes back through layers that it does not train
    places = ["dp=2,pp=2", "pp=3", "pp=2,fs=2,tp=2", "pp=8", "dp=2,pp=4", "pp=4,tp=2", "pp=2,fs=4", "dp=3,pp=2"]
    settings = [[f"optimizer={rule}"] for rule in rules()] + [[f"architecture={name}"] for name in choices("architecture")]
    settings += [["optimizer=muon", "split_heads=true"], ["tie_embeddings=true"], ["trainable=['*.1.*', '*.4.*']"]]
    long = [(place, setting) for i, setting in enumerate(settings) for k, place in enumerate(places) if THOROUGH or i % len(places) == k]
    for place, setting in short + (long if FULL else []):
        report = verified(*TIGHT, "--steps", "3", *STAGED, *setting, "--mesh", place, ranks=8)
        if not any(name in s for s in setting for name in ("gpt2", "qwen2", "gpt_neox")):  # biases of keys have gradients that are nothing but rounding
            expect_within_tolerance(report, f"{place}, {setting}")


@case
def what_channels_keep_is_the_same_function_on_one_rank_and_on_stages():
    if PRECISIONS[0] != "double":  # in float a rounding may choose another of two numbers
        return
    for place, setting in [("dp=2,pp=2,tp=2", ["channel=threshold", "channel_quantile=0.8"]),
                           ("pp=4,fs=2", ["channel=topk", "channel_ratio=4", "link_pp=1Gbit:0ms,2Gbit:0ms,1Gbit:1ms", "tie_embeddings=true"])]:
        report = verified(*TIGHT, "--steps", "3", *STAGED, *setting, "--mesh", place, ranks=8)
        expect_within_tolerance(report, f"{place}, {setting}")


@case
def asynchronous_stages_are_one_rank_with_weights_as_old_in_each_of_them():
    if PRECISIONS[0] != "double":  # in float an update's rounding is what old and new weights differ by
        return
    short = [("pp=2,fs=2", ["device_batch_size=4"])]
    full = [("dp=2,pp=4", ["device_batch_size=1"]), ("pp=8", ["optimizer=muon"]), ("pp=3,fs=2", ["optimizer=adamw", "fs_gather=per_rank"]), ("pp=2,fs=2,tp=2", ["device_batch_size=8"]),
            ("dp=2,pp=3", ["architecture=llama", "device_batch_size=4"]), ("pp=4,tp=2", ["architecture=mistral", "optimizer=sgd"]),
            ("dp=2,pp=2,tp=2", ["channel=threshold", "channel_quantile=0.8", "link_pp=1Gbit:1ms"]), ("pp=4,fs=2", ["fs_gather=per_domain", "device_batch_size=1"]),
            ("dp=2,pp=4", ["strategy=local_sgd", "sync_every=2", "--reference", "dp"]), ("pp=3", ["trainable=['*.1.*', '*.4.*']"]), ("pp=3", ["device=fake"])]
    for place, setting in short + (full if FULL else []):
        report = verified(*TIGHT, "--steps", "6", *STAGED, "pipeline=async", *setting, "--mesh", place, ranks=8)
        expect_within_tolerance(report, f"{place}, {setting}")
    for options in ([["--stages", "8", "--steps", "1"], ["--steps", "3"]] if FULL else []):  # one step; one stage
        verified(*TIGHT, *options, *STAGED, "pipeline=async", ranks=8)
    for words, options in [("compare with one --mesh", ["--stages", "2"]), ("of another age", ["--mesh", "pp=2", "tie_embeddings=true"])]:
        done = verify("pipeline=async", *options)
        expect(done.returncode == 2 and words in done.stderr, f"{done.returncode}: {done.stderr}")


@case
def replicas_of_stages_exchange_by_every_strategy_that_can():
    names = [name for name in of_replicas() if name not in ("streaming", "fda", "daso", "powersgd", "replicators")]
    for name in names if FULL else ["diloco", "dynthresh"]:
        for place in ["dp=2,pp=2", "dp=2,pp=2,tp=2", "dp=2,pp=4"] if THOROUGH else ["dp=2,pp=2"]:
            verified(*TIGHT, "--steps", "3", *STAGED, f"strategy={name}", *assignments(lossless(CONFIG, name)), "--mesh", place, ranks=8)


@case
def every_optimizer_method_and_rank_holds():
    settings = [[f"qr_method={method}"] for method in ("qr", "cqr", "rcqr")]
    settings += [[f"ortho_fraction={fraction}"] for fraction in (1, 0.5, 0.125, 0.0625)]
    settings += [["replicate_mesh_grad_sync=false"], ["power_iters=2"], ["momentum_sync_every=1"],
                 ["fs_gather=per_rank"], ["fs_gather=per_domain"], ["scalar_opt=lion"],
                 ["optimizer=adamw"], ["optimizer=lion", "scalar_opt=lion"], ["optimizer=sgd", "nesterov=true"],
                 ["optimizer=muon", "nesterov=true", "newton_schulz=keller", "adjust_lr=rms_norm"],
                 ["optimizer=normuon"], ["optimizer=dion2"], ["optimizer=dion3", "adjust_lr=none"],
                 ["groups=[{match: '*.attn.*', rule: muon, lr_scale: 0.5}, {match: '*.0.mlp.*', fraction: 0.5}, "
                  "{match: '*.mlp.*', rule: sgd}]"],
                 ["optimizer=dion2", "ortho_fraction=0.1", "use_gram_newton_schulz=true"]]
    settings += [[f"optimizer={rule}"] for rule in rules() if not any(f"optimizer={rule}" in s for s in settings)]
    for setting in settings:
        for where in [TIGHT, ["--precision", "float", *ALL_AXES]] if THOROUGH else [[*TIGHT, *ALL_AXES, "--steps", "5"]]:
            report = verified(*where, *setting, ranks=8)
            # These take what rounding does beyond the fixed tolerance in float, with some BLAS cores or all; the
            # program itself holds them to the rounding that it measured.
            if "float" not in where or setting not in (["power_iters=2"], ["ortho_fraction=1"]):
                expect_within_tolerance(report, f"{where}, {setting}")


@case
def states_in_bfloat16_hold_to_the_last_bit_of_double_but_for_momenta_of_replicas():
    half = ["state_precision=bfloat16"]
    where = [] if THOROUGH else ALL_AXES
    for setting in (["replicate_mesh_grad_sync=false"], ["optimizer=adamw"], ["optimizer=normuon"], ["optimizer=dion2"],
                    ["scalar_opt=lion", "replicate_mesh_grad_sync=false"]):
        expect_within_tolerance(verified(*TIGHT, *where, *half, *setting), setting)
    for mesh in ("dp=1,fs=2,tp=2", "dp=1,fs=1,tp=4", "dp=1,fs=4,tp=1"):
        expect_within_tolerance(verified(*TIGHT, "--mesh", mesh, *half), mesh)
    # Each replica rounds a momentum of its own, and columns of Q with close singular values turn with it, the space that they
    # span, too: after ten steps by some hundredths, after twenty by a third of Q, of which one sample of rounding is no measure
    # any more. They are not short, so that to count columns by their length does not help here.
    for setting in ([], ["momentum_sync_every=1"], ["optimizer=normuon"], ["optimizer=adamw"]):
        verified(*BOTH, "--steps", "10", *where, *half, *setting)
    if "double" not in PRECISIONS:
        return
    for mesh in verified("--precision", "double", "--steps", "1", *half)["double"]["meshes"][1:]:
        for line, found in findings(mesh, "difference"):
            first = line in ("loss", "gradient, 1 step", "weights, 1 step")
            bound = 1e-12 if first else (1 + mesh["dp"] ** 0.5) / 256  # half a unit of each replica's, and one rank's
            expect(found["difference"] <= bound, f"{mesh['dp']} x {mesh['fs']} x {mesh['tp']}, {line}: {found}")


@case
def mixed_precision_holds_to_the_last_bit_of_double_on_every_mesh():
    """Rounding to bfloat16 is the same on every mesh, of five replicas, too, whose number is no power of two: sums in double
    lie near no tie. In float some do."""
    where = ["--steps", "5", "precision=emulated"]
    for mesh in [[]] if THOROUGH else [["--mesh", "dp=3,tp=2"], ["--mesh", "fs=5"]]:
        report = verified(*TIGHT, *where, *mesh, ranks=8)
        if TIGHT[1] == "double":
            expect_within_tolerance(report, f"mixed, {mesh}")
        verified("--precision", "float", *where, *mesh, ranks=8)
        verified("--precision", "float", "--steps", "5", f"precision={mixed_precision()}", *mesh, ranks=8)
    verified("--precision", "float", "--steps", "1", f"precision={mixed_precision()}", "--mesh", "tp=4")  # not all have a head


@case
def every_strategy_holds_under_its_lossless_settings():
    """On every mesh in the long run; strategies whose states are shares, replicas' own, and gradients' in the short one."""
    strategies = of_replicas()
    for strategy in strategies if FULL else ("diloco", "noloco", "powersgd"):
        settings = [f"strategy={strategy}", *assignments(lossless(CONFIG, strategy))]
        for where in [TIGHT, ["--precision", "float"]] if THOROUGH else [[*TIGHT, "-n", "4", "--steps", "3"]]:
            verified(*where, *settings)


CLIENTS = ["clients=5", "client_speeds=1000,700,150"]
# Half of the four that are out make a version: some train versions that are older than the newest.
LATE = {"teasq": ["client_fraction=0.8", "cache_fraction=0.4", "wire=int8", "density=0.25"],
        "decoupled_diloco": ["client_fraction=0.8", "quorum=0.4", "outer_lr=0.8", "outer_momentum=0.6"]}


@case
def clients_that_lose_nothing_have_the_bits_of_fedavg_and_fedavg_is_one_rank_on_any_number_of_workers():
    for strategy in of_clients() if FULL else ("fedavg", "teasq"):
        settings = [*CLIENTS, f"strategy={strategy}", *assignments(lossless(CONFIG, strategy))]
        report = verified(*TIGHT, "--steps", "3", *settings, ranks=8 if FULL else 3)
        meshes = report[PRECISIONS[0]]["meshes"]
        expect([(m["dp"], m["fs"], m["tp"]) for m in meshes] == [(n, 1, 1) for n in range(1, len(meshes) + 1)] and len(meshes) > 2, f"{meshes}")
        if strategy == "fedavg":
            expect_within_tolerance(report, strategy)
        found = [found for mesh in meshes[1:] for _, found in findings(mesh, "difference")]
        expect(len(found) > 5 and (strategy == "fedavg" or all(one["difference"] == 0 for one in found)), f"{strategy}: {found}")


@case
def clients_of_any_settings_have_the_bits_of_one_worker_on_many():
    for strategy in of_clients() if FULL else ("decoupled_diloco",):
        settings = [*CLIENTS, f"strategy={strategy}", *LATE.get(strategy, ["client_fraction=0.6"]), "optimizer=muon", "local_steps=2"]
        for where in [TIGHT, ["--precision", "float"]] if FULL else [TIGHT]:
            report = verified("--reference", "dp", *where, "--steps", "4", *settings, *(["--mesh", "dp=3"] if not FULL else []), ranks=8)
            for meshes in report.values():
                found = [one for mesh in meshes["meshes"][1:] for one in findings(mesh, "difference")]
                expect(found and all(one["difference"] == 0 for _, one in found), f"{strategy}: {found}")
                expect(any(line.startswith("other state") for line, _ in found) == (strategy not in ("fedavg", "fedcyclic")), f"{strategy}: {found}")


@case
def islands_of_replicas_hold_and_what_crosses_between_them_is_told_apart():
    settings = ["strategy=daso", *assignments(lossless(CONFIG, "daso"))]
    for mesh, ranks, n in [("dp=4", 4, 2), ("dp=2,fs=2", 4, 1)] + ([("dp=6", 6, 3), ("dp=4,tp=2", 8, 2)] if FULL else []):
        report = verified(*TIGHT, "--steps", "3", "--mesh", mesh, *settings, f"islands={n}", ranks=ranks)
        lines = {line for line, _ in findings(report[PRECISIONS[0]]["meshes"][-1], "bytes")}
        expect("island reduce-scatter" in lines and ("across reduce-scatter" in lines) == (n > 1), f"{mesh}, {n}: {lines}")


# Planted bug -> the line where one would look for it (or lines: weights show it in double only), and arguments that give it a
# place: one or more places.
BUGS = {
    "skip-factor-reduce": ("momentum, 1 step", []),
    "sum-for-average": ("momentum, 1 step", []),
    "wrong-band-offset": ("Q, 1 step", []),
    "stale-q": ("Q, 1 step", []),
    "long-q": ("Q, 1 step", []),
    "local-column-norms": ("Q, 1 step", []),
    "local-fan-out": ("weights, 1 step", []),
    "local-zero-guard": ("Q, 1 step", []),
    "skip-tp-reduce": ("loss", []),
    "wrong-head-split": ("loss", []),
    "wrong-vocab-offset": ("loss", []),
    "wrong-rows": (("gradient, 1 step", "loss"), [], ["strategy=teasq", *CLIENTS, *assignments(lossless(CONFIG, "teasq"))]),
    "skip-fs-reduce": ("gradient, 1 step", []),
    "stale-weights": ("weights, 1 step", []),
    "even-parts": ("coverage", [], ["--reference", "dp", "strategy=teasq", *CLIENTS, *LATE["teasq"]]),
    "replica-drift": ("replicas", []),
    "uncounted-bytes": ("dp reduce-scatter", []),
    "wrong-pair": ("weights, 2 steps", ["strategy=noloco", *assignments(lossless(CONFIG, "noloco"))],
                   ["strategy=teasq", *CLIENTS, *assignments(lossless(CONFIG, "teasq"))]),
    "uncounted-probe": ("dp all-reduce", ["strategy=fda", *assignments(lossless(CONFIG, "fda"))]),
    # Where all is sent nothing is left to forget, and all are senders: tests/oracle/strategies.c.
    "skip-feedback": ("",),
    "own-not-subtracted": (("weights, 2 steps", "momentum, 2 steps", "other state, 2 steps"), *([f"strategy={name}", *assignments(lossless(CONFIG, name))]
                                                 for name in ("demo", "dynthresh", "replicators", "sparseloco"))),
    "mean-for-senders": ("",),
    "stale-anchor": ("weights, 1 step", *([f"strategy={name}", *assignments(lossless(CONFIG, name))]
                                          for name in ("diloco", "streaming", "sparseloco", "noloco"))),
    "late-apply": ("weights, 1 step", *([f"strategy={name}", *assignments(lossless(CONFIG, name))]
                                        for name in ("streaming", "daso"))),
    # Where weights are averaged in every step there is nothing to decide: tests/oracle/strategies.c.
    "poison-probe": ("",),
    "swap-micro-batches": ("loss", ["--stages", "4", "device_batch_size=1"]),
    "stale-channel": ("loss", ["--stages", "4", "device_batch_size=1"]),
    "other-mask-backward": ("gradient, 1 step", ["--mesh", "pp=2", "channel=threshold"]),
    "stash-newest": ("gradient, 2 steps", ["--mesh", "pp=2", "pipeline=async"]),
}


@case
def every_planted_bug_is_noticed_by_the_line_where_one_would_look():
    listed = run([PROGRAM, "verify", "--inject", "list"])
    expect(listed.returncode == 0 and [line.split()[0] for line in listed.stdout.splitlines()] == list(BUGS),
           listed.stdout)
    for bug, (lines, *places) in BUGS.items():
        lines = {lines} if isinstance(lines, str) else set(lines)
        for settings in places:
            # In the short run on one mesh of all axes, but for what it has no place for: clients, and a row that is zero on one rank alone.
            on_all = FULL or bug == "local-zero-guard" or {"--mesh", "--stages", "strategy=teasq"} & set(settings)
            done = verify(*TIGHT, "--steps", "2", "--inject", bug, *settings, *([] if on_all else ALL_AXES), ranks=4 if on_all else 8)
            expect(done.returncode == NUMERIC, f"{bug}: exit status {done.returncode}: {done.stdout}{done.stderr}")
            caught = set(re.findall(r"^FAILED [\dx ]+, (.*?): ", done.stdout, re.M))
            expect(lines & caught, f"{bug}: caught by {caught}")
            expect("FAILED 1 x 1 x 1," not in done.stdout, f"{bug}: in the reference: {done.stdout}")


@case
def a_q_of_the_wrong_length_is_noticed_by_its_line_alone():
    """Steps do not depend on how long the columns of Q are: losses, weights and momenta hold for ever."""
    done = verify(*TIGHT, "--steps", "3", "--inject", "long-q", ranks=2)
    caught = set(re.findall(r"^FAILED \d+ x \d+ x \d+, (.*?): ", done.stdout, re.M))
    expect(done.returncode == NUMERIC and caught == {"Q, 1 step", "Q, 3 steps"}, f"{done.returncode}: {caught}: {done.stdout}")


@case
def columns_of_q_that_are_nothing_but_rounding_hide_no_bug():
    """Eight tokens, of which some do not count, fill less than nine columns: the rest of R is some 1e-7 of its length, and the
    rest of Q, R with unit columns, is another in every run. Counted as long as in R they leave a bound that bugs exceed."""
    short = ["--precision", "float", "--steps", "1", "ortho_fraction=0.5", "sequence_length=2", "batch_size=4"]
    for mesh in verified(*short, ranks=4)["float"]["meshes"]:
        for line, found in findings(mesh, "difference"):
            expect(line != "Q, 1 step" or found["difference"] <= TOLERANCE["float"], f"{line}: {found}")
    for bug in ("stale-q", "long-q", "local-column-norms"):
        done = verify(*short, "--inject", bug, ranks=2)
        expect(done.returncode == NUMERIC and ", Q, 1 step: " in done.stdout, f"{bug}: {done.returncode}: {done.stdout}{done.stderr}")


@case
def weights_of_fs_that_are_copied_late_are_noticed_in_the_step_that_reads_them():
    done = verify(*TIGHT, "--steps", "2", "--inject", "stale-weights", "fs_gather=per_rank", "--mesh", "dp=1,fs=2,tp=1")
    expect(done.returncode == NUMERIC and "gradient, 2 steps: " in done.stdout, f"{done.returncode}: {done.stdout}")
    expect("1 step: " not in done.stdout, done.stdout)


@case
def a_planted_bug_that_nothing_commits_is_not_taken_for_a_proof():
    for bug, settings in {"stale-q": ["optimizer=muon"], "wrong-rows": ["--mesh", "dp=1,fs=1,tp=2"],
                          "skip-fs-reduce": ["--mesh", "dp=2,fs=1,tp=1"],
                          "local-fan-out": ["--mesh", "dp=1,fs=2,tp=2"]}.items():
        done = verify(*BOTH, "--steps", "1", "--inject", bug, *settings, ranks=2)
        expect(done.returncode == UNCAUGHT and f"'{bug}' was not caught" in done.stderr,
               f"{bug}, {settings}: {done.returncode}: {done.stdout}{done.stderr}")
    done = verify(*TIGHT, "--steps", "1", "--inject", "none", ranks=2)
    expect(done.returncode == 0, f"none: {done.returncode}: {done.stdout}{done.stderr}")


@case
def on_a_device_whose_memory_no_host_reads_the_same_numbers_are_shown_and_bugs_noticed():
    """The fake device (src/device/fake.c) computes on the host: the first row, where weights are changed in their last bits, too."""
    shown = []
    for device in ("cpu", "fake"):
        meshes = verified("--precision", "float", "--steps", "2", f"device={device}", ranks=2)["float"]["meshes"]
        shown.append([(findings(mesh, "difference"), findings(mesh, "bytes"), findings(mesh, "same")) for mesh in meshes])
    expect(shown[0] == shown[1], f"{shown[1]} instead of {shown[0]}")
    for bug, line in {"wrong-vocab-offset": "loss", "wrong-band-offset": "Q, 1 step", "replica-drift": "replicas"}.items():
        done = verify("--precision", "float", "--steps", "1", "device=fake", "--inject", bug, ranks=3)
        expect(done.returncode == NUMERIC and f", {line}: " in done.stdout, f"{bug}: {done.returncode}: {done.stdout}{done.stderr}")


@case
def one_mesh_on_a_machine_of_eight_sockets_shows_what_goes_between_them():
    done = verify("--mesh", "dp=2,fs=2,tp=4", "--precision", "float", "--steps", "1",
                  env={"HWLOC_SYNTHETIC": "pack:8 [numa] core:2 pu:1"})
    expect(done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}")
    table = done.stdout.split("memory of a domain (column)\n")[1].splitlines()
    expect(table[0].split() == [str(i) for i in range(8)], table[0])
    units = {"B": 1, "kB": 1e3, "MB": 1e6}
    rows = [[float(value) * units[unit] for value, unit in re.findall(r"([\d.]+) (B|kB|MB)", row)] for row in table[1:9]]
    expect(all(len(row) == 8 for row in rows), f"{rows}")
    for i, row in enumerate(rows):  # two workers a socket; tp's four are two sockets side by side
        expect(row[i] == max(row) and row[i ^ 1] == max(row[:i] + row[i + 1:]) and min(row) > 0, f"{i}: {row}")


@case
def what_is_wrong_is_said_in_one_line():
    wrong = [
        (["--mesh", "dp=0"], CONFIGURATION, "dp"),
        (["--precision", "half"], CONFIGURATION, "is not float, double"),
        (["--inject", "stale_q"], CONFIGURATION, "did you mean 'stale-q'"),
        (["--steps", "0"], CONFIGURATION, "--steps"),
        (["n_head=4"], CONFIGURATION, "n_head 4 does not divide model_dim 18"),
        (["optimiser=dion"], CONFIGURATION, "did you mean 'optimizer'"),
        (["--precision", "float", "--json", "/proc/nonexistent/all.json"], IO, "/proc/nonexistent"),
        (["strategy=fedavg", "clients=2", "--reference", "dp", "--mesh", "dp=1,fs=2"], CONFIGURATION, "give dp only"),
        (["strategy=fedavg", "clients=2", "--reference", "dp", "clock=real"], CONFIGURATION, "verify in virtual time"),
        (["strategy=teasq", "clients=2"], CONFIGURATION, "equals fedavg, bit for bit, only with client_fraction=1"),
        (["strategy=teasq", "--reference", "dp"], CONFIGURATION, "say how many clients there are"),
    ]
    for arguments, status, text in wrong:
        done = verify(*arguments, ranks=2)
        expect(done.returncode == status and text in done.stderr, f"{arguments}: {done.returncode}: {done.stderr}")
        told = done.stderr.replace("dionode: warning: worker", "")  # one that waits for the others on a busy machine
        expect("Traceback" not in done.stderr and told.count("dionode:") <= 1, done.stderr)


@case
def a_signal_stops_it_and_leaves_nothing():
    command = [PROGRAM, "verify", CONFIG, "--steps", "1000", "--precision", "float", "-n", "4"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 30
    while len(children(process.pid)) < 4 and time.monotonic() < end:
        time.sleep(0.01)
    workers = children(process.pid)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    expect(process.returncode == 128 + signal.SIGINT, f"{process.returncode}: {errors}")
    expect(len(workers) == 4 and not any(alive(pid) for pid in workers), "workers are left")


tap()
