/* Products, vectors, element-wise optimizers and column norms: every backend against the reference. */
#include "support.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

static const size_t lengths[] = {0, 1, 17, 16384, 40003};
/* Of sums of up to 40003 terms in double, in another order: n eps at the very worst, sqrt(n) eps as a rule.
 */
#define SUM_IN_DOUBLE 1e-12

#define N_LENGTHS (sizeof lengths / sizeof *lengths)

typedef struct product {
    dn_trans ta, tb;
    size_t m, n, k, lda, ldb, ldc;
    double alpha, beta;
} product;

static void run_gemm(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const product *p = context;
    s->kernels->gemm(s, p->ta, p->tb, p->m, p->n, p->k, p->alpha, b[0], p->lda, b[1], p->ldb, p->beta, b[2],
                     p->ldc);
}

/* A sum of k products of N(0,1) has size sqrt(k) and rounding errors of eps sqrt(k) each, k of them: 8 k eps.
 */
static void compare_product(product p, size_t pad)
{
    size_t a_rows = p.ta == DN_N ? p.m : p.k, a_columns = p.ta == DN_N ? p.k : p.m;
    size_t b_rows = p.tb == DN_N ? p.k : p.n, b_columns = p.tb == DN_N ? p.n : p.k;
    p.lda = a_columns + pad;
    p.ldb = b_columns + pad;
    p.ldc = p.n + pad;
    trial t = {.arrays = {padded_array(a_rows, a_columns, p.lda, 1, 1),
                          padded_array(b_rows, b_columns, p.ldb, 2, 1), padded_array(p.m, p.n, p.ldc, 3, 1)},
               .n_arrays = 3};
    t.arrays[2].scale = (double)p.k + 1;
    for (size_t i = 0; p.beta == 0 && i < t.arrays[2].n; i++)
        t.arrays[2].start[i] = (dn_real)NAN;
    compare_columns(&t, run_gemm, &p);
}

static void products_agree_for_all_transpositions_and_strides(void **state)
{
    static const size_t sizes[][3] = {{1, 1, 1},     {5, 7, 3}, {1, 130, 17}, {33, 1, 5},
                                      {64, 65, 129}, {0, 3, 2}, {3, 0, 2},    {4, 3, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int trans = 0; trans < 4; trans++) {
            product p = {.ta = trans & 1 ? DN_T : DN_N,
                         .tb = trans & 2 ? DN_T : DN_N,
                         .m = sizes[i][0],
                         .n = sizes[i][1],
                         .k = sizes[i][2],
                         .alpha = 1};
            compare_product(p, 0);
            p.alpha = -0.5;
            p.beta = 2;
            compare_product(p, 3);
        }
}

/* Tall enough to be multiplied by our own kernels; rows are no whole blocks, and terms are several, not whole. */
static const product tall_products[] = {
    {.ta = DN_N, .tb = DN_T, .m = 2055, .n = 64, .k = 300, .alpha = 1, .beta = 0},
    {.ta = DN_N, .tb = DN_N, .m = 2055, .n = 64, .k = 300, .alpha = 1, .beta = 1},
    {.ta = DN_N, .tb = DN_T, .m = 2048, .n = 192, .k = 70, .alpha = 1, .beta = 1},
    {.ta = DN_N, .tb = DN_N, .m = 2048, .n = 64, .k = 128, .alpha = 1, .beta = 0},
};
enum { N_TALL = sizeof tall_products / sizeof *tall_products };

static void products_of_tall_matrices_with_small_ones_agree(void **state)
{
    for (size_t i = 0; i < N_TALL; i++) {
        compare_product(tall_products[i], 0);
        compare_product(tall_products[i], 3);
    }
}

static void our_own_products_have_the_same_bits_with_any_number_of_threads(void **state)
{
    static const int threads[] = {2, 3, 8};
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_stream *s = make_stream((*backend)->name, 1);
        bool own = strstr(dn_products_describe(s), (*backend)->name) != NULL;
        dn_stream_destroy(&s);
        for (size_t i = 0; own && i < N_TALL; i++) {
            product p = tall_products[i];
            p.lda = p.k;
            p.ldb = p.tb == DN_N ? p.n : p.k;
            p.ldc = p.n;
            trial t = {.arrays = {random_array(p.m * p.k, 1, 1), random_array(p.n * p.k, 2, 1), random_array(p.m * p.n, 3, 1)},
                       .n_arrays = 3};
            dn_real *alone[MAX_ARRAYS], *shared[MAX_ARRAYS];
            double host[MAX_HOST];
            run_backend((*backend)->name, 1, &t, run_gemm, &p, alone, host);
            for (size_t k = 0; k < sizeof threads / sizeof *threads; k++) {
                run_backend((*backend)->name, threads[k], &t, run_gemm, &p, shared, host);
                for (size_t j = 0; j < p.m * p.n; j++)
                    if (memcmp(&alone[2][j], &shared[2][j], sizeof(dn_real)) != 0)
                        fail_msg("%s, product %zu, %d threads: number %zu is %a, alone %a", (*backend)->name, i, threads[k], j,
                                 (double)shared[2][j], (double)alone[2][j]);
                free_results(&t, shared);
            }
            free_results(&t, alone);
            free_trial(&t);
        }
    }
}

/* Of a rank of 8 or 16 most of a panel's work would be for nothing. */
static void products_of_a_low_rank_are_left_to_the_library(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_stream *s = make_stream((*backend)->name, 1);
        dn_product x = {.ta = DN_N, .tb = DN_T, .m = 4096, .n = 64, .k = 256, .alpha = 1};
        bool own = strstr(dn_products_describe(s), (*backend)->name) != NULL;
        assert_true(s->host || dn_cpu_packs(s, &x) == own);
        for (x.n = 1; x.n < 64; x.n++)
            assert_false(dn_cpu_packs(s, &x));
        x.n = 64;
        x.k = 16;
        assert_false(dn_cpu_packs(s, &x));
        dn_stream_destroy(&s);
    }
}

/* The largest part of C says how long all take: little more than an even share. Of A and B all parts together read, or pack,
 * little more than square ones would: on 47 threads strips read three times as much. */
static void nearly_all_of_a_prime_number_of_threads_share_a_product(void **state)
{
    static const size_t threads[] = {2, 3, 4, 7, 8, 13, 31, 47, 48, 61};
    for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
        dn_grid g = dn_cpu_choose_grid(1024, 768, threads[i]);
        size_t used = g.rows * g.cols;
        double read = 1024.0 * (double)g.cols + 768.0 * (double)g.rows, square = 2 * sqrt((double)used * 1024 * 768);
        if (used > threads[i] || 10 * used < 9 * threads[i] || (threads[i] > 8 && read > 1.1 * square))
            fail_msg("%zu threads: a grid of %zu x %zu, which reads %g vectors, %.2f times as many as squares", threads[i], g.rows,
                     g.cols, read, read / square);
    }
}

/* Small ones, large ones, empty ones and one that only scales, side by side in one buffer; more than are
 * shared out at once. */
static void run_many(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    enum { N = 150, EDGE = 100 };
    static const size_t edges[] = {1, 16, 33, EDGE, 0, 7};
    dn_product products[N];
    for (size_t i = 0; i < N; i++)
        products[i] = (dn_product){.ta = i % 2 ? DN_T : DN_N,
                                   .tb = i % 3 ? DN_T : DN_N,
                                   .m = edges[i % 6],
                                   .n = edges[i % 5],
                                   .k = edges[i % 4],
                                   .alpha = 1.5,
                                   .a = b[0],
                                   .lda = EDGE,
                                   .b = b[1],
                                   .ldb = EDGE,
                                   .beta = i % 7 ? 0.5 : 0,
                                   .c = dn_at(b[2], i * EDGE * EDGE),
                                   .ldc = EDGE};
    products[3].k = 0;
    s->kernels->gemm_many(s, products, N);
}

/* As of one product. */
static void many_products_agree(void **state)
{
    trial t = {.arrays = {random_array(10000, 1, 1), random_array(10000, 2, 1), random_array(1500000, 3, 1)},
               .n_arrays = 3};
    for (size_t i = 0; i < 2; i++)
        t.arrays[i].ulps = 0;
    t.arrays[2].ulps = 8;
    t.arrays[2].scale = 100;
    compare_columns(&t, run_many, NULL);
}

static void run_vectors(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    size_t n = *(const size_t *)context;
    s->kernels->fill(s, b[0], n, -1.25);
    s->kernels->copy(s, b[1], b[4], n);
    s->kernels->axpby(s, b[2], 1.5, b[4], -0.25, n);
    s->kernels->relu2_forward(s, b[3], n);
    s->kernels->sum_squares(s, host, b[4], n);
    s->kernels->dot(s, host + 1, b[4], b[5], n);
    s->kernels->clear_where_zero(s, b[6], b[3], n); /* half of b[3] is 0 */
    s->kernels->sign(s, b[7], b[3], n);
    s->kernels->sign(s, b[8], b[8], n);
}

static void vector_operations_agree(void **state)
{
    for (size_t i = 0; i < N_LENGTHS; i++) {
        size_t n = lengths[i];
        trial t = {.arrays = {nan_array(n), nan_array(n), random_array(n, 1, 1), random_array(n, 2, 1),
                              random_array(n, 3, 1), random_array(n, 4, 1), random_array(n, 5, 1),
                              nan_array(n), random_array(n, 6, 1)},
                   .n_arrays = 9,
                   .n_host = 2,
                   .host_tolerance = SUM_IN_DOUBLE,
                   .same_bits = true};
        t.arrays[0].ulps = t.arrays[1].ulps = t.arrays[7].ulps = t.arrays[8].ulps = 0;
        compare_columns(&t, run_vectors, &n);
    }
}

/* Numbers go from N(0,1) to the fixed point 2: each round rounds once or twice, and halves what rounding did before. */
static void run_multiply_add(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->multiply_add(s, b[0], 0.5, 1, 9, *(const size_t *)context);
}

static void rounds_of_multiplying_and_adding_agree(void **state)
{
    for (size_t i = 0; i < N_LENGTHS; i++) {
        trial t = {.arrays = {random_array(lengths[i], 1, 1)}, .n_arrays = 1, .same_bits = true};
        t.arrays[0].ulps = 2;
        compare_columns(&t, run_multiply_add, &lengths[i]);
    }
}

static void run_relu2_backward(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->relu2_backward(s, b[0], b[1], *(const size_t *)context);
}

static void relu2_backward_agrees(void **state)
{
    for (size_t i = 0; i < N_LENGTHS; i++) {
        size_t n = lengths[i];
        trial t = {
            .arrays = {random_array(n, 1, 1), random_array(n, 2, 1)}, .n_arrays = 2, .same_bits = true};
        for (size_t j = 0; j < n; j++)
            t.arrays[1].start[j] = j % 3 ? (dn_real)fabs((double)t.arrays[1].start[j]) : 0;
        compare_columns(&t, run_relu2_backward, &n);
    }
}

static void run_nan(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->relu2_forward(s, b[0], 3);
    s->kernels->sum_squares(s, &host[0], b[0], 3);
    s->kernels->sum_squares(s, &host[1], b[1], 70000);
}

static void nan_and_infinity_show_in_the_sum_of_squares(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        trial t = {.arrays = {constant_array(3, 0), random_array(70000, 1, 1)}, .n_arrays = 2};
        t.arrays[0].start[1] = (dn_real)NAN;
        t.arrays[1].start[69998] = (dn_real)INFINITY;
        dn_real *results[MAX_ARRAYS];
        double host[MAX_HOST];
        run_backend((*backend)->name, 1, &t, run_nan, NULL, results, host);
        assert_true(isnan(host[0]));
        assert_true(isinf(host[1]));
        free_results(&t, results);
        free_trial(&t);
    }
}

static void run_optimizers(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    size_t n = *(const size_t *)context;
    dn_adamw_step step = {.lr = 0.1,
                          .beta1 = 0.9,
                          .beta2 = 0.95,
                          .eps = 1e-8,
                          .weight_decay = 0.3,
                          .correction1 = 0.19,
                          .correction2 = 0.0975};
    s->kernels->adamw(s, b[0], b[1], b[2], b[3], n, &step);
    step.cautious = true;
    s->kernels->adamw(s, b[6], b[7], b[8], b[3], n, &step);
    s->kernels->lion(s, b[4], b[5], b[3], n, 0.1, 0.9, 0.95, 0.3, false);
    s->kernels->lion(s, b[9], b[10], b[3], n, 0.1, 0.9, 0.95, 0.3, true);
    s->kernels->scale_aligned(s, b[11], 0.7, b[3], n);
}

/* |m/sqrt(v)| stays below 10 or so: 8 eps of 10 covers the few roundings of an element. */
static void adamw_and_lion_agree(void **state)
{
    for (size_t i = 0; i < N_LENGTHS; i++) {
        size_t n = lengths[i];
        trial t = {.arrays = {random_array(n, 1, 1), random_array(n, 2, 1), random_array(n, 3, 1),
                              random_array(n, 4, 1), random_array(n, 5, 1), random_array(n, 6, 1),
                              random_array(n, 7, 1), random_array(n, 2, 1), random_array(n, 3, 1),
                              random_array(n, 8, 1), random_array(n, 9, 1), random_array(n, 10, 1)},
                   .n_arrays = 12,
                   .same_bits = true};
        t.arrays[0].scale = t.arrays[6].scale = 10;
        for (size_t j = 0; j < n; j++)
            t.arrays[2].start[j] = t.arrays[8].start[j] = (dn_real)fabs((double)t.arrays[2].start[j]);
        if (n > 1) /* no gradient, no momentum: Adam's 0/(0 + eps) and Lion's sign(0) are both 0 */
            for (size_t a = 1; a < 12; a++)
                t.arrays[a].start[1] = 0;
        compare_columns(&t, run_optimizers, &n);
    }
}

typedef struct tall {
    size_t n, r;
} tall;

static void run_backends(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const tall *x = context;
    double given[MAX_HOST];
    for (size_t j = 0; j < x->r; j++)
        given[j] = (double)j + 0.5;
    s->kernels->column_squares(s, host, b[0], x->n, x->r);
    s->kernels->normalize_columns(s, b[1], b[0], x->n, x->r, 1e-8, NULL);
    s->kernels->normalize_columns(s, b[2], b[0], x->n, x->r, 0.25, given);
    s->kernels->normalize_columns(s, b[3], b[3], x->n, x->r, 1e-8, NULL); /* in place */
}

static void column_norms_agree(void **state)
{
    static const tall shapes[] = {{1, 1}, {70, 3}, {300, 129}, {1, 200}, {200, 1}, {0, 5}, {5, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t n = shapes[i].n * shapes[i].r;
        trial t = {.arrays = {random_array(n, 1, 1), nan_array(n), nan_array(n), random_array(n, 2, 1)},
                   .n_arrays = 4,
                   .n_host = shapes[i].r,
                   .host_tolerance = SUM_IN_DOUBLE,
                   .same_bits = true};
        compare_columns(&t, run_backends, &shapes[i]);
    }
}

/* An all-zero column stays zero: eps is added to its norm. */
static void a_zero_column_stays_zero(void **state)
{
    static const tall shape = {9, 2};
    trial t = {.arrays = {constant_array(18, 0), nan_array(18), nan_array(18), constant_array(18, 0)},
               .n_arrays = 4,
               .n_host = 2,
               .host_tolerance = SUM_IN_DOUBLE};
    for (size_t a = 1; a < 4; a++)
        t.arrays[a].scale = 0;
    compare_columns(&t, run_backends, &shape);
}

TESTS(vectors)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_agree_for_all_transpositions_and_strides),
        cmocka_unit_test(products_of_tall_matrices_with_small_ones_agree),
        cmocka_unit_test(our_own_products_have_the_same_bits_with_any_number_of_threads),
        cmocka_unit_test(products_of_a_low_rank_are_left_to_the_library),
        cmocka_unit_test(nearly_all_of_a_prime_number_of_threads_share_a_product),
        cmocka_unit_test(many_products_agree),
        cmocka_unit_test(vector_operations_agree),
        cmocka_unit_test(rounds_of_multiplying_and_adding_agree),
        cmocka_unit_test(relu2_backward_agrees),
        cmocka_unit_test(nan_and_infinity_show_in_the_sum_of_squares),
        cmocka_unit_test(adamw_and_lion_agree),
        cmocka_unit_test(column_norms_agree),
        cmocka_unit_test(a_zero_column_stays_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
