/* SHERL's mixture of layers: a block takes a row, in double, with its features in shared memory. */
#include "compute/cuda/columns.cuh"
#include "compute/cuda/elements.cuh"
#include "compute/cuda/sums.cuh"

typedef dn_real (&two)[2];

static __device__ double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* What a kernel reads: f [M,N,r], of which the last layer is the deepest. */
struct layers {
    const dn_real *f, *a;
    size_t M, N, r;
};

static const double least_sum = 1e-6; /* keeps the sum of weights from 0 */

/*
 * A row in shared memory: its features f [M,r], the products of their directions both [M,M] (0 with a vector
 * of 0), and of each layer its length, t, red, s (ops.h has the formulas). Returns the sum of s. All threads.
 */
template <class S>
static __device__ double mix(const layers &x, size_t row, S f, S both, S length, S t, S red, S weight)
{
    size_t M = x.M, r = x.r;
    for (size_t i = threadIdx.x; i < M * r; i += DN_BLOCK)
        f[i] = (double)x.f[(i / r * x.N + row) * r + i % r];
    __syncthreads();
    for (size_t at = threadIdx.x; at < M * M; at += DN_BLOCK) {
        double sum = 0;
        for (size_t c = 0; c < r; c++)
            sum += (double)f[at / M * r + c] * (double)f[at % M * r + c];
        both[at] = sum;
    }
    __syncthreads();
    for (size_t l = threadIdx.x; l < M; l += DN_BLOCK)
        length[l] = sqrt((double)both[l * M + l]);
    __syncthreads();
    for (size_t at = threadIdx.x; at < M * M; at += DN_BLOCK) {
        double lengths = (double)length[at / M] * (double)length[at % M];
        both[at] = lengths > 0 ? (double)both[at] / lengths : 0;
    }
    __syncthreads();
    for (size_t l = threadIdx.x; l + 1 < M; l += DN_BLOCK) {
        double redundancy = 1, importance = 0;
        for (size_t m = 0; m + 1 < M; m++)
            if (m != l)
                redundancy += fmax((double)both[l * M + m], 0.0);
        for (size_t c = 0; c < r; c++)
            importance += (double)x.a[c] * (double)f[l * r + c] * (double)f[(M - 1) * r + c];
        t[l] = fmax(importance, 0.0);
        red[l] = redundancy;
        weight[l] = fmax(importance, 0.0) / redundancy;
    }
    __syncthreads();
    double sum = least_sum;
    for (size_t l = 0; l + 1 < M; l++)
        sum += weight[l];
    return sum;
}

static size_t shared_bytes(size_t M, size_t r)
{
    return (M * r + M * M + 6 * M) * sizeof(double);
}

__global__ void __launch_bounds__(DN_BLOCK) mix_rows(dn_real *agg, layers x)
{
    DN_DYNAMIC_SHARED(double, f);
    size_t M = x.M, r = x.r, row = blockIdx.x;
    auto both = f + M * r, length = both + M * M, t = length + M, red = t + M, weight = red + M;
    double all = mix(x, row, f + 0, both, length, t, red, weight);
    for (size_t c = threadIdx.x; c < r; c += DN_BLOCK) {
        double sum = f[(M - 1) * r + c];
        for (size_t l = 0; l + 1 < M; l++)
            sum += weight[l] / all * (double)f[l * r + c];
        agg[row * r + c] = (dn_real)sum;
    }
}

/* What makes z + u and v the features, and gets their gradients. */
struct gates {
    const dn_real *z, *u, *v;
    dn_real *dh, *dv;
};

/* of_a [N,r]: a row's part of da. */
__global__ void __launch_bounds__(DN_BLOCK)
    mix_rows_back(gates g, double *of_a, const dn_real *dagg, layers x)
{
    DN_DYNAMIC_SHARED(double, f);
    size_t M = x.M, r = x.r, row = blockIdx.x;
    auto both = f + M * r, length = both + M * M, t = length + M, red = t + M, weight = red + M,
         dred = weight + M, dt = dred + M;
    double all = mix(x, row, f + 0, both, length, t, red, weight);
    const dn_real *d = dagg + row * r;
    for (size_t l = threadIdx.x; l + 1 < M;
         l += DN_BLOCK) { /* the gradient of a layer's share, until a barrier */
        double sum = 0;
        for (size_t c = 0; c < r; c++)
            sum += (double)d[c] * (double)f[l * r + c];
        dt[l] = sum;
    }
    __syncthreads();
    double mean = 0;
    for (size_t l = 0; l + 1 < M; l++)
        mean += (double)dt[l] * (double)weight[l] / (all * all);
    __syncthreads();
    for (size_t l = threadIdx.x; l + 1 < M; l += DN_BLOCK) {
        double ds = (double)dt[l] / all - mean;
        dred[l] = -ds * (double)t[l] / ((double)red[l] * (double)red[l]);
        dt[l] = t[l] > 0 ? ds / (double)red[l] : 0;
    }
    __syncthreads();
    for (size_t i = threadIdx.x; i < M * r; i += DN_BLOCK) {
        size_t l = i / r, c = i % r, at = (l * x.N + row) * r + c;
        double df = 0, deep = f[(M - 1) * r + c], a = (double)x.a[c];
        if (l + 1 == M) {
            double da = 0;
            df = (double)d[c];
            for (size_t m = 0; m + 1 < M; m++) {
                df += (double)dt[m] * a * (double)f[m * r + c];
                da += (double)dt[m] * (double)f[m * r + c] * deep;
            }
            of_a[row * r + c] = da;
        } else {
            double own = length[l], turned = 0,
                   along = 0; /* of the gradient of the direction, c, and what lies in the direction */
            for (size_t m = 0; m + 1 < M; m++)
                if (m != l && both[l * M + m] > 0) {
                    turned +=
                        ((double)dred[l] + (double)dred[m]) * ((double)f[m * r + c] / (double)length[m]);
                    along += ((double)dred[l] + (double)dred[m]) * (double)both[l * M + m];
                }
            df = (double)weight[l] / all * (double)d[c] + (double)dt[l] * a * deep;
            if (own > 0)
                df += (turned - (double)f[i] / own * along) / own;
        }
        double gate = sigmoid((double)g.v[at]), h = (double)g.z[at] + (double)g.u[at];
        g.dh[at] = (dn_real)(df * gate);
        g.dv[at] = (dn_real)(df * h * gate * (1 - gate));
    }
}

static bool fits(dn_stream *s, const char *name, size_t bytes)
{
    const size_t most = (size_t)163 << 10;
    if (bytes > most)
        dn_gpu_refuse(s, name, "so many layers of so many numbers do not fit the GPU's shared memory");
    return bytes <= most;
}

void dn_cuda_sherl_forward(dn_stream *s, dn_buf *agg, dn_buf *f, const dn_buf *z, const dn_buf *u,
                           const dn_buf *v, const dn_buf *a, size_t M, size_t N, size_t r)
{
    size_t bytes = shared_bytes(M, r);
    if (M * N * r == 0 || !fits(s, "sherl_forward", bytes))
        return;
    dn_real *features = numbers(f);
    const dn_real *from = numbers(z), *added = numbers(u), *gate = numbers(v);
    for_index(s, "sherl_forward", M * N * r, [=] __device__(size_t i) {
        features[i] = (dn_real)(((double)from[i] + (double)added[i]) * sigmoid((double)gate[i]));
    });
    DN_ALLOW_SHARED(mix_rows, bytes);
    DN_RUN(s, mix_rows, (unsigned)N, DN_BLOCK, bytes, numbers(agg),
           (layers{numbers(f), numbers(a), M, N, r}));
}

void dn_cuda_sherl_backward(dn_stream *s, dn_buf *dh, dn_buf *dv, dn_buf *da, const dn_buf *dagg,
                            const dn_buf *f, const dn_buf *z, const dn_buf *u, const dn_buf *v,
                            const dn_buf *a, size_t M, size_t N, size_t r)
{
    size_t bytes = shared_bytes(M, r);
    if (M * N * r == 0 || !fits(s, "sherl_backward", bytes))
        return;
    double *of_a = (double *)dn_gpu_scratch(s, N * r * sizeof *of_a + column_bytes(N, r)),
           *partial = of_a + N * r;
    if (!of_a)
        return;
    DN_ALLOW_SHARED(mix_rows_back, bytes);
    DN_RUN(s, mix_rows_back, (unsigned)N, DN_BLOCK, bytes,
           (gates{numbers(z), numbers(u), numbers(v), numbers(dh), numbers(dv)}), of_a, numbers(dagg),
           (layers{numbers(f), numbers(a), M, N, r}));
    dn_real *to = numbers(da);
    sum_columns(
        s, "sherl_backward", partial, N, r,
        [=] __device__(size_t row, size_t column) { return of_a[row * r + column]; },
        [=] __device__(size_t column, double sum) { to[column] += (dn_real)sum; });
}

/* ---- gates of one number ---- */

static __device__ double gate_of(const dn_real *gamma)
{
    return tanh(10 * (double)*gamma);
}

void dn_cuda_add_gated(dn_stream *s, dn_buf *y, const dn_buf *gamma, const dn_buf *x, size_t n)
{
    const dn_real *own = numbers(gamma);
    for_each<3, 1>(s, "add_gated", arrays<2>{{numbers(y), numbers(x)}}, n,
                   [=] __device__(two e) { e[0] = (dn_real)((double)e[0] + gate_of(own) * (double)e[1]); });
}

void dn_cuda_add_gated_backward(dn_stream *s, dn_buf *dgamma, const dn_buf *gamma, const dn_buf *dy,
                                const dn_buf *x, size_t n)
{
    dn_real *to = numbers(dgamma);
    const dn_real *own = numbers(gamma), *d = numbers(dy), *a = numbers(x);
    sum_to<double>(
        s, "add_gated_backward", n, [=] __device__(size_t i) { return (double)d[i] * (double)a[i]; },
        [=] __device__(double sum) { *to += (dn_real)(10 * (1 - gate_of(own) * gate_of(own)) * sum); });
}
