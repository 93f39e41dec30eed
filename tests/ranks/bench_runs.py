"""`dionode bench` as a person runs it: tables, JSON, wrong options, and the MPI beside where there is one."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, alive, case, children, expect, run, tap  # noqa: E402

CONFIG, IO = 2, 5
TINY = ["-b", "8", "-e", "4K", "-f", "8", "-n", "5", "-w", "1", "--triad", "64K"]
OPS = ["barrier", "scalars", "broadcast", "reduce", "reduce-scatter", "all-reduce",
       "all-reduce-shared", "all-gather", "all-to-all", "begin-reduce-scatter", "begin-all-reduce",
       "latency", "bandwidth"]
BOTH = {"broadcast", "reduce", "reduce-scatter", "all-reduce", "all-gather"}
OUT = {"all-to-all", "latency", "bandwidth"}
FIELDS = {"op": str, "ranks": int, "bytes": int, "count": int, "type": str, "redop": str, "batch": int,
          "time_us": float, "p50_us": float, "p99_us": float, "max_us": float, "algbw": float, "busbw": float,
          "bytes_moved": float, "membw": float, "triad_share": float}


def bench(*arguments, **options):
    return run([PROGRAM, "bench", *arguments], **options)


def comm(*arguments, **options):
    """Output and JSON rows of a small run that must succeed."""
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        path = os.path.join(folder, "rows.json")
        done = bench("comm", *TINY, "--json", path, *arguments, **options)
        expect(done.returncode == 0, f"exit status {done.returncode}: {done.stderr}")
        with open(path) as file:
            told = json.load(file)
        expect(told["warmup"] == 1 and all(told[key] for key in ("version", "processor", "system", "samples")) and told["triad_gb_s"] > 0, f"{told}")
        time.strptime(told["date"], "%Y-%m-%dT%H:%M:%SZ")
        return done.stdout, told["rows"]


def near(a, b):
    return abs(a - b) <= 1e-6 * max(abs(a), abs(b), 1e-30)


@case
def buffers_in_the_memory_of_a_device_have_no_wrong_value_either():
    text, rows = comm("--np", "2", "--device", "fake", "-n", "2", "-b", "64", "-e", "4K")
    expect({row["op"] for row in rows} == set(OPS), f"{rows}")
    expect(all(row["wrong"] in (0, None) for row in rows), f"{rows}")
    expect("# copy in the device's memory" in text, text)
    done = bench("comm", "--np", "2", "--device", "abacus")
    expect(done.returncode == CONFIG and "must be one of cpu|fake|cuda" in done.stderr, done.stderr)


@case
def every_row_has_all_fields_and_no_wrong_value():
    text, rows = comm("--np", "2")
    expect(sorted({row["op"] for row in rows}) == sorted(OPS), f"collectives: {rows}")
    for row in rows:
        for field, kind in FIELDS.items():
            expect(type(row[field]) is kind, f"{field} of {row}")
        expect(row["ranks"] == 2 and row["wrong"] == (None if row["op"] == "barrier" else 0), str(row))
        expect(0 < row["p50_us"] <= row["p99_us"] <= row["max_us"], f"times of {row}")
        expect(near(row["algbw"], row["bytes"] / row["time_us"] * 1e-3), f"algbw of {row}")
        expect(near(row["membw"], row["bytes_moved"] / row["time_us"] * 1e-3), f"membw of {row}")
        overlaps = row["op"].startswith("begin-")
        expect(0 <= row["overlap"] <= 1 if overlaps else "overlap" not in row, f"overlap of {row}")
    for op in OPS:
        places = {row["in_place"] for row in rows if row["op"] == op}
        expect(places == ({None} if op == "barrier" else {True, False} if op in BOTH else {op not in OUT}), f"{op}: {places}")
    for place in (True, False):
        sizes = [row["bytes"] for row in rows if row["op"] == "all-reduce" and row["in_place"] == place]
        expect(sizes == [8, 64, 512, 4096], f"sizes {sizes}")
    expect("# all-reduce, in place\n" in text and "# all-reduce, out of place\n" in text, text)
    expect("# wrong values: 0 OK" in text, text)


@case
def the_preamble_tells_machine_ranks_and_triad():
    text, _ = comm("--np", "2", "--op", "barrier")
    for pattern in [r"^# dionode \S+ bench comm$", r"^# machine .*\d+ cores", r"^# triad, .* GB/s",
                    r"^# rank   0 pid +\d+ CPUs \S+$", r"^# rank   1 pid +\d+ CPUs \S+$"]:
        expect(re.search(pattern, text, re.M), f"{pattern} is not in: {text}")


@case
def one_collective_with_steps_another_reduction_and_root():
    _, rows = comm("--np", "3", "--op", "reduce", "-o", "max", "-r", "2", "-b", "96", "-e", "288", "-i", "96")
    expect([row["bytes"] for row in rows] == [96, 192, 288] * 2, str(rows))
    expect(all(row["redop"] == "max" and row["wrong"] == 0 for row in rows), str(rows))


@case
def clean_buffers_and_no_check_are_told_apart():
    text, rows = comm("--np", "2", "--op", "all-reduce", "--clean-buffers", "-c", "0")
    expect("buffers clean" in text and "validation 0" in text, text)
    expect(all(row["wrong"] is None for row in rows), str(rows))


@case
def wrong_options_are_named():
    for arguments, word in [(["-b", "8Q"], "8Q"), (["-e", "1", "-b", "2"], "no sizes to measure"),
                            (["--op", "gossip"], "gossip"), (["-d", "int7"], "int7"), (["-o", "xor"], "xor"),
                            (["--op", "latency", "--np", "1"], "2 ranks"), (["-r", "2", "--np", "2"], "-r 2"), (["--versus", "tcp"], "mpi"), (["-f", "1"], "-f")]:
        done = bench("comm", *TINY, *arguments)
        expect(done.returncode == CONFIG and word in done.stderr, f"{arguments}: {done.returncode} {done.stderr}")
    done = bench("com")
    expect(done.returncode == CONFIG and "bench com" in done.stderr, done.stderr)


@case
def a_json_file_that_cannot_be_written_is_named():
    done = bench("comm", *TINY, "--np", "2", "--op", "barrier", "--json", "/proc/nonexistent/rows.json")
    expect(done.returncode == IO and "/proc/nonexistent" in done.stderr, f"{done.returncode} {done.stderr}")


def stopped_when(begun, *arguments):
    """Output of a measurement that is asked to stop at the first line that `begun` is true of."""
    done = subprocess.Popen([PROGRAM, "bench", "comm", "--np", "2", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in done.stdout:
        lines.append(line)
        if begun(line):
            break
    workers = children(done.pid)
    done.send_signal(signal.SIGINT)
    text, _ = done.communicate(timeout=60)
    expect(done.returncode == 128 + signal.SIGINT, f"exit status {done.returncode}")
    expect(len(workers) == 2 and not any(map(alive, workers)), f"left behind: {workers}")
    return "".join(lines) + text


@case
def a_signal_ends_the_table_whole():
    text = stopped_when(lambda line: not line.startswith("#"), "-b", "4", "-e", "1M", "-i", "4", "-n", "1", "--triad", "64K", "--op", "all-gather")
    expect("# wrong values: 0 OK" in text, "the table was not finished")


@case
def a_signal_does_not_wait_for_the_row():
    """Its samples and those of what computing hides would take minutes; before the first of them it is in the triad."""
    text = stopped_when(lambda line: "%triad" in line, "-b", "16M", "-e", "16M", "-n", "100000", "--triad", "64K", "--op", "begin-all-reduce")
    expect(not [line for line in text.splitlines() if not line.startswith("#")], text)


@case
def a_signal_is_heard_during_the_triad():
    """Forty times 3 x 64 MiB a rank, of which the first few are under way."""
    text = stopped_when(lambda line: line.startswith("# rank   1"), "--triad", "64M", "--op", "barrier")
    expect("%triad" not in text, text)


@case
def a_machine_that_is_not_this_one_is_refused():
    machine = dict(os.environ, HWLOC_SYNTHETIC="pack:2 [numa] core:4 pu:1")
    done = bench("comm", *TINY, "--np", "2", env=machine)
    expect(done.returncode == CONFIG and "HWLOC_SYNTHETIC" in done.stderr, f"{done.returncode} {done.stderr}")


@case
def a_missing_mpi_is_said_with_what_to_install():
    done = bench("comm", *TINY, "--np", "2", "--versus", "mpi", env=dict(os.environ, PATH="/nonexistent"))
    expect(done.returncode == CONFIG and "openmpi-bin" in done.stderr, f"{done.returncode} {done.stderr}")


@case
def mpi_is_measured_beside_where_it_is_installed():
    if not (shutil.which("mpicc") and shutil.which("mpirun")):
        return
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        text, rows = comm("--np", "2", "--versus", "mpi", env=dict(os.environ, TMPDIR=folder))
        expect(not [name for name in os.listdir(folder) if name.startswith("dionode-mpi")], "folder left behind")
    expect(all(row["mpi_p50_us"] > 0 for row in rows) and len(rows) > len(OPS), str(rows))
    expect(all(0 <= row["mpi_overlap"] <= 1 for row in rows if row["op"].startswith("begin-")), str(rows))
    expect("MPI/ours" in text and "# versus " in text, text)


# ---- numa ----

SMALL = ["--buffer", "4M", "--seconds", "0.01"]


@case
def numa_gives_square_tables_in_text_json_and_a_page_of_its_own():
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        path, page = os.path.join(folder, "numa.json"), os.path.join(folder, "numa.html")
        done = bench("numa", *SMALL, "--json", path, "--html", page)
        expect(done.returncode == 0, done.stderr)
        with open(path) as file:
            found = json.load(file)
        with open(page) as file:
            html = file.read()
    n, cores = len(found["domains"]), len(found["cores"])
    for key, size in [("latency_ns", n), ("read_gb_s", n), ("line_ns", cores)]:
        expect(len(found[key]) == size and all(len(line) == size for line in found[key]), f"{key}: {found[key]}")
        for i, line in enumerate(found[key]):
            for j, value in enumerate(line):
                expect(value is None if key == "line_ns" and i == j else value is None or value > 0, f"{key} {line}")
    expect(all(len(found[key]) == n for key in ("copy_gb_s", "triad_gb_s")), str(found))
    expect(len(found["mixes_gb_s"]) == n and all(len(mix) == 5 and all(rate is None or rate > 0 for rate in mix.values())
                                                 for mix in found["mixes_gb_s"]), str(found["mixes_gb_s"]))
    rungs = found["ladder"]["rungs"]
    expect([rung["bytes"] for rung in rungs] == sorted({rung["bytes"] for rung in rungs}), f"rungs: {rungs}")
    expect(rungs[-1]["bytes"] == found["buffer_bytes"], f"the last is the buffer: {rungs}")
    expect(all(rung["ns"] > 0 and rung["gb_s"] > 0 for rung in rungs), f"rungs: {rungs}")
    expect(sum(found["placement"]["shared"].values()) >= 0 and "numa_balancing" in found["placement"], str(found))
    for title in ["Idle latency", "Read bandwidth", "Reads and writes", "Copy and triad", "Working sets", "core to core", "under load", "Placement"]:
        expect(title in done.stdout, f"'{title}' is missing in: {done.stdout}")
    expect(html.count("<svg") >= 3 and html.count("<svg") == html.count("</svg>"), "heat maps are missing")
    expect("prefers-color-scheme:dark" in html, "no dark scheme")
    expect(not re.search(r"https?://|<script|<link|@import|url\(", html), "the page needs something from elsewhere")
    expect("nan" not in re.sub(r"[^>]*:", "", html).lower().replace("numa", ""), "a number is missing on the page")


@case
def numa_refuses_what_it_cannot_measure():
    machine = dict(os.environ, HWLOC_SYNTHETIC="pack:2 [numa] core:4 pu:1")
    done = bench("numa", *SMALL, env=machine)
    expect(done.returncode == CONFIG and "HWLOC_SYNTHETIC" in done.stderr, f"{done.returncode} {done.stderr}")
    done = bench("numa", "--buffer", "1000000G")
    expect(done.returncode == 6 and "buffers of 976.6 TiB on" in done.stderr, f"{done.returncode} {done.stderr}")
    done = bench("numa", *SMALL, "--html", "/proc/nonexistent/page.html")
    expect(done.returncode == IO and "/proc/nonexistent" in done.stderr, f"{done.returncode} {done.stderr}")


tap()
