"""From text through a tokenizer of one's own to a model: shards, training, evaluation, and what a run knows of its tokens."""
import json
import math
import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, case, expect, run, tap, PROGRAM  # noqa: E402

WORDS = "node socket shard replica rank mesh factor gradient momentum of the a in it's".split()


def write_text(path, seed):
    with open(path, "w") as file:
        for i in range(40000):
            file.write(WORDS[(i * i + seed * i // 3) % len(WORDS)] + (".\n" if i % 7 == seed % 7 else " "))


def prepared(place, name, size, seed=1):
    """A data folder of a text and of a tokenizer trained on it."""
    text, tokenizer, folder = place.file(name + ".txt"), place.file(name + ".json"), place.file(name)
    write_text(text, seed)
    done = run([PROGRAM, "tokenizer", "train", text, "--size", str(size), "-o", tokenizer])
    expect(done.returncode == 0 and f"{size} tokens" in done.stdout, f"{done}")
    done = run([PROGRAM, "prepare", "--tokenizer", tokenizer, text, "--val", "0.3", "-o", folder])
    expect(done.returncode == 0 and f"vocab_size={size}" in done.stdout, f"{done}")
    expect(os.path.exists(os.path.join(folder, "tokenizer.json")), f"{os.listdir(folder)}")
    return folder


def header(path):
    with open(path, "rb") as file:
        return struct.unpack("<3i4I", file.read(28))


@case
def a_text_is_trained_on_and_evaluated_in_bits_a_byte():
    with Place() as place:
        folder = prepared(place, "own", 300)
        done = place.train(data_dir=folder, vocab_size=300, num_iterations=15, lr=0.03, val_tokens=4096)
        expect(done.returncode == 0, done.stderr)
        losses = [m["loss"] for m in place.metrics()]
        expect(losses[-1] < losses[0] - 0.7, f"{losses}")
        told = json.loads(run([PROGRAM, "eval", "--json", place.file("run")]).stdout)
        _, _, tokens, *words = header(os.path.join(folder, "val_000000.bin"))
        text = words[2] + (words[3] << 32)
        expect(1 < text / tokens < 20, f"{tokens} tokens of {text} bytes")
        expect(math.isclose(told["bits_per_byte"], told["loss"] / math.log(2) * tokens / text, rel_tol=1e-12), f"{told}")


@case
def folders_are_made_and_what_is_replaced_is_told():
    with Place() as place:
        text, tokenizer = place.file("text"), place.file("new/folder/tokenizer.json")
        write_text(text, 1)
        done = run([PROGRAM, "tokenizer", "train", text, "--size", "300", "-o", tokenizer])
        expect(done.returncode == 0 and os.path.exists(tokenizer), done.stderr)
        for told in "", "replaces the 2 shards of an earlier text":
            done = run([PROGRAM, "prepare", text, "-o", place.file("shards")])
            expect(done.returncode == 0 and told in done.stderr and bool(told) == ("earlier" in done.stderr), done.stderr)


@case
def a_run_keeps_to_its_tokenizer():
    with Place() as place:
        own, other = prepared(place, "own", 300), prepared(place, "other", 300, seed=2)
        settings = dict(vocab_size=300, val_tokens=256)
        expect(place.train(data_dir=own, num_iterations=2, **settings).returncode == 0, "trained")
        for data_dir, status in (other, 3), (own, 0), (place.file("data"), 0):  # these shards do not say whose they are
            done = place.train(data_dir=data_dir, num_iterations=4 if status else 3, **settings)
            if data_dir == place.file("data"):
                done = place.train(data_dir=data_dir, num_iterations=4, **settings)
            expect(done.returncode == status, f"{data_dir}: {done.returncode}: {done.stderr}")
            expect(("another tokenizer" in done.stderr) == bool(status), done.stderr)
        done = run([PROGRAM, "eval", place.file("run"), f"data_dir={other}"])
        expect(done.returncode == 0, "the last checkpoint is of tokens that do not say whose they are: " + done.stderr)
        done = place.train(data_dir=own, num_iterations=5, **settings)
        expect(done.returncode == 0, done.stderr)
        done = run([PROGRAM, "eval", place.file("run"), f"data_dir={other}"])
        expect(done.returncode == 3 and "another tokenizer" in done.stderr, f"{done}")
        os.rename(os.path.join(other, "val_000000.bin"), os.path.join(own, "val_000000.bin"))
        done = place.train(data_dir=own, num_iterations=6, **settings)
        expect(done.returncode == 3 and "validation files" in done.stderr, f"{done}")


tap()
