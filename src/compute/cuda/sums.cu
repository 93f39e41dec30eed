/* Sums over vectors, rows and columns that the host wants to know. */
#include "compute/cuda/columns.cuh"
#include "compute/cuda/sums.cuh"

void dn_cuda_dot(dn_stream *s, double *host_out, const dn_buf *x, const dn_buf *y, size_t n)
{
    const dn_real *a = numbers(x), *b = numbers(y);
    double *out = (double *)dn_gpu_result(s, host_out, sizeof *out);
    sum_to<double>(
        s, "dot", n, [=] __device__(size_t i) { return (double)a[i] * (double)b[i]; },
        [=] __device__(double sum) { *out = sum; });
}

void dn_cuda_sum_squares(dn_stream *s, double *host_out, const dn_buf *x, size_t n)
{
    dn_cuda_dot(s, host_out, x, x, n);
}

/* ---- rows: a block each ---- */

/* out[row] = the sum of f(index of the element) */
template <class F> __global__ void __launch_bounds__(DN_BLOCK) row_sums(double *out, size_t cols, F f)
{
    double sum = 0;
    for (size_t i = threadIdx.x; i < cols; i += DN_BLOCK)
        sum += f(blockIdx.x * cols + i);
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        out[blockIdx.x] = sum;
}

void dn_cuda_row_squares(dn_stream *s, double *host, const dn_buf *x, size_t rows, size_t cols)
{
    const dn_real *a = numbers(x);
    if (rows == 0)
        return;
    double *out = (double *)dn_gpu_result(s, host, rows * sizeof *out);
    DN_RUN(s, row_sums, (unsigned)rows, DN_BLOCK, 0, out, cols,
           [=] __device__(size_t i) { return (double)a[i] * (double)a[i]; });
}

void dn_cuda_add_row_norms1(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows, size_t cols)
{
    dn_real *a = numbers(x);
    const dn_real *b = numbers(y);
    if (rows == 0)
        return;
    double *out = (double *)dn_gpu_result(s, host, rows * sizeof *out);
    DN_RUN(s, row_sums, (unsigned)rows, DN_BLOCK, 0, out, cols, [=] __device__(size_t i) {
        a[i] += b[i];
        return fabs((double)a[i]);
    });
}

/* ---- columns ---- */

void dn_cuda_add_column_norms1(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows,
                               size_t cols)
{
    dn_real *a = numbers(x);
    const dn_real *b = numbers(y);
    double *out = (double *)dn_gpu_result(s, host, cols * sizeof *out);
    double *partial = (double *)dn_gpu_scratch(s, column_bytes(rows, cols));
    sum_columns(
        s, "add_column_norms1", partial, rows, cols,
        [=] __device__(size_t row, size_t column) {
            size_t i = row * cols + column;
            a[i] += b[i];
            return fabs((double)a[i]);
        },
        [=] __device__(size_t column, double sum) { out[column] = sum; });
}

void dn_cuda_column_squares(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t r)
{
    const dn_real *a = numbers(x);
    double *out = (double *)dn_gpu_result(s, host, r * sizeof *out);
    double *partial = (double *)dn_gpu_scratch(s, column_bytes(n, r));
    sum_columns(
        s, "column_squares", partial, n, r,
        [=] __device__(size_t row, size_t column) {
            return (double)a[row * r + column] * (double)a[row * r + column];
        },
        [=] __device__(size_t column, double sum) { out[column] = sum; });
}

__global__ void __launch_bounds__(DN_BLOCK)
    divide_columns(dn_real *q, const dn_real *x, const double *squares, double eps, size_t n, size_t r)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; i < n * r; i += step)
        q[i] = (dn_real)((double)x[i] / (sqrt(squares[i % r]) + eps));
}

void dn_cuda_normalize_columns(dn_stream *s, dn_buf *q, const dn_buf *x, size_t n, size_t r, double eps,
                               const double *column_squares)
{
    const dn_real *a = numbers(x);
    size_t bytes = column_bytes(n, r);
    double *partial = (double *)dn_gpu_scratch(s, bytes + r * sizeof(double)),
           *squares = partial + bytes / sizeof(double);
    if (n * r == 0 || !partial)
        return;
    if (column_squares)
        dn_gpu_table(s, squares, column_squares, r * sizeof *squares);
    else
        sum_columns(
            s, "normalize_columns", partial, n, r,
            [=] __device__(size_t row, size_t column) {
                return (double)a[row * r + column] * (double)a[row * r + column];
            },
            [=] __device__(size_t column, double sum) { squares[column] = sum; });
    DN_RUN(s, divide_columns, blocks(n * r, DN_BLOCK), DN_BLOCK, 0, numbers(q), a, squares, eps, n, r);
}
