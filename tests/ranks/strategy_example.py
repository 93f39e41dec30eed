"""The example whose replicas step alone, as a person runs it: the loss of their mean falls, and little is sent for it."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, case, of_replicas, expect, run, tap  # noqa: E402

EXAMPLE = os.environ["EXAMPLE"]
BYTES = 24 * 16 * 4  # of the matrix


def told(workers, *arguments):
    done = run([PROGRAM, "launch", "-n", str(workers), EXAMPLE, *arguments])
    expect(done.returncode == 0, f"{arguments}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    found = re.findall(r"^step +\d+  loss (\d+\.\d+)  (\d+) bytes$", done.stdout, re.M)
    expect(len(found) == 11, done.stdout)
    return [float(loss) for loss, _ in found], [int(sent) for _, sent in found]


@case
def the_loss_of_the_mean_falls_and_exchanges_are_those_of_the_strategy():
    losses, sent = told(4)
    expect(losses[-1] < losses[0] / 100, f"{losses}")
    # Twice in 20 steps: reduced, and the first worker's quarter gathered.
    expect(sent == [2 * k * (BYTES + BYTES // 4) for k in range(11)], f"{sent}")


@case
def every_strategy_runs_by_its_defaults():
    for name in ["average", *of_replicas()] if FULL else ("streaming",):  # factors the example's rule does not have
        losses, sent = told(2, name)
        expect(losses[-1] < losses[0] and sent[-1] > 0, f"{name}: {losses}, {sent}")


@case
def what_does_not_go_together_is_told():
    for arguments, words in ((("diloco", "sync_evry=3"), "no option 'sync_evry'"), (("dilocoo",), "no strategy 'dilocoo'"),
                             (("daso", "islands=3"), "islands 3: 2 replicas"), (("factors",), "no low-rank factors")):
        done = run([PROGRAM, "launch", "-n", "2", EXAMPLE, *arguments])
        expect(done.returncode == 2 and words in done.stderr, f"{arguments}: {done.returncode}, {done.stderr}")


tap()
