/* Orthonormalization: the four methods agree, and what they cannot do is done all the same and said. */
#include "linalg/orth.h"

#include "support/dense.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { M = 60, R = 20 };

static const dn_orth methods[] = {DN_ORTH_CQR2, DN_ORTH_QR, DN_ORTH_CQR, DN_ORTH_RCQR};

/* a [m, r] orthonormalized by the reference column; returns the basis. */
static double *orthonormalized(const double *a, size_t m, size_t r, dn_orth method, bool *fell_back)
{
    dn_stream *stream;
    assert_int_equal(dn_stream_create("ref", 1, &stream), DN_OK);
    dn_real *p = malloc(m * r * sizeof *p);
    dense_to_real(p, a, m * r);
    assert_int_equal(dn_orthonormalize(stream, method, (dn_buf *)(void *)p, m, r, 1, 2, fell_back), DN_OK);
    double *basis = dense_from_real(p, m * r);
    free(p);
    dn_stream_destroy(&stream);
    return basis;
}

/* Random columns have a condition number near 4; one Cholesky QR multiplies rounding by its square. */
static void all_methods_give_the_basis_of_gram_schmidt(void **state)
{
    (void)state;
    double *a = dense_random(M, R, 1), *expected = dense_copy(a, M * R);
    dense_orthonormalize(expected, M, R);
    for (size_t k = 0; k < 4; k++) {
        bool fell_back;
        double *basis = orthonormalized(a, M, R, methods[k], &fell_back);
        assert_false(fell_back);
        assert_true(dense_distance(basis, expected, M * R) < 300 * DN_REAL_EPS);
        assert_true(dense_orthogonality(basis, M, R) < 300 * DN_REAL_EPS);
        free(basis);
    }
    free(a), free(expected);
}

/* Columns scaled from 1 to 1e-5 and tilted towards each other: condition number 1e5. Only the single Cholesky
 * QR is allowed to give up, to rcqr, not to Householder. */
static void ill_conditioned_columns_are_orthonormal_by_every_method(void **state)
{
    (void)state;
    double *a = dense_random(M, R, 1);
    for (size_t j = 1; j < R; j++)
        for (size_t i = 0; i < M; i++)
            a[i * R + j] = a[i * R] + pow(10, -5.0 * (double)j / (R - 1)) * a[i * R + j];
    const dn_orth accurate[] = {DN_ORTH_CQR2, DN_ORTH_QR, DN_ORTH_RCQR};
    for (size_t k = 0; k < 3; k++) {
        bool fell_back;
        double *basis = orthonormalized(a, M, R, accurate[k], &fell_back);
        assert_true(dense_orthogonality(basis, M, R) < 300 * DN_REAL_EPS);
        free(basis);
    }
    free(a);
}

static void square_matrices_are_not_sketched(void **state)
{
    (void)state;
    double *a = dense_random(R, R, 1);
    for (size_t k = 0; k < 4; k++) {
        bool fell_back;
        double *basis = orthonormalized(a, R, R, methods[k], &fell_back);
        if (methods[k] != DN_ORTH_CQR) /* a square matrix may be too ill-conditioned for it, in float */
            assert_false(fell_back);
        assert_true(dense_orthogonality(basis, R, R) < (methods[k] == DN_ORTH_CQR ? 1e6 : 300) * DN_REAL_EPS);
        free(basis);
    }
    free(a);
}

/* Five independent columns of twenty, but for the rounding of the product, which in float a method that
 * computes in double may take for full rank; then a matrix with two nonzero rows only: exactly deficient. */
static void rank_deficient_matrices_get_an_orthonormal_basis_and_say_so(void **state)
{
    (void)state;
    double *left = dense_random(M, 5, 1), *right = dense_random(5, R, 2), *a = dense_zeros(M, R);
    dense_multiply(a, left, 0, right, 0, M, R, 5);
    for (int few_rows = 0; few_rows < 2; few_rows++) {
        if (few_rows)
            memset(a + 2 * R, 0, (M - 2) * R * sizeof *a);
        for (size_t k = 0; k < 4; k++) {
            bool fell_back;
            double *basis = orthonormalized(a, M, R, methods[k], &fell_back);
            if (few_rows)
                assert_true(fell_back == (methods[k] != DN_ORTH_QR));
            assert_true(dense_orthogonality(basis, M, R) < 300 * DN_REAL_EPS);
            free(basis);
        }
    }
    free(left), free(right), free(a);
}

static void a_matrix_with_nan_is_an_error_and_stays_as_it_was(void **state)
{
    (void)state;
    dn_stream *stream;
    assert_int_equal(dn_stream_create("ref", 1, &stream), DN_OK);
    dn_real p[6] = {1, 2, (dn_real)NAN, 4, 5, 6};
    bool fell_back;
    for (size_t k = 0; k < 4; k++)
        assert_int_equal(dn_orthonormalize(stream, methods[k], (dn_buf *)(void *)p, 3, 2, 1, 2, &fell_back),
                         DN_ERR_NUMERIC);
    assert_true(p[0] == 1 && p[5] == 6);
    dn_stream_destroy(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_methods_give_the_basis_of_gram_schmidt),
        cmocka_unit_test(ill_conditioned_columns_are_orthonormal_by_every_method),
        cmocka_unit_test(square_matrices_are_not_sketched),
        cmocka_unit_test(rank_deficient_matrices_get_an_orthonormal_basis_and_say_so),
        cmocka_unit_test(a_matrix_with_nan_is_an_error_and_stays_as_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
