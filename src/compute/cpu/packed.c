/*
 * C = A B, or C + A B, where B is small and A tall: activations times a weight of a model of some hundred columns. What
 * OpenBLAS does beside the product counts there: it writes zeros to C and adds to them, and packs A for each of a few
 * hundred columns. Here A stays where it is; B is packed, by all threads, into panels as wide as the micro-kernel
 * (tile.h), of which one with a block of A lies in the nearest caches. With A of thousands of rows that packing is
 * a few in a hundred of the work, which is what keeping packed weights from one call to the next would save.
 *
 * Blocks of k follow one another, and each element's terms within one, whoever computes it: bits do not depend on the
 * number of threads.
 */
#include "compute/cpu/tile.h"

/* Numbers of a row of a panel, rows of a part of it: 64 KiB of AVX-512's panels, a quarter of it of AVX2's. Rows of A that are
 * multiplied with the part before the next one is. */
enum { WIDE = DN_TILE_VECTORS * DN_LANES, DEEP = 128 * 8 / sizeof(dn_real), TALL = 96 };

/* Rows first .. first+rows-1 of op(B) into their place in the panel of the columns from `left` on. */
static void pack(dn_real *panel, const dn_product *x, size_t first, size_t rows, size_t left)
{
    const dn_real *b = dn_host(x->b);
    if (x->tb == DN_T)
        dn_tile_transpose(panel, WIDE, 1, b + left * x->ldb + first, x->ldb, WIDE, rows);
    else
        for (size_t i = 0; i < rows; i++)
            memcpy(panel + i * WIDE, b + (first + i) * x->ldb + left, WIDE * sizeof *panel);
}

/* Rows top .. bottom-1 of C, in the columns of panels first .. last-1. */
static void multiply(const dn_product *x, const dn_real *packed, size_t top, size_t bottom, size_t first, size_t last)
{
    for (size_t i = top; i < bottom; i += TALL)
        for (size_t l = 0; l < x->k; l += DEEP)
            for (size_t p = first; p < last; p++) {
                const dn_real *a = dn_host(x->a) + i * x->lda + l, *panel = packed + (p * x->k + l) * WIDE;
                dn_real *c = dn_host(x->c) + i * x->ldc + p * WIDE;
                dn_tile_product(DN_N, dn_min(bottom - i, TALL), WIDE, dn_min(x->k - l, DEEP), a, x->lda, panel, WIDE,
                                x->beta != 0 || l > 0, c, x->ldc);
            }
}

static void multiply_packed(dn_stream *s, const dn_product *x)
{
    size_t panels = x->n / WIDE, parts = dn_blocks(x->k, DEEP);
    dn_real *packed = dn_scratch(s, panels * WIDE * x->k * sizeof *packed);
    if (!packed)
        return;
    dn_grid grid = dn_cpu_choose_grid(x->m, x->n, (size_t)s->n_threads);
#pragma omp parallel num_threads(s->n_threads)
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < panels * parts; i++) {
            size_t panel = i / parts, first = i % parts * DEEP;
            pack(packed + (panel * x->k + first) * WIDE, x, first, dn_min(x->k - first, DEEP), panel * WIDE);
        }
#pragma omp for schedule(static, 1)
        for (size_t i = 0; i < grid.rows * grid.cols; i++) {
            size_t row = i / grid.cols, col = i % grid.cols;
            multiply(x, packed, x->m * row / grid.rows, x->m * (row + 1) / grid.rows, panels * col / grid.cols,
                     panels * (col + 1) / grid.cols);
        }
    }
}

void DN_CPU(gemm)(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha, const dn_buf *a,
                  size_t lda, const dn_buf *b, size_t ldb, double beta, dn_buf *c, size_t ldc)
{
    const dn_product product = {ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc};
    if (dn_cpu_packs(s, &product))
        multiply_packed(s, &product);
    else
        dn_cpu_gemm_many(s, &product, 1);
}
