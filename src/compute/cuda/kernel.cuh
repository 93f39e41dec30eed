/*
 * What files of kernels share. A kernel NAME of ops.h is the function dn_cuda_NAME, extern "C" by its
 * declaration here; handles are addresses of the device.
 *
 * Grids, and what a partial sum is of, follow from shapes alone. Blocks have DN_BLOCK threads unless a kernel
 * says otherwise. A kernel with so much in registers that the assembler spills some, to have more blocks at
 * once, says that two are enough: __launch_bounds__(DN_BLOCK, 2), which is 128 registers.
 */
#ifndef COMPUTE_CUDA_KERNEL_CUH
#define COMPUTE_CUDA_KERNEL_CUH

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

extern "C" {
#include "compute/kernels.h"
#include "device/cuda/cuda.h"

#define OP(name, ...)                                                                                        \
    void dn_cuda_##name DN_OP_PARAMETERS(__VA_ARGS__), dn_cuda_mixed_##name DN_OP_PARAMETERS(__VA_ARGS__);
#include "compute/ops.h"
#undef OP
}

#include "compute/cuda/portable.h"

#define DN_BLOCK 256
/* Numbers that a thread moves at once: 16 bytes. */
#define DN_WIDE (16 / sizeof(dn_real))

/* Launches, if nothing has failed. Of a template with several arguments the name stands in parentheses. */
#define DN_RUN(s, kernel, grid, block, bytes, ...)                                                           \
    do {                                                                                                     \
        if (dn_gpu_begin(s, #kernel)) {                                                                      \
            DN_LAUNCH(kernel, grid, block, bytes, dn_gpu_stream(s), __VA_ARGS__);                            \
            dn_gpu_end(s);                                                                                   \
        }                                                                                                    \
    } while (0)

/* The numbers behind a handle; of one that is narrow, halves. Kernels write no inputs. */
static inline dn_real *numbers(const dn_buf *x)
{
    return (dn_real *)x;
}

static inline uint16_t *halves(const dn_buf *x)
{
    return (uint16_t *)dn_narrow_numbers(x);
}

/* f(at), where at(handle) are numbers of the type that is behind `like`. In double no backend is narrow. */
template <class F> static void with_type_of(const dn_buf *like, F f)
{
    if constexpr (sizeof(dn_real) == sizeof(float))
        if (dn_is_narrow(like))
            return f(halves);
    f([](const dn_buf *x) { return numbers(x); });
}

static inline int32_t *numbers(const dn_ids *x)
{
    return (int32_t *)x;
}

static inline uint16_t *numbers(const dn_bf16 *x)
{
    return (uint16_t *)x;
}

static inline unsigned char *numbers(const dn_bytes *x)
{
    return (unsigned char *)x;
}

static inline double *numbers(const dn_wide *x)
{
    return (double *)x;
}

/* Blocks for n items, so many a block; loops take more than a grid has. */
static inline unsigned blocks(size_t n, size_t a_block)
{
    return (unsigned)dn_min((n + a_block - 1) / a_block, (size_t)1 << 20);
}

/* Numbers that are moved at once, by 16 bytes if they are more. */
template <int W, class T = dn_real> struct alignas(W * sizeof(T) < 16 ? W * sizeof(T) : 16) pack {
    T x[W];
};

static inline bool is_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* ---- sums, by warps in one order ---- */

template <class T> __device__ T warp_sum(T x)
{
    for (int d = DN_WARP / 2; d > 0; d /= 2)
        x += __shfl_xor_sync(DN_WHOLE_WARP, x, d);
    return x;
}

template <class T> __device__ T warp_max(T x)
{
    for (int d = DN_WARP / 2; d > 0; d /= 2)
        x = fmax(x, __shfl_xor_sync(DN_WHOLE_WARP, x, d));
    return x;
}

/* Of all DN_BLOCK threads, which all get it. */
template <class T> __device__ T block_sum(T x)
{
    DN_SHARED(T, part, DN_BLOCK / DN_WARP);
    x = warp_sum(x);
    __syncthreads(); /* what an earlier sum left here has been read */
    if (threadIdx.x % DN_WARP == 0)
        part[threadIdx.x / DN_WARP] = x;
    __syncthreads();
    T sum = part[0];
    for (int w = 1; w < DN_BLOCK / DN_WARP; w++)
        sum += part[w];
    return sum;
}

template <class T> __device__ T block_max(T x)
{
    DN_SHARED(T, part, DN_BLOCK / DN_WARP);
    x = warp_max(x);
    __syncthreads();
    if (threadIdx.x % DN_WARP == 0)
        part[threadIdx.x / DN_WARP] = x;
    __syncthreads();
    T most = part[0];
    for (int w = 1; w < DN_BLOCK / DN_WARP; w++)
        most = fmax(most, (T)part[w]);
    return most;
}

#endif
