"""scripts/gpu_check over the stand-in: it passes, and fails where something is wrong. SOURCE and BUILD: the tree, and its build."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import case, expect, run, tap  # noqa: E402


SCRIPT = os.path.join(os.environ["SOURCE"], "scripts", "gpu_check")
# Runs a script of which one text is replaced.
CHANGED = """import sys
_, path, old, new, *sys.argv[1:] = sys.argv
with open(path, encoding="utf-8") as file:
    text = file.read()
assert text.count(old) == 1, old
exec(compile(text.replace(old, new), path, "exec"), {"__file__": path, "__name__": "__main__"})
"""


def checked(*python, **environment):
    return run([sys.executable, *(python or [SCRIPT]), "--dry-run", os.environ["BUILD"]], limit_s=6000, env={**os.environ, **environment})


@case
def a_dry_run_passes_all_groups():
    done = checked()
    expect(done.returncode == 0, done.stdout[-6000:] + done.stderr)
    table = done.stdout.rsplit("\n\n", 1)[1]
    for group in ("kernels against the reference, f32", "kernels against the reference, f64", "2 workers on one GPU", "4 workers on one GPU", "verify, float", "verify, double",
                  "a worker killed", "a plan that does not fit", "a GPU lost at a restart", "160M, float", "160M, mixed", "1.3B, mixed"):
        expect(group in table, table)
    needs = [line for line in table.splitlines() if line.endswith("needs a GPU")]
    expect([line.split("  ")[0] for line in needs] == ["160M, float, PyTorch with AdamW", "compute-sanitizer"], f"{needs}")
    expect(table.rstrip().splitlines()[-1].split(",")[0].endswith(" passed") and " 0 failed" in table and "FAIL" not in table, table)


@case
def what_is_wrong_is_in_the_table_and_the_exit_status():
    done = checked(DIONODE_STANDIN_FAULT="illegal:20")
    table = done.stdout.rsplit("\n\n", 1)[1]
    expect(done.returncode == 1 and table.count("FAIL") > 5, done.stdout[-6000:] + done.stderr)


@case
def what_is_not_reached_in_time_is_wrong_and_not_begun():
    done = checked("-c", CHANGED, SCRIPT, "ALL_S = 120, 350", "ALL_S = 120, 0.5")  # ten times as long over the stand-in
    table = done.stdout.rsplit("\n\n", 1)[1]
    expect(done.returncode == 1, done.stdout[-6000:] + done.stderr)
    expect(re.search(r"^160M, float +FAIL +exit None: not reached in 5.0 s$", table, re.M), table)
    expect(float(re.search(r" failed, in (\d+) s", table).group(1)) < 60, table)


tap()
