"""No promise instead of work, and no path of one machine, in any file.

    check_words.py ROOT
"""
import re
import sys

import planted

# Put together here so that this file does not hold what it looks for.
PROMISES = re.compile(r'\b(' + '|'.join(['TO' + 'DO', 'FIX' + 'ME']) + r')\b')
MACHINE_PATHS = re.compile(r'(?<![\w./-])/(' + '|'.join(['ho' + 'me', 'ro' + 'ot', 'wo' + 'rk', 'Us' + 'ers']) + r')/')


def check(root):
    found = []
    for name in planted.files(root):
        for number, line in enumerate(planted.read(root, name).split('\n'), 1):
            for pattern in (PROMISES, MACHINE_PATHS):
                match = pattern.search(line)
                if match:
                    found.append(f'{name}:{number}: "{match.group(0)}": {line.strip()}')
    return found


FAULTS = [
    {'src/a.c': 'int a; /* TO' + 'DO: more */\n'},
    {'README.md': 'FIX' + 'ME\n'},
    {'meson.build': "x = '/ho" + "me/somebody/x'\n"},
    {'docs/a.md': 'see /wo' + 'rk/notes\n'},
]
SOUND = [{'src/a.c': 'int a; /* see docs/work/notes, ./root/x and METHODOLOGY */\n'}]
planted.run(check, FAULTS, SOUND, sys.argv[1])
