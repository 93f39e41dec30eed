/*
 * Cholesky QR twice, in double: A = P; twice: G = A'A = U'U, A = A U^{-1}. After the first pass |A'A - I| is
 * about eps cond(U)^2, the columns of U scaled to length 1 (column scaling does no harm in a Gram matrix).
 * Where that is below what rounding to dn_real leaves anyway, which in float is nearly always, the second is
 * skipped.
 *
 * At the sizes of Dion (m ~ 1000, r ~ 128) OpenBLAS's trsm and syrk run at a third of peak and hardly use two
 * threads. Here threads share out rows, and a thread works in tiles of 64 that OpenBLAS multiplies with its
 * kernels for small matrices. The solve is by block columns with the diagonal tiles of U inverted, so it is
 * products as well; what their conditioning costs, the second pass repairs.
 *
 * Rows are cut into at most 16 parts by the shape alone, and their Gram matrices are added in order: one bit
 * pattern for any number of threads.
 */
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define TILE  ((size_t)64)
#define PARTS ((size_t)16)

/* A pivot is the squared distance of a column from the span of the earlier ones; below this share of its
 * squared length it is rounding. 16: a few sums deep. */
#define PIVOT_SHARE (16 * DBL_EPSILON)

typedef struct work {
    size_t m, r, part_rows, n_parts, n_tiles;
    int n_threads;
    double *a;       /* [m, r] */
    double *gram;    /* [r, r] upper triangle: G, then U */
    double *partial; /* [parts][r, r] */
    double *inverse; /* [tiles][TILE, TILE] of U's diagonal tiles */
    double *square;  /* [r] G's diagonal */
    double *trcon;   /* [3 r] doubles and [r] integers for LAPACK's condition estimate */
} work;

static bool take_work(dn_stream *s, size_t m, size_t r, work *w)
{
    size_t part_rows = dn_blocks(dn_blocks(m, PARTS), TILE) * TILE;
    *w = (work){.m = m, .r = r, .part_rows = part_rows < 2 * TILE ? 2 * TILE : part_rows};
    w->n_parts = dn_blocks(m, w->part_rows);
    w->n_tiles = dn_blocks(r, TILE);
    w->n_threads = s->n_threads;
    w->a =
        dn_scratch(s, (m * r + (w->n_parts + 1) * r * r + w->n_tiles * TILE * TILE + 5 * r) * sizeof(double));
    if (!w->a)
        return false;
    w->gram = w->a + m * r;
    w->partial = w->gram + r * r;
    w->inverse = w->partial + w->n_parts * r * r;
    w->square = w->inverse + w->n_tiles * TILE * TILE;
    w->trcon = w->square + r;
    return true;
}

static size_t tile_width(const work *w, size_t tile)
{
    return dn_min(w->r - tile * TILE, TILE);
}

/* gram (upper tiles) = a'a of one part's rows, in pieces small enough for the small kernels. */
static void part_gram(const work *w, size_t part)
{
    double *gram = w->partial + part * w->r * w->r;
    size_t first = part * w->part_rows, last = dn_min(first + w->part_rows, w->m);
    for (size_t row = first; row < last; row += 2 * TILE)
        for (size_t i = 0; i < w->n_tiles; i++)
            for (size_t j = i; j < w->n_tiles; j++) {
                const double *a = w->a + row * w->r;
                cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)tile_width(w, i),
                            (int)tile_width(w, j), (int)dn_min(last - row, 2 * TILE), 1, a + i * TILE,
                            (int)w->r, a + j * TILE, (int)w->r, row > first, gram + (i * w->r + j) * TILE,
                            (int)w->r);
            }
}

static void form_gram(const work *w)
{
#pragma omp parallel for schedule(static) num_threads(w->n_threads)
    for (size_t part = 0; part < w->n_parts; part++)
        part_gram(w, part);
#pragma omp parallel for schedule(static) num_threads(w->n_threads)
    for (size_t i = 0; i < w->r; i++) {
        memcpy(w->gram + i * w->r + i, w->partial + i * w->r + i, (w->r - i) * sizeof(double));
        for (size_t part = 1; part < w->n_parts; part++)
            for (size_t j = i; j < w->r; j++)
                w->gram[i * w->r + j] += w->partial[(part * w->r + i) * w->r + j];
        w->square[i] = w->gram[i * w->r + i];
    }
}

/* gram = U, inverse = those of its diagonal tiles; false if a pivot is not clearly positive. In a parallel
 * region, because there OpenBLAS keeps to one thread: at this size its threads cost more than they give. */
static bool factor(const work *w)
{
    lapack_int info = 0, r = (lapack_int)w->r;
#pragma omp parallel num_threads(w->n_threads)
#pragma omp master
    info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', r, w->gram, r);
    if (info != 0)
        return false;
    for (size_t j = 0; j < w->r; j++) {
        double diagonal = w->gram[j * w->r + j];
        if (!(diagonal * diagonal > PIVOT_SHARE * w->square[j]) || !isfinite(diagonal))
            return false;
    }
#pragma omp parallel for schedule(static) num_threads(w->n_threads)
    for (size_t tile = 0; tile < w->n_tiles; tile++) {
        size_t width = tile_width(w, tile);
        double *inverse = w->inverse + tile * TILE * TILE;
        memset(inverse, 0, TILE * TILE * sizeof *inverse);
        for (size_t i = 0; i < width; i++)
            memcpy(inverse + i * TILE + i, w->gram + (tile * TILE + i) * w->r + tile * TILE + i,
                   (width - i) * sizeof *inverse);
        (void)LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'L', 'N', (lapack_int)width, inverse, TILE);
    }
    return true;
}

/* a = a U^{-1} for `rows` <= TILE rows: tile j of the result is (a_j - sum over i < j of x_i U_ij) U_jj^{-1}.
 */
static void solve_rows(const work *w, double *a, size_t rows)
{
    double right[TILE * TILE];
    int r = (int)w->r;
    for (size_t j = 0; j < w->n_tiles; j++) {
        int width = (int)tile_width(w, j);
        double *out = a + j * TILE;
        if (j > 0)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, width, (int)(j * TILE), -1, a,
                        r, w->gram + j * TILE, r, 1, out, r);
        for (size_t i = 0; i < rows; i++)
            memcpy(right + i * TILE, out + i * w->r, (size_t)width * sizeof *right);
        cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, width, width, 1, right, TILE,
                    w->inverse + j * TILE * TILE, TILE, 0, out, r);
    }
}

static void solve(const work *w)
{
#pragma omp parallel for schedule(static) num_threads(w->n_threads)
    for (size_t row = 0; row < w->m; row += TILE)
        solve_rows(w, w->a + row * w->r, dn_min(w->m - row, TILE));
}

/* Whether the first pass left A'A within dn_real's rounding of I. LAPACK estimates the condition number in
 * the 1-norm within a small factor; 16 eps is room for that and for the rounding of G. */
static bool one_pass_is_enough(const work *w)
{
    double *scaled = w->partial, reciprocal = 0;
    lapack_int r = (lapack_int)w->r;
    for (size_t i = 0; i < w->r; i++)
        for (size_t j = i; j < w->r; j++)
            scaled[i * w->r + j] = w->gram[i * w->r + j] / sqrt(w->square[j]);
    (void)LAPACKE_dtrcon_work(LAPACK_COL_MAJOR, '1', 'L', 'N', r, scaled, r, &reciprocal, w->trcon,
                              (lapack_int *)(w->trcon + 3 * w->r));
    return 16 * DBL_EPSILON <= DN_REAL_EPS * reciprocal * reciprocal;
}

static bool orthonormalize(const work *w)
{
    form_gram(w);
    if (!factor(w))
        return false;
    solve(w);
    if (one_pass_is_enough(w))
        return true;
    form_gram(w);
    if (!factor(w))
        return false;
    solve(w);
    return true;
}

void dn_cpu_orth_cholesky2(dn_stream *s, dn_buf *p, size_t m, size_t r, bool *host_ok)
{
    work w;
    *host_ok = true;
    if (m == 0 || r == 0)
        return;
    *host_ok = take_work(s, m, r, &w);
    if (!*host_ok)
        return;
    dn_real *x = dn_host(p);
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t i = 0; i < m * r; i++)
        w.a[i] = (double)x[i];
    *host_ok = orthonormalize(&w);
    if (!*host_ok)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t i = 0; i < m * r; i++)
        x[i] = (dn_real)w.a[i];
}
