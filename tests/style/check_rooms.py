"""Rooms include only rooms above them, the command line sees public headers only, and each foreign header and
system call that has a home is used nowhere else.

    check_rooms.py ROOT
"""
import re
import sys

import planted

# From the bottom up: a room may include itself and what stands before it.
ROOMS = ['base', 'topo', 'tensor', 'shm', 'launch', 'device', 'comm', 'compute', 'codec', 'linalg', 'optim', 'shard', 'strategy', 'nn', 'model', 'pipe', 'text', 'data', 'hdc', 'checkpoint', 'formats',
         'report', 'verify', 'train', 'compare', 'bench']

# Foreign header -> files of src/ that may include it. shm owns shared mappings; checkpoint maps files read-only,
# data may; device/cpu.c only advises the kernel about huge pages; cli/limits.c tries for room; base/atomic_file.c makes
# files in memory.
HOMES = [
    (r'hwloc(/|\.h)', r'topo/'),
    (r'(cblas|lapacke)\.h', r'compute/cpu/|linalg/lanczos\.c'),
    (r'(openblas\w*|omp|immintrin)\.h|openblas/', r'compute/cpu/'),
    (r'(cuda|cublas|cusolver|nccl|nvml)\w*\.h', r'(device|compute)/cuda/'),
    (r'sys/mman\.h', r'shm/|data/|checkpoint/|formats/|device/cpu\.c|cli/limits\.c|base/atomic_file\.c'),
    (r'linux/(futex|membarrier)\.h', r'shm/'),
    (r'sys/wait\.h|spawn\.h', r'launch/'),
    (r'Random123/', r'base/random\.c|compute/cuda/'),
    (r'jansson\.h', r'base/json\.[ch]|data/|checkpoint/|formats/|report/|verify/|train/|bench/|text/'),
    (r'xxhash\.h', r'checkpoint/|train/|text/'),
    (r'(pcre2|utf8proc)\.h', r'text/'),
    (r'zlib\.h', r'data/'),
    (r'yaml\.h', r'train/'),
    (r'mpi\.h', r'comm/transport/mpi\.c|bench/mpi_program\.c'),
    (r'dlfcn\.h', r'base/module\.c'),
]
# Making and awaiting processes: launch only.
PROCESS = re.compile(r'\b(v?fork|clone3?|exec[lv]p?e?|fexecve|posix_spawnp?|waitpid|waitid|wait[34]|popen|'
                     r'system|daemon)\s*\(')
# One exception: a program may start itself over, which makes no process, to give OpenBLAS another kernel.
STARTS_OVER = {'src/compute/cpu/blas.c': 'execv'}
# Headers of a room that no other room may include: other members' memory by address is comm's own.
PRIVATE = {'comm/peer.h', 'comm/internal.h'}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def own_header_wrong(room, name):
    """Why a file in `room` may not include our header `name`; None if it may."""
    target = name.split('/')[0]
    if target == 'dionode':
        concept = name.split('/')[-1].removesuffix('.h')  # dionode/launch.h is the face of launch
        if room in ROOMS and concept in ROOMS and ROOMS.index(concept) > ROOMS.index(room):
            return f'{room} stands below {concept}'
    elif room == 'include':
        return 'a public header sees public headers only'
    elif room == 'cli':
        return None if target == 'cli' else 'the command line sees public headers only'
    elif target not in ROOMS:
        return 'our headers are named from the root of src or include'
    elif ROOMS.index(target) > ROOMS.index(room):
        return f'{room} stands below {target}'
    elif name in PRIVATE and target != room:
        return f"it is {target}'s own: read other members' memory through dn_comm_view"
    return None


def foreign_header_wrong(within, name):
    """Why src/<within> may not include the foreign header `name`; None if it may."""
    for header, home in HOMES:
        if re.match(header, name) and not re.match(home, within):
            return f'its home is {home}'
    return None


def check_file(root, path):
    top, _, within = path.partition('/')
    room = 'include' if top == 'include' else within.split('/')[0]
    if room not in ROOMS + ['include', 'cli']:
        return [f'{path}: {room} is not a room; if it is new, say here where it stands']
    text = planted.read(root, path)
    found = []
    for number, line in enumerate(text.split('\n'), 1):
        match = INCLUDE.match(line)
        if match:
            foreign, name = match.group(1) == '<', match.group(2)
            wrong = foreign_header_wrong(within, name) if foreign else own_header_wrong(room, name)
            if wrong:
                found.append(f'{path}:{number}: must not include {name}: {wrong}')
    calls = {match.group(1) for match in PROCESS.finditer(NOT_CODE.sub(' ', text))} - {STARTS_OVER.get(path)}
    if calls and room != 'launch':
        found.append(f'{path}: calls {", ".join(sorted(calls))}; only launch makes and awaits processes')
    return found


def check(root):
    sources = [f for f in planted.files(root) if re.match(r'(src|include)/.*\.([ch]|cu|cuh)$', f)]
    return [complaint for path in sources for complaint in check_file(root, path)]


FAULTS = [
    {'src/comm/a.c': '#include "optim/dion.h"\n'},
    {'src/base/a.h': '#  include "shm/world.h"\n'},
    {'src/base/a.h': '#include "dionode/launch.h"\n'},
    {'src/cli/a.c': '#include "train/run.h"\n'},
    {'src/comm/a.c': '#include "group.h"\n'},
    {'src/shard/a.c': '#include "comm/peer.h"\n'},
    {'src/verify/a.c': '#include "comm/internal.h"\n'},
    {'src/attic/a.c': 'int a;\n'},
    {'include/dionode/a.h': '#include "shm/world.h"\n'},
    {'src/launch/a.c': '#include <hwloc.h>\n'},
    {'src/nn/a.c': '#include <cblas.h>\n'},
    {'src/compute/ref/a.c': '#include <omp.h>\n'},
    {'src/linalg/a.c': '#include <lapacke.h>\n'},
    {'src/train/a.c': '#include <sys/mman.h>\n'},
    {'src/shm/a.c': '#include <sys/wait.h>\n'},
    {'src/report/a.c': '#include <xxhash.h>\n'},
    {'src/cli/a.c': 'int f(void) { return fork(); }\n'},
    {'src/compute/cpu/blas.c': 'int f(void) { execv(0, 0); return fork(); }\n'},
    {'src/compute/cpu/gemm.c': 'int f(void) { return execv(0, 0); }\n'},
    {'src/train/a.c': 'int f(void) { return system ("x"); }\n'},
]
SOUND = [
    {'src/train/a.c': '#include "train/run.h"\n#include "base/fail.h"\n#include <yaml.h>\n'},
    {'src/launch/a.c': '#include "dionode/launch.h"\n#include <sys/wait.h>\nint f(void) { return fork(); }\n'},
    {'src/cli/a.c': '#include "cli/table.h"\n#include "dionode/status.h"\n#include <argp.h>\n'},
    {'src/compute/cpu/blas.c': 'int f(void) { return execv(0, 0); }\n'},
    {'src/compute/cpu/a.c': '#include <cblas.h>\n#include <omp.h>\n'},
    {'src/comm/a.c': '#include "comm/internal.h"\n#include "comm/peer.h"\n'},
    {'src/comm/a.c': '/* after a fork() */ const char *a = "exec(x)"; // waitpid(1)\nint pitchfork(int);\n'},
]
planted.run(check, FAULTS, SOUND, sys.argv[1])
