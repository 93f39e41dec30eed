"""A small run below a folder of its own, hurt from outside by disk_preload.c, and the judge of what it leaves.

Judged is what anyone can see: exit status, messages, and the files. Nothing here knows how they are written."""
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, TINY, Place, expect  # noqa: E402

PRELOAD = os.environ["DISK_PRELOAD"]
FREQUENCY, END = 2, 6  # checkpoints after steps 2, 4 and 6
RUN = "runs/tiny"      # checkpoint_dir, relative: the configuration is in the checkpoint, and bytes are compared
GOOD = re.compile(r"step_(\d{8})\.safetensors$")
IO = 5


def is_timing(key):
    """What differs from run to run. When ranks agree on a stop depends on the clock, and that is counted as traffic."""
    return key.endswith("_s") or key in ("peak_share", "fma_share", "bytes_control", "bytes_moved")


def without_timing(line):
    """A line of metrics as values; as it is if it is no such line."""
    try:
        return {key: value for key, value in json.loads(line).items() if not is_timing(key)}
    except (ValueError, AttributeError):
        return line


def lines_of(metrics):
    return [without_timing(line) for line in metrics.splitlines(keepends=True)]


def is_checkpoint(name):
    return name.endswith(".safetensors")


def step_of(name):
    match = GOOD.search(name)
    return int(match.group(1)) if match else 0


def read_files(folder):
    """Content of all files below a folder, by path relative to it."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def write_files(folder, files):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for name, content in files.items():
        os.makedirs(os.path.dirname(os.path.join(folder, name)), exist_ok=True)
        with open(os.path.join(folder, name), "wb") as file:
            file.write(content)


class Trial(Place):
    """Data, a reference run that nothing happens to, and folders in which the same run is hurt."""

    def __init__(self, np=1, validates=True):
        self.np, self.validates = np, validates
        self.n_lines = END + validates  # of metrics: one a step, and one for the validation before the first
        self.resumed = {}  # state of a folder -> None, or what was wrong with a resume from it
        self.n_runs = self.n_resumes = 0
        self.cpus = sorted(os.sched_getaffinity(0))

    def __exit__(self, *what):
        print(f"# {self.n_runs} runs, {self.n_resumes} of them resumed", flush=True)
        super().__exit__(*what)

    def __enter__(self):
        super().__enter__()
        self.path = os.path.realpath(self.path)  # as the kernel tells it
        changes = dict(model_dim=16, n_layer=1, sequence_length=8, batch_size=4, device_batch_size=2, hash_every=1,
                       num_iterations=END, checkpoint_freq=FREQUENCY, val_tokens=64 * self.validates, val_loss_every=FREQUENCY,
                       data_dir=self.file("data"), checkpoint_dir=RUN)
        with open(self.file("config.yaml"), "w") as file:
            for key, value in dict(TINY, **changes).items():
                file.write(f"{key}: {json.dumps(value)}\n")
        try:
            self.make_reference()
        except BaseException:
            self.__exit__()
            raise
        return self

    def make_reference(self):
        done = self.train("reference", {})
        expect(done.returncode == 0, f"the run fails by itself: {done.stderr}")
        plain = read_files(self.file("reference"))
        self.metrics_name, = (name for name in plain if name.endswith("metrics.jsonl"))
        self.lines = lines_of(plain[self.metrics_name])
        expect(len(self.lines) == self.n_lines, f"{len(self.lines)} lines of metrics")
        self.names = {name for name in plain if not step_of(name)}  # besides generations
        self.marked = {name: plain[name] for name in self.names if is_checkpoint(name)}  # the best
        # Once more with all generations kept: the older ones cannot be removed.
        done = self.train("kept", {}, fail="unlink", at=0, error=errno.EACCES)
        expect(done.returncode == 0, f"a checkpoint that cannot be removed ends the run: {done.stderr}")
        kept = read_files(self.file("kept"))
        self.clean = {step_of(name): content for name, content in kept.items() if step_of(name)}
        expect(sorted(self.clean) == [2, 4, 6], f"checkpoints: {sorted(self.clean)}")
        for name in filter(step_of, plain):
            expect(plain[name] == kept[name], f"two runs wrote other bytes: {name}")
        lines = kept[self.metrics_name].splitlines(keepends=True)
        # What a run that was killed after step 3 leaves.
        name, = (name for name in kept if step_of(name) == 2)
        self.half = {name: kept[name], self.metrics_name: b"".join(lines[:3 + self.validates]) + lines[3 + self.validates][:40]}

    def train(self, folder, files, role="0", fail="", at=0, error=0, nameless=True, record="", limit_s=60):
        """Runs in a folder that first holds `files` (None: what it holds); the calls that were counted are in trace()."""
        if files is not None:
            write_files(self.file(folder), files)
        for log in ("trace", record):
            if log and os.path.exists(self.file(log)):
                os.remove(self.file(log))
        env = {key: value for key, value in os.environ.items() if key not in ("RANK", "WORLD_SIZE")}
        env.update(LD_PRELOAD=PRELOAD, DISK_UNDER=self.file(folder), DISK_TRACE=self.file("trace"), DISK_ROLE=role,
                   ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
                   DISK_FAIL=fail, DISK_AT=str(at), DISK_ERROR=str(error), DISK_NAMELESS="" if nameless else "no",
                   DISK_RECORD=self.file(record) if record else "")
        self.cpus.append(self.cpus.pop(0))
        self.n_runs += 1
        command = [PROGRAM, "train", "--np", str(self.np), self.file("config.yaml")]
        return subprocess.run(command, cwd=self.file(folder), env=env, capture_output=True, text=True, timeout=limit_s,
                              # A thread a worker: on a busy machine a run takes a sixth of the time.
                              preexec_fn=lambda: os.sched_setaffinity(0, self.cpus[:self.np]))

    def trace(self):
        """The counted calls of the last run: [(role, kind, what it is)]. Calls of one function on files that differ by a
        number alone, or what was drawn for a name, are the same thing."""
        with open(self.file("trace")) as file:
            calls = [line.split(" ", 2) for line in file]
        return [(role, kind, re.sub(r"\d+", "#", re.sub(r"\.[0-9a-f]{8}\.tmp", ".tmp", what))) for role, kind, what in calls]

    def was_hit(self):
        return any(what.split()[1] == "hit" for _, _, what in self.trace())

    def newest(self, files):
        """Step of the newest checkpoint. Every one, also one with a name of its own, must be what the reference run wrote,
        to the bit."""
        for name in filter(is_checkpoint, files):
            wanted = [self.clean.get(step_of(name))] if step_of(name) else [*self.clean.values()]
            if files[name] not in wanted:
                sizes = [len(content) for content in wanted if content]
                same = max((len(os.path.commonprefix([files[name], content])) for content in wanted if content), default=0)
                raise AssertionError(f"{name} is torn: {len(files[name])} bytes, not {sizes}; the first {same} are right")
        return max(map(step_of, files), default=0)

    def expect_complete(self, files, what):
        """The last checkpoint, those with names of their own, and all lines of metrics."""
        newest, found = self.newest(files), lines_of(files.get(self.metrics_name, b""))
        expect(newest == END, f"{what}: the newest checkpoint is {newest}")
        for number, (got, want) in enumerate(zip(found, self.lines), 1):
            expect(got == want, f"{what}: line {number} of metrics is {got}, not {want}")
        expect(len(found) == self.n_lines, f"{what}: {len(found)} lines of metrics, not {self.n_lines}")
        for name, content in self.marked.items():
            expect(files.get(name) == content, f"{what}: {name} is not that of the reference")

    def expect_tidy(self, files, what):
        """No file that a run does not leave."""
        strangers = {name for name in files if not step_of(name)} - self.names
        expect(not strangers, f"{what}: left behind: {strangers}")

    def expect_resume(self, files, what):
        """A run that goes on from here ends as the reference did. What was tried before is not tried again."""
        newest = self.newest(files)
        state = hashlib.sha256()
        for name in sorted(files):
            content = files[name]
            if name == self.metrics_name:
                content = json.dumps([str(line) for line in lines_of(content)]).encode()
            elif os.path.basename(name) == ".lock":  # says who and when, to people
                content = b""
            state.update(f"{name} {len(content)} ".encode() + content)
        key = state.digest()
        if key not in self.resumed:
            self.resumed[key] = self.resume(files, newest)
            self.n_resumes += 1
        expect(not self.resumed[key], f"{what}: {self.resumed[key]}")

    def resume(self, files, newest):
        done = self.train("resumed", files)
        story = f"resumed from {sorted(files)}: {done.stderr}"
        try:
            if newest < END:  # else there are no steps to do, and it may say so
                expect(done.returncode == 0, f"exit status {done.returncode}, {story}")
                expect(newest == 0 or f"after step {newest} " in done.stderr, f"not after step {newest}, {story}")
            left = read_files(self.file("resumed"))
            self.expect_complete(left, story)
            self.expect_tidy(left, story)
        except AssertionError as wrong:
            return str(wrong)
        return ""
