"""The run's folder: one run at a time, nothing in it lost, and what is wrong with it is said in one line at the start."""
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, PROGRAM, alive, case, children, expect, in_own_mounts, random_tokens, run, tap, write_shard  # noqa: E402

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
            place.wait_for_step(11)  # whose checkpoint of step 10 waited for that of step 5
            before = children(first.pid)
            os.kill(before[0], signal.SIGKILL)
            limit = time.monotonic() + 30
            while (len(children(first.pid)) != 2 or before[0] in children(first.pid)) and time.monotonic() < limit:
                expect(first.poll() is None, "no restart")
                time.sleep(0.005)
            second = again(place, "num_iterations=1")  # which would end at once if it were let in
            expect(first.poll() is None, f"the first run has ended: {first.returncode}")
            expect_failure(second, IO, f"process {first.pid} ")
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
def two_texts_are_not_prepared_into_one_folder_at_a_time():
    with Place() as place:
        first = subprocess.Popen([PROGRAM, "prepare", "-", "-o", place.file("tokens")], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            first.stdin.write(b"first " * 50000)
            first.stdin.flush()
            limit = time.monotonic() + 30
            while not os.path.exists(place.file("tokens/.lock")) and time.monotonic() < limit:
                time.sleep(0.01)
            with open(place.file("text"), "w") as file:
                file.write("second " * 100000)
            second = run([PROGRAM, "prepare", place.file("text"), "-o", place.file("tokens")])
            expect_failure(second, IO, f"process {first.pid} on ", place.file("tokens"))
            _, errors = first.communicate(timeout=60)
            expect(first.returncode == 0, f"the first failed: {errors}")
        finally:
            end(first)
        files = sorted(os.listdir(place.file("tokens")))
        expect(files == ["train_000000.bin", "val_000000.bin"], f"{files}")


@case
def what_a_killed_writer_left_goes_when_the_next_run_starts():
    with Place() as place:
        os.mkdir(place.file("run"))
        for name in ("step_00000003.safetensors.01234567.tmp", "best.safetensors.89abcdef.tmp", "notes.01234567.tmp",
                     "best.safetensors.tmp"):
            with open(place.file(f"run/{name}"), "w") as file:
                file.write("part")
        first = place.start(num_iterations=100000)
        try:
            place.wait_for_step(1)
            files = sorted(os.listdir(place.file("run")))
            expect(files == [".lock", "best.safetensors.tmp", "metrics.jsonl", "notes.01234567.tmp"], f"{files}")
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
        quiet = again(place, "num_iterations=2", "checkpoint_freq=7", "timeout_s=30", "stop_after=2")
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


def step_of(path):
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        return int(json.loads(file.read(length))["__metadata__"]["step"])


def loss_of(run_or_file):
    done = run([PROGRAM, "eval", run_or_file])
    expect(done.returncode == 0, done.stderr)
    return float(done.stdout.split()[1])


@case
def the_best_by_validation_stays_under_its_own_name_over_resumes_too():
    """A third of what is validated never comes up in training: the loss falls, and then rises."""
    keys = {"val_tokens": 512, "val_loss_every": 4, "checkpoint_freq": 8, "lr": 0.01, "num_iterations": 32,
            "warmdown_ratio": 0}
    with Place() as place:
        draw = random.Random(5)
        write_shard(place.file("data/train_000000.bin"), random_tokens(5000, below=64))
        write_shard(place.file("data/val_000000.bin"), [draw.randrange(64 if i % 3 else 256) for i in range(1000)])
        for stop_after in (0, 12, 32):  # the whole run, and another in pieces
            done = place.train(stop_after=stop_after, checkpoint_dir=place.file("parts" if stop_after else "run"), **keys)
            expect(done.returncode == 0, done.stderr)
        losses = {line["step"]: line["val_loss"] for line in place.metrics() if "val_loss" in line}
        saved = min((loss, step) for step, loss in losses.items() if step % 8 == 0)
        expect(8 < saved[1] < 24, f"the best is the first, or among the newest; the test says nothing: {losses}")
        for name in ("run", "parts"):
            files = sorted(os.listdir(place.file(name)))
            expect(files == ["best.safetensors", "metrics.jsonl", "step_00000024.safetensors", "step_00000032.safetensors"],
                   f"{name}: {files}")
            best = place.file(f"{name}/best.safetensors")
            expect(step_of(best) == saved[1], f"{name}: the best is of step {step_of(best)}, not {saved[1]}: {losses}")
            expect(abs(loss_of(best) - saved[0]) < 2e-6, f"{loss_of(best)}, not {saved[0]}")  # six digits are printed
            expect(abs(loss_of(place.file(name)) - losses[32]) < 2e-6, "without a name it is the newest")
        expect(run([PROGRAM, "generate", place.file("run/best.safetensors"), "x", "--tokens", "3"]).returncode == 0, "generate")
        for step in (24, 32):
            os.remove(place.file(f"run/step_{step:08d}.safetensors"))
        expect_failure(place.train(**keys), CHECKPOINT, "best.safetensors", "move it away")
        expect(step_of(place.file("run/best.safetensors")) == saved[1], "it was replaced")


@case
def losses_of_other_validation_tokens_do_not_say_which_is_the_best():
    """The first validation is of what is trained, the second of what never comes up: all its losses are larger."""
    keys = {"val_tokens": 512, "val_loss_every": 4, "checkpoint_freq": 4, "lr": 0.01}
    with Place() as place:
        write_shard(place.file("data/train_000000.bin"), random_tokens(5000, below=64))
        write_shard(place.file("data/val_000000.bin"), random_tokens(1000, below=64))
        write_shard(place.file("data/other.bin"), [200 + token % 50 for token in random_tokens(1000)])
        expect(place.train(num_iterations=8, **keys).returncode == 0, "training failed")
        done = place.train(num_iterations=12, val_files=place.file("data/other.bin"), **keys)
        expect(done.returncode == 0, done.stderr)
        losses = {line["step"]: line["val_loss"] for line in place.metrics() if "val_loss" in line}
        expect(losses[12] > max(losses[4], losses[8]), f"the test says nothing: {losses}")
        best = step_of(place.file("run/best.safetensors"))
        expect(best == 12, f"the best is of step {best}, which was validated on other tokens: {losses}")


@case
def as_many_checkpoints_are_kept_as_are_asked_for():
    with Place() as place:
        for keep, steps in ((1, [5]), (3, [3, 4, 5])):
            name = f"run{keep}"
            done = place.train(checkpoint_dir=place.file(name), checkpoint_freq=1, checkpoint_keep=keep, num_iterations=5)
            expect(done.returncode == 0, done.stderr)
            files = sorted(file for file in os.listdir(place.file(name)) if "tensors" in file)
            expect(files == [f"step_{step:08d}.safetensors" for step in steps], f"{files}")
        expect_failure(again(place, "checkpoint_keep=0"), CONFIG, "checkpoint_keep")


@case
def room_for_the_checkpoints_is_asked_for_before_the_first_step():
    """A checkpoint of this model takes some 420 KB: there is room for one, and with validation three can be there at
    once."""
    with Place() as place:
        train = " ".join(place.command(checkpoint_dir="/mnt/run", num_iterations=4, val_tokens=128))
        for arguments, files in (("checkpoint_freq=1", 3), ("checkpoint_freq=1 checkpoint_keep=1", 3),
                                 ("checkpoint_freq=1 checkpoint_keep=4", 4), ("checkpoint_freq=2", 2)):
            done = in_own_mounts(f"mount -t tmpfs -o size=700k none /mnt && {train} {arguments}; s=$?; ls -A /mnt; exit $s")
            expect_failure(done, IO, "/mnt/run", f"{files} at once", "only 0.7 MB are free")
            expect(done.stdout == "", f"left behind: {done.stdout}")
        done = in_own_mounts(f"mount -t tmpfs -o size=700k none /mnt && {train}")
        expect(done.returncode == 0, done.stderr)


@case
def a_disk_that_fills_up_while_a_run_goes_on_is_a_warning_and_then_well_again():
    with Place() as place:
        # Some hundred steps a second: room is looked at once a second, and what is left of it holds a thousand lines of metrics.
        train = " ".join(place.command(checkpoint_dir="/mnt/run", num_iterations=100000000, batch_size=64))
        log = place.file("log")
        wait = f"while kill -0 $pid && ! grep -q '%s' {log}; do sleep 0.1; done"
        done = in_own_mounts(f"mount -t tmpfs -o size=4m none /mnt; {train} 2>{log} & pid=$!; "
                             "while kill -0 $pid && [ ! -s /mnt/run/metrics.jsonl ]; do sleep 0.05; done;"
                             "head -c 3800k /dev/zero >/mnt/ballast;"
                             f"{wait % 'are free'}; rm /mnt/ballast; {wait % 'again'}; kill -TERM $pid; wait $pid; exit $?")
        with open(log) as file:
            text = file.read()
        lines = [line for line in text.splitlines() if "are free" in line or "again" in line]
        expect(done.returncode == 128 + signal.SIGTERM, f"{done.returncode} {done.stderr} {text}")
        expect(len(lines) == 2 and "warning: /mnt/run" in lines[0] and "can be saved again" in lines[1], f"{lines}")


@case
def the_root_of_the_file_system_is_no_folder_of_a_run():
    with Place() as place:
        for name in ("/", "//", "/tmp/.."):
            expect_failure(place.train(checkpoint_dir=name), CONFIG, f"{name} is the root")


@case
def keys_that_an_evaluation_would_ignore_are_refused():
    with Place() as place:
        expect(place.train(num_iterations=2, val_tokens=128).returncode == 0, "training failed")
        for key in ("checkpoint_dir", "lr", "seed", "batch_size", "train_files"):
            expect_failure(run([PROGRAM, "eval", place.file("run"), f"{key}=1"]), CONFIG, f"{key} changes nothing")
        done = run([PROGRAM, "eval", place.file("run"), "val_tokens=64", "n_head=2", "data_dir=" + place.file("data")])
        expect(done.returncode == 0, done.stderr)


@case
def a_folder_that_is_moved_replaced_or_unlocked_under_a_run_gets_nothing_more_from_it():
    """Whoever took its place, or the lock that is gone, may have saved there; the run warns, and saves nothing."""
    def move(place):
        os.rename(place.file("run"), place.file("moved"))

    def replace(place):
        move(place)
        os.mkdir(place.file("run"))

    def unlock(place):
        os.remove(place.file("run/.lock"))

    for hurt in (move, replace, unlock):
        with Place() as place:
            process = place.start(np=2, num_iterations=1000000)
            try:
                place.wait_for_step(3)
                hurt(place)
                if hurt != move:  # as whoever is at work there now
                    with open(place.file("run/.lock"), "w") as file:
                        file.write("process 7 on elsewhere")
                    if hurt == replace:
                        shutil.copy(place.file("moved/metrics.jsonl"), place.file("run"))
                for line in process.stderr:
                    if "warning: " in line and place.file("run") in line:
                        break
                process.send_signal(signal.SIGTERM)
                _, errors = process.communicate(timeout=60)
            finally:
                end(process)
            expect(process.returncode == IO, f"{hurt.__name__}: {process.returncode}: {errors}")
            expect(f"{place.file('run')} was moved or replaced" in errors and "nothing is saved" in errors, errors)
            left = sorted(os.listdir(place.file("run"))) if hurt != move else os.path.exists(place.file("run"))
            expect(left == {move: False, replace: [".lock", "metrics.jsonl"], unlock: [".lock", "metrics.jsonl"]}[hurt],
                   f"{hurt.__name__}: {left}")


@case
def metrics_that_are_missing_when_a_run_goes_on_are_told_with_their_steps():
    for kept, told in (([], "1-6"), ([1, 2, 3], "4-6"), ([2, 3, 5, 6], "1, 4")):
        with Place() as place:
            expect(place.train(num_iterations=20, stop_after=6).returncode == 0, "training failed")
            lines = [line for line in place.metrics() if line["step"] in kept]
            os.remove(place.file("run/metrics.jsonl"))
            if kept:
                with open(place.file("run/metrics.jsonl"), "w") as file:
                    file.writelines(json.dumps(line) + "\n" for line in lines)
            done = place.train(num_iterations=20, stop_after=8)
            expect(done.returncode == 0, done.stderr)
            warnings = [line for line in done.stderr.splitlines() if "warning" in line]
            expect(len(warnings) == 1 and f"before the checkpoint: {told}" in warnings[0], f"{kept}: {done.stderr}")
            expect([line["step"] for line in place.metrics()] == kept + [7, 8], f"{place.metrics()}")


@case
def files_that_are_not_ours_are_left_alone_and_nobody_is_told_to_delete_them():
    with Place() as place:
        theirs = {"model.safetensors": struct.pack("<Q", 2) + b"{}", "text": b"mine " * 100, "step_00000007.safetensors": b"?"}
        os.mkdir(place.file("run"))
        for name, content in theirs.items():
            with open(place.file(f"run/{name}"), "wb") as file:
                file.write(content)
        os.mkdir(place.file("metrics"))
        with open(place.file("metrics/metrics.jsonl"), "w") as file:
            file.write('{"loss": 1, "step": 3}\n')
        done = [run([PROGRAM, command, place.file(f"run/{name}")]) for name in theirs for command in ("eval", "generate")]
        done += [place.train(), place.train(checkpoint_dir=place.file("metrics"))]
        for failed in done:
            expect_failure(failed, CHECKPOINT, place.path)
            expect(not any(word in error_line(failed) for word in ("delete", "remove")), error_line(failed))
        for name, content in theirs.items():
            with open(place.file(f"run/{name}"), "rb") as file:
                expect(file.read() == content, f"{name} changed")
        with open(place.file("metrics/metrics.jsonl")) as file:
            expect(file.read() == '{"loss": 1, "step": 3}\n', "metrics changed")


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
