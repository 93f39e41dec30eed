/*
 * What kernels are written with, so that one source is compiled by nvcc for a GPU and by a C++ compiler for a
 * CPU, where tests/cuda/emulator.h runs a grid as loops and looks at what its threads do.
 *
 *     DN_LAUNCH(kernel, grid, block, bytes of dynamic shared memory, stream, arguments...)
 *     DN_SHARED(type, name, n)           an array of the block, of n elements
 *     DN_DYNAMIC_SHARED(type, name)      all of the block's dynamic shared memory, as elements of one type
 *     DN_ALLOW_SHARED(kernel, bytes)     before a launch with more than 48 KiB of it
 *     DN_UNROLL                          before a loop of constant length over an array that is to stay in
 * registers DN_MULTIPLY_TILES(d, a, b)         d [16,8] += a [16,16] b [16,8] by a warp on its tensor cores:
 * numbers of bfloat16, two in 32 bits, sums in float; a lane's d [4], a [4] and b [2] are what PTX's
 * mma.m16n8k16 has in it DN_COPY_ASYNC(to, from, there)     16 bytes of device memory on their way to shared
 * memory, both addresses multiples of 16; zeros if they are not there DN_COMMIT_COPIES()                 this
 * thread's copies since the last call are a group DN_WAIT_FOR_COPIES(n)              until all groups of this
 * thread but the last n have arrived; others see them behind a barrier. n is a constant
 *
 * A function that takes shared memory takes it by a template parameter: behind the name stands a pointer for
 * nvcc, and an object that notes each access for the emulator. Elements are of 4 bytes or multiples.
 */
#ifndef COMPUTE_CUDA_PORTABLE_H
#define COMPUTE_CUDA_PORTABLE_H

#ifdef __CUDACC__
#define DN_LAUNCH(kernel, grid, block, bytes, stream, ...) kernel<<<grid, block, bytes, stream>>>(__VA_ARGS__)
#define DN_SHARED(T, name, n)                              __shared__ __align__(16) T name[n]
#define DN_ALLOW_SHARED(kernel, bytes)                                                                       \
    (void)cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))
#define DN_DYNAMIC_SHARED(T, name)                                                                           \
    extern __shared__ __align__(16) double dn_dynamic_shared[]; /* one declaration for all types */          \
    T *name = (T *)dn_dynamic_shared
static __device__ __forceinline__ void dn_multiply_tiles(float (&d)[4], const unsigned (&a)[4],
                                                         const unsigned (&b)[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
static __device__ __forceinline__ void dn_copy_async(void *to, const void *from, bool there)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"((unsigned)__cvta_generic_to_shared(to)), "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}
#define DN_MULTIPLY_TILES(d, a, b)     dn_multiply_tiles(d, a, b)
#define DN_COPY_ASYNC(to, from, there) dn_copy_async(to, from, there)
#define DN_COMMIT_COPIES()             asm volatile("cp.async.commit_group;" ::: "memory")
#define DN_WAIT_FOR_COPIES(n)          asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")
#define DN_UNROLL                      _Pragma("unroll")
#else
#define DN_UNROLL
#include <emulator.h>
#endif

/* All lanes of a warp take part in its shuffles and barriers. */
#define DN_WHOLE_WARP 0xffffffffu
#define DN_WARP       32

#endif
