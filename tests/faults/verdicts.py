"""The launcher's verdict rests on how its workers ended, whatever they did to the memory that it shares with them.

Run with the name of a deed this file is the worker: it opens the segment as any worker could, and writes where none
should."""
import mmap
import os
import signal
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, case, expect, run, tap  # noqa: E402

ABORT_WORD, TOLD = 128, 2  # offset in the control page (src/shm/control.h), and its value once a failure is told
CONTROL_BYTES = 128 + 640 + 128 + 256 * 512
PEER, DATA = 7, 3


def segment():
    descriptor, _, size = os.environ["DIONODE_WORLD"].split(":")
    return mmap.mmap(int(descriptor), int(size))


def write_word(memory, value):
    memory[ABORT_WORD:ABORT_WORD + 4] = struct.pack("<I", value)


def clear_until(memory, moment_s):
    """The other rank's end is noticed and told meanwhile; nothing of it stays."""
    end = time.monotonic() + moment_s
    while time.monotonic() < end:
        write_word(memory, 0)


def deed(name, rank):
    """What a worker does; returns its exit status."""
    memory = segment()
    if name == "exits with 7" and rank == 1:
        return 7
    if name == "exits with 3" and rank == 1:
        return 3
    if name == "is killed" and rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if name in ("exits with 7", "exits with 3", "is killed"):
        clear_until(memory, 0.5)
    elif name == "unknown word" and rank == 1:
        write_word(memory, 77)
    elif name == "claims and never tells" and rank == 1:
        write_word(memory, 1)
    elif name == "tells of a success" and rank == 1:
        write_word(memory, TOLD)  # the record is zero: a failure with status 0
    elif name == "fills the page" and rank == 1:
        memory[:CONTROL_BYTES] = b"\xff" * CONTROL_BYTES
        time.sleep(0.3)  # a look at the state table or two
    elif name == "fills the page and is stopped" and rank == 1:
        memory[:CONTROL_BYTES] = b"\x7f" * CONTROL_BYTES
        os.kill(os.getpid(), signal.SIGSTOP)
    return 0


def launch(name):
    return run([PROGRAM, "launch", "-n", "2", "--timeout", "5", sys.executable, __file__, name])


def expect_verdict(name, status, *words):
    done = launch(name)
    last = done.stderr.splitlines()[-1] if done.stderr else ""
    expect(done.returncode == status, f"{name}: exit status {done.returncode}, expected {status}: {done.stderr}")
    for word in words:
        expect(word in last, f"{name}: '{word}' is missing in: {last}")


@case
def workers_that_only_look_are_a_success():
    expect_verdict("looks", 0)


@case
def a_bad_exit_is_a_failure_though_the_abort_word_is_cleared():
    expect_verdict("exits with 7", PEER, "worker 1", "exited with status 7")
    expect_verdict("exits with 3", DATA, "worker 1", "exited with status 3")
    expect_verdict("is killed", PEER, "worker 1", "killed by signal 9")


@case
def an_abort_word_or_record_that_nothing_of_ours_writes_is_a_failure():
    expect_verdict("unknown word", PEER, "overwritten")
    expect_verdict("tells of a success", PEER, "overwritten")
    expect_verdict("claims and never tells", PEER, "before it could report why")


@case
def a_control_page_full_of_nonsense_is_a_failure_and_no_crash():
    expect_verdict("fills the page", PEER, "overwritten")
    expect_verdict("fills the page and is stopped", PEER, "overwritten")


if len(sys.argv) > 1:
    sys.exit(deed(sys.argv[1], int(os.environ["RANK"])))
tap()
