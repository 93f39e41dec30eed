#include "support/dense.h"

#include "base/random.h"
#include "support/close.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

double *dense_zeros(size_t rows, size_t cols)
{
    return calloc(rows * cols + 1, sizeof(double));
}

/* Sum of twelve uniforms would do as well; Box-Muller in double, so that both precisions see the same
 * numbers. */
static void draw(double *a, size_t n, uint64_t stream)
{
    for (size_t i = 0; i < n; i++)
        a[i] = sqrt(-2 * log(dn_random_uniform(99, stream, 2 * i))) *
               cos(2 * M_PI * dn_random_uniform(99, stream, 2 * i + 1));
}

/* Ranks that are threads draw the same matrices over and over, half of the time of tests of meshes. So small ones are kept,
 * each in the place that its name falls on, until another falls there. */
double *dense_random(size_t rows, size_t cols, uint64_t stream)
{
    enum { PLACES = 4096, SMALL = 4096 };
    static struct drawn {
        size_t n;
        uint64_t stream;
        double *numbers;
    } places[PLACES];
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    size_t n = rows * cols;
    double *a = dense_zeros(rows, cols);
    if (n == 0 || n > SMALL) {
        draw(a, n, stream);
        return a;
    }
    pthread_mutex_lock(&mutex);
    struct drawn *place = &places[((stream * 31 + n) * UINT64_C(0x9E3779B97F4A7C15) >> 32) % PLACES];
    if (place->n != n || place->stream != stream) {
        place->numbers = realloc(place->numbers, n * sizeof *a);
        place->n = n, place->stream = stream;
        draw(place->numbers, n, stream);
    }
    memcpy(a, place->numbers, n * sizeof *a);
    pthread_mutex_unlock(&mutex);
    return a;
}

double *dense_copy(const double *a, size_t n)
{
    double *b = dense_zeros(n, 1);
    memcpy(b, a, n * sizeof *b);
    return b;
}

double *dense_from_real(const dn_real *x, size_t n)
{
    double *a = dense_zeros(n, 1);
    for (size_t i = 0; i < n; i++)
        a[i] = (double)x[i];
    return a;
}

void dense_to_real(dn_real *x, const double *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (dn_real)a[i];
}

void dense_multiply(double *c, const double *a, int ta, const double *b, int tb, size_t m, size_t n, size_t k)
{
    memset(c, 0, m * n * sizeof *c);
    for (size_t i = 0; i < m; i++)
        for (size_t l = 0; l < k; l++) {
            double factor = ta ? a[l * m + i] : a[i * k + l];
            for (size_t j = 0; j < n; j++)
                c[i * n + j] += factor * (tb ? b[j * k + l] : b[l * n + j]);
        }
}

static double column_dot(const double *a, size_t m, size_t n, size_t i, size_t j)
{
    double sum = 0;
    for (size_t row = 0; row < m; row++)
        sum += a[row * n + i] * a[row * n + j];
    return sum;
}

void dense_orthonormalize(double *a, size_t m, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < 2 * j; i++) {
            double dot = column_dot(a, m, n, i % j, j);
            for (size_t row = 0; row < m; row++)
                a[row * n + j] -= dot * a[row * n + i % j];
        }
        double norm = sqrt(column_dot(a, m, n, j, j));
        for (size_t row = 0; row < m; row++)
            a[row * n + j] /= norm;
    }
}

/* Turns columns i and j of a [m,n] by the rotation (c, s). */
static void rotate(double *a, size_t m, size_t n, size_t i, size_t j, double c, double s)
{
    for (size_t row = 0; row < m; row++) {
        double x = a[row * n + i], y = a[row * n + j];
        a[row * n + i] = c * x - s * y;
        a[row * n + j] = s * x + c * y;
    }
}

static void swap_columns(double *a, size_t m, size_t n, size_t i, size_t j)
{
    rotate(a, m, n, i, j, 0, 1); /* (x, y) -> (-y, x): the sign goes to U and V alike */
}

void dense_svd(double *a, double *s, double *v, size_t m, size_t n)
{
    memset(v, 0, n * n * sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i * n + i] = 1;
    for (int sweep = 0; sweep < 40; sweep++)
        for (size_t i = 0; i + 1 < n; i++)
            for (size_t j = i + 1; j < n; j++) {
                double aij = column_dot(a, m, n, i, j);
                if (aij == 0)
                    continue;
                double zeta = (column_dot(a, m, n, j, j) - column_dot(a, m, n, i, i)) / (2 * aij);
                double t = copysign(1, zeta) / (fabs(zeta) + sqrt(1 + zeta * zeta));
                double c = 1 / sqrt(1 + t * t);
                rotate(a, m, n, i, j, c, c * t);
                rotate(v, n, n, i, j, c, c * t);
            }
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (column_dot(a, m, n, j, j) > column_dot(a, m, n, i, i)) {
                swap_columns(a, m, n, i, j);
                swap_columns(v, n, n, i, j);
            }
    for (size_t i = 0; i < n; i++)
        s[i] = sqrt(column_dot(a, m, n, i, i));
}

double dense_norm(const double *a, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * a[i];
    return sqrt(sum);
}

double dense_distance(const double *a, const double *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = larger(worst, fabs(a[i] - b[i]));
    return worst;
}

double dense_orthogonality(const double *a, size_t m, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            worst = larger(worst, fabs(column_dot(a, m, n, i, j) - (i == j)));
    return worst;
}
