"""`dionode stat` of processes that hold anything under the names of our shared memory: it neither waits, nor dies, nor lets
through what would command a terminal."""
import contextlib
import os
import re
import struct
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, case, expect, run, tap  # noqa: E402

ARG, SYSTEM = 1, 10
# The control page (src/shm/control.h).
MAGIC, BYTES, N_RANKS, ABORT, SLOTS, SLOT = 0x33646c72576e4444, 1 << 20, 56, 128, 896, 2304
PHASE, WAITING, MESSAGE = SLOTS + 16, SLOTS + 40, ABORT + 24


def page(n_ranks=1, size=BYTES, **places):
    """A control page; places: x128=b'...' is laid over it from byte 128 on."""
    whole = bytearray(SLOTS + 256 * SLOT)
    struct.pack_into("<QQ", whole, 0, MAGIC, size)
    struct.pack_into("<I", whole, N_RANKS, n_ranks)
    for place, content in places.items():
        whole[int(place[1:]):int(place[1:]) + len(content)] = content
    return bytes(whole)


@contextlib.contextmanager
def segment(content, size=BYTES):
    """This process holds it as a worker holds its shared memory."""
    descriptor = os.memfd_create("dionode")
    try:
        os.pwrite(descriptor, content, 0)
        os.ftruncate(descriptor, size)
        yield descriptor
    finally:
        os.close(descriptor)


def stat():
    return subprocess.run([PROGRAM, "stat", str(os.getpid())], capture_output=True, timeout=30)


def failed(message):
    return {f"x{ABORT}": struct.pack("<IiiiQ", 2, -7, 0, 9, 3) + message}


@case
def a_harmless_page_is_shown():
    phase = "läuft".encode()
    with segment(page(2, **{f"x{PHASE}": phase})):
        done = stat()
    expect(done.returncode == 0 and phase in done.stdout and done.stdout.startswith(b"running\n"), str(done))
    expect(len(done.stdout.splitlines()) == 4, str(done))


@case
def escapes_and_control_characters_are_shown_as_question_marks():
    hostile = b"\x1b]0;title\x07\x1b[2J\r\nrunning\x9b2J\xc2\x9b2J\xe2\x80\xaegnp\x7f"
    with segment(page(**failed(hostile))):
        done = stat()
    expect(done.returncode == 0 and b"failed: ?]0;title??[2J??running?2J??2J???gnp?\n" in done.stdout, str(done))
    with segment(page(**{f"x{PHASE}": b"\x1b[2J\x9b31m\r\n\x07"})):
        done = stat()
    expect(done.returncode == 0 and b"  ?[2J?31m???  " in done.stdout, str(done))
    expect(not re.search(rb"[^\n -~]", done.stdout), str(done))


@case
def a_message_without_an_end_ends():
    with segment(page(**failed(b"A" * 512 + b"beyond"))):
        done = stat()
    expect(done.returncode == 0 and b"failed: " + b"A" * 511 + b"\n" in done.stdout, str(done))


@case
def numbers_that_cannot_be_are_harmless():
    for at, want, waiting_for in ((2**64 - 8, 2**64 - 1, 2), (BYTES, 5, 1), (BYTES - 8, 5, 1), (3, 5, 1),
                                  (0, 2**64 - 1, -2**31), (0, 2**64 - 1, 2**31 - 1)):
        with segment(page(2, **{f"x{WAITING}": struct.pack("<QQQi", at, want, 1, waiting_for)})):
            done = stat()
        expect(done.returncode == 0 and len(done.stdout.splitlines()) == 4, str(done))
    for n_ranks in (0, 257, 2**32 - 1):
        with segment(page(n_ranks)):
            done = stat()
        expect(done.returncode == SYSTEM and b"damaged" in done.stderr, f"{n_ranks}: {done}")


@case
def a_rank_waits_for_a_word_anywhere_in_the_segment():
    """Also beyond the control page, which alone is copied."""
    with segment(page(2, **{f"x{WAITING}": struct.pack("<QQQi", BYTES - 8, 5, 1, 2)})) as descriptor:
        os.pwrite(descriptor, struct.pack("<Q", 4), BYTES - 8)
        done = stat()
        expect(done.returncode == 0 and b"  1, for " in done.stdout, str(done))
        os.pwrite(descriptor, struct.pack("<Q", 5), BYTES - 8)
        done = stat()
        expect(done.returncode == 0 and b"  1, for " not in done.stdout, str(done))


@case
def a_segment_that_is_too_short_is_told():
    for size in (0, 8, 100, 4096, SLOTS + 256 * SLOT - 1):
        with segment(page(size=size), size):
            done = stat()
        expect(done.returncode == SYSTEM and b"damaged" in done.stderr and len(done.stderr.splitlines()) == 1,
               f"{size}: {done}")


@case
def a_segment_that_is_cut_while_it_is_read_is_no_bus_error():
    end = threading.Event()
    with segment(page(256)) as descriptor:
        def cut_and_restore():
            while not end.is_set():
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, page(256), 0)
                os.ftruncate(descriptor, BYTES)
        cutter = threading.Thread(target=cut_and_restore)
        cutter.start()
        try:
            codes = [stat().returncode for _ in range(60)]
        finally:
            end.set()
            cutter.join()
    expect(set(codes) <= {0, SYSTEM}, str(codes))


@case
def a_pipe_with_our_name_is_not_waited_for():
    path = f"/dev/shm/dionode-test-pipe-{os.getpid()}"
    os.mkfifo(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # nobody writes: opening it to read would block
    finally:
        os.unlink(path)
    try:
        done = stat()
        expect(done.returncode == ARG and b"neither a launcher nor a worker" in done.stderr, str(done))
        with segment(page()):
            expect(stat().returncode == 0, "the segment behind the pipe is not found")
    finally:
        os.close(descriptor)


@case
def what_messages_quote_cannot_command_the_terminal():
    """The same of every line of the program: here of an argument."""
    done = run([PROGRAM, "train", "--np", "1", "no\x1b[2Jsuch\nfile.yaml"])
    expect(done.returncode == 2 and "no?[2Jsuch?file.yaml" in done.stderr and "\x1b" not in done.stderr, str(done))


tap()
