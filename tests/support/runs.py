"""Driving the program from tests: small data, runs, metrics, processes, and a TAP report. Standard library only."""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
import traceback

# As a shell in the foreground starts programs: under nohup, or as a job in the background, these would be ignored, here and in all
# that is started.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)

PROGRAM = os.environ.get("DIONODE", "build/dionode")
FULL = os.environ.get("DIONODE_FULL") == "1"  # the long run: see full.h
LIMIT_S = 900 if FULL else 90  # of what should be done at once; in the long run, as meson's limits, ten times as long
TINY = {  # a model that trains a step in milliseconds
    "model_dim": 32, "n_layer": 2, "n_head": 2, "vocab_size": 256, "sequence_length": 16,
    "batch_size": 8, "device_batch_size": 8, "num_iterations": 20, "scalar_opt": "adamw", "ortho_fraction": 0.25,
    "val_tokens": 0, "hash_every": 1, "timeout_s": 20,
    "replicate_mesh_grad_sync": True,  # replicas with momenta of their own: more can go wrong; auto may choose the other
}


def write_shard(path, tokens, magic=20240520, version=1, count=None):
    header = struct.pack("<256i", magic, version, len(tokens) if count is None else count, *([0] * 253))
    with open(path, "wb") as file:
        file.write(header + struct.pack(f"<{len(tokens)}H", *tokens))


def random_tokens(n, below=256, seed=1):
    draw = random.Random(seed)
    return [draw.randrange(below) for _ in range(n)]


class Place:
    """A temporary folder with a data set and any number of runs; removed at the end, whatever happens."""

    def __enter__(self):
        self.path = tempfile.mkdtemp(prefix="dionode-test-")
        os.mkdir(self.file("data"))
        write_shard(self.file("data/train_000000.bin"), random_tokens(5000))
        write_shard(self.file("data/val_000000.bin"), random_tokens(1000, seed=2))
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def file(self, name):
        return os.path.join(self.path, name)

    def config(self, **changes):
        settings = dict(TINY, data_dir=self.file("data"), checkpoint_dir=self.file("run"))
        if "DIONODE_DEVICE" in os.environ:  # as the tests in C have it
            settings["device"] = os.environ["DIONODE_DEVICE"]
        settings.update(changes)
        path = self.file("config.yaml")
        with open(path, "w") as file:
            for key, value in settings.items():
                file.write(f"{key}: {json.dumps(value)}\n")
        return path

    def command(self, np=1, **changes):
        return [PROGRAM, "train", "--np", str(np), self.config(**changes)]

    def train(self, np=1, **changes):
        return run(self.command(np, **changes))

    def start(self, np=1, **changes):
        return subprocess.Popen(self.command(np, **changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def metrics(self, name="run", first=1):
        """From that step on; step 0 is the validation before the first."""
        with open(self.file(f"{name}/metrics.jsonl")) as file:
            return [line for line in map(json.loads, file) if line["step"] >= first]

    def checkpoint(self, step, name="run"):
        with open(self.file(f"{name}/step_{step:08d}.safetensors"), "rb") as file:
            return file.read()

    def tokenizer(self, name, size=260, text="one word and another one\n" * 50):
        """A file of a tokenizer that was trained on a text, which is left beside it."""
        path = self.file(name)
        with open(self.file("text"), "w", encoding="utf-8") as file:
            file.write(text)
        done = run([PROGRAM, "tokenizer", "train", self.file("text"), "--size", str(size), "-o", path])
        expect(done.returncode == 0, done.stderr)
        return path

    def wait_for_step(self, step, name="run", limit_s=LIMIT_S):
        wait_until(lambda: len(self.metrics(name)) >= step, f"step {step}", limit_s)


def wait_until(condition, what, limit_s=LIMIT_S):
    """A condition that fails as a file is not there, or half written, does not hold yet."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            if condition():
                return
        time.sleep(0.01)
    raise AssertionError(f"no {what} within {limit_s} s")


def expect_stop_while_initializing(process, within_s):
    """That a run which has not begun its first step hears SIGTERM within that time and says so."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    took = time.monotonic() - began
    expect(process.returncode == 128 + signal.SIGTERM, f"{process.returncode}: {errors}")
    expect("stopped while initializing" in errors, errors)
    expect(took < within_s, f"heard after {took:.1f} s")


def run(command, limit_s=LIMIT_S, **options):
    return subprocess.run(command, text=True, timeout=limit_s, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})


def key_line(key, program=None):
    """What --keys prints for a key."""
    keys = run([program or PROGRAM, "train", "--keys"]).stdout.splitlines()
    return next(line for line in keys if line.startswith(f"{key} "))


def choices(key, program=None):
    return re.findall(r"\(([\w|]+)\)", key_line(key, program))[-1].split("|")


def of_clients(program=None):
    """Strategies of clients, which all take client_fraction."""
    return re.search(r"\[(.*?)\]", key_line("client_fraction", program)).group(1).split(", ")


def of_replicas(program=None):
    """Strategies whose replicas exchange something else than gradients, or the rule's factors, in every step."""
    return [name for name in choices("strategy", program) if name not in ("average", "factors", *of_clients(program))]


def lossless(config, strategy):
    """The settings under which a strategy equals training on one rank, as verify's refusal of others tells them."""
    done = run([PROGRAM, "verify", config, f"strategy={strategy}", "lr=0.3", "optimizer=muon", "clip_grad_norm=3"])
    expect(done.returncode == 2 and " only with " in done.stderr, f"{strategy}: {done.returncode}, {done.stderr}")
    settings = done.stderr.split(" only with ")[1].split(": change")[0]
    return dict(setting.split("=") for setting in settings.split())


def assignments(settings):
    return [f"{key}={value}" for key, value in settings.items()]


def rules(program=None):
    """The rules that the key `optimizer` takes, without their other names ("fron = dion2" in --keys)."""
    line = key_line("optimizer", program)
    return [name for name in choices("optimizer", program) if not re.search(rf"\b{name} = \w", line)]


def mixed_precision():
    """`mixed` where this processor has it, else what computes it anywhere."""
    with open("/proc/cpuinfo") as file:
        return "mixed" if "avx512_bf16" in file.read() else "emulated"


def tensors(blob):
    """Header and data bytes by name of a safetensors file."""
    n = struct.unpack("<Q", blob[:8])[0]
    header = json.loads(blob[8:8 + n])
    data = blob[8 + n:]
    return {name: data[t["data_offsets"][0]:t["data_offsets"][1]]
            for name, t in header.items() if name != "__metadata__"}


def children(pid):
    """Process numbers of its children in the order of birth, workers by rank. Numbers do not tell it: they begin anew at pid_max."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def session(number):
    """Process numbers of those in this session that live."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                state, _, _, of = file.read().rsplit(")", 1)[1].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == number and state not in "ZX":
            found.append(int(entry))
    return found


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


cases = []


def case(function):
    """Marks a test: its name is a sentence."""
    cases.append(function)
    return function


class Skip(Exception):
    """Raised by a case that this system does not let run; its name and the reason are reported."""


def in_own_mounts(script):
    """A shell script with mounts of its own, as root or in a user namespace."""
    options = ["-m"] if os.getuid() == 0 else ["-Urm"]
    if run(["unshare"] + options + ["true"]).returncode != 0:
        raise Skip("this system allows no mounts of our own")
    return run(["unshare"] + options + ["sh", "-c", script], limit_s=280)


def tap():
    """Runs the marked functions in order and exits with 1 if one failed."""
    print(f"1..{len(cases)}", flush=True)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # folders are removed on the way out
    failed = 0
    for number, function in enumerate(cases, 1):
        name = function.__name__.replace("_", " ")
        began = time.monotonic()
        try:
            function()
            print(f"ok {number} - {name}", flush=True)
        except Skip as reason:
            print(f"ok {number} - {name} # SKIP {reason}", flush=True)
        except Exception:  # a broken case is a failed case
            failed = 1
            print(f"not ok {number} - {name}", flush=True)
            for line in traceback.format_exc().splitlines():
                print("#", line, flush=True)
        print(f"# {time.monotonic() - began:.1f} s", flush=True)
    sys.exit(failed)
