#!/usr/bin/env python3
"""Whether two builds train the same bits: every rule and many settings on several meshes; metrics.jsonl (without what depends on time)
and the tensors of the final checkpoint are compared.

    scripts/same_bits.py PROGRAM PROGRAM [WORD...]     only the settings whose name holds a WORD

To compare two revisions, build each in a worktree of its own first. Keys that one program does not know are an error.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "support"))
import runs  # noqa: E402

MESHES = [{}, {"dp_size": 2}, {"fs_size": 2}, {"tp_size": 2}, {"dp_size": 2, "fs_size": 2, "tp_size": 2}, {"dp_size": 3}]
RULES = None  # all that both programs know
SETTINGS = [  # each on every mesh, with every rule that it concerns
    (RULES, {}),
    (RULES, {"state_precision": "bfloat16"}),
    (RULES, {"split_heads": True, "clip_grad_norm": 0.1, "weight_decay": 0.1, "weight_decay_schedule": "cosine"}),
    (RULES, {"scalar_opt": "lion", "schedule": "linear"}),
    (["dion"], {"replicate_mesh_grad_sync": False}),
    (["dion"], {"ortho_fraction": 1, "qr_method": "qr"}),
    (["dion"], {"qr_method": "rcqr", "power_iters": 2, "momentum_sync_every": 3}),
    (["dion"], {"orth_dion": True, "adaptive_rank": True}),
    (["muon", "normuon", "sgd"], {"nesterov": True, "use_gram_newton_schulz": True, "newton_schulz": "keller"}),
    (["dion2", "dion3"], {"selection": "local", "adjust_lr": "rms_norm"}),
    (["muon"], {"use_gram_newton_schulz": True, "model_dim": 8, "n_head": 1}),  # parts stay where they are
    (["adamw"], {"cautious": True}),
    (["dion"], {"fs_gather": "per_rank"}),
    (["dion"], {"fs_gather": "per_domain", "device_batch_size": 2}),
]
# Ends of the fields that are measured; the last two hold how often ranks agreed on a stop, which depends on time.
TIMES = ("_s", "_share", "tokens_per_s", "seconds", "bytes_control", "bytes_moved")


def train(program, place, name, changes, n_workers):
    runs.PROGRAM = program
    done = place.train(np=n_workers, checkpoint_dir=place.file(name), num_iterations=6, checkpoint_freq=0,
                       val_tokens=256, val_loss_every=3, **changes)
    if done.returncode != 0:
        raise SystemExit(f"{program}: {changes}: exit status {done.returncode}\n{done.stderr}")
    lines = []
    for metric in place.metrics(name):
        lines.append({key: value for key, value in metric.items() if not key.endswith(TIMES)})
    last = sorted(f for f in os.listdir(place.file(name)) if f.endswith(".safetensors"))[-1]
    with open(os.path.join(place.file(name), last), "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__")
    return lines, {key: data[slice(*value["data_offsets"])] for key, value in header.items()}


def main():
    before, after, words = sys.argv[1], sys.argv[2], sys.argv[3:]
    n_same, different = 0, []
    known = [rule for rule in runs.rules(before) if rule in runs.rules(after)]
    for rules, setting in SETTINGS:
        for rule in rules or known:
            for mesh in MESHES:
                n_workers = 1
                for size in mesh.values():
                    n_workers *= size
                changes = {"optimizer": rule, **setting, **mesh}
                name = " ".join(f"{key}={value}" for key, value in changes.items())
                if words and not any(word in name for word in words):
                    continue
                with runs.Place() as place:
                    a = train(before, place, "before", changes, n_workers)
                    b = train(after, place, "after", changes, n_workers)
                for x, y in zip(a[0], b[0]):
                    for key in x.keys() ^ y.keys():  # what only one of them counts is no difference
                        x.pop(key, None)
                        y.pop(key, None)
                if a == b:
                    n_same += 1
                    continue
                what = [f"step {x['step']}: {key} {x.get(key)} -> {y.get(key)}"
                        for x, y in zip(a[0], b[0]) for key in sorted(x.keys() | y.keys()) if x.get(key) != y.get(key)]
                what += [f"tensor {key}" for key in sorted(a[1].keys() | b[1].keys()) if a[1].get(key) != b[1].get(key)]
                different.append(f"{name}: {len(what)} differences, first {'; '.join(what[:3])}")
                print(different[-1], flush=True)
    print(f"{n_same} runs have the same bits, {len(different)} do not")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if len(sys.argv) > 1 else 2)
    main()
