/*
 * What does each kernel cost at the shapes of two models? Prints time, rate, and share of what the same run
 * measured as the limit: products, attention and bases against the best gemm, the rest against triad
 * bandwidth.
 */
#include "arguments.h"

#include "base/clock.h"
#include "base/random.h"
#include "compute/kernels.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct model {
    const char *name;
    size_t B, T, C, NH, V;
} model;

static const model models[] = {{"C=256 T=256 NH=4 V=256 B=16", 16, 256, 256, 4, 256},
                               {"C=768 T=1024 NH=6 V=50304 B=1", 1, 1024, 768, 6, 50304}};

/* Everything a kernel may want, filled with small numbers. */
typedef struct bench {
    dn_stream *s;
    model model;
    size_t N;                     /* B * T */
    dn_attention_shape attention; /* q, k, v side by side: ld = 3 C */
    dn_buf *big[4];               /* each at least N * max(4 C, V) and 4 C * C elements */
    dn_buf *original;             /* of p */
    dn_ids *tokens;
    dn_flop_limits limits;
    double triad; /* byte/s */
} bench;

typedef void (*body)(bench *b);

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef struct seconds {
    double median, best;
} seconds;

/* Of a run, `before` not counted. */
static seconds measure(bench *b, body before, body run)
{
    enum { MOST = 31 };
    double times[MOST], start = dn_clock_s();
    int n = 0;
    run(b);
    while (n < MOST && (n < 5 || dn_clock_s() - start < 0.3)) {
        if (before)
            before(b);
        double begin = dn_clock_s();
        run(b);
        times[n++] = dn_clock_s() - begin;
    }
    qsort(times, (size_t)n, sizeof *times, ascending);
    return (seconds){times[n / 2], times[0]};
}

static void report(const bench *b, const char *name, seconds time, double flops, double bytes)
{
    double work = flops > 0 ? flops : bytes, limit = flops > 0 ? b->limits.gemm : b->triad;
    printf("  %-24s %9.3f ms (best %9.3f) %7.1f %s  %3.0f %% of %s", name, time.median * 1e3,
           time.best * 1e3, work / time.median * 1e-9, flops > 0 ? "GFLOP/s" : "GB/s   ",
           100 * work / time.median / limit, flops > 0 ? "gemm" : "triad");
    if (flops > 0)
        printf(", %3.0f %% of FMA", 100 * work / time.median / b->limits.fma);
    printf("\n");
}

#define TRIAD_N ((size_t)1 << 24)

static void triad(bench *b)
{
    b->s->kernels->axpby(b->s, b->big[0], 3, b->big[1], 0.5, TRIAD_N);
}

static void gemm_forward(bench *b)
{
    size_t C = b->model.C;
    b->s->kernels->gemm(b->s, DN_N, DN_T, b->N, 4 * C, C, 1, b->big[0], C, b->big[1], C, 0, b->big[2], 4 * C);
}

static void gemm_weight_gradient(bench *b)
{
    size_t C = b->model.C;
    b->s->kernels->gemm(b->s, DN_T, DN_N, 4 * C, C, b->N, 1, b->big[0], 4 * C, b->big[1], C, 1, b->big[2], C);
}

static void gemm_head(bench *b)
{
    const model *x = &b->model;
    b->s->kernels->gemm(b->s, DN_N, DN_T, b->N, x->V, x->C, 1, b->big[0], x->C, b->big[1], x->C, 0, b->big[2],
                        x->V);
}

static void fill_small(bench *b)
{
    for (int i = 0; i < 4; i++)
        b->s->kernels->fill(b->s, b->big[i], b->N * 4 * b->model.C, 0.01);
}

static void attention_forward(bench *b)
{
    size_t C = b->model.C;
    b->s->kernels->attention_forward(b->s, b->big[1], b->big[2], b->big[0], dn_at(b->big[0], C),
                                     dn_at(b->big[0], 2 * C), &b->attention);
}

static void attention_backward(bench *b)
{
    size_t C = b->model.C;
    dn_buf *q = b->big[0], *dq = b->big[3], *o = b->big[1], *lse = b->big[2], *d_o = dn_at(o, b->N * C);
    b->s->kernels->attention_backward(b->s, dq, dn_at(dq, C), dn_at(dq, 2 * C), d_o, q, dn_at(q, C),
                                      dn_at(q, 2 * C), o, lse, &b->attention);
}

static void embed_forward(bench *b)
{
    const dn_vocab_shard vocab = {0, b->model.V};
    b->s->kernels->embed_forward(b->s, b->big[0], b->model.C, b->big[1], 1, b->tokens, &vocab, b->N, b->model.C);
}

static void embed_backward(bench *b)
{
    const dn_vocab_shard vocab = {0, b->model.V};
    b->s->kernels->embed_backward(b->s, b->big[1], b->big[0], b->model.C, 1, b->tokens, &vocab, b->N,
                                  b->model.C);
}

static void norm_forward(bench *b)
{
    b->s->kernels->norm_forward(b->s, b->big[1], b->big[2], b->big[0], false, 1e-5, b->N, b->model.C);
}

static void norm_backward(bench *b)
{
    b->s->kernels->norm_backward(b->s, b->big[3], b->big[0], b->big[1], b->big[2], false, b->N, b->model.C);
}

static void norm_rotary_forward(bench *b)
{
    b->s->kernels->norm_rotary_forward(b->s, b->big[0], b->big[1], b->big[3], 1e-5, &b->attention);
}

static void norm_rotary_backward(bench *b)
{
    b->s->kernels->norm_rotary_backward(b->s, b->big[2], b->big[0], b->big[1], b->big[3], &b->attention);
}

static void relu2_forward(bench *b)
{
    b->s->kernels->relu2_forward(b->s, b->big[0], b->N * 4 * b->model.C);
}

static void relu2_backward(bench *b)
{
    b->s->kernels->relu2_backward(b->s, b->big[1], b->big[0], b->N * 4 * b->model.C);
}

static void fill_logits(bench *b)
{
    b->s->kernels->copy(b->s, b->big[0], b->big[1], b->N * b->model.V);
}

static void cross_entropy(bench *b)
{
    double loss = 0;
    b->s->kernels->cross_entropy(b->s, &loss, b->big[0], b->tokens, b->N, b->model.V, 1e-3);
}

static void sum_squares(bench *b)
{
    double sum;
    b->s->kernels->sum_squares(b->s, &sum, b->big[0], TRIAD_N);
}

static void adamw(bench *b)
{
    const dn_adamw_step step = {1e-3, 0.9, 0.95, 1e-8, 0.1, 0.5, 0.5, false};
    b->s->kernels->adamw(b->s, b->big[0], b->big[1], b->big[2], b->big[3], TRIAD_N, &step);
}

static void lion(bench *b)
{
    b->s->kernels->lion(b->s, b->big[0], b->big[1], b->big[2], TRIAD_N, 1e-4, 0.9, 0.95, 0.1, false);
}

static void measure_model(bench *b)
{
    const model *x = &b->model;
    double e = sizeof(dn_real), rows = (double)b->N * (double)x->C * e, C = (double)x->C, N = (double)b->N;
    double scores = (double)(x->B * x->NH) * (double)x->T * (double)x->T / 2 * C / (double)x->NH;
    printf("%s\n", x->name);
    fill_small(b);
    report(b, "gemm x W' (C to 4C)", measure(b, NULL, gemm_forward), 8 * N * C * C, 0);
    report(b, "gemm dW += dy'x", measure(b, NULL, gemm_weight_gradient), 8 * N * C * C, 0);
    report(b, "gemm head", measure(b, NULL, gemm_head), 2 * N * C * (double)x->V, 0);
    fill_small(b);
    report(b, "attention forward", measure(b, NULL, attention_forward), 4 * scores, 0);
    report(b, "attention backward (4/2)", measure(b, NULL, attention_backward), 8 * scores, 0);
    report(b, "embed forward", measure(b, NULL, embed_forward), 0, 2 * rows);
    report(b, "embed backward", measure(b, NULL, embed_backward), 0, 3 * rows);
    fill_small(b);
    report(b, "rmsnorm forward", measure(b, NULL, norm_forward), 0, 2 * rows);
    report(b, "rmsnorm backward", measure(b, NULL, norm_backward), 0, 4 * rows);
    report(b, "norm_rotary forward", measure(b, NULL, norm_rotary_forward), 0, 2 * rows);
    report(b, "norm_rotary backward", measure(b, NULL, norm_rotary_backward), 0, 3 * rows);
    report(b, "relu2 forward", measure(b, NULL, relu2_forward), 0, 8 * rows);
    report(b, "relu2 backward", measure(b, fill_small, relu2_backward), 0, 12 * rows);
    report(b, "cross entropy", measure(b, fill_logits, cross_entropy), 0, 2 * N * (double)x->V * e);
}

static void measure_vectors(bench *b)
{
    double bytes = (double)TRIAD_N * sizeof(dn_real);
    printf("vectors of 2^24\n");
    report(b, "sum of squares", measure(b, NULL, sum_squares), 0, bytes);
    report(b, "adamw", measure(b, NULL, adamw), 0, 7 * bytes);
    report(b, "lion", measure(b, NULL, lion), 0, 5 * bytes);
}

/* A batch of equal tall matrices, one behind the other; every kernel finds what the ones before it left. */
enum { TALL_MOST = 16 };

typedef struct tall_batch {
    size_t n, m, r;
    dn_row_block bands[TALL_MOST];
    const dn_wide *partials[TALL_MOST];
    dn_factoring factorings[TALL_MOST];
    dn_tall wholes[TALL_MOST];
} tall_batch;

static tall_batch now;

static void restore(bench *b)
{
    b->s->kernels->copy(b->s, b->big[0], b->original, now.n * now.m * now.r);
}

static void gram(bench *b)
{
    b->s->kernels->gram(b->s, now.bands, now.n);
}

static void factor_gram(bench *b)
{
    b->s->kernels->factor_gram(b->s, now.factorings, now.n);
}

static void sketch(bench *b)
{
    b->s->kernels->sketch(b->s, now.bands, now.n);
}

static void factor_sketch(bench *b)
{
    b->s->kernels->factor_sketch(b->s, now.factorings, now.n);
}

static void apply(bench *b)
{
    b->s->kernels->apply(b->s, now.bands, now.n);
}

static void cholesky_round(bench *b)
{
    gram(b);
    factor_gram(b);
    apply(b);
}

static void householder(bench *b)
{
    b->s->kernels->householder(b->s, now.wholes, now.n);
}

static void normalize(bench *b)
{
    b->s->kernels->normalize_columns(b->s, b->big[1], b->big[0], now.m, now.r, 1e-8, NULL);
}

static void lay_out(bench *b, size_t n, size_t m, size_t r)
{
    now = (tall_batch){.n = n, .m = m, .r = r};
    size_t partial = (dn_sketch_rows(r) + 1) * r * sizeof(double), inverse = r * r * sizeof(double);
    for (size_t i = 0; i < n; i++) {
        dn_buf *p = dn_at(b->big[0], i * m * r);
        char *small = (char *)b->big[1] + i * (partial + inverse);
        dn_wide *t = (dn_wide *)(small + partial);
        now.partials[i] = (dn_wide *)small;
        now.bands[i] = (dn_row_block){.m = m,
                                      .r = r,
                                      .rows = m,
                                      .p = p,
                                      .seed = 1,
                                      .draw = i,
                                      .partial = (dn_wide *)small,
                                      .inverse = t};
        now.factorings[i] =
            (dn_factoring){.r = r, .n_partials = 1, .partials = &now.partials[i], .inverse = t};
        now.wholes[i] = (dn_tall){.m = m, .r = r, .p = p};
    }
}

static void measure_tall(bench *b, size_t n, size_t m, size_t r)
{
    double rows = (double)(n * m), mr2 = rows * (double)(r * r), k = (double)dn_sketch_rows(r);
    double r3 = (double)n * (double)(r * r * r);
    lay_out(b, n, m, r);
    printf("%zu of %zu x %zu, a whole basis counted as 4 m r^2\n", n, m, r);
    restore(b);
    report(b, "gram", measure(b, NULL, gram), mr2, 0);
    report(b, "factor gram", measure(b, NULL, factor_gram), r3 * 2 / 3, 0);
    report(b, "apply", measure(b, restore, apply), mr2, 0);
    report(b, "gram, factor, apply", measure(b, restore, cholesky_round), 4 * mr2, 0);
    restore(b);
    report(b, "sketch", measure(b, NULL, sketch), 2 * k * rows * (double)r, 0);
    report(b, "factor sketch", measure(b, NULL, factor_sketch), 2 * k * r3 / (double)r - r3 / 3, 0);
    report(b, "householder", measure(b, restore, householder), 4 * mr2, 0);
    restore(b);
    report(b, "normalize columns", measure(b, NULL, normalize), 0,
           3 * (double)m * (double)r * sizeof(dn_real));
}

static bool allocate(bench *b, size_t elements, void **out)
{
    if (dn_device_alloc(b->s, elements * sizeof(dn_real), out) == DN_OK)
        return true;
    fprintf(stderr, "%s\n", dn_error_message());
    return false;
}

/* Token i is i * 7919 modulo the vocabulary; the tall matrix is normal draws. */
static bool prepare(bench *b, size_t n_tokens, size_t tall_elements)
{
    void *memory;
    for (int i = 0; i < 4; i++) {
        if (!allocate(b, models[1].T * models[1].V, &memory))
            return false;
        b->big[i] = memory;
    }
    int32_t *tokens = malloc(n_tokens * sizeof *tokens);
    dn_real *tall = malloc(tall_elements * sizeof *tall);
    if (!tokens || !tall || !allocate(b, n_tokens, &memory))
        return false;
    b->tokens = memory;
    for (size_t i = 0; i < n_tokens; i++)
        tokens[i] = (int32_t)(i * 7919 % 256);
    dn_random_normal(1, 1, 0, tall_elements, 1, tall);
    if (!allocate(b, tall_elements, &memory))
        return false;
    b->original = memory;
    dn_upload_ids(b->s, b->tokens, tokens, n_tokens);
    dn_upload(b->s, b->original, tall, tall_elements);
    free(tokens);
    free(tall);
    return dn_stream_sync(b->s) == DN_OK;
}

typedef struct options {
    const char *kernels;
    int n_threads;
} options;

static error_t parse(int key, char *text, struct argp_state *state)
{
    options *o = state->input;
    if (key != ARGP_KEY_ARG || state->arg_num > 1)
        return ARGP_ERR_UNKNOWN;
    if (state->arg_num == 0)
        o->n_threads = bench_integer("THREADS", text, 1, 1024);
    else
        o->kernels = text;
    return 0;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {NULL, parse, "[THREADS [KERNELS]]",
                                     "What each kernel costs at the shapes of two models: time, rate, and the share of what this "
                                     "run measured as the limit, of products or of memory.\v"
                                     "THREADS: how many work on a kernel (2). KERNELS: cpu, or one instruction set's: cpu-avx512, "
                                     "cpu-avx2, cpu-base, ref (cpu).", NULL, NULL, NULL};
    dn_blas_tune(argv);
    options o = {.kernels = "cpu", .n_threads = 2};
    bench_parse(&argp, argc, argv, &o);
    bench b = {.triad = 0};
    dn_status status = dn_stream_create(o.kernels, o.n_threads, &b.s);
    if (status == DN_ERR_ARG)
        bench_wrong("%s", dn_error_message());
    if (status != DN_OK) {
        fprintf(stderr, "bench kernels: %s\n", dn_error_message());
        return dn_status_exit(status);
    }
    if (!prepare(&b, 4096, (size_t)3072 * 192))
        return 1;
    b.limits = dn_flop_limits_measure(b.s, 0.2);
    b.triad = 3 * (double)TRIAD_N * sizeof(dn_real) / measure(&b, NULL, triad).median;
    printf("%s, %s, gemm %.1f GFLOP/s, FMA %.1f GFLOP/s, triad %.1f GB/s\n", b.s->kernels->name, dn_blas_describe(),
           b.limits.gemm * 1e-9, b.limits.fma * 1e-9, b.triad * 1e-9);
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const model *x = &models[i];
        b.model = *x;
        b.N = x->B * x->T;
        b.attention = (dn_attention_shape){
            .B = x->B, .T = x->T, .NH = x->NH, .hd = x->C / x->NH, .NKV = x->NH, .rot = x->C / x->NH, .ld = 3 * x->C};
        measure_model(&b);
    }
    measure_vectors(&b);
    measure_tall(&b, 16, 256, 64);
    measure_tall(&b, 8, 1024, 64);
    measure_tall(&b, 1, 1024, 128);
    measure_tall(&b, 4, 768, 192);
    measure_tall(&b, 1, 3072, 192);
    return 0; /* the system takes the memory back */
}
