"""Whole runs of strategies of clients: the same bits on any number of workers, versions against ordinary runs of each client
averaged here, settings under which nothing is lost, resumed runs, bytes and virtual time, what is refused."""
import json
import os
import signal
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, Place, case, children, expect, of_clients, random_tokens, run, tap, tensors, PROGRAM  # noqa: E402

# Threads of small models that spin for one another take a minute on a busy machine of what is milliseconds: runs of one worker, which has
# several, were what timed out, and not those of eight.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
DOUBLE = "f64" in os.path.basename(PROGRAM)
REAL_BYTES = 8 if DOUBLE else 4
BOUND = 1e-11 if DOUBLE else 1e-4  # as train_runs.py
T = 16
ALL = of_clients()
CLIENTS = {"clients": 8, "client_fraction": 0.5, "local_steps": 2, "batch_size": 2, "optimizer": "adamw", "lr": 0.005, "num_iterations": 6}
# Half of four that are out make a version, and speeds differ: versions are trained that are up to some versions old.
LATE = {"client_speeds": "1000,700,150", "client_fraction": 0.5}
ASYNC = {"teasq": {**LATE, "cache_fraction": 0.25, "wire": "int8", "density": 0.25},
         "decoupled_diloco": {**LATE, "quorum": 0.25, "outer_lr": 0.8, "outer_momentum": 0.6}}


def trained(place, name, np, **changes):
    done = place.train(np=np, checkpoint_dir=place.file(name), **changes)
    expect(done.returncode == 0, f"{name}: {done.stderr}")
    return place.metrics(name)


def stored(place, name, step):
    return tensors(place.checkpoint(step, name))


def said_of_steps(metrics):
    return [(m["loss"], m["weights_hash"], m["virtual_s"], m["client_delay"], m["client_bytes_up"]) for m in metrics]


def expect_same(a, b, what):
    expect(a.keys() == b.keys(), f"{what}: {sorted(a.keys() ^ b.keys())} are in one checkpoint only")
    for name in a:
        expect(a[name] == b[name], f"{what}: {name} differs")


# ---- on any number of workers ----

@case
def any_number_of_workers_makes_the_same_bits():
    rules = [("fedavg", "adamw"), ("fedavg", "muon"), ("fedavg", "dion"), ("fedcyclic", "sgd"), ("fedpeptao", "adamw"), ("teasq", "adamw"),
             ("decoupled_diloco", "adamw")]
    for strategy, rule in rules if FULL else (rules[1], rules[5]):
        with Place() as place:
            changes = {**CLIENTS, "strategy": strategy, **ASYNC.get(strategy, {}), "optimizer": rule}
            one = trained(place, "on1", 1, **changes)
            expect(one[0]["loss"] != one[-1]["loss"], "nothing was learned")
            for np in (2, 4, 8) if FULL else (3,):
                many = trained(place, f"on{np}", np, **changes)
                expect(said_of_steps(one) == said_of_steps(many),
                       f"{strategy}, {rule} on {np} workers:\n{said_of_steps(one)}\n{said_of_steps(many)}")
                expect_same(stored(place, "on1", 6), stored(place, f"on{np}", 6), f"{strategy}, {rule} on {np} workers")


@case
def a_run_by_the_clock_is_repeated_bit_for_bit_by_its_log():
    for strategy in ("teasq", "decoupled_diloco") if FULL else ("teasq",):
        with Place() as place:
            of_strategy = {key: value for key, value in ASYNC[strategy].items() if key != "client_speeds"}
            changes = {**CLIENTS, "strategy": strategy, **of_strategy, "clients": 6, "client_fraction": 0.5, "num_iterations": 8,
                       "partition": "dirichlet:1", "train_files": place.file("*.txt"), "local_steps": None}  # uneven clients
            for file in range(3):
                write_bytes(place.file(f"{file}.txt"), random_tokens(12 * T, seed=file))
            trained(place, "real", 3, **changes, clock="real", stop_after=3)
            real = trained(place, "real", 3, **changes, clock="real")  # tickets that were out begin anew
            with open(place.file("real/tickets.log")) as file:
                lines = [line.split() for line in file]
            expect([int(line[0]) for line in lines] == list(range(1, 9)), f"{lines}")
            expect(all(float(a[1]) <= float(b[1]) for a, b in zip(lines, lines[1:])), f"{lines}")
            os.rename(place.file("real/tickets.log"), place.file("log"))
            for np in (1, 2):
                again = trained(place, f"again{np}", np, **changes, clock="replay:" + place.file("log"))
                expect(said_of_steps(again) == said_of_steps(real), f"on {np}:\n{said_of_steps(again)}\n{said_of_steps(real)}")
                expect_same(stored(place, f"again{np}", 8), stored(place, "real", 8), f"repeated on {np} workers")
            for content, words in (("".join(" ".join(line) + "\n" for line in lines[:3]), "has the order of 3 versions"),
                                   ("1 0.5\n", "log:1: not version 1"), ("1 0.5 99 98\n", "client 99 does not train"), (None, "No such file")):
                os.remove(place.file("log"))
                if content is not None:
                    write_bytes(place.file("log"), content.encode())
                done = place.train(np=1, **{**changes, "clock": "replay:" + place.file("log"), "checkpoint_dir": place.file("other")})
                expect(done.returncode == 3 or content is None and done.returncode != 0, f"{content}: {done.returncode}")
                expect(words in done.stderr, f"{content}: {done.stderr}")
                write_bytes(place.file("log"), b"")


# ---- against ordinary runs ----

STEPS, BATCH = 3, 2  # of a client, on a version: six rows, which is all that a client has, once or several times
ROWS = (6, 3, 2)     # of each client
PLAIN = {"optimizer": "sgd", "scalar_opt": "sgd", "lr": 0.5, "mu": 0, "clip_grad_norm": 0, "schedule": "constant", "shuffle": False,
         "batch_size": BATCH, "sequence_length": T, "weight_decay": 0}


def write_bytes(path, data):
    with open(path, "wb") as file:
        file.write(bytes(data))


class Clients(Place):
    """Three clients, each with a file of its rows; and beside it one for an ordinary run, with the target of its last row."""

    def __enter__(self):
        super().__enter__()
        tokens, at = random_tokens(sum(ROWS) * T + 1, seed=7), 0
        for client, rows in enumerate(ROWS):
            end = at + rows * T
            write_bytes(self.file(f"of{client}.txt"), tokens[at:end + (end == len(tokens) - 1)])
            write_bytes(self.file(f"alone{client}.txt"), tokens[at:end + 1])
            at = end
        self.n_runs = 0
        return self

    def clients(self, strategy, steps, np=2, name="run", **changes):
        return trained(self, name, np, **{**PLAIN, "strategy": strategy, "clients": 3, "partition": "by_file", "local_steps": STEPS,
                                          "client_fraction": 1, "train_files": self.file("of*.txt"), "num_iterations": steps,
                                          "checkpoint_freq": 1, "checkpoint_keep": 100, **changes})

    def weights(self, name, step):
        size = "d" if DOUBLE else "f"
        return {tensor: struct.unpack(f"<{len(data) // REAL_BYTES}{size}", data)
                for tensor, data in stored(self, name, step).items() if tensor.startswith("transformer.") or tensor.startswith("lm_head")}

    def alone(self, client, version, name="run", steps=STEPS, **changes):
        """What an ordinary run of the client makes of a version; version 0 is what the seed makes."""
        self.n_runs += 1
        start = {"init_from": self.file(f"{name}/step_{version:08d}.safetensors")} if version else {}
        trained(self, f"alone{self.n_runs}", 1, **{**PLAIN, "train_files": self.file(f"alone{client}.txt"), "num_iterations": steps,
                                                   **start, **changes})
        return self.weights(f"alone{self.n_runs}", steps)

    def first(self):
        """Version 0: a step at lr 0 changes nothing."""
        return self.alone(0, 0, steps=1, lr=0)


def combined(*terms):
    """Sum of factor times weights."""
    return {name: [sum(f * w[name][i] for f, w in terms) for i in range(len(terms[0][1][name]))] for name in terms[0][1]}


def difference(a, b):
    expect(a.keys() == b.keys() and a, f"{sorted(a)} and {sorted(b)}")
    return max(abs(x - y) for name in a for x, y in zip(a[name], b[name]))


def events(seconds, quorum, steps):
    """Of clients that are all out: for each version who makes it, (client, version it trained)."""
    out, made, now = [(s, c, 0) for c, s in enumerate(seconds)], [], 0
    for version in range(1, steps + 1):
        out.sort()
        made.append([(c, v) for _, c, v in out[:quorum]])
        now = out[quorum - 1][0]
        out = out[quorum:] + [(now + seconds[c], c, version) for _, c, _ in out[:quorum]]
    return made, now


@case
def a_version_of_fedavg_is_the_mean_of_what_ordinary_runs_make_by_rows():
    with Clients() as place:
        place.clients("fedavg", 2)
        for version in (0, 1) if FULL else (1,):
            parts = [place.alone(c, version) for c in range(3)]
            got = place.weights("run", version + 1)
            right = difference(got, combined(*((rows / sum(ROWS), w) for rows, w in zip(ROWS, parts))))
            expect(right < BOUND, f"version {version + 1}: {right:.1e} off, bound {BOUND}")
            wrong = difference(got, combined(*((1 / 3, w) for w in parts)))
            expect(wrong > 100 * BOUND, f"a mean that forgets rows would pass: {wrong:.1e}")


SPEEDS = (96, 38.4, 30)  # tokens a second: a ticket has 96 tokens


def worst_of_async(place, steps, quorum, next_version, state=None):
    """Largest difference of versions from what next_version makes of ordinary runs; and of a reference with a planted mistake: all
    clients trained the newest version."""
    made, _ = events([96 / s for s in SPEEDS], quorum, steps)
    right = wrong = 0
    expect(any(v < n for n, who in enumerate(made) for _, v in who), "no ticket was late")
    old = {0: place.first()}
    for n, who in enumerate(made):
        old[n + 1] = place.weights("run", n + 1)
        sent = [(c, v, place.alone(c, v)) for c, v in who]
        expected, state = next_version(n, sent, old, state)
        right = max(right, difference(old[n + 1], expected))
        if any(v < n for _, v in who):
            stale = [(c, n, place.alone(c, n)) for c, v in who]
            wrong = max(wrong, difference(old[n + 1], next_version(n, stale, old, state)[0]))
    return right, wrong


@case
def versions_of_teasq_are_mixed_from_late_clients_by_their_delay():
    def next_version(n, sent, old, state):
        counts = [(1 + n - v) ** -0.5 * ROWS[c] for c, v, _ in sent]
        mean = combined(*((s / sum(counts), w) for s, (_, _, w) in zip(counts, sent)))
        alpha = 0.6 * (1 + sum(n - v for _, v, _ in sent) / len(sent)) ** -0.5
        return combined((1 - alpha, old[n]), (alpha, mean)), state

    with Clients() as place:
        place.clients("teasq", 3, cache_fraction=0.67, proximal=0, density=1, wire="f32", client_speeds=",".join(map(str, SPEEDS)))
        right, wrong = worst_of_async(place, 3, 2, next_version)
        expect(right < BOUND, f"{right:.1e} off, bound {BOUND}")
        expect(wrong > 100 * BOUND, f"a server that gives all the newest version would pass: {wrong:.1e}")


@case
def versions_of_decoupled_diloco_are_outer_steps_along_what_learners_moved_by():
    def next_version(n, sent, old, momentum):
        d = combined(*((1 / len(sent), old[v]) for _, v, _ in sent), *((-1 / len(sent), w) for _, _, w in sent))  # all make as many steps
        b = combined((1, d), (0.6, momentum)) if momentum else d
        return combined((1, old[n]), (-0.8, d), (-0.8 * 0.6, b)), b

    with Clients() as place:
        place.clients("decoupled_diloco", 3, quorum=0.67, outer_lr=0.8, outer_momentum=0.6, client_speeds=",".join(map(str, SPEEDS)))
        right, wrong = worst_of_async(place, 3, 2, next_version)
        expect(right < BOUND, f"{right:.1e} off, bound {BOUND}")
        expect(wrong > 100 * BOUND, f"a server that gives all the newest version would pass: {wrong:.1e}")


def largest(x, rows, cols, share, tile=64):
    """What is left of x [rows, cols] if of each tile only the largest entries stay, of equal ones those that come first."""
    kept = [0.0] * len(x)
    for top in range(0, rows, tile):
        for left in range(0, cols, tile):
            places = [r * cols + c for r in range(top, min(top + tile, rows)) for c in range(left, min(left + tile, cols))]
            n = -(-round(share * len(places) * 1e9) // 10**9)
            for at in sorted(places, key=lambda i: (-abs(x[i]), i))[:n]:
                kept[at] = x[at]
    return kept


def shapes(place, name, step):
    blob = place.checkpoint(step, name)
    n = struct.unpack("<Q", blob[:8])[0]
    return {tensor: t["shape"] for tensor, t in json.loads(blob[8:8 + n]).items() if tensor != "__metadata__"}


@case
def clients_of_teasq_are_pulled_back_and_send_the_largest_part_of_what_they_changed():
    with Clients() as place:
        first, shape = place.first(), shapes(place, "alone1", 1)
        two, one = [place.alone(c, 0, steps=2) for c in range(3)], [place.alone(c, 0, steps=1) for c in range(3)]
        # From step 2 on lr mu (w' - w) comes off.
        pulled = [combined((1, b), (-0.5 * 0.1, a), (0.5 * 0.1, first)) for a, b in zip(one, two)]
        part = [{name: largest(x, *shape[name], 0.25) for name, x in combined((1, w), (-1, first)).items()} for w in pulled]
        changed = combined(*((rows / sum(ROWS), d) for rows, d in zip(ROWS, part)))
        all_of = {"cache_fraction": 1, "server_mix": 1, "local_steps": 2, "proximal": 0.1}
        metrics = place.clients("teasq", 1, density=0.25, wire="f32", **all_of)
        off = difference(place.weights("run", 1), combined((1, first), (1, changed)))
        expect(off < BOUND, f"{off:.1e} off, bound {BOUND}")
        whole = difference(place.weights("run", 1), combined(*((rows / sum(ROWS), w) for rows, w in zip(ROWS, pulled))))
        expect(whole > 100 * BOUND, f"clients that send all would pass: {whole:.1e}")
        dense = place.clients("teasq", 1, name="dense", density=1, wire="f32", **all_of)
        off = difference(place.weights("dense", 1), combined(*((rows / sum(ROWS), w) for rows, w in zip(ROWS, pulled))))
        expect(off < BOUND, f"all is sent: {off:.1e} off, bound {BOUND}")
        expect(metrics[0]["client_bytes_up"] < 0.5 * dense[0]["client_bytes_up"], f"{metrics[0]['client_bytes_up']} bytes were sent")


@case
def the_server_of_fedcyclic_multiplies_the_mean():
    with Clients() as place:
        place.clients("fedcyclic", 2, cycle_amplitude=0.3, cycles=1)
        place.clients("fedavg", 1, name="plain")
        for step, rate, mean in ((1, 1 + 0.3, ("plain", 1)),  # the sawtooth begins at -1, and is 0 at half of the run
                                 (2, 1, ("second", 1))):
            if step == 2:
                place.clients("fedavg", 1, name="second", init_from=place.file("run/step_00000001.safetensors"))
            off = difference(place.weights("run", step), combined((rate, place.weights(*mean))))
            expect(off < BOUND, f"version {step}: {off:.1e} off, bound {BOUND}")


def next_of_fedpeptao(r, who, w, sent, state, n_clients, difference):
    """The version that clients `who` make of w, by the published formula; the new state."""
    c, own, v, last = state
    part = sum(ROWS[i] for i in who)
    mean = combined(*((ROWS[i] / part, sent[i]) for i in who))
    delta, own = combined((1, w), (-1, mean)), list(own)
    changes = [combined((-1, c), (1 / (STEPS * PLAIN["lr"]), w), (-1 / (STEPS * PLAIN["lr"]), sent[i])) for i in who]
    for i, change in zip(who, changes):
        own[i] = combined((1, own[i]), (1, change))
    c = combined((1, c), *((len(who) / n_clients / len(who), change) for change in changes))  # all make as many steps
    if r == 0:
        return mean, (c, own, v, delta)
    of = combined((1, last), (-1, delta)) if difference else delta
    v = combined((0.9, v), (0.1, of), (1, c), *((-ROWS[i] / part, own[i]) for i in who))
    return combined((1, mean), (-0.2 * 0.99 ** r, v)), (c, own, v, delta)


@case
def the_server_of_fedpeptao_steps_behind_the_mean_with_momentum_and_control_variates():
    pairs = ((0, 1), (0, 2), (1, 2))
    for of_difference in (False, True) if FULL else (False,):
        with Clients() as place:
            place.clients("fedpeptao", 3, client_fraction=0.67, server_lr=0.2, server_gradient="difference" if of_difference else "delta")
            w = place.first()
            zero = combined((0, w))
            state, seen = (zero, [zero] * 3, zero, zero), []
            for r in range(3):
                sent = [place.alone(i, r) for i in range(3)]
                got = place.weights("run", r + 1)
                tried = [(*next_of_fedpeptao(r, who, w, sent, state, 3, of_difference), who) for who in pairs]
                off, state, who = min(((difference(got, made), after, who) for made, after, who in tried), key=lambda found: found[0])
                expect(off < BOUND, f"version {r + 1}: {off:.1e} off with the likeliest two clients, bound {BOUND}")
                plain = difference(got, combined(*((ROWS[i] / sum(ROWS[j] for j in who), sent[i]) for i in who)))
                expect(r == 0 or plain > 10 * BOUND, f"version {r + 1}: a server that makes no step is only {plain:.1e} off, bound {BOUND}")
                w, seen = got, seen + [who]
            expect(len(set(seen)) > 1, f"the same two clients in each round: {seen}")


@case
def with_all_clients_the_control_variate_of_fedpeptao_is_the_mean_of_theirs():
    with Place() as place:
        trained(place, "run", 2, **{**CLIENTS, "strategy": "fedpeptao", "clients": 3, "client_fraction": 1, "num_iterations": 3})
        held = {name: struct.unpack(f"<{len(data) // REAL_BYTES}{'d' if DOUBLE else 'f'}", data)
                for name, data in stored(place, "run", 3).items() if name.startswith("fedpeptao.control")}
        own = [held[f"fedpeptao.control.client.{i}"] for i in range(3)]
        worst = max(abs(c - sum(x) / 3) for c, *x in zip(held["fedpeptao.control"], *own))
        size = max(map(abs, own[0]))  # of (w - w_i) / (K lr)
        expect(size > 1e-3 and worst < BOUND * size, f"{worst:.1e} off, of numbers up to {size:.1e}; bound {BOUND * size:.1e}")


# ---- nothing lost ----

@case
def one_step_of_every_client_is_a_step_on_all_their_rows():
    with Place() as place:
        n, steps = 4, 12
        write_bytes(place.file("data.txt"), random_tokens(n * 10 * T + 1, seed=3))  # as many rows for each
        same = {**PLAIN, "train_files": place.file("data.txt"), "num_iterations": steps, "lr": 0.3}
        clients = trained(place, "clients", 2, **{**same, "strategy": "fedavg", "clients": n, "client_fraction": 1, "local_steps": 1})
        average = trained(place, "average", 1, **{**same, "batch_size": n * BATCH})
        worst = max(abs(a["loss"] - b["loss"]) / b["loss"] for a, b in zip(clients, average))
        expect(len(clients) == steps and worst < BOUND, f"losses differ by {worst:.1e}, bound {BOUND}")
        expect(clients[0]["loss"] != clients[-1]["loss"], "nothing was learned")


@case
def settings_that_lose_nothing_are_fedavg_bit_for_bit():
    """Of training, with its rows; `dionode verify` has the same of random ones (verify_training.py)."""
    with Place() as place:
        base = {**CLIENTS, "num_iterations": 4, "clients": 5, "client_fraction": 1}
        lossless = (("fedpeptao", {"server_lr": 0}), ("fedcyclic", {"cycle_amplitude": 0}),
                    ("teasq", {"cache_fraction": 1, "server_mix": 1, "proximal": 0, "density": 1, "wire": "f32"}),
                    ("decoupled_diloco", {"quorum": 1, "outer_lr": 1, "outer_momentum": 0}))
        plain = trained(place, "fedavg", 2, **base, strategy="fedavg")
        for strategy, changes in lossless if FULL else lossless[:1]:
            expect(strategy in ALL, f"{strategy} is not of {ALL}")
            same = {"train_files": place.file("data.txt")} if strategy == "decoupled_diloco" else {}
            if same:  # it weighs steps, not rows: as many for each
                write_bytes(place.file("data.txt"), random_tokens(5 * 8 * T + 1, seed=3))
                plain = trained(place, "even", 2, **base, strategy="fedavg", **same)
            steps = said_of_steps(trained(place, strategy, 2, **base, strategy=strategy, **changes, **same))
            expect(steps == said_of_steps(plain), f"{strategy}:\n{steps}\n{said_of_steps(plain)}")


# ---- going on ----

@case
def stopped_or_killed_a_run_goes_on_bit_for_bit_on_any_number_of_workers():
    for strategy in ALL if FULL else ("teasq", "decoupled_diloco", "fedpeptao"):
        with Place() as place:
            changes = {**CLIENTS, "strategy": strategy, **ASYNC.get(strategy, {}), "num_iterations": 8, "val_tokens": 128, "val_loss_every": 4}
            whole = trained(place, "whole", 1, **changes)
            trained(place, "parts", 2, **changes, stop_after=5)
            names = [name for name in stored(place, "parts", 5) if name.startswith("clients.version.")]
            expect(strategy not in ASYNC or names and max(int(name.split(".")[2]) for name in names) < 5, f"older versions in the checkpoint: {names}")
            expect(said_of_steps(trained(place, "parts", 3, **changes)) == said_of_steps(whole), f"{strategy}: steps differ")
            expect_same(stored(place, "parts", 8), stored(place, "whole", 8), strategy)
            if strategy != "teasq" and not FULL:
                continue
            many = {**changes, "num_iterations": 30}
            trained(place, "long", 2, **many)
            running = place.start(np=2, **many, checkpoint_dir=place.file("killed"), checkpoint_freq=2)
            place.wait_for_step(7, "killed")
            for worker in children(running.pid)[:1]:
                os.kill(worker, signal.SIGKILL)
            running.communicate(timeout=90)
            expect(said_of_steps(trained(place, "killed", 1, **many)) == said_of_steps(place.metrics("long")), f"{strategy}: killed, it differs")


@case
def a_stop_does_not_wait_for_clients_to_finish():
    with Place() as place:
        changes = {**CLIENTS, "strategy": "fedavg", "num_iterations": 3, "local_steps": 2}
        long = {**changes, "num_iterations": 1000, "schedule": "constant", "local_steps": 2}
        first = trained(place, "first", 2, **long, stop_after=3)
        running = place.start(np=2, **{**long, "local_steps": 10**9}, checkpoint_dir=place.file("first"))
        place.wait_for_step(3, "first")
        while "resumed" not in (line := running.stderr.readline()) and line:
            pass
        running.send_signal(signal.SIGTERM)
        said = running.communicate(timeout=60)[1]
        expect("stopped after step 3" in said, f"exit {running.returncode}: {said}")
        more = trained(place, "first", 1, **long, stop_after=4)
        expect(said_of_steps(more[:3]) == said_of_steps(first) and len(more) == 4, f"{len(more)} steps")


@case
def a_client_whose_training_is_not_finite_does_not_count():
    def write_masked(path, tokens):
        header = struct.pack("<256i", 20240520, 1, len(tokens), 0, 0, 0, 0, 1, *([0] * 248))
        write_bytes(path, header + struct.pack(f"<{len(tokens)}H", *tokens))
        write_bytes(path.replace(".bin", ".mask"), bytes((len(tokens) + 7) // 8))

    with Clients() as place:
        for client in range(3):
            os.remove(place.file(f"of{client}.txt"))
            tokens = random_tokens(6 * T + (client == 2), seed=client)
            if client == 2:  # without targets that count it makes no step
                write_masked(place.file("of2.bin"), tokens)
            else:
                write_bytes(place.file(f"of{client}.txt"), tokens)
        huge = {"lr": 1e6, "local_steps": 30, "groups": [{"match": "*", "lr_scale": 1e6, "weight_decay": 1000}]}  # times -1e15 a step
        metrics = place.clients("fedavg", 2, **huge, train_files=place.file("of*.*[tn]"), stop_after=1)  # at its end nothing was learned
        expect(metrics[0]["clients_failed"] == 2, f"{metrics[0]['clients_failed']} clients failed")
        off = difference(place.weights("run", 1), place.first())
        expect(off < BOUND, f"the version is {off:.1e} off the one before, bound {BOUND}")
        done = place.train(np=2, **{**PLAIN, "strategy": "fedavg", "clients": 2, "client_fraction": 1, **huge,
                                    "train_files": place.file("alone*.txt"), "checkpoint_dir": place.file("bad")})
        expect(done.returncode != 0 and "no client's training stayed finite" in done.stderr, f"{done.returncode}: {done.stderr}")


# ---- what is counted ----

@case
def bytes_and_virtual_time_are_those_of_the_formula():
    with Clients() as place:
        metrics = place.clients("decoupled_diloco", 5, quorum=0.34, client_speeds="96,32", client_links="800bit:1s,1kbit:0ms,1Mbit:2s")
        numbers = sum(map(len, place.weights("run", 1).values()))
        size = numbers * REAL_BYTES
        links = ((100, 1), (125, 0), (125000, 2))  # bytes a second, latency
        seconds = [96 / (96, 32, 96)[c] + 2 * (late + size / rate) for c, (rate, late) in enumerate(links)]
        made, now = events(seconds, 1, 5)
        for n, m in enumerate(metrics):
            expect(m["client_bytes_up"] == m["client_bytes_down"] == size, f"{m['client_bytes_up']}, {m['client_bytes_down']} bytes, not {size}")
            expect(m["client_delay"] == n - made[n][0][1], f"step {n + 1}: delay {m['client_delay']}, of {made[n]}")
        expect(abs(metrics[-1]["virtual_s"] - now) < 1e-9 * now, f"{metrics[-1]['virtual_s']} s, not {now}")
        two = place.clients("fedavg", 1, name="two", client_fraction=0.67)
        expect(two[0]["clients"] == 2 and two[0]["client_bytes_down"] == 2 * size, f"{two[0]['clients']} clients, {two[0]['client_bytes_down']} bytes")


@case
def what_clients_have_trained_is_evaluated_and_generates():
    with Place() as place:
        metrics = trained(place, "run", 2, **{**CLIENTS, "strategy": "teasq", **ASYNC["teasq"], "val_tokens": 160})
        told = run([PROGRAM, "eval", place.file("run")])
        loss = metrics[-1]["val_loss"]
        expect(told.returncode == 0, told.stderr)
        expect(abs(float(told.stdout.split("loss ")[1].split()[0]) - loss) < 1e-5, f"{loss}: {told.stdout}")  # of six digits
        for np in ([], ["--np=2"]):
            said = run([PROGRAM, "generate", place.file("run"), "a", "--tokens=4", *np], errors="replace")
            expect(said.returncode == 0, f"{np}: {said.stderr}")


@case
def uneven_parts_of_files_can_be_trained():
    with Clients() as place:
        metrics = place.clients("fedavg", 2, partition="dirichlet:5", clients=2)
        expect(len(metrics) == 2 and metrics[0]["clients"] == 2, f"{metrics}")


# ---- what is refused ----

@case
def what_cannot_be_is_refused_with_a_reason():
    with Place() as place:
        for changes, words in (({"clients": None}, "say how many clients there are"),
                               ({"strategy": "local_sgd"}, "strategy local_sgd has none"),
                               ({"fs_size": 2, "dp_size": 1}, "leave out fs_size and tp_size"),
                               ({"partition": "by_name"}, "'by_name' is none of iid, by_file, by_label and dirichlet:A"),
                               ({"partition": "by_label"}, "tokens have no labels"),
                               ({"partition": "by_file"}, "has none of the"),
                               ({"client_speeds": "100,0"}, "client_speeds: '0'"),
                               ({"client_links": "10Mbit"}, "client_links"),
                               ({"client_speeds": ","}, "names none"),
                               ({"clock": "mine"}, "'mine' is none of virtual, real and replay:FILE"),
                               ({"clock": "real", "client_speeds": "5"}, "client_speeds and client_links are of virtual time"),
                               ({"clock": "real"}, "4 clients train at a time, each on a worker, of which there are 2"),
                               ({"strategy": "teasq", "cache_fraction": 1}, "raise client_fraction")):
            settings = {key: value for key, value in {**CLIENTS, "strategy": "fedavg", **changes}.items() if value is not None}
            done = place.train(np=2, **settings)
            expect(done.returncode != 0 and words in done.stderr, f"{changes}: {done.returncode}, {done.stderr}")


@case
def changed_speeds_cannot_go_on_where_old_versions_are_trained():
    with Place() as place:
        changes = {**CLIENTS, "strategy": "teasq", **ASYNC["teasq"]}
        trained(place, "run", 1, **changes, stop_after=5)
        done = place.train(np=1, **{**changes, "client_speeds": "150,700,1000", "seed": 5})
        expect(done.returncode != 0 and "which clients train now" in done.stderr, f"{done.returncode}: {done.stderr}")


tap()
