/* Sums over vectors, in double or of integers, and in one order: of chunks, then of these. */
#ifndef COMPUTE_CUDA_SUMS_CUH
#define COMPUTE_CUDA_SUMS_CUH

#include "compute/cuda/kernel.cuh"

/* Numbers of a partial sum of a vector. */
enum { SUM_CHUNK = 1 << 14 };

/* partial[block] = the sum of f(i) over the block's chunk of i < n */
template <class T, class F>
__global__ void __launch_bounds__(DN_BLOCK) sum_chunks(T *partial, size_t n, size_t chunk, F f)
{
    size_t first = blockIdx.x * chunk, end = n - first < chunk ? n : first + chunk;
    T sum = 0;
    for (size_t i = first + threadIdx.x; i < end; i += DN_BLOCK)
        sum += f(i);
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        partial[blockIdx.x] = sum;
}

/* g(the sum of all partials): one block, one thread of it. */
template <class T, class G>
__global__ void __launch_bounds__(DN_BLOCK) add_up(const T *partial, size_t n, G g)
{
    T sum = 0;
    for (size_t i = threadIdx.x; i < n; i += DN_BLOCK)
        sum += partial[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0)
        g(sum);
}

/* g(the sum of f(i) over i < n), on the device. */
template <class T, class F, class G> static void sum_to(dn_stream *s, const char *name, size_t n, F f, G g)
{
    size_t chunks = (n + SUM_CHUNK - 1) / SUM_CHUNK;
    T *partial = (T *)dn_gpu_scratch(s, (chunks + 1) * sizeof *partial);
    if (!partial || !dn_gpu_begin(s, name))
        return;
    if (chunks > 0)
        DN_LAUNCH(sum_chunks, (unsigned)chunks, DN_BLOCK, 0, dn_gpu_stream(s), partial, n, (size_t)SUM_CHUNK,
                  f);
    DN_LAUNCH(add_up, 1, DN_BLOCK, 0, dn_gpu_stream(s), partial, chunks, g);
    dn_gpu_end(s);
}

#endif
