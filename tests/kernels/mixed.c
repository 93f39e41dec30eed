/* Products of layers: in float those of gemm; in mixed precision those of numbers rounded to bfloat16, by every backend. */
#include "support.h"

#include "support/device.h"
#include "support/full.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct product {
    dn_trans ta, tb;
    size_t m, n, k, lda, ldb, ldc;
    bool add;
} product;

static void run_layer(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const product *p = context;
    s->kernels->gemm_layer(s, p->ta, p->tb, p->m, p->n, p->k, b[0], p->lda, b[1], p->ldb, p->add, b[2], p->ldc);
}

static void run_gemm(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const product *p = context;
    s->kernels->gemm(s, p->ta, p->tb, p->m, p->n, p->k, 1, b[0], p->lda, b[1], p->ldb, p->add, b[2], p->ldc);
}

/* Its arrays A, B and C, rows with padding; of C, if it is overwritten, all is NaN. */
static trial trial_of(product *p, size_t pad)
{
    size_t a_rows = p->ta == DN_N ? p->m : p->k, b_rows = p->tb == DN_N ? p->k : p->n;
    p->lda = (p->ta == DN_N ? p->k : p->m) + pad;
    p->ldb = (p->tb == DN_N ? p->n : p->k) + pad;
    p->ldc = p->n + pad;
    trial t = {.arrays = {padded_array(a_rows, p->lda - pad, p->lda, 1, 1), padded_array(b_rows, p->ldb - pad, p->ldb, 2, 1),
                          padded_array(p->m, p->n, p->ldc, 3, 1)},
               .n_arrays = 3};
    for (size_t i = 0; !p->add && i < t.arrays[2].n; i++)
        t.arrays[2].start[i] = (dn_real)NAN;
    return t;
}

/* Edges of vectors, panels, blocks of rows, columns and k; an odd k, whose last number has no neighbour. */
static const size_t sizes[][3] = {{1, 1, 1},   {5, 7, 3},      {1, 130, 17},  {33, 1, 5},   {64, 64, 128}, {97, 33, 65},
                                  {13, 34, 2}, {100, 65, 385}, {12, 545, 40}, {203, 96, 770}, {0, 3, 2},   {3, 0, 2},
                                  {4, 3, 0}, {50, 30, 70}};
enum { N_SIZES = sizeof sizes / sizeof *sizes, N_CASES = 8 * N_SIZES };

/* To the next case: under sanitizers some, of which each size, transposition and padding (i % 3) comes, as 7 has no divisor in common
 * with 8 and 3. */
static size_t stride(void)
{
    return looks_at_memory_alone() ? 7 : 1;
}

static product case_of(size_t i)
{
    const size_t *size = sizes[i / 8];
    return (product){.ta = i & 1 ? DN_T : DN_N, .tb = i & 2 ? DN_T : DN_N, .m = size[0], .n = size[1], .k = size[2], .add = i & 4};
}

/* C of every backend of mixed precision, with 1 and 3 threads, in the long run 2 and 8, too; what stood in A, B and the padding stays, and threads
 * change no bit. What `right` [m,ldc] has, within `tolerance`. */
static void compare_mixed(const trial *t, const product *p, const dn_real *right, double tolerance)
{
    static const int threads[] = {3, 1, 2, 8};
    const size_t n_runs = full_run() ? 4 : looks_at_memory_alone() ? 1 : 2;
    for (const dn_kernels *const *backend = dn_kernels_mixed(); *backend; backend = next_backend(backend)) {
        dn_real *got[4][MAX_ARRAYS];
        double host[MAX_HOST];
        for (size_t k = 0; k < n_runs; k++) {
            run_backend((*backend)->name, threads[k], t, run_layer, p, got[k], host);
            for (size_t a = 0; a < 2; a++)
                assert_memory_equal(got[k][a], t->arrays[a].start, t->arrays[a].n * sizeof(dn_real));
            for (size_t i = 0; i < t->arrays[2].n; i++) {
                bool kept = t->arrays[2].kept[i];
                const dn_real *want = kept ? &t->arrays[2].start[i] : &right[i];
                bool same = memcmp(&got[k][2][i], want, sizeof *want) == 0;
                if (!same && (kept || !(fabs((double)(got[k][2][i] - *want)) <= tolerance)))
                    fail_msg("%s, %d threads, %zu x %zu x %zu, %d%d%d: element %zu is %.9g, not %.9g", (*backend)->name, threads[k],
                             p->m, p->n, p->k, p->ta, p->tb, p->add, i, (double)got[k][2][i], (double)*want);
                if (memcmp(&got[k][2][i], &got[0][2][i], sizeof(dn_real)) != 0)
                    fail_msg("%s: element %zu is %a with %d threads, %a with %d", (*backend)->name, i, (double)got[k][2][i],
                             threads[k], (double)got[0][2][i], threads[0]);
            }
        }
        for (size_t k = 0; k < n_runs; k++)
            free_results(t, got[k]);
    }
}

/* Whole numbers of up to 8 are of bfloat16, and their sums of float: nothing is rounded, and all bits are known. */
static void products_of_whole_numbers_are_exact(void **state)
{
    for (size_t i = 0; i < N_CASES; i += stride()) {
        product p = case_of(i);
        trial t = trial_of(&p, i % 3);
        dn_real *right[MAX_ARRAYS];
        double host[MAX_HOST];
        for (size_t a = 0; a < 3; a++)
            for (size_t j = 0; j < t.arrays[a].n; j++)
                t.arrays[a].start[j] = (dn_real)fmax(-8, fmin(8, round(4 * (double)t.arrays[a].start[j])));
        for (size_t j = 0; !p.add && j < t.arrays[2].n; j++)
            t.arrays[2].start[j] = (dn_real)NAN;
        run_backend("ref", 1, &t, run_gemm, &p, right, host);
        compare_mixed(&t, &p, right[2], 0);
        free_results(&t, right);
        free_trial(&t);
    }
}

/* A sum of k products of N(0,1) has size sqrt(k) and rounding errors of eps sqrt(k) each, k of them: 8 k eps, and some for C.
 * That A and B are rounded makes thousands of times as much. */
static void operands_are_rounded_to_bfloat16_and_sums_are_not(void **state)
{
    for (size_t i = 0; i < N_CASES; i += stride()) {
        product p = case_of(i);
        trial t = trial_of(&p, 1), rounded = trial_of(&p, 1);
        dn_real *right[MAX_ARRAYS], *unrounded[MAX_ARRAYS];
        double host[MAX_HOST], tolerance = 8 * DN_REAL_EPS * ((double)p.k + 1), most = 0;
        round_to_bf16(&rounded.arrays[0]);
        round_to_bf16(&rounded.arrays[1]);
        run_backend("ref", 1, &rounded, run_gemm, &p, right, host);
        run_backend("ref", 1, &t, run_gemm, &p, unrounded, host);
        for (size_t j = 0; j < t.arrays[2].n; j++)
            if (!t.arrays[2].kept[j])
                most = fmax(most, fabs((double)(right[2][j] - unrounded[2][j])));
        assert_true(p.m * p.n * p.k < 1000 || most > 20 * tolerance);
        compare_mixed(&t, &p, right[2], tolerance);
        free_results(&t, right);
        free_results(&t, unrounded);
        free_trial(&t);
        free_trial(&rounded);
    }
}

/* Of a list, behind what is the device's own. */
static const dn_kernels *const *hosts(const dn_kernels *const *list)
{
    return list + dn_kernels_are_the_devices(*list);
}

#ifndef DN_REAL_DOUBLE
static float flushed(float x)
{
    return fabsf(x) < FLT_MIN ? 0 : x;
}

/* Element (i, j) as Intel's manual has it made of tiles of 32 k: of first and of second numbers of pairs a fused sum each,
 * then both sums, then that and C. */
static float of_tiles(const product *p, const trial *t, size_t i, size_t j)
{
    const float *a = t->arrays[0].start, *b = t->arrays[1].start;
    float c = p->add ? t->arrays[2].start[i * p->ldc + j] : 0;
    for (size_t first = 0; first < p->k; first += 32) {
        float sums[2] = {0, 0};
        for (size_t l = first; l < p->k && l < first + 32; l++) {
            float left = a[p->ta == DN_N ? i * p->lda + l : l * p->lda + i], right = b[p->tb == DN_N ? l * p->ldb + j : j * p->ldb + l];
            sums[l % 2] = flushed(fmaf(flushed(left), flushed(right), sums[l % 2]));
        }
        c = flushed(flushed(c) + flushed(sums[0] + sums[1]));
    }
    return c;
}

/* Of the backends of tiles, by instructions and without, every bit is known; also of what is too small for a normal number: a
 * row of such, and one that products make such of. */
static void tiles_round_in_their_own_order_and_have_no_denormals(void **state)
{
    size_t n_backends = 0;
    for (const dn_kernels *const *backend = hosts(dn_kernels_mixed()); *backend; backend++)
        for (size_t i = 0; strstr((*backend)->name, "amx") && i < 8; i++) {
            product p = {.ta = i & 1 ? DN_T : DN_N, .tb = i & 2 ? DN_T : DN_N, .m = 37, .n = 35, .k = 75, .add = i & 4};
            trial t = trial_of(&p, 1);
            dn_real *got[MAX_ARRAYS];
            double host[MAX_HOST];
            for (size_t j = 0; j < t.arrays[0].n; j++) {
                size_t row = p.ta == DN_N ? j / p.lda : j % p.lda;
                t.arrays[0].start[j] *= row == 2 ? 0x1p-127f : row == 3 ? 0x1p-120f : 1;
            }
            for (size_t j = 0; j < t.arrays[1].n; j++)
                t.arrays[1].start[j] *= (p.tb == DN_N ? j % p.ldb : j / p.ldb) == 4 ? 0x1p-8f : 1;
            round_to_bf16(&t.arrays[0]);
            round_to_bf16(&t.arrays[1]);
            run_backend((*backend)->name, 2, &t, run_layer, &p, got, host);
            for (size_t row = 0; row < p.m; row++)
                for (size_t col = 0; col < p.n; col++) {
                    float right = of_tiles(&p, &t, row, col), found = got[2][row * p.ldc + col];
                    if (!(found == right))
                        fail_msg("%s, %zu: (%zu, %zu) is %a, not %a", (*backend)->name, i, row, col, (double)found, (double)right);
                }
            free_results(&t, got);
            free_trial(&t);
            n_backends++;
        }
    assert_true(n_backends > 0);
}
#endif

/* A row of A, or a column of B, that is not finite spoils its own sums alone; k is odd, and blocks are not whole. */
static void what_is_not_finite_stays_in_its_row_and_column(void **state)
{
    enum { M = 14, N = 37, K = 401 };
    for (const dn_kernels *const *backend = dn_kernels_mixed(); *backend; backend = next_backend(backend))
        for (size_t i = 0; i < 4; i++) {
            product p = {.ta = i & 1 ? DN_T : DN_N, .tb = i & 2 ? DN_T : DN_N, .m = M, .n = N, .k = K};
            trial t = trial_of(&p, 0);
            dn_real *got[MAX_ARRAYS];
            double host[MAX_HOST];
            t.arrays[0].start[p.ta == DN_N ? 3 * K + K - 1 : (K - 1) * M + 3] = (dn_real)NAN;
            t.arrays[1].start[p.tb == DN_N ? 5 : 5 * K] = (dn_real)INFINITY;
            run_backend((*backend)->name, 2, &t, run_layer, &p, got, host);
            for (size_t row = 0; row < M; row++)
                for (size_t col = 0; col < N; col++)
                    if (isfinite((double)got[2][row * N + col]) != (row != 3 && col != 5))
                        fail_msg("%s, %zu: (%zu, %zu) is %g", (*backend)->name, i, row, col, (double)got[2][row * N + col]);
            free_results(&t, got);
            free_trial(&t);
        }
}

static void in_float_they_are_the_bits_of_gemm(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (size_t i = 0; i < N_CASES; i += stride()) {
            product p = case_of(i);
            trial t = trial_of(&p, 0);
            dn_real *layer[MAX_ARRAYS], *gemm[MAX_ARRAYS];
            double host[MAX_HOST];
            run_backend((*backend)->name, 2, &t, run_layer, &p, layer, host);
            run_backend((*backend)->name, 2, &t, run_gemm, &p, gemm, host);
            assert_memory_equal(layer[2], gemm[2], t.arrays[2].n * sizeof(dn_real));
            free_results(&t, layer);
            free_results(&t, gemm);
            free_trial(&t);
        }
}

static void run_rounds(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const size_t *rounds = context;
    s->kernels->multiply_add_layer(s, b[0], 2, 1 + 1.0 / 512, *rounds, rounds[1]); /* a tie: 1 */
}

static void rounds_add_products_of_rounded_numbers(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_mixed(); *backend; backend = next_backend(backend))
        for (size_t rounds = 0; rounds < 5; rounds++)
            for (size_t n = 1; n < 400; n += 133) {
                trial t = {.arrays = {constant_array(n, 5)}, .n_arrays = 1};
                dn_real *got[MAX_ARRAYS];
                double host[MAX_HOST];
                run_backend((*backend)->name, 2, &t, run_rounds, (const size_t[]){rounds, n}, got, host);
                for (size_t i = 0; i < n; i++)
                    if ((double)got[0][i] != 5 + 2.0 * (double)rounds)
                        fail_msg("%s: %zu rounds make %g of 5", (*backend)->name, rounds, (double)got[0][i]);
                free_results(&t, got);
                free_trial(&t);
            }
}

static void every_instruction_set_emulates_mixed_precision_and_all_else_is_its_own(void **state)
{
    const dn_kernels *const *list = dn_kernels_mixed(), *const *plain = dn_kernels_available();
    if (dn_kernels_are_the_devices(*list)) {
        assert_string_equal((*list)->plain, (*plain)->name);
        assert_ptr_equal((*list)->gemm, (*plain)->gemm);
        assert_ptr_not_equal((*list)->gemm_layer, (*plain)->gemm_layer);
    }
    list = hosts(list);
    plain = hosts(plain);
    while (strncmp(list[0]->name, "cpu-", 4) == 0) {
        assert_string_equal(list[0]->plain, "cpu-avx512");
        assert_ptr_equal((*list++)->gemm, plain[0]->gemm);
    }
    assert_string_equal(list[0]->name, "emulated");
    for (; *list && strcmp((*list)->name, "emulated-amx") != 0; list++, plain++) {
        dn_stream *s = make_stream((*list)->name, 1);
        assert_ptr_equal(apart() ? s->host->kernels : s->kernels, *list);
        assert_string_equal((*list)->plain, (*plain)->name);
        assert_ptr_equal((*list)->gemm, (*plain)->gemm);
        assert_ptr_not_equal((*list)->gemm_layer, (*plain)->gemm_layer);
        dn_stream_destroy(&s);
    }
    assert_string_equal((*plain)->name, "ref");
    assert_true((*list != NULL) == (DN_REAL == DN_F32)); /* tiles of numbers in float */
}

/* On a processor without such instructions it is the user who says that products are to be emulated; a device that has them does not
 * leave them to the host. */
static void mixed_names_the_fastest_backend_and_is_an_error_where_that_is_emulated(void **state)
{
    const char *fastest = dn_kernels_mixed()[0]->name, *kernels;
    bool emulated = strcmp(fastest, "emulated") == 0, own = dn_kernels_are_the_devices(dn_kernels_mixed()[0]);
    dn_status status = dn_kernels_of_precision("mixed", &kernels);
    assert_int_equal(status, emulated && DN_REAL == DN_F32 ? DN_ERR_CONFIG : DN_OK);
    if (status == DN_OK)
        assert_string_equal(kernels, fastest);
    else
        assert_non_null(strstr(dn_error_message(), "AVX512_BF16"));
    assert_true(DN_REAL == DN_F32 || emulated || own); /* no instruction adds in double */
    assert_int_equal(dn_kernels_of_precision("emulated", &kernels), own ? DN_ERR_CONFIG : DN_OK);
    assert_string_equal(kernels, "emulated");
    assert_int_equal(dn_kernels_of_precision("float", &kernels), DN_OK);
    assert_string_equal(kernels, "cpu");
    assert_int_equal(dn_kernels_of_precision("abacus", &kernels), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "abacus"));
}

TESTS(mixed)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_of_whole_numbers_are_exact),
        cmocka_unit_test(operands_are_rounded_to_bfloat16_and_sums_are_not),
#ifndef DN_REAL_DOUBLE
        cmocka_unit_test(tiles_round_in_their_own_order_and_have_no_denormals),
#endif
        cmocka_unit_test(what_is_not_finite_stays_in_its_row_and_column),
        cmocka_unit_test(in_float_they_are_the_bits_of_gemm),
        cmocka_unit_test(rounds_add_products_of_rounded_numbers),
        cmocka_unit_test(every_instruction_set_emulates_mixed_precision_and_all_else_is_its_own),
        cmocka_unit_test(mixed_names_the_fastest_backend_and_is_an_error_where_that_is_emulated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
