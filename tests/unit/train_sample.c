/* Sampling: each step against what its definition says, by sorting; and draws against their probabilities. */
#include "train/sample.h"

#include "base/random.h"
#include "support/close.h"
#include "support/tests.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 500, DRAWS = 10000 };

/* Some of them equal. */
static void fill(dn_candidates *c, uint64_t seed, size_t n)
{
    dn_real logits[N];
    dn_random_normal(seed, 0, 0, n, 3, logits);
    for (size_t i = 0; i < n; i += 7)
        logits[i] = logits[i / 2];
    assert_int_equal(dn_candidates_open(c, n), DN_OK);
    dn_candidates_fill(c, logits, n);
}

static int descending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* The candidates that a step must leave: those of `before` with a logit of at least `lowest`, in their order.
 */
static void check_kept(const dn_candidates *before, const dn_candidates *after, double lowest)
{
    size_t kept = 0;
    for (size_t i = 0; i < before->n; i++)
        if (before->logits[i] >= lowest) {
            assert_true(kept < after->n);
            assert_int_equal(after->ids[kept], before->ids[i]);
            assert_true(after->logits[kept++] == before->logits[i]);
        }
    assert_int_equal(after->n, kept);
}

static double *sorted(const dn_candidates *c)
{
    double *all = malloc(c->n * sizeof *all);
    memcpy(all, c->logits, c->n * sizeof *all);
    qsort(all, c->n, sizeof *all, descending);
    return all;
}

static void top_k_keeps_the_k_largest(void **state)
{
    const size_t sizes[] = {1, 2, 40, N - 1, N, N + 5};
    for (uint64_t seed = 0; seed < 5; seed++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            dn_candidates before, after;
            fill(&before, seed, N);
            fill(&after, seed, N);
            double *all = sorted(&before);
            dn_sample_top_k(&after, sizes[i]);
            check_kept(&before, &after, sizes[i] < N ? all[sizes[i] - 1] : -INFINITY);
            free(all);
            dn_candidates_close(&before);
            dn_candidates_close(&after);
        }
}

/* Downwards, until the sum of probabilities reaches p. */
static double lowest_of_p(const double *descending_logits, size_t n, double p)
{
    double sum = 0, reached = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp(descending_logits[i]);
    for (size_t i = 0; i < n; i++) {
        reached += exp(descending_logits[i]);
        if (reached >= p * sum)
            return descending_logits[i];
    }
    return -INFINITY;
}

static void top_p_keeps_the_fewest_that_reach_p(void **state)
{
    const double shares[] = {0, 0.01, 0.3, 0.5, 0.9, 0.999};
    for (uint64_t seed = 0; seed < 5; seed++)
        for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
            dn_candidates before, after;
            fill(&before, seed, N);
            fill(&after, seed, N);
            double *all = sorted(&before);
            dn_sample_top_p(&after, shares[i]);
            check_kept(&before, &after, lowest_of_p(all, N, shares[i]));
            free(all);
            dn_candidates_close(&before);
            dn_candidates_close(&after);
        }
}

static void min_p_keeps_a_share_of_the_largest_probability(void **state)
{
    dn_candidates before, after;
    fill(&before, 3, N);
    fill(&after, 3, N);
    double *all = sorted(&before);
    dn_sample_min_p(&after, 0.05);
    check_kept(&before, &after, all[0] + log(0.05));
    assert_true(after.n > 1 && after.n < N);
    free(all);
    dn_candidates_close(&before);
    dn_candidates_close(&after);
}

static void penalty_and_temperature_change_logits_as_defined(void **state)
{
    const dn_real logits[] = {2, -2, (dn_real)0.5, -1};
    const unsigned char seen[] = {1, 1, 0, 0};
    const double expected[] = {2 / 1.25 / 0.5, -2 * 1.25 / 0.5, 1, -2};
    dn_candidates c;
    assert_int_equal(dn_candidates_open(&c, 4), DN_OK);
    dn_candidates_fill(&c, logits, 4);
    dn_sample_penalize(&c, seen, 1.25);
    dn_sample_temper(&c, 0.5);
    for (size_t i = 0; i < 4; i++)
        assert_close(c.logits[i], expected[i], 1e-15);
    dn_candidates_close(&c);
}

static dn_sampling plain(void)
{
    return (dn_sampling){.repetition_penalty = 1, .temperature = 1, .top_p = 1};
}

/* Twice the logits, then top-k 3: a temperature behind top-p would keep other tokens. */
static void steps_come_in_their_order(void **state)
{
    const dn_real logits[] = {3, (dn_real)2.5, 1, 0, -1};
    const unsigned char seen[5] = {0};
    dn_sampling how = plain();
    how.temperature = 0.5;
    how.top_k = 3;
    how.top_p = 0.7; /* of e^6, e^5, e^2 the first has 0.72 */
    dn_candidates c;
    assert_int_equal(dn_candidates_open(&c, 5), DN_OK);
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(dn_sample(&c, logits, 5, seen, &how, 0, i), 0);
    how.temperature = 1;
    bool other = false;
    for (uint64_t i = 0; i < 100; i++)
        other = other || dn_sample(&c, logits, 5, seen, &how, 0, i) != 0;
    assert_true(other);
    dn_candidates_close(&c);
}

static void temperature_0_takes_the_likeliest(void **state)
{
    const dn_real logits[] = {1, 4, 4, 3};
    unsigned char seen[4] = {0};
    dn_sampling how = plain();
    dn_candidates c;
    how.temperature = 0;
    how.repetition_penalty = 2;
    assert_int_equal(dn_candidates_open(&c, 4), DN_OK);
    assert_int_equal(dn_sample(&c, logits, 4, seen, &how, 0, 0), 1);
    assert_int_equal(dn_sample(&c, logits, 1, seen, &how, 0, 0), 0); /* fewer may be drawn */
    seen[1] = seen[2] = 1;
    assert_int_equal(dn_sample(&c, logits, 4, seen, &how, 0, 0), 3);
    dn_candidates_close(&c);
}

/* 99.9 % of such sums of seven degrees of freedom are below 24.3; the draws are fixed. */
static void draws_have_their_probabilities(void **state)
{
    const dn_real logits[] = {0, 1, -1, 2, (dn_real)0.5, 0, -2, 1};
    const unsigned char seen[8] = {0};
    size_t counts[8] = {0};
    double sum = 0, chi = 0;
    const dn_sampling how = plain();
    dn_candidates c;
    assert_int_equal(dn_candidates_open(&c, 8), DN_OK);
    for (uint64_t i = 0; i < DRAWS; i++)
        counts[dn_sample(&c, logits, 8, seen, &how, i % 2, i / 2)]++;
    for (size_t i = 0; i < 8; i++)
        sum += exp((double)logits[i]);
    for (size_t i = 0; i < 8; i++) {
        double expected = DRAWS * exp((double)logits[i]) / sum, off = (double)counts[i] - expected;
        chi += off * off / expected;
    }
    if (chi >= 24.3)
        fprintf(stderr, "# chi squared %g of 7 degrees of freedom\n", chi);
    assert_true(chi < 24.3);
    dn_candidates_close(&c);
}

static void a_number_depends_on_seed_sequence_and_position_alone(void **state)
{
    const dn_real logits[64] = {0};
    const unsigned char seen[64] = {0};
    dn_sampling how = plain();
    dn_candidates c;
    assert_int_equal(dn_candidates_open(&c, 64), DN_OK);
    int32_t first = dn_sample(&c, logits, 64, seen, &how, 3, 5), same = 0;
    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(dn_sample(&c, logits, 64, seen, &how, 3, 5), first);
        same += dn_sample(&c, logits, 64, seen, &how, 3, 6 + i) == first;
        same += dn_sample(&c, logits, 64, seen, &how, 4 + i, 5) == first;
    }
    assert_true(same < 10);
    dn_candidates_close(&c);
}

TESTS(train_sample)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(top_k_keeps_the_k_largest),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_p),
        cmocka_unit_test(min_p_keeps_a_share_of_the_largest_probability),
        cmocka_unit_test(penalty_and_temperature_change_logits_as_defined),
        cmocka_unit_test(steps_come_in_their_order),
        cmocka_unit_test(temperature_0_takes_the_likeliest),
        cmocka_unit_test(draws_have_their_probabilities),
        cmocka_unit_test(a_number_depends_on_seed_sequence_and_position_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
