/*
 * Orthonormal bases by LAPACK: Householder QR, one Cholesky QR, randomized Cholesky QR, all in dn_real on a
 * copy; p is written only after success.
 *
 * Householder QR is LAPACK's geqrt: its recursive panels are products, where geqrf's are memory bound. It
 * wants columns in order, so the row-major p is transposed on the way in and out (transposed LQ in place
 * would save that, and was measured several times slower).
 */
#include "base/random.h"
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define PANEL ((size_t)32) /* columns of a block reflector */
#define EDGE  ((size_t)32) /* of a tile when transposing */

/* As in cholesky2.c, for Gram matrices in dn_real; and for a distance itself. */
#define PIVOT_SHARE (16 * DN_REAL_EPS)
#define DEPENDENT   (16 * DN_REAL_EPS)

static void transpose_tile(dn_real *restrict out, size_t ldo, const dn_real *restrict in, size_t ldi,
                           size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j++)
        for (size_t i = 0; i < rows; i++)
            out[j * ldo + i] = in[i * ldi + j];
}

/* out [columns, rows] = in' */
static void transpose(dn_stream *s, dn_real *out, const dn_real *in, size_t rows, size_t columns)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t i = 0; i < rows; i += EDGE)
        for (size_t j = 0; j < columns; j += EDGE)
            transpose_tile(out + j * rows + i, rows, in + i * columns + j, columns, dn_min(rows - i, EDGE),
                           dn_min(columns - j, EDGE));
}

static bool all_finite(dn_stream *s, const dn_real *x, size_t n)
{
    bool finite = true;
#pragma omp parallel for schedule(static) reduction(&& : finite) num_threads(s->n_threads)
    for (size_t i = 0; i < n; i++)
        finite = finite && isfinite(x[i]);
    return finite;
}

/* Elements of workspace for the QR of [m, r]: the triangles of the block reflectors, and geqrt's own. */
static size_t qr_work_size(size_t r)
{
    return 2 * PANEL * r;
}

/* Householder QR of columns [r][m] in place. */
static void factor_columns(dn_real *columns, dn_real *work, size_t m, size_t r)
{
    lapack_int panel = (lapack_int)dn_min(PANEL, r);
    (void)dn_lapacke_geqrt(LAPACK_COL_MAJOR, (lapack_int)m, (lapack_int)r, panel, columns, (lapack_int)m,
                           work, panel, work + PANEL * r);
}

/* q [r][m] = the first columns of the reflectors' product, signs so that R's diagonal is positive. */
static void form_q(dn_real *q, const dn_real *columns, dn_real *work, size_t m, size_t r)
{
    lapack_int panel = (lapack_int)dn_min(PANEL, r);
    memset(q, 0, m * r * sizeof *q);
    for (size_t j = 0; j < r; j++)
        q[j * m + j] = columns[j * m + j] < 0 ? -1 : 1;
    (void)dn_lapacke_gemqrt(LAPACK_COL_MAJOR, 'L', 'N', (lapack_int)m, (lapack_int)r, (lapack_int)r, panel,
                            columns, (lapack_int)m, work, panel, q, (lapack_int)m, work + PANEL * r);
}

void dn_cpu_orth_householder(dn_stream *s, dn_buf *p, size_t m, size_t r, bool *host_ok)
{
    *host_ok = true;
    if (m == 0 || r == 0)
        return;
    dn_real *columns = dn_scratch(s, (2 * m * r + qr_work_size(r)) * sizeof *columns);
    *host_ok = columns && all_finite(s, dn_host(p), m * r);
    if (!*host_ok)
        return;
    dn_real *q = columns + m * r, *work = q + m * r;
    transpose(s, columns, dn_host(p), m, r);
    factor_columns(columns, work, m, r);
    form_q(q, columns, work, m, r);
    transpose(s, dn_host(p), q, r, m);
}

/* One Cholesky QR of x [m, r] in place; upper [r, r] and square [r] are workspace. x is spoilt on failure. */
static bool cholesky_qr(dn_real *x, dn_real *upper, dn_real *square, size_t m, size_t r)
{
    dn_cblas_syrk(CblasRowMajor, CblasUpper, CblasTrans, (int)r, (int)m, 1, x, (int)r, 0, upper, (int)r);
    for (size_t j = 0; j < r; j++)
        square[j] = upper[j * r + j];
    if (dn_lapacke_potrf(LAPACK_COL_MAJOR, 'L', (lapack_int)r, upper, (lapack_int)r) != 0)
        return false;
    for (size_t j = 0; j < r; j++) {
        double diagonal = (double)upper[j * r + j];
        if (!(diagonal * diagonal > PIVOT_SHARE * (double)square[j]) || !isfinite(diagonal))
            return false;
    }
    dn_cblas_trsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, (int)m, (int)r, 1, upper,
                  (int)r, x, (int)r);
    return true;
}

void dn_cpu_orth_cholesky(dn_stream *s, dn_buf *p, size_t m, size_t r, bool *host_ok)
{
    *host_ok = true;
    if (m == 0 || r == 0)
        return;
    dn_real *x = dn_scratch(s, (m * r + r * r + r) * sizeof *x);
    *host_ok = x != NULL;
    if (!x)
        return;
    memcpy(x, dn_host(p), m * r * sizeof *x);
    *host_ok = cholesky_qr(x, x + m * r, x + m * r + r * r, m, r);
    if (*host_ok)
        memcpy(dn_host(p), x, m * r * sizeof *x);
}

/* upper [r, r] = R of the factored columns [r][k], rows turned so that its diagonal is positive; false if a
 * column is dependent on the earlier ones. */
static bool take_upper(dn_real *upper, const dn_real *columns, size_t k, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        double square = 0;
        for (size_t i = 0; i < j; i++) {
            upper[i * r + j] = columns[i * k + i] < 0 ? -columns[j * k + i] : columns[j * k + i];
            square += (double)upper[i * r + j] * (double)upper[i * r + j];
        }
        double diagonal = fabs((double)columns[j * k + j]);
        upper[j * r + j] = (dn_real)diagonal;
        if (!(diagonal > DEPENDENT * sqrt(square)))
            return false;
    }
    return true;
}

/* sketch [k, m], entries N(0, 1/k) */
static void draw_sketch(dn_stream *s, dn_real *sketch, size_t k, size_t m, uint64_t seed, uint64_t stream)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t i = 0; i < k; i++)
        dn_random_normal(seed, stream, i * m, m, 1 / sqrt((double)k), sketch + i * m);
}

void dn_cpu_orth_sketched(dn_stream *s, dn_buf *p, size_t m, size_t r, uint64_t seed, uint64_t stream,
                          bool *host_ok)
{
    *host_ok = true;
    if (m == 0 || r == 0)
        return;
    size_t k = dn_sketch_rows(r);
    dn_real *x = dn_scratch(s, (m * r + k * (m + r) + r * r + qr_work_size(r)) * sizeof *x);
    *host_ok = x && all_finite(s, dn_host(p), m * r);
    if (!*host_ok)
        return;
    dn_real *sketch = x + m * r, *columns = sketch + k * m, *upper = columns + k * r, *work = upper + r * r;
    memcpy(x, dn_host(p), m * r * sizeof *x);
    draw_sketch(s, sketch, k, m, seed, stream);
    /* columns [r][k] = (S P)' = P' S' */
    dn_cblas_gemm(CblasRowMajor, CblasTrans, CblasTrans, (int)r, (int)k, (int)m, 1, x, (int)r, sketch, (int)m,
                  0, columns, (int)k);
    factor_columns(columns, work, k, r);
    *host_ok = take_upper(upper, columns, k, r);
    if (!*host_ok)
        return;
    dn_cblas_trsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasNonUnit, (int)m, (int)r, 1, upper,
                  (int)r, x, (int)r);
    *host_ok = cholesky_qr(x, upper, work, m, r);
    if (*host_ok)
        memcpy(dn_host(p), x, m * r * sizeof *x);
}
