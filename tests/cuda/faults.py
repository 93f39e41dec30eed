"""What goes wrong on a GPU, over the stand-in for CUDA, which blocks where CUDA would: the run ends in time, and says what it was, and
where. DIONODE: the program; DIONODE_MODULES: where the module is.
"""
import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, alive, case, children, expect, run, tap  # noqa: E402

# Of the long tier alone, as it waits, or starts several runs.
long_case = case if FULL else lambda function: function


def failing(place, fault, np=1, **changes):
    os.environ["DIONODE_STANDIN_FAULT"] = fault
    done = place.train(device="cuda", np=np, num_iterations=2, **changes)
    del os.environ["DIONODE_STANDIN_FAULT"]
    return done


@case
def a_failing_launch_or_allocation_ends_the_run_and_is_named():
    # The fifth allocation is of step 1, with kernels queued before it that use memory which the run then gives back.
    with Place() as place:
        for fault, status, words in (("launch:200", 10, ("cudaErrorIllegalAddress", "kernels queued last: ", ", ")), ("memory:1", 6, ("memory",)),
                                     ("memory:5", 6, ("cudaErrorMemoryAllocation",))):
            done = failing(place, fault)
            expect(done.returncode == status and all(word in done.stderr for word in words), f"{fault}: exit {done.returncode}: {done.stderr}")


@long_case
def any_allocation_that_fails_ends_the_run_and_is_named():
    # One after another, until a run has fewer.
    for np, precision, keys in (1, "float", {}), (1, "mixed", {}), (2, "float", dict(dp_size=1, fs_size=2, fs_gather="per_rank")):
        with Place() as place:
            for n in range(1, 100):
                done = failing(place, f"memory:{n}@{np - 1}", np=np, precision=precision, **keys)
                if done.returncode == 0:
                    break
                expect(done.returncode == 6 and "memory" in done.stderr.lower(), f"{keys}, {precision}, {n}: exit {done.returncode}: {done.stderr}")
            expect(5 < n < 99, f"{keys}, {precision}: {n - 1} allocations")


@long_case
def any_copy_that_fails_ends_the_run():
    # On whichever stream: that of weights of the next unit is waited for by none but the run's.
    with Place() as place:
        keys = dict(dp_size=1, fs_size=2, fs_gather="per_rank")
        for n in range(1, 1000, 7):
            done = failing(place, f"copy:{n}@1", np=2, **keys)
            if done.returncode == 0:
                break
            expect(done.returncode == 10 and "cudaErrorInvalidValue" in done.stderr, f"{n}: exit {done.returncode}: {done.stderr}")
        expect(50 < n < 990, f"{n} copies")


@long_case
def a_kernel_that_does_not_end_is_given_up_after_the_deadline_and_named():
    # Of two workers the second has it; the first waits for him in a barrier, and both end by what he says.
    with Place() as place:
        done = failing(place, "hang:200@1", np=2, dp_size=2, timeout_s=4)
        expect(done.returncode == 8, f"exit {done.returncode}: {done.stderr}")
        expect(all(word in done.stderr for word in ("worker 1: GPU 0 does not end what it was given", "have ended, then come ")), done.stderr)


@long_case
def who_waits_for_a_gpu_sees_that_a_peer_whose_memory_it_has_mapped_was_killed():
    # Long before its deadline, and though what it waits for does not end.
    with Place() as place:
        os.environ["DIONODE_STANDIN_FAULT"] = "hang:200@0"
        process = place.start(device="cuda", np=2, num_iterations=2, dp_size=2, timeout_s=600)
        del os.environ["DIONODE_STANDIN_FAULT"]
        for line in process.stderr:
            if "does not end" in line:
                break
        workers = children(process.pid)
        os.kill(workers[1], signal.SIGKILL)
        _, text = process.communicate(timeout=300)  # half the deadline, on a busy machine
        expect(process.returncode == 7 and "worker 1" in text, f"exit {process.returncode}: {text}")
        expect(not any(alive(pid) for pid in workers), "a worker lives")


@long_case
def with_device_debug_the_kernel_itself_is_named():
    with Place() as place:
        plain, debugged = (failing(place, "illegal:200", device_debug=debug) for debug in (False, True))
        for done in plain, debugged:
            expect(done.returncode == 10 and "cudaErrorIllegalAddress" in done.stderr, f"exit {done.returncode}: {done.stderr}")
        named = re.search(r"GPU 0: (.+?): cudaErrorIllegalAddress .*; kernels queued last: (.*?);", debugged.stderr)
        expect(named and named.group(2).endswith(named.group(1)), debugged.stderr)
        expect("its queue: cudaErrorIllegalAddress" in plain.stderr, plain.stderr)


@long_case
def gpus_and_their_links_are_shown_and_dealt_to_workers():
    os.environ["DIONODE_STANDIN_GPUS"] = "4"
    with Place() as place:
        done = run([PROGRAM, "topo"])
        gpus = [line.split(" stand-in, ")[1].split(" GiB, at ")[1] for line in done.stdout.splitlines() if line.startswith("GPU ")]
        expect(gpus[:2] == ["dead:00:00.0, to 1 NVLink, to 2 none, to 3 none", "dead:01:00.0, to 0 NVLink, to 2 PCIe, to 3 none"] and len(gpus) == 4, done.stdout)
        done = failing(place, "illegal:200@1", np=2, dp_size=2)
        expect("worker 1: GPU 1: " in done.stderr, done.stderr)
    del os.environ["DIONODE_STANDIN_GPUS"]


@long_case
def a_gpu_that_is_lost_is_passed_over_when_workers_are_started_anew():
    # It hangs in the middle of the run, and is not there for the second set of workers, who go on from the checkpoint.
    keys = dict(device="cuda", dp_size=2, num_iterations=6, checkpoint_freq=1, timeout_s=40)
    with Place() as place:
        os.environ["DIONODE_STANDIN_GPUS"] = "2"
        whole = place.train(np=2, checkpoint_dir=place.file("whole"), **keys)
        os.environ["DIONODE_STANDIN_FAULT"] = "lost:600@1"
        command = place.command(np=2, checkpoint_dir=place.file("hurt"), **keys)
        hurt = run(command[:2] + ["--max-restarts", "1"] + command[2:], limit_s=600)
        del os.environ["DIONODE_STANDIN_FAULT"], os.environ["DIONODE_STANDIN_GPUS"]
        expect(whole.returncode == 0, whole.stderr)
        expect(hurt.returncode == 0 and "restart 1 of 1" in hurt.stderr, f"exit {hurt.returncode}: {hurt.stderr}")
        expect("worker 1: GPU 1 does not end" in hurt.stderr, hurt.stderr)
        expect("GPU 1 cannot be taken (cudaErrorDevicesUnavailable): worker 1 takes GPU 0" in hurt.stderr, hurt.stderr)
        measured = [[(m["step"], m["loss"], m["weights_hash"]) for m in place.metrics(name)] for name in ("whole", "hurt")]
        expect(len(measured[0]) == 6 and measured[0] == measured[1], f"{measured}")


TOO_LARGE = r"worker 1: the plan of a worker is (0\.\d\d) GiB of memory of GPU 0, .*0\.\d\d GiB for each of the 2 workers"


@case
def a_plan_that_does_not_fit_the_gpu_is_refused_with_its_sum():
    with Place() as place:
        done = failing(place, "room:1@1", np=2, dp_size=2)
        expect(done.returncode == 6, f"exit {done.returncode}: {done.stderr}")
        expect(re.search(TOO_LARGE, done.stderr), done.stderr)


@long_case
def a_worker_that_has_passed_over_a_lost_gpu_counts_with_those_of_the_one_it_takes():
    # Each GPU has room for one worker and a half, behind the gibibyte that is CUDA's.
    keys = dict(device="cuda", dp_size=2, num_iterations=6, checkpoint_freq=1, timeout_s=40, model_dim=256)
    with Place() as place:
        needed = float(re.search(TOO_LARGE, failing(place, "room:1@1", np=2, **{k: keys[k] for k in ("dp_size", "model_dim")}).stderr).group(1))
        os.environ.update(DIONODE_STANDIN_GPUS="2", DIONODE_STANDIN_ROOM=str(int((1 + 1.5 * needed) * 2**30)), DIONODE_STANDIN_FAULT="lost:600@1")
        command = place.command(np=2, **keys)
        done = run(command[:2] + ["--max-restarts", "1"] + command[2:], limit_s=600)
        for name in "GPUS", "ROOM", "FAULT":
            del os.environ[f"DIONODE_STANDIN_{name}"]
        expect(len(place.metrics()) > 0, f"{needed}: {done.stderr}")
        expect(done.returncode == 6 and re.search(TOO_LARGE, done.stderr), f"exit {done.returncode}: {done.stderr}")


@case
def a_machine_without_driver_or_gpu_is_told_what_to_do():
    with Place() as place:
        for fault, words in (("driver:1", ("NVIDIA's driver is not found", "device: cpu")), ("gpu:1", ("no GPU is seen by CUDA (CUDA_VISIBLE_DEVICES is '7')", "nvidia-smi"))):
            os.environ.update(DIONODE_STANDIN_FAULT=fault, CUDA_VISIBLE_DEVICES="7")
            done = place.train(device="cuda", num_iterations=1)
            del os.environ["DIONODE_STANDIN_FAULT"], os.environ["CUDA_VISIBLE_DEVICES"]
            expect(done.returncode == 10 and all(word in done.stderr for word in words), f"{fault}: exit {done.returncode}: {done.stderr}")
            expect("worker 0: " in done.stderr and "without an error message" not in done.stderr and done.stderr.count(words[0]) == 1, done.stderr)


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
