"""What workers start ends with them, signals reach who they are meant for, and a terminal's job control works.

Run with a file and a command this file is a shell on a terminal: it runs the command in the foreground and writes what
becomes of it into the file, a word a line."""
import os
import pty
import signal
import subprocess
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, PROGRAM, case, children, expect, run, session, tap  # noqa: E402

JOINER = os.environ["JOINER"]
PEER = 7
PATIENCE_S = 20


def until(condition, what):
    """Waits for a true value of condition() and returns it."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


def launch(script, n=2):
    """The program in a session of its own, by which all that comes of it is found; workers are shells."""
    return subprocess.Popen([PROGRAM, "launch", "-n", str(n), "sh", "-c", script], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(process):
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
        left = session(process.pid)
        expect(not left, f"processes are left: {left}")
        return process.returncode, out, err
    finally:
        for pid in session(process.pid):
            os.kill(pid, signal.SIGKILL)


def wait_for_joined(process, n=2):
    for _ in range(n):
        line = process.stdout.readline()
        expect(line.startswith("ready"), f"not ready: {line}")


@case
def what_a_worker_has_started_ends_with_it_though_it_ignores_the_signals_that_stop():
    stubborn = "(trap '' TERM INT HUP; exec sleep 1000) >/dev/null 2>&1 & "
    for script, victim in ((f"{stubborn} exec '{JOINER}' 0", "the worker"), (f"{stubborn} '{JOINER}' 0; exit $?", "its shell")):
        process = launch(script)
        wait_for_joined(process)
        os.kill(children(process.pid)[1], signal.SIGKILL)
        code, _, err = finish(process)
        expect(code == PEER and "worker 1" in err.splitlines()[-1], f"{victim} killed: {code} {err}")


@case
def a_hung_worker_takes_along_what_it_has_started():
    process = subprocess.Popen([PROGRAM, "launch", "-n", "1", "--timeout", "0.3", "sh", "-c", "sleep 1000; sleep 1000"],
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    code, _, err = finish(process)
    expect(code == 8, f"{code} {err}")


@case
def what_is_left_after_a_good_end_may_finish_and_is_then_killed():
    with Place() as place:
        writes = f"(sleep 0.1; echo done > '{place.path}/late_'$RANK) >/dev/null 2>&1 &"
        code, _, err = finish(launch(writes))
        late = sorted(name for name in os.listdir(place.path) if name.startswith("late_"))
        expect(code == 0 and late == ["late_0", "late_1"] and not err, f"{code} {late} {err}")
    code, _, err = finish(launch("sleep 1000 >/dev/null 2>&1 &"))
    expect(code == 0 and err.count("left processes running") == 2, f"{code} {err}")


@case
def signals_to_every_process_of_a_job_stop_it_as_one_to_the_launcher_does():
    """As batch systems and service managers send them."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = launch(f"exec '{JOINER}' 0")
        wait_for_joined(process)
        for pid in children(process.pid) + [process.pid]:
            os.kill(pid, number)
        code, out, err = finish(process)
        expect(code == 128 + number and "out 0 0" in out and "out 1 0" in out, f"{number}: {code} {out} {err}")


def masks(text):
    """Ignored and blocked signals 1 to 31, of lines of /proc/PID/status."""
    of = dict(line.split(":\t") for line in text.splitlines())
    return [int(of[name], 16) & (1 << 31) - 1 for name in ("SigIgn", "SigBlk")]


def signal_masks(command):
    """Of what `dionode launch` starts so."""
    done = run([PROGRAM, "launch", "-n", "1", *command], restore_signals=True)
    expect(done.returncode == 0, f"{done.returncode}: {done.stdout}{done.stderr}")
    return masks(done.stdout)


@case
def a_launched_program_finds_signals_as_the_launcher_did():
    look = ["grep", "-E", "^Sig(Ign|Blk)", "/proc/self/status"]
    terminal = 1 << signal.SIGTTIN - 1 | 1 << signal.SIGTTOU - 1
    ignored, blocked = masks(run(look, restore_signals=True).stdout)
    found = signal_masks(look)
    expect(found == [ignored | terminal, blocked],
           f"ignored {found[0]:#x}, expected {ignored | terminal:#x}; blocked {found[1]:#x}, expected {blocked:#x}")


# ---- on a terminal ----


def shell(story, command):
    """A job of its own in the foreground; stopped jobs are continued when SIGUSR1 comes."""
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    job = os.fork()
    if job == 0:
        os.setpgid(0, 0)
        os.tcsetpgrp(0, os.getpid())
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
        os.execvp(command[0], command)
    with open(story, "w", buffering=1) as out:
        print("job", job, file=out)
        while True:
            _, status = os.waitpid(job, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                print("ended", os.waitstatus_to_exitcode(status), file=out)
                return
            print("stopped", file=out)
            signal.sigwait({signal.SIGUSR1})
            os.tcsetpgrp(0, job)
            os.killpg(job, signal.SIGCONT)


class Terminal:
    """A shell on a new terminal that runs one command; ends all of it."""

    def __init__(self, place, command, tostop=False):
        self.story_path = place.file("story")
        self.text = ""
        self.pid, self.screen = pty.fork()
        if self.pid == 0:
            if tostop:
                modes = termios.tcgetattr(1)
                modes[3] |= termios.TOSTOP
                termios.tcsetattr(1, termios.TCSANOW, modes)
            os.execv(sys.executable, [sys.executable, __file__, self.story_path, *command])
        os.set_blocking(self.screen, False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in session(self.pid):
            os.kill(pid, signal.SIGKILL)
        os.close(self.screen)
        os.waitpid(self.pid, 0)

    def read(self):
        try:
            self.text += os.read(self.screen, 65536).decode()
        except OSError:  # nothing there, or nobody any more
            pass
        return self.text

    def wait_for(self, text, times=1):
        until(lambda: self.read().count(text) >= times, f"{times} '{text}' on the screen: {self.text}")

    def story(self):
        self.read()
        if not os.path.exists(self.story_path):
            return []
        with open(self.story_path) as file:
            return file.read().split()

    def wait_for_word(self, word):
        story = until(lambda: word in self.story() and self.story(), f"'{word}' in {self.story()}; {self.read()}")
        return int(story[story.index(word) + 1]) if word != "stopped" else None

    def type(self, text):
        os.write(self.screen, text)


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rsplit(")", 1)[1].split()[0]


@case
def ctrl_c_at_a_terminal_stops_the_program_gracefully():
    with Place() as place, Terminal(place, [PROGRAM, "launch", "-n", "2", JOINER, "0"]) as terminal:
        terminal.wait_for("ready", 2)
        terminal.type(b"\x03")
        code = terminal.wait_for_word("ended")
        terminal.wait_for("out 0 0")
        terminal.wait_for("out 1 0")
        expect(code == 128 + signal.SIGINT, f"exit status {code}: {terminal.text}")


@case
def ctrl_z_at_a_terminal_stops_all_and_fg_continues_them_within_their_deadline():
    command = [PROGRAM, "launch", "-n", "2", "--timeout", "0.5", JOINER, "0", "0", "0.5"]
    with Place() as place, Terminal(place, command) as terminal:
        terminal.wait_for("ready", 2)
        launcher = terminal.wait_for_word("job")
        workers = children(launcher)
        terminal.type(b"\x1a")
        terminal.wait_for_word("stopped")
        until(lambda: [state(pid) for pid in [launcher] + workers] == ["T"] * 3, "all stopped")
        time.sleep(2)  # the deadline, and the launcher's margin, are over
        os.kill(terminal.pid, signal.SIGUSR1)
        until(lambda: "T" not in [state(pid) for pid in [launcher] + workers], "continued")
        time.sleep(0.3)
        terminal.type(b"\x03")
        code = terminal.wait_for_word("ended")
        expect(code == 128 + signal.SIGINT, f"exit status {code}: {terminal.text}")


@case
def a_worker_that_reads_from_the_terminal_gets_an_error_and_does_not_hang():
    with Place() as place, Terminal(place, [PROGRAM, "launch", "-n", "1", "cat"]) as terminal:
        code = terminal.wait_for_word("ended")
        expect(code not in (0, 8) and "Input/output error" in terminal.text, f"exit status {code}: {terminal.text}")


@case
def a_worker_may_write_to_a_terminal_that_stops_jobs_in_the_background():
    with Place() as place, Terminal(place, [PROGRAM, "launch", "-n", "2", JOINER, "5"], tostop=True) as terminal:
        code = terminal.wait_for_word("ended")
        terminal.wait_for("out", 2)
        expect(code == 0, f"exit status {code}: {terminal.text}")


if len(sys.argv) > 1:
    sys.exit(shell(sys.argv[1], sys.argv[2:]))
tap()
