/* Norms of rows, biases and gains. A warp takes a row. What products read, and its gradients, may be of bfloat16. */
#include "compute/cuda/bf16.cuh"
#include "compute/cuda/columns.cuh"
#include "compute/cuda/elements.cuh"

enum { WARPS = DN_BLOCK / DN_WARP };

/* f(i) for the elements of a row that are this lane's, W at a time. */
template <int W, class F> static __device__ void of_lane(size_t n, F f)
{
    for (size_t i = threadIdx.x % DN_WARP * W; i < n; i += DN_WARP * W)
        f(i);
}

template <int W, class T> static __device__ pack<W, T> load(const T *at)
{
    return *(const pack<W, T> *)at;
}

template <int W, class T>
__global__ void __launch_bounds__(DN_BLOCK)
    norm_forward(T *y, dn_real *rstd, const dn_real *x, bool center, double eps, size_t N, size_t C)
{
    size_t row = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP;
    if (row >= N)
        return;
    const dn_real *from = x + row * C;
    T *to = y + row * C;
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
        pack<W, T> out;
        for (int w = 0; w < W; w++)
            put(&out.x[w], (dn_real)(((double)v.x[w] - mean) * own));
        *(pack<W, T> *)(to + i) = out;
    });
    if (threadIdx.x % DN_WARP == 0)
        rstd[row] = (dn_real)own;
}

template <int W, class T>
__global__ void __launch_bounds__(DN_BLOCK)
    norm_backward(dn_real *dx, const dn_real *dy, const T *y, const dn_real *rstd, bool center, size_t N,
                  size_t C)
{
    size_t row = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP;
    if (row >= N)
        return;
    const dn_real *d = dy + row * C;
    const T *out = y + row * C;
    dn_real *to = dx + row * C;
    double along = 0, shift = 0, scale = (double)rstd[row];
    of_lane<W>(C, [&](size_t i) {
        pack<W> u = load<W>(d + i);
        pack<W, T> v = load<W>(out + i);
        for (int w = 0; w < W; w++) {
            along += (double)u.x[w] * (double)value(v.x[w]);
            shift += (double)u.x[w];
        }
    });
    along = warp_sum(along) / (double)C;
    shift = center ? warp_sum(shift) / (double)C : 0;
    of_lane<W>(C, [&](size_t i) {
        pack<W> u = load<W>(d + i), sum = load<W>(to + i);
        pack<W, T> v = load<W>(out + i);
        for (int w = 0; w < W; w++)
            sum.x[w] += (dn_real)(scale * ((double)u.x[w] - shift - (double)value(v.x[w]) * along));
        *(pack<W> *)(to + i) = sum;
    });
}

/* Rows begin at whole 16 bytes. */
template <class T> static bool are_wide(size_t C, const void *a, const void *b, const T *c)
{
    return C % (16 / sizeof(T)) == 0 && is_aligned(a) && is_aligned(b) && is_aligned(c);
}

template <class T>
static void run_forward(dn_stream *s, T *y, dn_real *rstd, const dn_real *x, bool center, double eps,
                        size_t N, size_t C)
{
    constexpr int W = 16 / sizeof(T);
    unsigned grid = (unsigned)((N + WARPS - 1) / WARPS);
    if (N == 0)
        return;
    if (are_wide(C, x, x, y))
        DN_RUN(s, (norm_forward<W, T>), grid, DN_BLOCK, 0, y, rstd, x, center, eps, N, C);
    else
        DN_RUN(s, (norm_forward<1, T>), grid, DN_BLOCK, 0, y, rstd, x, center, eps, N, C);
}

void dn_cuda_norm_forward(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, bool center, double eps,
                          size_t N, size_t C)
{
    with_type_of(y, [&](auto at) { run_forward(s, at(y), numbers(rstd), numbers(x), center, eps, N, C); });
}

template <class T>
static void run_backward(dn_stream *s, dn_real *dx, const dn_real *dy, const T *y, const dn_real *rstd,
                         bool center, size_t N, size_t C)
{
    constexpr int W = 16 / sizeof(T);
    unsigned grid = (unsigned)((N + WARPS - 1) / WARPS);
    if (N == 0)
        return;
    if (are_wide(C, dx, dy, y))
        DN_RUN(s, (norm_backward<W, T>), grid, DN_BLOCK, 0, dx, dy, y, rstd, center, N, C);
    else
        DN_RUN(s, (norm_backward<1, T>), grid, DN_BLOCK, 0, dx, dy, y, rstd, center, N, C);
}

void dn_cuda_norm_backward(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                           bool center, size_t N, size_t C)
{
    with_type_of(y, [&](auto at) {
        run_backward(s, numbers(dx), numbers(dy), at(y), numbers(rstd), center, N, C);
    });
}

/* ---- biases and gains ---- */

/* to = f(from, column), W numbers at a time of rows of C, ld apart. */
template <int W, class T, class F>
__global__ void __launch_bounds__(DN_BLOCK)
    each_of_rows(T *to, const T *from, size_t N, size_t C, size_t ld, F f)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < N * C / W; at += step) {
        size_t column = at * W % C, first = at * W / C * ld + column;
        pack<W, T> own = load<W>(from + first);
        for (int w = 0; w < W; w++)
            put(&own.x[w], f(value(own.x[w]), column + (size_t)w));
        *(pack<W, T> *)(to + first) = own;
    }
}

template <class T, class F>
static void for_each_of_rows(dn_stream *s, const char *name, T *to, const T *from, size_t N, size_t C,
                             size_t ld, F f)
{
    constexpr int W = 16 / sizeof(T);
    if (N * C == 0 || !dn_gpu_begin(s, name))
        return;
    if (are_wide(C, to, from, to) && ld % W == 0)
        DN_LAUNCH((each_of_rows<W, T, F>), blocks(N * C, DN_BLOCK * W), DN_BLOCK, 0, dn_gpu_stream(s), to,
                  from, N, C, ld, f);
    else
        DN_LAUNCH((each_of_rows<1, T, F>), blocks(N * C, DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s), to, from,
                  N, C, ld, f);
    dn_gpu_end(s);
}

template <class T>
static void add_bias(dn_stream *s, T *y, size_t ld, const dn_real *own, size_t N, size_t C)
{
    for_each_of_rows(s, "bias_forward", y, y, N, C, ld,
                     [=] __device__(dn_real x, size_t column) { return x + own[column]; });
}

void dn_cuda_bias_forward(dn_stream *s, dn_buf *y, size_t ld, const dn_buf *bias, size_t N, size_t C)
{
    with_type_of(y, [&](auto at) { add_bias(s, at(y), ld, numbers(bias), N, C); });
}

template <class T>
static void add_rows_up(dn_stream *s, dn_real *to, const T *d, size_t ld, size_t N, size_t C)
{
    double *partial = (double *)dn_gpu_scratch(s, column_bytes(N, C));
    sum_columns(
        s, "bias_backward", partial, N, C,
        [=] __device__(size_t row, size_t column) { return (double)value(d[row * ld + column]); },
        [=] __device__(size_t column, double sum) { to[column] = (dn_real)((double)to[column] + sum); });
}

void dn_cuda_bias_backward(dn_stream *s, dn_buf *dbias, const dn_buf *dy, size_t ld, size_t N, size_t C)
{
    with_type_of(dy, [&](auto at) { add_rows_up(s, numbers(dbias), at(dy), ld, N, C); });
}

template <class T>
static void multiply_by_gain(dn_stream *s, T *to, const T *from, const dn_real *own, dn_real shift, size_t N,
                             size_t C)
{
    for_each_of_rows(s, "gain_forward", to, from, N, C, C,
                     [=] __device__(dn_real x, size_t column) { return x * (shift + own[column]); });
}

void dn_cuda_gain_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, double offset,
                          size_t N, size_t C)
{
    with_type_of(y, [&](auto at) {
        multiply_by_gain(s, at(y), at(x), numbers(gain), (dn_real)offset, N, C);
    });
}

template <class T>
static void run_gain_backward(dn_stream *s, dn_real *d, dn_real *to, const T *from, const dn_real *own,
                              dn_real shift, size_t N, size_t C)
{
    double *partial = (double *)dn_gpu_scratch(s, column_bytes(N, C));
    sum_columns(
        s, "gain_backward", partial, N, C,
        [=] __device__(size_t row, size_t column) {
            size_t at = row * C + column;
            double term = (double)d[at] * (double)value(from[at]);
            d[at] *= shift + own[column];
            return term;
        },
        [=] __device__(size_t column, double sum) { to[column] = (dn_real)((double)to[column] + sum); });
}

void dn_cuda_gain_backward(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                           double offset, size_t N, size_t C)
{
    with_type_of(x, [&](auto at) {
        run_gain_backward(s, numbers(dy), numbers(dgain), at(x), numbers(gain), (dn_real)offset, N, C);
    });
}
