/* Reference: the cosine transform by its definition. */
#include "compute/ref/ref.h"

#include <math.h>

/* cos(pi m / 2n), m reduced to the first quadrant, where the argument is exact but for pi. */
static double cosine(size_t m, size_t n)
{
    m %= 4 * n;
    m = m > 2 * n ? 4 * n - m : m;
    double angle = 3.14159265358979323846 * (double)(m > n ? 2 * n - m : m) / (2 * (double)n);
    return m > n ? -cos(angle) : cos(angle);
}

/* The element i, j of the orthonormal DCT-II of n numbers. */
static double basis(size_t n, size_t i, size_t j)
{
    return sqrt((i > 0 ? 2.0 : 1.0) / (double)n) * cosine(i * (2 * j + 1), n);
}

static double element(size_t n, size_t i, size_t j, bool inverse)
{
    return inverse ? basis(n, j, i) : basis(n, i, j);
}

static void transform(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_tiling *t, bool inverse)
{
    double *half = dn_scratch(s, t->tile_rows * t->tile_cols * sizeof *half);
    if (!half)
        return;
    for (size_t number = 0; number < dn_tiles(t); number++) {
        dn_block tile = dn_tile(t, number);
        const dn_real *from = dn_host(x) + tile.row0 * t->cols + tile.col0;
        dn_real *to = dn_host(y) + tile.row0 * t->cols + tile.col0;
        for (size_t i = 0; i < tile.rows; i++)
            for (size_t j = 0; j < tile.cols; j++) {
                double sum = 0;
                for (size_t l = 0; l < tile.cols; l++)
                    sum += (double)from[i * t->cols + l] * element(tile.cols, j, l, inverse);
                half[i * tile.cols + j] = sum;
            }
        for (size_t i = 0; i < tile.rows; i++)
            for (size_t j = 0; j < tile.cols; j++) {
                double sum = 0;
                for (size_t l = 0; l < tile.rows; l++)
                    sum += element(tile.rows, i, l, inverse) * half[l * tile.cols + j];
                to[i * t->cols + j] = (dn_real)sum;
            }
    }
}

void dn_ref_dct_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_tiling *tiling)
{
    transform(s, y, x, tiling, false);
}

void dn_ref_dct_inverse(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_tiling *tiling)
{
    transform(s, y, x, tiling, true);
}
