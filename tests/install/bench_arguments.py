"""What every program and script of bench/ says to --help, and to arguments that are wrong."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import case, expect, run, tap  # noqa: E402

BUILT, SOURCE = os.environ["BENCH"], os.environ["SOURCE"]
# Of each, arguments that are wrong besides an option that there is not.
PROGRAMS = {
    "kernels": [["0"], ["2x"], ["1", "abacus"], ["1", "ref", "more"]],
    "products": [["0"], ["many"], ["1", "2"]],
    "generate": [["0"], ["1", "prefix"], ["1", "decode", "more"]],
    "tokenize": [[], ["one"], ["one", "two", "three"]],
    "step": [["--steps", "0"], ["--dim", "x"], ["--threads", "-1"], ["--mesh", "dp"], ["--steps"], ["more"]],
    "strategy": [["--samples", "0"], ["--part", "speed"], ["--kernels", "abacus"], ["more"]],
    "train": [["--model", "7B"], ["--steps", "999"], ["--precision", "half"], ["more"]],
    "start": [["--np", "0"], ["--runs", "1001"], ["--limit", "much"], ["more"]],
}
SCRIPTS = {
    "models.py": [[], ["build", "run", "--only", "speed"], ["build", "run", "--pairs", "x"]],
    "nodes_link.py": [[], ["dionode", "1Gbit:5ms"]],
    "pipeline.py": [[], ["dionode", "--rounds", "x"]],
    "process_group.py": [["--np", "x"], ["more"]],
    "train_pytorch.py": [["--model", "7B"], ["--rounds", "x"]],
}
# Parts of those.
OTHERS = {"arguments.c", "step_measure.c", "arguments.py"}


def each():
    for name, wrong in PROGRAMS.items():
        yield [os.path.join(BUILT, f"bench_{name}")], wrong
    for name, wrong in SCRIPTS.items():
        yield [sys.executable, os.path.join(SOURCE, name)], wrong


@case
def none_is_left_out():
    there = {name for name in os.listdir(SOURCE) if name.endswith((".c", ".py"))}
    expect(there == {f"{name}.c" for name in PROGRAMS} | set(SCRIPTS) | OTHERS, f"{sorted(there)}")


@case
def help_says_what_it_does_and_what_it_takes():
    for program, _ in each():
        done = run([*program, "--help"])
        expect(done.returncode == 0 and not done.stderr, f"{program}: {done.returncode} {done.stderr}")
        expect(done.stdout.lower().startswith("usage: ") and len(done.stdout.splitlines()) > 4, f"{program}: {done.stdout}")


@case
def what_is_wrong_is_one_line():
    for program, wrong in each():
        for arguments in [*wrong, ["--no-such-option"]]:
            done = run([*program, *arguments])
            expect(done.returncode == 2 and len(done.stderr.splitlines()) == 1 and not done.stdout,
                   f"{program} {arguments}: {done.returncode} {done.stdout} {done.stderr}")
            expect(not arguments or len(arguments) != 1 or arguments[0].lstrip("-") in done.stderr or "needed" in done.stderr
                   or "required" in done.stderr, f"{program} {arguments}: {done.stderr}")


tap()
