"""Each public header compiles alone, as C11 and, where there is a compiler for it, as C++17.

    check_headers.py ROOT COMPILER...
"""
import os
import shutil
import subprocess
import sys

import planted

FLAGS = ['-Wall', '-Wextra', '-pedantic', '-Werror', '-fsyntax-only']


def languages(compiler):
    yield compiler + ['-x', 'c', '-std=c11']
    if shutil.which('c++'):
        yield ['c++', '-x', 'c++', '-std=c++17']


def check(root, compiler):
    include = os.path.join(root, 'include')
    found = []
    for name in sorted(os.listdir(os.path.join(include, 'dionode'))):
        if not name.endswith('.h'):
            continue
        # Twice: an include guard that is missing or shared with another header shows here.
        source = f'#include "dionode/{name}"\n#include "dionode/{name}"\nint only_a_declaration;\n'
        for command in languages(compiler):
            result = subprocess.run(command + FLAGS + ['-I', include, '-'], input=source, capture_output=True,
                                    text=True, check=False)
            if result.returncode != 0:
                found.append(f'include/dionode/{name} does not compile alone:\n{result.stderr}')
                break
    return found


def main():
    root, compiler = sys.argv[1], sys.argv[2:]
    needs_another = {'include/dionode/x.h': '#ifndef X\n#define X\nsize_t f(void);\n#endif\n'}
    no_guard = {'include/dionode/x.h': 'struct x { int y; };\n'}
    not_c11 = {'include/dionode/x.h': '#ifndef X\n#define X\nstatic inline int f(void) { return ({ 1; }); }\n#endif\n'}
    alone = {'include/dionode/x.h': '#ifndef X\n#define X\n#include <stddef.h>\nsize_t f(void);\n#endif\n'}
    planted.run(lambda at: check(at, compiler), [needs_another, no_guard, not_c11], [alone], root)


main()
