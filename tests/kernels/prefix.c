/* Attention to a prefix: the softmax over it and the positions together, by the textbook; its derivatives; every backend. */
#include "support.h"
#include "support/close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* arrays: q k v pk pv | o lse | d_o | dq dk dv, of which those of the positions stand side by side | dpk dpv */
enum { Q, K, V, PK, PV, O, LSE, D_O, DQKV, DPK, DPV, N_ARRAYS };

typedef struct prefixed {
    dn_attention_shape shape; /* NH = NKV where q, k and v have one width */
    size_t n, parts;          /* rows, in so many parts */
} prefixed;

static size_t part_of(const prefixed *x, size_t i)
{
    return x->n * i / x->parts;
}

static void run_forward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const prefixed *x = context;
    size_t ld = x->shape.NKV * x->shape.hd;
    s->kernels->attention_forward(s, b[O], b[LSE], b[Q], b[K], b[V], &x->shape);
    for (size_t i = 0; i < x->parts; i++)
        s->kernels->prefix_forward(s, b[O], b[LSE], b[Q], dn_at(b[PK], part_of(x, i) * ld), dn_at(b[PV], part_of(x, i) * ld),
                                   part_of(x, i + 1) - part_of(x, i), &x->shape);
}

static void run_both(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const prefixed *x = context;
    size_t ld = x->shape.NKV * x->shape.hd, N = x->shape.B * x->shape.T * x->shape.ld;
    run_forward(s, b, host, context);
    s->kernels->attention_backward(s, b[DQKV], dn_at(b[DQKV], N), dn_at(b[DQKV], 2 * N), b[D_O], b[Q], b[K], b[V], b[O], b[LSE],
                                   &x->shape);
    for (size_t i = 0; i < x->parts; i++) {
        size_t at = part_of(x, i) * ld;
        s->kernels->prefix_backward(s, b[DQKV], dn_at(b[DPK], at), dn_at(b[DPV], at), b[D_O], b[Q], dn_at(b[PK], at),
                                    dn_at(b[PV], at), b[O], b[LSE], part_of(x, i + 1) - part_of(x, i), &x->shape);
    }
}

/* A row of the prefix adds up to B T NH / NKV terms, as a gradient of attention does T (attention.c). */
static trial make_trial(const prefixed *x)
{
    const dn_attention_shape *h = &x->shape;
    size_t N = h->B * h->T, width = h->NH * h->hd, kv = h->NKV * h->hd;
    trial t = {.arrays = {padded_array(N, width, h->ld, 1, 1), padded_array(N, kv, h->ld, 2, 1), padded_array(N, kv, h->ld, 3, 1),
                          random_array(x->n * kv, 4, 1), random_array(x->n * kv, 5, 1), nan_array(N * width), nan_array(N * h->NH),
                          random_array(N * width, 6, 1), constant_array(3 * N * h->ld, 0), random_array(x->n * kv, 7, 1),
                          random_array(x->n * kv, 8, 1)},
               .n_arrays = N_ARRAYS,
               .same_bits = true};
    for (size_t a = DQKV; a <= DPV; a++)
        t.arrays[a].scale = 4 + sqrt((double)(h->T + N * h->NH));
    for (size_t a = O; a <= DPV; a++)
        t.arrays[a].ulps = 32;
    return t;
}

static const prefixed cases[] = {
    {{.B = 2, .T = 5, .NH = 2, .NKV = 2, .hd = 4, .ld = 8}, 3, 1},
    {{.B = 1, .T = 7, .NH = 4, .NKV = 2, .hd = 6, .ld = 24}, 5, 2},
    {{.B = 1, .T = 9, .NH = 2, .NKV = 1, .hd = 4, .ld = 8, .window = 2}, 4, 3},
    {{.B = 0, .T = 3, .NH = 1, .NKV = 1, .hd = 2, .ld = 2}, 3, 1},
    {{.B = 1, .T = 3, .NH = 1, .NKV = 1, .hd = 2, .ld = 2}, 0, 1},
    {{.B = 2, .T = 130, .NH = 3, .NKV = 3, .hd = 32, .ld = 96}, 20, 1},
    {{.B = 3, .T = 401, .NH = 2, .NKV = 1, .hd = 4, .ld = 8}, 70, 1}, /* more than a tile of rows, and than a task of blocks of queries */
};

static void every_backend_agrees_with_the_reference(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        trial t = make_trial(&cases[i]);
        compare_columns(&t, run_both, &cases[i]);
    }
}

/* A row's gradient is a sum over all queries, of which many threads have some each. */
static void threads_do_not_change_a_bit(void **state)
{
    for (size_t i = 5; i < sizeof cases / sizeof *cases; i++) {
        trial t = make_trial(&cases[i]);
        compare_threads(&t, run_both, &cases[i]);
        free_trial(&t);
    }
}

/* Of one query: its scores with the prefix and the positions it sees, their softmax, the mean of values. */
static double textbook_row(const prefixed *x, const trial *t, size_t row, size_t h, double *out)
{
    const dn_attention_shape *a = &x->shape;
    size_t kv = h / (a->NH / a->NKV) * a->hd, first = row / a->T * a->T, ld = a->NKV * a->hd;
    const dn_real *q = t->arrays[Q].start + row * a->ld + h * a->hd;
    double sum = 0;
    memset(out, 0, a->hd * sizeof *out);
    if (a->window > 0 && row - first >= a->window)
        first = row - a->window + 1;
    for (size_t j = 0; j < x->n + row + 1 - first; j++) {
        const dn_real *key = j < x->n ? t->arrays[PK].start + j * ld + kv : t->arrays[K].start + (first + j - x->n) * a->ld + kv,
                      *value = j < x->n ? t->arrays[PV].start + j * ld + kv : t->arrays[V].start + (first + j - x->n) * a->ld + kv;
        double score = 0;
        for (size_t c = 0; c < a->hd; c++)
            score += (double)q[c] * (double)key[c];
        score = exp(score / sqrt((double)a->hd));
        sum += score;
        for (size_t c = 0; c < a->hd; c++)
            out[c] += score * (double)value[c];
    }
    for (size_t c = 0; c < a->hd; c++)
        out[c] /= sum;
    return log(sum);
}

static void a_prefix_stands_before_all_positions(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const prefixed *x = &cases[i];
        const dn_attention_shape *a = &x->shape;
        trial t = make_trial(x);
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST], out[64];
        run_backend("ref", 1, &t, run_forward, x, results, host);
        for (size_t row = 0; row < a->B * a->T; row++)
            for (size_t h = 0; h < a->NH; h++) {
                double lse = textbook_row(x, &t, row, h, out);
                assert_close((double)results[LSE][(row / a->T * a->NH + h) * a->T + row % a->T], lse,
                             16 * DN_REAL_EPS * (1 + fabs(lse)));
                for (size_t c = 0; c < a->hd; c++) /* joined in as many steps as there are parts */
                    assert_close((double)results[O][(row * a->NH + h) * a->hd + c], out[c],
                                 (16 + 8 * (double)x->parts) * DN_REAL_EPS);
            }
        free_results(&t, results);
        free_trial(&t);
    }
}

/* Scores of several hundred, of the prefix or of the positions: exponentials would be infinite. */
static void large_scores_do_not_overflow(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (size_t large = K; large <= PK; large += PK - K) {
            trial t = make_trial(&cases[0]);
            dn_real *results[MAX_ARRAYS];
            double host[MAX_HOST];
            for (size_t i = 0; i < t.arrays[large].n; i++)
                t.arrays[large].start[i] *= 1000;
            run_backend((*backend)->name, 1, &t, run_both, &cases[0], results, host);
            for (size_t a = O; a <= DPV; a++)
                for (size_t i = 0; i < t.arrays[a].n; i++)
                    assert_true(isfinite((double)results[a][i]));
            free_results(&t, results);
            free_trial(&t);
        }
}

static void its_backward_pass_is_the_derivative(void **state)
{
    for (size_t i = 0; i < 3; i++) {
        const dn_attention_shape *shape = &cases[i].shape;
        size_t N = shape->B * shape->T * shape->ld;
        const derivative of[] = {{Q, DQKV, 0, false}, {K, DQKV, N, false}, {V, DQKV, 2 * N, false}, {PK, DPK, 0, true}, {PV, DPV, 0, true}};
        trial t = make_trial(&cases[i]);
        check_slopes(&t, run_forward, run_both, &cases[i], O, D_O, of, sizeof of / sizeof *of);
        free_trial(&t);
    }
}

TESTS(prefix)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_prefix_stands_before_all_positions),
        cmocka_unit_test(every_backend_agrees_with_the_reference),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(large_scores_do_not_overflow),
        cmocka_unit_test(its_backward_pass_is_the_derivative),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
