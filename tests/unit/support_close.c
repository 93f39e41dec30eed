/* What tests measure distances with: one NaN, wherever it stands, is never lost among numbers. */
#include "support/close.h"
#include "support/dense.h"
#include "support/tests.h"

#include <stdlib.h>

enum { M = 7, N = 3 };

static void a_nan_anywhere_is_farther_than_any_bound(void **state)
{
    (void)state;
    double *x = dense_random(M, N, 1), *y = dense_random(M, N, 2);
    for (size_t i = 0; i < M * N; i++) {
        double kept = x[i];
        x[i] = (double)NAN;
        assert_true(isnan(dense_distance(x, y, M * N)) && isnan(dense_distance(y, x, M * N)));
        assert_true(isnan(dense_orthogonality(x, M, N)));
        assert_true(isnan(dense_norm(x, M * N)));
        x[i] = kept;
    }
    free(x), free(y);
}

static void distances_are_those_of_the_farthest_element(void **state)
{
    (void)state;
    double x[] = {1, -2, 3}, y[] = {1.5, 0, 2.75}, columns[] = {1, 0, 0, 0.5};
    assert_close(dense_distance(x, y, 3), 2, 1e-15);
    assert_close(dense_orthogonality(columns, 2, 2), 0.75, 1e-15);
    assert_close(larger(2, larger(3, 1)), 3, 1e-15);
}

TESTS(support_close)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nan_anywhere_is_farther_than_any_bound),
        cmocka_unit_test(distances_are_those_of_the_farthest_element),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
