"""Success is only what was done: a model that is not finite fails every command that meets it and is never saved, and a
run that has nothing to do says so."""
import math
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import (FULL, PROGRAM, Place, case, children, expect, random_tokens, rules, run, tap, tensors,  # noqa: E402
                  write_shard)

CONFIG, NUMERIC = 2, 9
SPOIL = os.environ["SPOIL"]
# Weights grow by 1e8 a step: beyond the range of float after five.
DIVERGES = {"lr": 1e6, "warmup_ratio": 0, "weight_decay": 100}


def expect_failure(done, status, *words):
    lines = [line for line in done.stderr.splitlines() if line.startswith("dionode: ") and "warning" not in line]
    expect(done.returncode == status, f"exit status {done.returncode}, not {status}: {done.stdout}{done.stderr}")
    expect(len(lines) == 1, f"{len(lines)} error lines: {done.stderr}")
    for word in words:
        expect(word in lines[0], f"'{word}' is missing in: {lines[0]}")


def checkpoints(place):
    return sorted(name for name in os.listdir(place.file("run")) if name.endswith(".safetensors"))


def all_finite(place):
    for name in checkpoints(place):
        for tensor, data in tensors(place.checkpoint(int(name[5:13]))).items():
            numbers = struct.unpack(f"<{len(data) // 4}f", data)
            expect(all(map(math.isfinite, numbers)), f"{name}: {tensor} is not finite")


@case
def a_run_whose_last_steps_were_not_finite_fails_and_keeps_what_was_good():
    for np in (1, 2):
        with Place() as place:
            kept = place.train(np=np, num_iterations=9, stop_after=3, lr=0.01, warmup_ratio=0)
            expect(kept.returncode == 0, kept.stderr)
            good = place.checkpoint(3)
            expect_failure(place.train(np=np, num_iterations=9, checkpoint_freq=1, **DIVERGES), NUMERIC, "not finite")
            all_finite(place)
            names = checkpoints(place)
            expect(len(names) >= 1, "no checkpoint is left")
            expect("step_00000003.safetensors" not in names or place.checkpoint(3) == good, "a good one was changed")


@case
def steps_that_are_skipped_rotate_no_checkpoint_away():
    with Place() as place:
        expect_failure(place.train(num_iterations=200, checkpoint_freq=1, **DIVERGES), NUMERIC, "not finite")
        all_finite(place)
        skipped = [line["step"] for line in place.metrics() if line["skipped"]]
        last = max((line["step"] for line in place.metrics() if not line["skipped"]), default=0)
        expect(all(int(name[5:13]) <= last for name in checkpoints(place)) and f"step_{last:08d}.safetensors" in checkpoints(place),
               f"{checkpoints(place)} with {skipped} skipped, the last good step is {last}")


@case
def steps_that_are_skipped_lose_nothing_that_came_before():
    """With checkpoints at the end alone."""
    with Place() as place:
        expect_failure(place.train(num_iterations=200, **DIVERGES), NUMERIC, "last 10 steps", "not finite", "is saved")
        last = max(line["step"] for line in place.metrics() if not line["skipped"])
        expect(len(place.metrics()) == last + 10, f"{len(place.metrics())} steps, {last} good ones: the test says nothing")
        expect(checkpoints(place) == [f"step_{last:08d}.safetensors"], f"{checkpoints(place)}, the last good step is {last}")
        all_finite(place)


def spoilt(place, tensor, value, indices=(100,)):
    trained = place.train(num_iterations=4, checkpoint_freq=2)
    expect(trained.returncode == 0, trained.stderr)
    for index in indices:
        done = run([SPOIL, place.file("run/step_00000004.safetensors"), tensor, str(index), value])
        expect(done.returncode == 0, f"spoil: {done.returncode}")


@case
def a_model_that_is_not_finite_fails_eval_generate_and_a_resume():
    for tensor, value in (("transformer.wte.weight", "nan"), ("lm_head.weight", "inf")):
        with Place() as place:
            spoilt(place, tensor, value)
            for command in (["eval"], ["generate"]):
                done = run([PROGRAM] + command + [place.file("run")])
                expect_failure(done, NUMERIC, "step_00000004", tensor, "not finite")
                expect(done.stdout == "", f"{command} printed {done.stdout!r}")
            expect_failure(place.train(num_iterations=8), NUMERIC, "step_00000004", tensor, "not finite")
    with Place() as place:
        spoilt(place, "adamw.m.lm_head.weight", "-inf")
        expect_failure(place.train(num_iterations=8), NUMERIC, "step_00000004", "adamw.m.lm_head.weight", "not finite")


@case
def a_finite_model_that_computes_what_is_not_fails_eval_and_generate():
    with Place() as place:
        spoilt(place, "lm_head.weight", "3e38", range(96, 128))  # a word's row: normalized inputs reach beyond 1.2
        for command in (["eval"], ["generate"]):
            done = run([PROGRAM] + command + [place.file("run")])
            expect_failure(done, NUMERIC, "not finite")
            expect(done.stdout == "", f"{command} printed {done.stdout!r}")


def plant(process, row):
    """Writes a NaN over the first number of a row of the embedding, wherever the workers hold it; returns how often. The
    row is one that training leaves as it is, so that it is found by its bits."""
    nan, places = struct.pack("<f", math.nan), 0
    worker = children(process.pid)[0]  # one segment: all workers' weights are in it
    with open(f"/proc/{worker}/maps") as maps, open(f"/proc/{worker}/mem", "r+b", buffering=0) as memory:
        for line in maps:
            if "dionode-" not in line and "memfd:dionode" not in line:
                continue
            start, end = (int(text, 16) for text in line.split()[0].split("-"))
            memory.seek(start)
            content = memory.read(end - start)
            at = content.find(row)
            while at >= 0:
                memory.seek(start + at)
                places += memory.write(nan) == len(nan)
                at = content.find(row, at + 1)
    return places


@case
def one_nan_in_the_embedding_is_found_at_the_next_checkpoint_or_validation():
    """In the row of a word that the data do not have: no loss and no gradient ever tells of it, and Adam leaves it."""
    for keys in ({"checkpoint_freq": 500}, {"val_tokens": 128, "val_loss_every": 500}):
        with Place() as place:
            for kind in ("train", "val"):
                write_shard(place.file(f"data/{kind}_000000.bin"), random_tokens(5000, below=200))
            first = place.train(num_iterations=30000, stop_after=1)
            expect(first.returncode == 0, first.stderr)
            row = tensors(place.checkpoint(1))["transformer.wte.weight"][250 * 32 * 4:251 * 32 * 4]
            process = place.start(np=2, num_iterations=30000, hash_every=0, **keys)
            try:
                place.wait_for_step(3)
                expect(plant(process, row) >= 2, "the row is not where the workers' weights are")
                out, errors = process.communicate(timeout=120)
            finally:
                process.kill()
            done = subprocess.CompletedProcess([], process.returncode, out, errors)
            expect_failure(done, NUMERIC, "transformer.wte.weight", "not finite")
            all_finite(place)


@case
def one_nan_in_a_state_that_waits_is_found_at_the_next_validation():
    """In DiLoCo's anchor, which nothing reads until the next exchange: that would spread it over the weights."""
    keys = {"strategy": "diloco", "sync_every": 20000, "num_iterations": 30000}
    with Place() as place:
        for kind in ("train", "val"):
            write_shard(place.file(f"data/{kind}_000000.bin"), random_tokens(5000, below=8))  # all in every batch
        first = place.train(np=2, stop_after=1, **keys)
        expect(first.returncode == 0, first.stderr)
        name = "transformer.wte.weight"
        row = tensors(place.checkpoint(1))[f"diloco.anchor.{name}"][:32 * 4]
        process = place.start(np=2, hash_every=0, val_tokens=128, val_loss_every=500, **keys)
        try:
            place.wait_for_step(3)
            expect(plant(process, row) == 1, "the row is not where the anchor is, or the weights are still the same")
            out, errors = process.communicate(timeout=120)
        finally:
            process.kill()
        done = subprocess.CompletedProcess([], process.returncode, out, errors)
        expect_failure(done, NUMERIC, f"diloco.anchor.{name}", "not finite")
        expect(len(place.metrics()) < 20000, f"found at step {len(place.metrics())} only")


@case
def any_state_of_a_rule_that_is_not_finite_fails_a_resume():
    for rule in rules() if FULL else ["normuon"]:
        for precision in ("full", "bfloat16"):
            with Place() as place:
                keys = {"optimizer": rule, "state_precision": precision}
                expect(place.train(num_iterations=2, **keys).returncode == 0, "training failed")
                good = place.checkpoint(2)
                states = {name.split(".")[1]: name for name in tensors(good)
                          if not name.startswith(("transformer", "lm_head"))}
                for name in states.values():
                    with open(place.file("run/step_00000002.safetensors"), "wb") as file:
                        file.write(good)
                    expect(run([SPOIL, place.file("run/step_00000002.safetensors"), name, "0", "nan"]).returncode == 0, name)
                    expect_failure(place.train(num_iterations=4, **keys), NUMERIC, "step_00000002", name, "not finite")


@case
def a_run_that_is_complete_says_so_and_one_beyond_its_end_is_an_error():
    with Place() as place:
        expect(place.train(num_iterations=6).returncode == 0, "training failed")
        files, metrics, bits = checkpoints(place), place.metrics(), place.checkpoint(6)
        again = place.train(num_iterations=6)
        expect(again.returncode == 0 and "complete" in again.stderr and "num_iterations" in again.stderr, again.stderr)
        expect_failure(place.train(num_iterations=5), CONFIG, "6 steps", "num_iterations is 5", "above 6")
        expect_failure(place.train(num_iterations=9, stop_after=4), CONFIG, "6 steps", "stop_after is 4")
        stopped = place.train(num_iterations=9, stop_after=6)
        expect(stopped.returncode == 0 and "stop_after" in stopped.stderr, stopped.stderr)
        expect((files, metrics, bits) == (checkpoints(place), place.metrics(), place.checkpoint(6)), "something changed")
        further = place.train(num_iterations=9)
        expect(further.returncode == 0 and len(place.metrics()) == 9, further.stderr)


tap()
