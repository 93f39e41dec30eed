"""Weakens each acquire, release and seq_cst of shm and comm to relaxed, one by one, and shows which test notices.

    tests/mutation/weaken_orders.py [ATTEMPTS]

Each mutant is built and run under the thread sanitizer (tests/tsan), up to ATTEMPTS times (default 5). Orders that
only serve the handshake between a waker and a sleeper order no data: weaker ones lose a wake-up on processors that
reorder so, which no run on x86 can show; for those the fault planted in the model (tests/models/barrier.pml) that
does the same is named, and searched by the test of the models. By hand: takes a few minutes.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ORDER = re.compile(r'memory_order_(acquire|release|acq_rel|seq_cst)')

# Part of a line that belongs to the handshake alone -> the fault in the model.
HANDSHAKE = [
    ('wakes = atomic_load_explicit(&slot->wakes', 'WEAK_WAKES'),
    ('atomic_fetch_add_explicit(&slot->sleepers', 'WEAK_COUNT'),
    ('.sleepers, memory_order_seq_cst) > 0', 'WEAK_POST'),
    ('->abort.word, memory_order_seq_cst) != DN_ABORT_EMPTY', 'WEAK_WAKES'),
    ('atomic_fetch_add_explicit(&slot->wakes', 'WEAK_RAISE'),
    ('memory_order_seq_cst, memory_order_relaxed))', 'WEAK_RAISE'),
]


def sites():
    for room in ('shm', 'comm'):
        folder = os.path.join(ROOT, 'src', room)
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding='utf-8') as f:
                for number, line in enumerate(f):
                    for match in ORDER.finditer(line):
                        yield os.path.join('src', room, name), number, match.span(), line.strip()


def weaken(tree, path, number, span):
    file = os.path.join(tree, path)
    with open(file, encoding='utf-8') as f:
        lines = f.readlines()
    lines[number] = lines[number][:span[0]] + 'memory_order_relaxed' + lines[number][span[1]:]
    with open(file, 'w', encoding='utf-8') as f:
        f.writelines(lines)


def run(tree, out, attempts, everything):
    """The attempt at which the threads test failed; 0 if it never did."""
    script = f'. {ROOT}/tests/tsan/build.sh; compile_all={"1" if everything else ""}; build_threads {tree} {out}'
    subprocess.run(['bash', '-ec', script], check=True)
    for attempt in range(1, attempts + 1):
        script = f'. {ROOT}/tests/tsan/build.sh; run_threads {out}'
        if subprocess.run(['bash', '-c', script], capture_output=True, check=False).returncode != 0:
            return attempt
    return 0


def main():
    attempts = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        tree, out = os.path.join(folder, 'tree'), os.path.join(folder, 'out')
        for part in ('src', 'include', 'tests'):
            shutil.copytree(os.path.join(ROOT, part), os.path.join(tree, part))
        if run(tree, out, 1, False):
            sys.exit('the test fails without any mutation')
        for path, number, span, line in sites():
            model = next((fault for text, fault in HANDSHAKE if text in line), None)
            where = f'{path}:{number + 1}: {line}'
            if model:
                print(f'model {model:10}  {where}', flush=True)
                continue
            weaken(tree, path, number, span)
            at = run(tree, out, attempts, path.endswith('.h'))
            print(f'{"run " + str(at) if at else "UNNOTICED":16}  {where}', flush=True)
            unnoticed += at == 0
            shutil.copy(os.path.join(ROOT, path), os.path.join(tree, path))
            os.utime(os.path.join(tree, path))
            run(tree, out, 0, path.endswith('.h'))
    sys.exit(1 if unnoticed else 0)


main()
