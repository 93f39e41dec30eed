#include "linalg/lanczos.h"

#include "base/fail.h"
#include "base/size.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

static double dot(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* y += a x */
static void add(double *y, double a, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void scale(double *y, double a, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i];
}

/* (x, y) = (c x - s y, s x + c y) */
static void turn(double *x, double *y, double c, double s)
{
    double old = *x;
    *x = c * old - s * *y;
    *y = s * old + c * *y;
}

/* Jacobi's rotations of t [n,n], symmetric, until what stands beside its diagonal is rounding. first [n], the first components of its
 * eigenvectors, turns along. */
static void diagonalize(double *t, size_t n, double *first)
{
    double all = dot(t, t, n * n), beside = all;
    for (size_t i = 0; i < n; i++)
        first[i] = i == 0;
    while (beside > DBL_EPSILON * DBL_EPSILON * all) {
        beside = 0;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) {
                double a = t[p * n + q];
                beside += a * a;
                if (a == 0)
                    continue;
                double cotangent = (t[q * n + q] - t[p * n + p]) / (2 * a); /* of twice the angle, which is 45 degrees at most */
                double tangent = copysign(1, cotangent) / (fabs(cotangent) + hypot(1, cotangent));
                double c = 1 / hypot(1, tangent), s = tangent * c;
                for (size_t k = 0; k < n; k++)
                    turn(&t[k * n + p], &t[k * n + q], c, s);
                for (size_t k = 0; k < n; k++)
                    turn(&t[p * n + k], &t[q * n + k], c, s);
                turn(&first[p], &first[q], c, s);
            }
    }
}

/* t [m,m], zeros: A in the basis [m,n] of the vectors start, A start ...; returns how many they are. */
static dn_status reduce(size_t n, size_t m, dn_product_fn *product, void *context, double *basis, double *next, double *t, size_t *found)
{
    double largest = 0;
    for (*found = 0; *found < m;) {
        size_t j = (*found)++;
        const double *last = basis + j * n;
        DN_TRY(product(context, last, next));
        t[j * m + j] = dot(last, next, n);
        for (int again = 0; again < 2; again++)
            for (size_t i = 0; i <= j; i++)
                add(next, -dot(basis + i * n, next, n), basis + i * n, n);
        double rest = sqrt(dot(next, next, n));
        largest = fmax(largest, fabs(t[j * m + j]) + rest);
        if (j + 1 == m || !(rest > (double)n * DBL_EPSILON * largest))
            return DN_OK;
        t[j * m + j + 1] = t[(j + 1) * m + j] = rest;
        scale(basis + (j + 1) * n, 1 / rest, next, n);
    }
    return DN_OK;
}

dn_status dn_lanczos(size_t n, size_t m, dn_product_fn *product, void *context, const double *start, double *nodes, double *weights,
                     size_t *n_nodes)
{
    double *t = calloc(dn_size_add(dn_size_mul(m, m), dn_size_mul(m + 1, n)), sizeof *t), *basis = t + m * m, *next = basis + m * n;
    if (!t)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu vectors of %zu numbers", m + 1, n);
    scale(basis, 1 / sqrt(dot(start, start, n)), start, n);
    dn_status status = reduce(n, m, product, context, basis, next, t, n_nodes);
    if (status == DN_OK) {
        size_t k = *n_nodes;
        for (size_t i = 0; i < k; i++) /* closer together, where they are fewer */
            for (size_t j = 0; j < k; j++)
                t[i * k + j] = t[i * m + j];
        diagonalize(t, k, weights);
        for (size_t i = 0; i < k; i++) {
            nodes[i] = t[i * k + i];
            weights[i] *= weights[i];
        }
    }
    free(t);
    return status;
}
