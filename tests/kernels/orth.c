/* Orthonormal bases: every method of every column against the definition, and against each other. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum method { HOUSEHOLDER, CHOLESKY, CHOLESKY2, SKETCHED, N_METHODS } method;

typedef struct basis {
    method method;
    size_t m, r;
} basis;

/* host[0] = whether it succeeded */
static void run_orth(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const basis *x = context;
    bool ok = false;
    if (x->method == HOUSEHOLDER)
        s->kernels->orth_householder(s, b[0], x->m, x->r, &ok);
    else if (x->method == CHOLESKY)
        s->kernels->orth_cholesky(s, b[0], x->m, x->r, &ok);
    else if (x->method == CHOLESKY2)
        s->kernels->orth_cholesky2(s, b[0], x->m, x->r, &ok);
    else
        s->kernels->orth_sketched(s, b[0], x->m, x->r, 5, 6, &ok);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    host[0] = ok;
}

/* Normal draws, plus a common part that makes columns nearly parallel: condition about `parallel` * sqrt(m).
 */
static trial make_trial(size_t m, size_t r, double parallel)
{
    trial t = {.arrays = {random_array(m * r, 1, 1)}, .n_arrays = 1};
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < r; j++)
            t.arrays[0].start[i * r + j] += (dn_real)(parallel * cos((double)i));
    return t;
}

static double deviation_from_orthonormal(const dn_real *p, size_t m, size_t r)
{
    double worst = 0;
    for (size_t i = 0; i < r; i++)
        for (size_t j = i; j < r; j++) {
            double sum = -(i == j);
            for (size_t l = 0; l < m; l++)
                sum += (double)p[l * r + i] * (double)p[l * r + j];
            worst = fmax(worst, fabs(sum));
        }
    return worst;
}

/* Largest element of x - p (p'x): what of x is outside p's span; and of p'x below its diagonal, and minus its
 * diagonal: all must be nothing. */
static double deviation_from_factor(const dn_real *p, const dn_real *x, size_t m, size_t r)
{
    double worst = 0, *rest = malloc(m * sizeof *rest);
    for (size_t j = 0; j < r; j++) {
        for (size_t l = 0; l < m; l++)
            rest[l] = (double)x[l * r + j];
        for (size_t i = 0; i < r; i++) {
            double sum = 0;
            for (size_t l = 0; l < m; l++)
                sum += (double)p[l * r + i] * (double)x[l * r + j];
            for (size_t l = 0; l < m; l++)
                rest[l] -= sum * (double)p[l * r + i];
            if (i > j)
                worst = fmax(worst, fabs(sum));
            if (i == j)
                worst = fmax(worst, -sum);
        }
        for (size_t l = 0; l < m; l++)
            worst = fmax(worst, fabs(rest[l]));
    }
    free(rest);
    return worst;
}

static double distance(const dn_real *x, const dn_real *y, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
    return worst;
}

/* Runs one method of one column; returns whether it succeeded. */
static bool orthonormalize(const char *column, const trial *t, basis b, dn_real **p)
{
    double host[MAX_HOST];
    run_column(column, t, run_orth, &b, p, host);
    return host[0] != 0;
}

typedef struct limits {
    double orthonormal, factor, same;
} limits;

static void check_basis(const char *column, const trial *t, basis b, const dn_real *reference, limits most)
{
    dn_real *p;
    assert_true(orthonormalize(column, t, b, &p));
    double orthonormal = deviation_from_orthonormal(p, b.m, b.r);
    double factor = deviation_from_factor(p, t->arrays[0].start, b.m, b.r);
    double same = distance(p, reference, b.m * b.r);
    if (!(orthonormal <= most.orthonormal && factor <= most.factor && same <= most.same))
        fail_msg("%s, method %d, %zu x %zu: |P'P-I| %g of %g, outside %g of %g, other basis %g of %g", column,
                 (int)b.method, b.m, b.r, orthonormal, most.orthonormal, factor, most.factor, same,
                 most.same);
    free(p);
}

/* Random matrices have a condition of a few tens here (131 x 65) or below. A single Cholesky QR in dn_real
 * squares it. */
static void every_method_gives_the_same_orthonormal_basis(void **state)
{
    static const size_t shapes[][2] = {{1, 1}, {7, 1}, {50, 11}, {150, 64}, {260, 130}, {131, 65}, {2100, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t m = shapes[i][0], r = shapes[i][1];
        double eps = DN_REAL_EPS * sqrt((double)m);
        trial t = make_trial(m, r, 0);
        dn_real *reference;
        assert_true(orthonormalize("ref", &t, (basis){HOUSEHOLDER, m, r}, &reference));
        for (const dn_kernels *const *column = dn_kernels_available(); *column; column++)
            for (method which = HOUSEHOLDER; which < N_METHODS; which++) {
                limits most = {8 * eps, 64 * eps, 32 * eps};
                if (which == CHOLESKY)
                    most = (limits){100 * eps, 100 * eps, 100 * eps};
                check_basis((*column)->name, &t, (basis){which, m, r}, reference, most);
            }
        free(reference);
        free_trial(&t);
    }
}

/* Householder in float is wrong by eps times the condition in the basis, not in orthonormality; Cholesky
 * twice in double only by the rounding of its result. */
static void ill_conditioned_matrices_are_orthonormalized(void **state)
{
    static const double parallel[] = {1e2, 1e4, 1e6};
    const size_t m = 200, r = 70;
    for (size_t i = 0; i < sizeof parallel / sizeof *parallel; i++) {
        double eps = DN_REAL_EPS * sqrt((double)m), condition = parallel[i] * sqrt((double)m);
        double in_double = 2.3e-16 * condition * condition + eps;
        trial t = make_trial(m, r, parallel[i]);
        dn_real *reference;
        assert_true(orthonormalize("ref", &t, (basis){HOUSEHOLDER, m, r}, &reference));
        for (const dn_kernels *const *column = dn_kernels_available(); *column; column++) {
            check_basis((*column)->name, &t, (basis){CHOLESKY2, m, r}, reference,
                        (limits){8 * eps, 8 * eps * condition, 8 * in_double});
            check_basis((*column)->name, &t, (basis){HOUSEHOLDER, m, r}, reference,
                        (limits){8 * eps, 8 * eps * condition, 8 * eps * condition});
        }
        free(reference);
        free_trial(&t);
    }
}

static void check_refused(const char *column, const trial *t, basis b)
{
    dn_real *p;
    if (orthonormalize(column, t, b, &p))
        fail_msg("%s, method %d took a matrix that it must refuse", column, b.method);
    assert_memory_equal(p, t->arrays[0].start, t->arrays[0].n * sizeof *p);
    free(p);
}

static void a_dependent_or_zero_column_is_refused_and_p_unchanged(void **state)
{
    const size_t m = 150, r = 70;
    for (const dn_kernels *const *column = dn_kernels_available(); *column; column++)
        for (int zero = 0; zero < 2; zero++) {
            trial t = make_trial(m, r, 0);
            for (size_t i = 0; i < m; i++)
                t.arrays[0].start[i * r + 66] =
                    zero ? 0 : t.arrays[0].start[i * r + 2] - t.arrays[0].start[i * r + 30] / 2;
            for (method which = CHOLESKY; which < N_METHODS; which++)
                check_refused((*column)->name, &t, (basis){which, m, r});
            dn_real *p;
            assert_true(orthonormalize((*column)->name, &t, (basis){HOUSEHOLDER, m, r}, &p));
            assert_true(deviation_from_orthonormal(p, m, r) <= 8 * DN_REAL_EPS * sqrt((double)m));
            free(p);
            free_trial(&t);
        }
}

static void nan_and_infinity_are_refused_and_p_unchanged(void **state)
{
    const size_t m = 90, r = 70;
    const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (const dn_kernels *const *column = dn_kernels_available(); *column; column++)
        for (size_t i = 0; i < 3; i++)
            for (method which = HOUSEHOLDER; which < N_METHODS; which++) {
                trial t = make_trial(m, r, 0);
                t.arrays[0].start[m * r - 2] = (dn_real)bad[i];
                check_refused((*column)->name, &t, (basis){which, m, r});
                free_trial(&t);
            }
}

/* All zero: Householder still gives an orthonormal basis, the others refuse. */
static void the_zero_matrix_has_a_householder_basis_only(void **state)
{
    const size_t m = 40, r = 5;
    for (const dn_kernels *const *column = dn_kernels_available(); *column; column++) {
        trial t = {.arrays = {constant_array(m * r, 0)}, .n_arrays = 1};
        dn_real *p;
        assert_true(orthonormalize((*column)->name, &t, (basis){HOUSEHOLDER, m, r}, &p));
        assert_true(deviation_from_orthonormal(p, m, r) <= 8 * DN_REAL_EPS);
        free(p);
        for (method which = CHOLESKY; which < N_METHODS; which++)
            check_refused((*column)->name, &t, (basis){which, m, r});
        free_trial(&t);
    }
}

static void cholesky2_does_not_depend_on_the_number_of_threads(void **state)
{
    static const size_t shapes[][2] = {{260, 130}, {2100, 17}, {0, 0}, {9, 0}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        basis b = {CHOLESKY2, shapes[i][0], shapes[i][1]};
        trial t = make_trial(b.m, b.r, 1);
        t.same_bits = true;
        t.n_host = 1;
        compare_columns(&t, run_orth, &b);
    }
}

int main(int argc, char **argv)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_method_gives_the_same_orthonormal_basis),
        cmocka_unit_test(ill_conditioned_matrices_are_orthonormalized),
        cmocka_unit_test(a_dependent_or_zero_column_is_refused_and_p_unchanged),
        cmocka_unit_test(nan_and_infinity_are_refused_and_p_unchanged),
        cmocka_unit_test(the_zero_matrix_has_a_householder_basis_only),
        cmocka_unit_test(cholesky2_does_not_depend_on_the_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
