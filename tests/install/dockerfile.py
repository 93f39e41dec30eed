#!/usr/bin/env python3
"""Builds the stages of the Dockerfile in empty roots instead of containers, and runs its program there. By hand, as root: it needs
debootstrap and the network.

    tests/install/dockerfile.py FOLDER [ARGUMENT...]    roots are made in FOLDER; arguments of the program (default: topo)
"""
import json
import os
import re
import shlex
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SUITES = {"debian:12-slim": "bookworm", "debian:13-slim": "trixie"}
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
# What it mounts ends with it.
ENTER = 'mount -t proc proc "$0/proc" && mount --rbind /sys "$0/sys" && mount --rbind /dev "$0/dev" && cd / && exec chroot "$0" sh -c "$1"'


def call(*command, **options):
    subprocess.run(command, check=True, **options)


def steps(path):
    """(instruction, text) of each, with lines that go on joined."""
    with open(path, encoding="utf-8") as file:
        lines = [line for line in file.read().split("\n") if not line.startswith("#")]
    for line in re.sub(r"\\\n", "", "\n".join(lines)).split("\n"):
        if line.strip():
            yield line.split(None, 1)


def fresh_root(folder, image, number):
    suite, root = SUITES[image], os.path.join(folder, f"stage-{number}")
    base = os.path.join(folder, suite)
    if not os.path.exists(base):
        call("debootstrap", "--variant=minbase", suite, base + ".part")
        os.rename(base + ".part", base)
    call("cp", "-a", base, root)
    call("cp", "--dereference", "/etc/resolv.conf", os.path.join(root, "etc"))
    return root


def run_in(root, workdir, command):
    call("unshare", "--mount", "--pid", "--fork", "sh", "-c", ENTER, root, f"mkdir -p {workdir} && cd {workdir} && {command}", env=ENVIRONMENT)


def copy(stages, root, workdir, words):
    origin = SOURCE
    if words[0].startswith("--from="):
        origin = stages[words.pop(0).partition("=")[2]]
    *sources, target = words
    to = os.path.join(root, os.path.join(workdir, target).lstrip("/"))
    os.makedirs(to, exist_ok=True)
    with open(os.path.join(SOURCE, ".dockerignore"), encoding="utf-8") as file:
        ignored = [f"--exclude=./{line.removeprefix('**/')}" for line in file.read().split()] if origin == SOURCE else []
    for source in sources:
        path = os.path.join(origin, source.lstrip("/"))
        if os.path.isdir(path): # what is in it
            call("sh", "-c", f"tar -C {shlex.quote(path)} {shlex.join(ignored)} -c . | tar -C {shlex.quote(to)} -x")
        else:
            call("cp", "-a", path, to)


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    folder, arguments = os.path.abspath(sys.argv[1]), sys.argv[2:] or ["topo"]
    os.makedirs(folder, exist_ok=True)
    stages, root, workdir, program = {}, None, "/", []
    for instruction, text in steps(os.path.join(SOURCE, "Dockerfile")):
        print(f"{instruction} {text}", flush=True)
        if instruction == "FROM":
            image, *name = text.split(" AS ")
            root, workdir = fresh_root(folder, image, len(stages)), "/"
            stages[name[0] if name else len(stages)] = root
        elif instruction == "WORKDIR":
            workdir = text
            os.makedirs(os.path.join(root, workdir.lstrip("/")), exist_ok=True)
        elif instruction == "RUN":
            run_in(root, workdir, text)
        elif instruction == "COPY":
            copy(stages, root, workdir, text.split())
        elif instruction == "ENTRYPOINT":
            program = json.loads(text)
        else:
            sys.exit(f"no way to do {instruction} here")
    run_in(root, workdir, shlex.join([*program, *arguments]))


main()
