/*
 * The harness of strategies_vectors.h, held to what it is for: averaging done by hand passes, and a weight
 * that is wrong by little in one step of one replica is found, there.
 */
#include "oracle/strategies_vectors.h"
#include "support/close.h"
#include "support/tests.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = STRATEGIES_N, SIZE = STRATEGIES_SIZE };

static const double tolerance = 1e-12;

/* SGD with momentum of N replicas, in loops: gradients averaged in every step, or weights every so many. */
typedef struct by_hand {
    uint64_t average_every; /* of weights; 0: gradients are averaged */
    double *m;              /* [N, SIZE] */
    int step, replica;      /* where a weight is wrong; -1: nowhere */
    size_t weight;
    double by;
} by_hand;

static void average(double *x)
{
    for (size_t j = 0; j < SIZE; j++) {
        double sum = 0;
        for (int i = 0; i < N; i++)
            sum += x[i * SIZE + j];
        for (int i = 0; i < N; i++)
            x[i * SIZE + j] = sum / N;
    }
}

static double decay(size_t weight)
{
    size_t p = 0;
    while (weight >= strategies_params[p].rows * strategies_params[p].cols) {
        weight -= strategies_params[p].rows * strategies_params[p].cols;
        p++;
    }
    return strategies_params[p].kind == DN_PARAM_MATRIX ? 0.1 : 0;
}

static int step_by_hand(void *self, uint64_t t, double loss, const double *g, double *w)
{
    by_hand *h = self;
    double *used = calloc((size_t)N * SIZE, sizeof *used);
    (void)loss;
    memcpy(used, g, (size_t)N * SIZE * sizeof *used);
    if (h->average_every == 0)
        average(used);
    for (size_t k = 0; k < (size_t)N * SIZE; k++) {
        h->m[k] = 0.9 * h->m[k] + used[k];
        w[k] = (1 - STRATEGIES_LR * decay(k % SIZE)) * w[k] - STRATEGIES_LR * h->m[k];
    }
    if (h->average_every > 0 && (t + 1) % h->average_every == 0)
        average(w);
    if ((int)t == h->step)
        w[(size_t)h->replica * SIZE + h->weight] += h->by;
    free(used);
    return 0;
}

/* The first case of the file that has these settings. */
static strategies_case case_of(const char *strategy, const char *rule, double sync_every)
{
    strategies_case c;
    FILE *file = strategies_open(strategy);
    assert_non_null(file);
    do
        assert_true(strategies_next(file, &c));
    while (strcmp(strategies_text(&c, "rule"), rule) != 0 ||
           (sync_every > 0 && strategies_number(&c, "sync_every") != sync_every));
    fclose(file);
    return c;
}

static strategies_deviation follow(const strategies_case *c, by_hand h)
{
    strategies_deviation d;
    h.m = calloc((size_t)N * SIZE, sizeof *h.m);
    strategies_follow(c, 0, N, tolerance, step_by_hand, &h, &d);
    free(h.m);
    return d;
}

static void passes(const char *strategy, const strategies_case *c, by_hand h)
{
    strategies_deviation d = follow(c, h);
    if (d.found)
        strategies_print(strategy, c, &d);
    assert_false(d.found);
}

static void averaging_by_hand_passes(void **state)
{
    (void)state;
    strategies_case c = case_of("average", "sgd", 0);
    passes("average", &c, (by_hand){.average_every = 0, .step = -1});
    passes("average", &c,
           (by_hand){.average_every = 1, .step = -1}); /* everything is linear in the gradients */
    c = case_of("local_sgd", "sgd", 3);
    passes("local_sgd", &c, (by_hand){.average_every = 3, .step = -1});
}

static void averaging_at_another_step_does_not(void **state)
{
    (void)state;
    strategies_case c = case_of("local_sgd", "sgd", 3);
    strategies_deviation d = follow(&c, (by_hand){.average_every = 4, .step = -1});
    assert_true(d.found);
    assert_int_equal(d.step, 2);
}

/* A billionth in one of 7,680 weights is found in the step that it happens in, also in an average that goes
 * on with it. */
static void a_wrong_weight_is_found_where_it_is(void **state)
{
    (void)state;
    static const size_t first[STRATEGIES_PARAMS] = {0, 7680, 7750, 10822};
    strategies_case c = case_of("local_sgd", "sgd", 3);
    for (int replica = 0; replica < N; replica++) {
        size_t p = (size_t)replica;
        by_hand wrong = {.average_every = 3,
                         .step = 3 + 5 * replica,
                         .replica = replica,
                         .weight = first[p] + 11,
                         .by = 1e-9};
        strategies_deviation d = follow(&c, wrong);
        assert_true(d.found);
        assert_int_equal(d.step, wrong.step);
        assert_int_equal(d.replica, replica);
        assert_int_equal(d.param, p);
        assert_at_least(fabs(d.got - d.want), 0.49e-9);
        assert_at_most(fabs(d.got - d.want), 1.51e-9);
    }
}

/* Two errors that cancel in a parameter's product are found in its rows, after the last step. */
static void errors_that_cancel_are_found_in_rows(void **state)
{
    (void)state;
    strategies_case c = case_of("average", "sgd", 0);
    by_hand wrong = {.step = STRATEGIES_STEPS - 1, .replica = 1, .weight = 300, .by = 1e-9};
    strategies_deviation d = follow(&c, wrong);
    assert_true(d.found);
    c.steps[d.step][1][0] = d.got;
    d = follow(&c, wrong);
    assert_true(d.found);
    assert_int_equal(d.row, 300 / 80);
}

static void a_number_that_is_none_is_found(void **state)
{
    (void)state;
    strategies_case c = case_of("average", "sgd", 0);
    strategies_deviation d =
        follow(&c, (by_hand){.step = 7, .replica = 2, .weight = SIZE - 1, .by = (double)NAN});
    assert_true(d.found);
    assert_int_equal(d.step, 7);
    assert_int_equal(d.param, 3);
}

/* Also those of strategies that are not there yet: each file to its end, with settings and finite numbers. */
static void every_file_can_be_read(void **state)
{
    (void)state;
    DIR *folder = opendir(ORACLE_DIR "/strategies");
    assert_non_null(folder);
    size_t n_files = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char name[256];
        size_t n_cases = 0;
        strategies_case c;
        if (sscanf(entry->d_name, "%255[a-z_].txt", name) != 1)
            continue; /* . and .. */
        FILE *file = strategies_open(name);
        assert_non_null(file);
        for (; strategies_next(file, &c); n_cases++) {
            assert_true(strategies_text(&c, "rule") || strategies_text(&c, "demo_update"));
            for (int i = 0; i < N; i++)
                assert_true(isfinite(c.rows[i][STRATEGIES_ROWS - 1]));
        }
        fclose(file);
        assert_at_least(n_cases, 2);
        n_files++;
    }
    closedir(folder);
    assert_at_least(n_files, 14);
}

TESTS(strategies_harness)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_can_be_read),
        cmocka_unit_test(averaging_by_hand_passes),
        cmocka_unit_test(averaging_at_another_step_does_not),
        cmocka_unit_test(a_wrong_weight_is_found_where_it_is),
        cmocka_unit_test(errors_that_cancel_are_found_in_rows),
        cmocka_unit_test(a_number_that_is_none_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
