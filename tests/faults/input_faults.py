"""What comes from outside, as the program is given it: sizes, pipes, files without end. One line and its exit status, before
there are workers."""
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, run, tap, write_shard  # noqa: E402

SECONDS = 30  # for what should return at once, on a busy machine


def refused(command, status, *words):
    done = run(command, SECONDS)
    lines = done.stderr.splitlines()
    expect(done.returncode == status and len(lines) == 1 and all(word in lines[0] for word in words),
           f"{command[1:]}: exit status {done.returncode}, not {status}, or not one line with {words}: {done.stderr}")


@case
def sizes_without_sense_are_refused_before_there_are_workers():
    with Place() as place:
        for power in 40, 44, 45, 62:
            for keys in ["batch_size"], ["device_batch_size"], ["batch_size", "device_batch_size"]:
                refused(place.command(2) + [f"{key}={2 ** power}" for key in keys], 2, keys[0], "is not between")
        refused(place.command() + [f"momentum_sync_every={2 ** 32}"], 2, "momentum_sync_every", "2147483647")
        refused([PROGRAM, "train", place.config(dp_size=256, fs_size=256)], 2, "dp_size 256", "65536 workers")
        expect(not os.path.exists(place.file("run")), "a refused run has left a folder")


@case
def a_batch_that_the_machine_has_no_memory_for_is_refused_with_what_it_has():
    with Place() as place:
        refused(place.command(2, batch_size=2 ** 24, device_batch_size=2 ** 24), 6, "device_batch_size",
                "B are available")


@case
def settings_that_do_not_go_together_are_told_once_and_by_their_keys():
    with Place() as place:
        refused(place.command(2, state_precision="bfloat16", beta2=0.999), 2, "beta2", "state_precision")
        refused(place.command(2, epsilon=0), 2, "epsilon", "is not between")


@case
def pipes_are_refused_at_once():
    with Place() as place:
        pipe = place.file("pipe.bin")
        os.mkfifo(pipe)
        for command in "train", "verify", "compare":
            refused([PROGRAM, command, pipe], 2, "pipe.bin' is a pipe")
        refused(place.command(2, train_files=pipe), 3, "pipe.bin is a pipe")
        refused(place.command(2, val_files=pipe, val_tokens=32), 3, "pipe.bin is a pipe")


@case
def a_folder_of_shards_that_cannot_be_read_is_not_an_empty_one():
    with Place() as place:
        os.mkdir(place.file("other"))
        write_shard(place.file("other/train_000000.bin"), [1] * 100)
        os.chmod(place.file("other"), 0o111)
        user = 65534 if os.geteuid() == 0 else os.geteuid()  # root reads everything
        os.chown(place.path, user, -1)
        for pattern in "other/*.bin", "*/train*.bin":
            done = run(place.command(1, train_files=place.file(pattern)), SECONDS, user=user)
            expect(done.returncode == 5 and "cannot search for token files in" in done.stderr and "/other" in done.stderr,
                   f"{pattern}: {done.returncode}: {done.stderr}")


@case
def what_prepare_leaves_out_of_a_folder_is_named():
    with Place() as place:
        os.mkdir(place.file("texts"))
        with open(place.file("texts/text"), "w") as file:
            file.write("Some of it is elsewhere.\n" * 8000)
        os.symlink("not mounted", place.file("texts/more"))
        os.symlink("nor this", place.file("texts/.#lock"))
        os.mkfifo(place.file("texts/pipe"))
        done = run([PROGRAM, "prepare", place.file("texts"), "-o", place.file("shards")], SECONDS)
        lines = done.stderr.splitlines()
        expect(done.returncode == 0 and len(lines) == 2 and "texts/more is skipped: a dangling link" in lines[0] and
               "texts/pipe is skipped: not a regular file" in lines[1], f"{done.returncode}: {done.stderr}")


@case
def a_variable_that_is_not_set_is_not_the_default():
    with Place() as place:
        refused(place.command() + ["checkpoint_dir="], 2, "checkpoint_dir is empty")


@case
def more_workers_than_processors_are_told_of_once():
    def told(command, n):
        done = run(command, errors="replace", preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}))
        lines = [line for line in done.stderr.splitlines() if f"{n} workers share 1 processor and will run in turn" in line]
        expect(done.returncode == 0 and len(lines) == 1, f"{command[1:]}: {done.returncode}: {done.stderr}")

    with Place() as place:
        told(place.command(4, num_iterations=1), 4)
        told([PROGRAM, "generate", place.file("run"), "a", "--np", "2", "--tokens", "2"], 2)
        told([PROGRAM, "launch", "-n", "3", "true"], 3)
        with open(place.file("labels.tsv"), "w") as file:
            file.writelines(f"{i % 2}\t{i}\n" for i in range(20))
        told([PROGRAM, "finetune", place.file("run"), "--labels", place.file("labels.tsv"), "--how", "head,full", "--np", "2", "num_iterations=1"], 2)
        runs = ["--optimizers", "adamw", "--lr", "0.001,0.002", "-o", place.file("compared")]
        told([PROGRAM, "compare", place.config(num_iterations=1, val_tokens=256), "-n", "4", *runs], 4)


@case
def more_shards_than_descriptors_are_trained_on():
    with Place() as place:
        for i in range(300):
            write_shard(place.file(f"data/train_{i:06}.bin"), [i % 256] * 20)
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        done = run(place.command(2, num_iterations=2), preexec_fn=lambda: resource.setrlimit(
            resource.RLIMIT_NOFILE, (256, hard)))
        expect(done.returncode == 0 and place.checkpoint(2), f"exit status {done.returncode}: {done.stderr}")


@case
def a_limit_on_memory_ends_in_a_line_and_not_in_a_library_that_spins():
    if "asan" in open(PROGRAM, "rb").read().decode("latin-1"):
        print("# skipped: the address sanitizer itself needs terabytes of addresses")
        return
    for limit in resource.RLIMIT_AS, resource.RLIMIT_DATA:
        for megabytes in 64, 100, 150, 200, 250, 300, 350, 400, 1000:
            done = run([PROGRAM, "--version"], SECONDS, preexec_fn=lambda: resource.setrlimit(
                limit, (megabytes << 20, megabytes << 20)))
            fine = done.returncode == 0 and done.stdout.startswith("dionode ")
            told = done.returncode == 6 and "ulimit -v" in done.stderr
            expect(fine or (told and megabytes < 1000),
                   f"limit {limit}, {megabytes} MiB: exit status {done.returncode}: {done.stderr}")


@case
def a_small_stack_is_a_line_or_enough_and_no_segmentation_fault():
    if "asan" in open(PROGRAM, "rb").read().decode("latin-1"):
        print("# skipped: the address sanitizer itself needs a larger stack")
        return
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    with Place() as place:
        for kilobytes in 100, 255, 256:
            for np in 1, 2:
                done = run(place.command(np, num_iterations=2), SECONDS, preexec_fn=lambda: resource.setrlimit(
                    resource.RLIMIT_STACK, (kilobytes << 10, hard)))
                right = done.returncode == 0 if kilobytes >= 256 else done.returncode == 6 and "ulimit -s" in done.stderr
                expect(right, f"{kilobytes} kB, {np} workers: exit status {done.returncode}: {done.stderr}")


tap()
