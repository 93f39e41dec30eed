/* Norms of rows, biases and gains. A warp takes a row. */
#include "compute/cuda/columns.cuh"
#include "compute/cuda/elements.cuh"

enum { WARPS = DN_BLOCK / DN_WARP };

/* f(i) for the elements of a row that are this lane's, W at a time. */
template <int W, class F> static __device__ void of_lane(size_t n, F f)
{
    for (size_t i = threadIdx.x % DN_WARP * W; i < n; i += DN_WARP * W)
        f(i);
}

template <int W> static __device__ pack<W> load(const dn_real *at)
{
    return *(const pack<W> *)at;
}

template <int W>
__global__ void __launch_bounds__(DN_BLOCK)
    norm_forward(dn_real *y, dn_real *rstd, const dn_real *x, bool center, double eps, size_t N, size_t C)
{
    size_t row = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP;
    if (row >= N)
        return;
    const dn_real *from = x + row * C;
    dn_real *to = y + row * C;
    double mean = 0, squares = 0;
    if (center) {
        of_lane<W>(C, [&](size_t i) {
            pack<W> v = load<W>(from + i);
            for (int w = 0; w < W; w++)
                mean += (double)v.x[w];
        });
        mean = warp_sum(mean) / (double)C;
    }
    of_lane<W>(C, [&](size_t i) {
        pack<W> v = load<W>(from + i);
        for (int w = 0; w < W; w++)
            squares += ((double)v.x[w] - mean) * ((double)v.x[w] - mean);
    });
    double own = 1 / sqrt(warp_sum(squares) / (double)C + eps);
    of_lane<W>(C, [&](size_t i) {
        pack<W> v = load<W>(from + i);
        for (int w = 0; w < W; w++)
            v.x[w] = (dn_real)(((double)v.x[w] - mean) * own);
        *(pack<W> *)(to + i) = v;
    });
    if (threadIdx.x % DN_WARP == 0)
        rstd[row] = (dn_real)own;
}

template <int W>
__global__ void __launch_bounds__(DN_BLOCK)
    norm_backward(dn_real *dx, const dn_real *dy, const dn_real *y, const dn_real *rstd, bool center,
                  size_t N, size_t C)
{
    size_t row = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP;
    if (row >= N)
        return;
    const dn_real *d = dy + row * C, *out = y + row * C;
    dn_real *to = dx + row * C;
    double along = 0, shift = 0, scale = (double)rstd[row];
    of_lane<W>(C, [&](size_t i) {
        pack<W> u = load<W>(d + i), v = load<W>(out + i);
        for (int w = 0; w < W; w++) {
            along += (double)u.x[w] * (double)v.x[w];
            shift += (double)u.x[w];
        }
    });
    along = warp_sum(along) / (double)C;
    shift = center ? warp_sum(shift) / (double)C : 0;
    of_lane<W>(C, [&](size_t i) {
        pack<W> u = load<W>(d + i), v = load<W>(out + i), sum = load<W>(to + i);
        for (int w = 0; w < W; w++)
            sum.x[w] += (dn_real)(scale * ((double)u.x[w] - shift - (double)v.x[w] * along));
        *(pack<W> *)(to + i) = sum;
    });
}

/* Rows begin at whole 16 bytes. */
static bool are_wide(size_t C, const void *a, const void *b, const void *c)
{
    return C % DN_WIDE == 0 && is_aligned(a) && is_aligned(b) && is_aligned(c);
}

void dn_cuda_norm_forward(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, bool center, double eps,
                          size_t N, size_t C)
{
    unsigned grid = (unsigned)((N + WARPS - 1) / WARPS);
    if (N == 0)
        return;
    if (are_wide(C, x, y, y))
        DN_RUN(s, norm_forward<DN_WIDE>, grid, DN_BLOCK, 0, numbers(y), numbers(rstd), numbers(x), center,
               eps, N, C);
    else
        DN_RUN(s, norm_forward<1>, grid, DN_BLOCK, 0, numbers(y), numbers(rstd), numbers(x), center, eps, N,
               C);
}

void dn_cuda_norm_backward(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                           bool center, size_t N, size_t C)
{
    unsigned grid = (unsigned)((N + WARPS - 1) / WARPS);
    if (N == 0)
        return;
    if (are_wide(C, dx, dy, y))
        DN_RUN(s, norm_backward<DN_WIDE>, grid, DN_BLOCK, 0, numbers(dx), numbers(dy), numbers(y),
               numbers(rstd), center, N, C);
    else
        DN_RUN(s, norm_backward<1>, grid, DN_BLOCK, 0, numbers(dx), numbers(dy), numbers(y), numbers(rstd),
               center, N, C);
}

/* ---- biases and gains ---- */

/* f(index, column) for rows ld apart. */
template <class F>
__global__ void __launch_bounds__(DN_BLOCK) each_of_rows(size_t N, size_t C, size_t ld, F f)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < N * C; at += step)
        f(at / C * ld + at % C, at % C);
}

void dn_cuda_bias_forward(dn_stream *s, dn_buf *y, size_t ld, const dn_buf *bias, size_t N, size_t C)
{
    dn_real *to = numbers(y);
    const dn_real *own = numbers(bias);
    if (N * C > 0)
        DN_RUN(s, each_of_rows, blocks(N * C, DN_BLOCK), DN_BLOCK, 0, N, C, ld,
               [=] __device__(size_t at, size_t column) { to[at] += own[column]; });
}

void dn_cuda_bias_backward(dn_stream *s, dn_buf *dbias, const dn_buf *dy, size_t ld, size_t N, size_t C)
{
    dn_real *to = numbers(dbias);
    const dn_real *d = numbers(dy);
    double *partial = (double *)dn_gpu_scratch(s, column_bytes(N, C));
    sum_columns(
        s, "bias_backward", partial, N, C,
        [=] __device__(size_t row, size_t column) { return (double)d[row * ld + column]; },
        [=] __device__(size_t column, double sum) { to[column] = (dn_real)((double)to[column] + sum); });
}

void dn_cuda_gain_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, double offset,
                          size_t N, size_t C)
{
    dn_real *to = numbers(y), shift = (dn_real)offset;
    const dn_real *from = numbers(x), *own = numbers(gain);
    if (N * C > 0)
        DN_RUN(s, each_of_rows, blocks(N * C, DN_BLOCK), DN_BLOCK, 0, N, C, C,
               [=] __device__(size_t at, size_t column) { to[at] = from[at] * (shift + own[column]); });
}

void dn_cuda_gain_backward(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                           double offset, size_t N, size_t C)
{
    dn_real *d = numbers(dy), *to = numbers(dgain), shift = (dn_real)offset;
    const dn_real *from = numbers(x), *own = numbers(gain);
    double *partial = (double *)dn_gpu_scratch(s, column_bytes(N, C));
    sum_columns(
        s, "gain_backward", partial, N, C,
        [=] __device__(size_t row, size_t column) {
            size_t at = row * C + column;
            double term = (double)d[at] * (double)from[at];
            d[at] *= shift + own[column];
            return term;
        },
        [=] __device__(size_t column, double sum) { to[column] = (dn_real)((double)to[column] + sum); });
}
