"""The wheel, built and installed in an environment of its own: package, library and program find each other."""
import os
import shutil
import sys
import tempfile
import zipfile

import support  # noqa: F401
from support import HERE, Skip, case, expect, need, run, tap

STEP = """
import array, dionode, sys
comm, w = dionode.join(), array.array("f", [1.0] * 8)
dionode.Optimizer([w], lr=0.1, comm=comm).step([array.array("f", [1.0] * 8)])
sys.exit(not (w[0] < 1 and comm.size == int(sys.argv[1]) and dionode.__file__.startswith(sys.prefix)))
"""


def must(command):
    done = run(command, limit_s=900, cwd="/", env={"PATH": os.environ["PATH"]})
    expect(done.returncode == 0, f"{' '.join(command)}: exit status {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


@case
def the_build_is_configured_with_the_package():
    """Also where nothing builds a wheel."""
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        must(["meson", "setup", "-Dpython=true", "-Dtests=false", "-Dbench=false", folder, os.path.join(HERE, "..", "..")])


@case
def the_wheel_is_built_installed_and_works():
    need("mesonpy", "pip", "venv")
    if not shutil.which("patchelf"):
        raise Skip("patchelf, which meson-python needs, is not installed")
    folder = tempfile.mkdtemp(prefix="dionode-test-")
    try:
        source, env = os.path.join(folder, "source"), os.path.join(folder, "env")
        must(["git", "clone", "-q", os.path.join(HERE, "..", ".."), source])
        must([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source])
        wheel, = (name for name in os.listdir(folder) if name.endswith(".whl"))
        held = zipfile.ZipFile(os.path.join(folder, wheel)).namelist()
        expect(any(name.endswith("/LICENSE") for name in held), f"no licence among {held}")
        must([sys.executable, "-m", "venv", env])
        must([f"{env}/bin/pip", "install", "-q", "--no-deps", "--no-index", os.path.join(folder, wheel)])
        version = must([f"{env}/bin/dionode", "--version"])
        expect(version.split()[1] in wheel, f"{version} of {wheel}")
        must([f"{env}/bin/python", "-c", STEP, "1"])
        must([f"{env}/bin/dionode", "launch", "-n", "2", f"{env}/bin/python", "-c", STEP, "2"])
    finally:
        shutil.rmtree(folder)


tap()
