"""Fine-tuning: what is frozen stays as it was, what does not count is not learned, and adapters are what PEFT takes them for."""
import json
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, expect, run, tap, tensors  # noqa: E402

CONFIG = os.environ["CONFIG"]
FOLDERS = os.environ["FOLDERS"]  # Hugging Face's, random ones
RANKS = 8 if FULL else 4
# The value vectors of all blocks, which stand within a stack of three; the upper MLP.
TRAINABLE = "['*.c_v.*', '*.1.mlp.*']"
TRAINED = [f"transformer.h.{block}.attn.c_v.weight" for block in (0, 1)] + [
    f"transformer.h.1.mlp.{name}.weight" for name in ("c_fc", "c_proj")]


def last(place, name="run"):
    """Tensors of the newest checkpoint."""
    step = max(int(file[5:13]) for file in os.listdir(place.file(name)) if file.startswith("step_"))
    return tensors(place.checkpoint(step, name))


def initial(place, **changes):
    """The weights that runs of this place begin with: those of a run that learns nothing."""
    done = place.train(checkpoint_dir=place.file("still"), lr=0, num_iterations=1, **changes)
    expect(done.returncode == 0, done.stderr)
    return {name: data for name, data in last(place, "still").items() if name.startswith(("transformer.", "lm_head."))}


def check_frozen(first, now, what):
    for name, data in first.items():
        expect((now[name] == data) == (name not in TRAINED), f"{what}: {name} {'changed' if now[name] != data else 'did not'}")
    states = {name for name in now if name not in first}
    expect(states and all(any(name in state for name in TRAINED) for state in states), f"{what}: {states}")


@case
def what_is_frozen_keeps_its_bits_and_has_no_state():
    with Place() as place:
        first = initial(place)
        kinds = [("factors", {"dp_size": 2, "fs_size": 2, "tp_size": 2}),
                 ("full gradients", {"dp_size": 3, "replicate_mesh_grad_sync": False}),
                 ("apart", {"dp_size": 2, "strategy": "local_sgd", "sync_every": 3, "optimizer": "muon"}),
                 ("instead of the rule", {"dp_size": 2, "tp_size": 2, "strategy": "demo"})]
        for what, keys in kinds if FULL else kinds[::2]:
            np = keys.get("dp_size", 1) * keys.get("fs_size", 1) * keys.get("tp_size", 1)
            name = what.replace(" ", "-")
            settings = {"trainable": TRAINABLE, "num_iterations": 5, "val_tokens": 64, "val_loss_every": 2, **keys}
            done = place.train(np, checkpoint_dir=place.file(name), **settings)
            expect(done.returncode == 0, f"{what}: {done.stderr}")
            expect(f"in {len(TRAINED)} of" in done.stderr, done.stderr)
            check_frozen(first, last(place, name), what)
            parts = {**settings, "checkpoint_dir": place.file(name + "-parts")}
            place.train(np, stop_after=2, **parts)
            done = place.train(np, **parts)
            expect(done.returncode == 0 and "resumed" in done.stderr, f"{what}: {done.stderr}")
            expect(last(place, name) == last(place, name + "-parts"), f"{what}: a stop and its continuation end elsewhere")


@case
def what_is_frozen_is_not_exchanged():
    with Place() as place:
        for name, keys in (("all", {}), ("some", {"trainable": TRAINABLE})):
            done = place.train(4, checkpoint_dir=place.file(name), num_iterations=2, dp_size=2, fs_size=2,
                               replicate_mesh_grad_sync=False, **keys)
            expect(done.returncode == 0, done.stderr)
        whole, some = (place.metrics(name)[-1] for name in ("all", "some"))
        # of c_v 2 x 32 x 32, of the MLP 2 x 32 x 128 numbers: half of each on a rank of fs
        expect(some["bytes_uncompressed"] == 4 * (2 * 1024 + 2 * 4096) / 2, f"{some['bytes_uncompressed']}")
        share = some["bytes_gradients"] / whole["bytes_gradients"]
        expected = (2 * 1024 + 2 * 4096) / (2 * (4 * 1024 + 2 * 4096) + 2 * 256 * 32)
        expect(abs(share / expected - 1) < 0.01, f"{share} of all gradients were exchanged, {expected} are trained")


@case
def every_mesh_trains_the_same():
    for keys in ([], ["architecture=llama", "n_kv_head=1", "lora_rank=3", "lora_alpha=12", "trainable=['*layernorm*']"],
                 ["optimizer=adamw", "split_heads=true"], ["architecture=gpt2", "optimizer=muon", "trainable=['*k_proj*', '*mlp*bias']"],
                 ["architecture=gemma", "trainable=['*q_proj*', '*layernorm*']"])[:5 if FULL else 2]:
        done = run([PROGRAM, "verify", CONFIG, "-n", str(RANKS), "--precision", "float", "--steps", "3", f"trainable={TRAINABLE}", *keys],
                   limit_s=300)
        expect(done.returncode == 0, f"{keys}: {done.stdout[-3000:]}{done.stderr}")


def write_examples(path, n, seed=1):
    """Of any lengths; one prompt is longer than a batch of some ranks."""
    draw = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        for i in range(n):
            prompt = "".join(draw.choices("abcdef ", k=600 if i == 3 else draw.randrange(40)))
            completion = "".join(draw.choices("ghij.", k=draw.randrange(1, 20)))
            file.write(json.dumps({"prompt": prompt, "completion": completion + "\n"}) + "\n")


def prepared(place, name, n, val="0.2"):
    path = place.file(name + ".jsonl")
    write_examples(path, n)
    done = run([PROGRAM, "prepare", path, "--val", val, "-o", place.file(name)])
    expect(done.returncode == 0 and f"{n} examples" in done.stdout, f"{done}")
    return place.file(name)


def edit(folder, unmasked=False, inverted=False):
    """Changes all shards of a folder: their tokens all count, or those that did not."""
    for file in os.listdir(folder):
        path = os.path.join(folder, file)
        with open(path, "rb") as opened:
            blob = bytearray(opened.read())
        if unmasked and file.endswith(".bin"):
            blob[28:32] = bytes(4)
        if inverted and file.endswith(".mask"):
            blob = bytes(255 - byte for byte in blob)
        with open(path, "wb") as opened:
            opened.write(blob)


@case
def every_mesh_learns_the_targets_that_count():
    with Place() as place:
        folder = prepared(place, "examples", 200)
        settings = {"data_dir": folder, "num_iterations": 4, "val_tokens": 512, "val_loss_every": 2, "optimizer": "adamw",
                    "lr": 0.001, "batch_size": 7, "device_batch_size": 2}
        meshes = [{}, {"dp_size": 3}, {"fs_size": 2, "tp_size": 2}, {"dp_size": 2, "fs_size": 2, "tp_size": 2}][:4 if FULL else 3]
        losses = []
        for number, mesh in enumerate(meshes):
            np = mesh.get("dp_size", 1) * mesh.get("fs_size", 1) * mesh.get("tp_size", 1)
            done = place.train(np, checkpoint_dir=place.file(f"run{number}"), **settings, **mesh)
            expect(done.returncode == 0, done.stderr)
            lines = place.metrics(f"run{number}", first=0)
            losses.append([line[key] for line in lines for key in ("loss", "val_loss") if line.get(key) is not None])
            # float: seen are differences of 2e-6; a mean over all targets, or of the ranks' means, is off by a tenth and more
            expect(len(losses[-1]) == len(losses[0]) and all(abs(a - b) < 1e-4 for a, b in zip(losses[-1], losses[0])),
                   f"{mesh}: {losses[-1]}, one rank: {losses[0]}")


@case
def a_sequence_without_targets_that_count_changes_nothing():
    """The mean is over those that count: a second sequence without any neither halves the loss nor the gradient."""
    with Place() as place:
        shard = place.file("data/train_000000.bin")
        with open(shard, "r+b") as file:
            file.seek(28)
            file.write(struct.pack("<i", 1))  # there is a mask
        n = os.path.getsize(shard) // 2 - 512
        with open(place.file("data/train_000000.mask"), "wb") as file:
            file.write(b"\xff\xff" + bytes((n + 7) // 8 - 2))  # tokens 0 to 15: of the first sequence alone
        steps = []
        for batch in 1, 2:
            done = place.train(checkpoint_dir=place.file(f"of{batch}"), batch_size=batch, num_iterations=1, shuffle=False)
            expect(done.returncode == 0, done.stderr)
            steps += place.metrics(f"of{batch}")
        for key in "loss", "grad_norm":  # float: sums over twice as many rows, half of them of zeros
            expect(abs(steps[1][key] / steps[0][key] - 1) < 1e-5, f"{key}: {steps[1][key]}, alone {steps[0][key]}")


@case
def sums_over_what_counts_and_what_does_not_add_up():
    with Place() as place:
        folder = prepared(place, "examples", 120, "0.4")
        done = place.train(data_dir=folder, num_iterations=3, sequence_length=64)
        expect(done.returncode == 0, done.stderr)

        def evaluated():
            told = run([PROGRAM, "eval", "--json", place.file("run"), "val_tokens=0"])
            expect(told.returncode == 0, told.stderr)
            return json.loads(told.stdout)

        counted = evaluated()
        edit(folder, inverted=True)
        others = evaluated()
        edit(folder, unmasked=True)
        whole = evaluated()
        expect(0 < counted["tokens"] < whole["tokens"] and counted["tokens"] + others["tokens"] == whole["tokens"] and
               whole["tokens"] % 64 == 0, f"{counted}, {others}, {whole}")
        total = counted["loss"] * counted["tokens"] + others["loss"] * others["tokens"]
        expect(abs(total / (whole["loss"] * whole["tokens"]) - 1) < 1e-6, f"{counted}, {others}, {whole}")
        expect(abs(counted["loss"] - whole["loss"]) > 0.01, "the losses hardly differ: nothing was tested")


@case
def a_batch_of_prompts_alone_is_skipped():
    with Place() as place:
        path = place.file("long.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            for _ in range(40):
                file.write(json.dumps({"prompt": "p" * 700, "completion": "c" * 20}) + "\n")
        expect(run([PROGRAM, "prepare", path, "--val", "0.5", "-o", place.file("long")]).returncode == 0, "not prepared")
        settings = {"data_dir": place.file("long"), "batch_size": 1, "num_iterations": 40, "shuffle": False, "sequence_length": 8,
                    "val_tokens": 0}
        done = place.train(**settings)  # the first 87 sequences are of a prompt
        expect(done.returncode == 3 and "no target of the batch counts" in done.stderr and "-nan" not in done.stderr and
               "none of 40 batches has a target that counts" in done.stderr, done.stderr)
        parts = {**settings, "checkpoint_dir": place.file("parts")}
        expect(place.train(**parts, stop_after=20).returncode == 0, "there may be targets in what follows")
        done = place.train(**parts)
        expect(done.returncode == 3 and "none of 40 batches" in done.stderr, done.stderr)
        expect(all(line["skipped"] == 1 and "loss" not in line for line in place.metrics()), f"{place.metrics()[0]}")
        done = place.train(**{**settings, "num_iterations": 90})
        expect(done.returncode == 0, done.stderr)
        expect([line["step"] for line in place.metrics() if not line["skipped"]] == [88, 89, 90],
               f"{[line['step'] for line in place.metrics() if not line['skipped']]}")
        done = place.train(**{**settings, "num_iterations": 91, "shuffle": True})
        expect(done.returncode == 0, done.stderr)
        done = place.train(checkpoint_dir=place.file("other"), **{**settings, "val_tokens": 64})
        expect(done.returncode == 3 and "none counts as a target" in done.stderr, done.stderr)


def tuned(place, name, np=1, **keys):
    """A run of adapters on the folder llama3_gqa."""
    settings = {"init_from": os.path.join(FOLDERS, "llama3_gqa"), "sequence_length": 32, "batch_size": 4, "device_batch_size": 2,
                "num_iterations": 4, "optimizer": "adamw", "lr": 0.01, "lora_rank": 3, "lora_alpha": 6, "val_tokens": 256,
                "lora_targets": "[q_proj, o_proj, 'mlp.*']", "data_dir": place.file("examples"), **keys}
    with open(place.file("tuned.yaml"), "w", encoding="utf-8") as file:
        json.dump({**settings, "checkpoint_dir": place.file(name)}, file)
    return run([PROGRAM, "train", "--np", str(np), place.file("tuned.yaml")])


@case
def clipping_of_adapters_does_not_depend_on_how_weights_are_cut():
    """Small factors are copied along tp, where each rank has a part of their gradient only: the norm is of the sum."""
    with Place() as place:
        prepared(place, "examples", 100)
        runs = {}
        for tp in (1, 2):
            done = tuned(place, f"tp{tp}", tp, tp_size=tp, optimizer="dion", clip_grad_norm=0.01, val_tokens=0)
            expect(done.returncode == 0, done.stderr)
            runs[tp] = place.metrics(f"tp{tp}")
        for alone, cut in zip(runs[1], runs[2], strict=True):  # rounding of float in sums of thousands
            for key in ("grad_norm", "clip", "loss"):
                expect(abs(cut[key] - alone[key]) <= 1e-5 * abs(alone[key]), f"{key}: {cut[key]}, alone {alone[key]}")


@case
def adapters_learn_and_go_where_others_can_use_them():
    with Place() as place:
        prepared(place, "examples", 100)
        done = tuned(place, "still", lr=0, num_iterations=1)  # B is 0: the model as it came
        expect(done.returncode == 0, done.stderr)
        done = tuned(place, "run", 4 if FULL else 2, tp_size=2, dp_size=2 if FULL else 1)
        expect(done.returncode == 0 and "in 30 of 60 tensors" in done.stderr, done.stderr)
        first, now = last(place, "still"), last(place, "run")
        for name, data in first.items():
            if name.startswith(("model.", "lm_head.")):
                expect((now[name] == data) == (".lora_" not in name), f"{name} {'changed' if now[name] != data else 'did not'}")
        expect(all(".lora_" in name for name in now if name.startswith("adamw.")), "states of what is frozen")
        tuned(place, "parts", 2, tp_size=2, stop_after=2)
        if not FULL:
            tuned(place, "parts", 2, tp_size=2)
            expect(last(place, "parts") == now, "a stop and its continuation end elsewhere")

        def exported(*options):
            return run([PROGRAM, "export", place.file("run"), *options])

        def evaluated(what, *keys):
            done = run([PROGRAM, "eval", "--json", what, *keys])
            expect(done.returncode == 0, done.stderr)
            return json.loads(done.stdout)["loss"]

        # merged, the model has the run's loss: another way of computing it, which knows no adapters
        done = exported("--merge", "-o", place.file("merged"))
        expect(done.returncode == 0, done.stderr)
        keys = [f"val_files={place.file('examples')}/val_*.bin", "val_tokens=256", "sequence_length=32"]
        with_adapters, merged = evaluated(place.file("run")), evaluated(place.file("merged"), *keys)
        before = evaluated(os.path.join(FOLDERS, "llama3_gqa"), *keys)
        # float: a rounding or two of each logit
        expect(abs(with_adapters - merged) < 1e-5 * merged and before - merged > 0.1, f"{with_adapters}, {merged}, {before}")

        done = exported("-o", place.file("adapter"))
        expect(done.returncode == 0, done.stderr)
        with open(place.file("adapter/adapter_config.json"), encoding="utf-8") as file:
            config = json.load(file)
        expect(config["peft_type"] == "LORA" and config["r"] == 3 and config["lora_alpha"] == 6 and
               config["target_modules"] == ["q_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], f"{config}")
        with open(place.file("adapter/adapter_model.safetensors"), "rb") as file:
            written = tensors(file.read())
        expect(written == {"base_model.model." + name: data for name, data in now.items()
                           if ".lora_" in name and name.startswith("model.")}, f"{sorted(written)}")
        for options, status, word in ((["--format", "gguf"], 2, "--merge"), (["--merge"], 5, "holds a model (adapter_config.json)")):
            done = exported(*options, "-o", place.file("adapter"))
            expect(done.returncode == status and word in done.stderr, done.stderr)
        for options in ([], ["--merge"]):
            done = exported(*options, "--tokenizer", place.file("missing"), "-o", place.file("other"))
            expect(done.returncode == 3 and "missing" in done.stderr and not os.path.exists(place.file("other")), f"{options}: {done}")
        done = run([PROGRAM, "generate", place.file("run"), "1 2 3", "--tokens", "4", "--temperature", "0", "--ids"])
        same = run([PROGRAM, "generate", place.file("merged"), "1 2 3", "--tokens", "4", "--temperature", "0", "--ids"])
        expect(done.returncode == 0 and done.stdout == same.stdout, f"{done}, {same}")


@case
def a_tokenizer_goes_along_with_adapters():
    with Place() as place:
        tokenizer = place.tokenizer("tokenizer.json")
        done = place.train(architecture="llama", vocab_size=300, lora_rank=2, num_iterations=1)
        expect(done.returncode == 0, done.stderr)
        for options, files in (([], ["adapter_config.json", "adapter_model.safetensors"]),
                               (["--tokenizer", tokenizer], ["adapter_config.json", "adapter_model.safetensors", "tokenizer.json"])):
            folder = place.file(f"adapter{len(options)}")
            done = run([PROGRAM, "export", place.file("run"), "-o", folder, *options])
            expect(done.returncode == 0 and sorted(os.listdir(folder)) == files, f"{options}: {done}, {os.listdir(folder)}")


@case
def adapters_that_cannot_be_are_refused():
    with Place() as place:
        prepared(place, "examples", 100)
        for keys, word in (({"lora_targets": "[]"}, "lora_targets: an empty list names nothing"),
                           ({"lora_targets": "[x_proj]"}, "'x_proj' matches no matrix"), ({"lora_rank": None}, "give lora_rank, too"),
                           ({"init_from": None, "architecture": "mlp"}, "has no adapters")):
            done = tuned(place, "run", **keys)
            expect(done.returncode == 2 and word in done.stderr, f"{keys}: {done.stderr}")


@case
def a_name_that_nothing_has_is_refused():
    with Place() as place:
        for value, word in (("['*.c_x.*']", "'*.c_x.*' matches no parameter"), ("*.c_v.*", "expected a list"),
                            ("[]", "trainable: an empty list names nothing")):
            done = place.train(trainable=value, num_iterations=1)
            expect(done.returncode == 2 and word in done.stderr, f"{value}: {done.stderr}")


@case
def what_was_not_trained_has_no_state_to_resume_with():
    with Place() as place:
        settings = {"val_tokens": 0, "num_iterations": 2}
        expect(place.train(trainable=TRAINABLE, stop_after=1, **settings).returncode == 0, "no run")
        for keys in ({}, {"trainable": "['*']"}, {"trainable": TRAINABLE, "optimizer": "soap"}):
            done = place.train(**settings, **keys)
            expect(done.returncode == 4 and "was not trained so. Resume with optimizer" in done.stderr and
                   f"init_from={place.file('run')}" in done.stderr, f"{keys}: {done.stderr}")
        done = place.train(**settings, init_from=place.file("run"), checkpoint_dir=place.file("next"))  # as it says
        expect(done.returncode == 0, done.stderr)
        fewer = place.train(**settings, trainable="['*.c_v.*']")  # what is not trained any more needs none
        expect(fewer.returncode == 0, fewer.stderr)


tap()
