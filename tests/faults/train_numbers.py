"""Success is only what was done: a model that is not finite fails every command that meets it and is never saved, and a
run that has nothing to do says so."""
import math
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, run, tap, tensors  # noqa: E402

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
        expect(all(int(name[5:13]) <= last for name in checkpoints(place)),
               f"{checkpoints(place)} with {skipped} skipped")


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
