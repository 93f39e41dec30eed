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

/* The n x n matrix of the transform, or its inverse, which is its transpose. */
static void fill(double *matrix, size_t n, bool inverse)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            matrix[i * n + j] = inverse ? basis(n, j, i) : basis(n, i, j);
}

/* One of the two is a tile of y, which is whole; the other of x. */
static void transform_tile(dn_real *to, dn_block into, size_t to_ld, const dn_real *from, dn_block of, size_t from_ld,
                           const dn_tiling *t, const double *of_rows, const double *of_cols, double *half)
{
    for (size_t i = 0; i < of.rows; i++)
        for (size_t j = 0; j < into.cols; j++) {
            double sum = 0;
            for (size_t l = 0; l < of.cols; l++)
                sum += (double)from[(of.row0 + i) * from_ld + of.col0 + l] * of_cols[j * t->tile_cols + l];
            half[i * into.cols + j] = sum;
        }
    for (size_t i = 0; i < into.rows; i++)
        for (size_t j = 0; j < into.cols; j++) {
            double sum = 0;
            for (size_t l = 0; l < of.rows; l++)
                sum += of_rows[i * t->tile_rows + l] * half[l * into.cols + j];
            to[(into.row0 + i) * to_ld + into.col0 + j] = (dn_real)sum;
        }
}

static void transform(dn_stream *s, dn_buf *to, const dn_buf *from, const dn_tiling *t, bool inverse)
{
    const dn_tiling whole = dn_whole_tiles(t);
    size_t rows = t->tile_rows, cols = t->tile_cols;
    double *half = dn_scratch(s, (rows * cols + rows * rows + cols * cols) * sizeof *half);
    if (!half)
        return;
    double *of_rows = half + rows * cols, *of_cols = of_rows + rows * rows;
    fill(of_rows, rows, inverse);
    fill(of_cols, cols, inverse);
    for (size_t number = 0; number < dn_tiles(t); number++) {
        dn_block of_x = dn_tile(t, number), of_y = dn_tile(&whole, number);
        if (inverse)
            transform_tile(dn_host(to), of_x, t->cols, dn_host(from), of_y, whole.cols, t, of_rows, of_cols, half);
        else
            transform_tile(dn_host(to), of_y, whole.cols, dn_host(from), of_x, t->cols, t, of_rows, of_cols, half);
    }
}

void dn_ref_dct_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_tiling *tiling)
{
    transform(s, y, x, tiling, false);
}

void dn_ref_dct_inverse(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_tiling *tiling)
{
    transform(s, x, y, tiling, true);
}
