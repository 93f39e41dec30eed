"""What compression pays between two nodes: steps on an emulated network beside what its formula predicts of steps without one.

    nodes_link.py DIONODE LINK "SETTINGS"...

Two pretended nodes of one worker each, under mpirun, train a small model with each of these settings twice: without a network, for the
time of computing, and on the emulated one. Prints a table: bytes and messages a step, what the network takes for them (messages x latency +
bytes / bandwidth), and a step as predicted (computing, and of the network what is not hidden behind it) and as measured. Means over
the second half of each run, a multiple of every period. A busy machine lengthens both runs, but not alike: the last columns are worth
reading on a quiet one."""
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

from arguments import Arguments

MODEL = {"model_dim": 256, "n_layer": 4, "n_head": 4, "vocab_size": 256, "sequence_length": 16, "batch_size": 2, "device_batch_size": 1,
         "dp_size": 2, "num_iterations": 60, "scalar_opt": "adamw", "optimizer": "adamw", "val_tokens": 0, "hash_every": 0, "warmup_ratio": 0}
UNITS = {"bit": 1, "kbit": 1e3, "Mbit": 1e6, "Gbit": 1e9, "us": 1e-6, "ms": 1e-3, "s": 1}


def number(text):
    unit = text.lstrip("0123456789.")
    return float(text[:len(text) - len(unit)]) * UNITS[unit]


def train(program, folder, settings):
    """The steps' metrics of the second half."""
    run = os.path.join(folder, "run")
    shutil.rmtree(run, ignore_errors=True)
    config = os.path.join(folder, "config.yaml")
    with open(config, "w") as file:
        for key, value in {**settings, "data_dir": folder, "checkpoint_dir": run}.items():
            file.write(f"{key}: {value if isinstance(value, str) else json.dumps(value)}\n")
    line = ["mpirun", "--quiet", "--oversubscribe", "--allow-run-as-root", "--bind-to", "none"]
    for node in range(2):
        line += [":"] * node + ["-np", "1", "-x", f"DIONODE_NODE={node}", program, "train", config]
    done = subprocess.run(line, capture_output=True, text=True, env={"OMP_NUM_THREADS": "1", **os.environ})  # a core each, on two
    if done.returncode != 0:
        sys.exit(f"{settings}: exit status {done.returncode}\n{done.stderr}")
    with open(os.path.join(run, "metrics.jsonl")) as file:
        steps = [x for x in map(json.loads, file) if x["step"] > 0]
    return steps[len(steps) // 2:]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def predicted(alone, link):
    """A step's seconds, as `dionode compare` predicts them (src/report/linktime.h): computing, and of the network what is not hidden
    behind it. What begins during the backward pass is hidden for as long as it was under way, but no longer than it takes; what is
    taken up `delay` steps later, behind these; and for as long as the step without a network awaited its exchange, it has counted."""
    bandwidth, latency = (number(part) for part in link.split(":"))
    compute = mean(x["step_s"] for x in alone)

    def left(x):
        beside = min(x["overlap_s"], 8 * x["overlap_bytes"] / bandwidth) + x["wait_dp_s"] + x["delay"] * compute
        return max(0, x["hops_dp"] * latency + 8 * x["cluster_bytes_dp"] / bandwidth - beside)

    return compute + mean(left(x) for x in alone)


def pair(program, folder, way, link):
    """Steps of one way to exchange without a network, and on it."""
    settings = {**MODEL, **dict(setting.split("=") for setting in way.split())}
    return train(program, folder, settings), train(program, folder, {**settings, "link_dp": link})


def data_in(folder):
    draw = random.Random(1)
    with open(os.path.join(folder, "train.bin"), "wb") as file:
        file.write(struct.pack("<256i", 20240520, 1, 20000, *[0] * 253))
        file.write(struct.pack("<20000H", *(draw.randrange(256) for _ in range(20000))))


def main(program, link, *ways):
    bandwidth, latency = (number(part) for part in link.split(":"))
    print(f"| exchange | kB a step | messages a step | network, ms | of that beside computing, ms | predicted, ms | measured on {link}, ms | measured / predicted |\n"
          "|---|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        data_in(folder)
        for way in ways:
            alone, linked = pair(program, folder, way, link)
            exchange = mean(x["hops_dp"] * latency + 8 * x["cluster_bytes_dp"] / bandwidth for x in alone)
            step, measured = predicted(alone, link), mean(x["step_s"] for x in linked)
            beside = exchange - (step - mean(x["step_s"] for x in alone))
            print(f"| {way} | {mean(x['cluster_bytes_dp'] for x in alone) / 1e3:.1f} | {mean(x['hops_dp'] for x in alone):.2f} | "
                  f"{1e3 * exchange:.2f} | {1e3 * beside:.2f} | {1e3 * step:.1f} | {1e3 * measured:.1f} | {measured / step:.2f} |", flush=True)


if __name__ == "__main__":
    arguments = Arguments(__doc__)
    arguments.add_argument("program", metavar="DIONODE", help="the program")
    arguments.add_argument("link", metavar="LINK", help="bandwidth and latency of the network, as 1Gbit:5ms")
    arguments.add_argument("ways", metavar="SETTINGS", nargs="+", help='keys of one way to exchange, as "strategy=demo"; "" for whole gradients')
    given = arguments.parse_args()
    main(given.program, given.link, *given.ways)
