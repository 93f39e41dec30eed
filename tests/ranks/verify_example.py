"""The example that verifies a sharded operation of its own, as a person runs it: sound, and with a bug planted."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, case, expect, run, tap  # noqa: E402

EXAMPLE = os.environ["EXAMPLE"]
NUMERIC = 9


def launched(*arguments, ranks=8):
    return run([PROGRAM, "launch", "-n", str(ranks), EXAMPLE, *arguments])


def table(text):
    """(dp, fs, tp) -> the rest of its row."""
    rows = re.findall(r"^ *(\d+) +(\d+) +(\d+)  (.*)$", text, re.M)
    return {(int(dp), int(fs), int(tp)): rest for dp, fs, tp, rest in rows}


@case
def a_sound_operation_holds_on_every_mesh_of_eight_ranks():
    done = launched()
    expect(done.returncode == 0, f"exit status {done.returncode}: {done.stdout}{done.stderr}")
    rows = table(done.stdout)
    meshes = {(dp, fs, tp) for dp in range(1, 9) for fs in range(1, 9) for tp in range(1, 9) if dp * fs * tp <= 8}
    expect(set(rows) == meshes and len(meshes) == 38, done.stdout)
    expect(all(rest.startswith("ok") for rest in rows.values()) and "FAILED" not in done.stdout, done.stdout)
    expect("Holds on 38 meshes" in done.stdout, done.stdout)


@case
def a_planted_bug_fails_where_parts_are_uneven_by_the_line_it_is_in():
    done = launched("--bug")
    expect(done.returncode == NUMERIC, f"exit status {done.returncode}: {done.stdout}{done.stderr}")
    for (dp, fs, tp), rest in table(done.stdout).items():
        uneven = 7 % fs != 0
        expect(rest.startswith("FAILED" if uneven else "ok"), f"{dp} x {fs} x {tp}: {rest}")
        expect(f"FAILED {dp} x {fs} x {tp}, forward: y:" in done.stdout or not uneven, done.stdout)
    expect("coverage:" not in done.stdout and "replicas:" not in done.stdout, done.stdout)
    expect("17 of 38 meshes, first on 1 x 2 x 1: forward" in done.stderr, done.stderr)


@case
def without_a_launcher_there_is_the_reference_alone():
    done = run([EXAMPLE])
    expect(done.returncode == 0 and list(table(done.stdout)) == [(1, 1, 1)], done.stdout + done.stderr)


tap()
