"""`dionode topo` on machines that are not here: the plan of a mesh, and meshes that are refused."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from runs import FULL, PROGRAM, case, children, expect, run, tap, wait_until

MACHINE = dict(os.environ, HWLOC_SYNTHETIC="pack:2 [numa] core:4 pu:1")


def topo(*options):
    return run([PROGRAM, "topo", *options], env=MACHINE)


def workers(output):
    """Head of the table, and the words of each worker's line."""
    lines = output.split("\n\n")[1].splitlines()
    return lines[0].split(), [line.split() for line in lines[1:] if line and not line.startswith(" ")]


@case
def a_mesh_is_planned_with_coordinates():
    done = topo("--mesh", "dp=2,fs=2,tp=2")
    expect(done.returncode == 0, done.stderr)
    head, rows = workers(done.stdout)
    expect(head[:3] == ["rank", "dp,fs,tp", "threads"], head)
    wanted = [[str(4 * dp + 2 * fs + tp), f"{dp},{fs},{tp}", "1", str(dp), str(dp)]
              for dp in range(2) for fs in range(2) for tp in range(2)]  # a replica a domain, tp closest together
    expect([row[:5] for row in rows] == wanted, rows)


@case
def stages_are_runs_of_neighbours_within_a_replica():
    head, rows = workers(topo("--mesh", "dp=2,pp=2,tp=2").stdout)
    expect(head[1] == "dp,pp,fs,tp", head)
    expect([row[1] for row in rows] == [f"{dp},{pp},0,{tp}" for dp in range(2) for pp in range(2) for tp in range(2)], rows)


@case
def axes_left_out_are_one():
    head, rows = workers(topo("-m", "tp=4").stdout)
    expect([row[1] for row in rows] == ["0,0,0", "0,0,1", "0,0,2", "0,0,3"], rows)


@case
def without_a_mesh_there_are_no_coordinates():
    done = topo("--np", "4")
    head, rows = workers(done.stdout)
    expect(head[:2] == ["rank", "threads"] and len(rows) == 4, done.stdout)


@case
def as_many_workers_as_the_mesh_has_may_be_said_too():
    expect(topo("--np", "4", "--mesh", "dp=4").stdout == topo("--mesh", "dp=4").stdout, "another plan")
    for options in (["--np", "4", "--mesh", "dp=2"], ["--mesh", "dp=2", "--np", "4"]):
        done = topo(*options)
        expect(done.returncode == 2 and "omit one of them" in done.stderr, done.stderr)


@case
def the_largest_mesh_fits():
    done = topo("--mesh", "dp=16,fs=4,tp=4")
    expect(done.returncode == 0 and len(workers(done.stdout)[1]) == 256, done.stderr)


@case
def a_mesh_that_is_none_is_refused_with_what_to_do():
    for mesh in ("", "2,2,2", "dp=0", "dp=-1", "dp=2,xx=2", "dp=2,dp=2", "dp=16,fs=16,tp=2", "tp=99999999999999999999"):
        done = topo("--mesh", mesh)
        expect(done.returncode == 2, f"'{mesh}' ended with {done.returncode}")
        expect(done.stdout == "" and "write it as dp=2,fs=2,tp=2" in done.stderr, done.stderr)
        expect(f"mesh '{mesh}'" in done.stderr, done.stderr)


SMALL = ["model_dim=64", "n_layer=6", "n_head=2", "vocab_size=300", "sequence_length=32", "batch_size=8", "device_batch_size=2"]


def cut(*options):
    """Of each stage: the words of its line."""
    done = run([PROGRAM, "topo", "--mesh", "pp=4", "/dev/null", *SMALL, *options])
    expect(done.returncode == 0, f"{options}: {done.stderr}")
    table = done.stdout.split("\nstage ")[1].splitlines()[1:]
    return done.stdout, [line.split() for line in table]


def seconds(key):
    return [float(x) for x in key.split("=")[1].split(",")]


LINKS = "link_pp=400Mbit:20ms,10Mbit:10ms,40Mbit:10ms"
OVER_LINKS = [20e-3 + 16384 / 50e6, 10e-3 + 16384 / 1.25e6, 10e-3 + 16384 / 5e6]  # 2 rows of 32 positions, 64 numbers of 4 bytes each


@case
def links_that_are_measured_count_as_those_that_are_emulated():
    """In the cut, and for how many numbers a channel keeps: by seconds, wherever they come from."""
    topk = ["channel=topk", "channel_ratio=4", "pp_times=1e-6,3e-3,1e-6"]
    emulated, measured = cut(LINKS, *topk)[1], cut("pp_link_times=" + ",".join(map(repr, OVER_LINKS)), *topk)[1]
    without_link = [row[:4] + row[5:] for row in emulated]
    expect(len({row[5] for row in emulated[1:]}) == 3, f"links of three speeds keep {emulated}")
    expect(without_link == [row[:4] + row[5:] for row in measured], f"{emulated}, {measured}")
    expect(cut(*topk)[1] != emulated, "links make no difference")


@case
def a_model_is_cut_by_times_that_are_given_or_measured():
    """gpt: the embedding is layer 0, blocks have two layers each, the head is the last."""
    for times, layers in [("1,1,1", ["0-2", "3-6", "7-10", "11-13"]), ("0,1,3", ["0-4", "5-8", "9-12", "13-13"]), ("9,1,9", ["0-0", "1-2", "3-12", "13-13"])]:
        said, stages = cut(f"pp_times={times}")
        expect([stage[1] for stage in stages] == layers, f"{times}: {said}")
    least = [60.0] * 3
    for _ in range(40):  # a busy machine wakes sleepers late: then once more
        said, stages = cut("--measure", "pipeline=async", LINKS)
        keys = [line for line in said.splitlines() if line.startswith("pp_")]
        expect([key.split("=")[0] for key in keys] == ["pp_times", "pp_link_times"], said)
        expect(len(seconds(keys[0])) == 3 and all(0 < x < 60 for x in seconds(keys[0])), said)
        expect(all(x >= 0.995 * over for x, over in zip(seconds(keys[1]), OVER_LINKS)), f"{keys[1]}, over links of {OVER_LINKS}")
        least = list(map(min, least, seconds(keys[1])))
        if all(x < 1.25 * over for x, over in zip(least, OVER_LINKS)):
            break
    else:
        raise AssertionError(f"measured {least} at least, over links of {OVER_LINKS}")
    expect(cut(*keys, "pipeline=async", LINKS)[1] == stages and stages[0][-2] != "0" == stages[3][-2], f"{stages}")
    for words, options in [("pp_times: '1,2'", ["pp_times=1,2"]), ("pp_times: '1,x,3'", ["pp_times=1,x,3"]),
                           ("pp_link_times: '-1'", ["pp_link_times=-1"])]:
        done = run([PROGRAM, "topo", "--mesh", "pp=2", "/dev/null", *options])
        expect(done.returncode == 2 and words in done.stderr, f"{done.returncode}: {done.stderr}")
    for words, mesh, keys in [("the model has 8 units", "pp=9", []), ("strategy fda with pp_size 2", "pp=2", ["strategy=fda"])]:
        done = run([PROGRAM, "topo", "--measure", "--mesh", mesh, "/dev/null", *SMALL, *keys])
        expect(done.returncode == 2 and words in done.stderr and "pp_times" not in done.stdout, f"{done.returncode}: {done.stdout}{done.stderr}")


@case
def a_stop_while_links_are_measured_prints_no_times():
    """It ends what an emulated link sleeps, which would pass for a fast one."""
    if not FULL:
        return
    process = subprocess.Popen([PROGRAM, "topo", "--measure", "--mesh", "pp=2", "/dev/null", *SMALL, "link_pp=1Mbit:3s"], text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: len(children(process.pid)) == 2, "two workers")
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    printed, told = process.communicate(timeout=60)
    expect(process.returncode == 128 + signal.SIGINT and "pp_" not in printed, f"{process.returncode}: {printed}{told}")


tap()
