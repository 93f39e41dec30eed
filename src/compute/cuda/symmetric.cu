/* Products that are symmetric: as products are, and then both halves are made one. */
#include "compute/cuda/bf16.cuh"

extern "C" void dn_cuda_scale_rows(dn_stream *s, dn_buf *c, size_t m, size_t n, size_t ldc, double beta);

template <class T>
__global__ void __launch_bounds__(DN_BLOCK)
    scale_rows(T *c, size_t m, size_t n, size_t ldc, dn_real beta)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < m * n; at += step) {
        T *own = &c[at / n * ldc + at % n];
        put(own, beta == 0 ? 0 : beta * value(*own));
    }
}

/* For gemm.c: what a product of no terms leaves. */
void dn_cuda_scale_rows(dn_stream *s, dn_buf *c, size_t m, size_t n, size_t ldc, double beta)
{
    with_type_of(c, [&](auto at) {
        DN_RUN(s, scale_rows, blocks(m * n, DN_BLOCK), DN_BLOCK, 0, at(c), m, n, ldc, (dn_real)beta);
    });
}

/* Above the diagonal and on it c += beta d + gamma I; what stands below becomes what stands above. d NULL: no
 * such term. */
__global__ void __launch_bounds__(DN_BLOCK)
    mirror(dn_real *c, const dn_real *d, size_t count, size_t n, dn_real beta, dn_real gamma)
{
    size_t step = gridDim.x * (size_t)DN_BLOCK;
    for (size_t at = blockIdx.x * (size_t)DN_BLOCK + threadIdx.x; at < count * n * n; at += step) {
        size_t row = at / n % n, column = at % n, of_matrix = at - row * n - column;
        if (row > column)
            continue;
        dn_real own = c[at];
        if (d)
            own += beta * d[at];
        if (row == column)
            own += gamma;
        c[at] = c[of_matrix + column * n + row] = own;
    }
}

void dn_cuda_symmetric_product(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha,
                               const dn_buf *a, const dn_buf *b, double beta, const dn_buf *d, double gamma,
                               dn_buf *c)
{
    if (count * n == 0)
        return;
    dn_cuda_gemm_batch(s, count, t, t == DN_N ? DN_T : DN_N, n, n, k, alpha, a, b, 0, c);
    DN_RUN(s, mirror, blocks(count * n * n, DN_BLOCK), DN_BLOCK, 0, numbers(c), beta == 0 ? NULL : numbers(d),
           count, n, (dn_real)beta, (dn_real)gamma);
}
