/* Cosine transforms: every backend against the reference, and the reference against what such a transform is.
 */
#include "support.h"

#include "support/close.h"

#include <math.h>
#include <stdlib.h>

static const dn_tiling tilings[] = {{64, 64, 64, 64}, {1, 1, 64, 64},  {70, 130, 64, 64}, {130, 70, 64, 64},
                                    {9, 20, 4, 8},    {3, 200, 1, 64}, {150, 65, 1, 64},  {0, 64, 64, 64},
                                    {64, 1, 64, 1},   {40, 40, 17, 31}};
#define N_TILINGS (sizeof tilings / sizeof *tilings)

/* Sums of up to 64 products, twice, of numbers whose basis is rounded. */
#define ULPS 64

static size_t elements(dn_tiling t)
{
    return t.rows * t.cols;
}

static void run_both(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    s->kernels->dct_forward(s, b[1], b[0], context);
    s->kernels->dct_inverse(s, b[2], b[3], context);
}

static void every_backend_transforms_as_the_reference(void **state)
{
    for (size_t i = 0; i < N_TILINGS; i++) {
        size_t n = elements(tilings[i]), whole = elements(dn_whole_tiles(&tilings[i]));
        trial t = {.arrays = {random_array(n, 1, 1), nan_array(whole), nan_array(n), random_array(whole, 2, 1)},
                   .n_arrays = 4,
                   .same_bits = true};
        t.arrays[1].ulps = t.arrays[2].ulps = ULPS;
        compare_columns(&t, run_both, &tilings[i]);
    }
}

/* x forward, in whole tiles, and of that the inverse. */
static void there_and_back(const char *backend, const dn_tiling *t, const dn_real *x, dn_real *there,
                           dn_real *back)
{
    dn_stream *s = make_stream(backend, 2);
    size_t n = elements(*t), whole = elements(dn_whole_tiles(t));
    void *memory, *coefficients;
    assert_int_equal(dn_device_alloc(s, (n + 1) * sizeof *x, &memory), DN_OK);
    assert_int_equal(dn_device_alloc(s, (whole + 1) * sizeof *x, &coefficients), DN_OK);
    dn_upload(s, memory, x, n);
    s->kernels->dct_forward(s, coefficients, memory, t);
    dn_download(s, there, coefficients, whole);
    s->kernels->fill(s, memory, n, 0);
    s->kernels->dct_inverse(s, memory, coefficients, t);
    dn_download(s, back, memory, n);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    dn_device_free(s, memory, (n + 1) * sizeof *x);
    dn_device_free(s, coefficients, (whole + 1) * sizeof *x);
    dn_stream_destroy(&s);
}

/* Rows of the identity become the columns of F: F F^T = I. */
static void the_basis_is_orthonormal(void **state)
{
    static const size_t sizes[] = {1, 2, 17, 64};
    static dn_real x[4096], f[4096], back[4096];
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (int i = 0; i < 4; i++) {
            size_t n = sizes[i];
            for (size_t j = 0; j < n * n; j++)
                x[j] = j / n == j % n;
            there_and_back((*backend)->name, &(dn_tiling){n, n, 1, n}, x, f, back); /* nothing to pad */
            for (size_t a = 0; a < n; a++)
                for (size_t b = 0; b < n; b++) {
                    double sum = 0;
                    for (size_t j = 0; j < n; j++)
                        sum += (double)f[j * n + a] * (double)f[j * n + b];
                    assert_close(sum, a == b, 8 * DN_REAL_EPS);
                }
        }
}

/* A product of two cosines has one coefficient: the norm of the tile, at their frequencies. */
static void a_cosine_is_one_coefficient(void **state)
{
    enum { ROWS = 64, COLS = 64, ROW = 3, COL = 5 };
    static dn_real x[ROWS * COLS], c[ROWS * COLS], back[ROWS * COLS];
    const double pi = 3.14159265358979323846;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            x[i * COLS + j] = (dn_real)(cos(pi * ROW * (2 * i + 1) / (2 * ROWS)) *
                                        cos(pi * COL * (2 * j + 1) / (2 * COLS)));
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        there_and_back((*backend)->name, &(dn_tiling){ROWS, COLS, 64, 64}, x, c, back);
        for (int i = 0; i < ROWS * COLS; i++)
            assert_close((double)c[i], i == ROW * COLS + COL ? sqrt(ROWS * COLS / 4.0) : 0,
                         32 * DN_REAL_EPS * 32);
    }
}

static double squares(const dn_real *x, size_t ld, dn_block tile)
{
    double sum = 0;
    for (size_t j = 0; j < tile.rows * tile.cols; j++)
        sum += pow((double)x[(tile.row0 + j / tile.cols) * ld + tile.col0 + j % tile.cols], 2);
    return sum;
}

/* What comes back is what was there, of the same length in between, tile by tile: zeros around it add nothing. */
static void tiles_come_back_and_keep_their_length(void **state)
{
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend))
        for (size_t i = 0; i < N_TILINGS; i++) {
            const dn_tiling *t = &tilings[i];
            const dn_tiling whole = dn_whole_tiles(t);
            size_t n = elements(*t);
            array x = random_array(n, 7, 1), c = random_array(elements(whole), 8, 1), back = random_array(n, 9, 1);
            there_and_back((*backend)->name, t, x.start, c.start, back.start);
            for (size_t j = 0; j < n; j++)
                assert_close((double)back.start[j], (double)x.start[j], ULPS * DN_REAL_EPS * 4);
            for (size_t number = 0; number < dn_tiles(t); number++) {
                double before = squares(x.start, t->cols, dn_tile(t, number));
                double after = squares(c.start, whole.cols, dn_tile(&whole, number));
                assert_close(after, before, 16 * DN_REAL_EPS * before);
            }
            free(x.start), free(c.start), free(back.start);
        }
}

TESTS(dct)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_backend_transforms_as_the_reference),
        cmocka_unit_test(the_basis_is_orthonormal),
        cmocka_unit_test(a_cosine_is_one_coefficient),
        cmocka_unit_test(tiles_come_back_and_keep_their_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
