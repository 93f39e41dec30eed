"""The shared library shows the symbols that are listed, no more and no fewer, and they are named dn_...

    check_symbols.py LIBRARY LIST COMPILER...

LIST is the symbols file of the Debian package. What a program may call has changed where this fails: a function that is
new is added to the list with the version that it comes with; one that is gone, or that takes something else than before,
needs a new minor version (include/dionode/version.h).
"""
import os
import subprocess
import sys
import tempfile


def symbols(library):
    listed = subprocess.run(['nm', '-D', '--defined-only', '--format=posix', library], capture_output=True, text=True,
                            check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]


def listed(text):
    """{symbol} of lines as ' dn_version@Base 0.1.0'."""
    return {line.split('@')[0].strip() for line in text.splitlines() if line.startswith(' ')}


def check(library, known):
    shown = set(symbols(library))
    if not shown:
        return [f'{library} shows nothing at all']
    return ([f'{library} shows {name}' for name in sorted(shown) if not name.startswith('dn_')] +
            [f'{name} is exported, and not listed' for name in sorted(shown - known)] +
            [f'{name} is listed, and not exported' for name in sorted(known - shown)])


def build(compiler, source, library):
    subprocess.run(compiler + ['-shared', '-fPIC', '-x', 'c', '-', '-o', library], input=source, text=True, check=True)
    return library


def prove(compiler):
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, 'planted.so')
        build(compiler, 'int dn_a; int dn_b(void) { return dn_a; }\n', library)
        known = listed('planted.so x #MINVER#\n dn_a@Base 0.1.0\n dn_b@Base 0.1.0\n')
        for wrong in known - {'dn_b'}, known | {'dn_c'}:
            if len(check(library, wrong)) != 1:
                sys.exit(f'the check itself is broken: it must find one fault beside {wrong}')
        if check(library, known):
            sys.exit('the check itself is broken: it finds something where nothing is')
        build(compiler, 'int dn_a; int helper(void) { return dn_a; }\n', library)
        if len(check(library, {'dn_a', 'helper'})) != 1:
            sys.exit('the check itself is broken: it must find the planted name')


def main():
    prove(sys.argv[3:])
    with open(sys.argv[2], encoding='utf-8') as file:
        known = listed(file.read())
    found = check(sys.argv[1], known)
    print('\n'.join(found) if found else f'all {len(known)} symbols are listed and begin with dn_')
    sys.exit(1 if found else 0)


main()
