"""What is installed ends when it writes beyond an array, and has no table of addresses that can be written: stack
protector, fortified calls of the C library, read-only relocations that are bound before the start, a stack that cannot
be executed, and programs that can be loaded anywhere.

    check_hardening.py [--unfortified] FILE... -- COMPILER...
"""
import os
import re
import subprocess
import sys
import tempfile


def read(path, *what):
    return subprocess.run(['readelf', '-W', *what, path], capture_output=True, text=True, check=True).stdout


def check(path, fortified=True):
    header, segments, dynamic, symbols = read(path, '-h'), read(path, '-l'), read(path, '-d'), read(path, '--dyn-syms')
    stack = re.search(r'GNU_STACK.* ([RWE ]{3}) ', segments)
    wanted = {
        'is not position independent': re.search(r'Type:\s+DYN', header),
        'has a stack that can be executed': stack and 'E' not in stack.group(1),
        'has relocations that stay writable (-z relro)': 'GNU_RELRO' in segments,
        'binds calls late (-z now)': re.search(r'BIND_NOW|\bNOW\b', dynamic),
        'has no stack protector': '__stack_chk_fail' in symbols,
        'has no fortified calls': re.search(r'__\w+_chk\b(?<!__stack_chk_fail)', symbols) or not fortified,
    }
    return [f'{path} {wrong}' for wrong, good in wanted.items() if not good]


SOURCE = '''#include <stdio.h>
#include <string.h>
int main(int argc, char **argv)
{
    char text[16];
    strcpy(text, argv[argc - 1]);
    return puts(text);
}
'''
SOUND = ['-O1', '-fstack-protector-strong', '-U_FORTIFY_SOURCE', '-D_FORTIFY_SOURCE=2', '-fPIE', '-pie', '-Wl,-z,relro',
         '-Wl,-z,now', '-Wl,-z,noexecstack']
FAULTS = {
    '-Wl,-z,norelro': 'relro', '-Wl,-z,lazy': '-z now', '-fno-stack-protector': 'stack protector',
    '-U_FORTIFY_SOURCE': 'fortified', '-Wl,-z,execstack': 'executed', '-no-pie': 'position',
}


def prove(compiler):
    """The check finds each fault alone, and nothing where nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'planted')
        for fault, word in [(None, None), *FAULTS.items()]:
            flags = SOUND + [fault] if fault else SOUND
            subprocess.run([*compiler, '-x', 'c', '-', *flags, '-o', path], input=SOURCE, text=True, check=True)
            found = check(path)
            if len(found) != bool(fault) or (fault and word not in found[0]):
                sys.exit(f'the check itself is broken: with {fault or "all flags"} it finds {found}')


def main():
    arguments = sys.argv[1:]
    fortified = '--unfortified' not in arguments
    files, compiler = arguments[not fortified:arguments.index('--')], arguments[arguments.index('--') + 1:]
    prove(compiler)
    found = [complaint for path in files for complaint in check(path, fortified)]
    print('\n'.join(found) if found else f'nothing found in {len(files)} files')
    sys.exit(1 if found else 0)


main()
