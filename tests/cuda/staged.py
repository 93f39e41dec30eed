"""Workers whose GPUs do not reach each other's memory, over the stand-in for CUDA: all of them exchange through the host's (staged),
say why, and get the bits that they get where memory is mapped. DIONODE: the program; DIONODE_MODULES: where the module is.

In staged mode peers' memory is not mapped in the stand-in either: a read that goes there is a fault.
"""
import os
import re
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, children, expect, run, tap, tensors  # noqa: E402

# Of the long tier alone.
long_case = case if FULL else lambda function: function
# To the first mapping of another's memory, on every worker.
REFUSED = "access:1"
STEPS = 3
MESHES = [(2, dict(fs_size=2, dp_size=1, fs_gather="per_rank"))]
if FULL:
    MESHES += [(2, dict(dp_size=2)), (2, dict(dp_size=1, tp_size=2)), (4, dict(dp_size=2, tp_size=2)), (4, dict(dp_size=2, fs_size=2)),
               (3, dict(fs_size=3, dp_size=1, fs_gather="per_domain")), (2, dict(dp_size=2, optimizer="muon")), (2, dict(dp_size=1, pp_size=2, device_batch_size=4)),
               (2, dict(dp_size=2, strategy="diloco", optimizer="adamw", sync_every=1)), (2, dict(dp_size=2, strategy="noloco", optimizer="adamw", sync_every=1)),
               (2, dict(dp_size=2, strategy="dynthresh", optimizer="adamw")),
               (2, dict(strategy="fedavg", clients=4, client_fraction=0.5, local_steps=1, optimizer="adamw", batch_size=2, device_batch_size=2))]


def trained(place, name, np, fault, steps=STEPS, **changes):
    """What it said, its losses, and its last weights and states."""
    if fault:
        os.environ["DIONODE_STANDIN_FAULT"] = fault
    done = place.train(np=np, device="cuda", checkpoint_dir=place.file(name), num_iterations=steps, **changes)
    os.environ.pop("DIONODE_STANDIN_FAULT", None)
    expect(done.returncode == 0, f"{name}, {changes}: exit {done.returncode}: {done.stderr}")
    return done.stderr, [m["loss"] for m in place.metrics(name)], tensors(place.checkpoint(steps, name))


def expect_same(staged, mapped, what):
    expect("(mapped)" in mapped[0] and "(staged)" not in mapped[0], mapped[0])
    expect("(staged)" in staged[0] and "(mapped)" not in staged[0], staged[0])
    expect(len(mapped[1]) > 1 and staged[1] == mapped[1], f"{what}: losses {staged[1]} instead of {mapped[1]}")
    expect(staged[2].keys() == mapped[2].keys(), f"{what}: {staged[2].keys()} instead of {mapped[2].keys()}")
    differ = [name for name in mapped[2] if staged[2][name] != mapped[2][name]]
    expect(mapped[2] and not differ, f"{what}: other bits in {differ}")


@case
def a_run_has_the_bits_of_one_whose_memory_is_mapped():
    for np, keys in MESHES:
        for order in ("shuffled", "falling")[:2 if FULL else 1]:
            os.environ["DIONODE_CUDA_ORDER"] = order
            with Place() as place:
                expect_same(trained(place, "staged", np, REFUSED, **keys), trained(place, "mapped", np, None, **keys), f"{order}, {keys}")
            del os.environ["DIONODE_CUDA_ORDER"]


@long_case
def one_worker_that_cannot_map_or_reads_other_data_is_enough():
    with Place() as place:
        mapped = trained(place, "mapped", 3, None, dp_size=3, batch_size=24)
        for fault, why in (("access:2@1", r"worker 1: cuMemSetAccess of worker 2's memory: error 217"),
                           ("board:2@2", r"worker 2 reads 0{8} in worker 0's memory, which wrote [0-9a-f]{8}"),
                           ("export:1@0", r"worker 0: cuMemCreate of worker 0's memory: error 801"),
                           ("accept:1@0", r"worker 0: a descriptor is not sent by worker 0: Too many open files")):
            staged = trained(place, fault[:5], 3, fault, dp_size=3, batch_size=24)
            expect(re.search(r"GPUs: 3 workers exchange through page-locked memory of the host \(staged\).*" + why, staged[0]), staged[0])
            expect_same(staged, mapped, fault)


@long_case
def a_run_that_goes_on_may_be_staged_where_it_was_mapped():
    keys = dict(np=2, fs_size=2, dp_size=1, fs_gather="per_rank")
    with Place() as place:
        trained(place, "mapped", fault=None, **keys)
        shutil.copytree(place.file("mapped"), place.file("staged"))
        expect_same(*(trained(place, name, fault=fault, steps=2 * STEPS, **keys) for name, fault in (("staged", REFUSED), ("mapped", None))), "resumed")


@long_case
def collectives_have_no_wrong_value():
    os.environ["DIONODE_STANDIN_FAULT"] = REFUSED
    for np in 2, 3:
        done = run([PROGRAM, "bench", "comm", "--device", "cuda", "--np", str(np), "-b", "64", "-e", "256K", "-n", "1", "-w", "0", "--triad", "64K"])
        expect(done.returncode == 0 and "(staged)" in done.stderr, done.stdout + done.stderr)
        rows = [line.split("|")[4].split()[0] for line in done.stdout.splitlines() if line[:1] == " "]
        expect(len(rows) > 20 and set(rows) <= {"0", "N/A"}, done.stdout)
    del os.environ["DIONODE_STANDIN_FAULT"]


@long_case
def a_killed_worker_is_named():
    os.environ["DIONODE_STANDIN_FAULT"] = REFUSED
    with Place() as place:
        process = place.start(np=2, device="cuda", fs_size=2, dp_size=1, num_iterations=100000, timeout_s=600)
        place.wait_for_step(2)
        os.kill(children(process.pid)[1], signal.SIGKILL)
        _, text = process.communicate(timeout=120)
        expect(process.returncode == 7 and "(staged)" in text and "worker 1" in text, f"exit {process.returncode}: {text}")
    del os.environ["DIONODE_STANDIN_FAULT"]


@long_case
def every_worker_s_proxy_is_on_its_own_gpu():
    os.environ["DIONODE_STANDIN_GPUS"] = "2"
    with Place() as place:
        trained(place, "run", 2, REFUSED, dp_size=2)
    del os.environ["DIONODE_STANDIN_GPUS"]


tap()
