"""dionode.verify: a sharded product in Python is what one process computes on every mesh, and what is wrong is seen.

As a worker, verify.py WAY [BUG] does what work() does.
"""
import array
import json
import os
import sys
import tempfile

from support import Ranks, case, expect, run_ranks, tap

import dionode
import dionode.verify

BATCH, IN, OUT = 13, 7, 10  # which nothing divides
N_RANKS, N_MESHES = 4, 1 + 3 + 3 + 6  # of four, three, two ranks and one
WAY = sys.argv[1] if len(sys.argv) > 1 else None


def x_at(row, col):
    return (row * 31 + col * 17) % 23 / 23 - 0.5


def w_at(row, col):
    return (row * 13 + col * 29) % 19 / 19 - 0.5


def forward(v, mesh):
    """y = x W^T: dp deals out the rows of x, fs the columns whose products are summed, tp the rows of W."""
    rows, columns, sums = mesh.shard(BATCH, "dp"), mesh.shard(OUT, "tp"), mesh.shard(IN, "fs")
    first = sums.start
    if WAY == "uneven":  # right only where parts are even: 7 columns over 2 ranks are 4 and 3
        first = mesh.at["fs"] * (IN // mesh.size["fs"])
    if WAY == "raise" and mesh.size["tp"] == 2:
        raise ZeroDivisionError("of the operation")
    if WAY == "error" and mesh.size["tp"] == 2:
        mesh.all.group([0])  # every rank but the first is left out, and told so
    y = array.array("f", [sum(x_at(i, first + k) * w_at(j, first + k) for k in range(len(sums))) for i in rows for j in columns])
    v.scalar("loss", 2.5)
    if not y:
        return
    y = memoryview(y).cast("B").cast("f", (len(rows), len(columns)))
    fs = mesh.comm("fs")
    fs.stats(reset=True)
    fs.all_reduce(y, kind="activations")
    if mesh.all.size > 1:
        counted = fs.stats().payload["activations"]
        v.bytes("payload", counted, y.nbytes * (mesh.size["fs"] > 1 and WAY != "bytes") + (WAY == "bytes"))
    v.block("forward", "y", (BATCH, OUT), y, at=(rows.start, columns.start), replicated=("fs",))
    v.same("replicas", "y", fs, y)


def work():
    comm = dionode.join(heap_bytes=dionode.verify.heap_bytes(N_RANKS))
    if len(sys.argv) > 2:
        dionode.verify.inject(sys.argv[2])
    report = dionode.verify.run(comm, forward)
    if comm.rank > 0:
        return
    print("holds" if report.holds else "fails")
    print(report)
    try:
        report.check()
    except dionode.Error as error:
        print(error.status, error)
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        path = os.path.join(folder, "report.json")
        report.write_json(path)
        with open(path, encoding="utf-8") as file:
            print(json.dumps(json.load(file)))


def verdict(n_ranks, *arguments):
    """"holds" or "fails", the whole output, and the report as JSON."""
    output = run_ranks(n_ranks, __file__, *arguments)[0]
    return output.splitlines()[0], output, json.loads(output.splitlines()[-1])


@case
def a_product_that_is_sharded_right_holds_on_every_mesh():
    found, output, report = verdict(N_RANKS, "right")
    expect(found == "holds", output)
    expect(len(report["meshes"]) == N_MESHES, f"{len(report['meshes'])} meshes, not {N_MESHES}: {output}")
    expect(all(line in output for line in ("forward", "replicas", "loss", "payload")), output)


@case
def what_is_sharded_wrong_is_seen_and_told():
    found, output, _ = verdict(2, "uneven")
    expect(found == "fails" and "\n-9 " in output and "forward" in output, output)
    found, output, _ = verdict(2, "bytes")
    expect(found == "fails" and "payload" in output, output)
    expect("sum-for-average" in dionode.verify.bugs(), f"{dionode.verify.bugs()}")


@case
def a_bug_that_is_planted_is_seen():
    found, output, _ = verdict(2, "right", "skip-tp-reduce")
    expect(found == "fails" and "FAILED 1 x 2 x 1, forward" in output, output)


@case
def an_error_of_the_library_fails_its_mesh_and_an_exception_all():
    found, output, _ = verdict(2, "error")
    expect(found == "fails" and "FAILED 1 x 1 x 2" in output and "FAILED 2 x 1 x 1" not in output, output)
    with Ranks(2, __file__, "raise") as started:
        for rank, output in enumerate(started.outputs()):
            expect(started.ranks[rank].returncode == 1 and "ZeroDivisionError: of the operation" in output, output)


tap() if not WAY else work()
