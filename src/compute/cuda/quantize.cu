/*
 * Few bits a number, with the reference's bits (ops.h has the layouts): scales and thresholds are rounded as
 * there, and sums over the numbers of a message are added in its order.
 */
#include "compute/cuda/elements.cuh"
#include "compute/cuda/exact.cuh"

/* As compute/host.h has them, which is the host's. */
#ifdef DN_REAL_DOUBLE
#define QUANTUM_LEAST (128 * DBL_MIN)
#else
#define QUANTUM_LEAST (128 * FLT_MIN)
#endif
enum { SUM_LANES = 16, SUM_BLOCK = 16384, SUM_RUN = 16 };

static_assert(DN_QUANTUM_BLOCK == DN_BLOCK, "a thread has a number of its block's");

/* ---- scales of blocks: fp4, int8 ---- */

/* The largest magnitude of a block of numbers, of which a thread has one; NaN if one is. */
static __device__ dn_real largest(dn_real x)
{
    dn_real most = block_max(fabs(x));
    return block_sum(isnan(x) ? 1 : 0) > 0 ? (dn_real)NAN : most;
}

/* Code c of fp4, without its sign: 0 or 2^(c-7). */
static __device__ dn_real level(unsigned c)
{
    return c == 0 ? 0 : (dn_real)(1 << c) / 128;
}

/* A message of so many numbers: scales, of which padding to 8 bytes is 0, then codes. */
struct message {
    dn_real *scales;
    unsigned char *codes;
    size_t n, n_scales; /* with padding */
};

static message message_of(const dn_bytes *bytes, size_t n)
{
    return message{(dn_real *)(void *)numbers(bytes), numbers(bytes) + dn_scale_bytes(n), n,
                   dn_scale_bytes(n) / sizeof(dn_real)};
}

static __device__ void put_scale(message to, dn_real scale)
{
    if (threadIdx.x == 0) {
        to.scales[blockIdx.x] = scale;
        if (blockIdx.x + 1 == gridDim.x && gridDim.x < to.n_scales)
            to.scales[gridDim.x] = 0;
    }
}

/* A block of threads a block of numbers; all lanes go along, for their neighbours' sake. */
__global__ void __launch_bounds__(DN_BLOCK) encode_fp4(message to, const dn_real *from)
{
    size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x;
    dn_real x = i < to.n ? from[i] : 0, most = largest(x), scale = most < QUANTUM_LEAST ? 0 : most;
    unsigned code = 0, negative = signbit(x) ? 8 : 0;
    for (unsigned c = 0; c < 7; c++)
        code += fabs(x) >= product((level(c) + level(c + 1)) / 2, scale);
    code = scale > 0 && isfinite(scale) ? code | negative : 0;
    unsigned next = __shfl_xor_sync(DN_WHOLE_WARP, code, 1);
    if (i < to.n && i % 2 == 0)
        to.codes[i / 2] = (unsigned char)(code | next << 4);
    put_scale(to, scale);
}

__global__ void __launch_bounds__(DN_BLOCK) encode_int8(message to, const dn_real *from)
{
    size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x;
    dn_real x = i < to.n ? from[i] : 0, most = largest(x), scale = most < QUANTUM_LEAST ? 0 : most / 127;
    bool sound = scale > 0 && isfinite(scale);
    if (i < to.n)
        to.codes[i] = sound ? (unsigned char)(int8_t)round((double)product(x, 127 / most)) : 0;
    put_scale(to, isnan(scale) ? (dn_real)NAN : scale);
}

/* What a code is multiplied with. */
static __device__ dn_real step_of(dn_real a, dn_real scale)
{
    return product(a, isfinite(scale) ? scale : (dn_real)NAN);
}

void dn_cuda_encode_fp4(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    if (n > 0)
        DN_RUN(s, encode_fp4, (unsigned)((n + DN_BLOCK - 1) / DN_BLOCK), DN_BLOCK, 0, message_of(to, n),
               numbers(x));
}

void dn_cuda_encode_int8(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    if (n > 0)
        DN_RUN(s, encode_int8, (unsigned)((n + DN_BLOCK - 1) / DN_BLOCK), DN_BLOCK, 0, message_of(to, n),
               numbers(x));
}

void dn_cuda_add_fp4(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    dn_real *to = numbers(y), factor = (dn_real)a;
    const message m = message_of(from, n);
    for_index(s, "add_fp4", n, [=] __device__(size_t i) {
        unsigned code = m.codes[i / 2] >> 4 * (i % 2) & 15;
        dn_real value = product(step_of(factor, m.scales[i / DN_QUANTUM_BLOCK]), level(code & 7));
        to[i] += code & 8 ? -value : value;
    });
}

void dn_cuda_add_int8(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    dn_real *to = numbers(y), factor = (dn_real)a;
    const message m = message_of(from, n);
    for_index(s, "add_int8", n, [=] __device__(size_t i) {
        to[i] += product(step_of(factor, m.scales[i / DN_QUANTUM_BLOCK]), (dn_real)(int8_t)m.codes[i]);
    });
}

/* ---- sums in the reference's order ---- */

/* Of a half of a warp, in order; all of it get the sum. */
static __device__ double sum_of_lanes(double own)
{
    unsigned half = threadIdx.x % DN_WARP / SUM_LANES * SUM_LANES;
    double sum = 0;
    for (unsigned lane = 0; lane < SUM_LANES; lane++)
        sum += __shfl_sync(DN_WHOLE_WARP, own, half + lane);
    return sum;
}

/* Of f(i) over block `number` of SUM_BLOCK numbers, of n in all: numbers SUM_LANES apart are one lane's. All lanes of a warp,
 * the halves of which have a block each. */
template <class F> static __device__ double lanes_sum(size_t number, size_t n, F f)
{
    size_t first = number * SUM_BLOCK, end = n < first + SUM_BLOCK ? n : first + SUM_BLOCK;
    double own = 0;
    for (size_t i = first + threadIdx.x % SUM_LANES; i < end; i += SUM_LANES)
        own += f(i);
    return sum_of_lanes(own);
}

/* The same, of SUM_RUN numbers of a lane in the program's precision first. */
template <class F> static __device__ double runs_sum(size_t number, size_t n, F f)
{
    size_t first = number * SUM_BLOCK, end = n < first + SUM_BLOCK ? n : first + SUM_BLOCK;
    double own = 0;
    for (size_t begin = first; begin < end; begin += SUM_RUN * SUM_LANES) {
        dn_real run = 0;
        for (size_t i = begin + threadIdx.x % SUM_LANES; i < end && i < begin + SUM_RUN * SUM_LANES; i += SUM_LANES)
            run += f(i);
        own += (double)run;
    }
    return sum_of_lanes(own);
}

/* Of a warp the number of the block of numbers that this half has. */
static __device__ size_t number_of_half()
{
    return (blockIdx.x * (size_t)DN_WARP + threadIdx.x) / SUM_LANES;
}

/* partial [blocks][N] of one quantity each, added block by block. */
template <int N> static __device__ double total(const double *partial, size_t n_blocks, int quantity)
{
    double sum = 0;
    for (size_t b = 0; b < n_blocks; b++)
        sum += partial[b * N + quantity];
    return sum;
}

static size_t sum_blocks(size_t n)
{
    return (n + SUM_BLOCK - 1) / SUM_BLOCK;
}

static unsigned sum_grid(size_t n)
{
    return (unsigned)((sum_blocks(n) * SUM_LANES + DN_WARP - 1) / DN_WARP);
}

/* ---- signs ---- */

/* A thread a number of 32 in a warp, whose codes are 4 bytes. */
__global__ void __launch_bounds__(DN_BLOCK) encode_signs(unsigned char *codes, const dn_real *x, size_t n)
{
    size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x, lane = threadIdx.x % DN_WARP,
           at = (i - lane) / 8 + lane;
    unsigned bits = __ballot_sync(DN_WHOLE_WARP, i < n && x[i] < 0);
    if (lane < 4 && at < (n + 7) / 8)
        codes[at] = (unsigned char)(bits >> 8 * lane);
}

__global__ void __launch_bounds__(DN_WARP) sum_magnitudes(double *partial, const dn_real *x, size_t n)
{
    size_t number = number_of_half();
    double count = 0, sum = lanes_sum(number, n, [&](size_t i) {
        count += x[i] != 0;
        return fabs((double)x[i]);
    });
    double there = sum_of_lanes(count);
    if (threadIdx.x % SUM_LANES == 0 && number * SUM_BLOCK < n) {
        partial[2 * number] = there;
        partial[2 * number + 1] = sum;
    }
}

/* The mean, and 0 behind it up to 8 bytes. */
__global__ void __launch_bounds__(DN_WARP)
    put_mean_magnitude(dn_real *scale, const double *partial, size_t n_blocks)
{
    double count = total<2>(partial, n_blocks, 0),
           mean = count > 0 ? total<2>(partial, n_blocks, 1) / count : 0;
    if (threadIdx.x < 8 / sizeof *scale)
        scale[threadIdx.x] = threadIdx.x > 0 ? 0 : (dn_real)(isfinite(mean) ? mean : (double)NAN);
}

enum { SIGN_CODES = 8 }; /* where they begin */

void dn_cuda_encode_sign(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    double *partial = (double *)dn_gpu_scratch(s, (2 * sum_blocks(n) + 1) * sizeof *partial);
    if (n > 0) {
        DN_RUN(s, encode_signs, (unsigned)((n + DN_BLOCK - 1) / DN_BLOCK), DN_BLOCK, 0,
               numbers(to) + SIGN_CODES, numbers(x), n);
        DN_RUN(s, sum_magnitudes, sum_grid(n), DN_WARP, 0, partial, numbers(x), n);
    }
    DN_RUN(s, put_mean_magnitude, 1, DN_WARP, 0, (dn_real *)(void *)numbers(to), partial, sum_blocks(n));
}

void dn_cuda_add_sign(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    dn_real *to = numbers(y), factor = (dn_real)a;
    const dn_real *scale = (const dn_real *)(void *)numbers(from);
    const unsigned char *codes = numbers(from) + SIGN_CODES;
    for_index(s, "add_sign", n, [=] __device__(size_t i) {
        dn_real step = product(factor, scale[0]);
        to[i] += codes[i / 8] >> i % 8 & 1 ? -step : step;
    });
}

/* ---- four bins ---- */

enum { BINS = 4 };

static __device__ int bin_of(dn_real x, const dn_real *edges)
{
    return (x >= edges[0]) + (x >= edges[1]) + (x >= edges[2]);
}

/* Of each block how many are not 0, their sum, and the sum of their squared distances from the block's mean.
 */
__global__ void __launch_bounds__(DN_WARP) sum_moments(double *partial, const dn_real *x, size_t n)
{
    size_t number = number_of_half();
    double count = 0, sum = lanes_sum(number, n, [&](size_t i) {
        count += x[i] != 0;
        return (double)x[i];
    });
    double there = sum_of_lanes(count), mean = there > 0 ? sum / there : 0;
    double squares = lanes_sum(number, n, [=](size_t i) {
        double away = x[i] != 0 ? (double)x[i] - mean : 0;
        return product(away, away);
    });
    if (threadIdx.x % SUM_LANES == 0 && number * SUM_BLOCK < n) {
        partial[3 * number] = there;
        partial[3 * number + 1] = sum;
        partial[3 * number + 2] = squares;
    }
}

/* From the means of blocks to the mean of all, and the deviation from it (Chan, Golub and LeVeque, 1983).
 * edges [BINS]: those of bins, then 1, or 0 if they are not finite. */
__global__ void __launch_bounds__(DN_WARP) find_edges(dn_real *edges, const double *partial, size_t n_blocks)
{
    double count = total<3>(partial, n_blocks, 0), squares = 0;
    count = count > 0 ? count : 1;
    double mean = total<3>(partial, n_blocks, 1) / count;
    for (size_t b = 0; b < n_blocks; b++) {
        double here = partial[3 * b], away = partial[3 * b + 1] / here - mean;
        if (here > 0)
            squares += partial[3 * b + 2] + product(here, product(away, away));
    }
    double deviation = sqrt(squares / count);
    if (threadIdx.x == 0) {
        edges[0] = (dn_real)(mean - product(1.5, deviation));
        edges[1] = (dn_real)mean;
        edges[2] = (dn_real)(mean + product(1.5, deviation));
        edges[3] = isfinite(mean) && isfinite(deviation);
    }
}

/* How many of each bin are not 0, and their sums. */
__global__ void __launch_bounds__(DN_WARP)
    sum_bins(double *partial, const dn_real *x, const dn_real *edges, size_t n)
{
    size_t number = number_of_half();
    for (int bin = 0; bin < BINS; bin++) {
        double count = 0, sum = runs_sum(number, n, [&](size_t i) {
            bool here = bin_of(x[i], edges) == bin;
            count += here && x[i] != 0;
            return here ? x[i] : (dn_real)0;
        });
        double there = sum_of_lanes(count);
        if (threadIdx.x % SUM_LANES == 0 && number * SUM_BLOCK < n) {
            partial[2 * BINS * number + bin] = there;
            partial[2 * BINS * number + BINS + bin] = sum;
        }
    }
}

__global__ void __launch_bounds__(DN_WARP)
    put_means(dn_real *means, const double *partial, const dn_real *edges, size_t n_blocks)
{
    int bin = (int)threadIdx.x;
    if (bin >= BINS)
        return;
    double there = total<2 * BINS>(partial, n_blocks, bin),
           sum = total<2 * BINS>(partial, n_blocks, BINS + bin);
    means[bin] = (dn_real)(edges[3] == 0 ? (double)NAN : there > 0 ? sum / there : 0);
}

/* Four threads have a byte's numbers. */
__global__ void __launch_bounds__(DN_BLOCK)
    encode_bins(unsigned char *codes, const dn_real *x, const dn_real *edges, size_t n)
{
    size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x;
    unsigned code = i < n ? (unsigned)bin_of(x[i], edges) << 2 * (i % 4) : 0;
    code |= __shfl_xor_sync(DN_WHOLE_WARP, code, 1);
    code |= __shfl_xor_sync(DN_WHOLE_WARP, code, 2);
    if (i < n && i % 4 == 0)
        codes[i / 4] = (unsigned char)code;
}

void dn_cuda_encode_int2(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    size_t n_blocks = sum_blocks(n);
    double *partial =
        (double *)dn_gpu_scratch(s, 2 * BINS * n_blocks * sizeof *partial + BINS * sizeof(dn_real));
    dn_real *edges = (dn_real *)(partial + 2 * BINS * n_blocks), *means = (dn_real *)(void *)numbers(to);
    if (n > 0)
        DN_RUN(s, sum_moments, sum_grid(n), DN_WARP, 0, partial, numbers(x), n);
    DN_RUN(s, find_edges, 1, DN_WARP, 0, edges, partial, n_blocks);
    if (n > 0)
        DN_RUN(s, sum_bins, sum_grid(n), DN_WARP, 0, partial, numbers(x), edges, n);
    DN_RUN(s, put_means, 1, DN_WARP, 0, means, partial, edges, n_blocks);
    if (n > 0)
        DN_RUN(s, encode_bins, (unsigned)((n + DN_BLOCK - 1) / DN_BLOCK), DN_BLOCK, 0,
               numbers(to) + BINS * sizeof(dn_real), numbers(x), edges, n);
}

void dn_cuda_add_int2(dn_stream *s, dn_buf *y, double a, const dn_bytes *from, size_t n)
{
    dn_real *to = numbers(y), factor = (dn_real)a;
    const dn_real *means = (const dn_real *)(void *)numbers(from);
    const unsigned char *codes = numbers(from) + BINS * sizeof(dn_real);
    for_index(s, "add_int2", n,
              [=] __device__(size_t i) { to[i] += product(factor, means[codes[i / 4] >> 2 * (i % 4) & 3]); });
}
