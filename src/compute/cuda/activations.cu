/* Activations, alone and gated, of dn_real or of bfloat16. */
#include "compute/cuda/elements.cuh"

typedef dn_real (&one)[1];
typedef dn_real (&two)[2];

/* NaN stays NaN. */
void dn_cuda_relu(dn_stream *s, dn_buf *x, size_t n)
{
    for_each<1, 1>(s, "relu", arrays<1>{{numbers(x)}}, n,
                   [=] __device__(one e) { e[0] = e[0] < 0 ? 0 : e[0]; });
}

template <class T> static void square_positive(dn_stream *s, T *x, size_t n)
{
    for_each<1, 1>(s, "relu2_forward", arrays<1, T>{{x}}, n, [=] __device__(one e) {
        dn_real positive = e[0] < 0 ? 0 : e[0];
        e[0] = positive * positive;
    });
}

void dn_cuda_relu2_forward(dn_stream *s, dn_buf *x, size_t n)
{
    with_type_of(x, [&](auto at) { square_positive(s, at(x), n); });
}

template <class T> static void square_positive_back(dn_stream *s, T *da, T *a, size_t n)
{
    for_each<3, 1>(s, "relu2_backward", arrays<2, T>{{da, a}}, n,
                   [=] __device__(two e) { e[0] *= 2 * sqrt(e[1]); });
}

void dn_cuda_relu2_backward(dn_stream *s, dn_buf *da, const dn_buf *a, size_t n)
{
    with_type_of(da, [&](auto at) { square_positive_back(s, at(da), at(a), n); });
}

/* f(h); *slope = f'(h): activation.h has the formulas. */
static __device__ dn_real activation(dn_activation f, dn_real h, dn_real *slope)
{
    const dn_real c = (dn_real)0.7978845608028654, k = (dn_real)0.044715; /* sqrt(2/pi) */
    if (f == DN_GELU_ERF) {
        dn_real below = erfc(-h * (dn_real)0.70710678118654752) / 2;
        *slope = below + h * exp(-h * h / 2) * (dn_real)0.3989422804014327; /* 1/sqrt(2 pi) */
        return h * below;
    }
    dn_real z = f == DN_SILU ? h : 2 * c * (h + k * h * h * h),
            dz = f == DN_SILU ? 1 : 2 * c * (1 + 3 * k * h * h);
    dn_real sigma = 1 / (1 + exp(-z));
    *slope = sigma * (1 + h * dz * (1 - sigma));
    return h * sigma;
}

template <class T> static void activate(dn_stream *s, T *a, T *h, dn_activation f, size_t n)
{
    for_each<2, 1>(s, "activation_forward", arrays<2, T>{{a, h}}, n, [=] __device__(two e) {
        dn_real slope;
        e[0] = activation(f, e[1], &slope);
    });
}

void dn_cuda_activation_forward(dn_stream *s, dn_buf *a, const dn_buf *h, dn_activation f, size_t n)
{
    with_type_of(a, [&](auto at) { activate(s, at(a), at(h), f, n); });
}

template <class T> static void activate_back(dn_stream *s, T *da, T *h, dn_activation f, size_t n)
{
    for_each<3, 1>(s, "activation_backward", arrays<2, T>{{da, h}}, n, [=] __device__(two e) {
        dn_real slope;
        activation(f, e[1], &slope);
        e[0] *= slope;
    });
}

void dn_cuda_activation_backward(dn_stream *s, dn_buf *da, const dn_buf *h, dn_activation f, size_t n)
{
    with_type_of(da, [&](auto at) { activate_back(s, at(da), at(h), f, n); });
}

/* W numbers of a row of F at a time; g and u are side by side in the rows of h [N,2F]. */
template <int W, class T>
__global__ void __launch_bounds__(DN_BLOCK)
    glu_forward(T *a, const T *h, dn_activation f, size_t N, size_t F)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < N * F / W; at += step) {
        size_t row = at * W / F, i = at * W % F;
        pack<W, T> g = *(const pack<W, T> *)(h + row * 2 * F + i),
                   u = *(const pack<W, T> *)(h + row * 2 * F + F + i);
        for (int w = 0; w < W; w++) {
            dn_real slope;
            put(&u.x[w], value(u.x[w]) * activation(f, value(g.x[w]), &slope));
        }
        *(pack<W, T> *)(a + row * F + i) = u;
    }
}

template <int W, class T>
__global__ void __launch_bounds__(DN_BLOCK)
    glu_backward(T *dh, const T *da, const T *h, dn_activation f, size_t N, size_t F)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < N * F / W; at += step) {
        size_t row = at * W / F, i = at * W % F;
        pack<W, T> g = *(const pack<W, T> *)(h + row * 2 * F + i),
                   u = *(const pack<W, T> *)(h + row * 2 * F + F + i);
        pack<W, T> d = *(const pack<W, T> *)(da + row * F + i);
        for (int w = 0; w < W; w++) {
            dn_real slope, of_u = activation(f, value(g.x[w]), &slope);
            put(&g.x[w], value(d.x[w]) * value(u.x[w]) * slope);
            put(&u.x[w], value(d.x[w]) * of_u);
        }
        *(pack<W, T> *)(dh + row * 2 * F + i) = g;
        *(pack<W, T> *)(dh + row * 2 * F + F + i) = u;
    }
}

template <class T>
static void run_glu_forward(dn_stream *s, T *a, const T *h, dn_activation f, size_t N, size_t F)
{
    constexpr int W = 16 / sizeof(T);
    if (N * F == 0)
        return;
    if (F % W == 0 && is_aligned(a) && is_aligned(h))
        DN_RUN(s, (glu_forward<W, T>), blocks(N * F, DN_BLOCK * W), DN_BLOCK, 0, a, h, f, N, F);
    else
        DN_RUN(s, (glu_forward<1, T>), blocks(N * F, DN_BLOCK), DN_BLOCK, 0, a, h, f, N, F);
}

void dn_cuda_glu_forward(dn_stream *s, dn_buf *a, const dn_buf *h, dn_activation f, size_t N, size_t F)
{
    with_type_of(a, [&](auto at) { run_glu_forward(s, at(a), at(h), f, N, F); });
}

template <class T>
static void run_glu_backward(dn_stream *s, T *dh, const T *da, const T *h, dn_activation f, size_t N,
                             size_t F)
{
    constexpr int W = 16 / sizeof(T);
    if (N * F == 0)
        return;
    if (F % W == 0 && is_aligned(dh) && is_aligned(da) && is_aligned(h))
        DN_RUN(s, (glu_backward<W, T>), blocks(N * F, DN_BLOCK * W), DN_BLOCK, 0, dh, da, h, f, N, F);
    else
        DN_RUN(s, (glu_backward<1, T>), blocks(N * F, DN_BLOCK), DN_BLOCK, 0, dh, da, h, f, N, F);
}

void dn_cuda_glu_backward(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, dn_activation f,
                          size_t N, size_t F)
{
    with_type_of(dh, [&](auto at) { run_glu_backward(s, at(dh), at(da), at(h), f, N, F); });
}
