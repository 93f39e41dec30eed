"""Whole comparisons: the table, the JSON and the page against the runs' own metrics; nothing made twice; runs that
diverge, that are interrupted, and folders that hold something else."""
import html.parser
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, Place, case, children, expect, tap, run, PROGRAM, TINY  # noqa: E402

DOUBLE = "f64" in os.path.basename(PROGRAM)
REAL_BYTES = 8 if DOUBLE else 4
SVG = "{http://www.w3.org/2000/svg}"
STEPS = 12


def command(place, *words, np=2, **changes):
    settings = dict(val_tokens=256, num_iterations=STEPS)
    settings.update(changes)
    return [PROGRAM, "compare", place.config(**settings), "-n", str(np), "-o", place.file("out"), "--json",
            place.file("out.json"), *words]


def compared(place, *words, status=0, **changes):
    done = run(command(place, *words, **changes))
    expect(done.returncode == status, f"exit status {done.returncode}: {done.stderr}")
    return done


def results(place):
    with open(place.file("out.json")) as file:
        return json.load(file)


def folders(place):
    return sorted(name for name in os.listdir(place.file("out")) if os.path.isdir(place.file(f"out/{name}")))


def metrics_of(folder):
    """From step 1 on: step 0 is the validation before the first."""
    with open(os.path.join(folder, "metrics.jsonl")) as file:
        return [line for line in map(json.loads, file) if line["step"] > 0]


def near(a, b):
    return abs(a - b) <= 1e-12 * abs(b)


def rows(text):
    """The table: optimizer and rank -> the other columns."""
    lines = [line.split() for line in text.splitlines() if not line.startswith(("#", "*", "optimizer"))]
    return {(line[0], line[1]): line[2:] for line in lines}


def check_best(contender, n_seeds):
    """The best of the sweep and all its numbers, made again from the metrics files."""
    sweep = {rate["lr"]: [metrics_of(r["dir"]) for r in rate["runs"]] for rate in contender["learning_rates"]}
    means = {lr: statistics.mean(m[-1]["val_loss"] for m in runs) for lr, runs in sweep.items()}
    best, told = min(means, key=means.get), contender["best"]
    expect(told["lr"] == best, f"best is {told['lr']}, not {best}")
    expect(told["at_edge"] == (len(sweep) > 1 and best in (min(sweep), max(sweep))), f"edge: {told}")
    expect(all(len(runs) == n_seeds and len(m) == STEPS for runs in sweep.values() for m in runs), "runs are missing")
    expect(near(told["val_loss"]["mean"], means[best]), "mean")
    expect(near(told["val_loss"]["deviation"], statistics.stdev(m[-1]["val_loss"] for m in sweep[best])), "deviation")
    for key in ("step_s", "optimizer_s", "tokens_per_s"):
        medians = [statistics.median(line[key] for line in m[2:]) for m in sweep[best]]
        expect(near(told[key], statistics.mean(medians)), f"{key}: {told[key]}, not {medians}")
    for key in ("bytes_dp", "bytes_fs", "bytes_tp"):
        mean = statistics.mean(line[key] for m in sweep[best] for line in m)
        expect(near(told[key], mean), f"{key}: {told[key]}, not {mean}")
    for key in ("state_bytes", "memory_bytes"):
        expect(told[key] == sweep[best][0][0][key], f"{key}: {told[key]}, not {sweep[best][0][0][key]}")


@case
def table_json_and_metrics_agree():
    with Place() as place:
        done = compared(place, "--optimizers", "dion,adamw", "--ranks", "1,1/4", "--lr", "dion=0.01,0.02,0.04",
                        "--lr", "adamw=0.003", "--seeds", "2")
        found, table = results(place), rows(done.stdout)
        names = [(c["optimizer"], c["rank"]) for c in found["contenders"]]
        expect(names == [("dion", 1.0), ("dion", 0.25), ("adamw", None)], f"{names}")
        expect(len(folders(place)) == 14, f"{folders(place)}")
        expect(list(table) == [("dion", "1"), ("dion", "1/4"), ("adamw", "-")], done.stdout)
        for contender, cells in zip(found["contenders"], table.values()):
            check_best(contender, 2)
            best = contender["best"]
            expect(float(cells[0].rstrip("*")) == best["lr"] and cells[0].endswith("*") == best["at_edge"], f"{cells}")
            expect(abs(float(cells[1]) - best["val_loss"]["mean"]) < 6e-5, f"{cells}")
            expect(abs(float(cells[2]) - best["val_loss"]["deviation"]) < 6e-5, f"{cells}")
            expect(abs(float(cells[3]) / (1e3 * best["step_s"]) - 1) < 1e-3, f"{cells}")
        quarter, adamw = found["contenders"][1]["best"], found["contenders"][2]["best"]
        expect(0 < quarter["bytes_dp"] < adamw["bytes_dp"], "low rank exchanges less")
        expect(found["steps"] == STEPS and found["step_tokens"] == 128 and found["mesh"] == [2, 1, 1, 1], "budget")


@case
def bytes_between_stages_are_told_where_there_are_stages():
    with Place() as place:
        done = compared(place, "--optimizers", "adamw", "--lr", "0.001", "--seeds", "1", pp_size=2, dp_size=1)
        found, (folder,) = results(place), folders(place)
        best, lines = found["contenders"][0]["best"], metrics_of(place.file(f"out/{folder}"))
        expect(found["mesh"] == [1, 1, 1, 2] and "mesh dp 1 x pp 2 x fs 1 x tp 1" in done.stdout, f"{found['mesh']}: {done.stdout}")
        expect(best["bytes_pp"] == statistics.mean(line["bytes_pp"] for line in lines) > 0 == best["bytes_dp"], f"{best}")
        with open(place.file("out/compare.html")) as page:
            expect("<th>pp per step</th>" in page.read(), "no column of the page")


@case
def channels_and_orders_of_stages_are_contenders_too():
    if not FULL:
        return
    with Place() as place:
        compared(place, "--strategies", "average", "--optimizers", "adamw", "--lr", "0.001", "--set", "average.channel=dense,threshold",
                 "--set", "average.pipeline=1f1b,async", "--seeds", "1", pp_size=2, dp_size=1, channel_quantile=0.75)
        found = {c["settings"]: c["best"] for c in results(place)["contenders"]}
        expect(list(found) == [f"channel={channel} pipeline={order}" for channel in ("dense", "threshold") for order in ("1f1b", "async")], f"{found}")
        expect(len({best["val_loss"]["mean"] for best in found.values()}) == 4, f"{found}")
        for order in ("1f1b", "async"):
            dense, sparse = (found[f"channel={channel} pipeline={order}"]["bytes_pp"] for channel in ("dense", "threshold"))
            expect(0 < sparse < 0.5 * dense, f"{order}: {sparse}, {dense}")


@case
def the_same_seed_sees_the_same_data_whatever_the_optimizer():
    with Place() as place:
        compared(place, "--optimizers", "dion,adamw", "--lr", "0.001", "--seeds", "2")
        first = {name: metrics_of(place.file(f"out/{name}"))[0]["loss"] for name in folders(place)}
        for seed in ("s0", "s1"):
            losses = {loss for name, loss in first.items() if name.endswith(seed)}
            expect(len(losses) == 1, f"the first loss is before any update: {first}")
        expect(len(set(first.values())) == 2, "seeds differ")


@case
def state_bytes_and_optimizer_time_are_in_the_metrics():
    """One worker: AdamW keeps two numbers of each parameter, Lion one, Dion's matrices one and a basis."""
    C, V, L = TINY["model_dim"], 256, TINY["n_layer"]
    matrices, vectors = [(C, C)] * (4 * L) + [(4 * C, C)] * L + [(C, 4 * C)] * L, 2 * V * C
    numbers = sum(m * n for m, n in matrices)
    expected = {"adamw": 2 * (numbers + vectors), "lion": numbers + 2 * vectors,
                "dion": numbers + sum(min(m, n) * min(m, n) // 4 for m, n in matrices) + 2 * vectors}
    with Place() as place:
        compared(place, "--optimizers", "adamw,lion,dion", "--lr", "0.001", "--ranks", "1/4", np=1)
        for contender in results(place)["contenders"]:
            for line in metrics_of(contender["learning_rates"][0]["runs"][0]["dir"]):
                name = contender["optimizer"]
                expect(line["state_bytes"] == REAL_BYTES * expected[name], f"{name}: {line['state_bytes']}")
                least = line["state_bytes"] + 2 * REAL_BYTES * (numbers + vectors)  # with weights and gradients
                expect(line["memory_bytes"] > least, f"{name}: {line['memory_bytes']} bytes of memory, at least {least}")
                expect(0 < line["optimizer_s"] < line["step_s"], f"{name}: {line}")


@case
def what_is_complete_is_not_made_again_and_what_is_new_is():
    with Place() as place:
        words = ["--optimizers", "dion,adamw", "--lr", "0.01"]
        compared(place, *words)
        before = {name: os.stat(place.file(f"out/{name}/metrics.jsonl")).st_mtime_ns for name in folders(place)}
        first = results(place)
        again = compared(place, *words)
        expect("2 of 2 runs are complete" in again.stderr and "run 1/" not in again.stderr, again.stderr)
        second = results(place)
        expect(first["contenders"] == second["contenders"], "other numbers")
        compared(place, "--optimizers", "dion,adamw,lion", "--lr", "0.01")
        after = {name: os.stat(place.file(f"out/{name}/metrics.jsonl")).st_mtime_ns for name in folders(place)}
        expect(len(after) == 3 and all(after[name] == time for name, time in before.items()), "made again")
        left = [file for name in after for file in os.listdir(place.file(f"out/{name}"))]
        expect(set(left) == {"config.yaml", "log.txt", "metrics.jsonl"}, f"left: {left}")
        with open(place.file("out/adamw-lr0.01-s0/log.txt")) as file:
            log = file.read()
        expect(f"finished after step {STEPS}" in log and "finished after" not in again.stderr, "workers' messages")


@case
def a_complete_run_whose_metrics_lack_a_line_is_told_and_what_the_line_counted_in_is_unknown():
    with Place() as place:
        words = ["--optimizers", "adamw", "--lr", "0.01", "--seeds", "2"]
        compared(place, *words)
        first = results(place)["contenders"][0]["best"]
        path = place.file("out/adamw-lr0.01-s1/metrics.jsonl")
        with open(path) as file:
            lines = [line for line in file if json.loads(line)["step"] not in (4, 7, 8)]
        with open(path, "w") as file:
            file.writelines(lines)
        again = compared(place, *words)
        expect("run 1/" not in again.stderr and f"{path} lacks the lines of 3 steps: 4, 7-8" in again.stderr, again.stderr)
        best, cells = results(place)["contenders"][0]["best"], rows(again.stdout)["adamw", "-"]
        expect(first["bytes_dp"] > 0 and best["bytes_dp"] is None and "unknown" in cells, f"{best}, {cells}")
        expect(best["val_loss"] == first["val_loss"], f"{best} is not {first}")
        with open(place.file("out/compare.html")) as file:
            text = file.read()
        page = xml.etree.ElementTree.fromstring(text)
        expect(len(curves(plot(page, "loss by step"))["adamw"]) == STEPS - 3, "steps without a line have a point")
        shown = {svg.get("aria-label") for svg in page.iter(SVG + "svg")} & {"loss by byte", "loss by second"}
        expect(not shown and "exchanges nothing" not in text, f"curves by what is not known: {shown}")
        labels = {t.text for t in plot(page, "bytes per step").iter(SVG + "text")}
        expect("unknown" in labels, f"{labels}")


@case
def a_run_can_be_made_again_by_train_with_its_own_configuration():
    with Place() as place:
        compared(place, "--optimizers", "dion", "--lr", "0.01")
        folder = place.file("out/dion-r0.25-lr0.01-s0")
        alone = run([PROGRAM, "train", os.path.join(folder, "config.yaml"), f"checkpoint_dir={place.file('alone')}"])
        expect(alone.returncode == 0, alone.stderr)
        expect([m["loss"] for m in place.metrics("alone")] == [m["loss"] for m in metrics_of(folder)], "losses differ")


@case
def a_learning_rate_that_diverges_is_told_and_the_rest_goes_on():
    with Place() as place:
        words = ["--optimizers", "adamw,lion", "--lr", "adamw=0.003,1000000", "--lr", "lion=1000000"]
        done = compared(place, *words, num_iterations=40)
        found = results(place)["contenders"]
        ends = [[r["end"] for rate in c["learning_rates"] for r in rate["runs"]] for c in found]
        expect(ends == [["done", "diverged"], ["diverged"]], f"{ends}")
        expect(found[0]["best"]["lr"] == 0.003 and found[1]["best"] is None, f"{found}")
        expect("# lion, lr 1e+06, seed 0: diverged: " in done.stdout, done.stdout)
        expect("no learning rate" in " ".join(rows(done.stdout)["lion", "-"]), done.stdout)
        with open(place.file("out/compare.html")) as file:
            expect("lion, lr 1e+06, seed 0: diverged" in file.read(), "not on the page")
        again = compared(place, *words, num_iterations=40)
        expect("run 1/" not in again.stderr and again.stdout == done.stdout, f"{again.stdout}{again.stderr}")
        compared(place, "--optimizers", "lion", "--lr", "1000000", num_iterations=40, status=9)


@case
def ctrl_c_stops_and_the_same_command_ends_as_if_it_had_never_been_stopped():
    with Place() as place:
        slow = {"sequence_length": 64, "num_iterations": 60}
        words = ["--optimizers", "adamw,dion", "--lr", "0.004"]
        compared(place, *words, **slow)
        whole = {name: [m["loss"] for m in metrics_of(place.file(f"out/{name}"))] for name in folders(place)}
        os.rename(place.file("out"), place.file("whole"))
        process = subprocess.Popen(command(place, *words, **slow), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        place.wait_for_step(3, "out/dion-r0.25-lr0.004-s0")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        expect(process.returncode == 128 + signal.SIGINT, f"exit status {process.returncode}: {errors}")
        expect("stopped with 1 of 2 runs made" in errors, errors)
        expect(not os.path.exists(place.file("out/compare.html")), "a page of half a comparison")
        done = compared(place, *words, **slow)
        expect("run 1/1: dion" in done.stderr, done.stderr)
        expect(whole == {name: [m["loss"] for m in metrics_of(place.file(f"out/{name}"))] for name in folders(place)},
               "losses differ")


@case
def a_signal_between_two_runs_is_not_lost():
    """Signals at any moment: always the same exit status, never half a file."""
    with Place() as place:
        for delay in range(4):
            process = subprocess.Popen(command(place, "--optimizers", "adamw", "--lr", "0.001", "--seeds", "8", np=1,
                                               num_iterations=2), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
            end = time.monotonic() + 30
            while time.monotonic() < end and not os.path.exists(place.file(f"out/adamw-lr0.001-s{delay + 1}")):
                time.sleep(0.001 * (delay + 1))
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            expect(process.returncode == 128 + signal.SIGTERM, f"exit status {process.returncode}: {errors}")
        compared(place, "--optimizers", "adamw", "--lr", "0.001", "--seeds", "8", np=1, num_iterations=2)
        expect(len(folders(place)) == 8, "runs are missing")


@case
def a_run_whose_worker_dies_is_told_of_and_made_again_by_the_next_call():
    with Place() as place:
        words, slow = ["--optimizers", "adamw,lion", "--lr", "0.001"], {"sequence_length": 64, "num_iterations": 60}
        process = subprocess.Popen(command(place, *words, **slow), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        place.wait_for_step(3, "out/adamw-lr0.001-s0")
        os.kill(children(process.pid)[0], signal.SIGKILL)
        output, errors = process.communicate(timeout=90)
        expect(process.returncode == 0 and "killed by signal 9" in output, f"{process.returncode}: {output}{errors}")
        ends = [c["learning_rates"][0]["runs"][0]["end"] for c in results(place)["contenders"]]
        expect(ends == ["failed", "done"], f"{ends}")
        again = compared(place, *words, **slow)
        expect("run 1/1: adamw" in again.stderr and "failed" not in again.stdout, f"{again.stdout}{again.stderr}")


@case
def another_run_in_the_way_is_named_with_the_key_that_differs():
    with Place() as place:
        compared(place, "--optimizers", "adamw", "--lr", "0.01")
        done = compared(place, "--optimizers", "adamw", "--lr", "0.01", "--steps", "5", status=2)
        expect("adamw-lr0.01-s0" in done.stderr and "num_iterations" in done.stderr, done.stderr)
        done = compared(place, "--optimizers", "adamw", "--lr", "0.01", np=1, status=2)
        expect("dp_size" in done.stderr, done.stderr)
        os.remove(place.file("out/adamw-lr0.01-s0/config.yaml"))
        done = compared(place, "--optimizers", "adamw", "--lr", "0.01", status=2)
        expect("not of a comparison" in done.stderr, done.stderr)


@case
def the_command_line_is_checked_before_anything_runs():
    with Place() as place:
        for words, why in ((["--optimizers", "adamx"], "adamx"), (["--ranks", "3"], "--ranks"), (["--lr", "x"], "--lr"),
                           (["--steps", "0"], "--steps"), (["--steps", "2", "--tokens", "9"], "--tokens"),
                           (["no_key=1"], "no_key"), (["val_tokens=0"], "val_tokens"), (["n_head=5"], "n_head"),
                           (["fs_size=3"], "fs_size")):
            done = compared(place, *words, status=2)
            expect(why in done.stderr, f"{words}: {done.stderr}")
            expect(not os.path.exists(place.file("out")), f"{words} made a folder")
        missing = compared(place, "data_dir=" + place.file("nowhere"), status=3)
        expect("nowhere" in missing.stderr, missing.stderr)


class Elements(html.parser.HTMLParser):
    """Counts what would be loaded from elsewhere."""

    def __init__(self):
        super().__init__()
        self.foreign = []

    def handle_starttag(self, tag, attributes):
        if tag in ("script", "link", "img", "iframe"):
            self.foreign.append(tag)
        self.foreign += [value for name, value in attributes if name in ("src", "href", "xlink:href")]


def plot(page, name):
    found = [svg for svg in page.iter(SVG + "svg") if svg.get("aria-label") == name]
    expect(len(found) == 1, f"{len(found)} plots of {name}")
    return found[0]


def curves(svg):
    return {group.find(SVG + "title").text: group.find(SVG + "polyline").get("points").split()
            for group in svg.iter(SVG + "g")}


@case
def the_page_is_well_formed_and_shows_every_series():
    with Place() as place:
        compared(place, "--optimizers", "dion,adamw", "--ranks", "1/2,1/4", "--lr", "0.01,0.02", "--seeds", "2")
        with open(place.file("out/compare.html")) as file:
            text = file.read()
        elements = Elements()
        elements.feed(text)
        expect(not elements.foreign and "url(" not in text and "@import" not in text, f"{elements.foreign}")
        page, names = xml.etree.ElementTree.fromstring(text), {"dion 1/2", "dion 1/4", "adamw"}
        for name in ("loss by step", "loss by second", "loss by byte"):
            svg = plot(page, name)
            lines = curves(svg)
            expect(set(lines) == names, f"{name}: {set(lines)}")
            expect(all(len(points) == STEPS for points in lines.values()), f"{name}: points")
            expect(len(list(svg.iter(SVG + "polygon"))) == 3, f"{name}: bands of the seeds")
        rates = curves(plot(page, "loss by learning rate"))
        expect(set(rates) == names and all(len(points) == 2 for points in rates.values()), f"{rates}")
        for name in ("optimizer milliseconds per step", "bytes per step", "bytes of optimizer state"):
            labels = {t.text for t in plot(page, name).iter(SVG + "text")}
            expect(names <= labels, f"{name}: {labels}")
        cells = [[cell.text for cell in row] for row in page.iter("tr")][1:]
        for contender, row in zip(results(place)["contenders"], cells):
            expect(row[0] == contender["optimizer"] and row[3] == f"{contender['best']['val_loss']['mean']:.4f}",
                   f"{row}")
        shown = " ".join(page.itertext())
        expect(f"compare {place.file('config.yaml')}" in shown and "model_dim: 32" in shown, "command, configuration")


@case
def points_of_the_plot_by_byte_are_the_bytes_of_the_metrics():
    with Place() as place:
        compared(place, "--optimizers", "adamw", "--lr", "0.01")
        with open(place.file("out/compare.html")) as file:
            svg = plot(xml.etree.ElementTree.fromstring(file.read()), "loss by byte")
        xs = [float(point.split(",")[0]) for point in curves(svg)["adamw"]]
        lines = metrics_of(place.file("out/adamw-lr0.01-s0"))
        total, sums = 0, []
        for line in lines:
            total += line["bytes_dp"] + line["bytes_fs"] + line["bytes_tp"]
            sums.append(total)
        axis = [float(t.get("x")) for t in svg.iter(SVG + "text") if t.text == "0" and t.get("text-anchor") == "middle"]
        expect(len(axis) == 1 and total > 0, f"{axis}")
        scale = (xs[-1] - axis[0]) / sums[-1]
        worst = max(abs(axis[0] + scale * s - x) for s, x in zip(sums, xs))
        expect(worst < 0.16, f"off by {worst} of a pixel")  # three numbers are rounded to a tenth


@case
def one_worker_exchanges_nothing_and_the_page_says_so():
    with Place() as place:
        compared(place, "--optimizers", "adamw", "--lr", "0.01", "--html", place.file("page.html"), np=1)
        with open(place.file("page.html")) as file:
            expect("exchanges nothing" in file.read(), "no word of it")
        expect(not os.path.exists(place.file("out/compare.html")), "two pages")


@case
def pipes_under_the_names_of_its_files_do_not_make_it_wait():
    """The log of a run, then what a run has recorded: a line each, and none of the hours that a pipe without an end can take."""
    words = ["--optimizers", "adamw", "--lr", "0.01"]
    with Place() as place:
        compared(place, *words)
        trial = place.file(f"out/{folders(place)[0]}")
        for name, status in ("log.txt", 5), ("metrics.jsonl", 2):
            for file in os.listdir(trial):
                os.remove(os.path.join(trial, file))
            os.mkfifo(os.path.join(trial, name))
            done = run(command(place, *words), 60)
            expect(done.returncode == status, f"{name}: exit status {done.returncode}: {done.stderr}")


@case
def strategies_are_compared_by_bytes_and_by_time_on_networks():
    """The prediction is of the formula, made again from the metrics; the best alone runs with the second seed."""
    links = {"as measured": (0, None), "10 Gb/s, 0.1 ms": (1e-4, 1.25e9), "1 Gb/s, 1 ms": (1e-3, 1.25e8),
             "100 Mb/s, 20 ms": (2e-2, 1.25e7)}
    with Place() as place:
        words = ["--strategies", "average,local_sgd,streaming", "--optimizers", "adamw", "--lr", "0.002,0.004", "--set",
                 "local_sgd.sync_every=3,6", "--outer-lr", "streaming=0.4,0.8", "--seeds", "2"]
        changes = dict(val_loss_every=3, sync_every=4)
        done = compared(place, *words, **changes)
        found = results(place)["contenders"]
        expect([(c["strategy"], c["settings"]) for c in found] ==
               [("average", ""), ("local_sgd", "sync_every=3"), ("local_sgd", "sync_every=6"), ("streaming", "")], f"{found}")
        expect(len(folders(place)) == 3 * (2 + 1) + 4 + 1, f"{folders(place)}")
        for c in found:
            best = c["best"]
            rate = next(r for r in c["learning_rates"] if (r["lr"], r["outer_lr"]) == (best["lr"], best["outer_lr"]))
            runs = [metrics_of(r["dir"]) for r in rate["runs"]]
            expect([len(m) for m in runs] == [STEPS, STEPS], f"{rate}")
            for name, (latency, bandwidth) in links.items():
                want = 0
                for line in (line for m in runs for line in m):
                    late = latency * line["hops_dp"] + line["cluster_bytes_dp"] / bandwidth if bandwidth else 0
                    want += (line["step_s"] + max(0, late - line["wait_dp_s"] - line["delay"] * line["step_s"])) / 2
                expect(near(best["link_s"][name], want), f"{name}: {best['link_s'][name]}, not {want}")
        plain, apart = found[0]["best"], found[1]["best"]
        expect(plain["hops_dp"] == 2 and near(apart["hops_dp"], 2 / 3), f"{plain} {apart}")
        expect("local_sgd adamw sync_every=3" in done.stdout and "target: " in done.stdout, done.stdout)
        again = compared(place, *words, **changes)
        expect("14 of 14 runs" in again.stderr and "run 1/" not in again.stderr, again.stderr)
        with open(place.file("out/compare.html")) as file:
            page = xml.etree.ElementTree.fromstring(file.read())
        rows = [row.find("td").text for row in page.find(".//table").iter("tr") if row.find("td") is not None]
        expect(rows == ["average adamw", "local_sgd adamw sync_every=3", "local_sgd adamw sync_every=6", "streaming adamw"], f"{rows}")
        marks = list(plot(page, "validation loss by bytes per step").iter(SVG + "circle"))
        expect(len(marks) == 4, f"{len(marks)} marks of 4")
        for name in links:
            expect(len(curves(plot(page, f"loss by second, {name}"))) == 4, name)
        expect(len(list(plot(page, "who reaches the target first").iter(SVG + "rect"))) == 99, "the map")


@case
def clients_are_compared_by_their_bytes_and_virtual_seconds_after_as_many_trainings():
    """Four clients, each trained three times on average: in versions of all four, of two and of three. All train the first version; the
    slowest of federated averaging is waited for each time."""
    if not FULL:
        return
    versions = {"fedavg": 3, "teasq": 6, "decoupled_diloco": 4}
    words = ["--strategies", ",".join(versions), "--optimizers", "adamw", "--lr", "0.002", "--outer-lr", "0.5,1", "--set",
             "teasq.cache_fraction=0.5", "--set", "decoupled_diloco.quorum=0.75"]
    changes = dict(clients=4, client_fraction=1, local_steps=2, batch_size=2, num_iterations=3, client_speeds="1000,250",
                   client_links="1Mbit:10ms", val_loss_every=1)
    with Place() as place:
        done = compared(place, *words, **changes)
        found = {c["strategy"]: c for c in results(place)["contenders"]}
        expect({name: c["steps"] for name, c in found.items()} == versions, f"{found}")
        sizes = set()
        for name, c in found.items():
            best = c["best"]
            rate = next(r for r in c["learning_rates"] if r["outer_lr"] == best["outer_lr"])
            lines = metrics_of(rate["runs"][0]["dir"])
            expect(len(lines) == versions[name] and sum(line["clients"] for line in lines) == 12, f"{name}: {lines}")
            for key in "client_bytes_down", "client_bytes_up":
                total = sum(line[key] for line in lines)
                expect(near(best[key], total), f"{name}, {key}: {best[key]}, not {total}")
            expect(best["virtual_s"] == lines[-1]["virtual_s"] and best["bytes_dp"] == 0, f"{name}: {best}")
            sizes.add(lines[0]["client_bytes_down"] / lines[0]["clients"])
        (size,) = sizes
        expect(size > 0 and size % REAL_BYTES == 0, f"weights of {size} bytes")
        want = 3 * (64 / 250 + 2 * (0.01 + size / 125e3))
        expect(near(found["fedavg"]["best"]["virtual_s"], want), f"{found['fedavg']['best']['virtual_s']} s, not {want}")
        expect(found["teasq"]["best"]["virtual_s"] < want, "who is not waited for is waited for")
        expect(found["teasq"]["best"]["client_bytes_up"] < 0.5 * 12 * size, "all that changed is sent")
        loss = found["fedavg"]["best"]["val_loss"]["mean"]
        expect(f"target: validation loss {loss + 0.03:.4f}" in done.stdout and "hops/step" not in done.stdout, done.stdout)
        lines = metrics_of(found["fedavg"]["learning_rates"][0]["runs"][0]["dir"])
        when = next(line["virtual_s"] for line in lines if line["val_loss"] <= loss + 0.03)
        expect(found["fedavg"]["best"]["reached_s"] == when, f"{found['fedavg']['best']['reached_s']} s, not {when}")
        with open(place.file("out/compare.html")) as file:
            page = xml.etree.ElementTree.fromstring(file.read())
        expect(len(list(plot(page, "validation loss by bytes").iter(SVG + "circle"))) == 3, "marks of the front")
        for name in "loss by second", "loss by byte":
            expect(len(curves(plot(page, name))) == 3, name)
        ends = {name: found[name]["best"]["virtual_s"] for name in versions}
        last = {name: float(points[-1].split(",")[0]) for name, points in curves(plot(page, "validation loss by virtual second")).items()}
        expect(sorted(ends, key=ends.get) == [name.split()[0] for name in sorted(last, key=last.get)], f"{ends}, {last}")
        expect(not [svg for svg in page.iter(SVG + "svg") if svg.get("aria-label") == "who reaches the target first"], "a map of networks")
        for strategies, why in ("average,fedavg", "average has none"), ("fedavg,demo", "demo has none"):
            done = compared(place, "--strategies", strategies, "--optimizers", "adamw", status=2, **changes)
            expect(why in done.stderr, done.stderr)


@case
def a_run_on_an_emulated_link_takes_what_is_predicted_of_one_without_and_has_the_same_bits():
    """What a step takes beyond the prediction is computation and the scheduler's: the least of all steps is compared. Hops and bytes
    are those that were counted, of factors and their orthonormalization as of gradients."""
    rules = {"adamw": {}, "dion": {"strategy": "factors"}}
    more = {"muon": {"strategy": "average"}, "sgd": {"strategy": "powersgd"}, "lion": {"strategy": "streaming", "sync_every": 1}}
    for rule, keys in {**rules, **(more if FULL else {})}.items():
        with Place() as place:
            changes = dict(num_iterations=6, optimizer=rule, dp_size=2, **keys)
            over = []
            while len(over) < 60 and min(over, default=2) >= 1.05:  # a busy machine wakes sleepers late: then once more
                metrics = []
                for name, link in ("without", None), ("slow", "10Mbit:30ms"):
                    done = place.train(np=2, checkpoint_dir=place.file(f"{name}{len(over)}"), **changes,
                                       **({"link_dp": link} if link else {}))
                    expect(done.returncode == 0, done.stderr)
                    metrics.append(place.metrics(f"{name}{len(over)}"))
                expect([m["loss"] for m in metrics[0]] == [m["loss"] for m in metrics[1]], f"{rule}: losses differ")
                compute = min(m["step_s"] for m in metrics[0])
                for free, slow in zip(*metrics):
                    late = 0.03 * free["hops_dp"] + free["cluster_bytes_dp"] / 1.25e6
                    expect(late > 0.1 and slow["step_s"] >= late, f"{rule}: {slow['step_s']} s, where the link alone takes {late}")
                    over.append(slow["step_s"] / (late + compute))
            expect(min(over) < 1.05, f"{rule}: slept, as multiples of what was predicted: {over}")
            done = place.train(np=2, link_dp="10Mbit", **changes)
            expect(done.returncode == 2 and "link_dp" in done.stderr, done.stderr)


tap()
