"""The example that steps a matrix of its own, as a person runs it: the loss falls, and as one worker's on any number."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, case, expect, run, tap  # noqa: E402

EXAMPLE = os.environ["EXAMPLE"]


def losses(*before):
    done = run([*before, EXAMPLE])
    expect(done.returncode == 0, f"exit status {done.returncode}: {done.stdout}{done.stderr}")
    found = re.findall(r"^step +\d+  loss (\d+\.\d+)$", done.stdout, re.M)
    expect(len(found) == 11, done.stdout)
    return [float(x) for x in found]


@case
def alone_the_loss_falls_to_a_thousandth():
    alone = losses()
    expect(alone[0] > 1 and alone[-1] < alone[0] / 1000, f"{alone}")


@case
def any_number_of_workers_fits_as_one():
    alone = losses()
    for workers in (1, 2, 3, 8):
        many = losses(PROGRAM, "launch", "-n", str(workers))
        # 120 steps, to a digit of those printed. Around the minimum the steps do not shrink, and rounding grows: there
        # it is the fall that counts.
        worst = max(abs(a - b) for a, b in zip(alone[:4], many))
        expect(worst < 2.1e-6, f"{workers} workers: losses differ by {worst:.1e}")
        expect(many[-1] < many[0] / 1000, f"{workers} workers: {many}")


tap()
