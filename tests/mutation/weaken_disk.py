"""Plants faults in what writes and reads checkpoints and metrics, one by one, and shows which test notices.

    tests/mutation/weaken_disk.py [NUMBER...]

The tests are those of ./check's short tier: disk_calls (the N-th call fails) and power_cut. What is not planted: an error of
close() that is ignored after a sync that went well, which loses nothing. Whoever rewrites the writer plants the same faults in
what is new. By hand: takes some ten minutes.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ATOMIC, GENERATIONS, METRICS = 'src/base/atomic_file.c', 'src/checkpoint/generations.c', 'src/report/metrics.c'
WRITE, READ, SAVE, KEEP = 'src/checkpoint/write.c', 'src/checkpoint/read.c', 'src/train/save.c', 'src/train/keep.c'

# What is wrong then, and in which file what becomes what.
FAULTS = [
    ('a checkpoint is renamed before it is synced', (ATOMIC, 'f->fd) == 0 ? DN_OK : stopped(f, f->bytes, errno);',
                                                     '-1) == 0 ? DN_OK : DN_OK;')),
    ('the directory is not synced after the rename', (ATOMIC, '    DN_TRY(dn_name_sync(f->path));\n', '')),
    ('an error of fsync is ignored', (ATOMIC, 'f->fd) == 0 ? DN_OK : stopped(f, f->bytes, errno);',
                                      'f->fd) == 0 ? DN_OK : DN_OK;')),
    ('an error of write-back is ignored', (ATOMIC, 'return lost ? stopped(f, f->bytes, errno) : DN_OK;',
                                           'return lost ? DN_OK : DN_OK;')),
    ('an error of syncing a directory is ignored', (ATOMIC, 'return synced ? DN_OK :', 'return synced || error ? DN_OK :')),
    ('the count of a short write is ignored',
     (ATOMIC, 'errno : ENOSPC);\n        at += n;\n        offset += (uint64_t)n;\n        bytes -= (size_t)n;',
              'errno : ENOSPC);\n        at += n;\n        offset += (uint64_t)n;\n        bytes = 0;')),
    ('an interrupted write is an error',
     (ATOMIC, 'pwrite(f->fd, at, bytes, (off_t)offset);\n        if (n < 0 && errno == EINTR)',
              'pwrite(f->fd, at, bytes, (off_t)offset);\n        if (n < 0 && errno == 0)')),
    ('an error of write is ignored', (ATOMIC, 'return stopped(f, offset, n < 0 ? errno : ENOSPC);', 'return DN_OK;')),
    ('a checkpoint is written under its own name', (ATOMIC, '"%s." TAG_FORMAT ".tmp", path, tag', '"%s", path')),
    ('a file that was given up is left', (ATOMIC, '        unlink(temporary);\n    }\n    free', '    }\n    free')),
    ('a new directory is not synced into its parent', (ATOMIC, 'DN_TRY(dn_name_sync(part));', 'made = true;')),
    ('older checkpoints go before the new one is there',
     (WRITE, 'dn_generations_prune(w->dir, w->step, w->keep > 2 ? w->keep - 1 : 1);', 'dn_generations_prune(w->dir, w->step, 0);')),
    ('a directory that cannot be read is empty', (GENERATIONS, 'int error = errno;', 'int error = 0;')),
    ('the checksum is not looked at', (READ, 'memcmp(stored, found, sizeof stored) != 0', 'stored[0] == found[0] - 200')),
    ('metrics are not synced before a checkpoint', (SAVE, '    DN_TRY(dn_metrics_sync(run->metrics));\n', '')),
    ('the name of metrics is not synced', (METRICS, 'return dn_name_sync(metrics->path);', 'return DN_OK;')),
    ('an error of syncing metrics is ignored', (METRICS, 'fsync(metrics->fd) == 0 ||', 'fsync(metrics->fd) <= 0 ||')),
    ('metrics that cannot be read end there', (METRICS, 'status == DN_OK && ferror(file)', 'ferror(file) > 1')),
    ('metrics to come are not cut off', (METRICS, '(ftruncate(metrics->fd, metrics->end) != 0)\n        return dn_fail_errno('
                                         'DN_ERR_IO, errno, "cannot write metrics %s", metrics->path);\n    return dn_name_sync',
                                         '(metrics->fd < 0)\n        return DN_OK;\n    return dn_name_sync')),
    ('what became of a checkpoint that a thread wrote is ignored', (KEEP, 'return dn_fail(s->status, "%s", s->message);',
                                                                   'return DN_OK;')),
    ('the count of a short write of metrics is ignored', (METRICS, 'at += (size_t)written;', 'at = metrics->length;')),
]


def build(tree):
    targets = ['dionode', helper(tree, 'disk_preload.so'), helper(tree, 'spoil')]
    return subprocess.run(['ninja', '-C', os.path.join(tree, 'build'), '--quiet', *targets], check=False).returncode == 0


def targets_of(tree):
    out = subprocess.run(['ninja', '-C', os.path.join(tree, 'build'), '-t', 'targets', 'all'], capture_output=True, text=True,
                         check=True).stdout
    return [line.split(':')[0] for line in out.splitlines() if ': c_LINKER' in line]


def helper(tree, name):
    """The target of that name beside the tests."""
    return next(target for target in targets_of(tree) if os.path.basename(target).removeprefix('lib') == name)


def failing(tree, test):
    """What the first failing case of a test says; empty if none fails."""
    built = {'DIONODE': 'dionode', 'DISK_PRELOAD': helper(tree, 'disk_preload.so'), 'SPOIL': helper(tree, 'spoil')}
    env = dict(os.environ, **{name: os.path.join(tree, 'build', path) for name, path in built.items()})
    env.pop('DIONODE_FULL', None)
    out = subprocess.run([sys.executable, os.path.join(tree, 'tests', 'faults', test + '.py')], env=env, capture_output=True,
                         text=True, check=False)
    said = re.search(r'# (?:\w+Error|\w+Expired): (.*)', out.stdout)
    return '' if out.returncode == 0 else said.group(1) if said else f'exit status {out.returncode}: {out.stderr}'


def write(tree, path, text):
    with open(os.path.join(tree, path), 'w', encoding='utf-8') as f:
        f.write(text)


def plant(tree, changes):
    """Changes files; gives what they were, by path."""
    before = {}
    for path, old, new in changes:
        with open(os.path.join(tree, path), encoding='utf-8') as f:
            text = before[path] = f.read()
        if text.count(old) != 1:
            sys.exit(f'{path}: {text.count(old)} times: {old}\nThe code has changed; plant the fault where it belongs now.')
        write(tree, path, text.replace(old, new))
    return before


def main():
    chosen = [int(number) for number in sys.argv[1:]] or range(1, len(FAULTS) + 1)
    unnoticed = 0
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the tree is removed on the way out
    with tempfile.TemporaryDirectory() as tree:
        shutil.copytree(ROOT, tree, dirs_exist_ok=True, ignore=lambda _, names: [n for n in names if n.startswith(('build', '.git'))])
        subprocess.run(['meson', 'setup', os.path.join(tree, 'build'), tree], stdout=subprocess.DEVNULL, check=True)
        if not build(tree):
            sys.exit('the tree does not build')
        for test in ('disk_calls', 'power_cut'):
            if failing(tree, test):
                sys.exit(f'{test} fails without any fault: {failing(tree, test)}')
        for number in chosen:
            name, *changes = FAULTS[number - 1]
            before = plant(tree, changes)
            if not build(tree):
                sys.exit(f'{name}: does not build')
            said = {test: failing(tree, test) for test in ('disk_calls', 'power_cut')}
            print(f'{number:2} {name}' + ('' if any(said.values()) else ': UNNOTICED'), flush=True)
            for test, text in said.items():
                if text:
                    print(f'       {test}: {text[:150]}', flush=True)
            unnoticed += not any(said.values())
            for path, text in before.items():
                write(tree, path, text)
    sys.exit(1 if unnoticed else 0)


main()
