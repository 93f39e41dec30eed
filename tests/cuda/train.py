"""Whole runs through the host code of the GPU's module and its kernels, over the stand-in for CUDA: losses are the CPU's up to
rounding, on four meshes; workers map each other's memory by descriptors. DIONODE: the program; DIONODE_MODULES: where the module is.
"""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, children, expect, run, tap  # noqa: E402

CONFIG = os.path.join(os.path.dirname(__file__), "..", "..", "configs", "verify.yaml")
# As tests/ranks/train_runs.py, of fewer steps: one step's relative rounding, grown by training.
BOUND = 1e-11 if "f64" in os.path.basename(PROGRAM) else 1e-4
MESHES = ((1, {}), (2, dict(dp_size=2)), (2, dict(fs_size=2, dp_size=1, fs_gather="per_rank")), (4, dict(dp_size=2, tp_size=2)))


# Kernels are emulated: on a busy machine a peer is late long before it is lost.
PATIENCE_S = 600


def trained(place, name, np, **changes):
    done = place.train(np=np, checkpoint_dir=place.file(name), timeout_s=PATIENCE_S, **changes)
    expect(done.returncode == 0, f"{name}: {done.stderr}")
    return [m["loss"] for m in place.metrics(name)]


@case
def losses_are_the_cpus_on_four_meshes():
    for order in ("rising", "falling", "shuffled")[:3 if FULL else 1]:
        os.environ["DIONODE_CUDA_ORDER"] = order
        for np, keys in MESHES if FULL else (MESHES[0], MESHES[3]):
            with Place() as place:
                cpu = trained(place, "cpu", np, device="cpu", num_iterations=4, **keys)
                gpu = trained(place, "gpu", np, device="cuda", num_iterations=4, **keys)
                worst = max(abs(a - b) / abs(a) for a, b in zip(cpu, gpu))
                expect(len(cpu) == len(gpu) and len(cpu) > 1, f"{keys}: {cpu}, {gpu}")
                expect(worst < BOUND, f"{order}, {keys}: {gpu} instead of {cpu}")


# Both round operands to bfloat16, and add in another order. In double none of them lies so near to a tie that this shows. In float a
# few in a hundred thousand do, and are 1/256 larger or smaller; and the GPU's attention rounds its operands, and stores activations
# rounded, by up to 1/256 each, which the CPU does not. A loss is the mean over many.
MIXED_BOUND = BOUND if "f64" in os.path.basename(PROGRAM) else 1e-3


def private_bytes(done):
    """What the log says that a worker has for itself."""
    number, unit = re.search(r"^memory .* and ([\d.]+) (\w+) private", done.stderr, re.M).groups()
    return float(number) * {"B": 1, "KiB": 1024, "MiB": 1024**2}[unit]


def expect_the_cpus_losses(place, np, **changes):
    """Of mixed precision on the GPU and as the CPU emulates it; returns the GPU's run."""
    cpu = trained(place, "cpu", np, device="cpu", precision="emulated", num_iterations=3, **changes)
    done = place.train(np=np, device="cuda", precision="mixed", num_iterations=3, checkpoint_dir=place.file("gpu"), timeout_s=PATIENCE_S, **changes)
    expect(done.returncode == 0, f"{changes}: exit {done.returncode}: {done.stderr}")
    gpu = [m["loss"] for m in place.metrics("gpu")]
    worst = max(abs(a - b) / abs(a) for a, b in zip(cpu, gpu))
    expect(len(cpu) == len(gpu) and len(cpu) > 1, f"{changes}: {cpu}, {gpu}")
    expect(worst < MIXED_BOUND, f"{changes}: {gpu} instead of {cpu}")
    return done


@case
def losses_of_mixed_precision_are_those_that_the_cpu_emulates():
    if not FULL and "f64" in os.path.basename(PROGRAM):
        return
    with Place() as place:
        mixed = expect_the_cpus_losses(place, 1)
        expect("products  of layers from bfloat16 by cuda-host-bf16" in mixed.stderr, mixed.stderr)
        done = place.train(device="cuda", precision="emulated", num_iterations=1, checkpoint_dir=place.file("host"))
        expect(done.returncode != 0 and "take mixed" in done.stderr, f"exit {done.returncode}: {done.stderr}")
        plain = place.train(device="cuda", num_iterations=1, checkpoint_dir=place.file("plain"))
        if "f64" in os.path.basename(PROGRAM):  # where bfloat16 is not stored
            expect(private_bytes(mixed) == private_bytes(plain), f"{mixed.stderr}{plain.stderr}")
        else:
            expect(private_bytes(mixed) < private_bytes(plain), f"{mixed.stderr}{plain.stderr}")


# Of the long tier alone.
long_case = case if FULL else lambda function: function


@long_case
def losses_of_mixed_precision_are_the_cpus_on_all_meshes_and_with_other_layers():
    for np, keys in MESHES[1:]:
        with Place() as place:
            expect_the_cpus_losses(place, np, **keys)
    for keys in dict(architecture="llama"), dict(architecture="gpt2"), dict(architecture="gpt_neox"), dict(architecture="llama", mlp_dim=52, vocab_size=259):
        with Place() as place:
            expect_the_cpus_losses(place, 1, **keys)


def numbers_by_the_bus(worker):
    """Whether a worker, if it is started, numbers GPUs as a launcher did that placed it beside one."""
    try:
        with open(f"/proc/{worker}/environ", encoding="utf-8") as environment:
            return "CUDA_DEVICE_ORDER=PCI_BUS_ID" in environment.read().split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


def launched_without_gpu(*arguments):
    """What a command prints, whose workers are seen and placed beside GPUs, and which has not opened the device's module itself while there are any."""
    launcher = subprocess.Popen([PROGRAM, *arguments], text=True, stdout=subprocess.PIPE)
    n_seen, placed = 0, False
    while launcher.poll() is None:
        workers = children(launcher.pid)
        with open(f"/proc/{launcher.pid}/maps", encoding="utf-8") as maps:
            holds = "dionode-cuda" in maps.read()
        placed = placed or any(numbers_by_the_bus(worker) for worker in workers)
        if workers and children(launcher.pid):
            n_seen += 1
            expect(not holds, f"{arguments[0]}: the launcher has opened the device's module")
        time.sleep(0.01)
    expect(launcher.returncode == 0 and n_seen > 0, f"{arguments}: exit {launcher.returncode}, {n_seen} looks")
    expect(placed, f"{arguments[0]}: its workers are not placed beside GPUs")
    return launcher.stdout.read()


@long_case
def collectives_on_device_memory_have_no_wrong_value():
    for np in 2, 3:
        said = launched_without_gpu("bench", "comm", "--device", "cuda", "--np", str(np), "-b", "64", "-e", "4K", "-n", "1", "-w", "0", "--triad", "64K")
        rows = [line.split("|")[4].split()[0] for line in said.splitlines() if line[:1] == " "]
        expect(len(rows) > 20 and set(rows) <= {"0", "N/A"}, said)


@long_case
def gpus_are_shown_by_a_process_that_has_no_workers():
    with Place() as place:
        said = launched_without_gpu("topo", "--mesh", "pp=2", place.config(device="cuda"), "--measure")
        expect("pp_times=" in said and "GPU 0 " in said, said)


@long_case
def workers_of_train_and_verify_are_placed_beside_gpus():
    with Place() as place:
        launched_without_gpu(*place.command(np=2, device="cuda", dp_size=2, num_iterations=2)[1:])
    launched_without_gpu("verify", CONFIG, "device=cuda", "timeout_s=600", "--mesh", "dp=2", "--steps", "1")


@long_case
def trained_models_are_tuned_and_read_by_workers_on_a_device():
    with Place() as place:
        trained(place, "run", 2, device="cuda", dp_size=2, num_iterations=2)
        with open(place.file("labels.tsv"), "w", encoding="utf-8") as labels:
            labels.writelines(f"{'ab'[i % 2]}\tx{'ab'[i % 2]}\n" for i in range(60))
        losses = []
        for np, device in (1, "cpu"), (2, "cuda"):
            arguments = ["finetune", place.file("run"), "--labels", place.file("labels.tsv"), "--np", str(np), "--json", f"device={device}",
                         "num_iterations=3"]
            losses.append(json.loads(launched_without_gpu(*arguments) if np > 1 else run([PROGRAM, *arguments]).stdout)["loss"])
        expect(abs(losses[1] - losses[0]) < BOUND * losses[0], f"{losses[1]} instead of {losses[0]}")
        texts = []
        for np in 1, 2:
            arguments = ["generate", place.file("run"), "97", "--tokens=4", "--temperature=0", "--ids", "--np", str(np)]
            texts.append(launched_without_gpu(*arguments) if np > 1 else run([PROGRAM, *arguments]).stdout)
        expect(texts[0] and texts[0] == texts[1], f"{texts[1]} instead of {texts[0]}")


tap()
