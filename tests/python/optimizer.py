"""Optimizers from Python step as in C, bit for bit: every rule, ten steps, one process and two; and what goes wrong is said.

As a worker, optimizer.py arrays|numpy|torch does and prints what steps.c does.
"""
import array
import os
import sys

from support import PROGRAM, case, expect, need, run, run_ranks, tap

import dionode

STEPS = os.environ.get("STEPS")  # steps.c, built
ROWS, COLS, N_STEPS = 24, 16, 10
N = ROWS * COLS + COLS


def number(k, i):
    """As in steps.c."""
    h = (k * 7919 + i + 1) * 2654435761 % 2**32
    h = (h ^ (h >> 15)) * 2246822519 % 2**32
    return (h >> 8) / 2**24 - 0.5


def numbers(k):
    return array.array("f", [number(k, i) for i in range(N)])


def step_arrays(rule, comm, shaped):
    """`shaped` makes the two arrays that numbers are."""
    weights = shaped(numbers(0))
    optimizer = dionode.Optimizer(weights, lr=0, rule=rule, comm=comm, n_threads=1)
    for step in range(N_STEPS):
        optimizer.step(shaped(numbers(1 + step * comm.size + comm.rank)), lr=0.02 * (N_STEPS - step))
    return b"".join(bytes(memoryview(w)) for w in weights)


def step_plain(rule, comm):
    return step_arrays(rule, comm, lambda x: [memoryview(x[:-COLS]).cast("B").cast("f", (ROWS, COLS)), x[-COLS:]])


def step_numpy(rule, comm):
    import numpy
    return step_arrays(rule, comm, lambda x: [numpy.array(x[:-COLS]).reshape(ROWS, COLS), numpy.array(x[-COLS:])])


def step_torch(rule, comm):
    import dionode.torch
    import torch
    torch.set_num_threads(1)

    def shaped(x):
        return torch.tensor(x[:-COLS]).view(ROWS, COLS), torch.tensor(x[-COLS:])

    parameters = [torch.nn.Parameter(x) for x in shaped(numbers(0))]
    optimizer = dionode.torch.Optimizer(parameters, lr=0.2, rule=rule, comm=comm)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.02 * (N_STEPS - step) / 0.2)
    for step in range(N_STEPS):
        for p, grad in zip(parameters, shaped(numbers(1 + step * comm.size + comm.rank))):
            p.grad = grad
        optimizer.param_groups[0]["lr"] = 0.02 * (N_STEPS - step)  # the scheduler's, but for its last bit
        optimizer.step()
        schedule.step()
    return b"".join(p.detach().numpy().tobytes() for p in parameters)


WAYS = {"arrays": step_plain, "numpy": step_numpy, "torch": step_torch}


def work():
    comm = dionode.join(heap_bytes=32 << 20, deadline_s=60)
    for rule in dionode.rules():
        weights = array.array("i", WAYS[sys.argv[1]](rule, comm))
        first = weights[:]
        comm.broadcast(first)
        expect(first == weights, f"{rule}: weights of rank {comm.rank} are not rank 0's")
        if comm.rank == 0:
            print(rule, *(f"{bits % 2**32:08x}" for bits in weights), flush=True)


def expect_as_in_c(found, n_ranks):
    """found: what workers printed, a line for each rule."""
    c = run([PROGRAM, "launch", "-n", str(n_ranks), STEPS])
    expect(c.returncode == 0, c.stderr)
    expect([line.split()[0] for line in c.stdout.splitlines()] == list(dionode.rules()), f"not all rules: {c.stdout}")
    for ours, theirs in zip(map(str.split, found.splitlines()), map(str.split, c.stdout.splitlines()), strict=True):
        different = [(i, a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b]
        expect(not different, f"{theirs[0]}, {n_ranks} ranks: {len(different)} of {N} weights differ, the first (index, from "
               f"Python, from C): {different[:1]}")


def compare(way):
    expect_as_in_c(run([sys.executable, __file__, way]).stdout, 1)
    two = run_ranks(2, __file__, way)[0]
    expect_as_in_c(two, 2)
    launched = run([PROGRAM, "launch", "-n", "2", sys.executable, __file__, way])
    expect(launched.returncode == 0, launched.stderr)
    expect(launched.stdout == two, "other weights under dionode launch")


@case
def plain_arrays_step_as_in_c_with_every_rule():
    compare("arrays")


@case
def numpy_arrays_step_as_in_c_with_every_rule():
    need("numpy")
    compare("numpy")


@case
def torch_parameters_step_as_in_c_with_every_rule():
    need("torch")
    compare("torch")


def expect_error(kind, text, call):
    try:
        call()
    except kind as error:
        expect(text in str(error), f"{error}")
    else:
        expect(False, f"no {kind.__name__} that says '{text}'")


@case
def what_goes_wrong_with_arrays_is_said():
    w = array.array("f", range(8))
    optimizer = dionode.Optimizer([w], lr=0.1)
    expect_error(TypeError, "0: F64 where float32", lambda: dionode.Optimizer([array.array("d", [1])], lr=0.1))
    expect_error(TypeError, "with gaps", lambda: dionode.Optimizer([memoryview(w)[::2]], lr=0.1))
    expect_error(TypeError, "read only", lambda: dionode.Optimizer([memoryview(bytes(8)).cast("f")], lr=0.1))
    expect_error(dionode.Error, "give one of dion, muon", lambda: dionode.Optimizer([w], lr=0.1, rule="dian"))
    expect_error(ValueError, "moo: no option of dion or lion", lambda: dionode.Optimizer([w], lr=0.1, moo=1))
    expect_error(dionode.Error, "mu: 3 is not between 0 and 1", lambda: dionode.Optimizer([w], lr=0.1, mu=3))
    expect_error(ValueError, "no kind 'bias'", lambda: dionode.Optimizer([w], lr=0.1, kinds=["bias"]))
    expect_error(ValueError, "none of the parameters has one", lambda: optimizer.step([None]))
    expect_error(ValueError, "4 elements for 8", lambda: optimizer.step([w[:4]]))
    expect_error(ValueError, "missing", lambda: optimizer.load_state_dict({"steps": 1, "states": {}}))
    expect(list(w) == list(range(8)), f"errors changed weights: {w}")


@case
def states_that_are_saved_go_on_bit_for_bit():
    for rule in dionode.rules():
        results = []
        for cut in (False, True):
            w = array.array("f", [number(0, i) for i in range(ROWS * COLS)])
            matrix = memoryview(w).cast("B").cast("f", (ROWS, COLS))
            optimizer = dionode.Optimizer([matrix], lr=0.1, rule=rule, n_threads=1)
            for step in range(6):
                if cut and step == 3:
                    saved = optimizer.state_dict()
                    optimizer = dionode.Optimizer([matrix], lr=0.1, rule=rule, n_threads=1)
                    optimizer.load_state_dict(saved)
                gradient = array.array("f", [number(step + 1, i) for i in range(ROWS * COLS)])
                optimizer.step([gradient])
            results.append(bytes(w))
        expect(results[0] == results[1], f"{rule}: other weights after loading")


@case
def a_gradient_that_is_missing_leaves_its_array_as_it_is():
    a, b = array.array("f", [1] * 5), array.array("f", [1] * 5)
    optimizer = dionode.Optimizer([a, b], lr=0.1)
    optimizer.step([array.array("f", [1] * 5), None])
    expect(a[0] != 1 and list(b) == [1] * 5, f"{a} {b}")
    report = optimizer.step([array.array("f", [float("nan")] * 5)] * 2)
    expect(report.skipped and optimizer.steps == 1 and list(b) == [1] * 5, f"{report}")


@case
def torch_groups_states_and_errors():
    need("torch")
    import torch
    import dionode.torch as dt

    def model():
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Embedding(10, 8), torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 10))

    def train(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(torch.arange(10)), torch.arange(10)).backward()
            optimizer.step()
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    def make(model, **more):
        groups = dt.param_groups(model, head=model[3])
        expect([(g["kind"], [name for name, _ in g["params"]]) for g in groups] ==
               [("embedding", ["0.weight"]), ("matrix", ["1.weight"]), ("vector", ["1.bias", "3.bias"]), ("head", ["3.weight"])],
               f"{groups}")
        return dt.Optimizer(groups, lr=0.02, **more)

    import io
    for rule in dionode.rules():
        for precision in "full", "bfloat16":
            whole = model()
            expected = train(whole, make(whole, rule=rule, state_precision=precision), 6)
            first, file = model(), io.BytesIO()
            optimizer = make(first, rule=rule, state_precision=precision)
            train(first, optimizer, 3)
            torch.save([first.state_dict(), optimizer.state_dict()], file)
            file.seek(0)
            second = model()
            optimizer = make(second, rule=rule, state_precision=precision)
            weights, states = torch.load(file)
            second.load_state_dict(weights)
            optimizer.load_state_dict(states)
            found = train(second, optimizer, 3)
            expect(torch.equal(found, expected), f"{rule}, states {precision}: loaded, the weights differ by "
                   f"{(found - expected).abs().max()}")

    m = model()
    groups = [{"params": [m[1].weight], "mu": 0.5, "weight_decay": 0.0}, {"params": [m[3].weight], "rule": "adamw"}]
    optimizer = dt.Optimizer(groups, lr=0.1, mu=0.9)
    expect_error(ValueError, "nu: no option", lambda: dt.Optimizer([{"params": [m[1].weight], "nu": 1}], lr=0.1))
    expect_error(ValueError, "muon_beta2: no option", lambda: dt.Optimizer(m.parameters(), lr=0.1, muon_beta2=0.5))
    expect_error(ValueError, "none of the parameters has one", optimizer.step)
    expect_error(TypeError, "not contiguous", lambda: dt.Optimizer([torch.zeros(3, 2).T], lr=0.1))
    expect_error(TypeError, "0.weight: Tensor of torch.float64", lambda: dt.Optimizer(model().double().named_parameters(), lr=0.1))
    m[1].weight.grad = torch.ones(16, 8)
    m[1].weight.data = m[1].weight.data.clone()
    expect_error(RuntimeError, "moved in memory", optimizer.step)


if len(sys.argv) > 1:
    work()
else:
    tap()
