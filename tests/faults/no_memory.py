"""Commands that work in one process, without memory at each of their requests in turn: one line and exit status 6, or the result as ever."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, run, tap  # noqa: E402

MEMORY = 6
LIMIT = 2000  # no command asks so often


def result(text):
    """Without times."""
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} if line.startswith("{") else line
            for line in text.splitlines()]


def expect_told(place, *arguments):
    mark = place.file("failed")
    environment = dict(os.environ, LD_PRELOAD=os.environ["NO_MEMORY"], FAILED=mark, OMP_NUM_THREADS="1")
    whole = run([PROGRAM, *arguments])
    expect(whole.returncode == 0, f"{arguments}: {whole.stderr}")
    for n in range(1, LIMIT):
        done = run([PROGRAM, *arguments], env=dict(environment, FAIL_AT=str(n)))
        if not os.path.exists(mark):
            expect(n > 10 and done.returncode == 0, f"{arguments}: {n} requests, {done.returncode}: {done.stderr}")
            return
        os.remove(mark)
        lines = [line for line in done.stderr.splitlines() if not line.startswith("dionode: warning: ")]
        if done.returncode == 0:  # it did without
            expect(result(done.stdout) == result(whole.stdout), f"{arguments}, request {n}: {done.stdout}\nis not\n{whole.stdout}")
        else:
            expect(done.returncode == MEMORY and len(lines) == 1, f"{arguments}, request {n}: {done.returncode}: {done.stderr}")
    raise AssertionError(f"{arguments}: no end of requests")


def trained(place):
    done = place.train(num_iterations=2, val_tokens=64)
    expect(done.returncode == 0, done.stderr)
    return place.file("run")


def labels(place):
    with open(place.file("labels.tsv"), "w", encoding="utf-8") as file:
        file.writelines(f"{i % 2}\t{'ab'[i % 2]}\n" for i in range(20))
    return place.file("labels.tsv")


@case
def labels_are_learned_or_it_is_told_why_not():
    with Place() as place:
        texts, model = labels(place), trained(place)
        for how in ("head", "lora"):
            expect_told(place, "finetune", model, "--labels", texts, "--how", how, "--json", "num_iterations=2")
        for encoder in ([], ["--encoder", "features", model]):
            expect_told(place, "finetune", "--labels", texts, "--how", "hdc", "--dimensions", "100", "--json", *encoder)


@case
def a_run_is_evaluated_and_goes_on_in_text_or_it_is_told_why_not():
    with Place() as place:
        model = trained(place)
        expect_told(place, "eval", model, "--json")
        expect_told(place, "generate", model, "ab", "--tokens", "4", "--json")


tap()
