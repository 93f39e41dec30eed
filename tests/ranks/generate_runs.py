"""Text from runs: samples, workers, stop strings, prompts from anywhere, full positions, tokenizers."""
import json
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import Place, case, expect, run, tap, tensors, FULL, PROGRAM  # noqa: E402

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
        expect(done.stderr.count("16 positions were full") == 1 and "last 8" in done.stderr, done.stderr)
        both = generate(folder, prompt, "--tokens", 60, "--ids", "--temperature", 0, stderr=subprocess.STDOUT)
        text, _, notice = both.stdout.partition("\n")  # as on a terminal: the notice is a line behind the text
        expect(list(map(int, text.split())) == ids and notice == done.stderr, both.stdout)
        # Of 5 + 11 tokens the 12th is the 17th; 8 of them are seen then, and what follows is theirs.
        again = generate(folder, " ".join(map(str, ids[4:12])), "--tokens", 5, "--ids", "--temperature", 0)
        expect(list(map(int, again.stdout.split())) == ids[12:17], f"{again.stdout}, {ids}")
        long = generate(folder, "Hello" * 20, "--tokens", 3, "--temperature", 0)
        same = generate(folder, ("Hello" * 20)[-16:], "--tokens", 3, "--temperature", 0)
        expect("last 16" in long.stderr and long.stdout[100:] == same.stdout[16:], f"{long.stdout} {same.stdout}")


@case
def a_channel_between_stages_is_in_the_model_that_generates():
    """Weights of a run without one, in runs that take no step of any size: with a channel they are another function."""
    with Place() as place:
        stages = {"dp_size": 1, "pp_size": 2, "np": 2}
        ids = {"dense": samples(trained(place, "dense", **stages), "Hello", "--tokens", 40, "--temperature", 0)[0]["ids"]}
        for quantile in (0, 0.9):
            folder = trained(place, f"run-{quantile}", init_from=place.file("dense"), num_iterations=1, optimizer="adamw", lr=1e-30,
                             channel="threshold", channel_quantile=quantile, **stages)
            ids[quantile] = samples(folder, "Hello", "--tokens", 40, "--temperature", 0)[0]["ids"]
        expect(ids[0] == ids["dense"] and ids[0.9] != ids["dense"], f"{ids}")


@case
def weights_that_came_as_bfloat16_are_read_so_exactly():
    with Place() as place:
        folder = trained(place, architecture="llama")
        done = run([PROGRAM, "export", folder, "-o", place.file("narrow"), "--dtype", "bfloat16"])
        expect(done.returncode == 0, done.stderr)
        for options in ([], ["--samples", 9], ["--np", 2])[:3 if FULL else 2]:
            greedy = [place.file("narrow"), "Hello", "--tokens", 11, "--temperature", 0, *options]
            done = generate(*greedy, "--weights", "bfloat16")
            same = generate(*greedy)
            expect(done.returncode == 0 and done.stdout == same.stdout and "rounded" not in done.stderr, f"{done} {same}")
        done = generate(folder, "Hello", "--tokens", 40, "--weights", "bfloat16", "--cache", "bfloat16", "--stats")
        expect(done.returncode == 0 and done.stderr.count("rounded to") == 1, done.stderr)
        expect(generate(folder, "--weights", "half").returncode == CONFIGURATION, "not a type")


@case
def positions_that_are_learned_or_not_shifted_end_a_text():
    with Place() as place:
        learned, turned = trained(place, "gpt2", architecture="gpt2"), trained(place, "gpt")
        for folder, options in ((learned, []), (turned, ["--no-shift"])):
            one, = samples(folder, "Hello", "--tokens", 60, *options)
            expect(len(one["ids"]) == 12 and one["end"] == "positions", f"{options} {one}")


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
def stop_strings_have_the_escapes_of_split():
    with Place() as place:
        folder = trained(place)
        for stop, byte in {"\\n": 10, "\\t": 9, "\\\\": 92}.items():  # bytes as good as uniform: each comes in time
            cut, = samples(folder, "Hello", "--tokens", 20000, "--top-k", 0, "--temperature", 100, "--stop", stop)
            expect(cut["end"] == "stop" and cut["ids"][-1] == byte and byte not in cut["ids"][:-1], f"{stop}: {cut}")


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


FOLDERS = os.environ["FOLDERS"]  # with gpt2, llama3_gqa and neox, as transformers wrote them


def reference(folder):
    """Ids of a sequence, and the logits behind each of them, that transformers computed."""
    with open(os.path.join(FOLDERS, folder, "reference", "model.safetensors"), "rb") as file:
        found = tensors(file.read())
    values = {name: struct.unpack(f"<{len(data) // 4}f", data) for name, data in found.items()
              if name in ("input_ids", "logits")}
    T = len(values["input_ids"]) // 2
    V = len(values["logits"]) // (2 * T)
    return [int(i) for i in values["input_ids"][:T]], [values["logits"][t * V:(t + 1) * V] for t in range(T)]


@case
def a_folder_generates_what_transformers_says():
    for folder in ("gpt2", "llama3_gqa", "neox"):
        ids, logits = reference(folder)
        for n in (1, 9, 37):
            first, *_ = samples(os.path.join(FOLDERS, folder), " ".join(map(str, ids[:n])), "--ids", "--tokens", 2, "-t", 0)
            best = max(range(len(logits[n - 1])), key=lambda token: logits[n - 1][token])
            expect(first["ids"][0] == best, f"{folder} after {n}: {first['ids']}, and transformers {best}")
        if folder == "llama3_gqa":
            many, = samples(os.path.join(FOLDERS, folder), " ".join(map(str, ids[:n])), "--ids", "--tokens", 2, "-t", 0, "--np", 2)
            expect(many["ids"] == first["ids"], f"{many} {first}")


def with_defaults(place, name, **keys):
    folder = place.file(name)
    shutil.copytree(os.path.join(FOLDERS, "gpt2"), folder)
    with open(os.path.join(folder, "generation_config.json"), "w") as file:
        json.dump(keys, file)
    return folder


@case
def a_folder_says_how_to_draw_and_where_texts_end():
    with Place() as place:
        gpt2 = os.path.join(FOLDERS, "gpt2")
        options = {"temperature": 3.0, "top_k": 7, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.5}
        given = [part for key, value in options.items() for part in ("--" + key.replace("_", "-"), value)]
        plain, asked = (samples(gpt2, "1 2 3", "--ids", "--tokens", 30, *more)[0] for more in ([], given))
        taken, = samples(with_defaults(place, "all", **options), "1 2 3", "--ids", "--tokens", 30)
        expect(taken == asked != plain, f"{taken} {asked} {plain}")
        for key, value in options.items():
            mine, = samples(with_defaults(place, key, **{key: 0 if key == "top_k" else 1}), "1 2 3", "--ids", "--tokens", 30,
                            "--" + key.replace("_", "-"), value)
            without, = samples(gpt2, "1 2 3", "--ids", "--tokens", 30, "--" + key.replace("_", "-"), value)
            expect(mine == without, f"{key}: what is asked for comes first: {mine} {without}")
        greedy, = samples(with_defaults(place, "greedy", do_sample=False, top_k=5), "1 2 3", "--ids", "--tokens", 9)
        expect(greedy == samples(gpt2, "1 2 3", "--ids", "--tokens", 9, "-t", 0)[0], f"{greedy}")
        for name, ends in (("one", asked["ids"][4]), ("several", [asked["ids"][9], asked["ids"][4], 210])):
            ended, = samples(with_defaults(place, name, eos_token_id=ends), "1 2 3", "--ids", "--tokens", 30, *given)
            n = min(asked["ids"].index(end) for end in ([ends] if name == "one" else ends) if end in asked["ids"]) + 1
            expect(ended["end"] == "end" and ended["ids"] == asked["ids"][:n], f"{ends}: {ended}")
        for name, keys, said in (("hot", {"temperature": "warm"}, 'temperature "warm"'), ("p", {"top_p": 2}, "top_p 2"),
                                 ("end", {"eos_token_id": "</s>"}, 'eos_token_id "</s>"')):
            done = generate(with_defaults(place, name, **keys), "1", "--ids")
            expect(done.returncode == CONFIGURATION and said in done.stderr and "generation_config.json" in done.stderr, done.stderr)


@case
def a_folder_and_the_run_that_it_came_from_say_the_same():
    with Place() as place:
        text = place.file("text")
        with open(text, "w") as file:
            file.write("the cat sat on the mat; the dog sat on the log. " * 4000)
        for command in (["tokenizer", "train", text, "--size", "280", "-o", place.file("tokenizer.json")],
                        ["prepare", text, "--tokenizer", place.file("tokenizer.json"), "--val", "0.3", "-o", place.file("shards")]):
            done = run([PROGRAM, *command])
            expect(done.returncode == 0, done.stderr)
        folder = trained(place, architecture="llama", vocab_size=300, data_dir=place.file("shards"), val_tokens=512)
        done = run([PROGRAM, "export", folder, "-o", place.file("out"), "--dtype", "float64"])
        expect(done.returncode == 0, done.stderr)
        with open(place.file("out/generation_config.json")) as file:
            expect(json.load(file) == {"eos_token_id": 0}, "the token that ends a text")
        theirs, ours = (samples(model, "the cat", "--tokens", 12, "--samples", 2) for model in (place.file("out"), folder))
        expect(theirs == ours, f"{theirs} {ours}")
        said = [json.loads(run([PROGRAM, "eval", "--json", model, *more]).stdout) for model, more in
                ((folder, []), (place.file("out"), [f"data_dir={place.file('shards')}", "val_tokens=512", "sequence_length=16"]))]
        expect(all(said[0][key] == said[1][key] for key in ("loss", "tokens", "bits_per_byte")), f"{said}")
        done = run([PROGRAM, "tokenizer", "train", text, "--size", "270", "-o", place.file("out/tokenizer.json")])
        done = run([PROGRAM, "eval", place.file("out"), f"data_dir={place.file('shards')}", "sequence_length=16"])
        expect(done.returncode == DATA and "another tokenizer" in done.stderr, done.stderr)
        done = place.train(init_from=place.file("out"), data_dir=place.file("shards"), checkpoint_dir=place.file("next"),
                           **{key: None for key in ("model_dim", "n_layer", "n_head", "vocab_size")})
        expect(done.returncode == DATA and "training files" in done.stderr and "another tokenizer" in done.stderr, done.stderr)
        done = run([PROGRAM, "eval", place.file("out"), f"data_dir={place.file('shards')}", "n_layer=3"])
        expect(done.returncode == CONFIGURATION and "n_layer 3 contradicts" in done.stderr, done.stderr)
        os.remove(place.file("out/tokenizer.json"))
        done = generate(place.file("out"), "the cat")
        expect(done.returncode == CONFIGURATION and "--tokenizer" in done.stderr, done.stderr)
        done = generate(place.file("data"), "the cat")
        expect(done.returncode == 4 and "Hugging Face folder" in done.stderr, done.stderr)


@case
def statistics_are_told_on_standard_error():
    with Place() as place:
        done = generate(trained(place), "Hello", "--tokens", 5, "--stats")
        expect("prefill: 5 tokens" in done.stderr and "decode: 4 tokens" in done.stderr, done.stderr)


tap()
