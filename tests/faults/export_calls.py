"""The N-th call on files of an export fails, for N = 1, 2, ... until none does: one line and exit status 5, and nothing is left of the
export. Once all files are complete and are given names, some may be left, but the one that says there is a model only with all others.

`./check --full` tries every N; otherwise the first call of each kind on each file, and the last.
"""
import errno
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, expect, run, tap  # noqa: E402

PRELOAD = os.environ["DISK_PRELOAD"]
ERRORS = {"open": errno.EMFILE, "write": errno.ENOSPC, "sync": errno.EIO, "mkdir": errno.ENOSPC, "link": errno.EIO, "rename": errno.EIO}


def export(place, options, call="", n=0):
    """What came of it; the calls that were counted: [(kind, what it is)]; and how many there were before the one that failed, or None."""
    trace = place.file("trace")
    if os.path.exists(trace):
        os.remove(trace)
    env = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
    env.update(LD_PRELOAD=PRELOAD, DISK_UNDER=place.file("to"), DISK_TRACE=trace, DISK_ROLE="launcher", DISK_FAIL=call, DISK_AT=str(n),
               DISK_ERROR=str(ERRORS.get(call, 0)), ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
    done = run([PROGRAM, "export", place.file("run"), "-o", place.file("to/model"), *options], env=env)
    with open(trace, encoding="utf-8") as file:
        calls = [line.split(" ", 2)[1:] for line in file]
    calls = [(kind, re.sub(r"\d+", "#", re.sub(r"\.[0-9a-f]{8}\.tmp", ".tmp", what))) for kind, what in calls]
    return done, calls, next((i for i, (_, what) in enumerate(calls) if " hit " in what), None)


def left(place):
    folder = place.file("to/model")
    return sorted(os.listdir(folder)) if os.path.exists(folder) else None


def clear(place, there):
    for name in left(place) or []:
        os.remove(place.file(f"to/model/{name}"))
    if left(place) is not None:
        os.rmdir(place.file("to/model"))
    if there:
        os.mkdir(place.file("to/model"))


def walk(place, options, says_model, there):
    clear(place, there)
    done, calls, _ = export(place, options)
    expect(done.returncode == 0 and says_model in left(place), done.stderr)
    complete = left(place)
    for call in ERRORS:
        made = [what for kind, what in calls if kind == call]
        expect(made or (there and call == "mkdir"), f"no {call} was met")
        some = {made.index(what) + 1 for what in made} | {len(made)}
        for n in range(1, len(made) + 1) if FULL else sorted(some - {0}):
            clear(place, there)
            done, now, at = export(place, options, call, n)
            what = f"{call} {n} fails: {done.returncode}: {done.stderr}, left {left(place)}"
            expect(at is not None, f"{call} was not called {n} times")
            lines = [line for line in done.stderr.splitlines() if "warning" not in line]
            if call == "open" and done.returncode == 0:  # no file without a name was to be had, so one with a name
                expect(left(place) == complete, what)
                continue
            expect(done.returncode == 5 and len(lines) == 1 and lines[0].startswith("dionode: "), what)
            if any(kind in ("link", "rename") for kind, _ in now[:at + 1]):
                expect(says_model not in (left(place) or []) or left(place) == complete, what)
            else:
                expect(left(place) == ([] if there else None), what)


@case
def an_export_that_fails_leaves_nothing():
    with Place() as place:
        os.mkdir(place.file("to"))
        with open(place.file("text"), "w", encoding="utf-8") as file:
            file.write("one word and another one\n" * 50)
        done = run([PROGRAM, "tokenizer", "train", place.file("text"), "--size", "270", "-o", place.file("data/tokenizer.json")])
        expect(done.returncode == 0, done.stderr)
        for name, keys in (("run", {}), ("tuned", {"init_from": place.file("run"), "lora_rank": 2, "optimizer": "adamw"})):
            done = place.train(architecture="llama", vocab_size=None if name == "tuned" else 270, num_iterations=1,
                               checkpoint_dir=place.file(name), **keys)
            expect(done.returncode == 0, done.stderr)
        walk(place, [], "config.json", there=False)
        walk(place, [], "config.json", there=True)
        walk(place, ["--format", "gguf"], "model.gguf", there=False)
        os.rename(place.file("run"), place.file("base"))
        os.rename(place.file("tuned"), place.file("run"))
        walk(place, [], "adapter_config.json", there=False)


tap()
