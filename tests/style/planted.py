"""What the checks share: the files they look at, a tree with a planted fault, and how a check ends."""
import os
import subprocess
import sys
import tempfile


def files(root):
    """Paths, relative to root, of all files that belong to the tree (without what git ignores)."""
    if os.path.exists(os.path.join(root, '.git')):
        listed = subprocess.run(['git', '-C', root, '-c', 'safe.directory=*', 'ls-files', '-z', '--cached', '--others',
                                 '--exclude-standard'], capture_output=True, check=False)
        if listed.returncode == 0:
            names = listed.stdout.decode().split('\0')
            return sorted({n for n in names if os.path.isfile(os.path.join(root, n))})
    found = []
    for folder, _, names in os.walk(root):
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    ignored = ('build', 'runs' + os.sep, 'data' + os.sep, '.git' + os.sep)
    return sorted(n for n in found if not n.startswith(ignored) and '__pycache__' not in n)


def read(root, name):
    """Text of a file; empty for one that is not text."""
    with open(os.path.join(root, name), 'rb') as file:
        data = file.read()
    return '' if b'\0' in data else data.decode('utf-8', 'replace')


def complaints_about(check, planted):
    """What check finds in a tree that holds just these files: {name: text}."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in planted.items():
            path = os.path.join(root, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
        return check(root)


def run(check, faults, sound, root):
    """Proves check on every planted tree of `faults` and on the `sound` ones, then runs it on root; exits."""
    for planted in faults:
        if len(complaints_about(check, planted)) != 1:
            sys.exit(f'the check itself is broken: it must find one fault in {planted}')
    for planted in sound:
        found = complaints_about(check, planted)
        if found:
            sys.exit(f'the check itself is broken: it finds {found} in {planted}')
    found = check(root)
    print('\n'.join(found) if found else f'nothing found ({len(faults)} planted faults were)')
    sys.exit(1 if found else 0)
