/* What encodings need, whose bits are the reference's on every backend: products that are rounded before they
 * are added, and loops over numbers of other types than dn_real. */
#ifndef COMPUTE_CUDA_EXACT_CUH
#define COMPUTE_CUDA_EXACT_CUH

#include "compute/cuda/kernel.cuh"

static __device__ inline float product(float a, float b)
{
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    volatile float rounded = a * b;
    return rounded;
#endif
}

static __device__ inline double product(double a, double b)
{
#ifdef __CUDA_ARCH__
    return __dmul_rn(a, b);
#else
    volatile double rounded = a * b;
    return rounded;
#endif
}

#endif
