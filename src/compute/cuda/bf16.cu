/* What is stored in bfloat16. */
#include "compute/cuda/bf16.cuh"

/* f(i) for i < n. */
template <class F> __global__ void __launch_bounds__(DN_BLOCK) each_index(size_t n, F f)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; i < n; i += step)
        f(i);
}

void dn_cuda_to_bf16(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n)
{
    uint16_t *to = numbers(y);
    const dn_real *from = numbers(x);
    if (n > 0)
        DN_RUN(s, each_index, blocks(n, DN_BLOCK), DN_BLOCK, 0, n,
               [=] __device__(size_t i) { to[i] = narrowed(from[i]); });
}

void dn_cuda_from_bf16(dn_stream *s, dn_buf *y, const dn_bf16 *x, size_t n)
{
    dn_real *to = numbers(y);
    const uint16_t *from = numbers(x);
    if (n > 0)
        DN_RUN(s, each_index, blocks(n, DN_BLOCK), DN_BLOCK, 0, n,
               [=] __device__(size_t i) { to[i] = (dn_real)widened(from[i]); });
}

/* The bits are the reference's: the product is rounded before it is added. */
static __device__ inline float add_rounded(float y, float a, float x)
{
#ifdef __CUDA_ARCH__
    return __fadd_rn(y, __fmul_rn(a, x));
#else
    volatile float product = a * x;
    return y + product;
#endif
}

static __device__ inline double add_rounded(double y, double a, double x)
{
#ifdef __CUDA_ARCH__
    return __dadd_rn(y, __dmul_rn(a, x));
#else
    volatile double product = a * x;
    return y + product;
#endif
}

void dn_cuda_add_bf16(dn_stream *s, dn_buf *y, double a, const dn_bf16 *x, size_t n)
{
    dn_real *to = numbers(y), factor = (dn_real)a;
    const uint16_t *from = numbers(x);
    if (n > 0)
        DN_RUN(s, each_index, blocks(n, DN_BLOCK), DN_BLOCK, 0, n,
               [=] __device__(size_t i) { to[i] = add_rounded(to[i], factor, (dn_real)widened(from[i])); });
}
