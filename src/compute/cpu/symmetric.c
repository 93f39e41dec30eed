/*
 * Products of batches of matrices. As many matrices as the threads can share out evenly run whole on one
 * thread each, so that small ones cost no meeting of threads and stay in their caches; what is left over is
 * cut over all threads.
 *
 * A symmetric result is cut in two again and again: each cut leaves a rectangle above the diagonal, one
 * product, and two squares on it; what is left of these at last is done in tiles. Then it is mirrored.
 * OpenBLAS's own syrk has no form for two factors and loses its lead on gemm at these sizes.
 */
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

#include <string.h>

/* Squares up to this size are done in tiles, of which those below the diagonal are left out. OpenBLAS
 * multiplies tiles so small, of so many columns at a time, without packing them first. Of n x 768 on two
 * threads, by half of a square's flops: 51 % of peak at n = 96 (whole: 38), 60 at 192 (strips of 128 rows:
 * 51), 68 at 384 (60). */
#define LEAF  ((size_t)96)
#define TILE  ((size_t)32)
#define CHUNK ((size_t)256)

/* Edge of the blocks that are transposed at a time. */
#define MIRROR ((size_t)16)

/* Below so many flops in all, waking a thread takes longer than it saves. */
#define ALONE_FLOPS 1e6

/* How many matrices of the batch run whole on a thread each. */
static size_t whole_matrices(size_t count, int n_threads)
{
    return count / (size_t)n_threads * (size_t)n_threads;
}

static int useful_threads(const dn_stream *s, double flops)
{
    return flops < ALONE_FLOPS ? 1 : s->n_threads;
}

void dn_cpu_gemm_batch(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                       double alpha, const dn_buf *a, const dn_buf *b, double beta, dn_buf *c)
{
    size_t lda = ta == DN_N ? k : m, ldb = tb == DN_N ? n : k;
    int n_threads = useful_threads(s, 2.0 * (double)count * (double)m * (double)n * (double)k);
    bool shared = 2.0 * (double)count * (double)m * (double)n * (double)k >= ALONE_FLOPS && s->n_cuts > 1;
    size_t whole = m && n && k && shared ? whole_matrices(count, s->n_cuts) : 0;
#pragma omp parallel for schedule(static) num_threads(n_threads) if (whole > 0)
    for (size_t i = 0; i < whole; i++)
        dn_cblas_gemm(CblasRowMajor, ta == DN_T ? CblasTrans : CblasNoTrans,
                      tb == DN_T ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, (dn_real)alpha,
                      dn_host(a) + i * m * k, (int)lda, dn_host(b) + i * k * n, (int)ldb, (dn_real)beta,
                      dn_host(c) + i * m * n, (int)n);
    for (size_t i = whole; i < count; i++) {
        const dn_product one = {ta, tb, m, n, k, alpha, dn_at(a, i * m * k), lda, dn_at(b, i * k * n), ldb, beta,
                                dn_at(c, i * m * n), n};
        dn_cpu_gemm_many(s, &one, 1);
    }
}

typedef struct job {
    dn_trans t;
    size_t n, k;
    dn_real alpha, beta, gamma;
    const dn_real *a, *b, *d;
    dn_real *c;
} job;

/* Some of c above its diagonal, or on it: then rows is cols. */
typedef struct block {
    size_t top, left, rows, cols;
} block;

/* Cuts until squares are leaves. */
static size_t n_leaves(size_t n)
{
    size_t leaves = 1;
    while (dn_blocks(n, leaves) > LEAF)
        leaves *= 2;
    return leaves;
}

/* Blocks count from 1 as the nodes of a tree do, the largest first: node i has 2 i and 2 i + 1 below it. */
static block block_at(size_t n, size_t leaves, size_t node)
{
    size_t level = 1;
    while (2 * level <= node)
        level *= 2;
    size_t at = node - level;
    if (level == leaves) {
        size_t top = dn_cpu_edge(n, at, leaves), end = dn_cpu_edge(n, at + 1, leaves);
        return (block){top, top, end - top, end - top};
    }
    size_t top = dn_cpu_edge(n, 2 * at, 2 * level), left = dn_cpu_edge(n, 2 * at + 1, 2 * level);
    return (block){top, left, left - top, dn_cpu_edge(n, 2 * at + 2, 2 * level) - left};
}

/* b of c = alpha a b + beta c over k0 .. k0 + k - 1 of the inner dimension. */
static void multiply_block(const job *w, size_t matrix, block b, size_t k0, size_t k, dn_real beta)
{
    size_t whole = matrix * w->n * w->k, ld = w->t == DN_T ? w->n : w->k ? w->k : 1;
    size_t row = w->t == DN_T ? 1 : ld, inner = w->t == DN_T ? ld : 1;
    dn_cblas_gemm(CblasRowMajor, w->t == DN_N ? CblasNoTrans : CblasTrans,
                  w->t == DN_N ? CblasTrans : CblasNoTrans, (int)b.rows, (int)b.cols, (int)k, w->alpha,
                  w->a + whole + b.top * row + k0 * inner, (int)ld, w->b + whole + b.left * row + k0 * inner,
                  (int)ld, beta, w->c + (matrix * w->n + b.top) * w->n + b.left, (int)w->n);
}

/* Once even if the inner dimension is 0: for beta. */
static void multiply_tiles(const job *w, size_t matrix, block b)
{
    size_t end = b.top + b.rows;
    for (size_t k = 0; k < w->k || k == 0; k += CHUNK)
        for (size_t i = b.top; i < end; i += TILE)
            for (size_t j = i; j < end; j += TILE)
                multiply_block(w, matrix, (block){i, j, dn_min(end - i, TILE), dn_min(end - j, TILE)}, k,
                               dn_min(w->k - k, CHUNK), k > 0 ? 1 : w->beta);
}

/* What is below the diagonal = the transposed of a block of c [n,n] above it. */
static void mirror(dn_real *c, size_t n, block b)
{
    for (size_t i = b.top; i < b.top + b.rows; i += MIRROR)
        for (size_t j = dn_max(b.left, i); j < b.left + b.cols; j += MIRROR)
            for (size_t row = i; row < dn_min(i + MIRROR, b.top + b.rows); row++)
                for (size_t column = dn_max(j, row + 1); column < dn_min(j + MIRROR, b.left + b.cols);
                     column++)
                    c[column * n + row] = c[row * n + column];
}

static void compute_block(const job *w, size_t matrix, block b)
{
    size_t n = w->n, first = matrix * n * n;
    for (size_t i = b.top; w->beta != 0 && i < b.top + b.rows; i++)
        memcpy(w->c + first + i * n + b.left, w->d + first + i * n + b.left, b.cols * sizeof *w->c);
    if (b.top == b.left)
        multiply_tiles(w, matrix, b);
    else
        multiply_block(w, matrix, b, 0, w->k, w->beta);
    for (size_t i = b.top; b.top == b.left && i < b.top + b.rows; i++)
        w->c[first + i * n + i] += w->gamma;
    mirror(w->c + first, n, b);
}

void dn_cpu_symmetric_product(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha,
                              const dn_buf *a, const dn_buf *b, double beta, const dn_buf *d, double gamma,
                              dn_buf *c)
{
    const job w = {.t = t,
                   .n = n,
                   .k = k,
                   .alpha = (dn_real)alpha,
                   .beta = (dn_real)beta,
                   .gamma = (dn_real)gamma,
                   .a = dn_host(a),
                   .b = dn_host(b),
                   .d = d ? dn_host(d) : NULL,
                   .c = dn_host(c)};
    int n_threads = useful_threads(s, (double)count * (double)n * (double)n * (double)k);
    size_t whole = whole_matrices(count, n_threads), leaves = n_leaves(n), n_blocks = 2 * leaves - 1;
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t i = 0; i < whole; i++)
        for (size_t node = 1; node <= n_blocks; node++)
            compute_block(&w, i, block_at(n, leaves, node));
            /* The first blocks are the largest: who is done takes the next. */
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n_threads > 1)
    for (size_t task = 0; task < (count - whole) * n_blocks; task++)
        compute_block(&w, whole + task / n_blocks, block_at(n, leaves, 1 + task % n_blocks));
}
