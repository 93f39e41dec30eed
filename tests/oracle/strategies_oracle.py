"""Twenty steps of four replicas under every strategy, in numpy float64, written from the published systems alone: the vectors
in strategies/, which tests/oracle/strategies_vectors.c reads.

    python strategies_oracle.py             writes all of them again, byte for byte
    python strategies_oracle.py NAME...     those of these strategies alone

strategies_check.py holds it to what must be true of it: lossless settings, invariants, and what rounding may do.

A strategy is a class: what it exchanges, and its states. To add one: a class, its line in STRATEGIES, one case or more.

CHOICES. What the published systems leave open, or say of another setting, is decided here. An implementation follows this
table, and the documentation says that these are this project's choices.

| of | choice |
|---|---|
| a step | t counts from 0; `every H` means after the rule's step t where (t + 1) mod H = 0 |
| a parameter | what a rank holds of it: its block. So tiles, thresholds, codebooks and polar factors depend on how fs and tp cut it; here nothing is cut. Random numbers and rows that are drawn go by the whole parameter |
| a mean | sum in rank order, then divided by their number; the mean over senders is over those that sent that entry |
| wire `f32` | the numbers as the build holds them: nothing is rounded in double |
| random bits | Philox4x32-10: 64 bits of (seed, stream, index); stream = purpose * 2^32 + index of the parameter. Purposes: 1 first xi of fda, 2 its sketch, 3 pairs of noloco (parameter 0), 4 rows of replicators, 5 first Q of powersgd |
| random numbers | uniform in (-1, 1): 2 (top 53 bits + 1/2) / 2^53 - 1; normal: Box and Muller of both halves of a block; index = element of the whole parameter, row-major |
| tiles of top-k without a transform | 64 x 64 of a matrix (also embedding and head), clipped at the edges: no padding; a vector in runs of 64. k = ceil(density * entries of that tile) |
| tiles of demo | hidden matrices in C x C, C = demo_chunk (64), the rest padded with zeros; vectors and rows of embedding and head in runs of C, padded likewise. A tile sends demo_topk coefficients, a run ceil(demo_topk / C): one density for all. What falls on padding after the inverse transform is dropped |
| which k | the largest magnitudes; of equal ones the lower index (row-major in the tile). An entry that is 0 is not sent, and its replica is no sender of it, unless the density is 1: then there is no choice, and all are senders of all |
| demo, wire `sign` | +-1 travels; the sender still takes the whole coefficient out of its momentum |
| demo, `plain` | w <- w - u: the learning rate is in d already |
| demo, `muon` | hidden matrices: w <- w - lr polar(u), Newton-Schulz with Polar Express' five steps, norm * 1.02 + 1e-8, no factor for the shape; other parameters as `sign` |
| fp4 | blocks of 256 consecutive numbers of a parameter; the block's largest magnitude times 0, 2^-6 ... 1; to the nearest, halfway to the larger |
| int2 | mean m and deviation s (population) of the kept values of a parameter; bin = floor((x - (m - 3 s)) / (1.5 s)) within 0 ... 3, all in 0 if s = 0; read back as the mean of what fell into the bin |
| outer_lr, outer_momentum null | by the number of exchanges in the run, steps / sync_every: below 100 1 and 0, below 500 0.8 and 0.6, else 0.7 and 0.9 |
| streaming | fragment of a parameter: its layer mod fragments, without a layer its index mod fragments. Fragment p is sent where (t + 1) mod H = floor(p H / fragments), also the first time, when fewer than H steps lie behind it; overlap < H |
| sparseloco | alpha and outer rate 1; `demo_mean` says over whom, default senders, as the code has it |
| noloco | pairs at step t: ranks shuffled by Fisher-Yates, k = N-1 ... 1 swaps places k and bits(seed, stream, t * 65536 + k) mod (k + 1); then places 0-1, 2-3 ...; an odd one is its own pair |
| desloc | one count for all: parameters every sync_every, first moments every sync_every * first_moment_every, second likewise, null: with the first; a rule without second moments has none to average. Where a replica's second moment is 0 (a word it never met) it keeps its own first moment, 0: the others' divided by eps would throw the weight away. Second moments are averaged before first ones |
| cyclic | round j from 0; sawtooth rises from -1 to 1: 2 frac(cycles j / rounds) - 1, frac by integers; rounds = floor(steps / sync_every); `step` counts from the weights after the last exchange, as mean w - amp sawtooth (mean w - w_old): with amp 0 that is mean w, bit for bit |
| fda, linear | first xi: the uniform numbers over their norm; a sync that moves nothing keeps xi |
| fda, sketch | row r of element j: field = (bits >> 12 r) mod 4096; sign - where the field is odd, bucket = (field >> 1) mod 250; one sketch over all parameters |
| fda, decision | on the probe after the rule's step; H > theta, or H not a number |
| daso | islands are consecutive ranks. After the rule's step: take in what arrives; warm-up (the first across_warmup steps) and cool-down (the last across_cooldown): mean over islands, waited for; between: begin an exchange where S steps lie behind the last one begun, or behind warm-up. An exchange keeps the B it began with; none begins while one is in flight. One island: nothing goes across |
| daso, controller | sees, in the cycling phase alone, before that step's exchange, the mean training loss of every plateau_every steps (default 100). Better is below 0.95 of the best; the third in a row that is not better (patience 2) is a plateau: S/2, B-1 (at least 1), or from S = 1: 2 across_every and across_wait + 1; the best stays |
| dynthresh | each replica and parameter its own tau: the element floor(eta n) of |x| in rising order (from 0, at most n - 1), and 0 instead of element 0, so that eta 0 never withholds anything. d = the share that this keeps of n. Where the replicas' mean density leaves [d/4, 4d], tau is taken anew in the next step. A dense message holds the same q |
| factors | Dion of hidden matrices, rank ceil(1/4 of the shorter side), SGD of the rest; first Q normal, stream 2^62 + index of the parameter; momenta are averaged after every momentum_sync_every-th step |
| powersgd | all parameters with two sides, r = powersgd_rank where (m + n) r < m n, else in full; first Q uniform, [n, r]; the basis of a span does not matter, so orthonormalization is free |
| replicators | random: the ceil(density * rows) rows with the least bits of (t * 2^32 + row); striding: rows with row mod s = t mod s, s = round(1 / density); an element of a vector is a row. Mean over all. Default density 1/16 |
"""
import math
import os
import sys

import numpy as np

import family_oracle

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "strategies")
N, STEPS, LR, MU, BETA1, BETA2, EPS, DECAY = 4, 20, 0.05, 0.9, 0.9, 0.95, 1e-8, 0.1


# ---- arithmetic whose last bits no library chooses ----

def product(a, b):
    """[..., m, k] times [..., k, n], k in rising order."""
    total = a[..., :, 0, None] * b[..., None, 0, :]
    for k in range(1, a.shape[-1]):
        total = total + a[..., :, k, None] * b[..., None, k, :]
    return total


def mean(x):
    total = x[0]
    for i in range(1, len(x)):
        total = total + x[i]
    return total / len(x)


def dot(a, b):
    return math.fsum((a * b).ravel())


def philox(seed, stream, index):
    """Philox4x32-10 (Salmon et al. 2011): the four words of each index."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    index, wide = np.asarray(index, np.uint64), np.ones(np.shape(index), np.uint64)
    c = [index & low, index >> shift, wide * np.uint64(stream & 0xFFFFFFFF), wide * np.uint64(stream >> 32)]
    key = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        left, right = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [right >> shift ^ c[1] ^ np.uint64(key[0]), right & low, left >> shift ^ c[3] ^ np.uint64(key[1]), left & low]
        key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def bits(seed, stream, index):
    words = philox(seed, stream, index)
    return words[1] << np.uint64(32) | words[0]


def uniform(seed, stream, n):
    """In (0, 1)."""
    return ((bits(seed, stream, np.arange(n)) >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53


def symmetric(seed, stream, n):
    return 2 * uniform(seed, stream, n) - 1


def normal(seed, stream, n):
    """Box and Muller: two of each block of random words."""
    words = philox(seed, stream, np.arange(n // 2 + 1))
    u, turn = (((words[k + 1] << np.uint64(32) | words[k]) >> np.uint64(11)).astype(float) * 2.0**-53 + 2.0**-54 for k in (0, 2))
    pairs = [math.sqrt(-2 * math.log(a)) * f(2 * math.pi * b) for a, b in zip(u, turn) for f in (math.cos, math.sin)]
    return np.array(pairs[:n])


# ---- the model: strategies_vectors.c says the same in C ----

SHAPES = [(96, 80), (70, 1), (48, 64), (5, 3)]
HIDDEN, VECTOR, EMBEDDING = range(3)
KINDS = [HIDDEN, VECTOR, EMBEDDING, HIDDEN]
SIZES = [rows * cols for rows, cols in SHAPES]
ENDS = np.cumsum(SIZES)
SIZE = int(ENDS[-1])
IS_HIDDEN = np.concatenate([np.full(size, float(kind == HIDDEN)) for size, kind in zip(SIZES, KINDS)])
MODEL_SEED, TURN = 2024, 101


def parts(x):
    """The parameters in x [SIZE]: views of their shapes."""
    return [x[end - size:end].reshape(shape) for shape, size, end in zip(SHAPES, SIZES, ENDS)]


def joined(matrices):
    return np.concatenate([m.ravel() for m in matrices])


def used(replica):
    """Words that this replica meets; the last twelve of the embedding are met by none."""
    mask = [np.ones(shape) for shape in SHAPES]
    rows = np.arange(SHAPES[EMBEDDING][0])
    mask[EMBEDDING] *= ((rows < 36) & ((rows + replica) % 3 != 0))[:, None]
    return joined(mask)


START = symmetric(MODEL_SEED, 0, SIZE)
PROBE = symmetric(MODEL_SEED, 1, SIZE)
PROBE = np.where(PROBE < 0, PROBE - 0.5, PROBE + 0.5)
SLOPE = [0.5 + uniform(MODEL_SEED, 2 + 2 * i, SIZE) for i in range(N)]
CENTRE = [symmetric(MODEL_SEED, 3 + 2 * i, SIZE) for i in range(N)]
USED = [used(i) for i in range(N)]


def gradients(w, t):
    return [USED[i] * (SLOPE[i] * (w[i] - CENTRE[i]) + 0.25 * np.roll(CENTRE[i], -TURN * (t + 1))) for i in range(len(w))]


# ---- rules ----

class Sgd:
    def __init__(self, n, mu=MU):
        self.mu, self.m, self.v = mu, np.zeros((n, SIZE)), None

    def step(self, w, g):
        self.m = self.mu * self.m + g
        return (1 - LR * DECAY * IS_HIDDEN) * w - LR * self.m


class AdamW:
    def __init__(self, n):
        self.t, self.m, self.v = 0, np.zeros((n, SIZE)), np.zeros((n, SIZE))

    def step(self, w, g):
        self.t += 1
        self.m = BETA1 * self.m + (1 - BETA1) * np.array(g)
        self.v = BETA2 * self.v + (1 - BETA2) * np.array(g) * np.array(g)
        update = self.m / (1 - BETA1**self.t) / (np.sqrt(self.v / (1 - BETA2**self.t)) + EPS)
        return (1 - LR * DECAY * IS_HIDDEN) * w - LR * update


def orthonormal(a):
    """Gram-Schmidt, twice."""
    a = a.copy()
    for j in range(a.shape[1]):
        for _ in range(2):
            for i in range(j):
                a[:, j] -= dot(a[:, i], a[:, j]) * a[:, i]
        a[:, j] /= math.sqrt(dot(a[:, j], a[:, j]))
    return a


class Dion:
    """Dion (2504.05295), in replicas each with a momentum of its own, whose factors P and R are averaged: the same to all of them
    as if gradients were. SGD of what is not a hidden matrix, of which the gradients are to be the mean."""

    def __init__(self, n, fraction=0.25, seed=7):
        self.scalar, self.m, self.n = Sgd(n), np.zeros((n, SIZE)), n
        self.q = [self.first(seed, p, fraction) if kind == HIDDEN else None for p, kind in enumerate(KINDS)]

    @staticmethod
    def first(seed, p, fraction):
        r = math.ceil(fraction * min(SHAPES[p]))
        return normal(seed, (1 << 62) + p, min(SHAPES[p]) * r).reshape(-1, r)

    def step(self, w, g):
        self.m = self.m + np.array(g)
        stepped = self.scalar.step(w, g)
        for p, (rows, cols) in enumerate(SHAPES):
            if KINDS[p] != HIDDEN:
                continue
            m = [parts(self.m[i])[p] for i in range(self.n)]
            turned = [x.T if rows < cols else x for x in m]
            basis = orthonormal(mean([product(x, self.q[p]) for x in turned]))
            r = mean([product(x.T, basis) for x in turned])
            self.q[p] = r / (np.array([math.sqrt(dot(column, column)) for column in r.T]) + EPS)
            captured, update = product(basis, r.T), product(basis, self.q[p].T)
            if rows < cols:
                captured, update = captured.T, update.T
            for i in range(self.n):
                m[i][:] = m[i] - (1 - MU) * captured
                parts(stepped[i])[p][:] = (1 - LR * DECAY) * parts(w[i])[p] - LR * math.sqrt(rows / cols) * update
        self.m = self.m * IS_HIDDEN
        return stepped


RULES = {"sgd": Sgd, "adamw": AdamW, "dion": Dion, "sgd_plain": lambda n: Sgd(n, mu=0.0)}


# ---- codecs ----

def tiles(x):
    """Views of x [rows, cols] in tiles of 64 x 64, clipped at the edges."""
    return [x[i:i + 64, j:j + 64] for i in range(0, x.shape[0], 64) for j in range(0, x.shape[1], 64)]


def largest(x, k):
    """Mask of the k largest magnitudes of x, ties to the lower index, zeros never."""
    flat = np.abs(x).ravel()
    mask = np.zeros(flat.size, bool)
    mask[np.argsort(-flat, kind="stable")[:k]] = True
    return (mask & (flat > 0)).reshape(x.shape)


def topk(x, density):
    mask = np.zeros(x.shape, bool)
    for tile, kept in zip(tiles(x), tiles(mask)):
        kept[:] = largest(tile, math.ceil(density * tile.size))
    return mask


def fp4(x):
    """E3M0 of a parameter."""
    levels = np.array([0.0] + [2.0**-e for e in range(6, -1, -1)])
    flat, out = x.ravel(), np.zeros(x.size)
    for i in range(0, x.size, 256):
        block = flat[i:i + 256]
        scale = np.abs(block).max()
        share = np.abs(block) / scale if scale > 0 else np.zeros(block.size)
        nearest = levels[np.searchsorted((levels[1:] + levels[:-1]) / 2, share, side="right")]
        out[i:i + 256] = np.sign(block) * nearest * scale
    return out.reshape(x.shape)


def int2(values):
    """Two bits for the kept values of a parameter."""
    if not values.size:
        return values
    centre = math.fsum(values) / values.size
    deviation = math.sqrt(math.fsum((values - centre)**2) / values.size)
    width = 1.5 * deviation
    bins = np.clip(np.floor((values - (centre - 3 * deviation)) / width), 0, 3) if width > 0 else np.zeros(values.size)
    out = np.zeros(values.size)
    for b in range(4):
        if (bins == b).any():
            out[bins == b] = math.fsum(values[bins == b]) / (bins == b).sum()
    return out


WIRES = {"f32": lambda x: x, "fp4": lambda x: joined([fp4(part) for part in parts(x)])}


def merged(values, masks, over):
    """Mean of what was sent: over all replicas, or entry by entry over those that sent it."""
    total, count = np.zeros_like(values[0]), np.zeros(values[0].shape)
    for value, mask in zip(values, masks):
        total, count = total + np.where(mask, value, 0), count + mask
    return total / (np.maximum(count, 1) if over == "senders" else len(values))


# ---- strategies that average gradients, by whatever means: before the rule's step ----

class Average:
    """The rule steps on the mean gradient."""
    defaults = {"rule": "sgd"}
    states = []
    lossless, lossless_rule, lossless_replicas = [{}], "sgd", [N]  # settings under which it is this; its rule then; with how many
    equal = "always"  # when replicas have the same weights: or "synced", after every sync_every steps, or "sometimes"

    def __init__(self, o, n=N):
        self.o, self.n, self.rule = {**self.defaults, **o}, n, RULES[{**self.defaults, **o}["rule"]](n)
        self.begin()

    def begin(self):
        pass

    def step(self, w, g, t, loss):
        return self.rule.step(w, np.repeat(self.exchange(g, t)[None], self.n, axis=0))

    def exchange(self, g, t):
        return mean(g)


class Factors(Average):
    """Dion's factors are averaged; momenta, each replica's own, every so many steps."""
    defaults = {"rule": "dion", "momentum_sync_every": 100, "seed": 7}
    states = ["dion.momentum"]
    lossless_rule = "dion"

    def step(self, w, g, t, loss):
        g = np.where(IS_HIDDEN > 0, g, mean(g))
        w = self.rule.step(w, g)
        if (t + 1) % self.o["momentum_sync_every"] == 0:
            self.rule.m = np.repeat(mean(self.rule.m)[None], self.n, axis=0)
        return w

    @property
    def momentum(self):
        return self.rule.m


class Dynthresh(Average):
    """Dynamic communication thresholding (2010.08899)."""
    defaults = {"rule": "sgd", "threshold_every": 1000, "threshold_quantile": 0.99}
    states = ["residual"]
    lossless = [{"threshold_quantile": 0}]

    def begin(self):
        self.residual = np.zeros((self.n, SIZE))
        self.tau = np.zeros((self.n, len(SHAPES)))
        self.stale = [True] * len(SHAPES)

    def exchange(self, g, t):
        x = np.array(g) + self.residual
        q = np.zeros_like(x)
        for p in range(len(SHAPES)):
            kept = 0
            rank = min(math.floor(self.o["threshold_quantile"] * SIZES[p]), SIZES[p] - 1)
            for i in range(self.n):
                part, out = parts(x[i])[p], parts(q[i])[p]
                if t % self.o["threshold_every"] == 0 or self.stale[p]:
                    self.tau[i, p] = np.sort(np.abs(part).ravel())[rank] if rank > 0 else 0
                mask = np.abs(part) >= self.tau[i, p]
                out[mask] = part[mask]
                kept += int(mask.sum())
            expected = (SIZES[p] - rank) * self.n
            self.stale[p] = not expected <= 4 * kept <= 16 * expected
        self.residual = x - q
        return mean(q)


class PowerSgd(Average):
    """PowerSGD (1905.13727), Q kept from step to step."""
    defaults = {"rule": "sgd", "powersgd_rank": 4, "seed": 7}
    states = ["residual"]
    lossless = [{"powersgd_rank": 1000}]

    def begin(self):
        self.residual, r = np.zeros((self.n, SIZE)), self.o["powersgd_rank"]
        self.q = [symmetric(self.o["seed"], (5 << 32) + p, n * r).reshape(n, r) if min(m, n) > 1 and (m + n) * r < m * n else None
                  for p, (m, n) in enumerate(SHAPES)]
        self.low_rank = np.concatenate([np.full(size, float(q is not None)) for size, q in zip(SIZES, self.q)])

    def exchange(self, g, t):
        x = np.array(g) + self.residual
        out = parts(mean(x))
        for p in range(len(SHAPES)):
            if self.q[p] is not None:
                mine = [parts(x[i])[p] for i in range(self.n)]
                basis = orthonormal(mean([product(m, self.q[p]) for m in mine]))
                self.q[p] = mean([product(m.T, basis) for m in mine])
                out[p] = product(basis, self.q[p].T)
        self.residual = (x - joined(out)) * self.low_rank
        return joined(out)


# ---- strategies that step instead of a rule ----

def cosine(size):
    """DCT-II of so many numbers, orthonormal: F [size, frequency], so that F^T x is the transform and F c its inverse."""
    return np.array([[math.sqrt((1 if k == 0 else 2) / size) * math.cos(math.pi * (2 * n + 1) * k / (2 * size)) for k in range(size)]
                     for n in range(size)])


BASES = {size: cosine(size) for size in (16, 32, 64, 128)}


def padded(x, kind, size=64):
    """x [rows, cols] as tiles [.., size, size] of a hidden matrix, as runs [.., size] of anything else."""
    if kind == HIDDEN:
        full = np.zeros((-(-x.shape[0] // size) * size, -(-x.shape[1] // size) * size))
        full[:x.shape[0], :x.shape[1]] = x
        return full.reshape(full.shape[0] // size, size, -1, size).swapaxes(1, 2).copy()
    rows = x.reshape(1, -1) if kind == VECTOR else x
    full = np.zeros((rows.shape[0], -(-rows.shape[1] // size) * size))
    full[:, :rows.shape[1]] = rows
    return full.reshape(rows.shape[0], -1, size)


def unpadded(x, kind, shape):
    if kind == HIDDEN:
        return x.swapaxes(1, 2).reshape(x.shape[0] * x.shape[-1], -1)[:shape[0], :shape[1]]
    rows = x.reshape(x.shape[0], -1)
    return (rows[0, :shape[0]] if kind == VECTOR else rows[:, :shape[1]]).reshape(shape)


def transformed(x, kind):
    F = BASES[x.shape[-1]]
    return product(product(F.T, x), F) if kind == HIDDEN else product(x, F)


def restored(c, kind):
    F = BASES[c.shape[-1]]
    return product(product(F, c), F.T) if kind == HIDDEN else product(c, F.T)


def polar(u):
    """Newton-Schulz with the steps of Polar Express (2505.16932), the short side first."""
    if u.shape[0] > u.shape[1]:
        return polar(u.T).T
    factor, triples = family_oracle.SETS["POLAR_EXPRESS"]
    x = u / (factor * math.sqrt(dot(u, u)) + EPS)
    for a, b, c in triples:
        gram = product(x, x.T)
        x = a * x + b * product(gram, x) + c * product(gram, product(gram, x))
    return x


class Demo(Average):
    """Decoupled momentum (2411.19870)."""
    defaults = {"demo_topk": 32, "demo_chunk": 64, "demo_beta": 0.999, "demo_update": "sign", "demo_mean": "senders", "wire": "f32"}
    states = ["momentum"]
    lossless = [{"demo_topk": size**2, "demo_chunk": size, "demo_update": "plain", "demo_mean": over}
                for size, over in ((64, "senders"), (64, "all"), (16, "senders"))]
    lossless_rule = "sgd_plain"  # the momentum is the strategy's own, and when all of it is sent nothing is left

    def __init__(self, o, n=N):
        self.o, self.n, self.momentum = {**self.defaults, **o}, n, np.zeros((n, SIZE))

    def step(self, w, g, t, loss):
        self.momentum = self.o["demo_beta"] * self.momentum + LR * np.array(g)
        u = joined([self.exchange(p, t) for p in range(len(SHAPES))])
        return (1 - LR * DECAY * IS_HIDDEN) * w - self.moved(u)

    def exchange(self, p, t):
        """The replicas' common u of parameter p; what was sent leaves their momenta."""
        kind, values, masks = KINDS[p], [], []
        for i in range(self.n):
            d = parts(self.momentum[i])[p]
            c = transformed(padded(d, kind, self.o["demo_chunk"]), kind)
            masks.append(self.chosen(c, kind))
            q = np.where(masks[i], c, 0)
            values.append(np.sign(q) if self.o["wire"] == "sign" else q)
            d -= unpadded(restored(q, kind), kind, d.shape)
        over = self.o["demo_mean"] if self.o["demo_topk"] < self.o["demo_chunk"]**2 else "all"
        return unpadded(restored(merged(values, masks, over), kind), kind, SHAPES[p])

    def chosen(self, c, kind):
        size = self.o["demo_chunk"]
        k = self.o["demo_topk"] if kind == HIDDEN else math.ceil(self.o["demo_topk"] / size)
        numbers = size**2 if kind == HIDDEN else size
        return np.array([largest(tile, k) for tile in c.reshape(-1, numbers)]).reshape(c.shape)

    def moved(self, u):
        if self.o["demo_update"] == "plain":
            return u
        muon = self.o["demo_update"] == "muon"
        return LR * joined([polar(part) if muon and kind == HIDDEN else np.sign(part) for part, kind in zip(parts(u), KINDS)])


class Replicators(Demo):
    """DeMo's momentum by rows that all replicas choose alike (DeToNATION, 2502.06728)."""
    defaults = {"replicator": "random", "density": 1 / 16, "demo_beta": 0.999, "demo_update": "sign", "seed": 7}
    lossless = [{"replicator": "full", "demo_update": "plain"}]

    def exchange(self, p, t):
        rows = self.rows(p, t)
        d = [parts(self.momentum[i])[p] for i in range(self.n)]
        u = np.zeros(SHAPES[p])
        u[rows] = mean([x[rows] for x in d])
        for x in d:
            x[rows] = 0
        return u

    def rows(self, p, t):
        n = SHAPES[p][0]
        if self.o["replicator"] == "striding":
            stride = round(1 / self.o["density"])
            return np.arange(t % stride, n, stride)
        key = bits(self.o["seed"], (4 << 32) + p, (t << 32) + np.arange(n))
        count = n if self.o["replicator"] == "full" else math.ceil(self.o["density"] * n)
        return np.argsort(key, kind="stable")[:count]


# ---- strategies that let each replica step alone, and exchange weights ----

class LocalSgd(Average):
    """Weights are averaged every H steps (1805.09767)."""
    defaults = {"rule": "sgd", "sync_every": 30}
    lossless = [{"sync_every": 1}]
    equal = "synced"

    def begin(self):
        self.anchor = START.copy()
        self.momentum = np.zeros(SIZE)

    def step(self, w, g, t, loss):
        return self.exchange(self.rule.step(w, g), t)

    def exchange(self, w, t):
        return self.sync(w, t) if (t + 1) % self.o["sync_every"] == 0 else w

    def sync(self, w, t):
        return self.everywhere(mean(w))

    def everywhere(self, x):
        return np.repeat(x[None], self.n, axis=0)


class Cyclic(LocalSgd):
    """Cyclic aggregation (2210.16520)."""
    defaults = {"rule": "sgd", "sync_every": 30, "cycle_amplitude": 0.01, "cycles": 10, "cycle_form": "step"}
    lossless = [{"sync_every": 1, "cycle_amplitude": 0, "cycle_form": form} for form in ("step", "scale")]

    def sync(self, w, t):
        rounds, j = STEPS // self.o["sync_every"], (t + 1) // self.o["sync_every"] - 1
        sawtooth = 2 * (self.o["cycles"] * j % rounds) / rounds - 1
        less = self.o["cycle_amplitude"] * sawtooth  # the cyclic rate is 1 - less
        if self.o["cycle_form"] == "scale":
            return self.everywhere((1 - less) * mean(w))
        self.anchor = mean(w) - less * (mean(w) - self.anchor)
        return self.everywhere(self.anchor)


class DiLoCo(LocalSgd):
    """DiLoCo (2311.08105): Nesterov's outer step, as PyTorch's SGD has it."""
    defaults = {"rule": "sgd", "sync_every": 30, "outer_lr": None, "outer_momentum": None}
    states = ["anchor", "momentum"]
    lossless = [{"sync_every": 1, "outer_lr": 1, "outer_momentum": 0}]

    def outer(self):
        rounds = STEPS // self.o["sync_every"]
        lr, mu = (1, 0) if rounds < 100 else (0.8, 0.6) if rounds < 500 else (0.7, 0.9)
        return (lr if self.o["outer_lr"] is None else self.o["outer_lr"],
                mu if self.o["outer_momentum"] is None else self.o["outer_momentum"])

    def sync(self, w, t):
        lr, mu = self.outer()
        d = self.anchor - mean(w)
        self.momentum = mu * self.momentum + d
        self.anchor = self.anchor - lr * (d + mu * self.momentum)
        return self.everywhere(self.anchor)


class Streaming(DiLoCo):
    """Streaming DiLoCo (2501.18512): fragments by turns, their merge delayed."""
    defaults = {"rule": "sgd", "sync_every": 30, "fragments": 2, "overlap": 0, "mix": 0.5, "wire": "f32",
                "outer_lr": 0.4, "outer_momentum": 0.9}
    lossless = [{**DiLoCo.lossless[0], "overlap": 0, "mix": 0, "wire": "f32"}]
    equal = "sometimes"

    def begin(self):
        super().begin()
        self.flying = []  # (step at which it arrives, fragment, mean delta)

    def exchange(self, w, t):
        every, fragments = self.o["sync_every"], self.o["fragments"]
        for p in range(fragments):
            if (t + 1) % every == p * every // fragments:
                delta = mean([WIRES[self.o["wire"]](self.anchor - w[i]) for i in range(self.n)])
                self.flying.append((t + self.o["overlap"], p, delta))
        for arrives, p, delta in self.flying:
            if arrives == t:
                w = self.arrive(w, p, delta)
        self.flying = [f for f in self.flying if f[0] > t]
        return w

    def arrive(self, w, fragment, d):
        (lr, mu), mix = self.outer(), self.o["mix"]
        mine = np.concatenate([np.full(size, p % self.o["fragments"] == fragment) for p, size in enumerate(SIZES)])
        self.momentum = np.where(mine, mu * self.momentum + d, self.momentum)
        self.anchor = np.where(mine, self.anchor - lr * (d + mu * self.momentum), self.anchor)
        return np.where(mine, mix * w + (1 - mix) * self.anchor, w)


class SparseLoCo(LocalSgd):
    """SparseLoCo (2508.15706): the largest of what is owed, two bits each."""
    defaults = {"rule": "sgd", "sync_every": 30, "density": 0.0156, "feedback": 0.95, "wire": "f32", "demo_mean": "senders"}
    states = ["anchor", "residual"]
    lossless = [{"sync_every": 1, "density": 1, "wire": "f32", "demo_mean": over} for over in ("senders", "all")]

    def begin(self):
        super().begin()
        self.residual = np.zeros((self.n, SIZE))

    def sync(self, w, t):
        self.residual = self.o["feedback"] * self.residual + (self.anchor - w)
        sent, masks = zip(*[self.encoded(e) for e in self.residual])
        self.residual = self.residual - np.array(sent)
        self.anchor = self.anchor - merged(sent, masks, self.o["demo_mean"] if self.o["density"] < 1 else "all")
        return self.everywhere(self.anchor)

    def encoded(self, e):
        masks = [topk(part, self.o["density"]) for part in parts(e)]
        sent = [np.zeros(shape) for shape in SHAPES]
        for part, mask, out in zip(parts(e), masks, sent):
            out[mask] = int2(part[mask]) if self.o["wire"] == "int2" else part[mask]
        return joined(sent), joined(masks)


class NoLoCo(LocalSgd):
    """NoLoCo (2506.10911): random pairs, no collective."""
    defaults = {"rule": "sgd", "sync_every": 50, "outer_lr": 0.7, "outer_momentum": 0.5, "seed": 7}
    states = ["anchor", "momentum"]
    lossless, lossless_replicas = DiLoCo.lossless, [1, 2]
    equal = "sometimes"

    def begin(self):
        self.anchor = self.everywhere(START)
        self.momentum = np.zeros((self.n, SIZE))

    def pairs(self, t):
        ranks = list(range(self.n))
        for k in range(self.n - 1, 0, -1):
            j = int(bits(self.o["seed"], 3 << 32, (t << 16) + k)) % (k + 1)
            ranks[k], ranks[j] = ranks[j], ranks[k]
        return [sorted(ranks[k:k + 2]) for k in range(0, self.n, 2)]

    def sync(self, w, t):
        lr, mu, old, m = self.o["outer_lr"], self.o["outer_momentum"], self.anchor, self.momentum.copy()
        for pair in self.pairs(t):
            for i in pair:
                m[i] = mu * m[i] + lr * mean(w[pair] - old[pair]) + lr * (mean(old[pair]) - old[i])
        self.momentum, self.anchor = m, old + m
        return self.anchor


class DesLoc(LocalSgd):
    """DES-LOC (2505.22549): parameters and moments averaged at periods of their own."""
    defaults = {"rule": "adamw", "sync_every": 30, "first_moment_every": 3, "second_moment_every": None}
    lossless = [{"sync_every": 1, "first_moment_every": 1, "second_moment_every": 1}]

    def exchange(self, w, t):
        every, first = self.o["sync_every"], self.o["first_moment_every"]
        if (t + 1) % (every * (self.o["second_moment_every"] or first)) == 0 and self.rule.v is not None:
            self.rule.v = self.everywhere(mean(self.rule.v))
        if (t + 1) % (every * first) == 0:
            met = True if self.rule.v is None else self.rule.v > 0
            self.rule.m = np.where(met, self.everywhere(mean(self.rule.m)), self.rule.m)
        return super().exchange(w, t)


class Fda(LocalSgd):
    """Federated dynamic averaging (2405.20988): weights are averaged when their variance may have passed theta."""
    defaults = {"rule": "sgd", "monitor": "linear", "variance_threshold": 4e-5 * SIZE, "seed": 7}
    states = ["anchor"]
    lossless = [{"variance_threshold": 0, "monitor": monitor} for monitor in ("linear", "naive", "exact")]
    equal = "sometimes"
    ROWS, WIDTH = 5, 250

    def begin(self):
        super().begin()
        self.xi = joined([symmetric(self.o["seed"], (1 << 32) + p, size) for p, size in enumerate(SIZES)])
        self.xi = self.xi / math.sqrt(dot(self.xi, self.xi))
        hashes = np.concatenate([bits(self.o["seed"], (2 << 32) + p, np.arange(size)) for p, size in enumerate(SIZES)])
        fields = [(hashes >> np.uint64(12 * r) & np.uint64(4095)).astype(int) for r in range(self.ROWS)]
        self.signs, self.buckets = [1 - 2 * (f & 1) for f in fields], [(f >> 1) % self.WIDTH for f in fields]
        self.syncs = []

    def sketch(self, u):
        return np.array([np.bincount(b, s * u, self.WIDTH) for s, b in zip(self.signs, self.buckets)])

    def variance(self, u, monitor):
        """H of the drifts u [N, SIZE]: the variance, or a number that is not below it."""
        square = mean([dot(x, x) for x in u])
        if monitor == "naive":
            return square
        if monitor == "exact":
            return square - dot(mean(u), mean(u))
        if monitor == "linear":
            return square - mean([dot(self.xi, x) for x in u])**2
        rows = mean([self.sketch(x) for x in u])
        return square - sorted(dot(row, row) for row in rows)[self.ROWS // 2] / (1 + 1 / math.sqrt(self.WIDTH))

    def exchange(self, w, t):
        if self.variance(w - self.anchor, self.o["monitor"]) <= self.o["variance_threshold"]:
            return w
        self.syncs.append(t)
        moved = mean(w) - self.anchor
        norm = math.sqrt(dot(moved, moved))
        self.xi = moved / norm if norm > 0 else self.xi
        self.anchor = mean(w)
        return self.everywhere(self.anchor)


class Plateau:
    """DASO's controller of S, steps between exchanges, and B, steps an exchange may take."""

    def __init__(self, every, wait):
        self.start, self.S, self.B, self.best, self.worse = (every, wait), every, wait, math.inf, 0

    def see(self, loss):
        better = loss < 0.95 * self.best
        self.best, self.worse = (loss, 0) if better else (self.best, self.worse + 1)
        if self.worse > 2:
            self.worse = 0
            self.S, self.B = (self.S // 2, max(1, self.B - 1)) if self.S > 1 else (2 * self.start[0], self.start[1] + 1)


class Daso(LocalSgd):
    """DASO (2104.05588): gradients inside islands, delayed weights across."""
    defaults = {"rule": "sgd", "islands": 2, "across_every": 4, "across_wait": 1, "across_warmup": 0, "across_cooldown": 0,
                "plateau_every": 100}
    lossless = [{"islands": 1}] + [{"islands": islands, "across_every": 1, "across_wait": 0} for islands in (2, 4)]
    equal = "sometimes"

    def begin(self):
        self.controller, self.flying, self.last, self.losses = Plateau(self.o["across_every"], self.o["across_wait"]), None, -1, []

    def step(self, w, g, t, loss):
        size = self.n // self.o["islands"]
        g = [mean(g[i - i % size:i - i % size + size]) for i in range(self.n)]
        return self.across(self.rule.step(w, g), t, loss)

    def across(self, w, t, loss):
        islands, phase = self.o["islands"], "cycling"
        if islands == 1:
            return w
        if t < self.o["across_warmup"] or t >= STEPS - self.o["across_cooldown"]:
            phase = "blocking"
        if phase == "cycling":
            self.watch(loss)
        w = self.taken_in(w, t)
        if phase == "blocking":
            self.last = t
            return self.everywhere(mean(w[::self.n // islands]))
        if t - self.last >= self.controller.S and self.flying is None:
            self.last, wait = t, self.controller.B
            self.flying = (t + wait, wait, islands * mean(w[::self.n // islands]))
            return self.taken_in(w, t)
        return w

    def watch(self, loss):
        self.losses.append(loss)
        if len(self.losses) == self.o["plateau_every"]:
            self.controller.see(math.fsum(self.losses) / len(self.losses))
            self.losses = []

    def taken_in(self, w, t):
        if self.flying is None or self.flying[0] != t:
            return w
        (_, wait, total), self.flying = self.flying, None
        return (2 * wait * w + total) / (2 * wait + self.o["islands"])


STRATEGIES = {"average": Average, "factors": Factors, "local_sgd": LocalSgd, "cyclic": Cyclic, "diloco": DiLoCo, "streaming": Streaming,
              "sparseloco": SparseLoCo, "noloco": NoLoCo, "desloc": DesLoc, "fda": Fda, "daso": Daso, "demo": Demo,
              "replicators": Replicators, "dynthresh": Dynthresh, "powersgd": PowerSgd}

# What the training loss is said to be, for the strategy that looks at it: two steps of warm-up, progress, then a plateau.
LOSSES = [4.0, 3.5, 3.0, 2.9, 2.95, 2.9, 2.92, 2.91, 2.9, 2.93, 2.9, 2.88, 2.9, 2.9, 2.9, 2.89, 2.9, 2.87, 2.86, 2.85]

CASES = [
    ("average", {"rule": "sgd"}),
    ("average", {"rule": "adamw"}),
    ("factors", {}),
    ("factors", {"momentum_sync_every": 6}),
    ("local_sgd", {"rule": "sgd", "sync_every": 1}),
    ("local_sgd", {"rule": "sgd", "sync_every": 3}),
    ("local_sgd", {"rule": "adamw", "sync_every": 5}),
    ("cyclic", {"rule": "sgd", "sync_every": 2, "cycle_amplitude": 0.1, "cycles": 3, "cycle_form": "step"}),
    ("cyclic", {"rule": "adamw", "sync_every": 2, "cycle_amplitude": 0.1, "cycles": 3, "cycle_form": "scale"}),
    ("diloco", {"rule": "sgd", "sync_every": 3, "outer_lr": 0.7, "outer_momentum": 0.9}),
    ("diloco", {"rule": "adamw", "sync_every": 3, "outer_lr": 0.8, "outer_momentum": 0.6}),
    ("diloco", {"rule": "adamw", "sync_every": 4}),
    ("streaming", {"rule": "sgd", "sync_every": 4, "fragments": 2, "overlap": 0, "mix": 0.0}),
    ("streaming", {"rule": "adamw", "sync_every": 5, "fragments": 3, "overlap": 2, "mix": 0.5}),
    ("streaming", {"rule": "sgd", "sync_every": 4, "fragments": 3, "overlap": 1, "mix": 0.25, "wire": "fp4"}),
    ("sparseloco", {"rule": "sgd", "sync_every": 3}),
    ("sparseloco", {"rule": "adamw", "sync_every": 4, "density": 0.03125, "wire": "int2", "demo_mean": "all"}),
    ("noloco", {"rule": "sgd", "sync_every": 2}),
    ("noloco", {"rule": "adamw", "sync_every": 5, "seed": 11}),
    ("desloc", {"rule": "adamw", "sync_every": 2, "first_moment_every": 2, "second_moment_every": 3}),
    ("desloc", {"rule": "adamw", "sync_every": 2}),
    ("desloc", {"rule": "sgd", "sync_every": 1}),
    ("fda", {"rule": "sgd", "monitor": "linear", "variance_threshold": 400.0}),
    ("fda", {"rule": "sgd", "monitor": "sketch", "variance_threshold": 400.0}),
    ("fda", {"rule": "sgd", "monitor": "naive", "variance_threshold": 400.0}),
    ("fda", {"rule": "adamw", "monitor": "exact", "variance_threshold": 100.0}),
    ("daso", {"rule": "adamw", "islands": 2, "across_warmup": 2, "across_cooldown": 3, "plateau_every": 1}),
    ("daso", {"rule": "sgd", "islands": 4, "across_every": 3, "across_wait": 2}),
    ("daso", {"rule": "sgd", "islands": 2, "across_every": 4, "across_wait": 4, "across_cooldown": 2, "plateau_every": 1}),
    ("demo", {"demo_update": "sign"}),
    ("demo", {"demo_topk": 256, "demo_beta": 0.9, "demo_update": "plain", "demo_mean": "all"}),
    ("demo", {"demo_topk": 128, "demo_beta": 0.9, "demo_update": "muon"}),
    ("demo", {"demo_topk": 64, "demo_beta": 0.995, "wire": "sign"}),
    ("demo", {"demo_topk": 3, "demo_chunk": 16}),
    ("demo", {"demo_topk": 700, "demo_chunk": 128, "demo_update": "plain"}),
    ("replicators", {"replicator": "random"}),
    ("replicators", {"replicator": "striding", "density": 0.25, "demo_beta": 0.9, "demo_update": "plain"}),
    ("replicators", {"replicator": "full", "demo_update": "muon"}),
    ("dynthresh", {"rule": "sgd", "threshold_every": 6, "threshold_quantile": 0.9}),
    ("dynthresh", {"rule": "adamw", "threshold_every": 1000, "threshold_quantile": 0.99}),
    ("powersgd", {"rule": "sgd"}),
    ("powersgd", {"rule": "adamw", "powersgd_rank": 2}),
]


def run(name, o, n=N, rounding=0.0):
    """Yields strategy and weights [n, SIZE] after each step; rounding: size of relative errors in the gradients."""
    noise = np.random.default_rng(1)
    strategy, w = STRATEGIES[name](o, n), np.repeat(START[None], n, axis=0)
    for t in range(STEPS):
        g = [x * (1 + rounding * noise.uniform(-1, 1, SIZE)) for x in gradients(w, t)]
        w = strategy.step(w, g, t, LOSSES[t])
        yield strategy, w


def last(name, o, n=N, rounding=0.0):
    for strategy, w in run(name, o, n, rounding):
        pass
    return strategy, w


# ---- files ----

def numbers(x):
    return " ".join(float(v).hex() for v in x) + "\n"


def projections(x):
    """A number a parameter: its product with the probe."""
    return [dot(part, probe) for part, probe in zip(parts(x), parts(PROBE))]


def row_projections(x):
    return [numbers(dot(row, probe) for row, probe in zip(part, probes)) for part, probes in zip(parts(x), parts(PROBE))]


def distinct(x):
    """[N, SIZE], or one of them where all are the same."""
    x = np.atleast_2d(x)
    return x[:1] if all((other == x[0]).all() for other in x) else x


def setting(value):
    return "null" if value is None else str(value)


def case(name, o):
    lines = []
    for t, (strategy, w) in enumerate(run(name, o)):
        lines += [f"step {t} {len(distinct(w))}\n"] + [numbers(projections(x)) for x in distinct(w)]
    head = "case " + " ".join(f"{key}={setting(value)}" for key, value in strategy.o.items()) + "\n"
    head += f"losses {STEPS}\n" + numbers(LOSSES)
    lines += [f"rows {len(distinct(w))}\n"] + [line for x in distinct(w) for line in row_projections(x)]
    for state in strategy.states:
        values = np.atleast_2d(getattr(strategy, state.split(".")[-1]))
        lines += [f"state {state} {len(values)}\n"] + [numbers(projections(x)) for x in values]
    return head + "".join(lines) + "end\n"


def text(name):
    return "".join(case(other, o) for other, o in CASES if other == name)


def path(name):
    return os.path.join(FOLDER, name + ".txt")


if __name__ == "__main__":
    for each in sys.argv[1:] or STRATEGIES:
        with open(path(each), "w", encoding="utf-8") as out:
            out.write(text(each))
