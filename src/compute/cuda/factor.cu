/*
 * Factors of small matrices, in double: a block takes one, all of a call at once. What a step writes to
 * device memory, a barrier makes the whole block see.
 */
#include "compute/cuda/kernel.cuh"

extern "C" {
#include "device/cuda/row.h"
}

/* As compute/host.h has them, which is the host's. */
#define GRAM_ROUNDING   (16 * DBL_EPSILON)
#define DEPENDENT_SHARE (16 * DN_REAL_EPS)

/* One matrix, on the device. */
struct item {
    size_t r, n_partials, work; /* work: where its part of the scratch begins, in doubles */
    const double *const *partials;
    double *inverse;
};

struct outcome {
    int info;
    double defect;
};

/* sum [n] = the partials added in order. */
static __device__ void add_partials(double *sum, const item &f, size_t n)
{
    for (size_t i = threadIdx.x; i < n; i += DN_BLOCK) {
        double own = 0;
        for (size_t k = 0; k < f.n_partials; k++)
            own += f.partials[k][i];
        sum[i] = own;
    }
    __syncthreads();
}

/* Of a matrix whose columns have these squared lengths. */
static __device__ int judge(const double *squares, size_t r)
{
    double sum = 0;
    for (size_t j = threadIdx.x; j < r; j += DN_BLOCK)
        sum += squares[j];
    sum = block_sum(sum);
    return sum == 0 ? DN_FACTOR_ZERO : isfinite(sum) ? DN_FACTOR_OK : DN_FACTOR_NOT_FINITE;
}

/* g [r, r] = its upper Cholesky factor, column by column of what is left; false if a pivot is not clearly
 * positive. */
static __device__ bool cholesky(double *g, const double *squares, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        double pivot = g[j * r + j];
        if (!(pivot > GRAM_ROUNDING * squares[j]))
            return false;
        double root = sqrt(pivot);
        __syncthreads(); /* all have read the pivot */
        for (size_t k = j + threadIdx.x; k < r; k += DN_BLOCK)
            g[j * r + k] = k == j ? root : g[j * r + k] / root;
        __syncthreads();
        size_t left = r - j - 1;
        for (size_t at = threadIdx.x; at < left * left; at += DN_BLOCK) {
            size_t i = j + 1 + at / left, k = j + 1 + at % left;
            if (i <= k)
                g[i * r + k] -= g[j * r + i] * g[j * r + k];
        }
        __syncthreads();
    }
    return true;
}

/* t = u^{-1}, both [r, r] upper triangular, from the last row of u t = I. A column is one thread's. */
static __device__ void invert(double *t, const double *u, size_t r)
{
    for (size_t i = r; i-- > 0;)
        for (size_t j = threadIdx.x; j < r; j += DN_BLOCK) {
            double sum = i == j;
            for (size_t l = i + 1; l <= j; l++)
                sum -= u[i * r + l] * t[l * r + j];
            t[i * r + j] = j < i ? 0 : sum / u[i * r + i];
        }
    __syncthreads();
}

/* The bound of ref/orth.c: rounding changes g_ij by a share of d_i d_j, d the lengths of the columns. */
static __device__ double defect(const double *t, const double *squares, size_t r)
{
    double worst = 0;
    for (size_t j = threadIdx.x; j < r; j += DN_BLOCK) {
        double sum = 0;
        for (size_t i = 0; i <= j; i++)
            sum += sqrt(squares[i]) * fabs(t[i * r + j]);
        worst = fmax(worst, sum);
    }
    worst = block_max(worst);
    return GRAM_ROUNDING * worst * worst;
}

/* Work of an item: its Gram matrix, and the squared lengths of its columns. */
__global__ void __launch_bounds__(DN_BLOCK, 2) factor_gram(outcome *out, const item *items, double *scratch)
{
    const item f = items[blockIdx.x];
    double *g = scratch + f.work, *squares = g + f.r * f.r;
    add_partials(g, f, f.r * f.r);
    for (size_t j = threadIdx.x; j < f.r; j += DN_BLOCK)
        squares[j] = g[j * f.r + j];
    __syncthreads();
    int info = judge(squares, f.r);
    double bound = 0;
    if (info == DN_FACTOR_OK && !cholesky(g, squares, f.r))
        info = DN_FACTOR_RANK_DEFICIENT;
    if (info == DN_FACTOR_OK) {
        invert(f.inverse, g, f.r);
        bound = defect(f.inverse, squares, f.r);
    }
    if (threadIdx.x == 0)
        out[blockIdx.x] = outcome{info, bound};
}

/* Householder QR of a [m, r]: reflectors on and below the diagonal, R above it and in diagonal. A warp takes
 * a column. */
static __device__ void reduce(double *a, double *diagonal, size_t m, size_t r)
{
    const size_t warp = threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP, warps = DN_BLOCK / DN_WARP;
    for (size_t j = 0; j < r; j++) {
        double scale = 0, square = 0;
        for (size_t i = j + threadIdx.x; i < m; i += DN_BLOCK)
            scale = fmax(scale, fabs(a[i * r + j]));
        scale = block_max(scale);
        for (size_t i = j + threadIdx.x; i < m && scale > 0; i += DN_BLOCK) {
            a[i * r + j] /= scale; /* only its direction matters; its square must not under- or overflow */
            square += a[i * r + j] * a[i * r + j];
        }
        square = block_sum(square);
        double top = a[j * r + j], length = copysign(sqrt(square), top);
        __syncthreads(); /* all have read it */
        if (threadIdx.x == 0) {
            diagonal[j] = -length * scale;
            a[j * r + j] = top + length;
        }
        /* |v|^2 of v = x + length e_1, length = sign(x_1) |x| */
        double of_v = 2 * (square + length * top);
        __syncthreads();
        for (size_t k = j + 1 + warp; k < r && of_v > 0; k += warps) {
            double sum = 0;
            for (size_t i = j + lane; i < m; i += DN_WARP)
                sum += a[i * r + j] * a[i * r + k];
            sum = warp_sum(sum);
            for (size_t i = j + lane; i < m; i += DN_WARP)
                a[i * r + k] -= 2 * sum / of_v * a[i * r + j];
        }
        __syncthreads();
    }
}

/* upper [r, r] = R with rows turned so that its diagonal is positive; false if a column depends on the
 * earlier ones. */
static __device__ bool take_upper(double *upper, const double *a, const double *diagonal, size_t r)
{
    double dependent = 0;
    for (size_t j = threadIdx.x; j < r; j += DN_BLOCK) {
        double square = 0;
        for (size_t i = 0; i < j; i++) {
            double own = diagonal[i] < 0 ? -a[i * r + j] : a[i * r + j];
            upper[i * r + j] = own;
            square += own * own;
        }
        upper[j * r + j] = fabs(diagonal[j]);
        if (!(fabs(diagonal[j]) > DEPENDENT_SHARE * sqrt(square)))
            dependent = 1;
    }
    return block_max(dependent) == 0;
}

/* Work of an item: the sketch and its row of squared lengths, R, its diagonal. */
__global__ void __launch_bounds__(DN_BLOCK, 2) factor_sketch(outcome *out, const item *items, double *scratch)
{
    const item f = items[blockIdx.x];
    size_t k = (5 * f.r + 511) / 512 * 128; /* dn_sketch_rows */
    double *sum = scratch + f.work, *upper = sum + (k + 1) * f.r, *diagonal = upper + f.r * f.r;
    add_partials(sum, f, (k + 1) * f.r);
    int info = judge(sum + k * f.r, f.r);
    if (info == DN_FACTOR_OK) {
        reduce(sum, diagonal, k, f.r);
        if (take_upper(upper, sum, diagonal, f.r))
            invert(f.inverse, upper, f.r);
        else
            info = DN_FACTOR_RANK_DEFICIENT;
    }
    if (threadIdx.x == 0)
        out[blockIdx.x] = outcome{info, 0};
}

/* q [m, r] = the first columns of the product of the reflectors in a; signs so that R's diagonal is positive.
 */
static __device__ void form_q(double *q, const double *a, const double *diagonal, size_t m, size_t r)
{
    const size_t warp = threadIdx.x / DN_WARP, lane = threadIdx.x % DN_WARP, warps = DN_BLOCK / DN_WARP;
    for (size_t k = warp; k < r; k += warps) { /* a column is one warp's, and reads none but its own */
        for (size_t i = lane; i < m; i += DN_WARP)
            q[i * r + k] = i == k;
        for (size_t j = k + 1; j-- > 0;) {
            double sum = 0, of_v = 0;
            __syncwarp();
            for (size_t i = j + lane; i < m; i += DN_WARP) {
                sum += a[i * r + j] * q[i * r + k];
                of_v += a[i * r + j] * a[i * r + j];
            }
            sum = warp_sum(sum);
            of_v = warp_sum(of_v);
            for (size_t i = j + lane; i < m && of_v > 0; i += DN_WARP)
                q[i * r + k] -= 2 * sum / of_v * a[i * r + j];
        }
        __syncwarp();
        for (size_t i = lane; i < m; i += DN_WARP)
            q[i * r + k] = diagonal[k] < 0 ? -q[i * r + k] : q[i * r + k];
    }
    __syncthreads();
}

struct tall {
    size_t m, r, work;
    dn_real *p;
};

/* The last resort, of whole matrices: right, and slow. Work of an item: A, Q, the diagonal. */
__global__ void __launch_bounds__(DN_BLOCK, 2) householder(int *out, const tall *items, double *scratch)
{
    const tall f = items[blockIdx.x];
    size_t n = f.m * f.r;
    double *a = scratch + f.work, *q = a + n, *diagonal = q + n, largest = 0, wrong = 0;
    for (size_t i = threadIdx.x; i < n; i += DN_BLOCK) {
        a[i] = (double)f.p[i];
        wrong = isfinite(a[i]) ? wrong : 1;
        largest = fmax(largest, fabs(a[i]));
    }
    wrong = block_max(wrong);
    largest = block_max(largest);
    int info = wrong > 0 ? DN_FACTOR_NOT_FINITE : largest == 0 ? DN_FACTOR_ZERO : DN_FACTOR_OK;
    if (info == DN_FACTOR_OK) {
        reduce(a, diagonal, f.m, f.r);
        form_q(q, a, diagonal, f.m, f.r);
        for (size_t i = threadIdx.x; i < n; i += DN_BLOCK)
            f.p[i] = (dn_real)q[i];
    }
    if (threadIdx.x == 0)
        out[blockIdx.x] = info;
}

/* ---- calls ---- */

struct targets {
    dn_factoring *items;
    size_t n;
};

static void deliver(const void *results, const void *context)
{
    const targets *to = (const targets *)context;
    const outcome *from = (const outcome *)results;
    for (size_t i = 0; i < to->n; i++) {
        to->items[i].info = (dn_factor_info)from[i].info;
        to->items[i].defect = from[i].defect;
    }
}

/* Scratch: tables of items and of their partials, then their work, of so many doubles each. */
template <class W, class L>
static void factor(dn_stream *s, dn_factoring *items, size_t n, W work_of, L launch)
{
    size_t n_partials = 0, work = 0, at = 0;
    for (size_t i = 0; i < n; i++) {
        n_partials += items[i].n_partials;
        work += work_of(items[i].r);
    }
    size_t tables = n * sizeof(item) + n_partials * sizeof(double *);
    char *room = n > 0 ? (char *)dn_gpu_scratch(s, tables + work * sizeof(double)) : NULL;
    if (!room)
        return;
    const double **partials = (const double **)(void *)(room + n * sizeof(item));
    item *own = (item *)dn_gpu_keep(s, tables);
    const double **host_partials = (const double **)(void *)(own + n);
    work = 0;
    for (size_t i = 0; i < n; i++) {
        own[i] = item{items[i].r, items[i].n_partials, work, partials + at, numbers(items[i].inverse)};
        for (size_t k = 0; k < items[i].n_partials; k++)
            host_partials[at++] = numbers(items[i].partials[k]);
        work += work_of(items[i].r);
    }
    const item *table = (const item *)dn_gpu_table(s, room, own, tables);
    targets to = {items, n};
    launch((outcome *)dn_gpu_delivered(s, n * sizeof(outcome), deliver, &to, sizeof to), table,
           (double *)(void *)(room + tables));
}

void dn_cuda_factor_gram(dn_stream *s, dn_factoring *items, size_t n)
{
    factor(
        s, items, n, [](size_t r) { return r * (r + 1); },
        [&](outcome *out, const item *table, double *scratch) {
            DN_RUN(s, factor_gram, (unsigned)n, DN_BLOCK, 0, out, table, scratch);
        });
}

void dn_cuda_factor_sketch(dn_stream *s, dn_factoring *items, size_t n)
{
    factor(
        s, items, n, [](size_t r) { return (dn_sketch_rows(r) + r + 2) * r; },
        [&](outcome *out, const item *table, double *scratch) {
            DN_RUN(s, factor_sketch, (unsigned)n, DN_BLOCK, 0, out, table, scratch);
        });
}

struct tall_targets {
    dn_tall *items;
    size_t n;
};

static void deliver_talls(const void *results, const void *context)
{
    const tall_targets *to = (const tall_targets *)context;
    for (size_t i = 0; i < to->n; i++)
        to->items[i].info = (dn_factor_info)((const int *)results)[i];
}

void dn_cuda_householder(dn_stream *s, dn_tall *items, size_t n)
{
    size_t work = 0;
    tall *own = n > 0 ? (tall *)dn_gpu_keep(s, n * sizeof *own) : NULL;
    for (size_t i = 0; i < n; i++) {
        own[i] = tall{items[i].m, items[i].r, work, numbers(items[i].p)};
        work += (2 * items[i].m + 1) * items[i].r;
    }
    char *room = n > 0 ? (char *)dn_gpu_scratch(s, n * sizeof *own + work * sizeof(double)) : NULL;
    if (!room)
        return;
    const tall *table = (const tall *)dn_gpu_table(s, room, own, n * sizeof *own);
    tall_targets to = {items, n};
    int *out = (int *)dn_gpu_delivered(s, n * sizeof *out, deliver_talls, &to, sizeof to);
    DN_RUN(s, householder, (unsigned)n, DN_BLOCK, 0, out, table, (double *)(void *)(room + n * sizeof *own));
}
