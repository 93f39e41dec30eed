#!/usr/bin/env python3
"""What adding a rule, a strategy, a model or a kernel touches, counted on what is there.

    scripts/count_touched.py

For one of each kind: the files that have to name it (of code, tests and the page that lists all; not those that use it,
nor other prose), the limit, and how many lists of names there are. Fails where there is more. Where a commit added just
that one, its files are counted beside.
"""
import os
import re
import subprocess
import sys

# kind: one of them, the registry's list of names, the page with a line for each, limit, the commit that added it. A strategy is a file,
# a name in the list, an oracle, a formula of its memory and a line of the page.
KINDS = {
    "rule": ("soap", "src/optim/meson.build", "docs/optimizers.md", 4, "6076f2f"),
    "strategy": ("diloco", "src/strategy/meson.build", "docs/strategies.md", 5, "e800b8d"),
    "model": ("llama", "src/model/meson.build", "README.md", 4, None),
    "kernel": ("row_moments", "src/compute/kernels.h", None, 6, None),
}
# Who works with one by its name, and would not be touched by another one.
USERS = {"rule": r"tests/(ranks|unit|faults)/|bench/", "strategy": r"tests/(ranks|unit|faults|cuda)/",
         "model": r"src/nn/|src/model/(gpt|mistral)\.c|src/formats/gguf|tests/oracle/(gpt|ravnest|hf/|gguf)|tests/(ranks|unit|faults|cuda)/|bench/", "kernel": r"src/(optim|linalg|shard)/"}


def git(*words):
    done = subprocess.run(["git", *words], capture_output=True, text=True)
    return done.stdout.splitlines() if done.returncode == 0 else None


def names(registry):
    with open(registry, encoding="utf-8") as file:
        lists = re.findall(r"^\w+ = \[(.*?)\]", file.read(), re.M | re.S)
    return re.findall(r"'(\w+)'", ",".join(lists))


def lists_of(known, registry):
    """Files that hold all names within five lines; those that choose some need not know of a new one."""
    pattern = re.compile(r"['\"|]?\b(" + "|".join(known) + r")\b['\"|]")
    found = []
    for path in git("grep", "-lwE", "|".join(known), "--", "src", "include", "tests", "bench", "scripts", "share"):
        if path.endswith((".py", ".c", ".h", ".build")) and path != registry and "_oracle.py" not in path:
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
            for i in range(len(lines)):
                if len(set(pattern.findall("\n".join(lines[i:i + 5])))) == len(known):
                    found.append(f"{path}:{i + 1}")
                    break
    return found


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    wrong = False
    if not os.path.exists(".git") or git("grep", "-lw", "soap") is None:
        print("no git repository, which says what files there are")
        sys.exit(77)
    for kind, (one, registry, page, limit, commit) in KINDS.items():
        files = git("grep", "-lwIE", rf"(dn_ref_)?{one}", "--", "src", "include", "tests", "bench", "scripts", "share") or []
        files = [f for f in files if not re.match(USERS[kind], f) and f != "scripts/count_touched.py"]
        files += [page] if page and page not in files else []
        touched = git("show", "--name-only", "--format=", commit) if commit else None
        print(f"{kind} ({one}): {len(files)} files, at most {limit}" +
              (f"; its commit touched {len(touched)}" if touched else ""))
        print("".join(f"    {f}\n" for f in files), end="")
        wrong |= len(files) > limit
        if registry.endswith(".build"):
            more = lists_of(names(registry), registry)
            print(f"    lists of names: {1 + len(more)} ({', '.join([registry] + more)})")
            wrong |= bool(more)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
