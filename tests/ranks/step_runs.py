"""bench_step as a person runs it, on a model of no size: the rows there are and what they compare, not how fast."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import case, expect, run, tap  # noqa: E402

TINY = ["--dim", "48", "--layers", "1", "--steps", "2"]
FIELDS = ["model", "dim", "layers", "rule", "rank", "workers", "Mnumbers", "median", "min", "max", "rate", "limit",
          "unit", "share", "%", "of_fma", "of_muon", "scaling"]
USAGE = 2
WITH_RANK, WITHOUT, ELEMENTS = ["dion", "dion2", "dion3"], ["muon", "normuon"], ["sgd", "adamw", "lion"]


def step(*arguments):
    return run([os.environ["BENCH_STEP"], *TINY, *arguments])


def rows(*arguments):
    done = step(*arguments)
    expect(done.returncode == 0, f"exit status {done.returncode}: {done.stderr}")
    lines = [line.split() for line in done.stdout.splitlines() if not line.startswith("#")][1:]
    expect(all(len(line) == len(FIELDS) for line in lines), done.stdout)
    return [dict(zip(FIELDS, line)) for line in lines]


@case
def every_rule_at_every_rank_is_held_against_its_limit_and_against_muon():
    ranks = ["1", "1/2", "0.25", "1/16"]
    found = rows("-o", "dion,dion2,dion3,normuon,sgd,adamw,lion,muon", "-f", ",".join(ranks))
    wanted = [("muon", "-")] + [(rule, rank) for rule in WITH_RANK for rank in ranks]
    wanted += [(rule, "-") for rule in ["normuon", *ELEMENTS]]
    expect([(row["rule"], row["rank"]) for row in found] == wanted, f"{found}")
    muon = float(found[0]["median"])
    for row in found:
        median, limit = float(row["median"]), float(row["limit"])
        expect(float(row["min"]) <= median <= float(row["max"]) and limit > 0, f"{row}")
        expect(row["unit"] == ("GB/s" if row["rule"] in ELEMENTS else "GFLOP/s"), f"{row}")
        # Whole percents of the same time: no product is faster than the arithmetic alone.
        expect(row["of_fma"] == "-" if row["rule"] in ELEMENTS else
               float(row["of_fma"].rstrip("%")) <= float(row["share"]), f"{row}")
        # Printed to two decimals of a millisecond, and to three of the ratio.
        room = 0.001 + 0.006 * (1 + median / muon) / muon
        expect(abs(float(row["of_muon"]) - median / muon) <= room, f"{row} of {muon}")


@case
def without_muon_nothing_is_held_against_it():
    expect([row["of_muon"] for row in rows("-o", "adamw,dion2")] == ["-", "-"], "somebody else is Muon")


@case
def workers_share_the_step_of_every_rule_after_one_took_it_alone():
    for mesh, workers in ("dp=2", 2), ("fs=2,tp=2", 4):
        found = rows("--mesh", mesh, "-o", ",".join(WITH_RANK + WITHOUT + ELEMENTS))
        rules = ["muon", *WITH_RANK, "normuon", *ELEMENTS]
        wanted = [(rule, n) for rule in rules for n in ("1", str(workers))]
        expect([(row["rule"], row["workers"]) for row in found] == wanted, f"{found}")
        expect([row["of_muon"] for row in found[:2]] == ["1.000", "1.000"], f"{found}")
        expect(all(row["scaling"] == "1.00" for row in found[::2]), f"{found}")


@case
def names_and_fractions_that_are_none_are_named():
    for option, value in [("-o", "dion,shampoo"), ("-f", "1/4,3/2"), ("-f", "1/4x"), ("--model", "7B")]:
        done = step(option, value)
        expect(done.returncode == USAGE and value.split(",")[-1] in done.stderr, f"{done.returncode} {done.stderr}")


tap()
