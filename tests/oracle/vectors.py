"""Vectors that an oracle program holds itself, as its last lines: a string VECTORS of C text. So a rule has one file for
its oracle.

    python3 vectors.py PROGRAM.py HEADER.h     writes them where the compiler reads them
"""
import re
import sys

HELD = re.compile(r'^VECTORS = """\n(.*?)^"""\n', re.M | re.S)
CASE = re.compile(r"^\{(\d+), .*?\}\},$\n", re.M | re.S)  # each begins with its seed


def held(program):
    with open(program, encoding="utf-8") as file:
        return HELD.search(file.read()).group(1)


def hold(program, vectors):
    with open(program, encoding="utf-8") as file:
        text = file.read()
    first, last = HELD.search(text).span(1)
    with open(program, "w", encoding="utf-8") as file:
        file.write(text[:first] + vectors + text[last:])


def with_cases(vectors, cases):
    """The vectors with these {seed: text}, in the place of what they have of the same seeds."""
    found = {int(match.group(1)): match for match in CASE.finditer(vectors)}
    first, last = min(m.start() for m in found.values()), max(m.end() for m in found.values())
    texts = {seed: match.group(0) for seed, match in found.items()} | cases
    return vectors[:first] + "".join(texts[seed] for seed in sorted(texts)) + vectors[last:]


if __name__ == "__main__":
    with open(sys.argv[2], "w", encoding="utf-8") as header:
        header.write(f"/* Of {sys.argv[1].rpartition('/')[2]}. */\n" + held(sys.argv[1]))
