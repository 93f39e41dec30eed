"""Weakens each acquire, release, acq_rel and seq_cst of shm and comm to relaxed, one by one, and shows which test notices.

    tests/mutation/weaken_orders.py [ATTEMPTS]

"orders: ..." - tests/models/check_orders.py, which searches all executions that C11 allows of the operations in the source,
finds one that goes wrong. It is the only one that can where x86 has the same instruction for every order (loads, and what
reads and writes at once). "run N" - the N-th run, of up to ATTEMPTS (default 5), of ranks as threads under the thread
sanitizer (tests/tsan) fails. One that is not done within its limit, as on a busy machine, says nothing. By hand: takes a few
minutes.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TIMED_OUT, NOT_DONE = 124, 'NOT DONE in time'  # timeout(1)'s exit status
ORDER = re.compile(r'memory_order_(acquire|release|acq_rel|seq_cst)')


def sites():
    for room in ('shm', 'comm'):
        for folder, _, names in sorted(os.walk(os.path.join(ROOT, 'src', room))):
            for path in (os.path.join(folder, name) for name in sorted(names)):
                with open(path, encoding='utf-8') as f:
                    for number, line in enumerate(f):
                        for match in ORDER.finditer(line):
                            yield os.path.relpath(path, ROOT), number, match.span(), line.strip()


def weaken(tree, path, number, span):
    file = os.path.join(tree, path)
    with open(file, encoding='utf-8') as f:
        lines = f.readlines()
    lines[number] = lines[number][:span[0]] + 'memory_order_relaxed' + lines[number][span[1]:]
    with open(file, 'w', encoding='utf-8') as f:
        f.writelines(lines)


def run(tree, out, attempts, everything):
    """How the threads test failed: 'run N'; where it never did '', or NOT_DONE if that is why."""
    script = f'. {ROOT}/tests/tsan/build.sh; compile_all={"1" if everything else ""}; build_threads {tree} {out}'
    subprocess.run(['bash', '-ec', script], check=True)
    codes = []
    for attempt in range(1, attempts + 1):
        script = f'. {ROOT}/tests/tsan/build.sh; run_threads {out}'
        codes.append(subprocess.run(['bash', '-c', script], capture_output=True, check=False).returncode)
        if codes[-1] not in (0, TIMED_OUT):
            return f'run {attempt}'
    return NOT_DONE if TIMED_OUT in codes else ''


def search(tree):
    """What the search of orders finds wrong in a tree; empty if nothing."""
    checker = os.path.join(ROOT, 'tests', 'models', 'check_orders.py')
    out = subprocess.run([sys.executable, checker, tree], capture_output=True, text=True, check=False)
    return ', '.join(re.findall(r'^C11 allows: (.*)$', out.stdout, re.M))


def main():
    attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree, out = os.path.join(folder, 'tree'), os.path.join(folder, 'out')
        for part in ('src', 'include', 'tests'):
            shutil.copytree(os.path.join(ROOT, part), os.path.join(tree, part))
        without = search(tree) or run(tree, out, 1, False)
        if without:
            sys.exit(f'without any mutation: {without}')
        for path, number, span, line in sites():
            weaken(tree, path, number, span)
            wrong = search(tree)
            noticed = f'orders: {wrong}' if wrong else run(tree, out, attempts, path.endswith('.h')) or 'UNNOTICED'
            print(f'{noticed:42}  {path}:{number + 1}: {line}', flush=True)
            unnoticed += noticed in ('UNNOTICED', NOT_DONE)
            shutil.copy(os.path.join(ROOT, path), os.path.join(tree, path))
            os.utime(os.path.join(tree, path))
            if not wrong:
                run(tree, out, 0, path.endswith('.h'))
    sys.exit(1 if unnoticed else 0)


main()
