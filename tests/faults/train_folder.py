"""The run's folder: one run at a time, nothing in it lost, and what is wrong with it is said in one line at the start."""
import os
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, PROGRAM, alive, case, children, expect, in_own_mounts, run, tap  # noqa: E402

CONFIG, DATA, CHECKPOINT, IO = 2, 3, 4, 5


def error_line(done):
    lines = [line for line in done.stderr.splitlines() if line.startswith("dionode: ") and "warning" not in line]
    expect(len(lines) == 1, f"{len(lines)} error lines: {done.stderr}")
    return lines[0]


def expect_failure(done, status, *words):
    expect(done.returncode == status, f"exit status {done.returncode}, not {status}: {done.stderr}")
    for word in words:
        expect(word in error_line(done), f"'{word}' is missing in: {error_line(done)}")


def again(place, *assignments):
    """Another process on the same configuration file, which the workers of a restart read again."""
    return run([PROGRAM, "train", "--np", "1", place.file("config.yaml"), *assignments])


def end(process):
    process.kill()
    process.communicate()


@case
def a_second_run_in_a_folder_names_the_first_and_changes_nothing():
    with Place() as place:
        first = place.start(np=2, num_iterations=100000, checkpoint_freq=5)
        try:
            place.wait_for_step(3)
            os.symlink("run", place.file("link"))
            for name in ("run", "link", "run/../link/."):
                second = again(place, "checkpoint_dir=" + place.file(name), "num_iterations=3", "seed=7")
                expect_failure(second, IO, f"process {first.pid} on {socket.gethostname()} since ", "is in use")
            first.send_signal(signal.SIGTERM)
            _, errors = first.communicate(timeout=60)
            expect(first.returncode == 128 + signal.SIGTERM, errors)
        finally:
            end(first)
        steps = [line["step"] for line in place.metrics()]
        expect(steps == list(range(1, len(steps) + 1)), f"steps {steps}")
        expect(".lock" not in os.listdir(place.file("run")), "the lock file is left")


@case
def the_lock_dies_with_its_owner_and_outlives_a_restart():
    with Place() as place:
        command = place.command(np=2, num_iterations=100000, checkpoint_freq=5)
        first = subprocess.Popen(command[:2] + ["--max-restarts", "1"] + command[2:], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        try:
            place.wait_for_step(6)
            before = children(first.pid)
            os.kill(before[0], signal.SIGKILL)
            limit = time.monotonic() + 30
            while (len(children(first.pid)) != 2 or before[0] in children(first.pid)) and time.monotonic() < limit:
                expect(first.poll() is None, "no restart")
                time.sleep(0.005)
            expect_failure(again(place), IO, f"process {first.pid} ")
            workers = children(first.pid)
            first.kill()
            first.wait()
            while any(map(alive, workers)) and time.monotonic() < limit:
                time.sleep(0.005)
        finally:
            end(first)
        after = again(place, f"stop_after={int(newest(place)[5:13]) + 1}")
        expect(after.returncode == 0, after.stderr)


def newest(place):
    return max(name for name in os.listdir(place.file("run")) if name.startswith("step_"))


@case
def a_second_comparison_in_a_folder_is_refused_as_is_a_run_of_it():
    with Place() as place:
        config = place.config(val_tokens=256, num_iterations=100000)
        words = [PROGRAM, "compare", config, "-n", "1", "--optimizers", "adamw", "--lr", "0.001", "-o", place.file("out")]
        first = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            name = "out/adamw-lr0.001-s0"
            place.wait_for_step(3, name)
            expect_failure(run(words), IO, f"process {first.pid} on ", place.file("out"))
            expect_failure(again(place, "checkpoint_dir=" + place.file(name)), IO, f"process {first.pid} on ")
        finally:
            end(first)


@case
def a_key_of_the_architecture_cannot_change_on_the_way():
    """Fewer layers and other heads fit the tensors that are there: nothing else would refuse them."""
    with Place() as place:
        expect(place.train(num_iterations=2, val_tokens=128).returncode == 0, "training failed")
        for key, was, other in (("n_head", 2, 4), ("n_layer", 2, 1), ("model_dim", 32, 48), ("vocab_size", 256, 512)):
            told = f"{key} {was} -> {other}"
            expect_failure(again(place, "num_iterations=4", f"{key}={other}"), CHECKPOINT, "step_00000002", told)
            expect_failure(run([PROGRAM, "eval", place.file("run"), f"{key}={other}"]), CHECKPOINT, "step_00000002", told)
        same = run([PROGRAM, "eval", place.file("run"), "n_head=2"])
        expect(same.returncode == 0, same.stderr)


@case
def changed_settings_are_told_in_one_line_when_a_run_goes_on():
    with Place() as place:
        expect(place.train(num_iterations=2).returncode == 0, "training failed")
        quiet = again(place, "num_iterations=2", "checkpoint_freq=7", "timeout_s=30", "stop_after=1")
        expect(quiet.returncode == 0 and "warning" not in quiet.stderr, quiet.stderr)
        os.rename(place.file("data"), place.file("other"))
        loud = again(place, "num_iterations=3", "lr=0.01", "seed=5", "data_dir=" + place.file("other"), "nesterov=true",
                     "schedule=cosine", "batch_size=4", "mu=0.9")
        lines = [line for line in loud.stderr.splitlines() if "warning" in line]
        expect(loud.returncode == 0 and len(lines) == 1, loud.stderr)
        for told in ("num_iterations 2 -> 3", "lr 0.02 -> 0.01", "seed 0 -> 5", "nesterov false -> true", "mu 0.95 -> 0.9",
                     "schedule 'trapezoid' -> 'cosine'", "batch_size 8 -> 4",
                     f"data_dir '{place.file('data')}' -> '{place.file('other')}'"):
            expect(told in lines[0], f"'{told}' is missing in: {lines[0]}")


@case
def a_folder_that_cannot_be_one_is_said_at_the_start():
    with Place() as place:
        with open(place.file("file"), "w") as file:
            file.write("mine")
        os.symlink("nowhere", place.file("dangling"))
        os.mkfifo(place.file("fifo"))
        expect_failure(place.train(checkpoint_dir=place.file("file")), IO, "file", "not a directory")
        expect_failure(place.train(checkpoint_dir=place.file("file/run")), IO, "file", "ot a directory")
        expect_failure(place.train(checkpoint_dir=place.file("fifo")), IO, "fifo", "not a directory")
        expect_failure(place.train(checkpoint_dir=place.file("dangling")), IO, "dangling", "symbolic link")
        expect(open(place.file("file")).read() == "mine", "the file changed")
        mount = in_own_mounts(f"mount -t tmpfs none /mnt && mkdir /mnt/run && mount -o remount,ro /mnt && "
                              f"{' '.join(place.command(checkpoint_dir='/mnt/run'))}")
        expect_failure(mount, IO, "/mnt/run", "Read-only file system")


tap()
