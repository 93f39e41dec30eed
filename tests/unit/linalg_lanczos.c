/* Quadratures of spectra: moments, whole spectra, invariant subspaces. */
#include "linalg/lanczos.h"
#include "support/close.h"
#include "support/tests.h"

#include <math.h>
#include <string.h>

enum { N = 24, M = 6 };

typedef struct matrix {
    double a[N * N];
    dn_status status;
} matrix;

static dn_status product(void *context, const double *in, double *out)
{
    const matrix *x = context;
    for (size_t i = 0; i < N; i++) {
        out[i] = 0;
        for (size_t j = 0; j < N; j++)
            out[i] += x->a[i * N + j] * in[j];
    }
    return x->status;
}

static double drawn(size_t i)
{
    return sin(1.7 * (double)i + 0.3 * (double)(i * i % 17));
}

/* sum weights nodes^k and x^T A^k x / x^T x, which products alone tell. */
static void all_moments_that_m_nodes_can_have_are_the_matrix_s(void **state)
{
    (void)state;
    matrix x = {.status = DN_OK};
    double start[N], power[N], next[N], nodes[M], weights[M], norm = 0;
    size_t n;
    for (size_t i = 0; i < N; i++) {
        start[i] = power[i] = drawn(i);
        norm += start[i] * start[i];
        for (size_t j = 0; j < N; j++)
            x.a[i * N + j] = 0.3 * drawn(31 + (i < j ? i * N + j : j * N + i));
    }
    assert_int_equal(dn_lanczos(N, M, product, &x, start, nodes, weights, &n), DN_OK);
    assert_int_equal(n, M);
    for (int k = 0; k < 2 * M; k++) {
        double got = 0, want = 0, size = 0;
        for (size_t i = 0; i < M; i++) {
            got += weights[i] * pow(nodes[i], k);
            size += weights[i] * pow(fabs(nodes[i]), k);
        }
        for (size_t i = 0; i < N; i++)
            want += start[i] * power[i] / norm;
        assert_close(got, want, 1e-12 * size);
        assert_int_equal(product(&x, power, next), DN_OK);
        memcpy(power, next, sizeof power);
    }
}

/* Of a diagonal matrix, and a start in the span of four of its eigenvectors, of which two have the same eigenvalue. */
static void a_start_in_a_small_subspace_finds_its_eigenvalues_and_no_more(void **state)
{
    (void)state;
    matrix x = {.status = DN_OK};
    double start[N] = {0}, nodes[M], weights[M];
    size_t n;
    for (size_t i = 0; i < N; i++)
        x.a[i * N + i] = (double)i;
    x.a[9 * N + 9] = x.a[5 * N + 5] = -2;
    start[5] = start[9] = 1;
    start[7] = 2;
    start[20] = sqrt(2);
    assert_int_equal(dn_lanczos(N, M, product, &x, start, nodes, weights, &n), DN_OK);
    assert_int_equal(n, 3);
    const double found[3][2] = {{-2, 0.25}, {7, 0.5}, {20, 0.25}};
    for (size_t i = 0; i < 3; i++) {
        size_t best = 0;
        for (size_t j = 0; j < 3; j++)
            best = fabs(nodes[j] - found[i][0]) < fabs(nodes[best] - found[i][0]) ? j : best;
        assert_close(nodes[best], found[i][0], 1e-12);
        assert_close(weights[best], found[i][1], 1e-13);
    }
}

static void what_the_product_fails_with_is_the_result(void **state)
{
    (void)state;
    matrix x = {.status = DN_ERR_NUMERIC};
    double start[N] = {1}, nodes[M], weights[M];
    size_t n;
    assert_int_equal(dn_lanczos(N, M, product, &x, start, nodes, weights, &n), DN_ERR_NUMERIC);
}

TESTS(linalg_lanczos)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_moments_that_m_nodes_can_have_are_the_matrix_s),
        cmocka_unit_test(a_start_in_a_small_subspace_finds_its_eigenvalues_and_no_more),
        cmocka_unit_test(what_the_product_fails_with_is_the_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
