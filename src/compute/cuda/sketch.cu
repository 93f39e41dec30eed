/* Sketches of tall matrices: products with normal numbers, which the kernel draws where it needs them. */
#include "compute/cuda/kernel.cuh"

#include <Random123/philox.h>

/* A block has ROWS rows of the sketch, and a column a thread; it draws their numbers for TILE rows of p at a
 * time. */
enum { ROWS = 8, TILE = DN_BLOCK / ROWS };

static __device__ double to_uniform(uint32_t low, uint32_t high)
{
    return ((double)(((uint64_t)high << 32 | low) >> 11) + 0.5) * 0x1p-53;
}

/* Element `element` of dn_random_normal (base/random.h). */
static __device__ dn_real normal(uint64_t seed, uint64_t stream, uint64_t element, double std)
{
    uint64_t pair = element / 2;
    philox4x32_ctr_t counter = {
        {(uint32_t)pair, (uint32_t)(pair >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)}};
    philox4x32_key_t key = {{(uint32_t)seed, (uint32_t)(seed >> 32)}};
    philox4x32_ctr_t d = philox4x32(counter, key);
    double radius = std * sqrt(-2.0 * log(to_uniform(d.v[0], d.v[1])));
    double angle = 2.0 * 3.14159265358979323846 * to_uniform(d.v[2], d.v[3]);
    return (dn_real)(radius * (element % 2 == 0 ? cos(angle) : sin(angle)));
}

/* partial [k + 1, r]: S p, and in the last row the squared lengths of p's columns. */
__global__ void __launch_bounds__(DN_BLOCK) sketch(const dn_row_block *bands)
{
    DN_SHARED(dn_real, drawn, ROWS * TILE);
    const dn_row_block b = bands[blockIdx.z];
    size_t k = (5 * b.r + 511) / 512 * 128; /* dn_sketch_rows */
    size_t i0 = blockIdx.x * (size_t)ROWS, j0 = blockIdx.y * (size_t)DN_BLOCK, j = j0 + threadIdx.x;
    if (i0 > k || j0 >= b.r)
        return;
    const dn_real *p = (const dn_real *)b.p;
    double *out = (double *)b.partial, sums[ROWS] = {}, squares = 0, std = 1 / sqrt((double)k);
    for (size_t l0 = 0; l0 < b.rows; l0 += TILE) {
        size_t row = i0 + threadIdx.x / TILE, l = l0 + threadIdx.x % TILE;
        __syncthreads();
        drawn[threadIdx.x] = row < k && l < b.rows ? normal(b.seed, b.draw, row * b.m + b.row0 + l, std) : 0;
        __syncthreads();
        for (size_t t = 0; t < TILE && l0 + t < b.rows && j < b.r; t++) {
            double own = (double)p[(l0 + t) * b.r + j];
            squares += own * own;
            for (size_t i = 0; i < ROWS; i++)
                sums[i] += (double)(dn_real)drawn[i * TILE + t] * own;
        }
    }
    for (size_t i = 0; i < ROWS && j < b.r; i++)
        if (i0 + i <= k)
            out[(i0 + i) * b.r + j] = i0 + i == k ? squares : sums[i];
}

void dn_cuda_sketch(dn_stream *s, const dn_row_block *bands, size_t n)
{
    size_t r = 0;
    for (size_t i = 0; i < n; i++)
        r = dn_max(r, bands[i].r);
    void *room = r > 0 ? dn_gpu_scratch(s, n * sizeof *bands) : NULL;
    if (!room)
        return;
    const dn_row_block *table = (const dn_row_block *)dn_gpu_table(s, room, bands, n * sizeof *bands);
    dim3 grid((unsigned)(dn_sketch_rows(r) / ROWS + 1), (unsigned)((r + DN_BLOCK - 1) / DN_BLOCK),
              (unsigned)n);
    DN_RUN(s, sketch, grid, DN_BLOCK, 0, table);
}
