/* Attention in mixed precision, by every backend of it, against the textbook, with the bounds that rounding to bfloat16 has. */
#include "support.h"

#include "support/full.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* arrays: q k v d_o | o lse dq dk dv, with rows of ld */
enum { Q, K, V, D_O, O, LSE, DQ, DK, DV, N_ATTENTION };

static void run_attention(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->attention_forward(s, b[O], b[LSE], b[Q], b[K], b[V], context);
    s->kernels->attention_backward(s, b[DQ], b[DK], b[DV], b[D_O], b[Q], b[K], b[V], b[O], b[LSE], context);
}

/* A copy of x in bfloat16 on the device, or n numbers to come: for `from_narrow`. */
static dn_buf *to_narrow(dn_stream *s, const dn_buf *x, size_t n)
{
    void *memory;
    assert_int_equal(dn_device_alloc(s, (n + 1) * sizeof(uint16_t), &memory), DN_OK);
    s->kernels->to_bf16(s, memory, x, n);
    return dn_narrow(memory);
}

static void from_narrow(dn_stream *s, dn_buf *x, dn_buf *narrow, size_t n)
{
    s->kernels->from_bf16(s, x, dn_narrow_numbers(narrow), n);
    dn_device_free(s, dn_narrow_numbers(narrow), 0);
}

/* All but lse in bfloat16. */
static void run_narrow(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const dn_attention_shape *x = context;
    dn_buf *c[N_ATTENTION];
    for (size_t a = Q; a < N_ATTENTION; a++)
        c[a] = a == LSE ? b[a] : to_narrow(s, b[a], x->B * x->T * (a == O || a == D_O ? x->NH * x->hd : x->ld));
    run_attention(s, c, host, context);
    for (size_t a = Q; a < N_ATTENTION; a++)
        if (a != LSE)
            from_narrow(s, b[a], c[a], x->B * x->T * (a == O || a == D_O ? x->NH * x->hd : x->ld));
}

static trial attention_trial(const dn_attention_shape *x)
{
    size_t N = x->B * x->T, width = x->NH * x->hd, kv = x->NKV * x->hd;
    trial t = {.arrays = {padded_array(N, width, x->ld, 1, 1), padded_array(N, kv, x->ld, 2, 1), padded_array(N, kv, x->ld, 3, 1),
                          random_array(N * width, 4, 1), nan_array(N * width), nan_array(N * x->NH), nan_rows(N, width, x->ld),
                          nan_rows(N, kv, x->ld), nan_rows(N, kv, x->ld)},
               .n_arrays = N_ATTENTION};
    for (size_t a = Q; a <= D_O; a++)
        round_to_bf16(&t.arrays[a]);
    return t;
}

/* What an output is, and how far it may be from that. */
typedef struct expected {
    double *is, *off;
} expected;

static double dot(const dn_real *x, const dn_real *y, size_t n)
{
    double sum = 0;
    for (size_t c = 0; c < n; c++)
        sum += (double)x[c] * (double)y[c];
    return sum;
}

/* Adds w x, of which w is off by `off`. */
static void add_scaled(expected *to, size_t at, double w, double off, const dn_real *x, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        to->is[at + c] += w * (double)x[c];
        to->off[at + c] += off * fabs((double)x[c]);
    }
}

/* Adds to an output's uncertainty that of a number of bfloat16. */
static void round_output(expected *out, size_t at, size_t n)
{
    for (size_t c = 0; c < n; c++)
        out->off[at + c] += 0x1p-8 * fabs(out->is[at + c]) + 0x1p-8 * out->off[at + c];
}

/*
 * The textbook, in double, for one head of one position. q, k, v and d_o are of bfloat16: only p and ds are rounded to it, to
 * 2^-8 of themselves. All else is in float, to 2^-14, with the sums that a few hundred numbers make. ds is also off by what o is:
 * along = d_o . o; narrow: o is rounded once more.
 */
static void textbook_attention(const trial *t, const dn_attention_shape *x, bool narrow, size_t b, size_t h, size_t i,
                               expected out[N_ATTENTION])
{
    const double u = 0x1p-8 + 0x1p-14, rest = 0x1p-14, scale = 1 / sqrt((double)x->hd);
    size_t hd = x->hd, kv = h / (x->NH / x->NKV) * hd, at = (b * x->T + i) * x->ld + h * hd, of_o = ((b * x->T + i) * x->NH + h) * hd;
    size_t first = x->window > 0 && i >= x->window ? i + 1 - x->window : 0, of_lse = (b * x->NH + h) * x->T + i;
    const dn_real *q = t->arrays[Q].start + at, *d_o = t->arrays[D_O].start + of_o;
    double total = 0, along = 0, along_off = 0;
    for (size_t j = first; j <= i; j++)
        total += exp(scale * dot(q, t->arrays[K].start + (b * x->T + j) * x->ld + kv, hd));
    out[LSE].is[of_lse] = log(total);
    out[LSE].off[of_lse] = rest * (1 + fabs(log(total)));
    for (size_t j = first; j <= i; j++) {
        size_t of_j = (b * x->T + j) * x->ld + kv;
        double p = exp(scale * dot(q, t->arrays[K].start + of_j, hd)) / total;
        add_scaled(&out[O], of_o, p, u * p, t->arrays[V].start + of_j, hd);
        add_scaled(&out[DV], of_j, p, u * p, d_o, hd);
    }
    if (narrow)
        round_output(&out[O], of_o, hd);
    for (size_t c = 0; c < hd; c++) {
        along += (double)d_o[c] * out[O].is[of_o + c];
        along_off += fabs((double)d_o[c]) * out[O].off[of_o + c];
    }
    for (size_t j = first; j <= i; j++) {
        size_t of_j = (b * x->T + j) * x->ld + kv;
        double p = exp(scale * dot(q, t->arrays[K].start + of_j, hd)) / total, dp = dot(d_o, t->arrays[V].start + of_j, hd);
        double ds = scale * p * (dp - along), off = scale * p * (along_off + rest * (fabs(dp) + fabs(along) + sqrt((double)hd))) + u * fabs(ds);
        add_scaled(&out[DQ], at, ds, off, t->arrays[K].start + of_j, hd);
        add_scaled(&out[DK], of_j, ds, off, q, hd);
    }
}

/* Blocks of 64 rows and tiles of 32, their edges and more; heads of 16, 64 and 128, others, and one that is too large for tiles. */
static const dn_attention_shape attentions[] = {
    {.B = 1, .T = 1, .NH = 1, .NKV = 1, .hd = 2, .ld = 2},
    {.B = 2, .T = 33, .NH = 2, .NKV = 2, .hd = 16, .ld = 35},
    {.B = 1, .T = 64, .NH = 1, .NKV = 1, .hd = 64, .ld = 64},
    {.B = 1, .T = 131, .NH = 4, .NKV = 2, .hd = 20, .ld = 80},
    {.B = 2, .T = 97, .NH = 2, .NKV = 1, .hd = 12, .ld = 24, .window = 40},
    {.B = 1, .T = 150, .NH = 3, .NKV = 3, .hd = 64, .ld = 192, .window = 1},
    {.B = 1, .T = 70, .NH = 1, .NKV = 1, .hd = 128, .ld = 130},
    {.B = 1, .T = 40, .NH = 1, .NKV = 1, .hd = 130, .ld = 130},
    {.B = 1, .T = 3, .NH = 0, .NKV = 0, .hd = 16, .ld = 16}, /* of a worker without heads */
    {.B = 1, .T = 257, .NH = 2, .NKV = 1, .hd = 96, .ld = 200, .window = 100},
    {.B = 1, .T = 200, .NH = 3, .NKV = 1, .hd = 32, .ld = 100, .window = 64},
};

/* 3 threads leave these bits, too, in the long run 1 and 8 as well. */
static void expect_bits(const char *backend, const trial *t, operation run, const dn_attention_shape *x, dn_real *const *bits)
{
    static const int threads[] = {3, 1, 8};
    for (size_t k = 0; k < (full_run() ? 3 : looks_at_memory_alone() ? 0 : 1); k++) {
        dn_real *got[MAX_ARRAYS];
        double host[MAX_HOST];
        run_backend(backend, threads[k], t, run, x, got, host);
        for (size_t a = O; a < N_ATTENTION; a++)
            assert_memory_equal(got[a], bits[a], t->arrays[a].n * sizeof(dn_real));
        free_results(t, got);
    }
}

/* Of a backend, what it leaves by `run`. */
static void expect_textbook(const char *backend, const dn_attention_shape *x, operation run)
{
    const bool narrow = run == run_narrow;
    trial t = attention_trial(x);
    expected right[N_ATTENTION] = {0};
    dn_real *got[MAX_ARRAYS];
    double host[MAX_HOST];
    for (size_t a = O; a < N_ATTENTION; a++)
        right[a] = (expected){calloc(t.arrays[a].n, sizeof(double)), calloc(t.arrays[a].n, sizeof(double))};
    for (size_t at = 0; at < x->B * x->T * x->NH; at++)
        textbook_attention(&t, x, narrow, at / x->T / x->NH, at % x->NH, at / x->NH % x->T, right);
    for (size_t a = DQ; a < N_ATTENTION && narrow; a++)
        round_output(&right[a], 0, t.arrays[a].n);
    run_backend(backend, 2, &t, run, x, got, host);
    for (size_t a = O; a < N_ATTENTION; a++)
        for (size_t j = 0; j < t.arrays[a].n; j++) {
            bool kept = t.arrays[a].kept && t.arrays[a].kept[j];
            if (kept ? memcmp(&got[a][j], &t.arrays[a].start[j], sizeof **got) != 0
                     : !(fabs((double)got[a][j] - right[a].is[j]) <= right[a].off[j] + 0x1p-20))
                fail_msg("%s, T %zu, hd %zu, %s, array %zu: element %zu is %.9g, not %.9g, which it may be off by %.3g", backend, x->T,
                         x->hd, narrow ? "narrow" : "real", a, j, (double)got[a][j], right[a].is[j], right[a].off[j]);
        }
    expect_bits(backend, &t, run, x, got);
    free_results(&t, got);
    for (size_t a = O; a < N_ATTENTION; a++)
        free(right[a].is), free(right[a].off);
    free_trial(&t);
}

static void attention_is_the_textbook_s_up_to_rounding_p_and_ds(void **state)
{
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions; i++)
        for (const dn_kernels *const *backend = dn_kernels_mixed(); *backend; backend = next_backend(backend))
            expect_textbook((*backend)->name, &attentions[i], run_attention);
}

/* Of backends that have it; heads that are too large for tiles are not narrow. */
static void activations_in_bfloat16_are_rounded_once_more(void **state)
{
    for (size_t i = 0; i < sizeof attentions / sizeof *attentions; i++)
        for (const dn_kernels *const *backend = dn_kernels_mixed(); *backend; backend = next_backend(backend))
            if ((*backend)->narrow && attentions[i].hd <= DN_NARROW_HEAD)
                expect_textbook((*backend)->name, &attentions[i], run_narrow);
}

static void run_of_a_cache(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const dn_attention_shape *x = context;
    s->kernels->attention_forward(s, b[2], b[3], b[0], b[1], dn_at(b[1], x->NKV * x->room * x->hd), x);
}

static void of_a_cache_it_is_in_float(void **state)
{
    const dn_attention_shape x = {.B = 2, .T = 5, .NH = 4, .NKV = 2, .hd = 32, .ld = 128, .first = 70, .room = 80};
    for (const dn_kernels *const *backend = dn_kernels_mixed(); *backend; backend = next_backend(backend)) {
        trial t = {.arrays = {random_array(x.B * x.T * x.ld, 1, 1), random_array(2 * x.B * x.NKV * x.room * x.hd, 2, 1),
                              nan_array(x.B * x.T * x.NH * x.hd), nan_array(x.B * x.T * x.NH)},
                   .n_arrays = 4};
        dn_real *plain[MAX_ARRAYS], *got[MAX_ARRAYS];
        double host[MAX_HOST];
        run_backend((*backend)->plain, 2, &t, run_of_a_cache, &x, plain, host);
        run_backend((*backend)->name, 2, &t, run_of_a_cache, &x, got, host);
        for (size_t a = 0; a < t.n_arrays; a++)
            assert_memory_equal(got[a], plain[a], t.arrays[a].n * sizeof(dn_real));
        free_results(&t, plain);
        free_results(&t, got);
        free_trial(&t);
    }
}

TESTS(mixed_attention)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_the_textbook_s_up_to_rounding_p_and_ds),
        cmocka_unit_test(activations_in_bfloat16_are_rounded_once_more),
        cmocka_unit_test(of_a_cache_it_is_in_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
