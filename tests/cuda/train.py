"""Whole runs through the host code of the GPU's module and its kernels, over the stand-in for CUDA: losses are the CPU's up to
rounding, on four meshes; workers map each other's memory by descriptors. DIONODE: the program; DIONODE_MODULES: where the module is.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, expect, tap  # noqa: E402

# As tests/ranks/train_runs.py, of fewer steps: one step's relative rounding, grown by training.
BOUND = 1e-11 if "f64" in os.path.basename(PROGRAM) else 1e-4
MESHES = ((1, {}), (2, dict(dp_size=2)), (2, dict(fs_size=2, dp_size=1, fs_gather="per_rank")), (4, dict(dp_size=2, tp_size=2)))


def trained(place, name, np, **changes):
    done = place.train(np=np, checkpoint_dir=place.file(name), **changes)
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


@case
def a_failing_launch_or_allocation_ends_the_run_and_is_named():
    with Place() as place:
        for fault, words in (("launch:200", ("cudaErrorIllegalAddress", "kernels queued last: ", ", ")), ("memory:1", ("memory",)), ("memory:3", ("cudaErrorMemoryAllocation",))):
            os.environ["DIONODE_STANDIN_FAULT"] = fault
            done = place.train(device="cuda", num_iterations=2)
            del os.environ["DIONODE_STANDIN_FAULT"]
            expect(done.returncode in (6, 10), f"{fault}: exit {done.returncode}: {done.stderr}")
            expect(all(word in done.stderr for word in words), f"{fault}: {done.stderr}")


@case
def without_its_module_the_device_is_refused_by_name():
    with Place() as place:
        modules = os.environ["DIONODE_MODULES"]
        os.environ["DIONODE_MODULES"] = place.file("")
        done = place.train(device="cuda", num_iterations=1)
        os.environ["DIONODE_MODULES"] = modules
        expect(done.returncode == 10, f"exit {done.returncode}: {done.stderr}")
        expect("libdionode-cuda" in done.stderr and "device: cpu" in done.stderr, done.stderr)


tap()
