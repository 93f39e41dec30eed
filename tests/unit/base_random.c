/* Philox draws: known answers, slices equal the whole, and the moments of a normal sample. */
#include "base/random.h"
#include "support/close.h"
#include "support/tests.h"

#include <math.h>

/* The counter-based generator's published known-answer vector for an all-zero key and counter. */
static void zero_key_and_counter_give_the_published_words(void **state)
{
    (void)state;
    assert_int_equal(dn_random_bits(0, 0, 0), UINT64_C(0xe169c58d) << 32 | 0x6627e8d5);
}

static void any_slice_equals_that_slice_of_the_whole(void **state)
{
    (void)state;
    dn_real whole[101], part[101];
    dn_random_normal(7, 3, 0, 101, 2.0, whole);
    for (size_t first = 0; first < 9; first++)
        for (size_t n = 0; n < 7; n++) {
            dn_random_normal(7, 3, first, n, 2.0, part);
            for (size_t i = 0; i < n; i++)
                assert_true(part[i] == whole[first + i]);
        }
}

/* For n draws the mean has deviation 1/sqrt(n), the variance sqrt(2/n): five of them, so a sound generator
 * fails once in millions (and the seed is fixed anyway). */
static void normals_have_mean_0_and_variance_1(void **state)
{
    (void)state;
    enum { n = 1 << 16 };
    static dn_real x[n];
    dn_random_normal(1, 2, 0, n, 1.0, x);
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    assert_close(sum / n, 0, 5.0 / sqrt(n));
    assert_close(squares / n, 1.0, 5.0 * sqrt(2.0 / n));
}

TESTS(base_random)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_key_and_counter_give_the_published_words),
        cmocka_unit_test(any_slice_equals_that_slice_of_the_whole),
        cmocka_unit_test(normals_have_mean_0_and_variance_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
