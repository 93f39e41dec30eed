/*
 * Kernels for a part of the vocabulary: every backend against the reference, and the reference against what
 * the whole vocabulary gives.
 */
#include "support.h"
#include "support/close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- embedding ---- */

typedef struct window {
    size_t N, C, ld;
    dn_vocab_shard vocab;
} window;

enum { V = 11, MAX_N = 300 };

static int32_t tokens[MAX_N];

static bool among(const window *w, size_t i)
{
    return (size_t)tokens[i] >= w->vocab.first && (size_t)tokens[i] < w->vocab.first + w->vocab.n;
}

/* arrays: x, wte | dwte, dx | copied, from */
static void run_window(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const window *w = context;
    dn_ids *ids = device_ids(s, tokens, w->N);
    s->kernels->embed_forward(s, b[0], w->ld, b[1], 1, ids, &w->vocab, w->N, w->C);
    s->kernels->embed_backward(s, b[2], b[3], w->ld, 1, ids, &w->vocab, w->N, w->C);
    s->kernels->copy_rows(s, b[4], b[5], ids, &w->vocab, w->N, w->C);
    free_ids(s, ids, w->N);
}

/* NaN, in which rows of other tokens and the padding are kept. */
static array rows_of_words(const window *w, size_t ld)
{
    array a = nan_rows(w->N, w->C, ld);
    for (size_t i = 0; i < w->N * ld; i++)
        a.kept[i] |= tokens[i / ld] < (int32_t)w->vocab.first ||
                     tokens[i / ld] >= (int32_t)(w->vocab.first + w->vocab.n);
    return a;
}

static trial window_trial(const window *w)
{
    size_t table = w->vocab.n * w->C;
    trial t = {.arrays = {rows_of_words(w, w->ld), random_array(table, 1, 1), random_array(table, 2, 1),
                          padded_array(w->N, w->C, w->ld, 3, 1), rows_of_words(w, w->C),
                          random_array(w->N * w->C, 4, 1)},
               .n_arrays = 6,
               .same_bits = true};
    for (size_t a = 0; a < 6; a++)
        t.arrays[a].ulps = 0;
    return t;
}

static const window windows[] = {
    {1, 1, 1, {0, V}},     {300, 5, 9, {3, 4}},     {300, 129, 130, {0, 1}}, {17, 64, 64, {10, 1}},
    {300, 40, 41, {5, 0}}, {300, 129, 129, {2, 9}}, {0, 3, 3, {0, V}},
};
enum { N_WINDOWS = sizeof windows / sizeof *windows };

static void every_backend_embeds_its_words_only(void **state)
{
    for (size_t i = 0; i < N_WINDOWS; i++) {
        trial t = window_trial(&windows[i]);
        compare_columns(&t, run_window, &windows[i]);
    }
}

static void check_definition(const window *w, const trial *t, dn_real *const *results)
{
    for (size_t i = 0; i < w->N; i++)
        for (size_t c = 0; c < w->C; c++) {
            dn_real x = results[0][i * w->ld + c], copied = results[4][i * w->C + c];
            if (!among(w, i)) {
                assert_true(isnan(x) && isnan(copied));
                continue;
            }
            size_t word = (size_t)tokens[i] - w->vocab.first;
            assert_true(x == t->arrays[1].start[word * w->C + c]);
            assert_true(copied == t->arrays[5].start[i * w->C + c]);
            t->arrays[2].start[word * w->C + c] += t->arrays[3].start[i * w->ld + c];
        }
    assert_memory_equal(results[2], t->arrays[2].start, w->vocab.n * w->C * sizeof(dn_real));
}

static void the_reference_looks_up_and_adds_rows(void **state)
{
    for (size_t i = 0; i < N_WINDOWS; i++) {
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST];
        trial t = window_trial(&windows[i]);
        run_backend("ref", 1, &t, run_window, &windows[i], results, host);
        check_definition(&windows[i], &t, results);
        free_results(&t, results);
        free_trial(&t);
    }
}

/* ---- loss ---- */

enum { MAX_PARTS = 4 };

typedef struct cut_loss {
    size_t N;
    size_t n_parts, vocab[MAX_PARTS]; /* of each part */
    double scale, shift;              /* added to all logits of part k: k * shift */
} cut_loss;

static size_t vocab_before(const cut_loss *x, size_t part)
{
    size_t n = 0;
    for (size_t k = 0; k < part; k++)
        n += x->vocab[k];
    return n;
}

static int32_t target_of(const cut_loss *x, size_t i)
{
    return (int32_t)(i * 7919 % vocab_before(x, x->n_parts));
}

/* arrays: logits of each part, then parts; host: the loss of each */
static void run_parts(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const cut_loss *x = context;
    const dn_buf *parts[MAX_PARTS];
    int32_t targets[64];
    for (size_t i = 0; i < x->N; i++)
        targets[i] = target_of(x, i);
    dn_ids *ids = device_ids(s, targets, x->N);
    for (size_t k = 0; k < x->n_parts; k++) {
        const dn_vocab_shard vocab = {vocab_before(x, k), x->vocab[k]};
        s->kernels->cross_entropy_part(s, b[x->n_parts + k], b[k], ids, &vocab, x->N);
        parts[k] = b[x->n_parts + k];
    }
    for (size_t k = 0; k < x->n_parts; k++) {
        const dn_vocab_shard vocab = {vocab_before(x, k), x->vocab[k]};
        host[k] = 1; /* it adds */
        s->kernels->cross_entropy_join(s, &host[k], b[k], parts, x->n_parts, k, ids, &vocab, x->N, x->scale);
        if (x->scale == 0)
            s->kernels->fill(s, b[k], x->N * x->vocab[k], 0); /* undefined */
    }
    free_ids(s, ids, x->N);
}

static void run_whole(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const cut_loss *x = context;
    int32_t targets[64];
    for (size_t i = 0; i < x->N; i++)
        targets[i] = target_of(x, i);
    dn_ids *ids = device_ids(s, targets, x->N);
    s->kernels->cross_entropy(s, host, b[0], ids, x->N, vocab_before(x, x->n_parts), x->scale);
    free_ids(s, ids, x->N);
}

static const cut_loss losses[] = {
    {1, 1, {1}, 1, 0},          {5, 1, {130}, 0.5, 0},       {64, 2, {700, 331}, 0.01, 0},
    {7, 3, {9, 0, 8}, 1, 0},    {7, 4, {0, 0, 40, 1}, 1, 3}, {33, 3, {40, 40, 39}, 1, 200},
    {7, 3, {9, 5, 8}, 1, -900}, {6, 2, {30, 31}, 0, 0},      {0, 2, {3, 2}, 1, 0},
};
enum { N_LOSSES = sizeof losses / sizeof *losses };

/* As for the whole loss: a logit less the maximum carries half an eps of itself into the exponent. */
static trial loss_trial(const cut_loss *x)
{
    trial t = {.n_arrays = 2 * x->n_parts,
               .n_host = x->n_parts,
               .host_tolerance = 50 * DN_REAL_EPS,
               .same_bits = true};
    for (size_t k = 0; k < x->n_parts; k++) {
        t.arrays[k] = random_array(x->N * x->vocab[k], k, 5);
        for (size_t j = 0; j < t.arrays[k].n; j++)
            t.arrays[k].start[j] += (dn_real)((double)k * x->shift);
        t.arrays[k].ulps = 50;
        t.arrays[k].scale = x->scale / (double)vocab_before(x, x->n_parts);
        t.arrays[x->n_parts + k] = nan_array(3 * x->N);
        /* How a sum of n numbers is cut into lanes is the compiler's; in any order it is right to n eps. */
        t.arrays[x->n_parts + k].ulps = 50 + (double)x->vocab[k];
    }
    return t;
}

static void every_backend_joins_parts_alike(void **state)
{
    for (size_t i = 0; i < N_LOSSES; i++) {
        trial t = loss_trial(&losses[i]);
        compare_columns(&t, run_parts, &losses[i]);
    }
}

/* The parts' logits side by side. */
static trial whole_trial(const cut_loss *x, const trial *cut)
{
    size_t n = vocab_before(x, x->n_parts);
    trial t = {.arrays = {nan_array(x->N * n)}, .n_arrays = 1};
    for (size_t k = 0; k < x->n_parts; k++)
        for (size_t i = 0; i < x->N && x->vocab[k] > 0; i++)
            memcpy(t.arrays[0].start + i * n + vocab_before(x, k), cut->arrays[k].start + i * x->vocab[k],
                   x->vocab[k] * sizeof(dn_real));
    return t;
}

/* Two differences in exponents, each rounded at a size of up to 20 or so, instead of one. */
static void compare_gradients(const cut_loss *x, dn_real *const *cut, const dn_real *whole)
{
    size_t n = vocab_before(x, x->n_parts);
    for (size_t k = 0; k < x->n_parts; k++)
        for (size_t i = 0; i < x->N; i++)
            for (size_t v = 0; v < x->vocab[k]; v++) {
                double want = (double)whole[i * n + vocab_before(x, k) + v];
                double got = (double)cut[k][i * x->vocab[k] + v];
                assert_close(got, want, 32 * DN_REAL_EPS * (fabs(want) + x->scale / (double)n));
            }
}

/* A part's maximum, sum and target are rounded once to dn_real on their way, a loss of up to N (1 + |shift|)
 * is made of them. */
static void joined_parts_are_the_whole_loss(void **state)
{
    for (size_t i = 0; i < N_LOSSES; i++) {
        const cut_loss *x = &losses[i];
        dn_real *cut[MAX_ARRAYS], *whole[MAX_ARRAYS];
        double cut_host[MAX_HOST], whole_host[MAX_HOST];
        trial parts = loss_trial(x), all = whole_trial(x, &parts);
        run_backend("ref", 1, &parts, run_parts, x, cut, cut_host);
        run_backend("ref", 1, &all, run_whole, x, whole, whole_host);
        for (size_t k = 0; k < x->n_parts; k++) {
            assert_true(cut_host[k] == cut_host[0]);
            assert_close(cut_host[k] - 1, whole_host[0], 8 * DN_REAL_EPS * (1 + whole_host[0]));
        }
        if (x->scale != 0)
            compare_gradients(x, cut, whole[0]);
        free_results(&parts, cut);
        free_results(&all, whole);
        free_trial(&parts);
        free_trial(&all);
    }
}

/* Row 0: a whole part of -infinity, where probabilities are exactly 0 and the loss is that of the rest.
 * Row 1: a NaN in one part spoils this row in all parts. */
static void infinite_and_nan_logits_stay_in_their_row(void **state)
{
    const cut_loss x = {3, 2, {20, 30}, 1, 0}, rest = {1, 1, {20}, 1, 0};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_real *results[MAX_ARRAYS], *of_rest[MAX_ARRAYS];
        double host[MAX_HOST], rest_host[MAX_HOST];
        trial t = loss_trial(&x), alone = {.arrays = {random_array(20, 0, 5), nan_array(3)}, .n_arrays = 2};
        for (size_t v = 0; v < 30; v++)
            t.arrays[1].start[v] = -(dn_real)INFINITY;
        t.arrays[0].start[20 + 5] = (dn_real)NAN;
        run_backend((*backend)->name, 1, &t, run_parts, &x, results, host);
        run_backend((*backend)->name, 1, &alone, run_parts, &rest, of_rest, rest_host);
        assert_memory_equal(results[0], of_rest[0], 20 * sizeof(dn_real));
        assert_true(isnan(host[0]));
        for (size_t v = 0; v < 30; v++) {
            assert_true(results[1][v] == 0);
            assert_true(isnan(results[1][30 + v]));
            assert_true(isfinite(results[1][60 + v]));
        }
        free_results(&t, results);
        free_results(&alone, of_rest);
        free_trial(&t);
        free_trial(&alone);
    }
}

/* Where an error ends it all, what a loss is for may be gone before the memory of the device is. */
static void a_loss_arrives_with_a_sync_and_with_nothing_else(void **state)
{
    const int32_t target = 0;
    for (int synced = 0; synced < 2; synced++) {
        dn_stream *s = make_stream("cpu", 1);
        void *logits;
        double loss = 1;
        assert_int_equal(dn_device_alloc(s, 2 * sizeof(dn_real), &logits), DN_OK);
        dn_ids *ids = device_ids(s, &target, 1);
        assert_int_equal(dn_stream_sync(s), DN_OK);
        s->kernels->cross_entropy(s, &loss, logits, ids, 1, 2, 0);
        const double queued = loss; /* not the loss yet, where the device is apart */
        free_ids(s, ids, 1);
        dn_device_free(s, logits, 2 * sizeof(dn_real));
        assert_memory_equal(&loss, &queued, sizeof loss);
        if (synced) {
            assert_int_equal(dn_stream_sync(s), DN_OK);
            assert_close(loss, 1 + log(2), 8 * DN_REAL_EPS);
        }
        const double before = loss;
        dn_stream_destroy(&s);
        assert_memory_equal(&loss, &before, sizeof loss);
    }
}

TESTS(vocabulary)
{
    dn_blas_tune(argv);
    for (size_t i = 0; i < MAX_N; i++)
        tokens[i] = (int32_t)(i * i % V);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_looks_up_and_adds_rows),
        cmocka_unit_test(every_backend_embeds_its_words_only),
        cmocka_unit_test(every_backend_joins_parts_alike),
        cmocka_unit_test(joined_parts_are_the_whole_loss),
        cmocka_unit_test(infinite_and_nan_logits_stay_in_their_row),
        cmocka_unit_test(a_loss_arrives_with_a_sync_and_with_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
