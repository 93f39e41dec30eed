"""What goes wrong around a run: each fault must give one clear line and the documented exit status, and leave no process,
no half-written file and nothing in /dev/shm."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import (Place, PROGRAM, alive, case, children, expect, in_own_mounts, random_tokens, run, tap,  # noqa: E402
                  write_shard)

CONFIG, DATA, CHECKPOINT, IO, MEMORY, PEER, TIMEOUT, NUMERIC, SYSTEM = 2, 3, 4, 5, 6, 7, 8, 9, 10


def shared_memory_files():
    """Ours: other programs' libraries leave theirs there, too."""
    return {name for name in os.listdir("/dev/shm") if name.startswith("dionode")}


def nothing_left_in_shared_memory(before):
    """Other tests pass names through /dev/shm at the same time: what is left is what stays."""
    end = time.monotonic() + 5
    while shared_memory_files() - before and time.monotonic() < end:
        time.sleep(0.05)
    expect(not shared_memory_files() - before, f"left in /dev/shm: {shared_memory_files() - before}")


def expect_failure(done, status, *words):
    """One line about the error, with these words in it; the run's own progress lines may stand before it."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("dionode: ") and "warning" not in line]
    expect(done.returncode == status, f"exit status {done.returncode}, not {status}: {done.stderr}")
    expect(len(lines) == 1, f"{len(lines)} error lines: {done.stderr}")
    for word in words:
        expect(word in lines[0], f"'{word}' is missing in: {lines[0]}")


def no_half_files(place):
    for folder, _, files in os.walk(place.path):
        for name in files:
            expect(".tmp" not in name and name != "core", f"left behind: {folder}/{name}")


@case
def a_mistyped_key_is_named_with_its_line_and_the_likely_meaning():
    with Place() as place:
        path = place.config()
        with open(path) as file:
            line = len(file.readlines()) + 1
        with open(path, "a") as file:
            file.write("modle_dim: 32\n")
        expect_failure(run([PROGRAM, "train", path]), CONFIG, f"config.yaml:{line}", "modle_dim", "'model_dim'")


@case
def a_mistyped_argument_and_a_missing_configuration_are_named():
    with Place() as place:
        expect_failure(run([PROGRAM, "train", place.config(), "larning_rate=1"]), CONFIG, "larning_rate")
        expect_failure(run([PROGRAM, "train", place.file("none.yaml")]), CONFIG, "none.yaml", "No such file")


@case
def sizes_that_do_not_divide_name_both_numbers():
    with Place() as place:
        expect_failure(place.train(np=2, fs_size=3), CONFIG, "fs_size 3", "workers, 2")
        expect_failure(place.train(n_head=5), CONFIG, "n_head", "5", "32")


@case
def a_missing_data_file_is_named():
    with Place() as place:
        expect_failure(place.train(data_dir=place.file("nowhere")), DATA, "nowhere")


@case
def a_shard_with_a_wrong_magic_is_named():
    with Place() as place:
        write_shard(place.file("data/train_000000.bin"), random_tokens(5000), magic=20240521)
        expect_failure(place.train(), DATA, "train_000000.bin", "20240520")


@case
def a_truncated_shard_is_named():
    with Place() as place:
        path = place.file("data/train_000000.bin")
        os.truncate(path, os.path.getsize(path) - 3)
        expect_failure(place.train(), DATA, "train_000000.bin", "truncated")


@case
def a_token_beyond_the_vocabulary_is_named_with_its_place():
    with Place() as place:
        write_shard(place.file("data/train_000000.bin"), [7] * 3000 + [300] + [7] * 2000)
        expect_failure(place.train(num_iterations=100), DATA, "train_000000.bin", "300", "3000")


def damage(path, how):
    with open(path, "r+b") as file:
        size = os.path.getsize(path)
        if how == "truncated":
            file.truncate(size * 2 // 3)
        else:
            file.seek(size // 2)
            byte = file.read(1)
            file.seek(size // 2)
            file.write(bytes([byte[0] ^ 1]))


@case
def a_damaged_checkpoint_is_refused_and_the_older_one_still_serves():
    for how in ("truncated", "one bit"):
        with Place() as place:
            expect(place.train(num_iterations=10, checkpoint_freq=5).returncode == 0, "training failed")
            newest = place.file("run/step_00000010.safetensors")
            damage(newest, how)
            expect_failure(place.train(num_iterations=12), CHECKPOINT, "step_00000010.safetensors")
            expect_failure(run([PROGRAM, "generate", place.file("run"), "x"]), CHECKPOINT, "step_00000010")
            os.remove(newest)
            again = place.train(num_iterations=12)
            expect(again.returncode == 0 and "after step 5" in again.stderr, again.stderr)


@case
def a_checkpoint_under_the_name_of_another_step_is_refused():
    """It would stay the newest by name: each run would begin there again, and eval would show its weights."""
    with Place() as place:
        expect(place.train(num_iterations=4, checkpoint_freq=2).returncode == 0, "training failed")
        right, wrong = (place.file(f"run/step_{step:08}.safetensors") for step in (2, 9))
        os.rename(right, wrong)
        for done in (place.train(num_iterations=6), run([PROGRAM, "eval", place.file("run"), "val_tokens=64"]),
                     run([PROGRAM, "generate", place.file("run"), "x"], errors="replace")):
            expect_failure(done, CHECKPOINT, "step_00000009.safetensors is a checkpoint of step 2",
                           "rename it to step_00000002.safetensors")
        os.rename(wrong, place.file("run/step_000000002.safetensors"))  # nine digits: no name that a run gives
        again = place.train(num_iterations=6)
        expect(again.returncode == 0 and "after step 4" in again.stderr, again.stderr)
        expect(os.path.exists(place.file("run/step_000000002.safetensors")), "a file of another name is removed")
        os.remove(place.file("run/step_00000004.safetensors"))
        os.remove(place.file("run/step_00000006.safetensors"))
        expect_failure(run([PROGRAM, "eval", place.file("run"), "val_tokens=64"]), CHECKPOINT, "holds no checkpoint")


@case
def a_checkpoint_of_another_model_is_refused():
    with Place() as place:
        expect(place.train(num_iterations=2).returncode == 0, "training failed")
        expect_failure(place.train(num_iterations=4, model_dim=48), CHECKPOINT, "model_dim 32 -> 48")


@case
def a_dev_shm_that_is_too_small_is_said_and_got_round():
    with Place() as place:
        command = " ".join(place.command(np=2, num_iterations=3))
        done = in_own_mounts(f"mount -t tmpfs -o size=64k none /dev/shm && {command}")
        expect(done.returncode == 0, done.stderr)
        warnings = [line for line in done.stderr.splitlines() if "/dev/shm" in line]
        expect(len(warnings) == 1 and "warning" in warnings[0], done.stderr)


@case
def a_full_disk_is_an_error_and_keeps_the_older_checkpoint_whole():
    with Place() as place:
        # The checkpoint of this model takes some 420 KB: the disk has room for one and not for two.
        train = " ".join(place.command(checkpoint_dir="/mnt/run", num_iterations=4))
        done = in_own_mounts(f"mount -t tmpfs -o size=700k none /mnt && {train} stop_after=2 2>/dev/null &&"
                             f"sum /mnt/run/*tensors && {{ {train}; s=$?; sum /mnt/run/*tensors; ls -A /mnt/run; exit $s; }}")
        expect_failure(done, IO, "/mnt/run", "free")
        before, after, *files = done.stdout.splitlines()
        expect(before == after, "the older checkpoint changed")
        expect(sorted(files) == ["metrics.jsonl", "step_00000002.safetensors"], f"left behind: {files}")


@case
def more_workers_than_memory_allows_is_refused_with_what_is_needed():
    with Place() as place:
        done = place.train(np=64, batch_size=64, device_batch_size=1, model_dim=8192, n_layer=48, n_head=64)
        expect_failure(done, MEMORY, "64 workers", "GiB")


def running(place, **changes):
    """A run of two workers that would last for minutes, some steps in, with its workers' process numbers."""
    process = place.start(np=2, num_iterations=100000, **changes)
    place.wait_for_step(3)
    workers = children(process.pid)
    expect(len(workers) == 2, f"workers: {workers}")
    return process, workers


def finish(process):
    out, errors = process.communicate(timeout=30)
    return subprocess.CompletedProcess([], process.returncode, out, errors)


@case
def a_killed_worker_ends_the_run_at_once_and_is_named():
    for victim in (0, 1):
        with Place() as place:
            before = shared_memory_files()
            process, workers = running(place, checkpoint_freq=2)
            os.kill(workers[victim], signal.SIGKILL)
            started = time.monotonic()
            done = finish(process)
            expect(time.monotonic() - started < 5, "took longer than 5 s to end")
            expect_failure(done, PEER, f"worker {victim}", str(workers[victim]), "9")
            expect(not any(map(alive, workers)), "a worker is left")
            nothing_left_in_shared_memory(before)
            no_half_files(place)


@case
def a_stopped_worker_is_named_after_the_deadline():
    for victim in (0, 1):
        with Place() as place:
            before = shared_memory_files()
            process, workers = running(place, timeout_s=1)
            os.kill(workers[victim], signal.SIGSTOP)
            done = finish(process)
            expect_failure(done, TIMEOUT, f"worker {victim}", str(workers[victim]))
            expect(not any(map(alive, workers)), "a worker is left")
            nothing_left_in_shared_memory(before)


@case
def a_killed_launcher_takes_its_workers_along():
    with Place() as place:
        before = shared_memory_files()
        process, workers = running(place, checkpoint_freq=2)
        process.kill()
        finish(process)
        end = time.monotonic() + 5
        while any(map(alive, workers)) and time.monotonic() < end:
            time.sleep(0.01)
        expect(not any(map(alive, workers)), "a worker outlived the launcher")
        nothing_left_in_shared_memory(before)
        no_half_files(place)


@case
def sigterm_saves_a_checkpoint():
    with Place() as place:
        process, workers = running(place)
        process.send_signal(signal.SIGTERM)
        done = finish(process)
        expect(done.returncode == 128 + signal.SIGTERM, done.stderr)
        expect(any(name.endswith(".safetensors") for name in os.listdir(place.file("run"))), "no checkpoint")


@case
def gradients_that_are_never_finite_stop_the_run():
    with Place() as place:
        # Weights grow by 1e8 a step: beyond the range of float after five, of double after forty.
        done = place.train(lr=1e6, num_iterations=200, warmup_ratio=0, weight_decay=100)
        expect_failure(done, NUMERIC, "not finite")


@case
def a_worker_that_cannot_join_says_so_and_repeats_no_notice():
    """As the launcher starts it, but with memory that is not there; a notice of the configuration is the launcher's."""
    env = dict(os.environ, DIONODE_WORLD="99:200000000000:4194304", RANK="1", WORLD_SIZE="2")
    with Place() as place:
        done = run([PROGRAM, "train", place.config(no_wandb=True)], env=env)
        expect(done.returncode == SYSTEM and len(done.stderr.splitlines()) == 1, f"{done.returncode}: {done.stderr}")
        expect("worker 1 cannot join the others" in done.stderr and "descriptor 99" in done.stderr, done.stderr)
    done = run([PROGRAM, "bench", "comm"], env=env)
    expect(done.returncode == SYSTEM and "worker 1 cannot join the others" in done.stderr, done.stderr)


tap()
