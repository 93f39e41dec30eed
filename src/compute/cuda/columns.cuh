/*
 * Sums over the rows of a matrix, column by column, in double and in one order: blocks of threads add
 * COLUMN_ROWS rows each to partial sums, which are then added from the first rows to the last.
 */
#ifndef COMPUTE_CUDA_COLUMNS_CUH
#define COMPUTE_CUDA_COLUMNS_CUH

#include "compute/cuda/kernel.cuh"

enum { COLUMN_ROWS = 256, COLUMN_LANES = DN_BLOCK / DN_WARP };

/* partial [ceil(rows/COLUMN_ROWS), cols]; f(row, column) is a term, called once for each. Blocks (DN_WARP,
 * COLUMN_LANES). */
template <class F>
__global__ void __launch_bounds__(DN_BLOCK) column_partials(double *partial, size_t rows, size_t cols, F f)
{
    DN_SHARED(double, own, COLUMN_LANES *DN_WARP);
    unsigned lane = threadIdx.x, y = threadIdx.y;
    size_t column = blockIdx.x * (size_t)DN_WARP + lane, first = blockIdx.y * (size_t)COLUMN_ROWS;
    size_t end = rows - first < COLUMN_ROWS ? rows : first + COLUMN_ROWS;
    double sum = 0;
    for (size_t row = first + y; row < end && column < cols; row += COLUMN_LANES)
        sum += f(row, column);
    own[y * DN_WARP + lane] = sum;
    __syncthreads();
    if (y > 0 || column >= cols)
        return;
    sum = own[lane];
    for (unsigned k = 1; k < COLUMN_LANES; k++)
        sum += own[k * DN_WARP + lane];
    partial[blockIdx.y * cols + column] = sum;
}

/* g(column, sum) */
template <class G>
__global__ void __launch_bounds__(DN_BLOCK)
    column_totals(const double *partial, size_t n_partial, size_t cols, G g)
{
    size_t column = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x;
    if (column >= cols)
        return;
    double sum = 0;
    for (size_t k = 0; k < n_partial; k++)
        sum += partial[k * cols + column];
    g(column, sum);
}

/* Bytes of the scratch that the sums need. */
static inline size_t column_bytes(size_t rows, size_t cols)
{
    return (rows + COLUMN_ROWS - 1) / COLUMN_ROWS * cols * sizeof(double);
}

/* For each column g(column, sum over partial [n_partial, cols]). */
template <class G>
static void add_up_columns(dn_stream *s, const char *name, const double *partial, size_t n_partial,
                           size_t cols, G g)
{
    if (cols == 0 || (!partial && n_partial > 0) || !dn_gpu_begin(s, name))
        return;
    DN_LAUNCH(column_totals, (unsigned)((cols + DN_BLOCK - 1) / DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s),
              partial, n_partial, cols, g);
    dn_gpu_end(s);
}

/* For each column g(column, sum over rows of f(row, column)). partial: scratch of column_bytes. At most 2^24
 * - 256 rows. */
template <class F, class G>
static void sum_columns(dn_stream *s, const char *name, double *partial, size_t rows, size_t cols, F f, G g)
{
    size_t n_partial = (rows + COLUMN_ROWS - 1) / COLUMN_ROWS;
    if (rows * cols > 0 && partial && dn_gpu_begin(s, name)) {
        DN_LAUNCH(column_partials, dim3((unsigned)((cols + DN_WARP - 1) / DN_WARP), (unsigned)n_partial),
                  dim3(DN_WARP, COLUMN_LANES), 0, dn_gpu_stream(s), partial, rows, cols, f);
        dn_gpu_end(s);
    }
    add_up_columns(s, name, partial, n_partial, cols, g);
}

#endif
