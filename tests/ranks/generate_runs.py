"""Text from runs: samples, workers, stop strings, prompts from anywhere, full positions, tokenizers."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, case, expect, run, tap, FULL, PROGRAM  # noqa: E402

CONFIGURATION, DATA, IO = 2, 3, 5


def trained(place, name="run", **changes):
    done = place.train(checkpoint_dir=place.file(name), **{"num_iterations": 2, **changes})
    expect(done.returncode == 0, done.stderr)
    return place.file(name)


def generate(*arguments, **options):
    return run([PROGRAM, "generate", *map(str, arguments)], errors="replace", **options)


def samples(*arguments, **options):
    done = generate(*arguments, "--json", **options)
    expect(done.returncode == 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


@case
def samples_differ_and_do_not_depend_on_each_other():
    with Place() as place:
        folder = trained(place)
        one, = samples(folder, "Hello", "--tokens", 9)
        many = samples(folder, "Hello", "--tokens", 9, "--samples", 5)
        expect([s["sample"] for s in many] == list(range(5)), f"{many}")
        expect(many[0]["ids"] == one["ids"] and len(one["ids"]) == 9 and one["end"] == "length", f"{one} {many[0]}")
        expect(len({tuple(s["ids"]) for s in many}) == 5, f"{many}")


@case
def workers_draw_what_one_draws():
    with Place() as place:
        for changes, workers in (({}, (2, 3)), ({"architecture": "llama", "n_head": 4, "n_kv_head": 2}, (2, 3)[:2 if FULL else 1])):
            folder = trained(place, f"run-{len(changes)}", **changes)
            alone = samples(folder, "Hello", "--tokens", 40, "--samples", 2)
            for np in workers:
                expect(samples(folder, "Hello", "--tokens", 40, "--samples", 2, "--np", np) == alone, f"{changes}, {np}")
        piped = samples(folder, "-", "--tokens", 5, "--np", 2, input="Hello")
        expect(piped[0]["ids"] == alone[0]["ids"][:5], f"{piped}")


@case
def a_full_model_goes_on_from_its_last_half():
    with Place() as place:
        folder = trained(place)
        done = generate(folder, "Hello", "--ids")
        expect(done.returncode == CONFIGURATION and "'Hello'" in done.stderr, done.stderr)
        prompt = " ".join(map(str, b"Hello"))
        done = generate(folder, prompt, "--tokens", 60, "--ids", "--temperature", 0)
        ids = list(map(int, done.stdout.split()))
        expect(len(ids) == 60, done.stdout)
        expect(done.stderr.count("16 positions are full") == 1 and "last 8" in done.stderr, done.stderr)
        # Of 5 + 11 tokens the 12th is the 17th; 8 of them are seen then, and what follows is theirs.
        again = generate(folder, " ".join(map(str, ids[4:12])), "--tokens", 5, "--ids", "--temperature", 0)
        expect(list(map(int, again.stdout.split())) == ids[12:17], f"{again.stdout}, {ids}")
        long = generate(folder, "Hello" * 20, "--tokens", 3, "--temperature", 0)
        same = generate(folder, ("Hello" * 20)[-16:], "--tokens", 3, "--temperature", 0)
        expect("last 16" in long.stderr and long.stdout[100:] == same.stdout[16:], f"{long.stdout} {same.stdout}")


@case
def learned_positions_end_a_text():
    with Place() as place:
        one, = samples(trained(place, architecture="gpt2"), "Hello", "--tokens", 60)
        expect(len(one["ids"]) == 12 and one["end"] == "positions", f"{one}")


@case
def a_stop_string_ends_the_text_before_it():
    with Place() as place:
        folder = trained(place)
        whole, = samples(folder, "Hello", "--tokens", 40, "--top-k", 0)
        printable = [i for i, c in enumerate(whole["text"]) if i > 3 and " " < c < "\x7f" and whole["text"].index(c) == i]
        expect(printable, whole["text"])
        stop = whole["text"][printable[0]]
        cut, = samples(folder, "Hello", "--tokens", 40, "--top-k", 0, "--stop", "never", "--stop", stop)
        expect(cut["text"] == whole["text"][:printable[0]] and cut["end"] == "stop", f"{cut} {whole}")
        expect(generate(folder, "--stop", "").returncode == CONFIGURATION, "an empty stop string")


@case
def a_prompt_comes_from_anywhere_once():
    with Place() as place:
        folder = trained(place)
        with open(place.file("prompt"), "w") as file:
            file.write("Hello")
        given = generate(folder, "Hello", "--tokens", 5)
        for arguments, options in ((["--file", place.file("prompt")], {}), (["-"], {"input": "Hello"}),
                                   (["--file", "-"], {"input": "Hello"})):
            done = generate(folder, *arguments, "--tokens", 5, **options)
            expect(done.returncode == 0 and done.stdout == given.stdout, f"{arguments}: {done.stdout}{done.stderr}")
        expect(generate(folder, "x", "--file", place.file("prompt")).returncode == CONFIGURATION, "both")
        done = generate(folder, "--file", place.file("none"))
        expect(done.returncode == IO and "none" in done.stderr, done.stderr)


@case
def a_tokenizer_says_what_tokens_are():
    with Place() as place:
        with open(place.file("text"), "w") as file:
            file.write("the cat sat on the mat; the dog sat on the log. " * 4000)
        made = run([PROGRAM, "tokenizer", "train", place.file("text"), "--size", "280", "-o", place.file("tokenizer.json")])
        expect(made.returncode == 0, made.stderr)
        size = int(made.stdout.split()[0])
        folder = trained(place, vocab_size=300)
        done = generate(folder, "the cat")
        expect(done.returncode == CONFIGURATION and "--tokenizer" in done.stderr, done.stderr)
        named = generate(folder, "the cat", "--tokens", 200, "--top-k", 0, "--temperature", 9, "--tokenizer",
                         place.file("tokenizer.json"), "--json")
        found = json.loads(named.stdout)
        expect(max(found["ids"]) < size and found["text"], f"{size}: {found}")
        os.rename(place.file("tokenizer.json"), place.file("data/tokenizer.json"))
        again = generate(folder, "the cat", "--tokens", 200, "--top-k", 0, "--temperature", 9, "--json")
        expect(again.stdout == named.stdout, again.stderr)
        numbers = generate(folder, "5 7", "--tokens", 3, "--ids")
        expect(numbers.returncode == 0 and len(numbers.stdout.split()) == 3, numbers.stderr)
        os.mkdir(place.file("other"))
        other = run([PROGRAM, "tokenizer", "train", place.file("text"), "--size", "270", "-o", place.file("other/tokenizer.json")])
        shards = run([PROGRAM, "prepare", place.file("text"), place.file("text"), "--tokenizer", place.file("other/tokenizer.json"),
                      "-o", place.file("shards")])
        expect(shards.returncode == 0, other.stderr + shards.stderr)
        own = trained(place, "own", vocab_size=300, data_dir=place.file("shards"))
        expect(generate(own, "the cat", "--tokens", 3).returncode == 0, "the tokenizer of its data")
        done = generate(own, "the cat", "--tokenizer", place.file("data/tokenizer.json"))
        expect(done.returncode == DATA and "trained with" in done.stderr, done.stderr)
        small = trained(place, "small", vocab_size=258)
        done = generate(small, "the cat")
        expect(done.returncode == CONFIGURATION and str(size) in done.stderr, done.stderr)


@case
def statistics_are_told_on_standard_error():
    with Place() as place:
        done = generate(trained(place), "Hello", "--tokens", 5, "--stats")
        expect("prefill: 5 tokens" in done.stderr and "decode: 4 tokens" in done.stderr, done.stderr)


tap()
