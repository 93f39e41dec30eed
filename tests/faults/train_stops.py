"""A stop is heard in mid-step and in mid-validation, data that fail end a run with what was done saved, and in both
cases the run that goes on ends as one that was never interrupted: the same losses, the same bits."""
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, children, expect, random_tokens, run, tap, tensors, write_shard  # noqa: E402

DATA = 3
# Two steps of several micro-batches, or a validation; slowed down, of some 2 s: ranks agree at each micro-batch.
STEPS = {"batch_size": 8, "device_batch_size": 1, "num_iterations": 2}
VALIDATION = {"batch_size": 2, "device_batch_size": 1, "num_iterations": 2, "val_tokens": 16 * 32, "val_loss_every": 0}
PRELOADED = dict(os.environ, LD_PRELOAD=os.environ["SLOW_GEMM"],
                 ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
SLOWLY = dict(PRELOADED, PRODUCT_MS="5")


def finish(process):
    out, errors = process.communicate(timeout=120)
    return subprocess.CompletedProcess([], process.returncode, out, errors)


def start_slowly(place, np, **changes):
    return subprocess.Popen(place.command(np, **changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=SLOWLY)


def wait_for_phase(process, phase):
    while phase not in run([PROGRAM, "stat", str(process.pid)]).stdout:
        expect(process.poll() is None, f"the run has ended before it said '{phase}'")
        time.sleep(0.01)


def signal_early(process, number):
    """Sends a signal to the launcher while its workers stand still: they hear of it early in what they do then."""
    workers = children(process.pid)
    for pid in workers:
        os.kill(pid, signal.SIGSTOP)
    process.send_signal(number)
    time.sleep(0.2)
    for pid in workers:
        os.kill(pid, signal.SIGCONT)


def signal_in_step_2(place, process, number):
    place.wait_for_step(1)
    signal_early(process, number)


def signal_in_validation(process, number):
    wait_for_phase(process, "validation")
    signal_early(process, number)


def wait_for_line(stream, text):
    """Reads lines up to one that holds the text, however long that takes."""
    for line in stream:
        if text in line:
            return
    raise AssertionError(f"ended without saying '{text}'")


def wait_for_file(path, limit_s=60):
    end = time.monotonic() + limit_s
    while not os.path.exists(path):
        expect(time.monotonic() < end, f"no {path} within {limit_s} s")
        time.sleep(0.01)


def checkpoints(place, name="run"):
    return sorted(file for file in os.listdir(place.file(name)) if file.endswith(".safetensors"))


def told(place, name="run"):
    """What a run says of its steps, but for times and for bytes of what ranks agree on as often as time passes."""
    return [{key: value for key, value in line.items()
             if not key.endswith("_s") and key not in ("peak_share", "fma_share", "bytes_control", "bytes_moved")}
            for line in place.metrics(name)]


def same_as_whole(place, last):
    expect(told(place) == told(place, "whole"), f"{told(place)}\nis not\n{told(place, 'whole')}")
    expect(tensors(place.checkpoint(last)) == tensors(place.checkpoint(last, "whole")), "other bits than uninterrupted")


def trained(place, np, name="run", **changes):
    done = place.train(np=np, checkpoint_dir=place.file(name), **changes)
    expect(done.returncode == 0, done.stderr)
    return done


@case
def a_stop_in_mid_step_drops_the_step_and_saves_the_one_before():
    meshes = [(2, {"dp_size": 2}), (4, {"fs_size": 2, "tp_size": 2, "fs_gather": "per_rank"})]
    for np, mesh in meshes:
        with Place() as place:
            changes = {**STEPS, **mesh}
            trained(place, np, "whole", **changes)
            process = start_slowly(place, np, **changes)
            signal_in_step_2(place, process, signal.SIGTERM)
            done = finish(process)
            expect(done.returncode == 128 + signal.SIGTERM, done.stderr)
            expect(checkpoints(place) == ["step_00000001.safetensors"], f"{checkpoints(place)}")
            expect("stopped after step 1" in done.stderr and len(place.metrics()) == 1, done.stderr)
            trained(place, np, **changes)
            same_as_whole(place, 2)


@case
def a_list_of_clients_that_is_drawn_up_again_for_longer_than_a_deadline_is_no_hang():
    with Place() as place:
        clients = dict(strategy="teasq", clients=8, client_fraction=0.5, cache_fraction=0.01, optimizer="adamw", batch_size=1,
                       device_batch_size=1, local_steps=1, num_iterations=1000)
        trained(place, 1, **clients, stop_after=150)
        # 150 versions of two sorts each, 3 s; the deadline is 1 s, and the launcher waits for another
        done = run(place.command(1, **clients, stop_after=151, timeout_s=1), env=dict(PRELOADED, SORT_MS="10"))
        expect(done.returncode == 0 and "stopped after step 151" in done.stderr, f"{done.returncode}: {done.stderr}")


@case
def a_stop_in_the_last_validation_leaves_it_to_the_run_that_goes_on():
    with Place() as place:
        changes = VALIDATION
        trained(place, 2, "whole", **changes)
        process = start_slowly(place, 2, **changes)
        signal_in_validation(process, signal.SIGTERM)
        done = finish(process)
        expect(done.returncode == 128 + signal.SIGTERM, done.stderr)
        expect([("val_loss" in line) for line in place.metrics()] == [False, False], f"{place.metrics()}")
        expect(checkpoints(place) == ["step_00000002.safetensors"], f"{checkpoints(place)}")
        again = trained(place, 2, **changes)
        expect("validation loss" in again.stderr, again.stderr)
        same_as_whole(place, 2)
        expect("complete" in trained(place, 2, **changes).stderr, "a validation was made twice")
        same_as_whole(place, 2)


@case
def sigusr1_saves_in_mid_step_and_in_mid_validation_and_the_run_goes_on():
    with Place() as place:
        changes = STEPS
        trained(place, 2, "whole", **changes)
        process = start_slowly(place, 2, **changes)
        signal_in_step_2(place, process, signal.SIGUSR1)
        wait_for_file(place.file("run/step_00000001.safetensors"))
        expect(len(place.metrics()) == 1, "the save came after the step, not in its middle")
        done = finish(process)
        expect(done.returncode == 0 and "step 1: saved" in done.stderr, done.stderr)
        same_as_whole(place, 2)
    with Place() as place:
        changes = VALIDATION
        trained(place, 2, "whole", **changes)
        process = start_slowly(place, 2, **changes)
        signal_in_validation(process, signal.SIGUSR1)
        wait_for_file(place.file("run/step_00000002.safetensors"))
        expect("val_loss" not in place.metrics()[-1], "the save came after the validation, not in its middle")
        expect(finish(process).returncode == 0, "the run did not go on")
        same_as_whole(place, 2)


@case
def a_second_signal_says_what_is_not_saved():
    with Place() as place:
        process = place.start(np=2, checkpoint_freq=1, num_iterations=100000, timeout_s=60)
        place.wait_for_step(3)  # not for a checkpoint by name: it is replaced by the next within milliseconds
        for pid in children(process.pid):
            os.kill(pid, signal.SIGSTOP)  # who hears nothing and saves nothing
        process.send_signal(signal.SIGTERM)
        wait_for_line(process.stderr, "a second signal stops at once")
        time.sleep(0.5)  # sooner than a quarter of a second after it was heard, the second is taken for the first
        process.send_signal(signal.SIGTERM)
        done = finish(process)
        last = int(checkpoints(place)[-1][5:13])
        expect(done.returncode != 0 and "by force" in done.stderr, done.stderr)
        expect(any(f"nothing was saved since step {step}" in done.stderr for step in (last, last - 1)), done.stderr)


@case
def data_that_fail_on_one_rank_end_the_run_with_what_was_done_saved():
    good = random_tokens(5000)
    with Place() as place:
        path = place.file("data/train_000000.bin")
        for np, mesh in ((2, {"dp_size": 2}), (4, {"fs_size": 2, "tp_size": 2})):
            for name in ("run", "whole"):
                shutil.rmtree(place.file(name), ignore_errors=True)
            write_shard(path, good)
            trained(place, np, "whole", num_iterations=12, **mesh)
            write_shard(path, good[:3000] + [300] + good[3001:])
            done = place.train(np=np, num_iterations=12, **mesh)
            expect(done.returncode == DATA and "train_000000.bin" in done.stderr and "3000" in done.stderr,
                   f"{done.returncode}: {done.stderr}")
            made = len(place.metrics())
            expect(0 < made < 12 and checkpoints(place) == [f"step_{made:08d}.safetensors"],
                   f"{made} steps, {checkpoints(place)}")
            expect(f"the state after step {made} is saved" in done.stderr, done.stderr)
            write_shard(path, good)
            trained(place, np, num_iterations=12, **mesh)
            same_as_whole(place, 12)


@case
def a_data_file_that_is_cut_under_a_run_ends_it_with_what_was_done_saved():
    with Place() as place:
        process = place.start(np=2, num_iterations=100000)
        place.wait_for_step(3)
        os.truncate(place.file("data/train_000000.bin"), 5000)
        done = finish(process)
        made = len(place.metrics())
        expect(done.returncode == DATA and "train_000000.bin" in done.stderr, f"{done.returncode}: {done.stderr}")
        expect(f"the state after step {made} is saved" in done.stderr, done.stderr)
        expect(checkpoints(place) == [f"step_{made:08d}.safetensors"], f"{made} steps, {checkpoints(place)}")


@case
def a_limit_of_processor_time_is_a_stop_and_is_named_where_it_kills():
    def limited(soft, hard, **changes):
        return subprocess.Popen(place.command(num_iterations=10**9, **changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (soft, hard)))
    with Place() as place:
        process = limited(1, 120)
        _, errors = process.communicate(timeout=280)
        expect(process.returncode == 128 + signal.SIGXCPU, f"{process.returncode}: {errors}")
        step = place.metrics()[-1]["step"]
        expect(os.path.exists(place.file(f"run/step_{step:08d}.safetensors")), f"no checkpoint of step {step}: {errors}")
    with Place() as place:
        process = limited(1, 1)
        _, errors = process.communicate(timeout=280)
        expect(process.returncode == 7 and "ulimit -t" in errors and "out of memory" not in errors, f"{process.returncode}: {errors}")


tap()
