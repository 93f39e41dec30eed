"""Exit status 0 means that what was printed arrived: every command, with its output on a full device and in a pipe that
nobody reads. Each also succeeds where its output can be written, so that it is the output that fails."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, in_own_mounts, run, tap  # noqa: E402

IO = 5
COMMANDS = ["train", "compare", "eval", "finetune", "report", "generate", "export", "verify", "prepare", "tokenizer", "launch", "stat", "topo", "bench",
            "bench comm", "bench numa", "tokenizer train"]
MEASURE = ["bench", "comm", "--np", "2", "--op", "all-reduce", "-e", "64", "-n", "1", "--triad", "64K"]


def unwritable():
    """Standard outputs that take nothing, and why they do not."""
    full = os.open("/dev/full", os.O_WRONLY)
    yield full, "No space left on device"
    os.close(full)
    reader, writer = os.pipe()
    os.close(reader)
    yield writer, "Broken pipe"
    os.close(writer)


def run_into(out, command):
    return subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True, timeout=90)


def expect_told(arguments):
    """The command succeeds and prints; where it cannot print it says so, in one line, and leaves with 5."""
    command = [PROGRAM, *arguments]
    sound = run(command, errors="replace")
    expect(sound.returncode == 0 and sound.stdout, f"{arguments}: {sound.returncode}: {sound.stdout}{sound.stderr}")
    for out, reason in unwritable():
        done = run_into(out, command)
        said = [line for line in done.stderr.splitlines()  # on a busy machine there may be a warning, too
                if "cannot write the output" in line and not line.startswith("dionode: warning: ")]
        expect(done.returncode == IO, f"{arguments}: exit status {done.returncode}, {reason}: {done.stderr}")
        expect(len(said) == 1 and said[0].startswith("dionode: ") and said[0].endswith(reason),
               f"{arguments}: {done.stderr}")


@case
def help_version_and_lists_that_cannot_be_written_are_no_success():
    listed = run([PROGRAM, "--help"]).stdout
    commands = [line.split()[0] for line in listed.split("Commands:\n")[1].split("\n\n")[0].splitlines()]
    expect(sorted(commands) == sorted(c for c in COMMANDS if " " not in c), f"{commands}")
    for arguments in [["--help"], ["--version"], ["train", "--keys"], ["verify", "--inject", "list"]]:
        expect_told(arguments)
    for command in COMMANDS:
        expect_told([*command.split(), "--help"])
        if command not in ("bench", "tokenizer"):  # whose help is not argp's
            expect_told([*command.split(), "--usage"])


@case
def results_of_measurements_and_proofs_that_cannot_be_written_are_no_success():
    with Place() as place:
        text = place.file("text")
        with open(text, "w") as file:
            file.write("Nobody reads this.\n" * 10000)
        tiny = place.config(num_iterations=1, val_tokens=64)
        for arguments in [
                ["topo"],
                MEASURE,
                ["bench", "numa", "--buffer", "1M", "--seconds", "0.001"],
                ["verify", tiny, "-n", "2", "--steps", "1", "--precision", "float"],
                ["prepare", text, "-o", place.file("shards")],
                ["compare", tiny, "--optimizers", "adamw", "--lr", "0.001", "-o", place.file("compare"), "--np", "1"]]:
            expect_told(arguments)


@case
def what_a_run_has_reached_and_says_is_no_success_unwritten():
    with Place() as place:
        trained = place.train(num_iterations=1)
        expect(trained.returncode == 0, trained.stderr)
        expect_told(["eval", place.file("run")])
        expect_told(["report", "--csv", place.file("run")])
        labels = place.file("labels.tsv")
        with open(labels, "w") as file:
            file.writelines(f"{i % 2}\t{'ab'[i % 2]}\n" for i in range(20))
        expect_told(["finetune", place.file("run"), "--labels", labels, "num_iterations=2"])
        for out, reason in unwritable():  # the first row is not seen, and said once
            done = run_into(out, [PROGRAM, "finetune", place.file("run"), "--labels", labels, "--how", "hdc,head"])
            expect(done.returncode == IO and done.stderr.count("\n") == 1 and reason in done.stderr, f"{done.returncode}: {done.stderr}")
        for workers in "1", "2":
            expect_told(["generate", place.file("run"), "--tokens", "4", "--np", workers])
            for out, reason in unwritable():  # it ends where nobody reads on
                done = run_into(out, [PROGRAM, "generate", place.file("run"), "--tokens", "1000000000", "--np", workers])
                expect(done.returncode == IO and reason in done.stderr and "without an error message" not in done.stderr,
                       f"{done.returncode}: {done.stderr}")


@case
def the_state_of_a_run_that_cannot_be_written_is_no_success():
    process = subprocess.Popen([PROGRAM, "launch", "-n", "1", "sleep", "100"])
    try:
        end = time.monotonic() + 30
        while run([PROGRAM, "stat", str(process.pid)]).returncode != 0 and time.monotonic() < end:
            time.sleep(0.01)
        expect_told(["stat", str(process.pid)])
    finally:
        process.kill()
        process.wait()


@case
def files_that_can_still_be_written_are():
    with Place() as place:
        tiny, to = place.config(num_iterations=1, val_tokens=64), place.file("out")
        for arguments in [
                [*MEASURE, "--json", to],
                ["bench", "numa", "--buffer", "1M", "--seconds", "0.001", "--json", to],
                ["compare", tiny, "--optimizers", "adamw", "--lr", "0.001", "-o", place.file("compare"), "--np", "1",
                 "--json", to],
                ["verify", tiny, "-n", "2", "--steps", "1", "--precision", "float", "--json", to]]:
            with open("/dev/full", "w") as full:
                done = run_into(full, [PROGRAM, *arguments])
            expect(done.returncode == IO, f"{arguments}: {done.returncode}: {done.stderr}")
            if arguments[:2] != ["bench", "comm"]:  # which stops where nobody sees its rows
                expect(os.path.getsize(to) > 2, f"{arguments}: no file")
                os.unlink(to)


def writers(place, to):
    """Commands that write files beside what they print, of which `to` is one."""
    tiny = place.config(num_iterations=1, val_tokens=64)
    numa = ["bench", "numa", "--buffer", "1M", "--seconds", "0.001"]
    compare = ["compare", tiny, "--optimizers", "adamw", "--lr", "0.001", "-o", place.file("compare"), "--np", "1"]
    return [[*MEASURE, "--json", to], [*numa, "--json", to], [*numa, "--html", to], [*compare, "--json", to],
            [*compare, "--html", to], ["report", place.file("compare/adamw-lr0.001-s0"), "-o", to],
            ["verify", tiny, "-n", "2", "--steps", "1", "--precision", "float", "--json", to]]


@case
def a_full_disk_leaves_the_older_file_as_it_is_and_no_part_of_the_new_one():
    with Place() as place:
        for arguments in writers(place, "/mnt/to"):
            done = in_own_mounts("mount -t tmpfs -o size=8k none /mnt && cd /mnt && echo older >to && echo filler >filler && "
                                 f"{PROGRAM} {' '.join(arguments)} >/dev/null; s=$?; ls -A; cat to; exit $s")
            expect(done.returncode == IO and "/mnt/to" in done.stderr and "No space left" in done.stderr,
                   f"{arguments}: {done.returncode}: {done.stderr}")
            expect(done.stdout == "filler\nto\nolder\n", f"{arguments}: left behind: {done.stdout[:300]}")


@case
def files_of_the_user_beside_what_is_written_stay():
    with Place() as place:
        to = place.file("to")
        os.symlink("elsewhere", place.file("link"))
        for arguments in writers(place, place.file("link")):
            theirs = [to + suffix for suffix in (".tmp", ".float")] + [place.file("link" + s) for s in (".tmp", ".float")]
            for name in [*theirs, place.file("elsewhere")]:
                with open(name, "w") as file:
                    file.write("mine")
            before = sorted(os.listdir(place.path))
            done = run([PROGRAM, *arguments])
            expect(done.returncode == 0, f"{arguments}: {done.returncode}: {done.stderr}")
            for name in theirs:
                with open(name) as file:
                    expect(file.read() == "mine", f"{arguments}: {name} changed")
            expect(os.path.islink(place.file("link")), f"{arguments}: the link was replaced")
            expect(os.path.getsize(place.file("elsewhere")) > 4, f"{arguments}: nothing was written where the link leads")
            left = set(os.listdir(place.path)) - set(before) - {"compare"}
            expect(not left, f"{arguments}: left behind: {left}")


@case
def a_device_is_written_to_and_not_replaced():
    with Place() as place:
        for arguments in writers(place, "/mnt/full"):
            if arguments[0] == "verify":  # its workers write beside the file first
                continue
            done = in_own_mounts("mount -t tmpfs none /mnt && touch /mnt/full && mount --bind /dev/full /mnt/full && "
                                 f"{PROGRAM} {' '.join(arguments)} >/dev/null; s=$?; [ -c /mnt/full ] || exit 99; exit $s")
            expect(done.returncode == IO and "No space left" in done.stderr, f"{arguments}: {done.returncode}: {done.stderr}")


tap()
