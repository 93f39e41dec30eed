"""Twenty steps of four replicas under every strategy that lets them step alone, in numpy float64, written from the published
rules alone, as vectors for tests/oracle/strategies.c.

    python strategies_oracle.py          computes all again
    python strategies_oracle.py NAME     the cases of that strategy alone

It keeps them at its end, from where the build takes them (vectors.py).
"""
import sys

import numpy as np

import vectors

N, STEPS, LR, MU, BETA1, BETA2, EPS, DECAY = 4, 20, 0.05, 0.9, 0.9, 0.95, 1e-8, 0.1
SHAPES = [(7, 3), (5, 4), (6, 1)]  # embedding, matrix, vector: shares of four replicas are uneven and may be empty
SIZE = sum(rows * cols for rows, cols in SHAPES)
DECAYED = np.concatenate([np.full(rows * cols, float(i == 1)) for i, (rows, cols) in enumerate(SHAPES)])

CASES = [
    ("local_sgd", {"rule": "sgd", "sync_every": 1}),
    ("local_sgd", {"rule": "sgd", "sync_every": 3}),
    ("local_sgd", {"rule": "adamw", "sync_every": 5}),
    ("diloco", {"rule": "sgd", "sync_every": 3, "outer_lr": 0.7, "outer_momentum": 0.9}),
    ("diloco", {"rule": "adamw", "sync_every": 3, "outer_lr": 0.8, "outer_momentum": 0.6}),
    ("diloco", {"rule": "adamw", "sync_every": 4, "outer_lr": None, "outer_momentum": None}),
]


def draws(seed):
    while True:
        seed = (1664525 * seed + 1013904223) % 2**32
        yield seed / 2**31 - 1


def drawn(generator):
    return np.array([next(generator) for _ in range(SIZE)])


# ---- rules, of one replica ----

def sgd(w, g, s):
    s["m"] = MU * s["m"] + g
    return (1 - LR * DECAY * DECAYED) * w - LR * s["m"]


def adamw(w, g, s):
    s["t"] += 1
    s["m"] = BETA1 * s["m"] + (1 - BETA1) * g
    s["v"] = BETA2 * s["v"] + (1 - BETA2) * g * g
    update = s["m"] / (1 - BETA1 ** s["t"]) / (np.sqrt(s["v"] / (1 - BETA2 ** s["t"])) + EPS)
    return (1 - LR * DECAY * DECAYED) * w - LR * update


RULES = {"sgd": sgd, "adamw": adamw}


# ---- strategies: weights [N, SIZE] after a step, their states, and the next weights ----

def local_sgd(w, outer, o):
    return np.repeat(w.mean(axis=0)[None], N, axis=0)


def diloco(w, outer, o):
    """The outer optimizer is Nesterov's as in PyTorch's SGD, on the mean of what the replicas moved by."""
    rounds = STEPS // o["sync_every"]
    lr, mu = (1, 0) if rounds < 100 else (0.8, 0.6) if rounds < 500 else (0.7, 0.9)
    lr = lr if o["outer_lr"] is None else o["outer_lr"]
    mu = mu if o["outer_momentum"] is None else o["outer_momentum"]
    drift = (outer["anchor"] - w).mean(axis=0)
    outer["momentum"] = mu * outer["momentum"] + drift
    outer["anchor"] = outer["anchor"] - lr * (drift + mu * outer["momentum"])
    return np.repeat(outer["anchor"][None], N, axis=0)


STRATEGIES = {"local_sgd": (local_sgd, []), "diloco": (diloco, ["anchor", "momentum"])}


def run(seed, name, o):
    strategy, states = STRATEGIES[name]
    generator = draws(seed)
    start = drawn(generator)
    steepness, centre = zip(*[(drawn(generator), drawn(generator)) for _ in range(N)])
    w = np.repeat(start[None], N, axis=0)
    outer = {"anchor": start.copy(), "momentum": np.zeros(SIZE)}
    inner = [{"m": np.zeros(SIZE), "v": np.zeros(SIZE), "t": 0} for _ in range(N)]
    for step in range(1, STEPS + 1):
        for i in range(N):
            gradient = (1.5 + steepness[i]) * (w[i] - centre[i]) + w[i] ** 3
            w[i] = RULES[o["rule"]](w[i], gradient, inner[i])
        if step % o["sync_every"] == 0:
            w = strategy(w, outer, o)
    return w.ravel(), [outer[state] for state in states]


def show(numbers):
    text = [float(x).hex() for x in numbers]
    rows = [", ".join(text[i:i + 4]) for i in range(0, len(text), 4)]
    return "(const double[]){\n" + ",\n".join(rows) + "}"


def case(seed, name, o):
    weights, states = run(seed, name, o)
    outer = ["NAN" if o.get(key) is None else repr(float(o[key])) for key in ("outer_lr", "outer_momentum")]
    return (f'{{{seed}, "{name}", "{o["rule"]}", {{{STEPS}, {o["sync_every"]}, {outer[0]}, {outer[1]}}},\n'
            + show(weights) + ",\n{" + ", ".join(show(state) for state in states) + "}},\n")


def main():
    only = sys.argv[1:2]
    cases = {seed: case(seed, name, o) for seed, (name, o) in enumerate(CASES, 1) if not only or name == only[0]}
    vectors.hold(__file__, vectors.with_cases(vectors.held(__file__), cases))


if __name__ == "__main__":
    main()

VECTORS = """
/* clang-format off */
static const oracle_case cases[] = {
{1, "local_sgd", "sgd", {20, 1, NAN, NAN},
(const double[]){
-0x1.694fd09a30e0fp-2, -0x1.60e1086bf46a8p-5, 0x1.ad28958896bb8p-4, 0x1.7f53b161ae9e1p-2,
0x1.2990c235fd821p-4, -0x1.9160b9773bf20p-3, 0x1.b7f79128eae75p-2, -0x1.814eedf8af67bp-3,
-0x1.5e717fb155a86p-2, -0x1.1edfaa90174ecp-3, -0x1.38e3720939983p-4, 0x1.eac732052670dp-4,
0x1.07a6909e49512p-2, 0x1.8a63579c16b88p-5, -0x1.d4f9b718b4b87p-2, 0x1.797e1db09b568p-2,
0x1.ced6dc88a5400p-3, -0x1.7b8692d93cff2p-2, 0x1.9c3685682d401p-2, 0x1.144a7ddc796d7p-2,
-0x1.6e0c8943e0740p-2, -0x1.ff127d31d46efp-3, 0x1.f29b5bfbe0399p-2, -0x1.e55487e958ec2p-3,
-0x1.0fedbf8c57204p-4, 0x1.1db145a98bb5ep-2, 0x1.d1c817c727d72p-5, 0x1.0ff530b3d7b36p-4,
0x1.969b9bb7ea616p-3, 0x1.02ead259ceb0cp-3, 0x1.c3676b3587894p-6, -0x1.e905ef3425f7bp-3,
-0x1.ff59b398ffad0p-3, 0x1.9b0b8acd2c99ep-4, -0x1.304061e7665dep-2, 0x1.b8da821f75e2cp-3,
0x1.ad1dffac52aaep-4, 0x1.9d18205e19e01p-2, -0x1.f24be9b0d5e6cp-2, 0x1.0f42b2a3f403cp-3,
0x1.8a0ee5e72c9cep-4, 0x1.f627edacbe61cp-3, -0x1.156fcb437f380p-10, 0x1.4cfda159c2f01p-3,
0x1.e42e29937f005p-5, -0x1.6354d824ac9a0p-4, 0x1.9998ed2ecb4d4p-2, -0x1.694fd09a30e0fp-2,
-0x1.60e1086bf46a8p-5, 0x1.ad28958896bb8p-4, 0x1.7f53b161ae9e1p-2, 0x1.2990c235fd821p-4,
-0x1.9160b9773bf20p-3, 0x1.b7f79128eae75p-2, -0x1.814eedf8af67bp-3, -0x1.5e717fb155a86p-2,
-0x1.1edfaa90174ecp-3, -0x1.38e3720939983p-4, 0x1.eac732052670dp-4, 0x1.07a6909e49512p-2,
0x1.8a63579c16b88p-5, -0x1.d4f9b718b4b87p-2, 0x1.797e1db09b568p-2, 0x1.ced6dc88a5400p-3,
-0x1.7b8692d93cff2p-2, 0x1.9c3685682d401p-2, 0x1.144a7ddc796d7p-2, -0x1.6e0c8943e0740p-2,
-0x1.ff127d31d46efp-3, 0x1.f29b5bfbe0399p-2, -0x1.e55487e958ec2p-3, -0x1.0fedbf8c57204p-4,
0x1.1db145a98bb5ep-2, 0x1.d1c817c727d72p-5, 0x1.0ff530b3d7b36p-4, 0x1.969b9bb7ea616p-3,
0x1.02ead259ceb0cp-3, 0x1.c3676b3587894p-6, -0x1.e905ef3425f7bp-3, -0x1.ff59b398ffad0p-3,
0x1.9b0b8acd2c99ep-4, -0x1.304061e7665dep-2, 0x1.b8da821f75e2cp-3, 0x1.ad1dffac52aaep-4,
0x1.9d18205e19e01p-2, -0x1.f24be9b0d5e6cp-2, 0x1.0f42b2a3f403cp-3, 0x1.8a0ee5e72c9cep-4,
0x1.f627edacbe61cp-3, -0x1.156fcb437f380p-10, 0x1.4cfda159c2f01p-3, 0x1.e42e29937f005p-5,
-0x1.6354d824ac9a0p-4, 0x1.9998ed2ecb4d4p-2, -0x1.694fd09a30e0fp-2, -0x1.60e1086bf46a8p-5,
0x1.ad28958896bb8p-4, 0x1.7f53b161ae9e1p-2, 0x1.2990c235fd821p-4, -0x1.9160b9773bf20p-3,
0x1.b7f79128eae75p-2, -0x1.814eedf8af67bp-3, -0x1.5e717fb155a86p-2, -0x1.1edfaa90174ecp-3,
-0x1.38e3720939983p-4, 0x1.eac732052670dp-4, 0x1.07a6909e49512p-2, 0x1.8a63579c16b88p-5,
-0x1.d4f9b718b4b87p-2, 0x1.797e1db09b568p-2, 0x1.ced6dc88a5400p-3, -0x1.7b8692d93cff2p-2,
0x1.9c3685682d401p-2, 0x1.144a7ddc796d7p-2, -0x1.6e0c8943e0740p-2, -0x1.ff127d31d46efp-3,
0x1.f29b5bfbe0399p-2, -0x1.e55487e958ec2p-3, -0x1.0fedbf8c57204p-4, 0x1.1db145a98bb5ep-2,
0x1.d1c817c727d72p-5, 0x1.0ff530b3d7b36p-4, 0x1.969b9bb7ea616p-3, 0x1.02ead259ceb0cp-3,
0x1.c3676b3587894p-6, -0x1.e905ef3425f7bp-3, -0x1.ff59b398ffad0p-3, 0x1.9b0b8acd2c99ep-4,
-0x1.304061e7665dep-2, 0x1.b8da821f75e2cp-3, 0x1.ad1dffac52aaep-4, 0x1.9d18205e19e01p-2,
-0x1.f24be9b0d5e6cp-2, 0x1.0f42b2a3f403cp-3, 0x1.8a0ee5e72c9cep-4, 0x1.f627edacbe61cp-3,
-0x1.156fcb437f380p-10, 0x1.4cfda159c2f01p-3, 0x1.e42e29937f005p-5, -0x1.6354d824ac9a0p-4,
0x1.9998ed2ecb4d4p-2, -0x1.694fd09a30e0fp-2, -0x1.60e1086bf46a8p-5, 0x1.ad28958896bb8p-4,
0x1.7f53b161ae9e1p-2, 0x1.2990c235fd821p-4, -0x1.9160b9773bf20p-3, 0x1.b7f79128eae75p-2,
-0x1.814eedf8af67bp-3, -0x1.5e717fb155a86p-2, -0x1.1edfaa90174ecp-3, -0x1.38e3720939983p-4,
0x1.eac732052670dp-4, 0x1.07a6909e49512p-2, 0x1.8a63579c16b88p-5, -0x1.d4f9b718b4b87p-2,
0x1.797e1db09b568p-2, 0x1.ced6dc88a5400p-3, -0x1.7b8692d93cff2p-2, 0x1.9c3685682d401p-2,
0x1.144a7ddc796d7p-2, -0x1.6e0c8943e0740p-2, -0x1.ff127d31d46efp-3, 0x1.f29b5bfbe0399p-2,
-0x1.e55487e958ec2p-3, -0x1.0fedbf8c57204p-4, 0x1.1db145a98bb5ep-2, 0x1.d1c817c727d72p-5,
0x1.0ff530b3d7b36p-4, 0x1.969b9bb7ea616p-3, 0x1.02ead259ceb0cp-3, 0x1.c3676b3587894p-6,
-0x1.e905ef3425f7bp-3, -0x1.ff59b398ffad0p-3, 0x1.9b0b8acd2c99ep-4, -0x1.304061e7665dep-2,
0x1.b8da821f75e2cp-3, 0x1.ad1dffac52aaep-4, 0x1.9d18205e19e01p-2, -0x1.f24be9b0d5e6cp-2,
0x1.0f42b2a3f403cp-3, 0x1.8a0ee5e72c9cep-4, 0x1.f627edacbe61cp-3, -0x1.156fcb437f380p-10,
0x1.4cfda159c2f01p-3, 0x1.e42e29937f005p-5, -0x1.6354d824ac9a0p-4, 0x1.9998ed2ecb4d4p-2},
{}},
{2, "local_sgd", "sgd", {20, 3, NAN, NAN},
(const double[]){
0x1.434d2d7fddd3fp-1, 0x1.927bdaafd8554p-1, 0x1.20f3e030dc92ep-3, -0x1.b81dce7206aa4p-4,
-0x1.eb37ab4f38543p-3, -0x1.22a09e5226f24p-3, -0x1.e98da424dc9cdp-2, 0x1.ac2ddcdd6a5e4p-2,
-0x1.46553671034a2p-3, 0x1.d429a9e270d1ep-3, 0x1.10a4343127acep-2, 0x1.002568d048226p-3,
0x1.9b6b473797ad6p-3, 0x1.51ea4df59e29dp-4, -0x1.21c0f88f674c0p-3, 0x1.47229ea15f77ap-3,
-0x1.0db73d389a104p+0, -0x1.198056110b388p-2, 0x1.a20966974b488p-2, 0x1.99df51df56a82p-2,
0x1.c2766b49b9008p-4, -0x1.42c3f5dcc7089p-1, 0x1.d2100f4c10975p-3, 0x1.dfdbcaa329c87p-3,
-0x1.e117a9d2dec7cp-1, 0x1.82b5183015f50p-7, -0x1.56f0370d38968p-5, -0x1.086d71bd9c7bep-2,
-0x1.71c4c2e1cff6ap-5, 0x1.2759f23cffbaep-1, 0x1.c0772f3b0a1efp-4, 0x1.0fe0a17ca6520p-2,
-0x1.3fe288755d898p-3, 0x1.ac77725f87017p-4, 0x1.4eb48da7160ccp-1, 0x1.12fbd243a9e4dp-1,
0x1.4a227326d65a3p-3, 0x1.549d1515e8b14p-2, 0x1.ed6db95dd1766p-5, 0x1.5351c1421e548p-1,
-0x1.7120fdc4426a4p-2, -0x1.2cc6e57893a44p-4, -0x1.73a6ef2363acfp-1, -0x1.e7a2388e5a2b0p-5,
-0x1.9dc699f6c74f2p-1, 0x1.6b5b7704e8d28p-2, 0x1.1db57309bbe5cp-5, 0x1.27ec1d6d437f1p-2,
-0x1.d2c2d0714f401p-2, -0x1.4a8e7bc138e48p-1, -0x1.29d8dfe9d8b32p-1, 0x1.28f6e0f1d2e18p-1,
0x1.961e9080313a0p-2, -0x1.0e35bf9939a39p-1, -0x1.13ca42702cd48p-3, 0x1.54e3aa049e323p-2,
0x1.203dc79f38456p-1, -0x1.143a818453676p-2, 0x1.0916ad4418e7ep-1, -0x1.7b8384a054c29p-3,
0x1.0e466a57d9658p-8, 0x1.64a533b7d6234p-2, 0x1.779d7e3c068efp-3, -0x1.e1ae3b7daeae4p-4,
-0x1.ecdadea008700p-4, 0x1.1cbfa45a03d40p-1, -0x1.f25ec6fb83544p-5, -0x1.f5bebf5487bfap-6,
-0x1.e861778c3fd6ap-3, 0x1.289234de49db5p-3, 0x1.a1752cd2cd3d2p-3, -0x1.8cf220cf72fe6p-2,
-0x1.27a6e9d986cf3p-1, -0x1.1ff49108eed6fp-2, -0x1.53b10a683c848p-1, -0x1.82e9c8ae5ef5cp-1,
0x1.7ad4bc6f9b8c0p-11, 0x1.f7d47c8f47a1fp-4, 0x1.6b9dde72b9bf4p-2, -0x1.7d57e71e15b29p-3,
0x1.cd2e659e24430p-3, 0x1.029fadd0a5182p-1, -0x1.979ecaf5dbb34p-2, -0x1.ac5c1c40ce56cp-4,
0x1.5123978bade4fp-1, 0x1.5473094fbc4edp-1, 0x1.b42eb8aefd4f3p-1, 0x1.41396c2df525cp-4,
0x1.efef6cb170160p-7, 0x1.1e4b238bbd203p-1, 0x1.496fd5587d95bp-1, -0x1.c208642a0e144p-3,
-0x1.33d2893e5012cp-1, 0x1.149e9524eb282p-1, -0x1.618c483ffa104p-2, 0x1.12e148ec51418p-1,
0x1.ae8100abd9b1ep-4, 0x1.411c3cb4aa73bp-2, -0x1.2137d7f8ff2a0p-2, -0x1.309bd8d5f3260p-5,
-0x1.757fa075ddc12p-1, 0x1.7bebb8d9bfef3p-1, 0x1.dba37426622ebp-2, 0x1.069551d647b83p-3,
-0x1.2c0889606b91fp-3, 0x1.a16ae423af8bap-6, 0x1.2d734bf5ac25dp-2, -0x1.1023f7d110814p-1,
-0x1.93c827232aaaep-3, -0x1.8d1f81fd3fec6p-5, -0x1.cd380fb8744cep-4, -0x1.6476569ffd536p-1,
0x1.889e7d315ab5ap-1, 0x1.672b2e14da200p-2, 0x1.1b2f147d2382ep-2, 0x1.f44a460e276a6p-3,
0x1.0b8e4b884015ap-1, -0x1.51214a63f0bb0p-1, 0x1.695a91a3bb712p-3, -0x1.21b0b46148c0ap-2,
-0x1.1cfd32a03fd9ap-1, -0x1.11594739859dap-3, 0x1.8e4df45608815p-1, -0x1.edc94f1602fe0p-2,
-0x1.b99c6255b495cp-5, 0x1.a6f27307f53aep-1, -0x1.85e8960755ba8p-2, 0x1.eec9f848b4ad9p-2,
0x1.5aac31bd6e4eap-1, -0x1.068dd302da7ecp-2, 0x1.40b6885f7e984p-2, 0x1.357c3e7dc3be9p-1,
-0x1.5c7df607aefe4p-2, 0x1.17ec252148044p-1, 0x1.092672e5c3fa2p-1, 0x1.670c266d7d573p-1,
0x1.5049a7ad60472p-1, -0x1.dd34973645ad8p-4, 0x1.2cab237445aecp-4, -0x1.0c191a5924b5ap-1,
0x1.ad7a9007ffacbp-1, 0x1.9566e85f79638p-1, 0x1.7102dab37de6ep-1, 0x1.d1712e82cdba2p-2,
0x1.64ccca5c302bap-1, -0x1.122da62fbf2fep-2, 0x1.15c66d25aede2p-3, -0x1.05522e72bb398p-2,
0x1.3e171c4503e76p-1, 0x1.26af09efc281ep-4, 0x1.e2d81cc7e76d3p-3, -0x1.03da97db51425p-2,
0x1.a4a36f009f8c0p-2, 0x1.0956d810a7437p-1, 0x1.c978a4f9c35e7p-1, 0x1.1b934e39fb482p-2,
0x1.9077011b2c0cfp-2, 0x1.b08070774efbap-4, 0x1.bcbb677819231p-2, 0x1.0d3a41123b626p-2,
0x1.79786630b5554p-2, 0x1.31540cf0e65cbp-5, -0x1.4dd3e6ff6b0cbp-4, -0x1.e298f0d4a5b5ap-3,
0x1.37c876ee3e21dp-2, -0x1.5d731af92e6c4p-5, 0x1.1dabe6d4173bcp-3, -0x1.14b0f634258cfp-1,
-0x1.437b31639fbf9p-1, -0x1.f76dbcc221869p-1, 0x1.2679f2cd73d64p-3, -0x1.f4760c1f8e596p-3,
0x1.1d6b1a0477736p-3, -0x1.d47fff1b67154p-2, 0x1.3427135aae306p-2, -0x1.2bf9ebf3b3269p-1,
-0x1.722108bc7945fp-1, 0x1.79f68b3f88c01p-2, 0x1.e3ce760e6e5b7p-2, 0x1.e785c60f4353dp-5,
-0x1.8480d6cf41844p-2, 0x1.00ebf55d57f86p-2, 0x1.4f263935bc64cp-1, 0x1.bc2298fee87b5p-2,
0x1.fe93b2ec6feb4p-1, 0x1.60e6c22393f02p-2, -0x1.a3d93f97ff27dp-1, -0x1.b7c022b08818cp-2},
{}},
{3, "local_sgd", "adamw", {20, 5, NAN, NAN},
(const double[]){
0x1.530ed4cef603ap-3, 0x1.9e5da55a00610p-4, 0x1.d982eabc80916p-3, 0x1.c0bc35624418ap-2,
0x1.50e3a0f2fbb0cp-5, 0x1.9c6fe83be92e9p-4, -0x1.97eff4cc1f7b0p-7, -0x1.d2e41cc8bb400p-3,
-0x1.d7866b55bcc3ap-4, 0x1.7d136df9fbecep-2, -0x1.be53c2e1d2ce0p-7, 0x1.d5f74de15ce4ap-4,
-0x1.f76e9fb70ebdbp-4, 0x1.1d2046716abfcp-2, 0x1.45cabb72c53f4p-2, -0x1.287206ce5783cp-4,
-0x1.6b360988eb5a2p-4, -0x1.d8e49868a9b39p-2, 0x1.34ac20ab7eeaap-5, 0x1.4821ab69c1329p-4,
-0x1.ddeaf0861d8c9p-3, 0x1.7b5243dc6c9dep-2, -0x1.0e39f32e42411p-1, -0x1.058e13e84cd2fp-4,
-0x1.d7a1f53bf485ep-3, 0x1.4a8c6a8ed1fa3p-4, -0x1.f4aa4b6c0505dp-3, 0x1.874e18f286ed4p-3,
-0x1.86fc4eb36cf9ap-4, 0x1.18d734b9c6512p-3, -0x1.681e94e2c12f9p-3, -0x1.72ff3e834241ep-6,
-0x1.ba59aa8cdac62p-2, -0x1.b6027083ac5e4p-2, -0x1.89ec6313ff4b4p-3, -0x1.11f0da227fbecp-1,
-0x1.09f8f7f926750p-4, -0x1.56064d33ae27ap-4, 0x1.a755841798e76p-2, -0x1.822f74c9f9419p-3,
-0x1.161fef6b757d3p-3, 0x1.2c0109632d80dp-1, 0x1.a2dad19300128p-6, 0x1.5a642a115c2fep-2,
0x1.c21b893994e0ep-2, -0x1.e081deeff4276p-2, 0x1.c6fec56077e1ap-3, 0x1.530ed4cef603ap-3,
0x1.9e5da55a00610p-4, 0x1.d982eabc80916p-3, 0x1.c0bc35624418ap-2, 0x1.50e3a0f2fbb0cp-5,
0x1.9c6fe83be92e9p-4, -0x1.97eff4cc1f7b0p-7, -0x1.d2e41cc8bb400p-3, -0x1.d7866b55bcc3ap-4,
0x1.7d136df9fbecep-2, -0x1.be53c2e1d2ce0p-7, 0x1.d5f74de15ce4ap-4, -0x1.f76e9fb70ebdbp-4,
0x1.1d2046716abfcp-2, 0x1.45cabb72c53f4p-2, -0x1.287206ce5783cp-4, -0x1.6b360988eb5a2p-4,
-0x1.d8e49868a9b39p-2, 0x1.34ac20ab7eeaap-5, 0x1.4821ab69c1329p-4, -0x1.ddeaf0861d8c9p-3,
0x1.7b5243dc6c9dep-2, -0x1.0e39f32e42411p-1, -0x1.058e13e84cd2fp-4, -0x1.d7a1f53bf485ep-3,
0x1.4a8c6a8ed1fa3p-4, -0x1.f4aa4b6c0505dp-3, 0x1.874e18f286ed4p-3, -0x1.86fc4eb36cf9ap-4,
0x1.18d734b9c6512p-3, -0x1.681e94e2c12f9p-3, -0x1.72ff3e834241ep-6, -0x1.ba59aa8cdac62p-2,
-0x1.b6027083ac5e4p-2, -0x1.89ec6313ff4b4p-3, -0x1.11f0da227fbecp-1, -0x1.09f8f7f926750p-4,
-0x1.56064d33ae27ap-4, 0x1.a755841798e76p-2, -0x1.822f74c9f9419p-3, -0x1.161fef6b757d3p-3,
0x1.2c0109632d80dp-1, 0x1.a2dad19300128p-6, 0x1.5a642a115c2fep-2, 0x1.c21b893994e0ep-2,
-0x1.e081deeff4276p-2, 0x1.c6fec56077e1ap-3, 0x1.530ed4cef603ap-3, 0x1.9e5da55a00610p-4,
0x1.d982eabc80916p-3, 0x1.c0bc35624418ap-2, 0x1.50e3a0f2fbb0cp-5, 0x1.9c6fe83be92e9p-4,
-0x1.97eff4cc1f7b0p-7, -0x1.d2e41cc8bb400p-3, -0x1.d7866b55bcc3ap-4, 0x1.7d136df9fbecep-2,
-0x1.be53c2e1d2ce0p-7, 0x1.d5f74de15ce4ap-4, -0x1.f76e9fb70ebdbp-4, 0x1.1d2046716abfcp-2,
0x1.45cabb72c53f4p-2, -0x1.287206ce5783cp-4, -0x1.6b360988eb5a2p-4, -0x1.d8e49868a9b39p-2,
0x1.34ac20ab7eeaap-5, 0x1.4821ab69c1329p-4, -0x1.ddeaf0861d8c9p-3, 0x1.7b5243dc6c9dep-2,
-0x1.0e39f32e42411p-1, -0x1.058e13e84cd2fp-4, -0x1.d7a1f53bf485ep-3, 0x1.4a8c6a8ed1fa3p-4,
-0x1.f4aa4b6c0505dp-3, 0x1.874e18f286ed4p-3, -0x1.86fc4eb36cf9ap-4, 0x1.18d734b9c6512p-3,
-0x1.681e94e2c12f9p-3, -0x1.72ff3e834241ep-6, -0x1.ba59aa8cdac62p-2, -0x1.b6027083ac5e4p-2,
-0x1.89ec6313ff4b4p-3, -0x1.11f0da227fbecp-1, -0x1.09f8f7f926750p-4, -0x1.56064d33ae27ap-4,
0x1.a755841798e76p-2, -0x1.822f74c9f9419p-3, -0x1.161fef6b757d3p-3, 0x1.2c0109632d80dp-1,
0x1.a2dad19300128p-6, 0x1.5a642a115c2fep-2, 0x1.c21b893994e0ep-2, -0x1.e081deeff4276p-2,
0x1.c6fec56077e1ap-3, 0x1.530ed4cef603ap-3, 0x1.9e5da55a00610p-4, 0x1.d982eabc80916p-3,
0x1.c0bc35624418ap-2, 0x1.50e3a0f2fbb0cp-5, 0x1.9c6fe83be92e9p-4, -0x1.97eff4cc1f7b0p-7,
-0x1.d2e41cc8bb400p-3, -0x1.d7866b55bcc3ap-4, 0x1.7d136df9fbecep-2, -0x1.be53c2e1d2ce0p-7,
0x1.d5f74de15ce4ap-4, -0x1.f76e9fb70ebdbp-4, 0x1.1d2046716abfcp-2, 0x1.45cabb72c53f4p-2,
-0x1.287206ce5783cp-4, -0x1.6b360988eb5a2p-4, -0x1.d8e49868a9b39p-2, 0x1.34ac20ab7eeaap-5,
0x1.4821ab69c1329p-4, -0x1.ddeaf0861d8c9p-3, 0x1.7b5243dc6c9dep-2, -0x1.0e39f32e42411p-1,
-0x1.058e13e84cd2fp-4, -0x1.d7a1f53bf485ep-3, 0x1.4a8c6a8ed1fa3p-4, -0x1.f4aa4b6c0505dp-3,
0x1.874e18f286ed4p-3, -0x1.86fc4eb36cf9ap-4, 0x1.18d734b9c6512p-3, -0x1.681e94e2c12f9p-3,
-0x1.72ff3e834241ep-6, -0x1.ba59aa8cdac62p-2, -0x1.b6027083ac5e4p-2, -0x1.89ec6313ff4b4p-3,
-0x1.11f0da227fbecp-1, -0x1.09f8f7f926750p-4, -0x1.56064d33ae27ap-4, 0x1.a755841798e76p-2,
-0x1.822f74c9f9419p-3, -0x1.161fef6b757d3p-3, 0x1.2c0109632d80dp-1, 0x1.a2dad19300128p-6,
0x1.5a642a115c2fep-2, 0x1.c21b893994e0ep-2, -0x1.e081deeff4276p-2, 0x1.c6fec56077e1ap-3},
{}},
{4, "diloco", "sgd", {20, 3, 0.7, 0.9},
(const double[]){
-0x1.954e7789865efp-1, 0x1.3f78db366c513p-1, -0x1.0ce26034403fcp+0, 0x1.5ccf16387665dp-2,
0x1.366140da21c42p+0, -0x1.7215bcf1b5b25p-3, 0x1.f9b6a9a379e05p-1, -0x1.446370a9a1a6ep-2,
-0x1.dda2ac2c7c920p-3, 0x1.ceb42fe975d30p-5, 0x1.953903d528078p-3, -0x1.ccb9bd58674edp-3,
0x1.559cc1202d106p-2, 0x1.a520ceae31b45p-1, 0x1.1a592835743b0p-1, -0x1.b94a34000dfe8p-8,
-0x1.eb8874a69f5cep-1, -0x1.c4aa035fcdcd4p-6, 0x1.0b491b548d509p-4, -0x1.fac96d5b98e64p-1,
-0x1.9dd567a6f8e96p-2, 0x1.b01c76e6c373cp-1, 0x1.06455629ba86ep-1, 0x1.b279aae52af43p-4,
0x1.3fdac10b4b1f8p-2, -0x1.41eab2df52180p-5, -0x1.1fd7bb396dbb1p-2, 0x1.8aa8792d9433ap-1,
-0x1.4f761e8820808p-5, 0x1.83779d4454758p-1, 0x1.760ddb67b603dp-1, 0x1.5f21c249e24d9p-2,
-0x1.08007c9eef808p+0, 0x1.c4b016d6a555ap-2, -0x1.de099fad3359ep-3, -0x1.04d2040be35a0p-1,
-0x1.978364047ab14p-1, -0x1.2b9f7eba283e6p-1, 0x1.ca749c5b2eecep-2, -0x1.ba9b089685e69p-1,
-0x1.5f5843d3aaeb8p-1, 0x1.9fcf9ea36f514p-2, 0x1.3e308dfe41ff5p-2, 0x1.97786c7a5a172p-3,
0x1.c0a2a15b20cdcp-2, -0x1.112bd6873ef91p-1, -0x1.8aec38ba5d778p-1, -0x1.60f4079924030p-1,
-0x1.0bf11e1cde002p-5, -0x1.0843c9af43aa4p-1, 0x1.0250c4692c7f0p-5, 0x1.877b5dbc708edp-2,
0x1.02910b42ea5fcp-2, 0x1.756be22f44aa4p+0, -0x1.0f765e9494393p+0, 0x1.c9f743698301cp-2,
0x1.ab83f2f06cf4cp-4, 0x1.51bcd21b4eaf4p-1, -0x1.58298f45a7779p-3, 0x1.9817a1b5d682ep-3,
0x1.5ec8b306f25fbp-1, 0x1.a34d21d189530p-5, 0x1.46933c9594e8cp-2, -0x1.59af23c44461ep-3,
-0x1.c20b8448b391ap-3, -0x1.01887fd9e280ep-1, -0x1.710c9dab15be4p-2, -0x1.4d3c56a98cb72p-3,
0x1.e030b8ef0e8d8p-1, 0x1.c9819852c6e2fp-2, -0x1.0d69b09eb14d1p-2, -0x1.a96bf4d12b14ep-2,
-0x1.f6900e25811acp-4, -0x1.5830fc6da253dp-1, 0x1.5d6c2106951efp-4, 0x1.9d818ab04034ap-1,
0x1.a29049e5c9084p-1, 0x1.c3ad5a8fa16b4p-2, 0x1.05062b77a46f1p-1, -0x1.d49f7f10e9626p-3,
0x1.5df8427a1d00cp-1, 0x1.bb53eb9f0125ep-1, -0x1.f75baf7e0a1f5p-2, -0x1.c7b549816b4b8p-2,
0x1.e1bcd994d60c6p-1, 0x1.832281d236aa0p-2, -0x1.65a98b082bd50p-2, -0x1.8247c2b3fa91cp-1,
0x1.cc743d2a4958dp-2, 0x1.3b55ff328d39ep-1, 0x1.981485109ac06p-2, 0x1.b8024d3a597e3p-1,
-0x1.2ec3978ceddd2p-1, 0x1.7410ce77fa41ep-1, 0x1.2941f1eb65328p-3, 0x1.26557f641c626p-3,
-0x1.8815084f0fcfap-1, 0x1.65285a50d2b67p-2, 0x1.3a8abdb559bc5p+0, 0x1.0982618ca8f16p-1,
0x1.b96b0640b64e2p-3, 0x1.fede89a126ef6p-3, 0x1.ecd269b84e418p-8, -0x1.d9c2fd79ff618p-3,
0x1.da8b8a0e85030p-3, -0x1.507dbb8b5aee1p-1, 0x1.531eaf75c8748p-2, -0x1.623f5babf3b14p-3,
-0x1.58b331ac952d0p-4, -0x1.25cfd038f4c84p-1, -0x1.cae2587cc6078p-4, -0x1.6b968a2da29dcp-1,
0x1.ade7a052514a9p-1, -0x1.39b03b990d3fdp-1, -0x1.a0f06bd175822p-1, 0x1.ee24110cd372ep-1,
-0x1.df25b7feb66d0p-6, -0x1.64b07c3616cd9p-1, -0x1.4b1abd8814adap-2, 0x1.9c4756b6e4298p-1,
0x1.cd777811789dfp-2, 0x1.44306ccb5996ap-1, 0x1.a0fb2a35085dep-2, -0x1.1cfd919e6b424p-1,
0x1.ce8aea2bccef4p-2, -0x1.3fffc4a8990b4p-2, -0x1.2be8f0426e029p+0, 0x1.dbf1f2e51c4d9p-1,
-0x1.49440850b7864p-2, 0x1.90137b9cedd44p-3, -0x1.0a76399763038p+0, -0x1.454420da25c3cp-2,
0x1.35834010d830ep-2, -0x1.d3d122d4a00dep-2, 0x1.34923cf6f3096p-1, 0x1.b45ace024faf2p-1,
0x1.06fcb67a95f10p+0, 0x1.1318d701dca24p-1, -0x1.d5c3007339a32p-2, -0x1.2c3e1bb0e387dp-1,
0x1.d2999bbaec961p-1, -0x1.7e64f0bccab99p-1, 0x1.9bb25a0d93950p-3, -0x1.db61dabd8fdedp-4,
0x1.e50cd4ba7b8f1p-1, 0x1.8eff5214d3006p-4, -0x1.4ec00563b54cep-3, 0x1.42f40022894b0p-4,
-0x1.e55dda5303b72p-1, 0x1.d759b60a19964p-3, 0x1.33b05ede73428p-2, 0x1.af139e001175ep-2,
-0x1.9d5fe6f1971bcp-2, 0x1.8d97d77ba76e0p-4, 0x1.e2099eb82e260p-6, -0x1.927b651f2a5dep-2,
-0x1.42aa174d348ddp-2, -0x1.ca79b2f886109p-1, -0x1.01175a8286aa9p-4, -0x1.57aa14ebb089cp-10,
-0x1.37c0b2572cf2dp+0, -0x1.2a959244d448fp-1, 0x1.3e9fd1410518cp-2, -0x1.727ca219149dap-3,
0x1.27b28015b417fp-1, -0x1.01b6daf6837a4p-4, -0x1.0ac3652b5feafp-2, -0x1.ad10985c228dep-2,
-0x1.d6c4094810a4bp-3, 0x1.33def263a9231p-2, -0x1.0e406f21453a4p-1, 0x1.0cb0ed065b79cp-3,
0x1.211e6762d2ab5p-1, 0x1.09d61e13e7c78p-3, -0x1.3a417f80674ecp-3, 0x1.232dc821a732ep-1,
-0x1.b66d136f039b2p-1, -0x1.57dcac299e32ap-1, -0x1.c463d8c6a36b8p-2, 0x1.94698c647858cp-3,
-0x1.3a7d2345a1100p-1, -0x1.eae9e8af05234p-4, -0x1.da425db16c468p-4, 0x1.9647378a555a9p-2,
0x1.61b837b86508cp-3, -0x1.45f18ab527bf0p-2, -0x1.8592290836888p-2, 0x1.4e87a0bb4032bp-2},
{(const double[]){
-0x1.34682d0f26facp-1, 0x1.ab3c461cdc688p-3, 0x1.bc302f8fd02d0p-5, 0x1.0ef70c92695d2p+0,
-0x1.6752c50da1860p-2, 0x1.a02f3ee10e54ep-4, -0x1.26987b67920c6p-1, -0x1.76986560fb9d9p-1,
0x1.85e3fbff0366dp-4, 0x1.0c61b3e0256ecp+0, 0x1.94f5ef8f07013p-1, -0x1.f4508891554dep-2,
0x1.6e9eb52d6b2cbp-2, 0x1.3e6531f9062e0p-2, 0x1.14f858e5cf73cp+0, -0x1.5cc1985ef8c8ep-4,
-0x1.d6c2147670c46p-2, -0x1.1a13c1f10558cp-3, 0x1.0dfaf6dbbd764p-8, -0x1.234a0e489e8dbp+0,
-0x1.7dfcac9adb5e9p-2, 0x1.b738c16d45ff4p-1, -0x1.bd273e96431c5p-1, -0x1.1b2fdb346129bp-2,
-0x1.5c66369ce2d61p-3, -0x1.cd0d733604917p-1, -0x1.a8f3cf840e7b5p-2, 0x1.2f95f3cb187bfp-2,
0x1.4c3929a178cb7p-2, 0x1.3e112b6e1d35ep-5, 0x1.0290592225850p-2, 0x1.1fc0886c276dcp-2,
-0x1.0f14d4616c876p+0, 0x1.a8da20366504bp-1, 0x1.7cbf6691c6465p-2, -0x1.b57fac4f333d8p-2,
-0x1.76b6f2584e7d2p+0, -0x1.5555f61bd14f4p-4, 0x1.413ced92f9befp-1, -0x1.8eb03e00c9b6dp-2,
-0x1.f9fcf7f48ae6fp-1, 0x1.16f020e6bef0cp-1, 0x1.dfeb56b04c65dp-1, -0x1.777d7f4e1ca53p-1,
0x1.27dbdf9ce380bp-3, -0x1.7a9adb39640a8p-1, 0x1.ed99998086754p-2}, (const double[]){
0x1.65ee649554433p-4, -0x1.02b0aef075be6p-5, 0x1.1fa62568878d0p-4, -0x1.3f65ad3960d2ap-1,
-0x1.3302a6acb662cp-2, 0x1.db98a7c60b47ep-3, -0x1.4449ce08d5120p-4, 0x1.3f7f4d627c8b6p-1,
-0x1.c01362b8eebe8p-4, -0x1.0934cddd7d3cap-1, -0x1.66ad897ff7ccep-1, 0x1.5d379bba0e441p-1,
-0x1.10adbad6ef490p-1, -0x1.2df488474d070p-6, -0x1.b0cd974db2bb0p-2, -0x1.40286e63064efp-3,
0x1.60da8ca798c52p-1, 0x1.c169398952c9ep-2, 0x1.6d60417cab126p-4, 0x1.e115059312167p-1,
-0x1.c85581c89228cp-6, -0x1.acee925e5adc2p-1, 0x1.ab2e429e0c97cp-3, 0x1.ba667f9b7855ap-2,
0x1.186b9e9e86394p-2, 0x1.6de29bceb780cp-3, 0x1.c24dde58dbd4cp-3, 0x1.336d082020260p-8,
0x1.01a3e04b4a88cp-6, 0x1.c7f03f18505ecp-6, 0x1.0ec2e82531bf0p-3, -0x1.0c52642d1d071p-3,
0x1.940749102fdaap-1, -0x1.7b7e788713d64p-2, -0x1.08480be0c956bp-2, 0x1.08e8e01c95140p-2,
0x1.01b08f6d590b6p+0, -0x1.4c17bc5b8339dp-5, -0x1.476abe8ae07fdp-1, 0x1.ca12abf6b3ed8p-2,
0x1.e507eb191caa3p-2, -0x1.ecc4992a42e82p-2, -0x1.1d552c9dd7fecp-1, 0x1.629c530efa500p-6,
-0x1.0adbc82ddb500p-2, 0x1.6b1c9ed718622p-4, -0x1.76a8f22e18091p-3}}},
{5, "diloco", "adamw", {20, 3, 0.8, 0.6},
(const double[]){
0x1.4c636389c7dc3p-2, 0x1.f017f15a75e1fp-2, -0x1.bddbcb49fd2f2p-2, -0x1.56555084b19f9p-1,
-0x1.6d0cac1cbb0ddp-3, -0x1.8c0068cd5a601p-2, -0x1.4fe29a095515ep-2, -0x1.2b9b7a412ac90p-4,
0x1.15d0703783ed9p-1, -0x1.367ced90aa46ep-4, -0x1.0bc86c89fe334p-4, 0x1.b2baac5e1fb5dp-2,
-0x1.4617c86f53918p-3, 0x1.66f9176e97166p-3, -0x1.23618a3ed7831p-3, -0x1.deea9a649bfc2p-3,
0x1.11b1779bb4418p-3, -0x1.4031e41fe4891p-3, -0x1.0167c0d2b1890p-1, 0x1.ccc400cff637ap-6,
-0x1.fdaf0ed73f27ap-2, -0x1.19f0cf48c7965p-2, -0x1.e984169880b40p-10, -0x1.53430fe2b8dd4p-2,
-0x1.3a13dc01f1ec6p-1, 0x1.4be4767511095p-1, -0x1.0175e60d9ea02p-1, -0x1.91b38c850d866p-3,
-0x1.2c4a1ce0bf10cp-1, 0x1.9e20175fc5fccp-1, 0x1.53b2a4af3871ep-1, -0x1.912cd0bcc6e40p-2,
-0x1.0dfdb013d8127p-2, 0x1.19d6a63bf653ep-3, -0x1.0eb7cfc462e23p-3, 0x1.cb2d6113b4e35p-2,
0x1.217927a8f6dc1p-4, -0x1.f3d6b6c0c3ae0p-4, 0x1.524e2f8e22957p-1, -0x1.99f8b18a88061p-4,
-0x1.58d98268ae20ep-1, -0x1.2f45a9ae1dd38p-2, 0x1.7e8d17a468891p-1, 0x1.4d8a9987c11a8p-1,
0x1.04694e71070e0p-2, -0x1.ac620bafa4404p-6, 0x1.aaaef72a98977p-2, 0x1.8cc80953aace2p-2,
0x1.335c80acaed29p-1, -0x1.ab8a3b3293ff3p-2, -0x1.21fa31da05857p-1, -0x1.6ebba11d97d4fp-2,
-0x1.91b092942811cp-2, -0x1.411bffffb7a19p-2, -0x1.10706cc424a1cp-3, 0x1.2805855d8415dp-1,
0x1.96eb079091802p-4, 0x1.afe698aa2dcd7p-4, 0x1.965e7d1b9eba2p-2, -0x1.5b0059deabb17p-2,
0x1.66eef26bddd21p-3, -0x1.d7a31399e169ep-4, -0x1.e1364fd9bcb02p-3, 0x1.12a5cfc6dc110p-3,
-0x1.0f1efe20e6327p-4, -0x1.3840c4a98e2fap-1, 0x1.2b00296fefd61p-3, -0x1.d590bcdc84fd4p-2,
-0x1.1549e823baf23p-2, -0x1.e73a6e3e4d360p-9, -0x1.eb553cf4229b9p-2, -0x1.f12ee6b714865p-2,
0x1.689d8dd668c0cp-1, -0x1.1209f1916b8e1p-1, -0x1.921c9a2e88a58p-3, -0x1.f63e8ef3adf17p-2,
0x1.778f17cd2b16ap-1, 0x1.8854e39557b42p-1, -0x1.a56f5ad7fc2ccp-3, -0x1.0ec7de2d0258ep-2,
0x1.43412b07997e2p-2, -0x1.0e11d0e341bdbp-3, 0x1.85a9dc65b9dc2p-2, 0x1.c90bcb3e890b8p-3,
0x1.dcc3f70636614p-6, 0x1.7a476c0a7f579p-1, -0x1.3d169049c97dep-4, -0x1.4c4f98a541f08p-1,
-0x1.aebb0fef8ffccp-4, 0x1.440af2af6786bp-1, 0x1.484157826d430p-1, 0x1.41d051357f504p-3,
0x1.1dbcacc7023c4p-4, 0x1.12c9be18e6f87p-1, 0x1.ce082d4698d6ap-3, 0x1.c9256f6cf88fbp-2,
-0x1.eb7a568cf0de2p-3, -0x1.46c97601c2098p-1, -0x1.76f8164cd96acp-2, -0x1.26524d9684e84p-1,
-0x1.15f1ed174cd08p-2, -0x1.9d3b94fcea6c5p-6, 0x1.20459e89c21f3p-1, 0x1.3a714466f7045p-4,
0x1.a3f2466763d9cp-4, 0x1.9460a44dbe1b3p-2, -0x1.6cab3264c808ap-2, 0x1.7f2f0da03061ap-2,
0x1.ff9b8ff16a638p-9, -0x1.0193de5301752p-4, -0x1.c546635eff762p-5, -0x1.0f6eede863ee4p-2,
-0x1.3ce161f67eef5p-1, 0x1.4b11b599ec1eap-3, -0x1.e6befeff942b8p-2, -0x1.3f6b9ef40e198p-4,
0x1.7e9d7d98e360ep-3, -0x1.d2c8f58eef04cp-2, -0x1.0587b55683d9ep-1, 0x1.6f50b028ee25ap-1,
-0x1.14eaa1d79ea59p-1, 0x1.dc75530cada00p-14, -0x1.3571e4ee2abf8p-1, 0x1.a5e4c0cf73cc0p-1,
0x1.48465b6c99af5p-1, -0x1.90c810668c145p-2, -0x1.230bf838d6e4bp-4, 0x1.71c063f510f09p-3,
-0x1.d885f6145a080p-12, 0x1.d47ccf4677341p-2, 0x1.1002df2e74013p-4, 0x1.a41ba6fa541b2p-6,
0x1.6bccdf59a33f7p-1, 0x1.7748a4d8b1ba8p-4, -0x1.67ee54f8f176ap-1, -0x1.90cb6f628f5d8p-4,
0x1.7fe100f1f7a62p-1, 0x1.4322e33d2ae93p-1, 0x1.347837ea36e81p-2, -0x1.b9d860b62f0a3p-4,
0x1.17854fd7d8e31p-1, 0x1.382b99e66a137p-2, 0x1.3079ce64f525ep-1, -0x1.60a99e45ebdbap-2,
-0x1.5c328391c1b79p-1, -0x1.3c114322c6a10p-2, -0x1.21422f359231ep-1, -0x1.cf22bd26e085dp-2,
0x1.eb10a6105a87ap-5, 0x1.131db7dda0378p-1, -0x1.748bd41db83d3p-6, -0x1.07dad30ee4bc7p-4,
0x1.d74a6fccd2a44p-2, -0x1.560882babf07cp-3, 0x1.7e24e573d1ac0p-2, 0x1.e4998fad1a97ep-6,
-0x1.66aed7beaf770p-3, -0x1.02a722fa2816ep-4, -0x1.f344ab0d7c63fp-4, -0x1.40a8b5bd6e298p-1,
0x1.a65a251c7a144p-5, -0x1.01dc6e0e07b13p-1, -0x1.c6b89faefcb44p-4, 0x1.84d7d7ab5f3a2p-3,
-0x1.04cb1d695049bp-1, -0x1.2b183062a57bbp-1, 0x1.8539c28481bbfp-1, -0x1.f1ea0a997ae63p-2,
0x1.54d527cb311e0p-10, -0x1.b88b295ab06f9p-2, 0x1.893945d5e8dedp-1, 0x1.7d4157006512cp-1,
-0x1.7f46310ed92dbp-2, -0x1.1f8015a1466cdp-4, 0x1.d056ea311b358p-3, -0x1.2b163d36ee380p-3,
0x1.8a8ccd8ea4a2cp-2, 0x1.f963d5cbf5f88p-3, -0x1.1d30afa97a940p-3, 0x1.453eaee40a20ep-1,
-0x1.e0892a6fd1978p-6, -0x1.5c4dadabdfa70p-1, -0x1.2b9d36f0bdeccp-2, 0x1.532845a4c2900p-1,
0x1.5f804eed2739fp-1, 0x1.4afa851872bd2p-3, -0x1.29adc3ce8bb8cp-7, 0x1.08bceb5c93a32p-1},
{(const double[]){
0x1.4aea84f95b4fcp-2, 0x1.0ee594d246f98p-1, -0x1.5a605fad174c5p-2, -0x1.37f536700970cp-1,
-0x1.1ed62be6ad214p-2, -0x1.f1f2047745f7ep-2, -0x1.7ea55d45afdaap-2, -0x1.f9e877ed044f5p-6,
0x1.0076efedecdcdp-1, 0x1.78c596e552788p-9, 0x1.4a61c2a3663f4p-6, 0x1.be3377e18b406p-2,
-0x1.0b6abd0fb77e3p-2, 0x1.199a530de0740p-2, -0x1.5dcd024ff7760p-5, -0x1.4d888316b12c7p-3,
0x1.364aebc76d24ep-5, -0x1.53595537cb848p-3, -0x1.1b9b78fcf9706p-1, 0x1.c7f9c251c02f4p-4,
-0x1.b6896fc30c632p-2, -0x1.6bd5cb6025538p-3, 0x1.71a36404e3f97p-4, -0x1.c15a742a451a7p-2,
-0x1.2b9840b7f5bc2p-1, 0x1.7fd21244de7f7p-1, -0x1.e21ec86f6ddbbp-2, -0x1.917da5117c9d5p-4,
-0x1.139502b9a13f5p-1, 0x1.8a397515b0f74p-1, 0x1.6e4d90563c5c8p-1, -0x1.3c9da0297a6e0p-2,
-0x1.5457bf3612b38p-3, 0x1.f0ee33d1c779ep-3, -0x1.8632e9b3fa3b8p-4, 0x1.d22b591d90117p-2,
0x1.2df0770613b32p-3, -0x1.30a259e888218p-5, 0x1.7753649854903p-1, 0x1.903904c083000p-14,
-0x1.46167aa1c7286p-1, -0x1.99751b6e5c333p-3, 0x1.72d8565d776d9p-1, 0x1.6e4746154849cp-1,
0x1.cdc6c628d897fp-3, -0x1.cdb73318ad928p-8, 0x1.dd243be77188ap-2}, (const double[]){
-0x1.7abe9f590ea7bp-4, 0x1.9fe668dbbdd94p-5, 0x1.9e81caaee67e3p-5, 0x1.f75c0780797d9p-3,
0x1.21306ba2d7e9ep-3, 0x1.29c3cabf705b0p-8, -0x1.d225decc311b0p-8, -0x1.e6d167c477357p-5,
-0x1.27a25909672fep-2, 0x1.ad7a07d8a3ba2p-5, -0x1.88ba8e95695c0p-4, -0x1.3591e6a39366fp-3,
0x1.4fe4164a01540p-7, 0x1.875f67536d8acp-9, -0x1.8ba7759e04a00p-5, 0x1.0a79d1d31a7f6p-3,
-0x1.2a52c088575c0p-7, 0x1.551007eef7c9ap-7, 0x1.f8f39f2c59e80p-3, -0x1.9c06be7de5e3cp-4,
0x1.24d7a3db9da0bp-2, 0x1.cf1b28d6c12bcp-9, 0x1.b61714ef363fcp-6, 0x1.d0c2c10488a2dp-4,
0x1.26090fab2ce36p-5, -0x1.431e736496ef2p-5, 0x1.1d15f0349491cp-2, -0x1.27125b08e6cacp-10,
0x1.1c3e25a8dc264p-4, -0x1.e2b85b487215fp-3, -0x1.409d62d9fb132p-3, 0x1.4c0f41c3d3410p-3,
-0x1.f714f2b890fd0p-6, -0x1.d6abd32e17c1cp-7, 0x1.270a4095d6537p-3, -0x1.4c801cad4cbdap-4,
0x1.e6959f4caaf23p-5, -0x1.270f87ce81de2p-6, -0x1.a0af211f6f4f4p-6, 0x1.922b255300246p-7,
0x1.18d590e3e71aep-2, 0x1.2db1d47cf9bffp-6, -0x1.65a131026d9ffp-4, 0x1.3b3f87f7affeep-4,
-0x1.02d06be080a43p-3, -0x1.3305dfc019f8fp-4, -0x1.f900cb49982afp-3}}},
{6, "diloco", "adamw", {20, 4, NAN, NAN},
(const double[]){
-0x1.46911770310e3p-1, -0x1.1094984ba6936p-4, -0x1.1130d4b25d3d0p-5, 0x1.14cddf8c9a135p-2,
0x1.225d95e18cac0p-4, -0x1.666ad86a99704p-4, 0x1.b27dd806d7af8p-3, -0x1.30d7128948d85p-3,
-0x1.7d29472b1c87ep-2, 0x1.f43cf66dd70b0p-7, -0x1.68b2d8cef4c26p-3, -0x1.7a755b2e80ff6p-3,
0x1.6ed1ca10e4ff2p-2, -0x1.bfc4ae6b04732p-3, -0x1.1d4eb8570ae4fp-3, 0x1.04346acc250f4p-3,
-0x1.6c1e562e3bf09p-2, -0x1.323c7e362f4d3p-1, -0x1.5e2497b66d63dp-3, 0x1.5d435a82cc558p-6,
-0x1.744e96e1c2e50p-3, 0x1.7e182335f0496p-3, -0x1.ccc0d0042b76cp-4, 0x1.366832ff4af4cp-2,
-0x1.674ca537f8380p-11, 0x1.5d1add4091888p-3, -0x1.425f62470d0eep-2, -0x1.72e4fcfbc559cp-2,
0x1.a00d964d66fb2p-4, 0x1.cf67e218985dcp-2, -0x1.ca8790aa53f48p-3, 0x1.01d660d212d88p-2,
0x1.21e49324a5114p-3, -0x1.28e2247e69ebdp-3, -0x1.c5f595d29a39fp-3, 0x1.9064956c308adp-3,
-0x1.2dc514efce700p-4, -0x1.1cf40e8e61a7bp-3, -0x1.ea8b14dd7f0c0p-3, -0x1.0566f1a41aa78p-2,
0x1.a8fc6ee413960p-4, 0x1.396bbe7e6b8dep-5, -0x1.4fc844dd3de50p-6, -0x1.41e85d78a2e31p-3,
-0x1.e84fde764a0cbp-4, -0x1.86f37db946f6ap-2, 0x1.a2aeb801b4f2dp-2, -0x1.46911770310e3p-1,
-0x1.1094984ba6936p-4, -0x1.1130d4b25d3d0p-5, 0x1.14cddf8c9a135p-2, 0x1.225d95e18cac0p-4,
-0x1.666ad86a99704p-4, 0x1.b27dd806d7af8p-3, -0x1.30d7128948d85p-3, -0x1.7d29472b1c87ep-2,
0x1.f43cf66dd70b0p-7, -0x1.68b2d8cef4c26p-3, -0x1.7a755b2e80ff6p-3, 0x1.6ed1ca10e4ff2p-2,
-0x1.bfc4ae6b04732p-3, -0x1.1d4eb8570ae4fp-3, 0x1.04346acc250f4p-3, -0x1.6c1e562e3bf09p-2,
-0x1.323c7e362f4d3p-1, -0x1.5e2497b66d63dp-3, 0x1.5d435a82cc558p-6, -0x1.744e96e1c2e50p-3,
0x1.7e182335f0496p-3, -0x1.ccc0d0042b76cp-4, 0x1.366832ff4af4cp-2, -0x1.674ca537f8380p-11,
0x1.5d1add4091888p-3, -0x1.425f62470d0eep-2, -0x1.72e4fcfbc559cp-2, 0x1.a00d964d66fb2p-4,
0x1.cf67e218985dcp-2, -0x1.ca8790aa53f48p-3, 0x1.01d660d212d88p-2, 0x1.21e49324a5114p-3,
-0x1.28e2247e69ebdp-3, -0x1.c5f595d29a39fp-3, 0x1.9064956c308adp-3, -0x1.2dc514efce700p-4,
-0x1.1cf40e8e61a7bp-3, -0x1.ea8b14dd7f0c0p-3, -0x1.0566f1a41aa78p-2, 0x1.a8fc6ee413960p-4,
0x1.396bbe7e6b8dep-5, -0x1.4fc844dd3de50p-6, -0x1.41e85d78a2e31p-3, -0x1.e84fde764a0cbp-4,
-0x1.86f37db946f6ap-2, 0x1.a2aeb801b4f2dp-2, -0x1.46911770310e3p-1, -0x1.1094984ba6936p-4,
-0x1.1130d4b25d3d0p-5, 0x1.14cddf8c9a135p-2, 0x1.225d95e18cac0p-4, -0x1.666ad86a99704p-4,
0x1.b27dd806d7af8p-3, -0x1.30d7128948d85p-3, -0x1.7d29472b1c87ep-2, 0x1.f43cf66dd70b0p-7,
-0x1.68b2d8cef4c26p-3, -0x1.7a755b2e80ff6p-3, 0x1.6ed1ca10e4ff2p-2, -0x1.bfc4ae6b04732p-3,
-0x1.1d4eb8570ae4fp-3, 0x1.04346acc250f4p-3, -0x1.6c1e562e3bf09p-2, -0x1.323c7e362f4d3p-1,
-0x1.5e2497b66d63dp-3, 0x1.5d435a82cc558p-6, -0x1.744e96e1c2e50p-3, 0x1.7e182335f0496p-3,
-0x1.ccc0d0042b76cp-4, 0x1.366832ff4af4cp-2, -0x1.674ca537f8380p-11, 0x1.5d1add4091888p-3,
-0x1.425f62470d0eep-2, -0x1.72e4fcfbc559cp-2, 0x1.a00d964d66fb2p-4, 0x1.cf67e218985dcp-2,
-0x1.ca8790aa53f48p-3, 0x1.01d660d212d88p-2, 0x1.21e49324a5114p-3, -0x1.28e2247e69ebdp-3,
-0x1.c5f595d29a39fp-3, 0x1.9064956c308adp-3, -0x1.2dc514efce700p-4, -0x1.1cf40e8e61a7bp-3,
-0x1.ea8b14dd7f0c0p-3, -0x1.0566f1a41aa78p-2, 0x1.a8fc6ee413960p-4, 0x1.396bbe7e6b8dep-5,
-0x1.4fc844dd3de50p-6, -0x1.41e85d78a2e31p-3, -0x1.e84fde764a0cbp-4, -0x1.86f37db946f6ap-2,
0x1.a2aeb801b4f2dp-2, -0x1.46911770310e3p-1, -0x1.1094984ba6936p-4, -0x1.1130d4b25d3d0p-5,
0x1.14cddf8c9a135p-2, 0x1.225d95e18cac0p-4, -0x1.666ad86a99704p-4, 0x1.b27dd806d7af8p-3,
-0x1.30d7128948d85p-3, -0x1.7d29472b1c87ep-2, 0x1.f43cf66dd70b0p-7, -0x1.68b2d8cef4c26p-3,
-0x1.7a755b2e80ff6p-3, 0x1.6ed1ca10e4ff2p-2, -0x1.bfc4ae6b04732p-3, -0x1.1d4eb8570ae4fp-3,
0x1.04346acc250f4p-3, -0x1.6c1e562e3bf09p-2, -0x1.323c7e362f4d3p-1, -0x1.5e2497b66d63dp-3,
0x1.5d435a82cc558p-6, -0x1.744e96e1c2e50p-3, 0x1.7e182335f0496p-3, -0x1.ccc0d0042b76cp-4,
0x1.366832ff4af4cp-2, -0x1.674ca537f8380p-11, 0x1.5d1add4091888p-3, -0x1.425f62470d0eep-2,
-0x1.72e4fcfbc559cp-2, 0x1.a00d964d66fb2p-4, 0x1.cf67e218985dcp-2, -0x1.ca8790aa53f48p-3,
0x1.01d660d212d88p-2, 0x1.21e49324a5114p-3, -0x1.28e2247e69ebdp-3, -0x1.c5f595d29a39fp-3,
0x1.9064956c308adp-3, -0x1.2dc514efce700p-4, -0x1.1cf40e8e61a7bp-3, -0x1.ea8b14dd7f0c0p-3,
-0x1.0566f1a41aa78p-2, 0x1.a8fc6ee413960p-4, 0x1.396bbe7e6b8dep-5, -0x1.4fc844dd3de50p-6,
-0x1.41e85d78a2e31p-3, -0x1.e84fde764a0cbp-4, -0x1.86f37db946f6ap-2, 0x1.a2aeb801b4f2dp-2},
{(const double[]){
-0x1.46911770310e3p-1, -0x1.1094984ba6936p-4, -0x1.1130d4b25d3d0p-5, 0x1.14cddf8c9a135p-2,
0x1.225d95e18cac0p-4, -0x1.666ad86a99704p-4, 0x1.b27dd806d7af8p-3, -0x1.30d7128948d85p-3,
-0x1.7d29472b1c87ep-2, 0x1.f43cf66dd70b0p-7, -0x1.68b2d8cef4c26p-3, -0x1.7a755b2e80ff6p-3,
0x1.6ed1ca10e4ff2p-2, -0x1.bfc4ae6b04732p-3, -0x1.1d4eb8570ae4fp-3, 0x1.04346acc250f4p-3,
-0x1.6c1e562e3bf09p-2, -0x1.323c7e362f4d3p-1, -0x1.5e2497b66d63dp-3, 0x1.5d435a82cc558p-6,
-0x1.744e96e1c2e50p-3, 0x1.7e182335f0496p-3, -0x1.ccc0d0042b76cp-4, 0x1.366832ff4af4cp-2,
-0x1.674ca537f8380p-11, 0x1.5d1add4091888p-3, -0x1.425f62470d0eep-2, -0x1.72e4fcfbc559cp-2,
0x1.a00d964d66fb2p-4, 0x1.cf67e218985dcp-2, -0x1.ca8790aa53f48p-3, 0x1.01d660d212d88p-2,
0x1.21e49324a5114p-3, -0x1.28e2247e69ebdp-3, -0x1.c5f595d29a39fp-3, 0x1.9064956c308adp-3,
-0x1.2dc514efce700p-4, -0x1.1cf40e8e61a7bp-3, -0x1.ea8b14dd7f0c0p-3, -0x1.0566f1a41aa78p-2,
0x1.a8fc6ee413960p-4, 0x1.396bbe7e6b8dep-5, -0x1.4fc844dd3de50p-6, -0x1.41e85d78a2e31p-3,
-0x1.e84fde764a0cbp-4, -0x1.86f37db946f6ap-2, 0x1.a2aeb801b4f2dp-2}, (const double[]){
-0x1.589e1644fe8e8p-7, 0x1.5dab792825a9ap-4, 0x1.2a410e6653938p-3, 0x1.15d7c5e663983p-4,
-0x1.2476802df336bp-6, -0x1.1aad7217df034p-4, 0x1.1c3213129c87ep-5, -0x1.63f67c3c08048p-4,
0x1.6882201c3301ap-4, 0x1.ecf502bd5a746p-4, 0x1.44410d7413000p-8, 0x1.1a205c9fd3094p-3,
-0x1.9a672d7f7130ep-5, -0x1.27d1f4369a3c2p-5, -0x1.6cd867bbfb928p-8, -0x1.635ff968f1f38p-4,
0x1.c61865746c0eap-5, 0x1.813f639c16226p-5, -0x1.a083aa76d6dbep-6, 0x1.405bd6b8b7d7bp-3,
0x1.707486ff59bb2p-5, 0x1.4195f1b822dfap-5, -0x1.a5658e89f0110p-8, 0x1.075bdbdbefeacp-7,
0x1.3b0e47c491bb8p-6, 0x1.05068cdefe704p-4, 0x1.636f26a348e98p-7, -0x1.8bbc51a800270p-7,
-0x1.106632bdb5182p-5, 0x1.a78a42916bf80p-7, 0x1.567eeff32c698p-3, 0x1.327e8583b38ecp-5,
-0x1.c3ad36e7c4e84p-4, -0x1.ae247494858eep-4, -0x1.37058ab9c6060p-8, -0x1.f154a0431accep-4,
0x1.1e69edf848910p-5, -0x1.68402eef69a3ep-4, -0x1.0ac32f18bd680p-8, 0x1.d70367fd17f50p-9,
0x1.3357bfaed0a34p-7, 0x1.9c59c6f822974p-6, 0x1.508effe75a038p-3, -0x1.4ac79383dba5ap-4,
-0x1.b85f1dab8b1a8p-7, -0x1.bd7ee4ede6c78p-8, -0x1.367be0d2bbd50p-4}}},
};
/* clang-format on */
"""
