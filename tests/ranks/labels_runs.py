"""dionode finetune: what it learns, says, and refuses, on labels that a rule made."""
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, expect, run, tap  # noqa: E402

FOLDERS = os.environ["FOLDERS"]  # Hugging Face's, random ones


def one_processor():
    """Small models gain nothing from several threads, which on a busy machine wait for each other."""
    os.sched_setaffinity(0, {random.choice(sorted(os.sched_getaffinity(0)))})


LIMIT_S = 600  # of a call: one trains five ways, for which beside other tests the usual 90 s are too few under sanitizers


def finetune(place, *arguments, labels="labels.tsv"):
    return run([PROGRAM, "finetune", *arguments, "--labels", place.file(labels)], limit_s=LIMIT_S, preexec_fn=one_processor)


def write_labels(place, n=600, name="labels.tsv"):
    """The last letter is the class: its embedding alone tells it. Texts of 1 to 15 bytes, classes of unlike shares."""
    draw = random.Random(5)
    classes = {"a": "vowel", "b": "stop", "d": "stop", "m": "nasal"}
    with open(place.file(name), "w", encoding="utf-8") as file:
        for _ in range(n):
            last = draw.choice("aabdm")
            file.write(f"{classes[last]}\t{''.join(draw.choice('xyz ') for _ in range(draw.randrange(15)))}{last}\n")


def trained_run(place):
    done = place.train(num_iterations=2, vocab_size=256, sequence_length=16)
    expect(done.returncode == 0, done.stderr)
    return place.file("run")


@case
def each_way_learns_a_rule_and_says_what_it_trained():
    with Place() as place:
        write_labels(place)
        model = trained_run(place)
        done = finetune(place, model, "--how", "head,full,sherl,prompt,lora", "--json", "num_iterations=45")
        expect(done.returncode == 0, done.stderr)
        head, full, sherl, prompt, lora = (json.loads(line) for line in done.stdout.splitlines())
        for row in (head, full, sherl, prompt, lora):
            # any output that still knows the last letter is enough: 2 steps of training leave it in the residual stream
            # (sherl's module is 1 number wide in so small a model: that tells two of the three kinds apart, if one beats a guess, 0.4)
            expect(row["accuracy"] > (0.55 if row is sherl else 0.85), f"{row['how']}: {row['accuracy']}")
            expect(0.3 < row["largest"] < 0.5 and row["classes"] == 3 and (row["train"], row["test"]) == (480, 120), str(row))
            expect(row["bytes"] == 4 * row["trained"], str(row))
        expect(head["trained"] == 3 * 32, f"{head['trained']}: a head of 3 classes on a model 32 wide")
        expect(lora["trained"] - head["trained"] == 2 * 8 * (4 * 64 + 2 * 160), str(lora))  # A and B of rank 8, two blocks
        expect(prompt["trained"] - head["trained"] == 2 * 2 * 20 * 32, str(prompt))  # 20 keys and values, two blocks
        # of two outputs 32 wide, reduced to 1: 32 + 1 + 1 each; 32 back; attend, gamma
        expect(sherl["trained"] - head["trained"] == 2 * 34 + 32 + 2, str(sherl))
        expect(head["memory"] < sherl["memory"] < lora["memory"], str(sherl))
        expect(head["memory"] < lora["memory"] < full["memory"], f"{head['memory']}, {lora['memory']}, {full['memory']}")


def result(done):
    row = json.loads(done.stdout)
    del row["seconds"]
    return row


@case
def the_same_call_gives_the_same_result():
    with Place() as place:
        write_labels(place)
        model = trained_run(place)
        first, again, other = (finetune(place, model, "--json", "num_iterations=20", f"seed={seed}") for seed in (3, 3, 4))
        expect(result(first) == result(again), f"{first.stdout} {again.stdout}")
        expect(result(first)["loss"] != result(other)["loss"], other.stdout)


@case
def hypervectors_learn_texts_records_and_outputs():
    with Place() as place:
        write_labels(place)
        draw = random.Random(7)
        with open(place.file("records.tsv"), "w", encoding="utf-8") as file:
            for i in range(200):  # four numbers around 2, or around 8, a single one of which would not tell
                file.write(f"{'high' if i % 2 else 'low'}\t{','.join(str(max(0, min(10, draw.gauss(8 if i % 2 else 2, 3)))) for _ in range(4))}\n")
        model = trained_run(place)
        for labels, arguments, least in (("labels.tsv", [], 0.8), ("records.tsv", ["--encoder", "record"], 0.9),
                                         ("labels.tsv", ["--encoder", "features", model], 0.8)):
            done = [finetune(place, "--how", "hdc", "--dimensions", "1000", "--rounds", "10", "--json", *arguments, labels=labels)
                    for _ in range(2)]
            expect(done[0].returncode == 0, done[0].stderr)
            expect(result(done[0]) == result(done[1]), f"{arguments}: {done[0].stdout} {done[1].stdout}")
            row = result(done[0])
            expect(row["accuracy"] >= least and "at_once" in row and "loss" not in row, f"{arguments}: {row}")
            expect(row["trained"] == 1000 * row["classes"] and row["bytes"] == 4 * row["trained"], f"{row}")
        for code, says, arguments in ((2, "no model", ["--encoder", "features"]), (2, "no encoder", ["--encoder", "words"]),
                                      (3, "record", ["--encoder", "record"]), (2, "lr changes nothing", ["lr=3"])):
            done = finetune(place, "--how", "hdc", *arguments)
            expect(done.returncode == code and says in done.stderr, f"{arguments}: {done.returncode} {done.stderr}")


def rows(done):
    expect(done.returncode == 0, done.stderr)
    return {row["how"]: row for row in map(json.loads, done.stdout.splitlines())}


# In double, sums in another order differ by 1e-16, and six steps of AdamW make 1e-13 of that; float, under sanitizers, has 1e-7.
PRECISE = os.environ.get("DIONODE_F64", PROGRAM)
ROUNDING = 1e-10 if "f64" in PRECISE else 1e-4


def tuned_precisely(place, *arguments):
    if not os.path.exists(place.file("run")):
        done = run([PRECISE, "train", "--np", "1", place.config(num_iterations=2)])
        expect(done.returncode == 0, done.stderr)
    return rows(run([PRECISE, "finetune", place.file("run"), "--labels", place.file("labels.tsv"), "--json", *arguments], limit_s=LIMIT_S))


@case
def every_mesh_learns_what_one_process_does():
    with Place() as place:
        write_labels(place, 200)

        def tuned(*arguments):
            return tuned_precisely(place, "num_iterations=6", *arguments)

        ways = ["--how", "head,full,sherl,prompt,lora" if FULL else "sherl,prompt"]
        alone, other = tuned(*ways), tuned(*ways, "seed=1")
        for mesh in [["--np", "2", "tp_size=2"], ["--np", "2", "fs_size=2"], ["--np", "2"], ["--np", "4", "fs_size=2", "tp_size=2"],
                     ["--np", "3", "fs_size=3"]][:None if FULL else 2]:
            for how, row in tuned(*ways, *mesh).items():
                off, wrong = abs(row["loss"] - alone[how]["loss"]), abs(other[how]["loss"] - alone[how]["loss"])
                expect(off < ROUNDING, f"{mesh}, {how}: loss {row['loss']}, alone {alone[how]['loss']}; bound {ROUNDING}")
                expect(wrong > 2 * ROUNDING, f"{how}: another seed's loss is only {wrong} off: this would not see a wrong order of texts")
                expect(row["trained"] == alone[how]["trained"], f"{row}")
        apart = tuned("--how", "prompt", "--np", "2", "strategy=local_sgd", "sync_every=4")
        expect(abs(apart["prompt"]["loss"] - alone["prompt"]["loss"]) > 2 * ROUNDING, "replicas that step alone learn something else")


@case
def clients_learn_the_same_on_any_number_of_workers():
    with Place() as place:
        write_labels(place, 200)
        for strategy, more in [("fedpeptao", ["server_lr=0.01"]), ("fedavg", ["partition=by_label", "clients=3"]), ("teasq", ["client_speeds=2000,300"]),
                               ("fedcyclic", []), ("decoupled_diloco", ["client_speeds=2000,300"])][:None if FULL else 1]:
            call = ["--how", "prompt", f"strategy={strategy}", "client_fraction=0.6", "partition=dirichlet:2", "num_iterations=5",
                    *([] if "clients=3" in more else ["--clients", "5"]), *more]
            one, other = tuned_precisely(place, *call)["prompt"], tuned_precisely(place, *call, "seed=1")["prompt"]
            for np in ("2", "4", "8") if FULL else ("2",):
                many = tuned_precisely(place, *call, "--np", np)["prompt"]
                # Weights have the same bits (client_runs.py); texts that are held out are parted otherwise.
                expect(abs(many["loss"] - one["loss"]) < ROUNDING, f"{strategy} on {np}: {many['loss']}, not {one['loss']}; bound {ROUNDING}")
                expect(many["exchanged"] == one["exchanged"], f"{many}, {one}")
            expect(abs(other["loss"] - one["loss"]) > 2 * ROUNDING, f"{strategy}: another seed's loss is {other['loss']}, too")
            expect(one["rounds"] == 5, f"{one}")
            if strategy in ("fedavg", "fedpeptao"):  # three or two at a time get and send all of it
                expect(one["exchanged"] == 5 * (2 if "clients=3" in more else 3) * 2 * one["bytes"], f"{one}")
        call = ["--how", "head", "--clients", "4", "client_fraction=0.5", "local_steps=3"]
        expect(tuned_precisely(place, *call)["head"]["rounds"] == -(-3 * 160 // (2 * 3 * 32)), "three epochs of 160 texts")


@case
def hypervectors_of_clients_are_those_of_one_whatever_their_parts():
    with Place() as place:
        write_labels(place)
        one = rows(finetune(place, "--how", "hdc", "--dimensions", "1000", "--json"))["hdc"]
        for more in (["--clients", "7"], ["--clients", "3", "partition=by_label", "--np", "2"], ["--np", "3"], ["--clients", "2", "partition=dirichlet:0.3", "--np", "3"]):
            row = rows(finetune(place, "--how", "hdc", "--dimensions", "1000", "--json", *more))["hdc"]
            expect((row["accuracy"], row["at_once"]) == (one["accuracy"], one["at_once"]), f"{more}: {row}, {one}")
            if "--clients" in more:  # sums once, and changes in each of 20 rounds, from each client and back
                expect(row["exchanged"] == 2 * 21 * int(more[1]) * row["bytes"], f"{more}: {row}")


@case
def what_hypervectors_cannot_hold_is_refused():
    with Place() as place:
        with open(place.file("many.tsv"), "w", encoding="utf-8") as file:
            file.writelines(f"{i}\tx\n" for i in range(60000))
        done = finetune(place, "--how", "hdc", "--dimensions", str(1 << 20), labels="many.tsv")  # 510 GB
        expect(done.returncode == 6 and "are available: use fewer --dimensions" in done.stderr, f"{done.returncode} {done.stderr}")
        with open(place.file("zero.tsv"), "wb") as file:
            file.write(b"1\t1\x002\n2\t1\x003\n" * 5)
        done = finetune(place, "--how", "hdc", "--encoder", "record", labels="zero.tsv")
        expect(done.returncode == 3 and "not a record of numbers" in done.stderr, f"{done.returncode} {done.stderr}")
        with open(place.file("far.tsv"), "w", encoding="utf-8") as file:  # a range beyond a double's; the class is the last number's sign
            file.writelines(f"{sign}\t1e308,-1e308,{sign}1e308\n" for sign in "+---" * 15 + "++++" * 5)
        done = finetune(place, "--how", "hdc", "--encoder", "record", "--dimensions", "1000", "--json", labels="far.tsv")
        expect(done.returncode == 0 and json.loads(done.stdout)["accuracy"] == 1, f"{done.returncode} {done.stdout}{done.stderr}")
        if FULL:
            with open(place.file("long.tsv"), "w", encoding="utf-8") as file:
                file.write("a\tx\nb\ty\n" * 1100000)
            done = finetune(place, "--how", "hdc", "--dimensions", "1", "--rounds", "1000000", labels="long.tsv")
            expect(done.returncode == 3 and "the sums would not fit" in done.stderr, f"{done.returncode} {done.stderr}")


def scale_weights(path, factor):
    """Of a safetensors file of floats."""
    with open(path, "rb") as file:
        blob = file.read()
    n = 8 + struct.unpack("<Q", blob[:8])[0]
    weights = struct.unpack(f"<{(len(blob) - n) // 4}f", blob[n:])
    with open(path, "wb") as file:
        file.write(blob[:n] + struct.pack(f"<{len(weights)}f", *(w * factor for w in weights)))


@case
def outputs_that_are_not_finite_make_no_hypervectors():
    with Place() as place:
        write_low_labels(place)
        folder = shutil.copytree(os.path.join(FOLDERS, "gpt2"), place.file("gpt2"))
        for factor, code in ((1, 0), (1e37, 9)):
            scale_weights(os.path.join(folder, "model.safetensors"), factor)
            done = finetune(place, folder, "--how", "hdc", "--encoder", "features", "--dimensions", "100")
            expect(done.returncode == code, f"{factor}: {done.returncode} {done.stdout}{done.stderr}")


@case
def a_path_with_an_equals_sign_is_a_run():
    with Place() as place:
        write_labels(place)
        done = place.train(num_iterations=2, vocab_size=256, checkpoint_dir=place.file("lr=1"))
        expect(done.returncode == 0, done.stderr)
        done = finetune(place, place.file("lr=1"), "num_iterations=2")
        expect(done.returncode == 0, done.stderr)


def write_low_labels(place):
    """Of bytes below 96, which the folders' small vocabularies have."""
    with open(place.file("labels.tsv"), "w", encoding="utf-8") as file:
        for i in range(50):
            file.write(f"{i % 2}\t{chr(33 + i % 2)}{chr(40 + i)}\n")


@case
def a_folder_of_others_with_its_tokenizer_or_tied_head_is_tuned():
    with Place() as place:
        write_low_labels(place)
        for folder in sorted(os.listdir(FOLDERS)) if FULL else ["gpt2"]:
            done = finetune(place, os.path.join(FOLDERS, folder), "--how", "head,full", "--json", "num_iterations=4")
            expect(done.returncode == 0 and len(done.stdout.splitlines()) == 2, f"{folder}: {done.stderr}")


@case
def what_makes_no_sense_is_refused():
    with Place() as place:
        write_labels(place)
        write_labels(place, 4, "few.tsv")
        model = trained_run(place)
        os.mkfifo(place.file("pipe.tsv"))
        faults = [(2, "no way to fine-tune", ["--how", "tail"], "labels.tsv"),
                  (2, "'' is no way", ["--how", ""], "labels.tsv"),
                  (2, "'tail' is no way", ["--how", "head,tail"], "labels.tsv"),  # before the head is trained
                  (2, "'' is no way", ["--how", "head,"], "labels.tsv"),
                  (2, "num_iterations changes nothing", ["--how", "head,hdc", "num_iterations=4"], "labels.tsv"),
                  (2, "no encoder", ["--how", "head,hdc", "--encoder", "words"], "labels.tsv"),
                  (3, "not a regular file", [], "pipe.tsv"),
                  (2, "changes nothing", ["data_dir=x"], "labels.tsv"),
                  (2, "adapters", ["lora_rank=2"], "labels.tsv"),
                  (2, "lr", ["lrr=2"], "labels.tsv"),
                  (3, "every fifth", [], "few.tsv"),
                  (3, "missing.tsv", [], "missing.tsv"),
                  (2, "is not the number of workers", ["fs_size=2"], "labels.tsv"),
                  (2, "leave out fs_size and tp_size", ["--clients", "2", "fs_size=2", "--np", "2"], "labels.tsv"),
                  (2, "one file", ["--clients", "2", "partition=by_file"], "labels.tsv"),
                  (3, "at most as many as labels", ["--clients", "4", "partition=by_label"], "labels.tsv"),
                  (2, "say how many clients", ["strategy=fedavg"], "labels.tsv"),
                  (9, "lower lr", ["lr=1e6", "num_iterations=5", "--how", "full"], "labels.tsv")]
        for code, says, arguments, labels in faults:
            done = finetune(place, model, *arguments, labels=labels)
            expect(done.returncode == code and says in done.stderr and not done.stdout,
                   f"{arguments}: {done.returncode} {done.stdout}{done.stderr}")
        done = finetune(place, place.file("nothing"))
        expect(done.returncode == 4, f"{done.returncode} {done.stderr}")
        done = subprocess.run([PROGRAM, "finetune", model], capture_output=True, text=True, check=False)
        expect(done.returncode == 2 and "--labels" in done.stderr, f"{done.returncode} {done.stderr}")


@case
def blocks_that_get_prompts_are_chosen_and_all_else_has_none():
    with Place() as place:
        write_labels(place, 100)
        model, said = trained_run(place), []
        for np in (1, 2):
            done = finetune(place, model, "--how", "prompt", "--json", "--clients", "4", "--np", str(np), "--prompt-layers", "0.5",
                            "strategy=fedpeptao", "server_lr=0.01", "client_fraction=0.5", "num_iterations=3", "local_steps=1")
            expect(done.returncode == 0, done.stderr)
            row = json.loads(done.stdout)
            expect(row["trained"] == 3 * 32 + 2 * 20 * 32, f"{row['trained']}: a head of 3 classes, keys and values of one block of two")
            expect(row["exchanged"] == 3 * 2 * 2 * row["bytes"] + 4 * 8 * 2, str(row))  # versions to two clients and back; scores, choice
            expect("prompts in blocks 0 (" in done.stderr and " of 2," in done.stderr, done.stderr)  # the last one has no score
            said.append((row["accuracy"], done.stderr.splitlines()[-1]))
        expect(said[0] == said[1], f"on one worker and on two: {said}")
        for share in ("1.5", "auto"):  # the latter is found by clients
            done = finetune(place, model, "--how", "prompt", "--prompt-layers", share)
            expect(done.returncode == 2 and "--prompt-layers" in done.stderr, f"{done.returncode}: {done.stderr}")


def share_by_curvature(program, np):
    """That clients find, after three versions of prompts in both blocks, and the accuracy; what they exchange is checked."""
    with Place() as place:
        write_labels(place, 100)
        done = run([program, "train", "--np", "1", place.config(num_iterations=2, vocab_size=256, sequence_length=16)])
        expect(done.returncode == 0, done.stderr)
        done = run([program, "finetune", place.file("run"), "--labels", place.file("labels.tsv"), "--how", "prompt", "--json", "--clients", "4",
                    "--np", np, "--prompt-layers", "auto", "strategy=fedavg", "client_fraction=0.5", "num_iterations=3"], limit_s=LIMIT_S,
                   preexec_fn=one_processor)
    expect(done.returncode == 0, done.stderr)
    row, share = json.loads(done.stdout), float(re.search(r"prompts in (\S+) of the blocks, by the loss's curvature", done.stderr)[1])
    all_blocks, chosen = ((4 if program == PROGRAM else 8) * (3 * 32 + n * 2 * 20 * 32) for n in (2, max(round(2 * share), 1)))
    expect(row["rounds"] == 6 and row["bytes"] == chosen, f"{share} of two blocks: {row}")
    expect(row["exchanged"] == 3 * 2 * 2 * (all_blocks + chosen) + 4 * 8 + 4 * 8 * 2, str(row))  # versions to two clients and back
    return share, row["accuracy"]


@case
def the_share_of_blocks_is_the_curvature_s_on_any_number_of_workers_and_in_any_precision():
    one, two = share_by_curvature(PROGRAM, "1"), share_by_curvature(PROGRAM, "2")
    expect(one == two, f"on one worker and on two: {one}, {two}")
    expect(0 < one[0] < 1, f"a loss that is curved in some directions: {one}")
    if FULL:  # differences a thousandth as long
        precise = share_by_curvature(PRECISE, "1")
        expect(abs(one[0] - precise[0]) < 0.02, f"in float and double: {one[0]}, {precise[0]}")


tap()
