/* Selection of the largest against plain sorting. */
#include "base/random.h"
#include "linalg/select.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>

enum { MOST = 257 };

/* How many of score [n] come before i: the larger ones, and of equal ones the earlier. */
static size_t place(const double *score, size_t n, size_t i)
{
    size_t before = 0;
    for (size_t j = 0; j < n; j++)
        before += score[j] > score[i] || (score[j] == score[i] && j < i);
    return before;
}

static void check(const double *score, size_t n, size_t k)
{
    double work[MOST];
    int32_t ids[MOST + 1];
    ids[k] = -7;
    dn_select_largest(score, n, k, work, ids);
    size_t next = 0;
    for (size_t i = 0; i < n; i++)
        if (place(score, n, i) < k)
            assert_int_equal(ids[next++], i);
    assert_int_equal(next, k);
    assert_int_equal(ids[k], -7);
}

static void takes_the_largest_in_rising_order(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 10, 64, MOST};
    double score[MOST];
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (uint64_t draw = 0; draw < 20; draw++) {
            /* Draws 10 and up have a few values only: ties. */
            for (size_t j = 0; j < sizes[i]; j++) {
                score[j] = dn_random_uniform(3, draw, j);
                score[j] = draw < 10 ? score[j] : floor(4 * score[j]);
            }
            for (size_t k = 0; k <= sizes[i]; k += 1 + sizes[i] / 9)
                check(score, sizes[i], k);
            check(score, sizes[i], sizes[i]);
        }
}

static void sorted_and_equal_scores_are_no_exception(void **state)
{
    double rising[MOST], falling[MOST], equal[MOST];
    for (size_t i = 0; i < MOST; i++) {
        rising[i] = (double)i;
        falling[i] = -(double)i;
        equal[i] = 1;
    }
    check(rising, MOST, 31);
    check(falling, MOST, 31);
    check(equal, MOST, 31);
}

static void nan_comes_last(void **state)
{
    const double score[] = {(double)NAN, 1, 3, (double)NAN, 2};
    double work[5];
    int32_t ids[5];
    dn_select_largest(score, 5, 3, work, ids);
    assert_true(ids[0] == 1 && ids[1] == 2 && ids[2] == 4);
    dn_select_largest(score, 5, 4, work, ids);
    assert_true(ids[0] == 0 && ids[1] == 1 && ids[2] == 2 && ids[3] == 4);
}

TESTS(linalg_select)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_largest_in_rising_order),
        cmocka_unit_test(sorted_and_equal_scores_are_no_exception),
        cmocka_unit_test(nan_comes_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
