"""quickstart and check where something is wrong with the machine or the tree: one clear line, or they go on. Package manager,
build and program are stand-ins that write down how they were called."""
import os
import shlex
import shutil
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Skip, case, expect, in_own_mounts, run, tap  # noqa: E402

SOURCE = os.environ["SOURCE"]
NO_NETWORK = "\n".join(f"W: Failed to fetch http://deb.debian.org/{i}  Temporary failure resolving 'deb.debian.org'" for i in range(90))
INTERRUPTED = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem."
STUBS = {
    "dpkg-query": 'case " $MISSING " in *" ${!#} "*) exit 1 ;; esac; echo installed',
    "sudo": '"$@"',
    "apt-get": """echo "apt-get $*" >>"$CALLS"
case "$*" in
  *update*) [ "$APT" = no_network ] && cat "$STUBS/no_network" >&2; exit 0 ;;
  *install*) [ "$APT" = interrupted ] && echo "$INTERRUPTED" >&2
             [ "$APT" = no_network ] && echo 'E: Unable to locate package meson' >&2
             [ -z "$APT" ]; exit ;;
  *download*) [ -z "$APT" ] || { cat "$STUBS/no_network" >&2; exit 100; }; touch dict-gcide_0.48.5_all.deb ;;
esac""",
    "dpkg-deb": 'tar -c -C "$STUBS/dictionary" ./usr',
    "meson": """echo "meson $*" >>"$CALLS"; [ "$1" = setup ] || exit 0; mkdir -p "$2/meson-info"; touch "$2/build.ninja"
printf '{"directories": {"source": "%s"}}' "$(pwd -P)" >"$2/meson-info/meson-info.json" """,
    "ninja": """echo ninja >>"$CALLS"; cp "$STUBS/program" build/dionode""",
    "program": """echo "dionode $*" >>"$CALLS"
[ "$1" != verify ] || exit "${VERIFIED:-0}"
[ "$1" != prepare ] || { folder=${*: -1}; mkdir -p "$folder"; touch "$folder/val_000000.bin"; }""",
}


class Tree:
    """What quickstart and check need of the source, in a folder with an awkward name."""

    def __enter__(self):
        self.root = tempfile.mkdtemp(prefix="dionode-test-")
        os.chmod(self.root, 0o755)
        self.path, self.stubs = os.path.join(self.root, "Träger 1"), os.path.join(self.root, "stubs")
        os.makedirs(self.path)
        os.makedirs(os.path.join(self.stubs, "dictionary/usr/share/dictd"))
        for name in "quickstart", "check":
            shutil.copy(os.path.join(SOURCE, name), self.path)
        for name in "scripts", "configs":
            shutil.copytree(os.path.join(SOURCE, name), os.path.join(self.path, name))
        for name, text in STUBS.items():
            self.write(os.path.join(self.stubs, name), "#!/bin/bash\n" + text + "\n")
            os.chmod(os.path.join(self.stubs, name), 0o755)
        self.write(os.path.join(self.stubs, "no_network"), NO_NETWORK + "\n")
        self.write(os.path.join(self.stubs, "dictionary/usr/share/dictd/gcide.dict.dz"), "words")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.root, ignore_errors=True)

    def write(self, path, text):
        with open(os.path.join(self.path, path), "w", encoding="utf-8") as file:
            file.write(text)

    def environment(self, **changes):
        return dict(os.environ, PATH=self.stubs + ":" + os.environ["PATH"], STUBS=self.stubs, INTERRUPTED=INTERRUPTED,
                    CALLS=os.path.join(self.path, "calls"), APT="", MISSING="", **changes)

    def run(self, *command, environment=None, **options):
        calls = os.path.join(self.path, "calls")
        if os.path.exists(calls) and not options:
            os.remove(calls)
        return run([os.path.join(self.path, command[0]), *command[1:]], env=self.environment() | (environment or {}), **options)

    def quickstart_without_dictionary(self, **changes):
        """On a machine where dict-gcide is not installed."""
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in (self.environment() | changes).items()
                            if name in ("PATH", "STUBS", "CALLS", "APT", "MISSING", "INTERRUPTED"))
        return in_own_mounts(f"[ ! -d /usr/share/dictd ] || mount -t tmpfs none /usr/share/dictd; "
                             f"{settings} exec {shlex.quote(self.path)}/quickstart")

    def calls(self):
        try:
            with open(os.path.join(self.path, "calls"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return ""


def stops(done, *words):
    lines = done.stderr.splitlines()
    expect(done.returncode == 2 and len(lines) == 1 and all(word in lines[0] for word in words),
           f"exit status {done.returncode}, not 2, or not one line with {words}: {done.stderr}")


def goes_through(done):
    expect(done.returncode == 0 and not done.stderr, f"exit status {done.returncode}: {done.stderr}")


@case
def check_says_how_it_is_called():
    with Tree() as tree:
        stops(tree.run("check", "foo"), "'foo'", "usage: ./check [--full [SUITE]]")


@case
def the_dictionary_is_fetched_and_nothing_is_installed_for_it():
    with Tree() as tree:
        stops(tree.quickstart_without_dictionary(APT="no_network"), "Temporary failure resolving", "./quickstart FILE")
        os.remove(os.path.join(tree.path, "calls"))
        goes_through(tree.quickstart_without_dictionary())
        calls = tree.calls()
        expect("download dict-gcide" in calls and "install" not in calls and "sudo" not in calls, calls)
        expect("dionode prepare data/gcide.dict.dz -o data/gcide" in calls, calls)
        goes_through(tree.run("quickstart", environment={"APT": "no_network"}))
        expect("apt-get" not in tree.calls() and "prepare" not in tree.calls(), f"done again: {tree.calls()}")


@case
def what_apt_cannot_do_is_one_line():
    with Tree() as tree:
        for script in "quickstart", "check":
            stops(tree.run(script, environment={"MISSING": "meson", "APT": "interrupted"}), script, "meson", "dpkg --configure -a")
            stops(tree.run(script, environment={"MISSING": "meson", "APT": "no_network"}), script, "Temporary failure resolving")
        tree.write("own", "text")
        goes_through(tree.run("quickstart", os.path.join(tree.path, "own"), environment={"APT": "no_network"}))


@case
def a_tree_that_was_moved_is_built_anew():
    with Tree() as tree:
        tree.write("own", "text")
        goes_through(tree.run("quickstart", os.path.join(tree.path, "own")))
        goes_through(tree.run("quickstart", os.path.join(tree.path, "own")))
        expect("meson" not in tree.calls(), f"configured again: {tree.calls()}")
        os.rename(tree.path, tree.path + "2")
        tree.path += "2"
        goes_through(tree.run("quickstart", os.path.join(tree.path, "own")))
        expect("meson setup build" in tree.calls() and "prepare" not in tree.calls(), tree.calls())


@case
def a_tree_that_cannot_be_written_is_one_line():
    with Tree() as tree:
        for script in "quickstart", "check":
            done = in_own_mounts(f"mount --bind '{tree.path}' '{tree.path}' && mount -o remount,bind,ro '{tree.path}' && "
                                 f"cd '{tree.path}' && ./{script}")
            stops(done, "cannot be written to")


@case
def a_build_folder_of_another_user_is_one_line():
    if os.getuid() != 0:
        raise Skip("needs root")
    with Tree() as tree:
        for folder in "build", "build-check":
            os.mkdir(os.path.join(tree.path, folder))
        os.chown(tree.path, 65534, 65534)
        for script, folder in ("quickstart", "build"), ("check", "build-check"):
            stops(tree.run(script, user=65534, group=65534, extra_groups=[]), folder, "another user")


@case
def settings_reach_the_training():
    with Tree() as tree:
        tree.write("own", "text")
        goes_through(tree.run("quickstart", os.path.join(tree.path, "own"), "num_iterations=7", "checkpoint_dir=runs/mine"))
        expect(" num_iterations=7 checkpoint_dir=runs/mine\n" in tree.calls(), tree.calls())
        expect("dionode generate runs/mine" in tree.calls(), tree.calls())


@case
def a_text_is_known_by_what_is_in_it():
    with Tree() as tree:
        folder = os.path.join(tree.root, "my texts")
        os.mkdir(folder)
        text = os.path.join(folder, "own")
        tree.write(text, "text")
        for argument in text, folder:
            goes_through(tree.run("quickstart", argument))
        os.utime(text, (1, 1))
        goes_through(tree.run("quickstart", text))
        expect("prepare" not in tree.calls(), "a text that was touched is prepared again")
        tree.write(text, "next")
        goes_through(tree.run("quickstart", text))
        expect("prepare" in tree.calls(), "another text of the same name and size is taken for the first")


@case
def cpu_check_ends_with_a_table_and_fails_where_something_is_wrong():
    products = "# cpu-avx512: best square product 90 GFLOP/s, limit of its arithmetic 100 GFLOP/s; all by OpenBLAS"
    amx = products + "\n# cpu-amx: best square product 800 GFLOP/s, limit of its arithmetic 1600.0 GFLOP/s; of layers"
    trained = "quickstart         1     float        1000\nquickstart         1     mixed        3100"
    with Tree() as tree:
        for limits, speed, table in ((products, "", ["not here: no instructions for bfloat16"]),
                                     (amx, trained, ["3.10 times as fast by cpu-amx", "800 GFLOP/s, 50 % of its limit"]),
                                     (amx, "", ["FAILS"])):
            os.makedirs(os.path.join(tree.path, "build/bench"), exist_ok=True)
            for name, text in ("bench_products", limits), ("bench_train", speed):
                tree.write(f"build/bench/{name}", f"#!/bin/sh\necho '{text}'\n")
                os.chmod(os.path.join(tree.path, f"build/bench/{name}"), 0o755)
            done = tree.run("scripts/cpu_check", "build")
            expect(done.returncode == (table == ["FAILS"]) and all(words in done.stdout for words in table), done.stdout)
            expect("mixed_f32" in tree.calls(), tree.calls())
            done = tree.run("scripts/cpu_check", "build", environment={"VERIFIED": "9"})
            expect(done.returncode == 1 and "FAILS" in done.stdout, done.stdout)
        done = tree.run("scripts/cpu_check", "one", "two")
        expect(done.returncode == 1 and "scripts/cpu_check [BUILD]" in done.stderr, done.stderr)


tap()
