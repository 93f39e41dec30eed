"""The oracle of strategies against what must be true of it, whoever computes: known answers, lossless settings, conservation,
invariants of each system, and that rounding decides nothing. Also, that the stored vectors are what it writes.
"""
import math
import os
import sys

try:
    import numpy as np
except ImportError:
    print("numpy is not installed")
    sys.exit(77)

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import strategies_oracle as oracle
from strategies_oracle import CASES, HIDDEN, KINDS, N, SHAPES, SIZE, SIZES, START, STEPS

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def close(what, got, want, bound=1e-12):
    apart = float(np.abs(np.asarray(got) - np.asarray(want)).max())
    size = max(1.0, float(np.abs(np.asarray(want)).max()))
    assert apart <= bound * size, f"{what}: {np.ravel(got)[:3]} instead of {np.ravel(want)[:3]}, apart by {apart:.3g}"


def cases_of(*names):
    return [(name, o) for name, o in CASES if name in names]


# ---- what all build on ----

@check
def philox_gives_the_known_answers():
    """Of Random123's kat_vectors."""
    words = oracle.philox(0, 0, [0])
    assert [int(w[0]) for w in words] == [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8], words
    ones = 2**64 - 1
    words = oracle.philox(ones, ones, [ones])
    assert [int(w[0]) for w in words] == [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd], words
    words = oracle.philox(0x299f31d0a4093822, 0x0370734413198a2e, [0x85a308d3243f6a88])
    assert [int(w[0]) for w in words] == [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1], words


@check
def the_cosine_transform_is_orthonormal():
    for size, F in oracle.BASES.items():
        close("F F^T", oracle.product(F, F.T), np.eye(size))


@check
def padding_is_undone():
    for kind, shape, x in zip(KINDS, SHAPES, oracle.parts(START)):
        for size in oracle.BASES:
            tiles = oracle.padded(x, kind, size)
            assert (oracle.unpadded(tiles, kind, shape) == x).all()
            close("inverse transform", oracle.restored(oracle.transformed(tiles, kind), kind), tiles)


@check
def equal_magnitudes_go_by_index_and_zeros_are_not_sent():
    assert list(oracle.largest(np.array([1.0, -2.0, 2.0, 0.0, 2.0]), 2)) == [False, True, True, False, False]
    assert list(oracle.largest(np.array([0.0, 0.0, 3.0]), 2)) == [False, False, True]
    assert not oracle.largest(np.zeros(3), 3).any()


@check
def fp4_rounds_to_its_eight_magnitudes():
    x = np.array([[1.0, 0.75, 0.7499, -0.4, 2.0**-7, -2.0**-7.01, 0.0]])
    close("E3M0", oracle.fp4(4 * x), 4 * np.array([[1.0, 1.0, 0.5, -0.5, 2.0**-6, 0.0, 0.0]]), 0)
    values = np.abs(oracle.uniform(3, 0, 100000)[None])
    rounded = oracle.fp4(values)
    known = values > 2.0**-5
    assert np.abs(rounded - values)[known].max() <= 1 / 3 and (rounded >= 0).all()


@check
def two_bits_read_back_as_means():
    x = np.array([-9.0, 0.1, 0.2, 0.3, 9.0])
    out = oracle.int2(x)
    close("mean", out.sum(), x.sum())
    assert len(set(out)) <= 4 and (oracle.int2(np.full(5, 2.0)) == 2).all()


# ---- lossless settings ----

@check
def lossless_settings_are_plain_averaging():
    for name, strategy in oracle.STRATEGIES.items():
        for n in strategy.lossless_replicas:
            want = [w for _, w in oracle.run("average", {"rule": strategy.lossless_rule}, n)]
            for o in strategy.lossless:
                rule = {"rule": strategy.lossless_rule} if "rule" in strategy.defaults else {}
                for t, (run, got) in enumerate(oracle.run(name, {**rule, **o}, n)):
                    close(f"{name} {o}", got, want[t])
                if strategy.lossless_rule == "sgd_plain":
                    close(f"what is left of the momentum of {name}", run.momentum, 0)


@check
def relabelled_replicas_do_the_same():
    """Two and two, so that islands stay; not where pairs go by rank."""
    model = oracle.SLOPE, oracle.CENTRE, oracle.USED
    swapped = [1, 0, 3, 2]
    for name, o in CASES:
        if not hasattr(oracle.STRATEGIES[name], "pairs"):
            _, want = oracle.last(name, o)
            oracle.SLOPE, oracle.CENTRE, oracle.USED = [[x[i] for i in swapped] for x in model]
            try:
                _, got = oracle.last(name, o)
            finally:
                oracle.SLOPE, oracle.CENTRE, oracle.USED = model
            close(f"{name} {o}", got[swapped], want)


@check
def all_pairs_of_sides_at_full_rank_lose_nothing():
    """PowerSGD on its low-rank way, which it would not take at this rank."""
    x = oracle.parts(START)[0]
    basis = oracle.orthonormal(oracle.product(x, oracle.symmetric(1, 0, 80 * 80).reshape(80, 80)))
    close("P P^T X", oracle.product(basis, oracle.product(basis.T, x)), x)


@check
def cyclic_without_amplitude_is_local_sgd_bit_for_bit():
    for form in "scale", "step":
        o = {"rule": "adamw", "sync_every": 3}
        _, want = oracle.last("local_sgd", o)
        _, got = oracle.last("cyclic", {**o, "cycle_amplitude": 0, "cycle_form": form})
        assert (got == want).all()


# ---- what goes in comes out, now or later ----

def drive(strategy):
    w = np.repeat(START[None], strategy.n, axis=0)
    for t in range(STEPS):
        w = strategy.step(w, oracle.gradients(w, t), t, 1.0)


class WatchedSparseLoCo(oracle.SparseLoCo):
    def sync(self, w, t):
        anchor, owed = self.anchor, oracle.mean(self.o["feedback"] * self.residual + (self.anchor - w))
        out = super().sync(w, t)
        close(f"sparseloco {self.o}", anchor - self.anchor + oracle.mean(self.residual), owed)
        return out


@check
def error_feedback_conserves():
    for _, o in cases_of("sparseloco"):
        drive(WatchedSparseLoCo({**o, "demo_mean": "all"}))
    for name, o in cases_of("dynthresh", "powersgd"):
        strategy, w = oracle.STRATEGIES[name](o), np.repeat(START[None], N, axis=0)
        for t in range(STEPS):
            g = oracle.gradients(w, t)
            owed = np.array(g) + strategy.residual
            out = strategy.exchange(g, t)
            close(f"{name} {o}", out + oracle.mean(strategy.residual), oracle.mean(owed))
            if name == "dynthresh":  # each entry is sent or kept, untouched
                assert ((strategy.residual == owed) | (strategy.residual == 0)).all()
            w = strategy.rule.step(w, np.repeat(out[None], N, axis=0))


@check
def dynthresh_keeps_its_share_when_the_threshold_is_new():
    strategy = oracle.Dynthresh({"threshold_every": 1, "threshold_quantile": 0.9})
    g = [oracle.symmetric(9, i, SIZE) for i in range(N)]
    strategy.exchange(g, 0)
    for p, size in enumerate(SIZES):
        for i in range(N):
            kept = (oracle.parts(strategy.residual[i])[p] == 0).sum()
            assert abs(kept - 0.1 * size) <= 1, (kept, size)


@check
def a_tile_is_what_is_sent_and_what_stays():
    """|d|^2 = |q|^2 + |d - q|^2, tile by tile: the transform is orthonormal, the choice a projection."""
    strategy = oracle.Demo({})
    for kind, x in zip(KINDS, oracle.parts(START)):
        d = oracle.padded(x, kind)
        c = oracle.transformed(d, kind)
        q = oracle.restored(np.where(strategy.chosen(c, kind), c, 0), kind)
        axes = (-2, -1) if kind == HIDDEN else (-1,)
        close("|d|^2", (q**2).sum(axes) + ((d - q)**2).sum(axes), (d**2).sum(axes))
        if kind == HIDDEN:
            assert (strategy.chosen(c, kind).sum(axes) == 32).all()


@check
def words_never_met_do_not_move_with_sign():
    unmet = np.array([all(not oracle.USED[i][j] for i in range(N)) for j in range(SIZE)])
    assert unmet.sum() == 12 * 64
    for name, o in cases_of("demo", "replicators"):
        _, w = oracle.last(name, o)
        assert (w[:, unmet] == START[unmet]).all(), (name, o)
        assert (w[:, ~unmet] != START[~unmet]).mean() > 0.5


# ---- what each system says of itself ----

@check
def replicas_are_equal_where_they_are_said_to_be():
    for name, o in CASES:
        when = oracle.STRATEGIES[name].equal
        for t, (strategy, w) in enumerate(oracle.run(name, o)):
            if when != "sometimes":
                equal = when == "always" or (t + 1) % strategy.o["sync_every"] == 0
                assert (len(oracle.distinct(w)) == 1) == equal, (name, o, t)


def drifts(name, o):
    """Strategy, step and drifts, before each exchange."""
    strategy, w = oracle.STRATEGIES[name](o), np.repeat(START[None], N, axis=0)
    for t in range(STEPS):
        w = strategy.rule.step(w, oracle.gradients(w, t))
        yield strategy, w - strategy.anchor
        w = strategy.exchange(w, t)


@check
def fda_monitors_are_not_below_the_variance():
    for name, o in cases_of("fda"):
        for strategy, u in drifts(name, o):
            exact = strategy.variance(u, "exact")
            assert strategy.variance(u, "linear") >= exact * (1 - 1e-12)
            assert strategy.variance(u, "naive") >= strategy.variance(u, "linear") * (1 - 1e-12)
            spread = oracle.mean([((x - oracle.mean(u))**2).sum() for x in u])
            close("variance", exact, spread)


@check
def the_sketch_measures_norms():
    """Within its eps for most vectors: median of five rows of 250."""
    strategy = oracle.Fda({"monitor": "sketch"})
    for i in range(8):
        u = oracle.symmetric(5, i, SIZE)
        rows = sorted(oracle.dot(row, row) for row in strategy.sketch(u))
        assert abs(rows[2] / oracle.dot(u, u) - 1) < 3 / math.sqrt(250), rows


@check
def fda_syncs_do_not_increase_with_theta():
    for monitor in "linear", "sketch", "naive", "exact":
        counts = [len(oracle.last("fda", {"monitor": monitor, "variance_threshold": theta})[0].syncs)
                  for theta in (0, 100, 400, 1600, 6400, math.inf)]
        assert counts == sorted(counts, reverse=True) and counts[-1] == 0 and counts[0] >= STEPS - 1, (monitor, counts)


@check
def fda_takes_no_number_for_a_reason_to_sync():
    strategy, w = oracle.Fda({"variance_threshold": math.inf}), np.repeat(START[None], N, axis=0)
    w[2, 5] = math.nan
    strategy.exchange(w, 0)
    assert strategy.syncs == [0]


@check
def noloco_keeps_the_mean_and_comes_together():
    strategy = oracle.NoLoCo({"sync_every": 1})
    strategy.anchor = np.array([oracle.symmetric(6, i, SIZE) for i in range(N)])
    before, partners = oracle.mean(strategy.anchor), set()
    for t in range(60):
        for pair in strategy.pairs(t):
            assert len(pair) == 2
            partners.add(tuple(pair))
        strategy.exchange(strategy.anchor, t)
        close("mean", oracle.mean(strategy.anchor), before)
    apart = np.abs(strategy.anchor - before).max()
    assert apart < 1e-6 and len(partners) == N * (N - 1) // 2, (apart, partners)


@check
def daso_goes_by_the_plateau():
    """A recorded list: progress, then none. The steps between exchanges halve, and start over from twice as many."""
    controller, seen = oracle.Plateau(4, 1), []
    for loss in [4.0, 3.0, 2.0] + [1.95] * 12:
        controller.see(loss)
        if not seen or seen[-1] != (controller.S, controller.B):
            seen.append((controller.S, controller.B))
    assert seen == [(4, 1), (2, 1), (1, 1), (8, 2), (4, 1)], seen
    controller = oracle.Plateau(4, 1)
    for loss in [0.9**k for k in range(40)]:
        controller.see(loss)
    assert controller.S == 4


@check
def daso_keeps_the_mean_over_islands_and_draws_them_together():
    for wait in 1, 2, 3:
        strategy = oracle.Daso({"islands": 2, "across_every": 4, "across_wait": wait, "plateau_every": 1000})
        w = np.repeat(np.array([oracle.symmetric(8, i, SIZE) for i in range(2)]), 2, axis=0)
        before, apart = oracle.mean(w), w[0] - w[2]
        for t in range(4 + wait):
            w = strategy.across(w, t, 1.0)
            close("mean over islands", oracle.mean(w), before)
            if t < 3 + wait:
                close("islands before the merge", w[0] - w[2], apart, 0)
        close("islands after the merge", w[0] - w[2], 2 * wait / (2 * wait + 2) * apart)


class WatchedStreaming(oracle.Streaming):
    def begin(self):
        super().begin()
        self.arrived = []

    def arrive(self, w, fragment, d):
        self.arrived.append(fragment)
        return super().arrive(w, fragment, d)


@check
def streaming_sends_each_fragment_once_a_round():
    for overlap, want in (0, [1, 2, 0] * 4), (2, [1, 2, 0] * 3 + [1, 2]):
        strategy = WatchedStreaming({"sync_every": 5, "fragments": 3, "overlap": overlap})
        drive(strategy)
        assert strategy.arrived == want, strategy.arrived


@check
def a_stride_sends_every_row_in_turn():
    strategy = oracle.Replicators({"replicator": "striding", "density": 0.25})
    for p, (rows, _) in enumerate(SHAPES):
        assert sorted(row for t in range(4) for row in strategy.rows(p, t)) == list(range(rows))
    strategy = oracle.Replicators({"replicator": "random", "density": 0.25})
    assert len(set(strategy.rows(0, 3))) == 24 and set(strategy.rows(0, 3)) != set(strategy.rows(0, 4))


@check
def desloc_throws_no_word_away_that_a_replica_has_not_met():
    for name, o in cases_of("desloc"):
        _, w = oracle.last(name, o)
        assert np.abs(w).max() < 3, np.abs(w).max()


# ---- the vectors ----

@check
def rounding_decides_nothing():
    """Errors of 1e-14 in every gradient, fifty times what double makes, stay below the tolerance of the vectors: no choice of
    theirs hangs on the last bits."""
    for name, o in CASES:
        for (_, want), (_, got) in zip(oracle.run(name, o), oracle.run(name, o, rounding=1e-14)):
            for x, y in zip(got, want):
                apart = np.abs(np.subtract(oracle.projections(x), oracle.projections(y)))
                assert (apart <= 1e-12 * np.sqrt(SIZES)).all(), (name, o, apart)


@check
def the_stored_vectors_are_these():
    stored = sorted(os.listdir(oracle.FOLDER))
    assert stored == sorted(name + ".txt" for name in oracle.STRATEGIES), stored
    for name in oracle.STRATEGIES:
        with open(oracle.path(name), encoding="utf-8") as file:
            assert file.read() == oracle.text(name), f"{name}: other vectors than this program writes"


def main():
    wrong = 0
    for function in CHECKS:
        try:
            function()
            print(f"ok {function.__name__}")
        except AssertionError as error:
            print(f"WRONG {function.__name__}: {error}")
            wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
