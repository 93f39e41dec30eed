/*
 * Reference: the rounds of orthonormalization, everything in double.
 *
 * All ways give P R^{-1}, R upper triangular with positive diagonal. A column whose part outside the earlier
 * ones is lost in rounding counts as dependent.
 */
#include "base/random.h"
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

/* ---- bands ---- */

void dn_ref_gram(dn_stream *s, const dn_row_block *bands, size_t n)
{
    for (const dn_row_block *b = bands; b < bands + n; b++) {
        const dn_real *p = dn_host(b->p);
        double *gram = dn_host_wide(b->partial);
        for (size_t i = 0; i < b->r; i++)
            for (size_t j = i; j < b->r; j++) {
                gram[i * b->r + j] = 0;
                for (size_t l = 0; l < b->rows; l++)
                    gram[i * b->r + j] += (double)p[l * b->r + i] * (double)p[l * b->r + j];
            }
    }
}

/* row [rows] is room for a row of S. */
static void sketch(const dn_row_block *b, dn_real *row)
{
    size_t k = dn_sketch_rows(b->r);
    const dn_real *p = dn_host(b->p);
    double *out = dn_host_wide(b->partial), *squares = out + k * b->r;
    memset(out, 0, (k + 1) * b->r * sizeof *out);
    for (size_t i = 0; i < k; i++) {
        dn_random_normal(b->seed, b->draw, i * b->m + b->row0, b->rows, 1 / sqrt((double)k), row);
        for (size_t l = 0; l < b->rows; l++)
            for (size_t j = 0; j < b->r; j++)
                out[i * b->r + j] += (double)row[l] * (double)p[l * b->r + j];
    }
    for (size_t l = 0; l < b->rows; l++)
        for (size_t j = 0; j < b->r; j++)
            squares[j] += (double)p[l * b->r + j] * (double)p[l * b->r + j];
}

void dn_ref_sketch(dn_stream *s, const dn_row_block *bands, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dn_real *row = dn_scratch(s, (bands[i].rows + 1) * sizeof *row); /* an empty band has a partial too */
        if (row)
            sketch(&bands[i], row);
    }
}

/* From the last column to the first: p's columns before j are then still what they were. */
void dn_ref_apply(dn_stream *s, const dn_row_block *bands, size_t n)
{
    for (const dn_row_block *b = bands; b < bands + n; b++) {
        const double *t = dn_host_wide(b->inverse);
        dn_real *p = dn_host(b->p);
        for (size_t i = 0; i < b->rows; i++)
            for (size_t j = b->r; j-- > 0;) {
                double sum = 0;
                for (size_t l = 0; l <= j; l++)
                    sum += (double)p[i * b->r + l] * t[l * b->r + j];
                p[i * b->r + j] = (dn_real)sum;
            }
    }
}

/* ---- factors ---- */

/* out [n] = the partials added in order. */
static void add_partials(double *out, const dn_factoring *f, size_t n)
{
    memset(out, 0, n * sizeof *out);
    for (size_t k = 0; k < f->n_partials; k++)
        for (size_t i = 0; i < n; i++)
            out[i] += dn_host_wide(f->partials[k])[i];
}

/* Of a matrix whose columns have these squared lengths. */
static dn_factor_info judge(const double *squares, size_t r)
{
    double sum = 0;
    for (size_t j = 0; j < r; j++)
        sum += squares[j];
    return sum == 0 ? DN_FACTOR_ZERO : isfinite(sum) ? DN_FACTOR_OK : DN_FACTOR_NOT_FINITE;
}

/* g [r, r] = its upper Cholesky factor; false if a pivot is not clearly positive. */
static bool cholesky(double *g, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        for (size_t i = 0; i <= j; i++) {
            double sum = g[i * r + j];
            for (size_t l = 0; l < i; l++)
                sum -= g[l * r + i] * g[l * r + j];
            if (i < j)
                g[i * r + j] = sum / g[i * r + i];
            else if (sum > DN_GRAM_ROUNDING * g[j * r + j])
                g[j * r + j] = sqrt(sum);
            else
                return false;
        }
    }
    return true;
}

/* t = u^{-1}, both [r, r] upper triangular, row by row from the last of u t = I. */
static void invert(double *t, const double *u, size_t r)
{
    memset(t, 0, r * r * sizeof *t);
    for (size_t i = r; i-- > 0;)
        for (size_t j = i; j < r; j++) {
            double sum = i == j;
            for (size_t l = i + 1; l <= j; l++)
                sum -= u[i * r + l] * t[l * r + j];
            t[i * r + j] = sum / u[i * r + i];
        }
}

/* Rounding changes g_ij by at most a share of d_i d_j, d the lengths of P's columns; t' g t then changes by
 * at most that share of |t|'d d'|t|. */
static double defect(const double *t, const double *squares, size_t r)
{
    double worst = 0;
    for (size_t j = 0; j < r; j++) {
        double sum = 0;
        for (size_t i = 0; i <= j; i++)
            sum += sqrt(squares[i]) * fabs(t[i * r + j]);
        worst = fmax(worst, sum);
    }
    return DN_GRAM_ROUNDING * worst * worst;
}

static void factor_gram(dn_factoring *f, double *gram)
{
    size_t r = f->r;
    double *squares = gram + r * r;
    add_partials(gram, f, r * r);
    for (size_t j = 0; j < r; j++)
        squares[j] = gram[j * r + j];
    f->info = judge(squares, r);
    if (f->info == DN_FACTOR_OK && !cholesky(gram, r))
        f->info = DN_FACTOR_RANK_DEFICIENT;
    if (f->info != DN_FACTOR_OK)
        return;
    invert(dn_host_wide(f->inverse), gram, r);
    f->defect = defect(dn_host_wide(f->inverse), squares, r);
}

void dn_ref_factor_gram(dn_stream *s, dn_factoring *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double *gram = dn_scratch(s, items[i].r * (items[i].r + 1) * sizeof *gram);
        if (gram)
            factor_gram(&items[i], gram);
    }
}

/* b [m, r] columns j.. -= 2 v (v'b) / v'v with v in column `at` of a, rows at.. */
static void reflect(double *b, size_t from, const double *a, size_t at, size_t m, size_t r)
{
    double square = 0;
    for (size_t i = at; i < m; i++)
        square += a[i * r + at] * a[i * r + at];
    if (square == 0)
        return;
    for (size_t j = from; j < r; j++) {
        double sum = 0;
        for (size_t i = at; i < m; i++)
            sum += a[i * r + at] * b[i * r + j];
        for (size_t i = at; i < m; i++)
            b[i * r + j] -= 2 * sum / square * a[i * r + at];
    }
}

/* Householder QR of a [m, r]: its reflectors are left on and below the diagonal, R above it and in diagonal.
 */
static void reduce(double *a, double *diagonal, size_t m, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        double scale = 0, square = 0;
        for (size_t i = j; i < m; i++)
            scale = fmax(scale, fabs(a[i * r + j]));
        for (size_t i = j; scale > 0 && i < m; i++) {
            a[i * r + j] /= scale; /* only its direction matters; its square must not under- or overflow */
            square += a[i * r + j] * a[i * r + j];
        }
        double length = copysign(sqrt(square), a[j * r + j]);
        diagonal[j] = -length * scale;
        a[j * r + j] += length;
        reflect(a, j + 1, a, j, m, r);
    }
}

/* upper [r, r] = R of a Householder QR, rows turned so that its diagonal is positive; false if a column is
 * dependent on the earlier ones. */
static bool take_upper(double *upper, const double *a, const double *diagonal, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        double square = 0;
        for (size_t i = 0; i < j; i++) {
            upper[i * r + j] = diagonal[i] < 0 ? -a[i * r + j] : a[i * r + j];
            square += upper[i * r + j] * upper[i * r + j];
        }
        upper[j * r + j] = fabs(diagonal[j]);
        if (!(upper[j * r + j] > DN_DEPENDENT_SHARE * sqrt(square)))
            return false;
    }
    return true;
}

static void factor_sketch(dn_factoring *f, double *sum)
{
    size_t k = dn_sketch_rows(f->r), r = f->r;
    double *upper = sum + (k + 1) * r, *diagonal = upper + r * r;
    add_partials(sum, f, (k + 1) * r);
    f->defect = 0;
    f->info = judge(sum + k * r, r);
    if (f->info != DN_FACTOR_OK)
        return;
    reduce(sum, diagonal, k, r);
    if (take_upper(upper, sum, diagonal, r))
        invert(dn_host_wide(f->inverse), upper, r);
    else
        f->info = DN_FACTOR_RANK_DEFICIENT;
}

void dn_ref_factor_sketch(dn_stream *s, dn_factoring *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t r = items[i].r;
        double *sum = dn_scratch(s, (dn_sketch_rows(r) + r + 2) * r * sizeof *sum);
        if (sum)
            factor_sketch(&items[i], sum);
    }
}

/* q [m, r] = the first columns of the product of the reflectors in a, signs so that R's diagonal is positive.
 */
static void form_q(double *q, const double *a, const double *diagonal, size_t m, size_t r)
{
    memset(q, 0, m * r * sizeof *q);
    for (size_t j = 0; j < r; j++)
        q[j * r + j] = 1;
    for (size_t j = r; j-- > 0;)
        reflect(q, j, a, j, m, r);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < r; j++)
            if (diagonal[j] < 0)
                q[i * r + j] = -q[i * r + j];
}

/* a = p, as far as its elements are numbers. */
static dn_factor_info load(double *a, const dn_real *p, size_t n)
{
    bool zero = true;
    for (size_t i = 0; i < n; i++) {
        a[i] = (double)p[i];
        if (!isfinite(a[i]))
            return DN_FACTOR_NOT_FINITE;
        zero &= a[i] == 0;
    }
    return zero ? DN_FACTOR_ZERO : DN_FACTOR_OK;
}

static void householder(dn_tall *t, double *a)
{
    size_t n = t->m * t->r;
    double *q = a + n, *diagonal = q + n;
    t->info = load(a, dn_host(t->p), n);
    if (t->info != DN_FACTOR_OK)
        return;
    reduce(a, diagonal, t->m, t->r);
    form_q(q, a, diagonal, t->m, t->r);
    for (size_t i = 0; i < n; i++)
        dn_host(t->p)[i] = (dn_real)q[i];
}

void dn_ref_householder(dn_stream *s, dn_tall *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double *a = dn_scratch(s, (2 * items[i].m + 1) * items[i].r * sizeof *a);
        if (a)
            householder(&items[i], a);
    }
}
