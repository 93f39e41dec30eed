/*
 * Reference: orthonormal bases. Everything in double on a copy; p is written only after success.
 *
 * All methods give P R^{-1}, R upper triangular with positive diagonal. A column whose part outside the
 * earlier ones is lost in the rounding of a double Gram matrix counts as dependent.
 */
#include "base/random.h"
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

/* A Cholesky pivot is the squared distance of a column from the span of the earlier ones; below this share of
 * its squared length it is rounding. 16: a few sums deep. */
#define PIVOT_SHARE (16 * DBL_EPSILON)
/* The same for the distance itself, in the rounding of the matrix that was given. */
#define DEPENDENT (16 * DN_REAL_EPS)

static bool load(double *a, const dn_real *p, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        a[i] = (double)p[i];
        finite &= isfinite(a[i]) != 0;
    }
    return finite;
}

static void store(dn_real *p, const double *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (dn_real)a[i];
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
static void householder(double *a, double *diagonal, size_t m, size_t r)
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

void dn_ref_orth_householder(dn_stream *s, dn_buf *p, size_t m, size_t r, bool *host_ok)
{
    *host_ok = true;
    if (m == 0 || r == 0)
        return;
    double *a = dn_scratch(s, (2 * m * r + r) * sizeof *a);
    *host_ok = a && load(a, dn_host(p), m * r);
    if (!*host_ok)
        return;
    double *q = a + m * r, *diagonal = q + m * r;
    householder(a, diagonal, m, r);
    form_q(q, a, diagonal, m, r);
    store(dn_host(p), q, m * r);
}

/* a [m, r] = a R^{-1}, R [r, r] upper triangular. */
static void solve_right(double *a, const double *upper, size_t m, size_t r)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < r; j++) {
            for (size_t l = 0; l < j; l++)
                a[i * r + j] -= a[i * r + l] * upper[l * r + j];
            a[i * r + j] /= upper[j * r + j];
        }
}

/* g [r, r] = its upper Cholesky factor; false if a pivot is not clearly positive (or NaN). */
static bool cholesky(double *g, size_t r)
{
    for (size_t j = 0; j < r; j++) {
        for (size_t i = 0; i <= j; i++) {
            double sum = g[i * r + j];
            for (size_t l = 0; l < i; l++)
                sum -= g[l * r + i] * g[l * r + j];
            if (i < j)
                g[i * r + j] = sum / g[i * r + i];
            else if (sum > PIVOT_SHARE * g[j * r + j] && isfinite(sum))
                g[j * r + j] = sqrt(sum);
            else
                return false;
        }
    }
    return true;
}

/* One Cholesky QR of a [m, r], in place; upper [r, r] is workspace. */
static bool cholesky_qr(double *a, double *upper, size_t m, size_t r)
{
    for (size_t i = 0; i < r; i++)
        for (size_t j = i; j < r; j++) {
            upper[i * r + j] = 0;
            for (size_t l = 0; l < m; l++)
                upper[i * r + j] += a[l * r + i] * a[l * r + j];
        }
    if (!cholesky(upper, r))
        return false;
    solve_right(a, upper, m, r);
    return true;
}

static void orth_by_cholesky(dn_stream *s, dn_buf *p, size_t m, size_t r, int times, bool *host_ok)
{
    *host_ok = true;
    if (m == 0 || r == 0)
        return;
    double *a = dn_scratch(s, (m * r + r * r) * sizeof *a);
    *host_ok = a && load(a, dn_host(p), m * r);
    for (int i = 0; i < times && *host_ok; i++)
        *host_ok = cholesky_qr(a, a + m * r, m, r);
    if (*host_ok)
        store(dn_host(p), a, m * r);
}

void dn_ref_orth_cholesky(dn_stream *s, dn_buf *p, size_t m, size_t r, bool *host_ok)
{
    orth_by_cholesky(s, p, m, r, 1, host_ok);
}

void dn_ref_orth_cholesky2(dn_stream *s, dn_buf *p, size_t m, size_t r, bool *host_ok)
{
    orth_by_cholesky(s, p, m, r, 2, host_ok);
}

/* sp [k, r] = S a, S [k, m] with entries N(0, 1/k), drawn row by row into `row` [m]. */
static void sketch(double *sp, dn_real *row, const double *a, size_t k, size_t m, size_t r, uint64_t seed,
                   uint64_t stream)
{
    memset(sp, 0, k * r * sizeof *sp);
    for (size_t i = 0; i < k; i++) {
        dn_random_normal(seed, stream, i * m, m, 1 / sqrt((double)k), row);
        for (size_t l = 0; l < m; l++)
            for (size_t j = 0; j < r; j++)
                sp[i * r + j] += (double)row[l] * a[l * r + j];
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
        if (!(upper[j * r + j] > DEPENDENT * sqrt(square)))
            return false;
    }
    return true;
}

void dn_ref_orth_sketched(dn_stream *s, dn_buf *p, size_t m, size_t r, uint64_t seed, uint64_t stream,
                          bool *host_ok)
{
    *host_ok = true;
    if (m == 0 || r == 0)
        return;
    size_t k = dn_sketch_rows(r);
    double *a = dn_scratch(s, (m * r + k * r + r * r + r) * sizeof *a + m * sizeof(dn_real));
    *host_ok = a && load(a, dn_host(p), m * r);
    if (!*host_ok)
        return;
    double *sp = a + m * r, *upper = sp + k * r, *diagonal = upper + r * r;
    sketch(sp, (dn_real *)(diagonal + r), a, k, m, r, seed, stream);
    householder(sp, diagonal, k, r);
    *host_ok = take_upper(upper, sp, diagonal, r);
    if (!*host_ok)
        return;
    solve_right(a, upper, m, r);
    *host_ok = cholesky_qr(a, upper, m, r);
    if (*host_ok)
        store(dn_host(p), a, m * r);
}
