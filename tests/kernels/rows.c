/* Norms, selection and scaling of rows and columns: every column of the table against the reference. */
#include "support.h"

#include <math.h>

/* Sums of up to 300 terms in double, in another order. */
#define SUM_IN_DOUBLE 1e-13

typedef struct grid {
    size_t rows, cols;
} grid;

static const grid grids[] = {{1, 1}, {7, 3}, {150, 129}, {129, 150}, {1, 200}, {200, 1}, {0, 5}, {5, 0}};
#define N_GRIDS (sizeof grids / sizeof *grids)

static void run_norms(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const grid *g = context;
    s->kernels->row_squares(s, host, b[0], g->rows, g->cols);
    s->kernels->add_row_norms1(s, host + g->rows, b[3], b[0], g->rows, g->cols);
    s->kernels->add_column_norms1(s, host + 2 * g->rows, b[4], b[0], g->rows, g->cols);
    s->kernels->scale(s, b[1], -0.75, b[0], g->rows * g->cols);
    s->kernels->scale(s, b[2], 3, b[2], g->rows * g->cols); /* in place */
}

static void norms_and_scaling_agree(void **state)
{
    for (size_t i = 0; i < N_GRIDS; i++) {
        size_t n = grids[i].rows * grids[i].cols;
        trial t = {.arrays = {random_array(n, 1, 1), nan_array(n), random_array(n, 2, 1),
                              random_array(n, 3, 1), random_array(n, 4, 1)},
                   .n_arrays = 5,
                   .n_host = 2 * grids[i].rows + grids[i].cols,
                   .host_tolerance = SUM_IN_DOUBLE,
                   .same_bits = true};
        compare_columns(&t, run_norms, &grids[i]);
    }
}

/* Every other number, from the last to the first: order is the caller's. */
static size_t some_ids(int32_t *ids, size_t size)
{
    size_t k = (size + 1) / 2;
    for (size_t i = 0; i < k; i++)
        ids[i] = (int32_t)(size - 1 - 2 * i);
    return k;
}

/* b[0], b[1]: taken from; b[2], b[3]: added to with what was taken; b[4] to all rows in order. */
static void run_selection(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const grid *g = context;
    int32_t rows[MAX_HOST], columns[MAX_HOST];
    double factor[MAX_HOST];
    size_t n_rows = some_ids(rows, g->rows), n_columns = some_ids(columns, g->cols);
    for (size_t i = 0; i < g->rows; i++)
        factor[i] = 0.5 + (double)i;
    s->kernels->take_rows(s, b[5], b[0], rows, n_rows, g->cols, 0.5);
    s->kernels->take_columns(s, b[6], b[1], columns, n_columns, g->rows, g->cols, 0.25);
    s->kernels->add_rows(s, b[2], rows, -2, NULL, b[5], n_rows, g->cols);
    s->kernels->add_columns(s, b[3], columns, -2, b[6], n_columns, g->rows, g->cols);
    s->kernels->add_rows(s, b[4], NULL, 0.125, factor, b[1], g->rows, g->cols);
}

static void selections_agree(void **state)
{
    for (size_t i = 0; i < N_GRIDS; i++) {
        size_t rows = grids[i].rows, cols = grids[i].cols, n = rows * cols;
        trial t = {.arrays = {random_array(n, 1, 1), random_array(n, 2, 1), random_array(n, 3, 1),
                              random_array(n, 4, 1), random_array(n, 5, 1), nan_array((rows + 1) / 2 * cols),
                              nan_array(rows * ((cols + 1) / 2))},
                   .n_arrays = 7,
                   .same_bits = true};
        t.arrays[5].ulps = t.arrays[6].ulps = 0;
        t.arrays[4].scale = (double)rows; /* the largest factor times 1/8 times a normal draw */
        compare_columns(&t, run_selection, &grids[i]);
    }
}

static void run_moments(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    size_t rows = *(const size_t *)context;
    int32_t ids[MAX_HOST];
    double mean[MAX_HOST];
    size_t k = some_ids(ids, rows);
    for (size_t i = 0; i < rows; i++)
        mean[i] = 0.01 * (double)i;
    s->kernels->row_moments(s, b[0], host, NULL, mean, rows, 0.95, 1e-8);
    s->kernels->row_moments(s, b[1], host + rows, ids, mean, k, 0.95, 1e-8);
}

static void moments_agree_and_touch_selected_rows_only(void **state)
{
    static const size_t rows = 101;
    trial t = {.arrays = {constant_array(rows, 0.5), constant_array(rows, 0.5)},
               .n_arrays = 2,
               .n_host = rows + (rows + 1) / 2,
               .host_tolerance = 8 * DN_REAL_EPS,
               .same_bits = true};
    for (size_t i = 0; i < rows; i += 2)
        t.arrays[1].start[i] = 0; /* selected: a moment of 0 gives a factor of 1/eps when its mean is 0 */
    compare_columns(&t, run_moments, &rows);
}

TESTS(rows)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_and_scaling_agree),
        cmocka_unit_test(selections_agree),
        cmocka_unit_test(moments_agree_and_touch_selected_rows_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
