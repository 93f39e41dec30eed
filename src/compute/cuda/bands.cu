/* Work on blocks of rows of tall matrices, in double: Gram matrices, and what is made of them applied. */
#include "compute/cuda/kernel.cuh"

/* Edge of a tile of a Gram matrix; rows of a block's part of a product with a small matrix. */
enum { EDGE = 16, ROWS = 4 };

/* partial = p'p, upper triangle: a block a tile, a thread an element; rows come EDGE at a time. */
__global__ void __launch_bounds__(DN_BLOCK) gram(const dn_row_block *bands)
{
    DN_SHARED(double, left, EDGE *EDGE);
    DN_SHARED(double, right, EDGE *EDGE);
    const dn_row_block b = bands[blockIdx.z];
    size_t i0 = blockIdx.y * (size_t)EDGE, j0 = blockIdx.x * (size_t)EDGE, x = threadIdx.x, y = threadIdx.y;
    if (i0 > j0 || j0 >= b.r)
        return;
    const dn_real *p = (const dn_real *)b.p;
    double sum = 0;
    for (size_t l0 = 0; l0 < b.rows; l0 += EDGE) {
        size_t row = l0 + y;
        left[y * EDGE + x] = row < b.rows && i0 + x < b.r ? (double)p[row * b.r + i0 + x] : 0;
        right[y * EDGE + x] = row < b.rows && j0 + x < b.r ? (double)p[row * b.r + j0 + x] : 0;
        __syncthreads();
        for (size_t l = 0; l < EDGE; l++)
            sum += (double)left[l * EDGE + y] * (double)right[l * EDGE + x];
        __syncthreads();
    }
    size_t i = i0 + y, j = j0 + x;
    if (i <= j && j < b.r)
        ((double *)b.partial)[i * b.r + j] = sum;
}

/* p = p T: a block has ROWS rows of p in shared memory, and writes what stood there. */
__global__ void __launch_bounds__(DN_BLOCK) apply(const dn_row_block *bands)
{
    DN_DYNAMIC_SHARED(dn_real, rows);
    const dn_row_block b = bands[blockIdx.y];
    size_t row0 = blockIdx.x * (size_t)ROWS;
    if (row0 >= b.rows)
        return;
    size_t n = b.rows - row0 < ROWS ? b.rows - row0 : (size_t)ROWS;
    dn_real *p = (dn_real *)b.p + row0 * b.r;
    const double *t = (const double *)b.inverse;
    for (size_t i = threadIdx.x; i < ROWS * b.r; i += DN_BLOCK)
        rows[i] = i < n * b.r ? p[i] : 0;
    __syncthreads();
    for (size_t j = threadIdx.x; j < b.r; j += DN_BLOCK) {
        double sums[ROWS] = {};
        for (size_t l = 0; l <= j; l++)
            for (size_t i = 0; i < ROWS; i++)
                sums[i] += (double)(dn_real)rows[i * b.r + l] * t[l * b.r + j];
        for (size_t i = 0; i < ROWS; i++)
            if (i < n)
                p[i * b.r + j] = (dn_real)sums[i];
    }
}

typedef struct sizes {
    size_t r, rows;
} sizes;

static sizes largest(const dn_row_block *bands, size_t n)
{
    sizes most = {0, 0};
    for (size_t i = 0; i < n; i++)
        most = sizes{dn_max(most.r, bands[i].r), dn_max(most.rows, bands[i].rows)};
    return most;
}

static const dn_row_block *table_of(dn_stream *s, const dn_row_block *bands, size_t n)
{
    void *room = n > 0 ? dn_gpu_scratch(s, n * sizeof *bands) : NULL;
    return room ? (const dn_row_block *)dn_gpu_table(s, room, bands, n * sizeof *bands) : NULL;
}

void dn_cuda_gram(dn_stream *s, const dn_row_block *bands, size_t n)
{
    sizes most = largest(bands, n);
    const dn_row_block *table = table_of(s, bands, n);
    unsigned tiles = (unsigned)((most.r + EDGE - 1) / EDGE);
    if (table && tiles > 0)
        DN_RUN(s, gram, dim3(tiles, tiles, (unsigned)n), dim3(EDGE, EDGE), 0, table);
}

void dn_cuda_apply(dn_stream *s, const dn_row_block *bands, size_t n)
{
    sizes most = largest(bands, n);
    const dn_row_block *table = table_of(s, bands, n);
    size_t bytes = ROWS * most.r * sizeof(dn_real);
    if (bytes > (size_t)163 << 10) {
        dn_gpu_refuse(s, "apply", "a rank above 5000 does not fit the GPU's shared memory");
        return;
    }
    if (!table || most.rows == 0 || most.r == 0)
        return;
    DN_ALLOW_SHARED(apply, bytes);
    DN_RUN(s, apply, dim3((unsigned)((most.rows + ROWS - 1) / ROWS), (unsigned)n), DN_BLOCK, bytes, table);
}
