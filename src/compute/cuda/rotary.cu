/* Rotary positions, alone and behind an RMS norm of each head; of dn_real or of bfloat16. */
#include "compute/cuda/bf16.cuh"

enum { WARPS = DN_BLOCK / DN_WARP };

/*
 * Cosine and sine of x. CUDA's own have memory on the stack, for numbers that are larger than any angle here.
 * x is brought within pi/4 of 0 by multiples of pi/2, of which 106 bits are subtracted, each half with one
 * rounding (Cody and Waite); what is left, as a share of pi, is rounded once more: 2^-55.
 */
static __device__ void cosine_and_sine(double x, double *cosine, double *sine)
{
    const double quarters = rint(x * 0.63661977236758134); /* 2/pi */
    const double rest = fma(-quarters, 6.123233995736766e-17, fma(-quarters, 1.5707963267948966, x));
    double c, s;
    sincospi(rest * 0.31830988618379067, &s, &c);
    const int quadrant = (int)((long long)quarters & 3);
    *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
    *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
}

__global__ void __launch_bounds__(DN_BLOCK)
    fill_angles(dn_real *angles, const double *frequencies, size_t T, size_t n)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < T * n; at += step) {
        size_t t = at / n, i = at % n;
        double cosine, sine;
        cosine_and_sine((double)t * frequencies[i], &cosine, &sine);
        angles[t * 2 * n + i] = (dn_real)cosine;
        angles[t * 2 * n + n + i] = (dn_real)sine;
    }
}

void dn_cuda_rotary_angles(dn_stream *s, dn_buf *angles, const double *host_frequencies, size_t T, size_t n)
{
    double *room = T * n > 0 ? (double *)dn_gpu_scratch(s, n * sizeof *room) : NULL;
    if (!room)
        return;
    const double *frequencies = (const double *)dn_gpu_table(s, room, host_frequencies, n * sizeof *room);
    DN_RUN(s, fill_angles, blocks(T * n, DN_BLOCK), DN_BLOCK, 0, numbers(angles), frequencies, T, n);
}

/* The pair (x_i, x_{i + half}) of a head, times scale, turned by `sign` times the angle of its row of cosines
 * and sines. */
template <class T>
static __device__ void turn(T *head, size_t i, size_t half, dn_real low, dn_real high, const dn_real *row,
                            dn_real sign)
{
    dn_real c = row[i], s = sign * row[i + half];
    put(&head[i], low * c + high * s);
    put(&head[i + half], high * c - low * s);
}

template <class T>
__global__ void __launch_bounds__(DN_BLOCK)
    rotate(T *x, const dn_real *angles, dn_attention_shape a, dn_real sign)
{
    size_t half = a.rot / 2, n = a.B * a.T * a.NH * half, step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < n; at += step) {
        size_t i = at % half, h = at / half % a.NH, row = at / half / a.NH;
        T *head = x + row * a.ld + h * a.hd;
        turn(head, i, half, value(head[i]), value(head[i + half]), angles + row % a.T * a.rot, sign);
    }
}

static void run_rotate(dn_stream *s, const char *name, dn_buf *x, const dn_buf *angles,
                       const dn_attention_shape *shape, dn_real sign)
{
    size_t n = shape->B * shape->T * shape->NH * (shape->rot / 2);
    if (n == 0 || !dn_gpu_begin(s, name))
        return;
    with_type_of(x, [&](auto at) {
        DN_LAUNCH(rotate, blocks(n, DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s), at(x), numbers(angles), *shape,
                  sign);
    });
    dn_gpu_end(s);
}

void dn_cuda_rotary_forward(dn_stream *s, dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape)
{
    run_rotate(s, "rotary_forward", x, angles, shape, 1);
}

void dn_cuda_rotary_backward(dn_stream *s, dn_buf *dy, const dn_buf *angles, const dn_attention_shape *shape)
{
    run_rotate(s, "rotary_backward", dy, angles, shape, -1);
}

/* A warp takes a head of a row. What it writes depends on the sum over all that its lanes have read before.
 */
template <class T>
__global__ void __launch_bounds__(DN_BLOCK)
    norm_rotary_forward(T *x, dn_real *rstd, const dn_real *angles, double eps, dn_attention_shape a)
{
    size_t at = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP,
           half = a.rot / 2;
    if (at >= a.B * a.T * a.NH)
        return;
    size_t row = at / a.NH;
    T *head = x + row * a.ld + at % a.NH * a.hd;
    double squares = 0;
    for (size_t i = lane; i < a.hd; i += DN_WARP)
        squares += (double)value(head[i]) * (double)value(head[i]);
    dn_real scale = (dn_real)(1 / sqrt(warp_sum(squares) / (double)a.hd + eps));
    for (size_t i = lane; i < half; i += DN_WARP)
        turn(head, i, half, value(head[i]) * scale, value(head[i + half]) * scale,
             angles + row % a.T * a.rot, 1);
    for (size_t i = a.rot + lane; i < a.hd; i += DN_WARP)
        put(&head[i], value(head[i]) * scale);
    if (lane == 0)
        rstd[at] = scale;
}

/* A rotation keeps dot products, so the mean of dy y may be taken before both are turned back. */
template <class T>
__global__ void __launch_bounds__(DN_BLOCK)
    norm_rotary_backward(T *dy, const T *y, const dn_real *rstd, const dn_real *angles, dn_attention_shape a)
{
    size_t at = blockIdx.x * (size_t)WARPS + threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP,
           half = a.rot / 2;
    if (at >= a.B * a.T * a.NH)
        return;
    size_t row = at / a.NH, start = row * a.ld + at % a.NH * a.hd;
    T *d = dy + start;
    const T *out = y + start;
    double along = 0;
    for (size_t i = lane; i < a.hd; i += DN_WARP)
        along += (double)value(d[i]) * (double)value(out[i]);
    dn_real mean = (dn_real)(warp_sum(along) / (double)a.hd), scale = rstd[at];
    for (size_t i = lane; i < half; i += DN_WARP)
        turn(d, i, half, scale * (value(d[i]) - value(out[i]) * mean),
             scale * (value(d[i + half]) - value(out[i + half]) * mean), angles + row % a.T * a.rot, -1);
    for (size_t i = a.rot + lane; i < a.hd; i += DN_WARP)
        put(&d[i], scale * (value(d[i]) - value(out[i]) * mean));
}

void dn_cuda_norm_rotary_forward(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_buf *angles, double eps,
                                 const dn_attention_shape *shape)
{
    size_t n = shape->B * shape->T * shape->NH;
    unsigned grid = (unsigned)((n + WARPS - 1) / WARPS);
    if (n == 0)
        return;
    with_type_of(x, [&](auto at) {
        DN_RUN(s, norm_rotary_forward, grid, DN_BLOCK, 0, at(x), numbers(rstd), numbers(angles), eps, *shape);
    });
}

void dn_cuda_norm_rotary_backward(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                  const dn_buf *angles, const dn_attention_shape *shape)
{
    size_t n = shape->B * shape->T * shape->NH;
    unsigned grid = (unsigned)((n + WARPS - 1) / WARPS);
    if (n == 0)
        return;
    with_type_of(dy, [&](auto at) {
        DN_RUN(s, norm_rotary_backward, grid, DN_BLOCK, 0, at(dy), at(y), numbers(rstd), numbers(angles),
               *shape);
    });
}
