/* Orthonormalization: the four methods agree, and what they cannot do is done all the same and said. */
#include "linalg/orth.h"
#include "comm/world.h"
#include "support/close.h"

#include "support/dense.h"
#include "support/device.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { M = 60, R = 20 };

static const dn_orth methods[] = {DN_ORTH_CQR2, DN_ORTH_QR, DN_ORTH_CQR, DN_ORTH_RCQR};

/* p [m, r] orthonormalized by the reference column, by a team of one; returns what was found. */
static dn_orth_info orthonormalize(dn_real *p, size_t m, size_t r, dn_orth method)
{
    dn_stream *stream;
    dn_comm *alone;
    void *workspace;
    dn_orth_shard whole = {.rows = m};
    dn_orth_matrix matrix = {.m = m, .r = r, .p = handle_of(p), .parts = &whole, .draw = 2};
    size_t bytes = dn_orth_heap_bytes(method, 1, &matrix, 1);
    assert_int_equal(dn_stream_create("ref", 1, &stream), DN_OK);
    assert_int_equal(dn_comm_create_alone(bytes, &alone), DN_OK);
    assert_int_equal(dn_comm_alloc_device(alone, bytes, &workspace), DN_OK);
    assert_int_equal(dn_orthonormalize(stream, alone, method, 1, workspace, bytes, &matrix, 1), DN_OK);
    dn_comm_destroy(&alone);
    dn_stream_destroy(&stream);
    return matrix.info;
}

/* The basis of a [m, r]. */
static double *orthonormalized(const double *a, size_t m, size_t r, dn_orth method, dn_orth_info *info)
{
    dn_real *p = malloc(m * r * sizeof *p);
    dense_to_real(p, a, m * r);
    *info = orthonormalize(p, m, r, method);
    double *basis = dense_from_real(p, m * r);
    free(p);
    return basis;
}

static void all_methods_give_the_basis_of_gram_schmidt(void **state)
{
    (void)state;
    double *a = dense_random(M, R, 1), *expected = dense_copy(a, M * R);
    dense_orthonormalize(expected, M, R);
    for (size_t k = 0; k < 4; k++) {
        dn_orth_info info;
        double *basis = orthonormalized(a, M, R, methods[k], &info);
        assert_int_equal(info, DN_ORTH_OK);
        assert_below(dense_distance(basis, expected, M * R), 300 * DN_REAL_EPS);
        assert_below(dense_orthogonality(basis, M, R), 300 * DN_REAL_EPS);
        free(basis);
    }
    free(a), free(expected);
}

/* Columns scaled from 1 to 1e-5 and tilted towards each other: condition number 1e5. A single Cholesky QR
 * leaves 1e-16 of its square. */
static void ill_conditioned_columns_are_orthonormal_by_every_method(void **state)
{
    (void)state;
    double *a = dense_random(M, R, 1);
    for (size_t j = 1; j < R; j++)
        for (size_t i = 0; i < M; i++)
            a[i * R + j] = a[i * R] + pow(10, -5.0 * (double)j / (R - 1)) * a[i * R + j];
    for (size_t k = 0; k < 4; k++) {
        dn_orth_info info;
        double *basis = orthonormalized(a, M, R, methods[k], &info);
        assert_int_equal(info, DN_ORTH_OK);
        double bound = 300 * DN_REAL_EPS + (methods[k] == DN_ORTH_CQR ? 1e-4 : 0);
        assert_below(dense_orthogonality(basis, M, R), bound);
        free(basis);
    }
    free(a);
}

/* Condition some hundreds; there is no sketch to try. */
static void square_matrices_are_not_sketched(void **state)
{
    (void)state;
    double *a = dense_random(R, R, 1);
    for (size_t k = 0; k < 4; k++) {
        dn_orth_info info;
        double *basis = orthonormalized(a, R, R, methods[k], &info);
        assert_int_equal(info, DN_ORTH_OK);
        assert_below(dense_orthogonality(basis, R, R), (methods[k] == DN_ORTH_CQR ? 1e6 : 300) * DN_REAL_EPS);
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
            dn_orth_info info;
            double *basis = orthonormalized(a, M, R, methods[k], &info);
            if (few_rows)
                assert_int_equal(info, methods[k] == DN_ORTH_QR ? DN_ORTH_OK : DN_ORTH_FELL_BACK);
            assert_below(dense_orthogonality(basis, M, R), 300 * DN_REAL_EPS);
            free(basis);
        }
    }
    free(left), free(right), free(a);
}

static void a_matrix_with_nan_or_of_zeros_is_said_and_stays_as_it_was(void **state)
{
    (void)state;
    for (size_t k = 0; k < 4; k++) {
        dn_real broken[6] = {1, 2, (dn_real)NAN, 4, 5, 6}, zeros[6] = {0}, nothing[1] = {7};
        assert_int_equal(orthonormalize(broken, 3, 2, methods[k]), DN_ORTH_NOT_FINITE);
        assert_true(broken[0] == 1 && isnan(broken[2]) && broken[5] == 6);
        assert_int_equal(orthonormalize(zeros, 3, 2, methods[k]), DN_ORTH_ZERO);
        for (size_t i = 0; i < 6; i++)
            assert_true(zeros[i] == 0);
        assert_int_equal(orthonormalize(nothing, 3, 0, methods[k]), DN_ORTH_ZERO);
        assert_true(nothing[0] == 7);
    }
}

/* The second pass works on what the first one wrote, the last resort on what either left; neither may lose
 * the first columns, nor their order. Here columns 0 to 9 are well apart, and 10 to 19 differ from them by
 * 1e-6 (in float within its rounding: the matrix is what was rounded). */
static void the_first_columns_do_not_depend_on_what_follows(void **state)
{
    (void)state;
    double *a = dense_random(M, R, 1), *first = dense_zeros(M, R / 2);
    for (size_t i = 0; i < M; i++)
        for (size_t j = 0; j < R / 2; j++) {
            first[i * R / 2 + j] = a[i * R + j];
            a[i * R + R / 2 + j] = a[i * R + j] + 1e-6 * a[i * R + R / 2 + j];
        }
    dense_orthonormalize(first, M, R / 2);
    for (size_t k = 0; k < 4; k++) {
        dn_orth_info info;
        double *basis = orthonormalized(a, M, R, methods[k], &info);
        for (size_t i = 0; i < M; i++)
            assert_below(dense_distance(basis + i * R, first + i * R / 2, R / 2), 300 * DN_REAL_EPS);
        free(basis);
    }
    free(a), free(first);
}

static void a_workspace_too_small_is_an_error(void **state)
{
    (void)state;
    dn_stream *stream;
    dn_comm *alone;
    dn_real p[6] = {1, 2, 3, 4, 5, 7};
    dn_orth_shard whole = {.rows = 3};
    dn_orth_matrix matrix = {.m = 3, .r = 2, .p = handle_of(p), .parts = &whole};
    size_t bytes = dn_orth_heap_bytes(DN_ORTH_RCQR, 1, &matrix, 1);
    void *workspace;
    assert_int_equal(dn_stream_create("ref", 1, &stream), DN_OK);
    assert_int_equal(dn_comm_create_alone(bytes, &alone), DN_OK);
    assert_int_equal(dn_comm_alloc_device(alone, bytes, &workspace), DN_OK);
    assert_int_equal(dn_orthonormalize(stream, alone, DN_ORTH_RCQR, 1, workspace, bytes - 1, &matrix, 1),
                     DN_ERR_ARG);
    assert_true(p[5] == 7);
    dn_comm_destroy(&alone);
    dn_stream_destroy(&stream);
}

TESTS(linalg_orth)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_methods_give_the_basis_of_gram_schmidt),
        cmocka_unit_test(ill_conditioned_columns_are_orthonormal_by_every_method),
        cmocka_unit_test(square_matrices_are_not_sketched),
        cmocka_unit_test(rank_deficient_matrices_get_an_orthonormal_basis_and_say_so),
        cmocka_unit_test(a_matrix_with_nan_or_of_zeros_is_said_and_stays_as_it_was),
        cmocka_unit_test(the_first_columns_do_not_depend_on_what_follows),
        cmocka_unit_test(a_workspace_too_small_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
