/*
 * Folds of what ranks exchange (device/fold.h), with the bits of the CPU's (device/reduce.c): elements are
 * combined in the order of the sources, each on its own; averages are multiplied; bfloat16 is added in float
 * and rounded once.
 */
#include "compute/cuda/bf16.cuh"

extern "C" {
#include "device/cuda/row.h"
}

/* Elements are combined in their own type, and added in SUM. */
template <class T, class SUM> struct as_they_are {
    typedef T type;
    typedef SUM sum;
    static __device__ T load(T x)
    {
        return x;
    }
    static __device__ T store(T x)
    {
        return x;
    }
};
template <class T> struct accumulator : as_they_are<T, T> {
    static __device__ T average(T x, int n)
    {
        return x * (1 / (T)n);
    }
};
/* Integers are added as unsigned, where wrapping around is defined. */
template <class T, class SUM> struct integers : as_they_are<T, SUM> {
    static __device__ T average(T x, int n)
    {
        return x / n;
    }
};
template <> struct accumulator<int32_t> : integers<int32_t, uint32_t> {
};
template <> struct accumulator<int64_t> : integers<int64_t, uint64_t> {
};
/* As dn_fold_on_host has it, a NaN keeps its upper bits. */
template <> struct accumulator<uint16_t> {
    typedef float type;
    typedef float sum;
    static __device__ float load(uint16_t x)
    {
        return widened(x);
    }
    static __device__ uint16_t store(float x)
    {
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        return isnan(x) ? (uint16_t)(bits >> 16 | 0x40) : narrowed(x);
    }
    static __device__ float average(float x, int n)
    {
        return x * (1 / (float)n);
    }
};

/* Sources, then targets, in a table on the device. */
template <class T>
__global__ void __launch_bounds__(DN_BLOCK)
    fold(void *const *table, int n_sources, int n_targets, size_t n, dn_op op, int n_averaged)
{
    typedef accumulator<T> how;
    typedef typename how::type A;
    typedef typename how::sum S;
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t i = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; i < n; i += step) {
        A x = how::load(((const T *)table[0])[i]);
        for (int k = 1; k < n_sources; k++) {
            A y = how::load(((const T *)table[k])[i]);
            if (op == DN_MIN)
                x = y < x || y != y ? y : x; /* NaN is taken, and stays */
            else if (op == DN_MAX)
                x = y > x || y != y ? y : x;
            else
                x = (A)((S)x + (S)y);
        }
        T folded = how::store(op == DN_AVG ? how::average(x, n_averaged) : x);
        for (int k = 0; k < n_targets; k++)
            ((T *)table[n_sources + k])[i] = folded;
    }
}

/* All addresses are such that the GPU reads them. */
void dn_gpu_fold_kernel(dn_stream *s, const dn_fold *asked)
{
    const void *table[2 * DN_MAX_RANKS];
    int n_sources = asked->n_sources, n_targets = asked->n_targets;
    size_t n = asked->n, bytes = (size_t)(n_sources + n_targets) * sizeof *table;
    memcpy(table, asked->sources, (size_t)n_sources * sizeof *table);
    memcpy(table + n_sources, asked->targets, (size_t)n_targets * sizeof *table);
    void *room = n > 0 ? dn_gpu_scratch(s, bytes) : NULL;
    if (!room)
        return;
    void *const *on_device = (void *const *)dn_gpu_table(s, room, table, bytes);
    unsigned grid = blocks(n, DN_BLOCK);
    if (asked->type == DN_F32)
        DN_RUN(s, fold<float>, grid, DN_BLOCK, 0, on_device, n_sources, n_targets, n, asked->op,
               asked->n_averaged);
    else if (asked->type == DN_F64)
        DN_RUN(s, fold<double>, grid, DN_BLOCK, 0, on_device, n_sources, n_targets, n, asked->op,
               asked->n_averaged);
    else if (asked->type == DN_BF16)
        DN_RUN(s, fold<uint16_t>, grid, DN_BLOCK, 0, on_device, n_sources, n_targets, n, asked->op,
               asked->n_averaged);
    else if (asked->type == DN_I32)
        DN_RUN(s, fold<int32_t>, grid, DN_BLOCK, 0, on_device, n_sources, n_targets, n, asked->op,
               asked->n_averaged);
    else
        DN_RUN(s, fold<int64_t>, grid, DN_BLOCK, 0, on_device, n_sources, n_targets, n, asked->op,
               asked->n_averaged);
}
