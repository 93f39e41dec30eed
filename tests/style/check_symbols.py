"""Every symbol that the shared library shows is named dn_...

    check_symbols.py LIBRARY COMPILER...
"""
import os
import subprocess
import sys
import tempfile


def symbols(library):
    listed = subprocess.run(['nm', '-D', '--defined-only', '--format=posix', library], capture_output=True, text=True,
                            check=True)
    return [line.split()[0] for line in listed.stdout.splitlines() if line.strip()]


def check(library):
    shown = symbols(library)
    if not shown:
        return [f'{library} shows nothing at all']
    return [f'{library} shows {name}' for name in shown if not name.startswith('dn_')]


def build(compiler, source, library):
    subprocess.run(compiler + ['-shared', '-fPIC', '-x', 'c', '-', '-o', library], input=source, text=True, check=True)
    return library


def prove(compiler):
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, 'planted.so')
        if len(check(build(compiler, 'int dn_a; int helper(void) { return dn_a; }\n', library))) != 1:
            sys.exit('the check itself is broken: it must find the planted symbol')
        if check(build(compiler, 'int dn_a;\n', library)):
            sys.exit('the check itself is broken: it finds something where nothing is')


def main():
    prove(sys.argv[2:])
    found = check(sys.argv[1])
    print('\n'.join(found) if found else 'all symbols begin with dn_')
    sys.exit(1 if found else 0)


main()
