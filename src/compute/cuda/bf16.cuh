/* bfloat16: the upper half of a float, rounded to the nearest, ties to even. */
#ifndef COMPUTE_CUDA_BF16_CUH
#define COMPUTE_CUDA_BF16_CUH

#include "compute/cuda/kernel.cuh"

static __device__ inline float widened(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* NaN becomes the quiet one of its sign. */
static __device__ inline uint16_t narrowed(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000)
        return (uint16_t)(bits >> 31 << 15 | 0x7fc0);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* A double is rounded once: cut to a float whose last bit says whether something was cut off, from which
 * nothing of the second rounding is lost (16 bits lie between). */
static __device__ inline uint16_t narrowed(double x)
{
    float f = (float)x;
    if (!isfinite(x) || (double)f == x)
        return narrowed(f);
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if (fabs((double)f) > fabs(x))
        bits--; /* towards 0 */
    bits |= 1;
    memcpy(&f, &bits, sizeof f);
    return narrowed(f);
}

/* The value of a number that is stored as dn_real or in bfloat16, and storing one. */
static __device__ inline dn_real value(dn_real x)
{
    return x;
}

static __device__ inline dn_real value(uint16_t x)
{
    return (dn_real)widened(x);
}

static __device__ inline void put(dn_real *to, dn_real x)
{
    *to = x;
}

static __device__ inline void put(uint16_t *to, dn_real x)
{
    *to = narrowed(x);
}

#endif
