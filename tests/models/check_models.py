"""The models hold, and each fault planted in them is found; needs spin (exit 77, skipped, without).

    check_models.py FOLDER
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

FULL = os.environ.get('DIONODE_FULL') == '1'

# Model, the sizes that are searched to the end (all in the long run, otherwise the first), faults to be found (there).
MODELS = [
    ('barrier.pml', [['N=2', 'MEETINGS=4'], ['N=3', 'MEETINGS=1']],
     ['NO_FENCE', 'WEAK_COUNT', 'WEAK_WAKES', 'WEAK_RAISE', 'ONE_LINE', 'NO_WAKE']),
    ('ring.pml', [['MESSAGES=7']], ['TOO_FULL', 'POP_EARLY', 'NUMBER_FIRST']),
]


def search(model, defines):
    """Searches all states, or until the first error; returns the number of errors and a line about it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['spin', *[f'-D{define}' for define in defines], '-a', model], cwd=folder, check=True,
                       capture_output=True)
        # Short searches are over before an optimizer is.
        subprocess.run(['cc', '-O2' if FULL else '-O0', '-w', '-DSAFETY', '-DCOLLAPSE', '-o', 'pan', 'pan.c'], cwd=folder, check=True,
                       capture_output=True)
        out = subprocess.run(['./pan', '-m1000000'], cwd=folder, check=True, capture_output=True, text=True).stdout
    if 'max search depth too small' in out or 'out of memory' in out:
        sys.exit(f'{model} {defines}: the search was not complete\n{out}')
    n = int(re.search(r'errors: (\d+)', out).group(1))
    states = re.search(r'(\S+) states, stored', out).group(1)
    return n, f'{os.path.basename(model)} {" ".join(defines)}: {n} errors, {states} states'


def main():
    folder = os.path.abspath(sys.argv[1])
    if not shutil.which('spin'):
        print('spin is not installed')
        sys.exit(77)
    failed = False
    for name, sizes, faults in MODELS:
        model = os.path.join(folder, name)
        for size in sizes if FULL else sizes[:1]:
            n, line = search(model, size)
            print(line, flush=True)
            failed |= n > 0
        for fault in faults:
            n, line = search(model, sizes[0] + [fault])
            print(line, '' if n else '- NOT FOUND', flush=True)
            failed |= n == 0
    sys.exit(1 if failed else 0)


main()
