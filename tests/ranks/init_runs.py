"""Runs that begin with weights of others: what they take, what they refuse by its name, and what goes back."""
import json
import math
import os
import shutil
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, case, expect, random_tokens, run, tap, tensors, write_shard  # noqa: E402

FOLDERS = os.environ["FOLDERS"]  # with gpt2, llama3_gqa and neox


def plain(place, **changes):
    """The keys of a run whose model comes from elsewhere."""
    write_shard(place.file("train.bin"), random_tokens(4000, below=211))
    return {"sequence_length": 32, "train_files": place.file("train.bin"), "val_tokens": 0, "num_iterations": 2, "batch_size": 4,
            "device_batch_size": 2, "optimizer": "adamw", **changes}


def begin(place, name, source, np=1, **changes):
    with open(place.file("empty.yaml"), "w", encoding="utf-8") as file:
        json.dump(plain(place, checkpoint_dir=place.file(name), init_from=source, **changes), file)
    return run([PROGRAM, "train", "--np", str(np), place.file("empty.yaml")])


def export(place, name, to, *options):
    return run([PROGRAM, "export", place.file(name), "-o", place.file(to), *options])


def stored(folder):
    """{name: (dtype, shape, bytes)} of all its files."""
    found = {}
    for file in sorted(os.listdir(folder)):
        if not file.endswith(".safetensors"):
            continue
        with open(os.path.join(folder, file), "rb") as opened:
            blob = opened.read()
        length = struct.unpack("<Q", blob[:8])[0]
        for name, entry in json.loads(blob[8:8 + length]).items():
            if name != "__metadata__":
                first, end = (8 + length + offset for offset in entry["data_offsets"])
                found[name] = (entry["dtype"], entry["shape"], blob[first:end])
    return found


def changed(place, name, change):
    """A copy of gpt2's folder whose header is changed."""
    folder = place.file(name)
    shutil.copytree(os.path.join(FOLDERS, "gpt2"), folder)
    path = os.path.join(folder, "model.safetensors")
    with open(path, "rb") as file:
        blob = file.read()
    length = struct.unpack("<Q", blob[:8])[0]
    header = json.loads(blob[8:8 + length])
    change(header)
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + blob[8 + length:])
    return folder


@case
def weights_go_in_and_out_bit_for_bit_on_every_axis():
    with Place() as place:
        for model, dtype in (("gpt2", "float32"), ("llama3_gqa", "bfloat16"), ("neox", "float32")):
            done = begin(place, model, os.path.join(FOLDERS, model), 8, lr=0, dp_size=2, fs_size=2, tp_size=2)
            expect(done.returncode == 0, done.stderr)
            done = export(place, model, model + "-back", "--dtype", dtype)
            expect(done.returncode == 0, done.stderr)
            expect(stored(place.file(model + "-back")) == stored(os.path.join(FOLDERS, model)), f"{model}: other tensors")
            again = export(place, model, model + "-back")
            expect(again.returncode == 5 and "holds a model" in again.stderr, again.stderr)


@case
def other_formats_are_written_or_refused_by_name():
    with Place() as place:
        gpt2 = os.path.join(FOLDERS, "gpt2")
        expect(begin(place, "gpt2", gpt2, lr=0, num_iterations=1).returncode == 0, "no run")
        done = export(place, "gpt2", "llmc", "--format", "llmc")
        expect(done.returncode == 0, done.stderr)
        with open(place.file("llmc/model.bin"), "rb") as file:
            expect(struct.unpack("<8i", file.read(32)) == (20240326, 3, 64, 211, 3, 4, 48, 256), "another header")
        done = begin(place, "again", place.file("llmc/model.bin"), lr=0, num_iterations=1)
        expect(done.returncode == 0, done.stderr)
        was, now = (tensors(place.checkpoint(1, name)) for name in ("gpt2", "again"))
        expect(all(now[name] == was[name] for name in was if name.startswith("model.")), "other weights")
        done = export(place, "gpt2", "gguf", "--format", "gguf")
        with open(place.file("gguf/model.gguf"), "rb") as file:
            expect(file.read(8) == b"GGUF\x03\0\0\0" and done.returncode == 0, done.stderr)
        for to, options, status, word in (("gguf", ["gguf"], 5, "model.gguf"), ("gguf", ["hf"], 5, "model.gguf"),
                                          ("llmc", ["gguf"], 5, "model.bin"), ("x", ["gguf", "--dtype", "float64"], 2, "float64"),
                                          ("x", ["llmc", "--dtype", "float16"], 2, "bfloat16"), ("x", ["onnx"], 2, "hf|gguf|llmc")):
            done = export(place, "gpt2", to, "--format", *options)
            expect(done.returncode == status and word in done.stderr, f"{options}: {done.returncode}: {done.stderr}")
        for name, keys, kind, word in (("window", {"architecture": "mistral", "attention_window": 8}, "gguf", "attention_window 8"),
                                       ("width", {"architecture": "gpt2", "mlp_dim": 96}, "llmc", "mlp_dim 96"),
                                       ("scaled", {"architecture": "qwen2", "rope_scaling": "llama3:8,1,4,32"}, "gguf", "llama3:8,1,4,32"),
                                       ("mlp", {"architecture": "mlp"}, "gguf", "architecture mlp"),
                                       ("llama", {"architecture": "llama"}, "llmc", "not llama")):
            done = place.train(num_iterations=1, val_tokens=0, checkpoint_dir=place.file(name), scalar_opt="adamw", **keys)
            expect(done.returncode == 0, done.stderr)
            done = export(place, name, name + "-out", "--format", kind)
            expect(done.returncode == 2 and word in done.stderr and not os.path.exists(place.file(name + "-out")), done.stderr)


@case
def a_failed_export_leaves_no_folder():
    with Place() as place:
        tokenizer = place.tokenizer("tokenizer/tokenizer.json")
        with open(tokenizer, encoding="utf-8") as file:
            root = json.load(file)
        root["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": "[0-9]"}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}
        with open(place.file("other.json"), "w", encoding="utf-8") as file:
            json.dump(root, file)
        done = place.train(architecture="llama", vocab_size=300, num_iterations=1)
        expect(done.returncode == 0, done.stderr)
        for folder, left in (("new", False), ("old", True)):
            if left:
                os.mkdir(place.file(folder))
            done = export(place, "run", folder + "/within", "--format", "gguf", "--tokenizer", place.file("other.json"))
            expect(done.returncode == 3 and os.path.exists(place.file(folder)) == left, f"{folder}: {done}")
            expect(not left or os.listdir(place.file(folder)) == [], "something is left")


@case
def files_that_are_none_of_ours_are_told_apart():
    with Place() as place:
        with open(place.file("x.gguf"), "wb") as file:
            file.write(b"GGUF\x03\0\0\0" + bytes(100))
        gpt2 = os.path.join(FOLDERS, "gpt2")
        for path, word in ((place.file("x.gguf"), "GGUF is written (dionode export) and not read"),
                           (os.path.join(gpt2, "model.safetensors"), "a file of a Hugging Face folder: name the folder"),
                           (os.path.join(gpt2, "config.json"), "a file of a Hugging Face folder: name the folder")):
            for done in (run([PROGRAM, "generate", path]), run([PROGRAM, "eval", path]), begin(place, "run", path),
                         run([PROGRAM, "export", path, "-o", place.file("out")])):
                expect(done.returncode == 4 and word in done.stderr, done.stderr)
        done = run([PROGRAM, "export", gpt2, "-o", place.file("out")])
        expect(done.returncode == 4 and f"begin one with init_from={gpt2}" in done.stderr, done.stderr)


@case
def sizes_of_a_config_json_out_of_range_are_named_with_their_file():
    with Place() as place:
        for key, value, ours in (("n_positions", 10 ** 8, "max_positions"), ("vocab_size", 10 ** 12, "vocab_size"),
                                 ("n_layer", 10 ** 9, "n_layer"), ("layer_norm_epsilon", 1e9, "norm_eps")):
            folder = place.file(key)
            shutil.copytree(os.path.join(FOLDERS, "gpt2"), folder)
            with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
                config = json.load(file)
            with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
                json.dump({**config, key: value}, file)
            for done in run([PROGRAM, "generate", folder]), begin(place, "run", folder):
                expect(done.returncode == 2 and f"{folder}: {ours}: " in done.stderr, done.stderr)


@case
def what_does_not_fit_is_named():
    with Place() as place:
        def missing(header):
            header["transformer.h.1.ln_9.bias"] = header.pop("transformer.h.1.ln_2.bias")

        def reshaped(header):
            header["transformer.wpe.weight"]["shape"] = [48, 64]

        def left_over(header):
            entry = header["transformer.ln_f.bias"]
            header["extra"] = {"dtype": "F32", "shape": [0], "data_offsets": [entry["data_offsets"][1]] * 2}

        for name, change, word in (("missing", missing, "transformer.h.1.ln_2.bias is missing"),
                                   ("reshaped", reshaped, "transformer.wpe.weight is [48, 64], the model needs [64, 48]"),
                                   ("left", left_over, "extra is left over")):
            done = begin(place, name + "-run", changed(place, name, change))
            expect(done.returncode == 3 and word in done.stderr, f"{name}: {done.returncode}: {done.stderr}")
        gpt2 = os.path.join(FOLDERS, "gpt2")
        for key, value in (("n_layer", 5), ("n_layer", 12), ("architecture", "llama"), ("architecture", "gpt"),
                           ("tie_embeddings", "false")):
            done = begin(place, "other", gpt2, **{key: value})
            expect(done.returncode == 2 and f"{key} " in done.stderr and "contradicts init_from" in done.stderr, done.stderr)
        done = begin(place, "other", gpt2, sequence_length=65)
        expect(done.returncode == 2 and f"sequence_length 65 is beyond the 64 positions of {gpt2}" in done.stderr, done.stderr)
        done = begin(place, "other", place.file("nowhere"))
        expect(done.returncode == 4 and "init_from" in done.stderr, done.stderr)


ITEM = {"F32": 4, "F16": 2, "BOOL": 1, "U8": 1}


def rewritten(place, name, model, tensors_of):
    """A copy of a folder of one file, of the tensors that tensors_of makes of those it has: {name: (dtype, shape, bytes)}."""
    folder = place.file(name)
    shutil.copytree(os.path.join(FOLDERS, model), folder)
    header, data = {}, b""
    for key, (dtype, shape, blob) in tensors_of(stored(folder)).items():
        expect(len(blob) == ITEM[dtype] * math.prod(shape), f"{key}: {len(blob)} bytes")
        header[key] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(blob)]}
        data += blob
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)
    return folder


def without_prefix(found):
    return {name.removeprefix("transformer."): tensor for name, tensor in found.items()}


def with_buffers(attention_of, dtype):
    """Those of the attention, as versions of transformers have saved them: the mask of numbers, bytes or truth values."""
    def add(found):
        for block in range(3):
            attention = attention_of.format(block)
            found[attention + ".bias"] = dtype, [1, 1, 3, 3], bytes(9 * ITEM[dtype])
            found[attention + ".masked_bias"] = "F16", [], b"\x00\xf1"
            found[attention + ".rotary_emb.inv_freq"] = "F32", [2], bytes(8)
        return found
    return add


def with_head(changed):
    def add(found):
        dtype, shape, blob = found["transformer.wte.weight"]
        found["lm_head.weight"] = dtype, shape, blob[:-1] + bytes([blob[-1] ^ changed])
        return found
    return add


@case
def what_folders_of_others_have_besides_is_passed_over():
    """Names without the family's prefix, as the first GPT-2 has them; buffers of old versions; a tied head that is there once more."""
    with Place() as place:
        for model in "gpt2", "neox":
            expect(begin(place, model, os.path.join(FOLDERS, model), lr=0, num_iterations=1).returncode == 0, model)
        for name, model, change in (("hub", "gpt2", without_prefix), ("head", "gpt2", with_head(0))) + tuple(
                (f"{model}-{dtype}", model, with_buffers(attention, dtype)) for model, attention in
                (("gpt2", "transformer.h.{}.attn"), ("neox", "gpt_neox.layers.{}.attention")) for dtype in ("F32", "BOOL", "U8")):
            done = begin(place, name + "-run", rewritten(place, name, model, change), lr=0, num_iterations=1)
            expect(done.returncode == 0, f"{name}: {done.stderr}")
            was, now = (tensors(place.checkpoint(1, run)) for run in (model, name + "-run"))
            expect(was == now, f"{name}: other weights")
        done = begin(place, "other", rewritten(place, "other-head", "gpt2", with_head(1)))
        expect(done.returncode == 3 and "lm_head.weight is left over" in done.stderr, done.stderr)
        for dtype in "BOOL", "U8":  # what is a weight has to be numbers
            done = begin(place, "other", rewritten(place, dtype, "gpt2", lambda found: {
                **found, "transformer.ln_f.bias": (dtype, [48], bytes(48))}))
            expect(done.returncode == 3 and "transformer.ln_f.bias is of BOOL or U8" in done.stderr, done.stderr)


@case
def a_run_goes_on_from_its_own_checkpoint_and_another_begins_with_it():
    with Place() as place:
        gpt2 = os.path.join(FOLDERS, "gpt2")
        whole = begin(place, "whole", gpt2, lr=0.01, num_iterations=4)
        expect(whole.returncode == 0 and "weights of" in whole.stderr, whole.stderr)
        begin(place, "parts", gpt2, lr=0.01, num_iterations=4, stop_after=2)
        begin(place, "parts", gpt2, lr=0.01, num_iterations=4)
        first, second = (tensors(place.checkpoint(4, name)) for name in ("whole", "parts"))
        expect(first == second, "a stop and its continuation end elsewhere")
        done = begin(place, "next", place.file("whole"), lr=0, num_iterations=1)
        expect(done.returncode == 0, done.stderr)
        was, now = tensors(place.checkpoint(4, "whole")), tensors(place.checkpoint(1, "next"))
        expect(all(now[name] == was[name] for name in now if name.startswith("model.")), "other weights than the run's")


@case
def the_default_rate_is_a_twentieth():
    with Place() as place:
        gpt2 = os.path.join(FOLDERS, "gpt2")
        for rule, rate in ("dion", 0.001), ("adamw", 0.0001):
            done = begin(place, rule, gpt2, num_iterations=1, optimizer=rule)
            expect(done.returncode == 0 and f"; lr {rate}\n" in done.stderr and "can ruin" not in done.stderr, done.stderr)
            expect(place.metrics(rule)[0]["lr"] == rate, f"{place.metrics(rule)}")
            done = begin(place, rule + "-given", gpt2, num_iterations=1, optimizer=rule, lr=20 * rate)
            expect(done.returncode == 0 and f"can ruin trained ones: with {rule} leave it out ({rate})" in done.stderr, done.stderr)


@case
def a_model_from_scratch_is_that_of_a_config_json():
    with Place() as place:
        done = begin(place, "run", None, model=os.path.join(FOLDERS, "llama3_gqa"), num_iterations=1)
        expect(done.returncode == 0, done.stderr)
        was, now = stored(os.path.join(FOLDERS, "llama3_gqa")), tensors(place.checkpoint(1, "run"))
        expect({name: 2 * len(data) for name, (_, _, data) in was.items()} ==
               {name: len(data) for name, data in now.items() if name in was}, "other tensors")
        expect(export(place, "run", "back").returncode == 0, "not exported")
        theirs, ours = (json.load(open(os.path.join(folder, "config.json"), encoding="utf-8"))
                        for folder in (os.path.join(FOLDERS, "llama3_gqa"), place.file("back")))
        expect(all(ours[key] == theirs[key] for key in ("model_type", "num_key_value_heads", "rope_parameters",
                                                        "max_position_embeddings")), f"{ours} {theirs}")
        done = begin(place, "run2", None, model=place.file("nowhere"))
        expect(done.returncode == 5 and "nowhere" in done.stderr, done.stderr)


@case
def an_architecture_of_our_own_is_not_exported():
    with Place() as place:
        expect(place.train(num_iterations=1, val_tokens=0).returncode == 0, "no run")
        done = run([PROGRAM, "export", place.file("run"), "-o", place.file("out")])
        expect(done.returncode == 2 and "architecture gpt" in done.stderr and not os.path.exists(place.file("out")), done.stderr)


tap()
