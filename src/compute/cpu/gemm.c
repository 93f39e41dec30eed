/*
 * Products by OpenBLAS, one block of C a thread, cut by us. OpenBLAS's own way to share a product lets the
 * threads wait for each other's packed panels: on two threads that costs the products of an optimizer step on
 * a small model (256 x 64 x 256) a third of their speed and those of a weight's gradient (256 x 256 x 2048) a
 * sixth, and gains nothing on large ones. Inside a parallel region OpenBLAS uses the calling thread alone.
 */
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

/* Below so many flops waking a thread takes longer than it saves. */
#define ALONE_FLOPS 1e6

/* Edges of blocks fall on whole cache lines of C. */
#define GRAIN ((size_t)16)

/* Blocks along the rows and the columns of C. */
typedef struct grid {
    size_t rows, cols;
} grid;

/* The grid of n_threads blocks that packs least: each block packs m/rows + n/cols vectors of length k. */
static grid choose_grid(size_t m, size_t n, size_t k, size_t n_threads)
{
    grid best = {1, 1};
    double least = 0;
    if (2.0 * (double)m * (double)n * (double)k < ALONE_FLOPS)
        return best;
    for (size_t rows = 1; rows <= n_threads; rows++) {
        size_t cols = n_threads / rows;
        double packed = (double)m / (double)rows + (double)n / (double)cols;
        if (rows * cols == n_threads && (least == 0 || packed < least)) {
            least = packed;
            best = (grid){rows, cols};
        }
    }
    return best;
}

/* Where part `index` of `parts` of `size` begins. */
static size_t edge(size_t size, size_t index, size_t parts)
{
    size_t grains = (size + GRAIN - 1) / GRAIN;
    return dn_min(size, grains * index / parts * GRAIN);
}

/* With nothing to add up, BLAS would still complain of leading dimensions. */
static void scale_matrix(dn_real *c, size_t m, size_t n, size_t ldc, double beta)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            c[i * ldc + j] = beta == 0 ? 0 : (dn_real)(beta * (double)c[i * ldc + j]);
}

void dn_cpu_gemm(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha,
                 const dn_buf *a, size_t lda, const dn_buf *b, size_t ldb, double beta, dn_buf *c, size_t ldc)
{
    if (m == 0 || n == 0 || k == 0) {
        scale_matrix(dn_host(c), m, n, ldc, beta);
        return;
    }
    grid g = choose_grid(m, n, k, (size_t)s->n_threads);
#pragma omp parallel for num_threads((int)(g.rows * g.cols)) schedule(static)
    for (size_t block = 0; block < g.rows * g.cols; block++) {
        size_t top = edge(m, block / g.cols, g.rows), bottom = edge(m, block / g.cols + 1, g.rows);
        size_t left = edge(n, block % g.cols, g.cols), right = edge(n, block % g.cols + 1, g.cols);
        if (top < bottom && left < right)
            dn_cblas_gemm(CblasRowMajor, ta == DN_T ? CblasTrans : CblasNoTrans,
                          tb == DN_T ? CblasTrans : CblasNoTrans, (int)(bottom - top), (int)(right - left),
                          (int)k, (dn_real)alpha, dn_host(a) + (ta == DN_T ? top : top * lda), (int)lda,
                          dn_host(b) + (tb == DN_T ? left * ldb : left), (int)ldb, (dn_real)beta,
                          dn_host(c) + top * ldc + left, (int)ldc);
    }
}
