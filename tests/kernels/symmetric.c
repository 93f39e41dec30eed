/* Batched and symmetric products: every backend against the reference. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

typedef struct products {
    size_t count, m, n, k;
    dn_trans ta, tb;
    double alpha, beta, gamma;
} products;

static void run_gemm(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const products *p = context;
    s->kernels->gemm_batch(s, p->count, p->ta, p->tb, p->m, p->n, p->k, p->alpha, b[0], b[1], p->beta, b[2]);
}

/* 2, 3 and 5 matrices on 2 threads: shared out evenly, and with one that both work on. */
static const size_t counts[] = {0, 1, 2, 3, 5};
#define N_COUNTS (sizeof counts / sizeof *counts)

/* As in vectors.c: a sum of k products of N(0,1) carries at most 8 k eps. */
static void batches_agree_for_all_transpositions(void **state)
{
    static const size_t sizes[][3] = {{1, 1, 1}, {5, 7, 3}, {70, 90, 130}, {0, 3, 2}, {3, 0, 2}, {4, 3, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int trans = 0; trans < 4; trans++) {
            products p = {.count = counts[(i + (size_t)trans) % N_COUNTS],
                          .m = sizes[i][0],
                          .n = sizes[i][1],
                          .k = sizes[i][2],
                          .ta = trans & 1 ? DN_T : DN_N,
                          .tb = trans & 2 ? DN_T : DN_N,
                          .alpha = -0.5,
                          .beta = trans == 3 ? 0 : 2};
            size_t n_out = p.count * p.m * p.n;
            trial t = {.arrays = {random_array(p.count * p.m * p.k, 1, 1),
                                  random_array(p.count * p.k * p.n, 2, 1),
                                  p.beta == 0 ? nan_array(n_out) : random_array(n_out, 3, 1)},
                       .n_arrays = 3};
            t.arrays[2].scale = (double)p.k + 1;
            compare_columns(&t, run_gemm, &p);
        }
}

/* b[2] = product of b[0] with itself plus a part of b[1] and of I; b[3] = b[0] times b[4]. */
static void run_symmetric(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const products *p = context;
    s->kernels->symmetric_product(s, p->count, p->ta, p->n, p->k, p->alpha, b[0], b[0], p->beta,
                                  p->beta == 0 ? NULL : b[1], p->gamma, b[2]);
    s->kernels->symmetric_product(s, p->count, p->ta, p->n, p->k, p->alpha, b[0], b[4], 0, NULL, 0, b[3]);
}

static void make_symmetric(dn_real *a, size_t count, size_t n)
{
    for (size_t k = 0; k < count; k++)
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < i; j++)
                a[(k * n + i) * n + j] = a[(k * n + j) * n + i];
}

static trial symmetric_trial(const products *p)
{
    size_t n_in = p->count * p->n * p->k, n_out = p->count * p->n * p->n;
    trial t = {.arrays = {random_array(n_in, 1, 1), random_array(n_out, 2, 1), nan_array(n_out),
                          nan_array(n_out), random_array(n_in, 1, 1)},
               .n_arrays = 5};
    make_symmetric(t.arrays[1].start, p->count, p->n);
    for (size_t i = 0; i < n_in; i++) /* a multiple of the first factor: the product stays symmetric */
        t.arrays[4].start[i] *= 2;
    t.arrays[2].scale = t.arrays[3].scale = 2 * (double)p->k + 1;
    return t;
}

/* 97 and 300 rows: cut once, and twice, into leaves of several tiles; of 600 columns: more than a chunk. */
static void symmetric_products_agree(void **state)
{
    static const size_t sizes[][2] = {{1, 1},   {5, 3},     {17, 40}, {97, 20},
                                      {300, 7}, {100, 600}, {0, 3},   {6, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int trans = 0; trans < 2; trans++) {
            products p = {.count = counts[(i + (size_t)trans) % N_COUNTS],
                          .n = sizes[i][0],
                          .k = sizes[i][1],
                          .ta = trans ? DN_T : DN_N,
                          .alpha = 1.5,
                          .beta = i % 2 ? 0 : -0.5,
                          .gamma = i % 3 ? 3 : 0};
            trial t = symmetric_trial(&p);
            compare_columns(&t, run_symmetric, &p);
        }
}

static void symmetric_products_are_symmetric_to_the_last_bit(void **state)
{
    const products p = {.count = 2, .n = 150, .k = 31, .alpha = 1, .beta = 0.25, .gamma = 2};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        trial t = symmetric_trial(&p);
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST];
        run_backend((*backend)->name, 1, &t, run_symmetric, &p, results, host);
        for (size_t k = 0; k < p.count; k++)
            for (size_t i = 0; i < p.n; i++)
                for (size_t j = 0; j < i; j++)
                    assert_memory_equal(&results[2][(k * p.n + i) * p.n + j],
                                        &results[2][(k * p.n + j) * p.n + i], sizeof(dn_real));
        free_results(&t, results);
        free_trial(&t);
    }
}

/* Single products are cut for threads, matrices of a batch dealt to them: of a stream that rounds alike neither may show. Sizes are of
 * no whole tiles, and above what one thread does alone. */
static void run_alike(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const products *p = context;
    dn_stream_round_alike(s);
    s->kernels->gemm_batch(s, p->count, p->ta, p->tb, p->m, p->n, p->k, 1, b[0], b[1], 0, b[2]);
    s->kernels->gemm(s, p->ta, p->tb, p->m, p->n, p->k, 1, b[0], p->ta == DN_N ? p->k : p->m, b[1], p->tb == DN_N ? p->n : p->k, 1,
                     b[3], p->n);
}

static void streams_that_round_alike_make_the_same_bits_on_any_number_of_threads(void **state)
{
    static const size_t some[][4] = {{1, 203, 187, 141}, {11, 130, 97, 111}, {3, 1100, 64, 128}};
    static const int n_threads[] = {2, 3, 5, 8, 9};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
            const products p = {.count = some[i][0], .m = some[i][1], .n = some[i][2], .k = some[i][3], .ta = DN_N, .tb = DN_T};
            size_t n_out = p.m * p.n;
            trial t = {.arrays = {random_array(p.count * p.m * p.k, 1, 1), random_array(p.count * p.k * p.n, 2, 1),
                                  nan_array(p.count * n_out), random_array(n_out, 3, 1)},
                       .n_arrays = 4};
            dn_real *one[MAX_ARRAYS], *many[MAX_ARRAYS];
            double host[MAX_HOST];
            run_backend((*backend)->name, 1, &t, run_alike, &p, one, host);
            for (size_t k = 0; k < sizeof n_threads / sizeof *n_threads; k++) {
                run_backend((*backend)->name, n_threads[k], &t, run_alike, &p, many, host);
                for (size_t a = 2; a < 4; a++)
                    for (size_t e = 0; e < t.arrays[a].n; e++)
                        if (memcmp(&one[a][e], &many[a][e], sizeof(dn_real)) != 0)
                            fail_msg("%s, shape %zu: array %zu, element %zu is %.17g with %d threads, %.17g with one", (*backend)->name, i,
                                     a, e, (double)many[a][e], n_threads[k], (double)one[a][e]);
                free_results(&t, many);
            }
            free_results(&t, one);
            free_trial(&t);
        }
}

TESTS(symmetric)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_agree_for_all_transpositions),
        cmocka_unit_test(symmetric_products_agree),
        cmocka_unit_test(symmetric_products_are_symmetric_to_the_last_bit),
        cmocka_unit_test(streams_that_round_alike_make_the_same_bits_on_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
