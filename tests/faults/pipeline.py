"""Runs whose model is cut into stages of a pipeline: the same training, killed with micro-batches in flight, resumed on other cuts."""
import os
import random
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, Place, case, children, expect, run, tap, tensors  # noqa: E402

# Four layers are six units; four micro-batches.
STAGED = {"n_layer": 4, "device_batch_size": 2, "num_iterations": 8, "checkpoint_freq": 2, "clip_grad_norm": 0.5}


def well(done, what):
    expect(done.returncode == 0, f"{what}: {done.returncode}: {done.stderr}")
    return done


@case
def a_run_in_stages_trains_as_one_worker_does_and_counts_what_it_sends():
    with Place() as place:
        settings = dict(STAGED, replicate_mesh_grad_sync=False)  # with factors the norm is of each replica's own gradient
        well(place.train(1, **settings, checkpoint_dir=place.file("one")), "one worker")
        for np, sizes in [(4, {"dp_size": 2, "pp_size": 2})] + ([(3, {"pp_size": 3})] if FULL else []):
            well(place.train(np, **settings, **sizes, val_tokens=64, val_loss_every=4), f"{sizes}")
            one, staged = place.metrics("one"), place.metrics()
            for a, b in zip(one, staged, strict=True):
                # float: sums of the gradient's squares, and means over dp, are formed in another order
                expect(abs(a["loss"] - b["loss"]) <= 1e-5 * a["loss"] and abs(a["grad_norm"] - b["grad_norm"]) <= 1e-4 * a["grad_norm"],
                       f"{sizes}, step {a['step']}: loss {b['loss']}, norm {b['grad_norm']} instead of {a['loss']}, {a['grad_norm']}")
                rows = 8 // sizes.get("dp_size", 1)  # of 16 positions, 32 numbers of 4 bytes each: the first stage sends forward
                expect(b["bytes_pp"] == rows * 16 * 32 * 4 and "bytes_pp" not in a, f"{b['bytes_pp']}")
            done = well(run([PROGRAM, "eval", place.file("run"), "val_tokens=64"]), "eval")
            expect(f"{staged[-1]['val_loss']:.4f}" in done.stdout, f"{done.stdout} instead of {staged[-1]['val_loss']}")
            run(["rm", "-r", place.file("run")])


def lasting(place, **settings):
    """Tensors and losses of a run of two stages."""
    well(place.train(2, **STAGED, pp_size=2, val_tokens=64, val_loss_every=8, **settings), f"{settings}")
    found = tensors(place.checkpoint(8)), [line["loss"] for line in place.metrics()], place.metrics()
    return found


@case
def channels_that_lose_nothing_change_no_bit_and_others_send_as_many_bytes_as_they_keep():
    with Place() as place:
        dense = lasting(place)
        for number, (setting, kept) in enumerate([({"channel": "topk", "channel_ratio": 1}, 32), ({"channel": "threshold", "channel_quantile": 0}, 32),
                                                  ({"channel": "topk", "channel_ratio": 4}, 6), ({"channel": "threshold", "channel_quantile": 0.75}, 8)]):
            run(["rm", "-r", place.file("run")])
            found = lasting(place, **setting)
            expect((found[:2] == dense[:2]) == (kept == 32), f"{setting}: {found[1]} and {dense[1]}")
            message = 2 * 16 * (kept * 6 if kept < 32 else 32 * 4)  # of 2 rows of 16 positions; an index of 2 bytes goes with each number
            expect(all(line["bytes_pp"] == 4 * message for line in found[2]), f"{setting}: {found[2][0]['bytes_pp']}, not {4 * message}")
            seen = {word: run([PROGRAM, "eval", place.file("run"), "val_tokens=64", f"channel={word}"]) for word in (setting["channel"], "dense")}
            told = f"{found[2][-1]['val_loss']:.4f}"
            expect(told in seen[setting["channel"]].stdout, f"{setting}: {seen[setting['channel']].stdout} instead of {told}")
            expect((told in seen["dense"].stdout) == (kept == 32), f"{setting}: without its channel a model is another: {seen['dense'].stdout}")


def killed_and_resumed(place, settings, seeds):
    """As uninterrupted, which is `whole`."""
    for seed in seeds:
        command = place.command(3, **settings)
        started = place.start(3, **settings)
        place.wait_for_step(3 + 4 * seed)
        time.sleep(random.Random(seed).random() * 0.01)
        os.kill(children(started.pid)[seed % 3], signal.SIGKILL)
        _, said = started.communicate(timeout=60)
        expect(started.returncode == 7, f"{started.returncode}: {said}")
        well(run(command), "resumed")
        expect(tensors(place.checkpoint(24)) == tensors(place.checkpoint(24, "whole")), f"seed {seed}: other bits")
        run(["rm", "-r", place.file("run")])


@case
def a_stage_that_is_killed_with_micro_batches_in_flight_leaves_a_run_that_goes_on_with_the_same_bits():
    with Place() as place:
        settings = dict(STAGED, num_iterations=24, pp_size=3, device_batch_size=1, link_pp="80Gbit:0ms,8Gbit:0ms", pp_link_times="1e-4,1e-3",
                        channel="topk", channel_ratio=3)
        well(place.train(3, **settings, checkpoint_dir=place.file("whole")), "uninterrupted")
        well(run([PROGRAM, "eval", place.file("whole"), "val_tokens=64"]), "eval of a run with a link for each boundary")
        killed_and_resumed(place, settings, range(4 if FULL else 1))
        for rows in (1, 8) if FULL else ():
            run(["rm", "-r", place.file("whole")])
            settings = dict(settings, pipeline="async", device_batch_size=rows)
            well(place.train(3, **settings, checkpoint_dir=place.file("whole")), "uninterrupted")
            killed_and_resumed(place, settings, range(4))


@case
def asynchronous_stages_train_by_old_weights_and_go_on_with_micro_batches_in_flight():
    with Place() as place:
        settings = dict(STAGED, pipeline="async", pp_size=4, device_batch_size=8, checkpoint_freq=0)
        done = well(place.train(4, **settings, checkpoint_dir=place.file("whole")), "uninterrupted")
        expect([line["staleness"] for line in place.metrics("whole")] == [0, 1, 2, 3, 3, 3, 3, 3], f"{place.metrics('whole')}")
        expect("updates" in done.stderr, done.stderr)
        # A validation uses the memory of what is in flight, which is computed again: with the same bits, as after a stop.
        for last in (2, 5, 8) if FULL else (5, 8):
            well(place.train(4, **{**settings, "stop_after": last}, val_tokens=64, val_loss_every=3), f"to {last}")
        whole, resumed = tensors(place.checkpoint(8, "whole")), tensors(place.checkpoint(8))
        expect(whole == resumed and sum(name.startswith("stash.3.") for name in whole) > 0, "other bits")
        sent = 8 * 16 * 32 * 4  # forward, of 8 rows of 16 positions, 32 numbers of 4 bytes each; in the first step three more
        expect([line["bytes_pp"] / sent for line in place.metrics("whole")] == [4] + [1] * 7, "bytes_pp")


@case
def asynchronous_replicas_and_cuts():
    if not FULL:
        return
    with Place() as place:
        settings = dict(STAGED, pipeline="async", dp_size=2, pp_size=2, strategy="local_sgd", sync_every=3)
        for more in ({}, {"fs_size": 2, "fs_gather": "per_rank"}, {"tie_embeddings": True}, {"tp_size": 2, "device_batch_size": 1}):
            np = 8 if "fs_size" in more or "tp_size" in more else 4
            well(place.train(np, **{**settings, **more}, checkpoint_dir=place.file("whole")), "uninterrupted")
            well(place.train(np, **{**settings, **more, "stop_after": 4}), "stopped")
            expect(any(".replica1" in name and name.startswith("stash.1.") for name in tensors(place.checkpoint(4))), "no old weights of a replica")
            well(place.train(np, **{**settings, **more}), "resumed")
            expect(tensors(place.checkpoint(8)) == tensors(place.checkpoint(8, "whole")), f"{more}: other bits")
            # Other stages keep older weights of other layers, or none; what a checkpoint lacks is taken to be the newest.
            for last, n, sizes in [(9, 1, {"dp_size": 1, "pp_size": 1}), (10, 4, {"pp_size": 4, "dp_size": 1}), (11, 6, {"pp_size": 3})]:
                well(place.train(n, **{**settings, **more, "fs_size": 1, "tp_size": 1, **sizes, "num_iterations": last}), f"{sizes}")
            run(["rm", "-r", place.file("run"), place.file("whole")])
        one = dict(STAGED, checkpoint_freq=0)
        well(place.train(1, **one, checkpoint_dir=place.file("whole")), "one stage")
        well(place.train(1, **one, pipeline="async"), "one stage, which waits for nobody")
        expect(tensors(place.checkpoint(8)) == tensors(place.checkpoint(8, "whole")), "one stage: other bits")


@case
def a_checkpoint_has_the_whole_model_and_goes_on_with_another_number_of_stages():
    with Place() as place:
        tied = {"tie_embeddings": True}
        for more in ({}, tied) if FULL else (tied,):
            well(place.train(1, **STAGED, **more, checkpoint_dir=place.file("one")), "one worker")
            for last, np, sizes in [(2, 2, {"pp_size": 2}), (4, 1, {}), (6, 4, {"pp_size": 4}), (8, 4, {"pp_size": 2, "fs_size": 2})]:
                well(place.train(np, **{**STAGED, "stop_after": last}, **more, **sizes), f"{sizes}")
            one, staged = tensors(place.checkpoint(8, "one")), tensors(place.checkpoint(8))
            expect(set(one) == set(staged), f"{set(one) ^ set(staged)}")
            expect({name: len(data) for name, data in one.items()} == {name: len(data) for name, data in staged.items()}, "sizes")
            losses = [(a["loss"], b["loss"]) for a, b in zip(place.metrics("one"), place.metrics(), strict=True)]
            expect(all(abs(a - b) <= 1e-5 * a for a, b in losses), f"{losses}")
            run(["rm", "-r", place.file("run"), place.file("one")])


@case
def a_stop_within_a_step_drops_it_on_all_stages():
    with Place() as place:
        settings = dict(STAGED, device_batch_size=1, num_iterations=1, batch_size=60000)  # a step of minutes
        for np, sizes in [(3, {"pp_size": 3}), (4, {"pp_size": 2, "fs_size": 2})]:
            started = place.start(np, **{**settings, **sizes})
            time.sleep(0.1)
            while "forward" not in run([PROGRAM, "stat", str(started.pid)]).stdout and started.poll() is None:
                time.sleep(0.05)
            started.send_signal(signal.SIGTERM)
            _, said = started.communicate(timeout=80)
            expect(started.returncode == 128 + signal.SIGTERM and "stopped before the first step was complete" in said,
                   f"{started.returncode}: {said}")


@case
def replicas_of_stages_that_are_apart_go_on_apart():
    with Place() as place:
        settings = dict(STAGED, dp_size=2, pp_size=2, strategy="local_sgd", sync_every=5, tie_embeddings=True)
        well(place.train(4, **settings, checkpoint_dir=place.file("whole")), "uninterrupted")
        well(place.train(4, **settings, stop_after=3), "stopped")
        apart = tensors(place.checkpoint(3))
        pairs = [(apart[name + ".replica0"], apart[name + ".replica1"]) for name in apart if name + ".replica1" in apart]
        expect(len(pairs) > 10 and all(a != b for a, b in pairs), f"{len(pairs)} weights of replicas")
        well(place.train(4, **settings), "resumed")
        expect(tensors(place.checkpoint(8)) == tensors(place.checkpoint(8, "whole")), "other bits")


@case
def what_stages_cannot_do_is_refused_in_one_line():
    with Place() as place:
        for sizes, words in [({"pp_size": 7}, "the model has 6 units"), ({"pp_size": 2, "strategy": "fda"}, "strategy fda with pp_size 2"),
                             ({"pp_size": 3, "link_pp": "1Gbit:1ms,1Gbit:1ms,1Gbit:1ms"}, "3 links for 2 boundaries"),
                             ({"pp_size": 2, "link_pp": "fast"}, "link_pp: 'fast' is no link"),
                             ({"pp_size": 3, "pp_link_times": "1,2,3"}, "pp_link_times: 3 links for 2 boundaries"),
                             ({"pp_size": 2, "channel": "topk", "channel_ratio": 30}, "channel_ratio 30: of a position's 32 numbers"),
                             ({"pp_size": 2, "fs_size": 3}, "pp_size 2 x fs_size 3")]:
            np = 7 if sizes["pp_size"] == 7 else 4 if "fs_size" in sizes else sizes["pp_size"]
            done = place.train(np, **STAGED, **sizes)
            expect(done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1, f"{sizes}: {done.returncode}: {done.stderr}")


tap()
