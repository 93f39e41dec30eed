"""The other compiler accepts what ours does: every C file once, with the arguments that the build gives it, by clang.

    check_clang.py CLANG COMPILE-COMMANDS.json
"""
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys

CLANG, COMMANDS = sys.argv[1:]
SKIPPED = 77  # to meson: not a failure


def compiler_arguments(entry):
    """Those of one compile command without the compiler (which may stand behind ccache) and without what names outputs."""
    words = shlex.split(entry["command"])
    start = next(i for i, word in enumerate(words) if word.startswith("-"))
    arguments = iter(words[start:])
    kept = []
    for word in arguments:
        if word in ("-MQ", "-MF", "-o", "-c"):
            next(arguments)
        elif word != "-MD":
            kept.append(word)
    return kept


def complaints(entry):
    done = subprocess.run([CLANG, *compiler_arguments(entry), "-fsyntax-only", "-Werror", "-Wno-unknown-warning-option",
                           entry["file"]], cwd=entry["directory"], capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def main():
    if not os.path.exists(CLANG):
        print("skipped: clang is not installed")
        return SKIPPED
    with open(COMMANDS) as file:
        once = {entry["file"]: entry for entry in json.load(file) if entry["file"].endswith(".c")}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = [text for text in pool.map(complaints, once.values()) if text]
    print("\n".join(found) or f"{len(once)} files")
    return 1 if found else 0


sys.exit(main())
