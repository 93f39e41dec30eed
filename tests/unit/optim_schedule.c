/* Schedules by their values at the corners, by their slope, and by what they must never do. */
#include "optim/schedule.h"
#include "support/tests.h"

#include <math.h>

static double at(dn_schedule_shape shape, double warmup, double warmdown, uint64_t step, uint64_t n)
{
    const dn_schedule_rule rule = {.shape = shape, .warmup_ratio = warmup, .warmdown_ratio = warmdown};
    return dn_schedule_factor(&rule, step, n);
}

static int near(double x, double y)
{
    return fabs(x - y) < 1e-15;
}

static void constant_is_1(void **state)
{
    for (uint64_t step = 0; step < 10; step++)
        assert_true(at(DN_SCHEDULE_CONSTANT, 0.5, 0.5, step, 10) == 1);
}

static void linear_rises_then_falls_to_the_end(void **state)
{
    static const double right[] = {0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125};
    for (uint64_t step = 0; step < 10; step++)
        assert_true(near(at(DN_SCHEDULE_LINEAR, 0.2, 0.7, step, 10), right[step]));
    assert_true(at(DN_SCHEDULE_LINEAR, 0, 0, 0, 4) == 1 && at(DN_SCHEDULE_LINEAR, 0, 0, 3, 4) == 0.25);
}

/* Halfway down 1/2; a quarter of the way (1 + cos(pi/4))/2. */
static void cosine_rises_then_falls_as_half_a_cosine(void **state)
{
    assert_true(near(at(DN_SCHEDULE_COSINE, 0.2, 0, 0, 10), 0.5));
    assert_true(near(at(DN_SCHEDULE_COSINE, 0.2, 0, 2, 10), 1));
    assert_true(near(at(DN_SCHEDULE_COSINE, 0.2, 0, 4, 10), 0.5 + sqrt(0.125)));
    assert_true(near(at(DN_SCHEDULE_COSINE, 0.2, 0, 6, 10), 0.5));
    assert_true(near(at(DN_SCHEDULE_COSINE, 0.2, 0, 8, 10), 0.5 - sqrt(0.125)));
}

static void trapezoid_rises_stays_and_falls(void **state)
{
    static const double right[] = {0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25};
    for (uint64_t step = 0; step < 10; step++) {
        assert_true(at(DN_SCHEDULE_TRAPEZOID, 0.2, 0.4, step, 10) == right[step]);
        assert_true(at(DN_SCHEDULE_TRAPEZOID, 0, 0, step, 10) == 1);
    }
    assert_true(at(DN_SCHEDULE_TRAPEZOID, 1, 1, 0, 1) == 1);
    assert_true(at(DN_SCHEDULE_TRAPEZOID, 1, 1, 4, 10) == 0.5); /* overlapping: the smaller */
}

/* As Python rounds, by which microsoft/dion's script counts. */
static void halves_of_a_step_are_rounded_to_even(void **state)
{
    (void)state;
    assert_true(at(DN_SCHEDULE_TRAPEZOID, 0.25, 0, 0, 10) == 0.5);  /* of 2.5 steps 2 */
    assert_true(at(DN_SCHEDULE_TRAPEZOID, 0.35, 0, 0, 10) == 0.25); /* of 3.5 steps 4 */
    assert_true(at(DN_SCHEDULE_TRAPEZOID, 0, 0.25, 8, 10) == 1);
    assert_true(at(DN_SCHEDULE_TRAPEZOID, 0, 0.35, 7, 10) == 0.75);
}

/* A factor of 0 would end training silently; the first step of a rise and the last of a fall are not. */
static void no_factor_is_ever_0_or_above_1(void **state)
{
    static const double ratios[] = {0, 0.01, 0.3, 0.5, 1};
    for (dn_schedule_shape shape = DN_SCHEDULE_CONSTANT; shape <= DN_SCHEDULE_TRAPEZOID; shape++)
        for (size_t i = 0; i < 25; i++)
            for (uint64_t n = 1; n < 40; n += 6)
                for (uint64_t step = 0; step < n; step++) {
                    double factor = at(shape, ratios[i / 5], ratios[i % 5], step, n);
                    assert_true(factor > 0 && factor <= 1);
                }
}

TESTS(optim_schedule)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_is_1),
        cmocka_unit_test(linear_rises_then_falls_to_the_end),
        cmocka_unit_test(cosine_rises_then_falls_as_half_a_cosine),
        cmocka_unit_test(trapezoid_rises_stays_and_falls),
        cmocka_unit_test(halves_of_a_step_are_rounded_to_even),
        cmocka_unit_test(no_factor_is_ever_0_or_above_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
