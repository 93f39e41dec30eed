/*
 * What kernels are written with, so that one source is compiled by nvcc for a GPU and by a C++ compiler for a
 * CPU, where tests/cuda/emulator.h runs a grid as loops and looks at what its threads do.
 *
 *     DN_LAUNCH(kernel, grid, block, bytes of dynamic shared memory, stream, arguments...)
 *     DN_SHARED(type, name, n)           an array of the block, of n elements
 *     DN_DYNAMIC_SHARED(type, name)      all of the block's dynamic shared memory, as elements of one type
 *     DN_ALLOW_SHARED(kernel, bytes)     before a launch with more than 48 KiB of it
 *
 * A function that takes shared memory takes it by a template parameter: behind the name stands a pointer for
 * nvcc, and an object that notes each access for the emulator. Elements are of 4 bytes or multiples.
 */
#ifndef COMPUTE_CUDA_PORTABLE_H
#define COMPUTE_CUDA_PORTABLE_H

#ifdef __CUDACC__
#define DN_LAUNCH(kernel, grid, block, bytes, stream, ...) kernel<<<grid, block, bytes, stream>>>(__VA_ARGS__)
#define DN_SHARED(T, name, n)                              __shared__ T name[n]
#define DN_ALLOW_SHARED(kernel, bytes)                                                                       \
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))
#define DN_DYNAMIC_SHARED(T, name)                                                                           \
    extern __shared__ double dn_dynamic_shared[]; /* one declaration for all types */                        \
    T *name = (T *)dn_dynamic_shared
#else
#include <emulator.h>
#endif

/* All lanes of a warp take part in its shuffles and barriers. */
#define DN_WHOLE_WARP 0xffffffffu
#define DN_WARP       32

#endif
