/*
 * What generation is made of: products of few rows against gemm, attention to a cache against attention over
 * the whole sequence; every backend against the reference.
 */
#include "support.h"
#include "support/close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- products of few rows ---- */

typedef struct product {
    size_t n, out, in, ldy, ldx;
    bool add;
} product;

static void run_matvec(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const product *p = context;
    s->kernels->matvec(s, b[0], p->ldy, b[1], p->ldx, b[2], p->n, p->out, p->in, p->add);
    s->kernels->gemm(s, DN_N, DN_T, p->n, p->out, p->in, 1, b[1], p->ldx, b[2], p->in, p->add, b[3], p->ldy);
}

static const product products[] = {
    {1, 1, 1, 1, 1, false},         {1, 65, 300, 70, 300, false}, {8, 130, 129, 130, 140, true},
    {3, 17, 1000, 20, 1000, false}, {2, 5, 7, 9, 8, true},        {5, 900, 64, 900, 64, false}, /* by threads */
    {2, 0, 7, 3, 8, false},         {0, 4, 3, 4, 3, false},
};

static void a_product_of_few_rows_is_gemm(void **state)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const product *p = &products[i];
        array y = p->add ? padded_array(p->n, p->out, p->ldy, 3, 1) : nan_rows(p->n, p->out, p->ldy);
        array same = p->add ? padded_array(p->n, p->out, p->ldy, 3, 1) : nan_rows(p->n, p->out, p->ldy);
        y.ulps = same.ulps = 8 + sqrt((double)p->in);
        y.scale = same.scale = sqrt((double)p->in);
        trial t = {.arrays = {y, padded_array(p->n, p->in, p->ldx, 1, 1), random_array(p->out * p->in, 2, 1), same},
                   .n_arrays = 4};
        compare_columns(&t, run_matvec, p);
    }
}

/* ---- weights in bfloat16 ---- */

/* arrays: y, x, w, what w is when rounded, y of that in floating point */
enum { NARROW_Y, X, W, ROUNDED_W, ROUNDED_Y, N_NARROW };

static void *narrow_copy(dn_stream *s, const dn_buf *x, size_t n)
{
    void *narrow;
    assert_int_equal(dn_device_alloc(s, (n + 1) * sizeof(uint16_t), &narrow), DN_OK);
    s->kernels->to_bf16(s, narrow, x, n);
    return narrow;
}

static void free_copy(dn_stream *s, void *narrow, size_t n)
{
    assert_int_equal(dn_stream_sync(s), DN_OK);
    dn_device_free(s, narrow, (n + 1) * sizeof(uint16_t));
}

static void run_narrow(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const product *p = context;
    dn_bf16 *w = narrow_copy(s, b[W], p->out * p->in);
    s->kernels->from_bf16(s, b[ROUNDED_W], w, p->out * p->in);
    s->kernels->matvec_bf16(s, b[NARROW_Y], p->ldy, b[X], p->ldx, w, p->n, p->out, p->in, p->add);
    s->kernels->matvec(s, b[ROUNDED_Y], p->ldy, b[X], p->ldx, b[ROUNDED_W], p->n, p->out, p->in, p->add);
    free_copy(s, w, p->out * p->in);
}

static trial narrow_trial(const product *p)
{
    trial t = {.n_arrays = N_NARROW, .same_bits = true};
    t.arrays[X] = padded_array(p->n, p->in, p->ldx, 1, 1);
    t.arrays[W] = random_array(p->out * p->in, 2, 1);
    t.arrays[ROUNDED_W] = nan_array(p->out * p->in); /* the same bits on all backends */
    for (int i = 0; i < 2; i++) {
        array *y = &t.arrays[i == 0 ? NARROW_Y : ROUNDED_Y];
        *y = p->add ? padded_array(p->n, p->out, p->ldy, 3, 1) : nan_rows(p->n, p->out, p->ldy);
        y->ulps = 8 + sqrt((double)p->in); /* of random sums: as without rounding */
        y->scale = sqrt((double)p->in);
    }
    return t;
}

static void weights_in_bfloat16_multiply_as_what_they_are(void **state)
{
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        const product *p = &products[i];
        trial t = narrow_trial(p);
        for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
            dn_real *results[MAX_ARRAYS];
            double host[MAX_HOST], most = (8 + sqrt((double)p->in)) * sqrt((double)p->in) * DN_REAL_EPS;
            run_backend((*backend)->name, 2, &t, run_narrow, p, results, host);
            for (size_t j = 0; j < p->n * p->out; j++) {
                size_t at = j / p->out * p->ldy + j % p->out;
                double right = (double)results[ROUNDED_Y][at];
                assert_close((double)results[NARROW_Y][at], right, most + 8 * DN_REAL_EPS * fabs(right));
            }
            free_results(&t, results);
        }
        compare_columns(&t, run_narrow, p);
    }
}

/* Rows of W fall to other threads, rows of x are alone or among others. */
static void threads_and_neighbours_do_not_change_a_product(void **state)
{
    enum { N = 5, OUT = 403, IN = 333 };
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_real got[2][2][N * OUT];
        for (int n_threads = 1; n_threads <= 5; n_threads += 2) {
            dn_stream *s = make_stream((*backend)->name, n_threads);
            array x = random_array(N * IN, 1, 1), w = random_array(OUT * IN, 2, 1);
            void *memory;
            assert_int_equal(dn_device_alloc(s, (x.n + w.n + N * OUT) * sizeof(dn_real), &memory), DN_OK);
            dn_buf *dx = memory, *dw = dn_at(dx, x.n), *dy = dn_at(dw, w.n);
            dn_upload(s, dx, x.start, x.n);
            dn_upload(s, dw, w.start, w.n);
            dn_bf16 *narrow = narrow_copy(s, dw, w.n);
            size_t together = n_threads == 3 ? 1 : N;
            for (int kind = 0; kind < 2; kind++) {
                for (size_t i = 0; i < N; i += together) {
                    dn_buf *y = dn_at(dy, i * OUT), *in = dn_at(dx, i * IN);
                    if (kind == 0)
                        s->kernels->matvec(s, y, OUT, in, IN, dw, together, OUT, IN, false);
                    else
                        s->kernels->matvec_bf16(s, y, OUT, in, IN, narrow, together, OUT, IN, false);
                }
                dn_download(s, got[kind][n_threads > 1], dy, N * OUT);
                assert_int_equal(dn_stream_sync(s), DN_OK);
                if (n_threads > 1)
                    assert_memory_equal(got[kind][0], got[kind][1], sizeof got[kind][0]);
            }
            free_copy(s, narrow, w.n);
            dn_device_free(s, memory, (x.n + w.n + N * OUT) * sizeof(dn_real));
            dn_stream_destroy(&s);
            free(x.start);
            free(w.start);
        }
    }
}

/* ---- attention to a cache ---- */

/* arrays: q, k | v | o lse of the whole | cache | o in chunks, lse | o by single queries | what a cache in bfloat16 holds, o of it,
 * and o of what it holds */
enum { Q, KV, WHOLE, WHOLE_LSE, CACHE, CHUNKS, CHUNK_LSE, SINGLE, HELD, NARROW, OF_HELD, N_ARRAYS };

typedef struct sequence {
    dn_attention_shape x; /* of the whole, B 1 */
    size_t room, chunk;
} sequence;

enum { SEQUENCE = 1, MOST = 600 }; /* the cache holds another sequence before */

static void run_cached(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const sequence *c = context;
    dn_attention_shape x = c->x;
    dn_cache_row rows[MOST];
    for (size_t t = 0; t < x.T; t++)
        rows[t] = (dn_cache_row){SEQUENCE, t};
    size_t half = x.NKV * c->room * x.hd;
    dn_bf16 *narrow = narrow_copy(s, b[CACHE], 4 * half);
    s->kernels->attention_forward(s, b[WHOLE], b[WHOLE_LSE], b[Q], b[KV], dn_at(b[KV], x.NKV * x.hd), &x);
    s->kernels->cache_store_bf16(s, narrow, 2 * x.NKV, c->room, x.hd, b[KV], x.ld, rows, x.T);
    s->kernels->from_bf16(s, b[HELD], narrow, 4 * half);
    s->kernels->cache_store(s, b[CACHE], 2 * x.NKV, c->room, x.hd, b[KV], x.ld, rows, x.T);
    x.room = c->room;
    s->kernels->attention_decode(s, b[SINGLE], b[Q], b[CACHE], dn_at(b[CACHE], half), rows, c->x.T, &x);
    s->kernels->attention_decode_bf16(s, b[NARROW], b[Q], narrow, dn_bf16_at(narrow, half), rows, c->x.T, &x);
    s->kernels->attention_decode(s, b[OF_HELD], b[Q], b[HELD], dn_at(b[HELD], half), rows, c->x.T, &x);
    free_copy(s, narrow, 4 * half);
    for (x.first = 0; x.first < c->x.T; x.first += c->chunk) {
        x.T = dn_min(c->chunk, c->x.T - x.first);
        s->kernels->attention_forward(s, dn_at(b[CHUNKS], x.first * x.NH * x.hd), b[CHUNK_LSE],
                                      dn_at(b[Q], x.first * x.ld), dn_at(b[CACHE], SEQUENCE * 2 * half),
                                      dn_at(b[CACHE], SEQUENCE * 2 * half + half), &x);
    }
}

static array cache_array(const sequence *c)
{
    size_t own = 2 * c->x.NKV * c->room * c->x.hd;
    array a = nan_array(2 * own);
    a.kept = calloc(a.n, sizeof *a.kept);
    for (size_t i = 0; i < a.n; i++)
        a.kept[i] = i < own || i / c->x.hd % c->room >= c->x.T;
    return a;
}

static trial cached_trial(const sequence *c)
{
    const dn_attention_shape *x = &c->x;
    size_t width = x->NH * x->hd, kv = x->NKV * x->hd;
    trial t = {.arrays = {padded_array(x->T, width, x->ld, 1, 1), padded_array(x->T, 2 * kv, x->ld, 2, 1),
                          nan_array(x->T * width), nan_array(x->T * x->NH), cache_array(c), nan_array(x->T * width),
                          constant_array(dn_min(c->chunk, x->T) * x->NH, 0), nan_array(x->T * width),
                          cache_array(c), nan_array(x->T * width), nan_array(x->T * width)},
               .n_arrays = N_ARRAYS,
               .same_bits = true};
    for (size_t a = WHOLE; a < N_ARRAYS; a++) {
        t.arrays[a].ulps = a == CACHE || a == HELD ? 0 : 32;
        t.arrays[a].scale = 1;
    }
    return t;
}

/* Chunks that end within blocks of 64 and begin there; more than one range of 256 keys. */
static const sequence sequences[] = {
    {{.B = 1, .T = 1, .NH = 1, .NKV = 1, .hd = 2, .ld = 4}, 1, 1},
    {{.B = 1, .T = 9, .NH = 3, .NKV = 3, .hd = 4, .ld = 25}, 12, 1},
    {{.B = 1, .T = 200, .NH = 4, .NKV = 2, .hd = 34, .ld = 140}, 210, 7},
    {{.B = 1, .T = 200, .NH = 2, .NKV = 2, .hd = 16, .ld = 64}, 200, 64},
    {{.B = 1, .T = 300, .NH = 3, .NKV = 1, .hd = 10, .ld = 31}, 300, 100},
    {{.B = 1, .T = 590, .NH = 2, .NKV = 1, .hd = 8, .ld = 16}, 600, 513},
    {{.B = 1, .T = 590, .NH = 2, .NKV = 1, .hd = 8, .ld = 16, .window = 300}, 600, 513},
    {{.B = 1, .T = 200, .NH = 4, .NKV = 2, .hd = 34, .ld = 140, .window = 7}, 210, 70},
};
enum { N_SEQUENCES = sizeof sequences / sizeof *sequences };

static void every_backend_attends_to_a_cache_alike(void **state)
{
    for (size_t i = 0; i < N_SEQUENCES; i++) {
        trial t = cached_trial(&sequences[i]);
        compare_columns(&t, run_cached, &sequences[i]);
    }
}

static void a_cache_holds_what_the_whole_sequence_is(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (size_t i = 0; i < N_SEQUENCES; i++) {
            dn_real *results[MAX_ARRAYS];
            double host[MAX_HOST];
            const sequence *c = &sequences[i];
            trial t = cached_trial(c);
            run_backend((*backend)->name, 1, &t, run_cached, c, results, host);
            for (size_t j = 0; j < c->x.T * c->x.NH * c->x.hd; j++) {
                double whole = (double)results[WHOLE][j];
                assert_close((double)results[CHUNKS][j], whole, 64 * DN_REAL_EPS);
                assert_close((double)results[SINGLE][j], whole, 64 * DN_REAL_EPS);
            }
            assert_memory_equal(results[NARROW], results[OF_HELD], c->x.T * c->x.NH * c->x.hd * sizeof(dn_real));
            free_results(&t, results);
            free_trial(&t);
        }
}

TESTS(decode)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_product_of_few_rows_is_gemm),
        cmocka_unit_test(weights_in_bfloat16_multiply_as_what_they_are),
        cmocka_unit_test(threads_and_neighbours_do_not_change_a_product),
        cmocka_unit_test(every_backend_attends_to_a_cache_alike),
        cmocka_unit_test(a_cache_holds_what_the_whole_sequence_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
