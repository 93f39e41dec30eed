"""A power cut at any moment of a run. What the run did to its files is recorded (disk_preload.c); each prefix of it is
replayed on a disk that promises what POSIX does, and no more: data of a file are safe once the file was synced, names in a
directory once the directory was. Whatever else was done may be there or not, each operation by itself, and the last write
may be torn. Of all disks that may be left it must hold:

- a checkpoint under its name is whole, to the bit;
- the newest one that was safe at any time before is there, or a newer one, and one that has a name of its own;
- all lines of metrics up to the newest are there; after a run that ended well, nothing is missing;
- a run that goes on from there ends with the bits of a run that nothing happened to.

The model is harsher than a journalling file system, which keeps the order of names. `./check --full` (DIONODE_FULL=1) draws
more disks, and resumes from hundreds of them instead of ten. tests/mutation/weaken_disk.py shows which
planted faults are found.
"""
import json
import os
import random
import re

from durable import END, RUN, Trial, lines_of, read_files, step_of, write_files
from runs import FULL, PROGRAM, case, expect, run, tap  # durable knows where it is

N_RANDOM = 40 if FULL else 4    # disks drawn at each moment
N_RESUMES = 300 if FULL else 10
DATA, CHECKPOINT = 3, 4
NOTHING = "nothing else arrives"


def yes():
    return True


def no():
    return False


def apply(content, operation):
    """A write or a truncation, on a bytearray."""
    if operation[0] == "truncate":
        del content[operation[1]:]
        content.extend(bytes(operation[1] - len(content)))
    else:
        _, offset, data = operation
        content.extend(bytes(max(0, offset - len(content))))
        content[offset:offset + len(data)] = data


class Disk:
    """Files and names; what is safe of them, and what was done since, in order. Inodes are used again: each file and
    directory has a number of our own."""

    def __init__(self, folder):
        self.number = {}                          # inode -> ours
        self.directories = {}                     # ours -> path
        self.safe_data, self.new_data = {}, {}    # ours -> bytes; ours -> [operation]
        self.safe_names, self.new_names = {}, []  # path -> ours or None; [({directory's path}, {path: ours or None})]
        self.add(os.stat(folder).st_ino, ".")
        for parent, directories, files in os.walk(folder):
            for name in directories + files:
                path = os.path.join(parent, name)
                key, inode = os.path.relpath(path, folder), os.stat(path).st_ino
                self.safe_names[key] = self.add(inode, key if name in directories else None)
                if name in files:
                    with open(path, "rb") as file:
                        self.safe_data[self.number[inode]] = file.read()

    def add(self, inode, directory=None):
        ours = self.number[inode] = len(self.safe_data) + len(self.directories)
        if directory is None:
            self.safe_data[ours] = b""
        else:
            self.directories[ours] = directory
        return ours

    def change_names(self, names):
        self.new_names.append(({os.path.dirname(path) or "." for path in names}, names))

    def sync(self, ours):
        if ours in self.directories:
            path = self.directories[ours]
            for parents, names in self.new_names:
                if path in parents:  # a rename is one step
                    self.safe_names.update(names)
            self.new_names = [change for change in self.new_names if path not in change[0]]
        else:
            content = bytearray(self.safe_data[ours])
            for operation in self.new_data.pop(ours, []):
                apply(content, operation)
            self.safe_data[ours] = bytes(content)

    def do(self, line):
        name, *words = line.split()
        if name in ("entry", "directory", "rename", "remove"):
            words[0] = os.path.normpath(words[0])
        if name == "create":
            self.add(int(words[0]))
        elif name == "entry":
            self.change_names({words[0]: self.number[int(words[1])]})
        elif name == "directory":
            self.change_names({words[0]: self.add(int(words[1]), words[0])})
        elif name == "rename":
            self.change_names({words[0]: None, os.path.normpath(words[1]): self.all_names()[words[0]]})
        elif name == "remove":
            self.change_names({words[0]: None})
        elif name in ("write", "truncate"):
            operation = (name, int(words[1]), *map(bytes.fromhex, words[2:]))
            self.new_data.setdefault(self.number[int(words[0])], []).append(operation)
        elif name == "sync":
            self.sync(self.number[int(words[0])])
        elif name == "sync-all":
            for ours in [*self.new_data, *self.directories]:
                self.sync(ours)
        else:
            raise AssertionError(f"the recorder cannot tell what was done: {line}")

    def all_names(self):
        names = dict(self.safe_names)
        for _, changes in self.new_names:
            names.update(changes)
        return names

    def left(self, keeps_name, keeps_data, tears=None):
        """Files after a power cut: keeps_*() is asked for each operation; tears(data) what of the last write arrives."""
        names = dict(self.safe_names)
        for _, changes in self.new_names:
            if keeps_name():
                names.update(changes)
        files = {}
        for path, ours in names.items():
            if ours not in self.safe_data or not all(names.get(parent) is not None for parent in parents_of(path)):
                continue
            content, operations = bytearray(self.safe_data[ours]), self.new_data.get(ours, [])
            for number, operation in enumerate(operations):
                if tears and number == len(operations) - 1 and operation[0] == "write":
                    apply(content, operation[:2] + (tears(operation[2]),))
                elif keeps_data():
                    apply(content, operation)
            files[path] = bytes(content)
        return files

    def each_name(self, keeps):
        answers = iter([keeps(at) for at in range(len(self.new_names))])
        return lambda: next(answers)

    def disks(self, moment):
        """All that is tried at this moment, with a word for each."""
        yield NOTHING, self.left(no, no)
        yield "all arrives", self.left(yes, yes)
        yield "names arrive, data do not", self.left(yes, no)
        yield "data arrive, names do not", self.left(no, yes)
        yield "the last write is torn", self.left(yes, yes, lambda data: data[:len(data) // 2])
        for chosen in range(len(self.new_names)):
            yield "one change of names is lost", self.left(self.each_name(lambda at: at != chosen), yes)
            yield "one change of names arrives", self.left(self.each_name(lambda at: at == chosen), yes)
        for number in range(N_RANDOM):
            draw = random.Random(1000 * moment + number)
            chance = draw.choice((0.1, 0.5, 0.9))
            yield f"drawn {number}", self.left(lambda: draw.random() < chance, lambda: draw.random() < chance,
                                               lambda data: data[:draw.randrange(len(data) + 1)])


def parents_of(path):
    while path := os.path.dirname(path):
        yield path


def replay(trial, disk, record):
    """Judges what is left after a cut at any moment; yields (what, files) of each disk unlike those before."""
    safe, marked, seen = 0, set(), set()
    with open(record) as file:
        operations = file.read().splitlines()
    for number, line in enumerate([""] + operations):
        if line:
            disk.do(line)
        for word, left in disk.disks(number):
            what = f"power cut after operation {number}, '{line[:60]}'; {word}: {sorted(left)}"
            try:
                newest = trial.newest(left)
            except AssertionError as torn:
                raise AssertionError(f"{torn}; {what}") from None
            expect(newest >= safe, f"checkpoint {safe} is lost: {what}")
            expect(marked <= set(left), f"{sorted(marked - set(left))} is lost: {what}")
            if word == NOTHING:
                safe, marked = newest, set(trial.marked) & set(left)
            if number == len(operations):
                trial.expect_complete(left, f"the run ended well: {what}")
            due = newest + trial.validates if newest else 0  # that of step 0 is safe with the first checkpoint
            found = lines_of(left.get(trial.metrics_name, b""))[:due]
            expect(found == trial.lines[:due], f"metrics up to step {newest} are lost, {len(found)} are left: {what}")
            key = tuple(sorted((name, hash(content)) for name, content in left.items()))
            if key not in seen:
                seen.add(key)
                yield what, left


def cut_everywhere(files, np=1, validates=True, **options):
    with Trial(np, validates) as trial:
        write_files(trial.file("cut"), files(trial))
        disk = Disk(trial.file("cut"))
        done = trial.train("cut", None, record="record", **options)
        expect(done.returncode == 0, done.stderr)
        left = list(replay(trial, disk, trial.file("record")))
        expect(disk.left(yes, yes) == read_files(trial.file("cut")), "files were changed past the recorder")
        random.Random(1).shuffle(left)
        left.sort(key=lambda disk: trial.newest(disk[1]) == END)  # nothing is to be done there
        for what, disk in left[:N_RESUMES]:
            trial.expect_resume(disk, what)
        print(f"# {len(left)} different disks")


@case
def a_run_that_begins():
    cut_everywhere(lambda trial: {})


@case
def a_run_that_goes_on_from_a_checkpoint():
    cut_everywhere(lambda trial: trial.half)


@case
def files_that_have_a_name_from_the_beginning():
    cut_everywhere(lambda trial: {}, nameless=False)


@case
def two_workers():
    cut_everywhere(lambda trial: trial.half, np=2)


@case
def a_run_without_validation():
    """The name of the best checkpoint syncs the folder once more; without it a checkpoint's own sync is all there is."""
    cut_everywhere(lambda trial: {}, validates=False)


@case
def a_torn_checkpoint_is_never_loaded():
    with Trial() as trial:
        name = os.path.join(RUN, f"step_{END:08d}.safetensors")
        older = os.path.join(RUN, f"step_{END - 2:08d}.safetensors")
        whole = trial.clean[END]
        pages = range(0, len(whole), 4096)
        draw = random.Random(3)
        for number in range(60 if FULL else 6):
            torn = bytearray(whole)
            for at in draw.sample(pages, 1 + number % 3):  # pages that did not arrive
                torn[at:at + 4096] = bytes(len(torn[at:at + 4096]))
            if number % 2:
                del torn[draw.randrange(len(torn)):]
            write_files(trial.file("torn"), {name: bytes(torn), older: trial.clean[END - 2]})
            done = run([PROGRAM, "eval", RUN], cwd=trial.file("torn"))
            expect(torn != whole and done.returncode == CHECKPOINT and name in done.stderr, done.stdout + done.stderr)


@case
def a_line_of_metrics_to_which_a_late_validation_is_added_is_never_lost():
    """A run that was stopped between its last step and the validation that was due goes on: the validation joins the line
    of a step that has its checkpoint already."""
    with Trial() as trial:
        name = os.path.join(RUN, f"step_{END:08d}.safetensors")
        data = trial.clean[END]
        value = re.search(rb'"val_loss":"[^"]*"', data[:4096]).group()
        due = data.replace(value, b'"validation":"due"'.ljust(len(value)), 1)
        write_files(trial.file("cut"), {name: due})
        expect(run([os.environ["SPOIL"], trial.file(f"cut/{name}")]).returncode == 0, "no checksum")
        due = read_files(trial.file("cut"))[name]
        lines = [json.dumps({k: v for k, v in line.items() if k != "val_loss" or line["step"] != END}) for line in trial.lines]
        write_files(trial.file("cut"), {name: due, trial.metrics_name: "".join(line + "\n" for line in lines).encode()})
        before = lines_of(read_files(trial.file("cut"))[trial.metrics_name])
        disk = Disk(trial.file("cut"))
        done = trial.train("cut", None, record="record")
        expect(done.returncode == 0 and "validation loss" in done.stderr, done.stderr)
        with open(trial.file("record")) as file:
            operations = file.read().splitlines()
        for number, line in enumerate([""] + operations):
            if line:
                disk.do(line)
            for word, left in disk.disks(number):
                what = f"power cut after operation {number}, '{line[:60]}'; {word}: {sorted(left)}"
                expect(left.get(name) in (due, trial.clean[END]), f"the checkpoint is lost or torn: {what}")
                found = lines_of(left.get(trial.metrics_name, b""))
                allowed = (before, trial.lines) if number < len(operations) else (trial.lines,)
                expect(found[:trial.n_lines] in allowed, f"{found[-2:]} are not {trial.lines[-2:]}: {what}")


def prepare(trial, text, **environment):
    return run([PROGRAM, "prepare", trial.file(text), "-o", trial.file("tokens")], env={**os.environ, **environment})


@case
def shards_of_two_texts_are_never_taken_for_one():
    """At each moment of a preparation over older shards, of which there were more: the older ones, all the new ones, or the
    mark of an interruption - also of a mere kill, where all that was done arrives."""
    with Trial() as trial:
        for name, word in (("older", b"older "), ("newer", b"newer ")):
            with open(trial.file(name), "wb") as file:
                file.write(word * 30000)
        expect(prepare(trial, "older").returncode == 0, "prepare failed")
        shards = read_files(trial.file("tokens"))
        older = {**shards, "train_000001.bin": shards["train_000000.bin"]}
        write_files(trial.file("tokens"), older)
        disk = Disk(trial.file("tokens"))
        done = prepare(trial, "newer", LD_PRELOAD=os.environ["DISK_PRELOAD"], DISK_UNDER=trial.file("tokens"),
                       DISK_RECORD=trial.file("record"),
                       ASAN_OPTIONS=os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
        expect(done.returncode == 0, done.stderr)
        newer, marked = read_files(trial.file("tokens")), None
        expect(set(newer) == set(shards), f"{sorted(newer)}")
        with open(trial.file("record")) as file:
            operations = file.read().splitlines()
        for number, line in enumerate([""] + operations):
            if line:
                disk.do(line)
            for word, left in disk.disks(number):
                found = {name: content for name, content in left.items() if name.endswith(".bin")}
                what = f"after operation {number}, '{line[:60]}'; {word}: {sorted(left)}"
                expect(".incomplete" in left or found in (older, newer), f"neither one text nor marked: {what}")
                expect(found == newer or number < len(operations), f"the end is not safe: {what}")
                if ".incomplete" in left and found not in (older, newer):
                    marked = left
        write_files(trial.file("tokens"), marked)
        train = [PROGRAM, "train", "--np", "1", trial.file("config.yaml"), f"data_dir={trial.file('tokens')}"]
        done = run(train)
        expect(done.returncode == DATA and "prepare" in done.stderr and ".incomplete" in done.stderr, done.stderr)
        expect(prepare(trial, "newer").returncode == 0 and read_files(trial.file("tokens")) == newer, "not prepared again")
        done = run([*train, "num_iterations=1", f"checkpoint_dir={trial.file('run')}"])
        expect(done.returncode == 0, done.stderr)


tap()
