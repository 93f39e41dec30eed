/* Loops over elements: one kernel for all of them, with 16-byte accesses where all addresses allow it. */
#ifndef COMPUTE_CUDA_ELEMENTS_CUH
#define COMPUTE_CUDA_ELEMENTS_CUH

#include "compute/cuda/bf16.cuh"

/* All of dn_real, or all of bfloat16. */
template <int K, class T = dn_real> struct arrays {
    T *at[K];
};

/* f(x), x [K] an element of each array; those whose bit is in LOADS are read, those in STORES written. */
template <int K, unsigned LOADS, unsigned STORES, int W, class T, class F>
__global__ void __launch_bounds__(DN_BLOCK) each(arrays<K, T> a, size_t n, F f)
{
    size_t first = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x, step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t i = first; i < n / W; i += step) {
        pack<W, T> v[K] = {};
        for (int k = 0; k < K; k++)
            if (LOADS >> k & 1)
                v[k] = ((const pack<W, T> *)a.at[k])[i];
        for (int w = 0; w < W; w++) {
            dn_real x[K];
            for (int k = 0; k < K; k++)
                x[k] = value(v[k].x[w]);
            f(x);
            for (int k = 0; k < K; k++)
                if (STORES >> k & 1)
                    put(&v[k].x[w], x[k]);
        }
        for (int k = 0; k < K; k++)
            if (STORES >> k & 1)
                ((pack<W, T> *)a.at[k])[i] = v[k];
    }
    size_t last = n / W * W + first;
    if (last < n) {
        dn_real x[K] = {};
        for (int k = 0; k < K; k++)
            if (LOADS >> k & 1)
                x[k] = value(a.at[k][last]);
        f(x);
        for (int k = 0; k < K; k++)
            if (STORES >> k & 1)
                put(&a.at[k][last], x[k]);
    }
}

template <unsigned LOADS, unsigned STORES, int K, class T, class F>
static void for_each(dn_stream *s, const char *name, arrays<K, T> a, size_t n, F f)
{
    constexpr int W = 16 / sizeof(T);
    bool wide = true;
    for (int k = 0; k < K; k++)
        wide = wide && is_aligned(a.at[k]);
    if (n == 0 || !dn_gpu_begin(s, name))
        return;
    if (wide)
        DN_LAUNCH((each<K, LOADS, STORES, W, T, F>), blocks(n, DN_BLOCK * W), DN_BLOCK, 0, dn_gpu_stream(s),
                  a, n, f);
    else
        DN_LAUNCH((each<K, LOADS, STORES, 1, T, F>), blocks(n, DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s), a, n,
                  f);
    dn_gpu_end(s);
}

/* ---- loops over indices, for all else ---- */

/* f(i) for i < n. */
template <class F> __global__ void __launch_bounds__(DN_BLOCK) each_index(size_t n, F f)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; i < n; i += step)
        f(i);
}

template <class F> static void for_index(dn_stream *s, const char *name, size_t n, F f)
{
    if (n == 0 || !dn_gpu_begin(s, name))
        return;
    DN_LAUNCH(each_index, blocks(n, DN_BLOCK), DN_BLOCK, 0, dn_gpu_stream(s), n, f);
    dn_gpu_end(s);
}

#endif
