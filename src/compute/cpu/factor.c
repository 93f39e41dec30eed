/*
 * The narrow work of orthonormalization: factors of Gram matrices and of sketches, and Householder QR of
 * whole matrices. LAPACK on one thread a matrix; the matrices of a batch go to threads as these come free.
 *
 * Householder QR is LAPACK's geqrt: its recursive panels are products, where geqrf's are memory bound. It
 * wants columns in order, so the row-major p is transposed on the way in and out (transposed LQ in place
 * would save that, and was measured several times slower).
 */
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define TILE ((size_t)32)

/* Columns of a block reflector. Measured in float, a matrix of 3072 x 768 a thread: 90 ms with 32, 70 with
 * 64, 72 with 128, 75 with 256; of 2048 x 2048: 311, 258, 251, 234. */
#define PANEL ((size_t)64)

/* Item i of a batch, in a thread's room. */
typedef void (*doer)(void *items, size_t i, double *room);

/* A region even for one item, because there OpenBLAS keeps to one thread. */
static void do_all(dn_stream *s, doer work, void *items, size_t n, size_t room)
{
    double *rooms = dn_scratch(s, (size_t)s->n_threads * room * sizeof *rooms);
    if (!rooms)
        return;
#pragma omp parallel for schedule(dynamic) num_threads(s->n_threads)
    for (size_t i = 0; i < n; i++)
        work(items, i, rooms + (size_t)omp_get_thread_num() * room);
}

/* Of a matrix whose columns have these squared lengths. */
static dn_factor_info judge(const double *squares, size_t r)
{
    double sum = 0;
    for (size_t j = 0; j < r; j++)
        sum += squares[j];
    return sum == 0 ? DN_FACTOR_ZERO : isfinite(sum) ? DN_FACTOR_OK : DN_FACTOR_NOT_FINITE;
}

/* ---- the inverse of a triangle ---- */

/* Diagonal tile: t = u^{-1}, row by row from the last of u t = I. Rows have full width here, whatever stands
 * in them: that is faster than short ones. */
static void invert_tile(double *restrict t, const double *restrict u, size_t width, size_t r)
{
    double rows[TILE][TILE] = {{0}};
    for (size_t i = width; i-- > 0;) {
        double row[TILE] = {0};
        row[i] = 1;
        for (size_t l = i + 1; l < width; l++)
            for (size_t j = 0; j < TILE; j++)
                row[j] -= u[i * r + l] * rows[l][j];
        for (size_t j = 0; j < TILE; j++)
            rows[i][j] = row[j] / u[i * r + i];
        memcpy(t + i * r, rows[i], width * sizeof *t);
    }
}

/* t = u^{-1}, both [r, r] upper triangular; by tile rows from the last of u t = I: of the two residuals the
 * small one is then that of P U^{-1}, which is what t is for. room [TILE, TILE]. */
static void invert(double *t, const double *u, size_t r, double *room)
{
    memset(t, 0, r * r * sizeof *t);
    for (size_t i = dn_blocks(r, TILE) * TILE; i > 0;) {
        i -= TILE;
        size_t next = dn_min(i + TILE, r), width = next - i;
        invert_tile(t + i * r + i, u + i * r + i, width, r);
        for (size_t j = next; j < r; j += TILE) {
            size_t cols = dn_min(r - j, TILE);
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)width, (int)cols,
                        (int)(j + cols - next), 1, u + i * r + next, (int)r, t + next * r + j, (int)r, 0,
                        room, TILE);
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)width, (int)cols, (int)width, -1,
                        t + i * r + i, (int)r, room, TILE, 0, t + i * r + j, (int)r);
        }
    }
}

/* ---- Gram matrices ---- */

static size_t gram_room(size_t r)
{
    return r * (r + 2) + TILE * TILE;
}

/* gram [r, r] = the upper triangle of the partials' sum, in order. */
static void add_grams(double *gram, const dn_factoring *f)
{
    size_t r = f->r;
    for (size_t i = 0; i < r; i++) {
        memcpy(gram + i * r + i, dn_host_wide(f->partials[0]) + i * r + i, (r - i) * sizeof *gram);
        for (size_t k = 1; k < f->n_partials; k++)
            for (size_t j = i; j < r; j++)
                gram[i * r + j] += dn_host_wide(f->partials[k])[i * r + j];
    }
}

/* gram = U; false if a pivot is not clearly positive. */
static bool cholesky(double *gram, const double *squares, size_t r)
{
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', (lapack_int)r, gram, (lapack_int)r) != 0)
        return false;
    for (size_t j = 0; j < r; j++)
        if (!(gram[j * r + j] * gram[j * r + j] > DN_GRAM_ROUNDING * squares[j]))
            return false;
    return true;
}

/* Rounding changes g_ij by at most a share of d_i d_j, d the lengths of P's columns; t' g t then changes by
 * at most that share of |t|'d d'|t|. sums [r] is room. */
static double defect(const double *restrict t, const double *squares, size_t r, double *restrict sums)
{
    memset(sums, 0, r * sizeof *sums);
    for (size_t i = 0; i < r; i++) {
        double length = sqrt(squares[i]);
        for (size_t j = i; j < r; j++)
            sums[j] += length * fabs(t[i * r + j]);
    }
    double worst = 0;
    for (size_t j = 0; j < r; j++)
        worst = fmax(worst, sums[j]);
    return DN_GRAM_ROUNDING * worst * worst;
}

static void factor_gram(void *items, size_t i, double *gram)
{
    dn_factoring *f = (dn_factoring *)items + i;
    size_t r = f->r;
    double *squares = gram + r * r, *sums = squares + r, *tile = sums + r;
    add_grams(gram, f);
    for (size_t j = 0; j < r; j++)
        squares[j] = gram[j * r + j];
    f->info = judge(squares, r);
    if (f->info == DN_FACTOR_OK && !cholesky(gram, squares, r))
        f->info = DN_FACTOR_RANK_DEFICIENT;
    if (f->info != DN_FACTOR_OK)
        return;
    invert(dn_host_wide(f->inverse), gram, r, tile);
    f->defect = defect(dn_host_wide(f->inverse), squares, r, sums);
}

void DN_CPU(factor_gram)(dn_stream *s, dn_factoring *items, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room = gram_room(items[i].r) > room ? gram_room(items[i].r) : room;
    do_all(s, factor_gram, items, n, room);
}

/* ---- sketches ---- */

static size_t sketch_room(size_t r)
{
    return (dn_sketch_rows(r) + r + 2 * PANEL + 1) * r + TILE * TILE;
}

/* columns [r][k] = the partials' sum, transposed; squares [r] = that of their last rows. */
static void add_sketches(double *columns, double *squares, const dn_factoring *f)
{
    size_t r = f->r, k = dn_sketch_rows(r);
    for (size_t i = 0; i <= k; i++)
        for (size_t j = 0; j < r; j++) {
            double sum = dn_host_wide(f->partials[0])[i * r + j];
            for (size_t part = 1; part < f->n_partials; part++)
                sum += dn_host_wide(f->partials[part])[i * r + j];
            *(i < k ? &columns[j * k + i] : &squares[j]) = sum;
        }
}

/* upper [r, r] = R of the factored columns [r][k], rows turned so that its diagonal is positive; false if a
 * column is dependent on the earlier ones. */
static bool take_upper(double *upper, const double *columns, size_t k, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        double square = 0;
        for (size_t i = 0; i < j; i++) {
            upper[i * r + j] = columns[i * k + i] < 0 ? -columns[j * k + i] : columns[j * k + i];
            square += upper[i * r + j] * upper[i * r + j];
        }
        upper[j * r + j] = fabs(columns[j * k + j]);
        if (!(upper[j * r + j] > DN_DEPENDENT_SHARE * sqrt(square)))
            return false;
    }
    return true;
}

static void factor_sketch(void *items, size_t i, double *columns)
{
    dn_factoring *f = (dn_factoring *)items + i;
    size_t r = f->r, k = dn_sketch_rows(r);
    double *upper = columns + k * r, *work = upper + r * r, *squares = work + 2 * PANEL * r;
    lapack_int panel = (lapack_int)dn_min(PANEL, r);
    add_sketches(columns, squares, f);
    f->defect = 0;
    f->info = judge(squares, r);
    if (f->info != DN_FACTOR_OK)
        return;
    (void)LAPACKE_dgeqrt_work(LAPACK_COL_MAJOR, (lapack_int)k, (lapack_int)r, panel, columns, (lapack_int)k,
                              work, panel, work + PANEL * r);
    if (take_upper(upper, columns, k, r))
        invert(dn_host_wide(f->inverse), upper, r, squares + r);
    else
        f->info = DN_FACTOR_RANK_DEFICIENT;
}

void DN_CPU(factor_sketch)(dn_stream *s, dn_factoring *items, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room = sketch_room(items[i].r) > room ? sketch_room(items[i].r) : room;
    do_all(s, factor_sketch, items, n, room);
}

/* ---- Householder ---- */

/* Doubles, of which dn_real needs half where it is float. */
static size_t householder_room(size_t m, size_t r)
{
    return 2 * (m + PANEL) * r * sizeof(dn_real) / sizeof(double);
}

static void transpose_tile(dn_real *restrict out, size_t ldo, const dn_real *restrict in, size_t ldi,
                           size_t rows, size_t columns)
{
    for (size_t j = 0; j < columns; j++)
        for (size_t i = 0; i < rows; i++)
            out[j * ldo + i] = in[i * ldi + j];
}

/* out [columns, rows] = in' */
static void transpose(dn_real *out, const dn_real *in, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i += TILE)
        for (size_t j = 0; j < columns; j += TILE)
            transpose_tile(out + j * rows + i, rows, in + i * columns + j, columns, dn_min(rows - i, TILE),
                           dn_min(columns - j, TILE));
}

static dn_factor_info judge_elements(const dn_real *x, size_t n)
{
    bool zero = true, finite = true;
    for (size_t i = 0; i < n; i++) {
        zero &= x[i] == 0;
        finite &= isfinite(x[i]) != 0;
    }
    return zero ? DN_FACTOR_ZERO : finite ? DN_FACTOR_OK : DN_FACTOR_NOT_FINITE;
}

/* q [r][m] = the first columns of the reflectors' product, signs so that R's diagonal is positive. From the
 * last panel on, as LAPACK's orgqr: columns before a panel's are still unit vectors, which it leaves alone. t
 * [panel, r] of geqrt, and room for as much behind it. */
static void form_q(dn_real *q, const dn_real *columns, dn_real *t, size_t panel, size_t m, size_t r)
{
    memset(q, 0, m * r * sizeof *q);
    for (size_t j = 0; j < r; j++)
        q[j * m + j] = columns[j * m + j] < 0 ? -1 : 1;
    for (size_t at = dn_blocks(r, panel) * panel; at > 0;) {
        at -= panel;
        lapack_int width = (lapack_int)dn_min(panel, r - at);
        (void)dn_lapacke_gemqrt(LAPACK_COL_MAJOR, 'L', 'N', (lapack_int)(m - at), (lapack_int)(r - at), width,
                                width, columns + at * m + at, (lapack_int)m, t + at * panel,
                                (lapack_int)panel, q + at * m + at, (lapack_int)m, t + panel * r);
    }
}

static void householder(void *items, size_t i, double *room)
{
    dn_tall *t = (dn_tall *)items + i;
    size_t m = t->m, r = t->r;
    size_t panel = dn_min(PANEL, r);
    dn_real *columns = (dn_real *)room, *q = columns + m * r, *reflectors = q + m * r;
    t->info = judge_elements(dn_host(t->p), m * r);
    if (t->info != DN_FACTOR_OK)
        return;
    transpose(columns, dn_host(t->p), m, r);
    (void)dn_lapacke_geqrt(LAPACK_COL_MAJOR, (lapack_int)m, (lapack_int)r, (lapack_int)panel, columns,
                           (lapack_int)m, reflectors, (lapack_int)panel, reflectors + panel * r);
    form_q(q, columns, reflectors, panel, m, r);
    transpose(dn_host(t->p), q, r, m);
}

void DN_CPU(householder)(dn_stream *s, dn_tall *items, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room = dn_max(room, householder_room(items[i].m, items[i].r));
    do_all(s, householder, items, n, room);
}
