"""The modules of GPUs as nvcc builds them, where there is nvcc: what is linked with CUDA, what a machine without a GPU is told, and what
machine code all kernels became, in float and double, for sm_80, sm_90a and sm_100. And what is built where nvcc is hidden.

    module.py SOURCE MESON NVCC          DIONODE: the program

Registers and memory of threads are what the assembler says of them. How large a kernel's blocks are, and how much a load moves, is seen
where cuobjdump and nvdisasm are: in PATH, beside nvcc, or installed from PyPI (nvidia-cuda-cuobjdump, nvidia-cuda-nvdisasm). Planted
kernels that spill, use too many registers, move single numbers or add by atomics show that each check can fail.
"""
import glob
import os
import re
import shutil
import site
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, Skip, case, expect, in_own_mounts, run, tap  # noqa: E402

SOURCE, MESON, NVCC = sys.argv[1:4]
TARGETS = ["sm_80", "sm_90a", "sm_100"]
MODULES = ["libdionode-cuda.so", "libdionode-cuda-f64.so"]
OPTIONS = ["-Dtests=false", "-Dbench=false", "-Dmpi=disabled", "--werror"]
# Bytes on the stack of a thread: where CUDA's sines and cosines in double take the remainder of a large angle.
STACK = {"sketch": 40}
# Kernels whose template says how many numbers a thread moves at once, and how many are 16 bytes; those whose tiles are copied so.
WIDE = re.compile(r"^_Z\d+(?:eachILi\d+ELj\d+ELj\d+E|(?:norm|glu)_(?:forward|backward)I)Li(?P<width>\d+)E")
TILED = re.compile(r"^_Z\d+flash_(?:forward|queries|keys)I")
folder = tempfile.TemporaryDirectory()
build = os.path.join(folder.name, "build")
log = []  # what the build printed


def plain(mangled):
    return re.sub(r"^_Z(?:L)?\d+", "", mangled)


def assembled(text):
    """(kernel, target, registers, bytes of stack, bytes spilled) of what ptxas -v prints."""
    found = []
    for line in text.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
            kernel = match.groups()
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            stack, stored, loaded = map(int, match.groups())
        elif match := re.search(r"Used (\d+) registers", line):
            found.append((*kernel, int(match.group(1)), stack, stored + loaded))
    return found


def block_sizes(ptx):
    """Kernel -> the most threads that a block of it may have."""
    return {name: int(threads) for name, threads in re.findall(r"\.entry (\w+)\([^)]*\)\s*\.maxntid (\d+)", ptx)}


def spilling(kernels):
    return [f"{name} ({target}): {stack} bytes of stack, {spilled} bytes spilled" for name, target, _, stack, spilled in kernels
            if spilled > 0 or stack > max([STACK[n] for n in STACK if plain(name).startswith(n)], default=0)]


def crowding(kernels, threads):
    """Those of which a multiprocessor, with its 65,536 registers, has not two blocks at once. A thread has at most 255."""
    return [f"{name} ({target}): {registers} registers, in blocks of {threads.get(name, 'unknown size')}" for name, target, registers, _, _ in kernels
            if registers > min(65536 // (2 * threads.get(name, 1024)), 255)]


def narrow(code, bytes_of_real):
    """Of a disassembly: (kernels that promise to move 16 bytes a thread, and those of them that do not)."""
    promised, broken = [], []
    for body in re.split(r"\n\s*Function : ", code)[1:]:
        name = body.split("\n", 1)[0].strip()
        match = WIDE.match(name)
        if TILED.match(name):
            copies = re.findall(r"\bLDGSTS\.\S*", body)
            wide = copies and all(".128" in copy for copy in copies)
        elif match and int(match.group("width")) * bytes_of_real == 16:
            wide = re.search(r"\bSTG\.E\S*\.128", body) and (not re.search(r"\bLDG\.", body) or re.search(r"\bLDG\.E\S*\.128", body))
        else:
            continue
        promised.append(name)
        if not wide:
            broken.append(name)
    return promised, broken


def atomics(code):
    """Of a disassembly: the instructions that change memory out of order."""
    return re.findall(r"\b(?:ATOM|ATOMG|ATOMS|RED|REDG|SUATOM|SURED)\b\S*", code)


def inexact(commands):
    """What is asked of nvcc that makes a kernel's numbers others than C's."""
    return re.findall(r"\S*(?:fast[-_]math|-ftz|-prec-div|-prec-sqrt)\S*", commands)


def cuobjdump(*arguments):
    """What it prints; it starts nvdisasm."""
    folders = [os.environ["PATH"], os.path.dirname(os.path.realpath(NVCC))]
    for packages in [*site.getsitepackages(), site.getusersitepackages()]:
        folders += glob.glob(os.path.join(packages, "nvidia", "*", "bin"))
    path = os.pathsep.join(folders)
    if not shutil.which("cuobjdump", path=path) or not shutil.which("nvdisasm", path=path):
        raise Skip("cuobjdump and nvdisasm are not installed")
    done = run([shutil.which("cuobjdump", path=path), *arguments], limit_s=3600, env={**os.environ, "PATH": path})
    expect(done.returncode == 0, done.stderr)
    return done.stdout


@case
def both_modules_are_built_without_a_warning():
    done = run([MESON, "setup", build, SOURCE, "-Dcuda=enabled"] + OPTIONS, limit_s=600)
    expect(done.returncode == 0, done.stdout + done.stderr)
    os.environ["NVCC_APPEND_FLAGS"] = "-Xptxas=-v"
    done = run(["ninja", "-C", build] + MODULES, limit_s=6000, stderr=subprocess.STDOUT)
    del os.environ["NVCC_APPEND_FLAGS"]
    log.append(done.stdout)
    expect(done.returncode == 0, done.stdout[-8000:])
    expect("warning" not in done.stdout, "\n".join(line for line in done.stdout.splitlines() if "warning" in line))


def commands_of(target, place=build):
    """What builds it, whichever folder that is in."""
    commands = run(["ninja", "-C", place, "-t", "commands", target]).stdout
    expect(commands, f"nothing is done for {target}")
    return commands.replace(place, "")


@case
def only_the_modules_need_cuda():
    for module in MODULES:
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", run(["readelf", "-W", "-d", os.path.join(build, module)]).stdout)
        of_cuda = [name for name in needed if re.match(r"lib(cu|nv)", name)]
        expect(len(of_cuda) == 1 and of_cuda[0].startswith("libcublasLt."), f"{module}: {needed}")
    plain = os.path.join(folder.name, "plain")
    done = run([MESON, "setup", plain, SOURCE, "-Dcuda=disabled"] + OPTIONS, limit_s=600)
    expect(done.returncode == 0, done.stdout + done.stderr)
    for target in "dionode", "dionode-f64":
        expect(commands_of(target) == commands_of(target, plain), f"{target} is another than without CUDA")


@case
def nvcc_is_asked_for_exact_arithmetic():
    for module in MODULES:
        commands = commands_of(module)
        expect(commands.count("-gencode=arch=compute_80") > 20, commands)
        expect(not inexact(commands), f"{module}: {inexact(commands)}")
    planted = inexact("nvcc --use_fast_math -O3 -use_fast_math -ftz=true -prec-div=false -prec-sqrt=false")
    expect(len(planted) == 5, f"{planted}")


@case
def where_nvcc_is_missing_auto_builds_no_module_and_enabled_is_an_error():
    places = [NVCC, "/usr/local/cuda/bin/nvcc"] + [os.path.join(path, "nvcc") for path in os.environ["PATH"].split(os.pathsep)]
    hidden = "".join(f"mount --bind /dev/null '{path}' && " for path in {os.path.realpath(place) for place in places} if os.path.exists(path))
    for option, status, words in ("auto", 0, r"CUDA \(GPUs\) *: no"), ("enabled", 1, "ERROR: Program 'nvcc.* not found"):
        done = in_own_mounts(f"{hidden}'{MESON}' setup '{os.path.join(folder.name, option)}' '{SOURCE}' -Dcuda={option} {' '.join(OPTIONS)}")
        expect(done.returncode == status and re.search(words, done.stdout), f"{option}: exit {done.returncode}: {done.stdout[-3000:]}{done.stderr}")


@case
def without_a_driver_the_device_is_refused_with_what_to_do():
    if run(["sh", "-c", "ldconfig -p | grep -q libcuda.so.1"]).returncode == 0:
        raise Skip("this machine has a driver")
    with Place() as place:
        os.environ["DIONODE_MODULES"] = build
        done = place.train(device="cuda", num_iterations=1)
        del os.environ["DIONODE_MODULES"]
        expect(done.returncode == 10, f"exit {done.returncode}: {done.stderr}")
        expect("driver is not found" in done.stderr and "device: cpu" in done.stderr, done.stderr)


@case
def no_kernel_spills():
    kernels = assembled("".join(log))
    count = {target: sum(k[1] == target for k in kernels) for target in TARGETS}
    expect(len(set(count.values())) == 1 and count[TARGETS[0]] > 100, f"kernels of each target: {count}")
    expect(not spilling(kernels), "\n".join(spilling(kernels)))


@case
def two_blocks_of_each_kernel_find_registers():
    threads = {}
    for module in MODULES:
        threads.update(block_sizes(cuobjdump("-ptx", os.path.join(build, module))))
    expect(set(threads.values()) == {32, 128, 256}, f"{set(threads.values())}")
    kernels = assembled("".join(log))
    expect(not crowding(kernels, threads), "\n".join(crowding(kernels, threads)))


@case
def kernels_that_promise_it_move_16_bytes_a_thread_and_none_adds_by_atomics():
    for module, bytes_of_real in zip(MODULES, (4, 8)):
        for target in TARGETS:
            code = cuobjdump("-sass", "-arch", target, os.path.join(build, module))
            promised, broken = narrow(code, bytes_of_real)
            expect(len(promised) > 10 and not broken, f"{module}, {target}: {len(promised)} kernels promise it; not so {broken}")
            expect(not atomics(code), f"{module}, {target}: {set(atomics(code))}")


PLANTED = """
__global__ void __launch_bounds__(256) array(float *x, int n) { float a[64]; for (int i = 0; i < 64; i++) a[i] = x[i]; for (int i = 0; i < n; i++) x[i] = a[(i * n) & 63]; }
template <int T, int B> __global__ void __launch_bounds__(T, B) many(float *x) { float a[160];
#pragma unroll
  for (int i = 0; i < 160; i++) a[i] = x[i * T + threadIdx.x];
#pragma unroll 1
  for (int k = 0; k < 160; k++) { float s = 0;
#pragma unroll
    for (int i = 0; i < 160; i++) s += a[i] * a[159 - i] * k;
#pragma unroll
    for (int i = 0; i < 160; i++) a[i] += s;  x[k * T + threadIdx.x] = s; } }
template __global__ void many<256, 1>(float *); template __global__ void many<256, 2>(float *); template __global__ void many<128, 2>(float *);
template <int W> __global__ void __launch_bounds__(256) norm_forward(float *x) { x[threadIdx.x] *= 2; }
template __global__ void norm_forward<4>(float *);
__global__ void __launch_bounds__(256) add(float *sum, const float *x) { atomicAdd(sum, x[threadIdx.x]); }
__global__ void __launch_bounds__(256) take_turns(unsigned *n, float *x) { x[atomicAdd(n, 1)] = threadIdx.x; }
"""


@case
def planted_kernels_are_complained_of():
    source, cubin, ptx = (os.path.join(folder.name, name) for name in ("planted.cu", "planted.cubin", "planted.ptx"))
    with open(source, "w", encoding="utf-8") as file:
        file.write(PLANTED)
    done = run([NVCC, "-Xptxas=-v", "-arch=sm_90a", "-cubin", "-o", cubin, source], limit_s=600)
    expect(done.returncode == 0 and run([NVCC, "-arch=sm_90a", "-ptx", "-o", ptx, source], limit_s=600).returncode == 0, done.stderr)
    with open(ptx, encoding="utf-8") as file:
        threads = block_sizes(file.read())
    kernels = assembled(done.stdout + done.stderr)
    expect({plain(name): n for name, n in threads.items()} == {"arrayPfi": 256, "manyILi256ELi1EEvPf": 256, "manyILi256ELi2EEvPf": 256, "manyILi128ELi2EEvPf": 128,
                                                               "norm_forwardILi4EEvPf": 256, "addPfPKf": 256, "take_turnsPjPf": 256}, f"{threads}")
    expect(sorted(plain(line).split(" ")[0] for line in spilling(kernels)) == ["arrayPfi", "manyILi256ELi2EEvPf"], f"{spilling(kernels)}")
    expect([plain(line).split(" ")[0] for line in crowding(kernels, threads)] == ["manyILi256ELi1EEvPf"], f"{crowding(kernels, threads)}")
    code = cuobjdump("-sass", cubin)
    promised, broken = narrow(code, 4)
    expect(len(promised) == len(broken) == 1, f"{promised}, {broken}")
    expect(len(atomics(code)) >= 2, f"{atomics(code)}")


tap()
