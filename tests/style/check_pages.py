"""Pages say what is there: tables are tables, not lines that were filled to a width, and files that they name exist.

    check_pages.py ROOT
"""
import os
import re
import sys

import planted

RULER = re.compile(r'\|\s*:?-{3,}:?\s*\|')  # between the head of a table and its rows
ROW = re.compile(r'\s*\|.*\|$')
# The part of a path before a place for a name (NAME.c, tests/kernels/FILE.c) or for more of it (plant_*.c) must exist.
PATH = re.compile(r'(?<![\w./-])(?:src|include|tests|docs|scripts|configs|bench|examples|share)/[\w./-]*[\w*]')


def exists(root, path):
    folder, name = os.path.split(path)
    if '*' in name or re.search('[A-Z]{4}', name):
        return os.path.isdir(os.path.join(root, folder))
    return os.path.exists(os.path.join(root, path))


def check(root):
    found = []
    for name in planted.files(root):
        lines = planted.read(root, name).split('\n') if name.endswith('.md') else []
        for number, line in enumerate(lines, 1):
            if RULER.search(line) and not (set(line) <= set(' |:-') and number > 1 and ROW.match(lines[number - 2])):
                found.append(f'{name}:{number}: a table that was filled like text: {line.strip()}')
            for path in PATH.findall(line) if name.startswith('docs/extending/') else []:
                if not exists(root, path):
                    found.append(f'{name}:{number}: no file {path}')
    return found


FAULTS = [
    {'docs/a.md': '   | a | b | |---|---| | c | d |\n'},
    {'docs/a.md': 'text | a\n|---|---|\n'},
    {'docs/extending/a.md': 'see `src/nothing/a.h`\n'},
    {'docs/extending/a.md': '`src/nothing/NAME.c`\n'},
]
SOUND = [{'src/a.c': '', 'docs/extending/a.md': '| a | b |\n|:--|---|\n| `src/a.c` | src/NAME.c |\n'}]
planted.run(check, FAULTS, SOUND, sys.argv[1])
