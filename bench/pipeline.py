"""How fast is training in two stages? Two workers, in turn as two replicas (dp=2), as two stages (pp=2), and as two asynchronous stages,
on random tokens; of each the fastest of some rounds. Printed beside what it is held against:

    time a token, of dp=2's   at most 1.05 (M + S - 1) / M times the cut's imbalance (slowest stage over mean, by measured times of its parts)
    idle                      part of the pass that the first stage waits for its neighbour, and what the order of micro-batches says of
                              stages of such times

    python3 bench/pipeline.py build/dionode [--rounds 3] [--steps 12] [--micro-batches 8]
"""
import json
import os
import random
import re
import struct
import subprocess
import tempfile

from arguments import Arguments

S, WARM_UP = 2, 2
MODEL = {"model_dim": 256, "n_layer": 6, "n_head": 4, "vocab_size": 256, "sequence_length": 256, "val_tokens": 0, "hash_every": 0,
         "optimizer": "adamw", "scalar_opt": "adamw", "lr": 0.001}


def write_tokens(path):
    draw = random.Random(1)
    with open(path, "wb") as file:
        file.write(struct.pack("<256i", 20240520, 1, 1 << 18, *([0] * 253)))
        file.write(struct.pack(f"<{1 << 18}H", *(draw.randrange(256) for _ in range(1 << 18))))


def run(*words):
    return subprocess.run([str(word) for word in words], text=True, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def best_step(program, folder, steps, keys):
    """Seconds of the fastest step, and what of its pass the first stage waited."""
    where = os.path.join(folder, "run")
    run(program, "train", "/dev/null", "--np", S, f"checkpoint_dir={where}", f"num_iterations={steps + WARM_UP}", f"train_files={folder}/tokens.bin",
        *(f"{key}={value}" for key, value in keys.items()))
    with open(os.path.join(where, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file][-steps:]
    run("rm", "-r", where)
    best = min(lines, key=lambda line: line["step_s"])
    return best["step_s"], best.get("wait_pp_s", 0) / (best["step_s"] - best["optimizer_s"])


def idle_of_first(stages, M, flows):
    """By the order of micro-batches: of the first stage's time from its beginning to its last way back, what it waits."""
    forward, backward = ([[None] * (M + S) for _ in stages] for _ in range(2))
    done, free, waited = [0] * S, [0.0] * S, 0.0
    ahead = [S - 1 - s for s in range(S)]
    total = M + S - 1 if flows else M
    if flows:  # what went forward in the step before
        for s in range(S):
            forward[s][:ahead[s]] = [0.0] * ahead[s]
    order = []
    for s in range(S):
        ops = [(False, m) for m in range(min(ahead[s], M))] if not flows else []
        for m in range(M):
            if m + ahead[s] < total:
                ops.append((False, m + ahead[s]))
            ops.append((True, m))
        order.append(ops)
    while any(done[s] < len(order[s]) for s in range(S)):
        for s in range(S):
            while done[s] < len(order[s]):
                back, m = order[s][done[s]]
                after = (backward[s + 1][m] if s + 1 < S else 0.0) if back else (forward[s - 1][m] if s > 0 else 0.0)
                if after is None:
                    break
                waited += max(0.0, after - free[s]) if s == 0 else 0.0
                free[s] = max(free[s], after) + stages[s] * (2 / 3 if back else 1 / 3)
                (backward if back else forward)[s][m] = free[s]
                done[s] += 1
    return waited / free[0]


def main():
    parser = Arguments(__doc__)
    parser.add_argument("program", help="dionode")
    parser.add_argument("--rounds", type=int, default=3, help="of which the fastest counts (3)")
    parser.add_argument("--steps", type=int, default=12, help="of a round (12)")
    parser.add_argument("--micro-batches", type=int, default=8, help="of a step (8)")
    o = parser.parse_args()
    M, rows = o.micro_batches, 2
    common = {**MODEL, "device_batch_size": rows, "batch_size": rows * M}
    with tempfile.TemporaryDirectory() as folder:
        write_tokens(os.path.join(folder, "tokens.bin"))
        said = run(o.program, "topo", "--mesh", f"pp={S}", "--measure", "/dev/null", *(f"{key}={value}" for key, value in common.items())).stdout
        times = dict(re.findall(r"^(pp_times|pp_link_times)=(\S+)", said, re.M))
        shares = [float(share) / 100 for share in re.findall(r"^ *\d+ +\d+-\d+ +\d+ +(\d+)%", said, re.M)]
        imbalance = max(shares) * S / sum(shares)
        staged = {**common, "pp_size": S, "dp_size": 1, **times}
        # Two replicas take a step's rows in half as many micro-batches, each of the same size.
        kinds = {"dp=2": {**common, "dp_size": S}, "pp=2": staged, "pp=2 async": {**staged, "pipeline": "async"}}
        best = {name: (float("inf"), 0) for name in kinds}
        for _ in range(o.rounds):
            for name, keys in kinds.items():
                best[name] = min(best[name], best_step(o.program, folder, o.steps, keys))
    tokens = common["batch_size"] * MODEL["sequence_length"]
    print(f"M {M} micro-batches, S {S} stages of {shares} ({times}), imbalance {imbalance:.3f}")
    print(f"{'':12} {'us/token':>9} {'of dp=2':>8} {'at most':>8} {'idle':>6} {'by order':>9}")
    for name, (seconds, idle) in best.items():
        flows = name.endswith("async")
        bound = f"{1.05 * (M + S - 1) / M * imbalance:8.3f}" if name == "pp=2" else f"{'-':>8}"
        order = f"{idle:6.3f} {idle_of_first(shares, M, flows):9.3f}" if name != "dp=2" else ""
        print(f"{name:12} {1e6 * seconds / tokens:9.3f} {seconds / best['dp=2'][0]:8.3f} {bound} {order}")


if __name__ == "__main__":
    main()
