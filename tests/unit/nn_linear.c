/* A linear layer over a weight cut by hand into bands of rows or columns gives what the whole one gives. */
#include "nn/linear.h"
#include "support/close.h"
#include "support/tests.h"

#include <string.h>

#include "support/model.h"

enum { N = 37, OUT = 53, IN = 29, MAX_BANDS = 4 };

/* Buffers of one layer: x, y, dy, dx, and a weight in pieces. */
typedef struct layer {
    dn_stream *s;
    dn_buf *x, *y, *sum, *dy, *dx;
    dn_weight_block blocks[MAX_BANDS];
    dn_weight weight;
} layer;

static dn_buf *drawn(dn_stream *s, size_t n, uint64_t which)
{
    dn_real *host = calloc(n ? n : 1, sizeof *host);
    void *x;
    dn_random_normal(5, which, 0, n, 1, host);
    must(dn_device_alloc(s, (n ? n : 1) * sizeof *host, &x));
    dn_upload(s, x, host, n);
    must(dn_stream_sync(s));
    free(host);
    return x;
}

/* The block of a drawn [OUT, IN] matrix, dense. */
static dn_buf *drawn_block(dn_stream *s, const dn_weight_block *p, uint64_t which)
{
    dn_real *whole = calloc(OUT * IN, sizeof *whole),
            *part = calloc(p->block.rows * p->block.cols + 1, sizeof *part);
    void *x;
    dn_random_normal(5, which, 0, OUT * IN, 1, whole);
    for (size_t i = 0; i < p->block.rows; i++)
        memcpy(part + i * p->block.cols, whole + (p->block.row0 + i) * IN + p->block.col0,
               p->block.cols * sizeof *part);
    must(dn_device_alloc(s, (p->block.rows * p->block.cols + 1) * sizeof *part, &x));
    dn_upload(s, x, part, p->block.rows * p->block.cols);
    must(dn_stream_sync(s));
    free(whole);
    free(part);
    return x;
}

static layer make_layer(const char *kernels, size_t n_bands, bool of_rows)
{
    layer l = {0};
    must(dn_stream_create(kernels, 2, &l.s));
    l.x = drawn(l.s, N * IN, 0);
    l.dy = drawn(l.s, N * OUT, 1);
    l.sum = drawn(l.s, N * OUT, 2);
    l.y = drawn(l.s, N * OUT, 3); /* to be overwritten, as dx */
    l.dx = drawn(l.s, N * IN, 4);
    for (size_t k = 0; k < n_bands; k++) {
        dn_range rows = dn_shard_range(OUT, 1, of_rows ? (int)n_bands : 1, of_rows ? (int)k : 0);
        dn_range cols = dn_shard_range(IN, 1, of_rows ? 1 : (int)n_bands, of_rows ? 0 : (int)k);
        dn_weight_block *p = &l.blocks[k];
        *p = (dn_weight_block){.block.row0 = rows.first,
                               .block.rows = rows.end - rows.first,
                               .block.col0 = cols.first,
                               .block.cols = cols.end - cols.first};
        p->weight = drawn_block(l.s, p, 5);
        p->grad = drawn_block(l.s, p, 6);
    }
    l.weight = (dn_weight){OUT, IN, n_bands, NULL};
    return l;
}

static void pass(layer *l)
{
    l->weight.blocks = l->blocks;
    dn_linear_forward(l->s, l->y, l->x, &l->weight, N);
    dn_linear_forward_add(l->s, l->sum, l->x, &l->weight, N);
    dn_linear_backward(l->s, l->dx, l->dy, l->x, &l->weight, N);
}

static void free_layer(layer *l)
{
    dn_buf *const buffers[] = {l->x, l->y, l->sum, l->dy, l->dx};
    for (size_t i = 0; i < 5; i++)
        dn_device_free(l->s, buffers[i], 0);
    for (size_t k = 0; k < l->weight.n_blocks; k++) {
        dn_device_free(l->s, (void *)(uintptr_t)l->blocks[k].weight, 0);
        dn_device_free(l->s, l->blocks[k].grad, 0);
    }
    dn_stream_destroy(&l->s);
}

/* Sums of at most 53 products, in another order where bands add up: some roundings of the largest. */
static const double tolerance = 16 * DN_REAL_EPS;

static void compare(const layer *l, const dn_buf *a, const layer *whole, const dn_buf *b, size_t n)
{
    dn_real *x = host_copy(l->s, a, n), *y = host_copy(whole->s, b, n);
    assert_at_most(difference(x, y, n), tolerance);
    free(x);
    free(y);
}

/* A piece's gradient is its block of the whole's. */
static void compare_piece(const layer *l, const dn_weight_block *p, const layer *whole)
{
    dn_real *all = host_copy(whole->s, whole->blocks[0].grad, OUT * IN), largest = 0;
    dn_real *part = host_copy(l->s, p->grad, p->block.rows * p->block.cols);
    for (size_t i = 0; i < OUT * IN; i++)
        largest = (dn_real)larger((double)largest, fabs((double)all[i]));
    for (size_t i = 0; i < p->block.rows; i++)
        for (size_t j = 0; j < p->block.cols; j++) {
            double off =
                (double)(part[i * p->block.cols + j] - all[(p->block.row0 + i) * IN + p->block.col0 + j]);
            assert_close(off, 0, tolerance * (double)largest);
        }
    free(all);
    free(part);
}

static void bands_give_what_the_whole_gives(void **state)
{
    (void)state;
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend++)
        for (size_t n_bands = 1; n_bands <= MAX_BANDS; n_bands++)
            for (int of_rows = 0; of_rows <= 1; of_rows++) {
                layer whole = make_layer((*backend)->name, 1, false);
                layer cut = make_layer((*backend)->name, n_bands, of_rows);
                pass(&whole);
                pass(&cut);
                compare(&cut, cut.y, &whole, whole.y, N * OUT);
                compare(&cut, cut.sum, &whole, whole.sum, N * OUT);
                compare(&cut, cut.dx, &whole, whole.dx, N * IN);
                for (size_t k = 0; k < n_bands; k++)
                    compare_piece(&cut, &cut.blocks[k], &whole);
                free_layer(&cut);
                free_layer(&whole);
            }
}

/* A rank without heads: its part of a sum is 0, its part of the residual stream nothing. */
static void a_weight_without_pieces_gives_zeros_and_adds_nothing(void **state)
{
    (void)state;
    layer l = make_layer("cpu", 0, false);
    dn_real *sum = host_copy(l.s, l.sum, N * OUT);
    pass(&l);
    dn_real *y = host_copy(l.s, l.y, N * OUT), *dx = host_copy(l.s, l.dx, N * IN);
    dn_real *after = host_copy(l.s, l.sum, N * OUT);
    for (size_t i = 0; i < N * OUT; i++)
        assert_true(y[i] == 0);
    for (size_t i = 0; i < N * IN; i++)
        assert_true(dx[i] == 0);
    assert_memory_equal(sum, after, N * OUT * sizeof *sum);
    free(sum);
    free(after);
    free(y);
    free(dx);
    free_layer(&l);
}

TESTS(nn_linear)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bands_give_what_the_whole_gives),
        cmocka_unit_test(a_weight_without_pieces_gives_zeros_and_adds_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
