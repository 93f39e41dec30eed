"""Pages say what is there: tables are tables, not lines that were filled to a width, and files and headings that they link to
or name exist.

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
LINK = re.compile(r'\[[^]]*\]\(([^)\s]+)\)')
HEADING = re.compile(r'^#+ (.*)$', re.M)


def anchors(text):
    """What links call the headings of a page: their words in small letters, joined by hyphens."""
    titles = [re.sub(r'\]\([^)]*\)', '', title) for title in HEADING.findall(text)]
    return {re.sub(r'[^\w -]', '', title.lower()).replace(' ', '-') for title in titles}


def leads(root, name, link):
    """Whether a link of the page NAME leads to a file, or a heading, that there is."""
    if re.match(r'[a-z]+:', link):
        return True
    path, _, anchor = link.partition('#')
    path = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
    return os.path.exists(os.path.join(root, path)) and (not anchor or anchor in anchors(planted.read(root, path)))


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
            found += [f'{name}:{number}: the link {link} leads nowhere' for link in LINK.findall(line) if not leads(root, name, link)]
            for path in PATH.findall(line) if name.startswith('docs/extending/') else []:
                if not exists(root, path):
                    found.append(f'{name}:{number}: no file {path}')
    return found


FAULTS = [
    {'docs/a.md': '   | a | b | |---|---| | c | d |\n'},
    {'docs/a.md': 'text | a\n|---|---|\n'},
    {'docs/extending/a.md': 'see `src/nothing/a.h`\n'},
    {'docs/extending/a.md': '`src/nothing/NAME.c`\n'},
    {'docs/a.md': '[other](other.md)\n'},
    {'docs/a.md': '[other](b.md#such-a-heading)\n', 'docs/b.md': '# Such a head\n'},
    {'docs/a.md': '[above](#below)\n# Above\n'},
]
SOUND = [
    {'docs/a.md': '# A [b](b.md): `c`\n[a](#a-b-c) [b](../docs/b.md#b) [c](https://c.invalid/d)\n', 'docs/b.md': '# B\n'},
    {'src/a.c': '', 'docs/extending/a.md': '| a | b |\n|:--|---|\n| `src/a.c` | src/NAME.c |\n'},
]
planted.run(check, FAULTS, SOUND, sys.argv[1])
