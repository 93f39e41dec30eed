/*
 * The cosine transform of tiles, by its definition: along rows, then along columns. Both matrices of cosines
 * are made anew for a call; they, what stands between, and sums are in double.
 */
#include "compute/cuda/elements.cuh"

/* table [n,n]: the element i, j of the orthonormal DCT-II of n numbers, or of its transpose. m = i (2j + 1)
 * is reduced to the first quadrant, where m / 2n is rounded once. */
static void fill_basis(dn_stream *s, double *table, size_t n, bool transposed)
{
    for_index(s, "dct_basis", n * n, [=] __device__(size_t at) {
        size_t i = transposed ? at % n : at / n, j = transposed ? at / n : at % n,
               m = i * (2 * j + 1) % (4 * n);
        m = m > 2 * n ? 4 * n - m : m;
        double along = cospi((double)(m > n ? 2 * n - m : m) / (double)(2 * n));
        table[at] = sqrt((i > 0 ? 2.0 : 1.0) / (double)n) * (m > n ? -along : along);
    });
}

/* to [rows_to, cols_to], from [rows, cols], one of which has whole tiles, and the other what there is of
 * them. */
static void transform(dn_stream *s, const char *name, dn_real *to, size_t rows_to, size_t cols_to,
                      const dn_real *from, size_t rows, size_t cols, const dn_tiling *t, bool inverse)
{
    const size_t high = t->tile_rows, wide = t->tile_cols;
    double *along =
        rows * cols > 0
            ? (double *)dn_gpu_scratch(s, (wide * wide + high * high + rows * cols_to) * sizeof *along)
            : NULL;
    if (!along)
        return;
    double *down = along + wide * wide, *half = down + high * high;
    fill_basis(s, along, wide, inverse);
    fill_basis(s, down, high, inverse);
    for_index(s, name, rows * cols_to, [=] __device__(size_t at) {
        size_t row = at / cols_to, j = at % cols_to % wide, col0 = at % cols_to - j,
               n = cols - col0 < wide ? cols - col0 : wide;
        double sum = 0;
        for (size_t l = 0; l < n; l++)
            sum += (double)from[row * cols + col0 + l] * along[j * wide + l];
        half[at] = sum;
    });
    for_index(s, name, rows_to * cols_to, [=] __device__(size_t at) {
        size_t col = at % cols_to, i = at / cols_to % high, row0 = at / cols_to - i,
               n = rows - row0 < high ? rows - row0 : high;
        double sum = 0;
        for (size_t l = 0; l < n; l++)
            sum += down[i * high + l] * half[(row0 + l) * cols_to + col];
        to[at] = (dn_real)sum;
    });
}

void dn_cuda_dct_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_tiling *tiling)
{
    const dn_tiling whole = dn_whole_tiles(tiling);
    transform(s, "dct_forward", numbers(y), whole.rows, whole.cols, numbers(x), tiling->rows, tiling->cols,
              tiling, false);
}

void dn_cuda_dct_inverse(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_tiling *tiling)
{
    const dn_tiling whole = dn_whole_tiles(tiling);
    transform(s, "dct_inverse", numbers(x), tiling->rows, tiling->cols, numbers(y), whole.rows, whole.cols,
              tiling, true);
}
