"""What a run has measured, as others read it: the page is well-formed and has every plot, the values are those of metrics.jsonl."""
import csv
import io
import json
import math
import os
import re
import shutil
import struct
import sys
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import PROGRAM, Place, Skip, case, expect, run, tap  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


def two_runs(place):
    for name, rate in ("run", 0.02), ("an & other", 0.01):
        done = place.train(2, num_iterations=12, val_tokens=256, val_loss_every=5, lr=rate, checkpoint_dir=place.file(name))
        expect(done.returncode == 0, f"{name} failed: {done.stderr}")
    return [place.file("run"), place.file("an & other")]


@case
def values_are_those_of_metrics_to_the_bit():
    with Place() as place:
        runs = two_runs(place)
        done = run([PROGRAM, "report", "--csv", *runs])
        expect(done.returncode == 0, done.stderr)
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        lines = [dict(line, run=path) for path, name in zip(runs, ("run", "an & other")) for line in place.metrics(name, first=0)]
        expect(len(rows) == len(lines) == 26, f"{len(rows)} rows of {len(lines)} lines")
        for row, line in zip(rows, lines):
            given = {key: value if key == "run" else float(value) for key, value in row.items() if value}
            expect(given == line, f"{given} is not {line}")


@case
def the_page_has_every_plot_of_every_run():
    with Place() as place:
        runs = two_runs(place)
        done = run([PROGRAM, "report", *runs])
        expect(done.returncode == 0 and os.path.join(runs[0], "report.html") in done.stdout, f"{done}")
        page = xml.etree.ElementTree.parse(os.path.join(runs[0], "report.html")).getroot()
        text = "".join(page.itertext())
        expect("an & other" in text and "http" not in text, "a run's name is missing, or something is from elsewhere")
        expect(not list(page.iter("script")) and not list(page.iter("link")), "something is from elsewhere")
        plots = {plot.get("aria-label"): plot for plot in page.iter(SVG + "svg") if plot.get("aria-label")}
        wanted = {"Loss": 6, "Learning rate": 2, "Speed": 4, "Gradient norm": 4}
        for name, lines in wanted.items():
            there = len(list(plots[name].iter(SVG + "polyline")))
            expect(there == lines, f"{name} has {there} lines, not {lines}")
        dots = len(list(plots["Loss"].iter(SVG + "circle")))
        expect(dots == 8, f"{dots} validations are shown, not 8")
        for name in "Milliseconds per step by phase", "Bytes per step by axis":
            expect(len(list(plots[name].iter(SVG + "rect"))) >= 2, f"{name} has no bars")


@case
def bars_of_runs_are_named_so_that_they_can_be_told_apart():
    """Whole where there is room; without the folders that all are in, and too long ones without the end that all have."""
    long = "a-name-that-is-longer-than-there-is-room-for"
    with Place() as place:
        done = place.train(num_iterations=1)
        expect(done.returncode == 0, done.stderr)
        for names, wanted in ((["run"], ["run"]),
                              (["a/run", "b/run/"], ["a/run", "b/run"]),
                              (["run", "out/demo-lr0.02-s0"], ["run", "out/demo-lr0.02-s0"]),
                              (["dion-lr0.02-s0", "Größe-lr0.02-s0", long + "-lr0.02-s0", long + "-2-lr0.02-s0"],
                               ["dion-lr0.02-s0", "Größe-lr0.02-s0", "…longer-than-there-is-room-for…",
                                "…nger-than-there-is-room-for-2…"])):
            for name in set(names) - {"run"}:
                shutil.copytree(place.file("run"), place.file(name))
            done = run([PROGRAM, "report", *map(place.file, names), "-o", place.file("page.html")])
            expect(done.returncode == 0, done.stderr)
            page = xml.etree.ElementTree.parse(place.file("page.html")).getroot()
            bars = next(plot for plot in page.iter(SVG + "svg") if plot.get("aria-label") == "Bytes per step by axis")
            there = [text.text for text in bars.iter(SVG + "text") if text.get("text-anchor") == "end"]
            expect(there == wanted, f"{there}, not {wanted}")


def megabytes(text, after):
    number, unit = re.search(after + r" ([\d.]+) (.?)B", text).groups()
    return float(number) * {"": 1, "k": 1e3, "M": 1e6}[unit]


def three_digits(value):
    return float(f"{value:.2e}")


@case
def what_a_step_exchanges_is_one_number_everywhere():
    with Place() as place:
        def exchanged(**changes):
            done = place.train(2, num_iterations=6, momentum_sync_every=3, **changes)
            expect(done.returncode == 0, done.stderr)
            steps = [sum(line[f"bytes_{axis}"] for axis in ("dp", "fs", "tp")) for line in place.metrics()]
            shutil.rmtree(place.file("run"))
            return done.stderr, sum(steps) / len(steps), steps

        factors, mean, steps = exchanged()
        _, whole, _ = exchanged(replicate_mesh_grad_sync=False)
        expect(steps[2] > steps[1] == steps[0], f"momenta are not averaged every third step: {steps}")
        said = megabytes(factors, "exchange "), megabytes(factors, "with full gradients")
        expect(said == (three_digits(mean), three_digits(whole)), f"said {said}, counted {mean} and {whole}")
        line = re.search(r"1/6 .*?([\d.]+ k?B)/step", factors).group(1)
        expect(megabytes("x " + line, "x") == three_digits(steps[0]), f"the line says {line}, counted {steps[0]}")
        for sizes in {"fs_size": 2, "dp_size": 1}, {"tp_size": 2, "dp_size": 1}:
            said, mean, _ = exchanged(**sizes)
            expect(megabytes(said, "exchange ") == three_digits(mean) and "whole" not in said, f"{said}: counted {mean}")


@case
def eval_tells_bits_a_byte_and_json_where_tokens_are_bytes():
    with Place() as place:
        for vocabulary in 256, 300:
            done = place.train(num_iterations=3, val_tokens=0, vocab_size=vocabulary)
            expect(done.returncode == 0, done.stderr)
            told = json.loads(run([PROGRAM, "eval", "--json", place.file("run")]).stdout)
            text = run([PROGRAM, "eval", place.file("run")]).stdout
            expect(told["step"] == 3 and math.isclose(told["perplexity"], math.exp(told["loss"]), rel_tol=1e-12), f"{told}")
            expect(f"loss {told['loss']:.6f} " in text and f"over {told['tokens']} tokens" in text, f"{text} is not {told}")
            if vocabulary == 256:
                expect(math.isclose(told["bits_per_byte"], told["loss"] / math.log(2), rel_tol=1e-12), f"{told}")
                expect(f"{told['bits_per_byte']:.4f} bits per byte" in text, text)
            else:
                expect("bits_per_byte" not in told and "bits" not in text, f"{told} {text}")
            shutil.rmtree(place.file("run"))


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def fields(message):
    """(number, value) of a protocol-buffers message: varints as numbers, everything else as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
    while at < len(message):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        else:
            size = {1: 8, 5: 4}.get(key & 7) or varint()
            yield key >> 3, message[at:at + size]
            at += size


def events(path):
    """{step: {name: float}} of an event file, whose checksums hold."""
    with open(path, "rb") as file:
        data = file.read()
    found, first = {}, True
    while data:
        length, = struct.unpack("<Q", data[:8])
        event = data[12:12 + length]
        expect(struct.unpack("<I", data[8:12])[0] == crc32c(data[:8]), "the checksum of a length is wrong")
        expect(struct.unpack("<I", data[12 + length:16 + length])[0] == crc32c(event), "the checksum of an event is wrong")
        parts = list(fields(event))
        if first:
            expect((3, b"brain.Event:2") in parts, f"it does not begin with a version: {parts}")
        for summary in [value for number, value in parts if number == 5]:
            step = next(value for number, value in parts if number == 2)
            for value in [dict(fields(value)) for number, value in fields(summary) if number == 1]:
                found.setdefault(step, {})[value[1].decode()] = struct.unpack("<f", value[2])[0]
        data, first = data[16 + length:], False
    return found


@case
def tensorboard_gets_the_values_of_metrics_also_of_a_run_that_goes_on():
    with Place() as place:
        changes = {"val_tokens": 256, "val_loss_every": 4, "tensorboard": True}
        for steps in 6, 10:
            done = place.train(num_iterations=steps, **changes)
            expect(done.returncode == 0, done.stderr)
        path = place.file("run/events.out.tfevents.dionode")
        given = events(path)
        wanted = {line["step"]: {key: struct.unpack("<f", struct.pack("<f", value))[0] for key, value in line.items() if key != "step"}
                  for line in place.metrics(first=0)}
        expect(given == wanted, f"{given} is not {wanted}")
        try:
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        except ImportError:
            raise Skip("its own reader is not installed; ours finds what was written") from None
        reader = EventAccumulator(place.file("run"))
        reader.Reload()
        losses = {event.step: event.value for event in reader.Scalars("loss")}
        expect(losses == {step: values["loss"] for step, values in wanted.items() if step > 0}, f"TensorBoard reads {losses}")


@case
def eval_finds_the_data_of_a_run_from_another_folder():
    with Place() as place:
        done = run(place.command(num_iterations=2, data_dir="data", checkpoint_dir="run"), cwd=place.path)
        expect(done.returncode == 0, done.stderr)
        told = [run([PROGRAM, "eval", path], cwd=folder) for path, folder in
                (("run", place.path), (place.file("run"), "/"), (os.path.join(place.path, "run", "step_00000002.safetensors"), "/"))]
        expect(all(each.returncode == 0 and each.stdout == told[0].stdout for each in told), f"{told}")
        elsewhere = run([PROGRAM, "eval", place.file("run"), "data_dir=data"], cwd="/")
        expect(elsewhere.returncode == 3, f"a folder that is given is not the one meant from here: {elsewhere}")


@case
def no_step_is_faster_than_the_peak_nor_the_peak_than_the_arithmetic():
    with Place() as place:
        place.train(1, num_iterations=20, model_dim=256, batch_size=64, device_batch_size=64)
        shares = [(line["fma_share"], line["peak_share"]) for line in place.metrics()]
        expect(all(0 < of_fma <= of_peak <= 1 for of_fma, of_peak in shares), f"{shares}")


@case
def a_run_that_is_shorter_than_measuring_the_peak_goes_without():
    with Place() as place:
        done = place.train(1, num_iterations=3)
        expect(done.returncode == 0 and "GEMM peak" not in done.stderr and "FMA limit" not in done.stderr, done.stderr)
        expect(not any("peak_share" in line or "fma_share" in line for line in place.metrics()), f"{place.metrics()}")


@case
def a_folder_without_metrics_is_named():
    with Place() as place:
        for arguments in [place.path], ["--csv", place.path]:
            done = run([PROGRAM, "report", *arguments])
            expect(done.returncode == 3 and place.path in done.stderr and len(done.stderr.splitlines()) == 1, f"{done}")
        expect(not os.path.exists(place.file("report.html")), "a page of nothing is written")


@case
def steps_without_a_line_are_told_and_bytes_of_all_steps_are_then_unknown():
    with Place() as place:
        path = place.file("metrics.jsonl")
        with open(path, "w") as file:
            for step in (1, 2, 4):
                file.write(json.dumps(dict(step=step, loss=5, step_s=1, bytes_dp=1000)) + "\n")
        for arguments in [place.path], ["--csv", place.path]:
            done = run([PROGRAM, "report", *arguments])
            expect(done.returncode == 0 and f"{path} lacks the lines of 1 step: 3" in done.stderr, f"{done}")
        page = xml.etree.ElementTree.parse(place.file("report.html")).getroot()
        heads, cells = ([cell.text for cell in row] for row in page.iter("tr"))
        exchanged = cells[heads.index("exchanged per worker")]
        expect(exchanged == "unknown", f"exchanged per worker: {exchanged}")
        plots = {plot.get("aria-label"): plot for plot in page.iter(SVG + "svg")}
        labels = [t.text for t in plots["Bytes per step by axis"].iter(SVG + "text")]
        expect("unknown" in labels, f"{labels}")


@case
def metrics_without_an_end_are_refused_at_once():
    with Place() as place:
        os.symlink("/dev/zero", place.file("metrics.jsonl"))
        for arguments in [place.path], ["--csv", place.path]:
            done = run([PROGRAM, "report", *arguments], 30)
            expect(done.returncode == 5 and "metrics.jsonl is not a regular file" in done.stderr, f"{done}")


@case
def a_file_for_the_values_is_not_passed_over():
    with Place() as place:
        done = run([PROGRAM, "report", "--csv", "-o", place.file("values.csv"), place.path])
        expect(done.returncode == 2 and "--output" in done.stderr, f"{done}")


tap()
