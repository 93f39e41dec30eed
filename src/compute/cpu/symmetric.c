/*
 * Products of batches of matrices. As many matrices as the threads can share out evenly run whole on one
 * thread each, so that small ones cost no meeting of threads and stay in their caches; what is left over is
 * cut over all threads.
 *
 * A symmetric result is computed in strips: rows top .. top+STRIP-1 from the diagonal to the right, then
 * mirrored. OpenBLAS's own syrk has no form for two factors and loses its lead on gemm at these sizes.
 */
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

#include <string.h>

/* Rows of a strip: wide enough to be near a large product's speed, and 3/4 or less of the square's work is
 * left from 256 rows on. */
#define STRIP ((size_t)128)

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
    size_t whole = m && n && k && n_threads > 1 ? whole_matrices(count, n_threads) : 0;
#pragma omp parallel for schedule(static) num_threads(n_threads) if (whole > 0)
    for (size_t i = 0; i < whole; i++)
        dn_cblas_gemm(CblasRowMajor, ta == DN_T ? CblasTrans : CblasNoTrans,
                      tb == DN_T ? CblasTrans : CblasNoTrans, (int)m, (int)n, (int)k, (dn_real)alpha,
                      dn_host(a) + i * m * k, (int)lda, dn_host(b) + i * k * n, (int)ldb, (dn_real)beta,
                      dn_host(c) + i * m * n, (int)n);
    for (size_t i = whole; i < count; i++)
        dn_cpu_gemm(s, ta, tb, m, n, k, alpha, dn_at(a, i * m * k), lda, dn_at(b, i * k * n), ldb, beta,
                    dn_at(c, i * m * n), n);
}

typedef struct job {
    dn_trans t;
    size_t n, k;
    dn_real alpha, beta, gamma;
    const dn_real *a, *b, *d;
    dn_real *c;
} job;

/* The part of c [n,n] below the diagonal in columns left .. left+width-1 = the transposed of what is above.
 */
static void mirror(dn_real *c, size_t n, size_t left, size_t width)
{
    for (size_t i = left; i < left + width; i += MIRROR)
        for (size_t j = i; j < n; j += MIRROR)
            for (size_t row = i; row < dn_min(i + MIRROR, left + width); row++)
                for (size_t column = j > row ? j : row + 1; column < dn_min(j + MIRROR, n); column++)
                    c[column * n + row] = c[row * n + column];
}

static void compute_strip(const job *w, size_t matrix, size_t top)
{
    size_t n = w->n, k = w->k, rows = dn_min(STRIP, n - top), cols = n - top;
    dn_real *c = w->c + matrix * n * n, *out = c + top * n + top;
    size_t from = matrix * n * k + (w->t == DN_N ? top * k : top), ld = w->t == DN_T ? n : k ? k : 1;
    for (size_t i = 0; w->beta != 0 && i < rows; i++)
        memcpy(out + i * n, w->d + (matrix * n + top + i) * n + top, cols * sizeof *out);
    dn_cblas_gemm(CblasRowMajor, w->t == DN_N ? CblasNoTrans : CblasTrans,
                  w->t == DN_N ? CblasTrans : CblasNoTrans, (int)rows, (int)cols, (int)k, w->alpha,
                  w->a + from, (int)ld, w->b + from, (int)ld, w->beta, out, (int)n);
    for (size_t i = 0; i < rows; i++)
        out[i * n + i] += w->gamma;
    mirror(c, n, top, rows);
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
    size_t whole = whole_matrices(count, n_threads), n_strips = dn_blocks(n, STRIP);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (n_threads > 1)
    for (size_t i = 0; i < whole; i++)
        for (size_t strip = 0; strip < n_strips; strip++)
            compute_strip(&w, i, strip * STRIP);
            /* The first strips are the longest: who is done takes the next. */
#pragma omp parallel for schedule(dynamic) num_threads(n_threads) if (n_threads > 1)
    for (size_t task = 0; task < (count - whole) * n_strips; task++)
        compute_strip(&w, whole + task / n_strips, task % n_strips * STRIP);
}
