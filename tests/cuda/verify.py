"""`dionode verify` through the host code of the GPU's module, over the stand-in: training on every mesh is that on one rank. DIONODE: the
program; DIONODE_MODULES: where the module is.
"""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, case, expect, run, tap  # noqa: E402

CONFIG = os.path.join(os.path.dirname(__file__), "..", "..", "configs", "verify.yaml")
PRECISION = "double" if "f64" in os.path.basename(PROGRAM) else "float"
# One rank's training and that of three meshes, one of each axis; in the long tier all of up to eight ranks. A step goes through all
# kernels, so that two are enough.
RANKS, STEPS = ("8", "2") if FULL else ("2", "1")
long_case = case if FULL else lambda function: function


@case
def every_mesh_trains_as_one_rank_does():
    done = run([PROGRAM, "verify", CONFIG, "device=cuda", "timeout_s=600", "--precision", PRECISION, "--ranks", RANKS, "--steps", STEPS], limit_s=14000)
    expect(done.returncode == 0, f"exit {done.returncode}: {done.stdout}{done.stderr}")
    meshes = set(re.findall(r"^ *(\d+ +\d+ +\d+) +ok ", done.stdout, re.M))
    expect(len(meshes) == (38 if FULL else 4), done.stdout)  # dp x fs x tp of up to eight, or two


@long_case
def every_mesh_of_up_to_four_does_through_the_host_s_memory():
    os.environ["DIONODE_STANDIN_FAULT"] = "access:1"  # on each worker, to another's memory
    done = run([PROGRAM, "verify", CONFIG, "device=cuda", "timeout_s=600", "--precision", PRECISION, "--ranks", "4", "--steps", "1"], limit_s=14000)
    del os.environ["DIONODE_STANDIN_FAULT"]
    expect(done.returncode == 0 and "(staged)" in done.stderr, f"exit {done.returncode}: {done.stdout}{done.stderr}")


@long_case
def a_planted_bug_is_caught():
    done = run([PROGRAM, "verify", CONFIG, "device=cuda", "timeout_s=600", "--precision", PRECISION, "--mesh", "dp=2", "--steps", "1", "--inject", "sum-for-average"], limit_s=6000)
    expect(done.returncode == 9, f"exit {done.returncode}: {done.stdout}{done.stderr}")


tap()
