"""Machine code of all kernels, by nvcc: for sm_80, sm_90a and sm_100, in float and double.

    compile.py NVCC SOURCE-ROOT NAME...

Of each kernel: nothing is spilled, no local memory is used (an array that is indexed by what only a run knows), and no more
registers than let two blocks of 256 threads share a multiprocessor. Kernels that promise to move 16 bytes a thread do so, loading
and storing. A planted kernel with local memory, one that spills and one that moves single numbers show that the check can fail.
"""
import os
import re
import subprocess
import sys
import tempfile

SKIPPED = 77  # to meson: not a failure
TARGETS = ['sm_80', 'sm_90a', 'sm_100']
REGISTERS = 128
FLAGS = ['-std=c++17', '--extended-lambda', '-D_GNU_SOURCE', '-O3', '-Xptxas', '-v,--warn-on-spills,--warn-on-local-memory-usage']
# Kernels whose template says how many numbers a thread moves at once: 4 floats, 2 doubles.
PROMISES = re.compile(r'_Z(?:N\w*?)?\d+(each|norm_forward|norm_backward|glu_forward|glu_backward)I\w*?Li(\d)E')
WIDE = {'f32': ('4', re.compile(r'\b(ld|st)\.global[.\w]*\.v4\.[a-z]32\b')), 'f64': ('2', re.compile(r'\b(ld|st)\.global[.\w]*\.v2\.[a-z]64\b'))}
ENTRY = re.compile(r"Compiling entry function '(\w+)' for '(\w+)'")
PTX_ENTRY = re.compile(r'\.entry (\w+)\(')


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'{" ".join(command)}\n{done.stdout}{done.stderr}')
    return done.stdout + done.stderr


def assembler_complaints(text):
    """Of what ptxas -v prints: and how many kernels it speaks of."""
    found, n, name = [], 0, '?'
    for line in text.splitlines():
        match = ENTRY.search(line)
        if match:
            name, n = f'{match.group(1)} ({match.group(2)})', n + 1
        match = re.search(r'(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads', line)
        if match and any(int(x) for x in match.groups()):
            found.append(f'{name}: {line.strip()}')
        match = re.search(r'Used (\d+) registers', line)
        if match and int(match.group(1)) > REGISTERS:
            found.append(f'{name}: {match.group(1)} registers, at most {REGISTERS}')
    return found, n


def width_complaints(ptx, precision):
    """Kernels of whole 16 bytes whose code has no such load, or store. Only stores: those that load nothing."""
    width, access = WIDE[precision]
    found, n = [], 0
    starts = list(PTX_ENTRY.finditer(ptx))
    for start, end in zip(starts, starts[1:] + [None]):
        body = ptx[start.start():end.start() if end else None]
        match = PROMISES.match(start.group(1))
        if not match or not (f'Li{width}E' in start.group(1)[:match.end() + 40] if match.group(1) == 'each' else match.group(2) == width):
            continue
        if match.group(1) == 'each' and not re.match(r'_Z4eachILi\dELj\d+ELj\d+ELi' + width + 'E', start.group(1)):
            continue
        n += 1
        kinds = {m.group(1) for m in access.finditer(body)}
        wanted = {'st'} if re.match(r'_Z4eachILi\dELj0E', start.group(1)) else {'ld', 'st'}
        if wanted - kinds:
            found.append(f'{start.group(1)} ({precision}): no {" and no ".join(sorted(wanted - kinds))} of 16 bytes')
    return found, n


def compile_file(nvcc, root, source, precision, targets, folder):
    includes = ['-I', os.path.join(root, 'src'), '-I', os.path.join(root, 'include')]
    defines = ['-DDN_REAL_DOUBLE'] if precision == 'f64' else []
    codes = [f'-gencode=arch=compute_{t[3:]},code={t}' for t in targets]
    text = run(nvcc, *FLAGS, *includes, *defines, *codes, '-c', source, '-o', os.path.join(folder, 'out.o'))
    ptx = os.path.join(folder, 'out.ptx')
    run(nvcc, *FLAGS[:-2], *includes, *defines, '-arch=compute_80', '-ptx', source, '-o', ptx)
    with open(ptx, encoding='utf-8') as file:
        return text, file.read()


PLANTED = '''
__global__ void local(float *x, int n) { float a[64]; for (int i = 0; i < 64; i++) a[i] = x[i]; for (int i = 0; i < n; i++) x[i] = a[(i * n) & 63]; }
__global__ void __launch_bounds__(1024, 2) spilled(float *x) { float a[96];
#pragma unroll
  for (int i = 0; i < 96; i++) a[i] = x[i * 1024 + threadIdx.x];
#pragma unroll
  for (int k = 0; k < 96; k++) { float s = 0;
#pragma unroll
    for (int i = 0; i < 96; i++) s += a[i] * a[(i + k) % 96]; x[k * 1024 + threadIdx.x] = s; } }
template <int K, unsigned L, unsigned S, int W> __global__ void each(float *x) { x[threadIdx.x] *= 2; }
template __global__ void each<2, 3, 1, 4>(float *);
'''


def prove(nvcc, folder):
    source = os.path.join(folder, 'planted.cu')
    with open(source, 'w', encoding='utf-8') as file:
        file.write(PLANTED)
    text, ptx = compile_file(nvcc, folder, source, 'f32', TARGETS[:1], folder)
    found, _ = assembler_complaints(text)
    narrow, _ = width_complaints(ptx, 'f32')
    for name, complaints in ('local', found), ('spilled', found), ('each', narrow):
        if not any(name in line for line in complaints):
            sys.exit(f'the check itself is broken: it must complain of the planted kernel {name}: {found} {narrow}\n{text}')


def main():
    nvcc, root, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    if not nvcc:
        print('skipped: nvcc is not installed')
        sys.exit(SKIPPED)
    known = run(nvcc, '--list-gpu-code').split()
    targets = [t for t in TARGETS if t.rstrip('a') in known]
    complaints, n, n_wide = [], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        prove(nvcc, folder)
        for name in names:
            for precision in 'f32', 'f64':
                text, ptx = compile_file(nvcc, root, os.path.join(root, 'src/compute/cuda', name + '.cu'), precision, targets, folder)
                for found, count, wide in (*assembler_complaints(text), 0), (*width_complaints(ptx, precision), 1):
                    complaints += found
                    n, n_wide = n + (0 if wide else count), n_wide + (count if wide else 0)
    print('\n'.join(complaints) if complaints else f'{n} kernels for {", ".join(targets)}; {n_wide} move 16 bytes a thread')
    sys.exit(1 if complaints or n == 0 or n_wide == 0 else 0)


main()
