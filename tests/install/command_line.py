"""What people meet before anything runs: help, mistyped words, completion, manual pages. All of it must be what the program's own
lists say."""
import json
import os
import re
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Skip, case, choices, expect, run, tap  # noqa: E402

SHARE, MANUAL = os.environ["SHARE"], os.environ["MANUAL"].split()


def help_of(*command):
    done = run([PROGRAM, *command, "--help"])
    expect(done.returncode == 0, f"{command} --help: exit status {done.returncode}: {done.stderr}")
    return done.stdout


def names_below(text):
    return re.findall(r"^  (\w+)  ", text.partition("Commands:\n")[2].partition("\n\n")[0], re.M)


def options_of(text):
    return re.findall(r"^ {2,6}(?:-., )?(--[\w-]+=?)", text, re.M)


def commands():
    """All commands as tuples of words, with those below others."""
    found = []
    for name in names_below(help_of()):
        inner = names_below(help_of(name))
        found += [(name, below) for below in inner] or [(name,)]
    return found


def keys():
    return [line.split()[0] for line in run([PROGRAM, "train", "--keys"]).stdout.splitlines()[1:]]


def keys_with_choices():
    lines = run([PROGRAM, "train", "--keys"]).stdout.splitlines()[1:]
    return [line.split()[0] for line in lines if re.search(r"\([^()]*\|[^()]*\)$", line)]


@case
def every_way_to_ask_for_help_gives_it():
    for command in commands():
        # argp breaks a line that just fills its width, and leaves an empty one behind
        expect(not re.search(r"^ +$", help_of(*command), re.M), f"an empty line in {help_of(*command)}")
        for other in [*command, "-h"], ["help", *command]:
            done = run([PROGRAM, *other])
            expect(done.returncode == 0 and done.stdout == help_of(*command), f"{other} is not the help: {done}")
    expect(run([PROGRAM, "train", "x.yaml", "-h"]).stdout == help_of("train"), "-h after an argument is not the help")
    expect(run([PROGRAM, "launch", "-n", "1", "echo", "-h"]).stdout == "-h\n", "launch takes another program's -h")


@case
def a_mistyped_word_is_met_with_the_nearest():
    for typed, meant in [(["trian"], "'train'"), (["bench", "cmm"], "'bench comm'"), (["help", "evl"], "'eval'"),
                         (["bench", "comm", "--op", "al-reduce"], "'all-reduce'"), (["xyzzy"], "--help"),
                         (["bench", "comm", "--op", "xyzzy"], "--help")]:
        done = run([PROGRAM, *typed])
        expect(done.returncode == 2 and len(done.stderr.splitlines()) == 1 and meant in done.stderr,
               f"{typed}: exit status {done.returncode}, not 2, or not one line with {meant}: {done.stderr}")


@case
def generate_no_longer_takes_n_for_tokens():
    done = run([PROGRAM, "generate", "-n", "5", "run"])
    expect(done.returncode == 2 and "--np" in done.stderr and "--tokens 5" in done.stderr, f"{done}")


@case
def an_openblas_without_openmp_is_warned_of():
    done = run([PROGRAM, "--version"], env=dict(os.environ, LD_PRELOAD=os.environ["OTHER_OPENBLAS"]))
    expect(done.returncode == 0 and len(done.stderr.splitlines()) == 1 and "libopenblas0-openmp" in done.stderr and
           "POSIX threads" in done.stdout, f"{done}")
    expect(run([PROGRAM, "--version"]).stderr == "", "the OpenMP build of OpenBLAS is warned of")


@case
def topo_shows_caches_and_domains_and_tells_them_to_programs():
    machine = dict(os.environ, HWLOC_SYNTHETIC="pack:2 [numa(memory=3GiB)] l3:1(size=8MiB) core:2 l1:1(size=32KiB) pu:2")
    told = json.loads(run([PROGRAM, "topo", "--json", "--np", "4"], env=machine).stdout)
    expect((told["packages"], told["cores"], told["pus"]) == (2, 4, 8) and not told["this_system"], f"{told}")
    caches = sorted((cache["level"], cache["bytes"], cache["pus"]) for cache in told["caches"])
    expect(caches == [(1, 32768, f"{i}-{i + 1}") for i in (0, 2, 4, 6)] + [(3, 8 << 20, "0-3"), (3, 8 << 20, "4-7")], f"{caches}")
    expect([(node["index"], node["bytes"], node["pus"]) for node in told["numa"]] == [(0, 3 << 30, "0-3"), (1, 3 << 30, "4-7")],
           f"{told['numa']}")
    expect([(w["rank"], w["numa"], w["os_pus"]) for w in told["workers"]] ==
           [(0, 0, "0-1"), (1, 0, "2-3"), (2, 1, "4-5"), (3, 1, "6-7")], f"{told['workers']}")
    text = run([PROGRAM, "topo"], env=machine).stdout
    expect("4 x L1 32 KiB of 2 PUs, 2 x L3 8 MiB of 4 PUs" in text and "3 GiB" in text, text)
    without = run([PROGRAM, "topo"], env=dict(os.environ, HWLOC_SYNTHETIC="pack:2 [numa] core:2 pu:1")).stdout
    expect("memory unknown" in without and "0.0 GiB" not in without, without)
    json.loads(run([PROGRAM, "topo", "--json"]).stdout)


def complete_bash(line):
    script = f'source {SHARE}/dionode.bash; COMP_LINE=$1 COMP_POINT=${{#1}}; _dionode; printf "%s\\n" "${{COMPREPLY[@]}}"'
    return [word for word in run(["bash", "-c", script, "-", line]).stdout.split("\n") if word]


ZSH = r"""
compset() { PREFIX=${PREFIX#*=} }
_files() { print -- FILES }
compadd() {
  local tail=
  while [[ $1 == -* && $1 != -- ]]; do shift; [[ $1 == '' ]] && shift; done
  shift
  for word in "$@"; do [[ $word == $PREFIX* ]] && print -- $word; done
  return 0
}
words=(${(s: :)1}) ; [[ $1 == *' ' ]] && words+=('')
CURRENT=$#words PREFIX=$words[-1]
complete() { source $SHARE/_dionode; }
complete
"""


def complete_zsh(line):
    done = run(["zsh", "-fc", ZSH, "-", line])
    return [word for word in done.stdout.split("\n") if word and word != "FILES"]


def check_completion(complete):
    def same(line, wanted):
        given = complete(f"{PROGRAM} {line}")
        expect(sorted(set(given)) == sorted(set(wanted)), f"'{line}' is completed to {given}, not to {wanted}")

    same("", names_below(help_of()))
    same("tra", ["train"])
    same("bench ", names_below(help_of("bench")))
    for command in commands():
        same(" ".join(command) + " --", options_of(help_of(*command)))
    same("train c.yaml ", [key + "=" for key in keys()])
    same("eval run n_h", ["n_head="])
    for key in keys_with_choices():
        same(f"train c.yaml {key}=", choices(key))
    same("compare c.yaml cautious=", ["true", "false"])
    same("train c.yaml optimizer=mu", [name for name in choices("optimizer") if name.startswith("mu")])


@case
def bash_completes_commands_options_keys_and_values():
    check_completion(complete_bash)


@case
def zsh_completes_commands_options_keys_and_values():
    if not shutil.which("zsh"):
        raise Skip("zsh is not installed")
    check_completion(complete_zsh)


@case
def the_manual_has_every_command_option_and_key():
    if not MANUAL:
        raise Skip("this build makes no manual pages")
    first, fifth = (open(page, encoding="utf-8").read().replace("\\-", "-").replace("\\:", "") for page in MANUAL)
    for command in commands():
        part = first.partition(".SS " + " ".join(command) + "\n")[2].partition("\n.SS ")[0]
        for option in options_of(help_of(*command)):
            expect(option in part, f"{option} of {command} is not in {MANUAL[0]}")
    for key in keys():
        expect(f"\\fB{key}\\fR" in fifth, f"{key} is not in {MANUAL[1]}")
    for number in range(12):
        expect(f"\\fB{number}\\fR" in first, f"exit status {number} is not in {MANUAL[0]}")
    if shutil.which("groff"):
        for page in MANUAL:
            done = run(["groff", "-man", "-ww", "-z", "-Tutf8", page])
            expect(done.returncode == 0 and not done.stderr, f"groff on {page}: {done.stderr}")


tap()
