/* The cut of a chain into stages against every cut there is, and links between stages as text. */
#include "base/random.h"
#include "pipe/cut.h"
#include "pipe/links.h"
#include "support/tests.h"

#include <math.h>
#include <string.h>

enum { MOST = 12 };

static double slowest_of(const double *work, const double *link, size_t n_stages, const size_t *end)
{
    double slowest = 0;
    for (size_t s = 0, unit = 0; s < n_stages; s++) {
        double own = s > 0 ? link[s] : 0;
        for (; unit < end[s]; unit++)
            own += work[unit];
        slowest = fmax(slowest, own);
    }
    return slowest;
}

/* Each set of n_stages - 1 boundaries is a number of n_units - 1 bits. */
static double least_of_all(const double *work, size_t n_units, const double *link, size_t n_stages)
{
    double least = INFINITY;
    for (unsigned set = 0; set < 1u << (n_units - 1); set++) {
        size_t end[MOST], s = 0;
        for (size_t unit = 1; unit < n_units; unit++)
            if (set >> (unit - 1) & 1 && s < MOST - 1)
                end[s++] = unit;
        end[s++] = n_units;
        if (s == n_stages)
            least = fmin(least, slowest_of(work, link, n_stages, end));
    }
    return least;
}

static void no_cut_is_better(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++)
        for (size_t n_units = 1; n_units <= MOST; n_units++)
            for (size_t n_stages = 1; n_stages <= n_units; n_stages++) {
                double work[MOST], link[MOST], slowest;
                size_t end[MOST];
                for (size_t i = 0; i < MOST; i++) { /* whole numbers: sums are exact in any order; ties and zeros, too */
                    work[i] = (double)(dn_random_bits(seed, n_units, i) % (seed < 20 ? 5 : 1000));
                    link[i] = (double)(dn_random_bits(seed, 100 + n_stages, i) % (seed % 2 ? 1 : 7));
                }
                assert_int_equal(dn_pipe_cut(work, n_units, link, n_stages, end, &slowest), DN_OK);
                for (size_t s = 0; s < n_stages; s++)
                    assert_true(end[s] > (s > 0 ? end[s - 1] : 0));
                assert_int_equal(end[n_stages - 1], n_units);
                assert_true(slowest == slowest_of(work, link, n_stages, end));
                double least = least_of_all(work, n_units, link, n_stages);
                if (slowest != least)
                    fail_msg("seed %d, %zu units, %zu stages: %g, possible is %g", (int)seed, n_units, n_stages, slowest, least);
            }
}

static void a_slow_link_is_taken_off_the_stage_behind_it(void **state)
{
    (void)state;
    const double work[] = {1, 1, 1, 1, 1, 1}, fast[] = {0, 0}, slow[] = {0, 2};
    size_t end[2];
    double slowest;
    assert_int_equal(dn_pipe_cut(work, 6, fast, 2, end, &slowest), DN_OK);
    assert_true(end[0] == 3 && slowest == 3);
    assert_int_equal(dn_pipe_cut(work, 6, slow, 2, end, &slowest), DN_OK);
    assert_true(end[0] == 4 && slowest == 4);
}

static void one_link_is_for_all_boundaries_and_several_are_one_for_each(void **state)
{
    (void)state;
    dn_pipe_links links;
    assert_int_equal(dn_pipe_links_parse("", "link_pp", 3, &links), DN_OK);
    assert_true(links.of[0].bytes_per_s == 0 && links.of[2].bytes_per_s == 0);
    assert_int_equal(dn_pipe_links_parse("8Mbit:2ms", "link_pp", 3, &links), DN_OK);
    assert_true(links.of[0].bytes_per_s == 1e6 && links.of[2].bytes_per_s == 1e6 && links.of[2].latency_s == 2e-3);
    assert_int_equal(dn_pipe_links_parse("8Mbit:2ms,16Mbit:1ms", "link_pp", 2, &links), DN_OK);
    assert_true(links.of[0].bytes_per_s == 1e6 && links.of[1].bytes_per_s == 2e6 && links.of[1].latency_s == 1e-3);
    static const char *const wrong[] = {"8Mbit:2ms,8Mbit:2ms", "8Mbit:2ms,", ",8Mbit:2ms,8Mbit:2ms", "x", "8Mbit:2ms,x,8Mbit:2ms"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(dn_pipe_links_parse(wrong[i], "link_pp", 3, &links), DN_ERR_CONFIG);
        assert_non_null(strstr(dn_error_message(), "link_pp: "));
    }
}

static void so_are_their_times(void **state)
{
    (void)state;
    double seconds[DN_MAX_RANKS] = {7, 7, 7};
    assert_int_equal(dn_pipe_link_times_parse("", "times", 3, seconds), DN_OK);
    assert_true(seconds[0] == 7 && seconds[2] == 7);
    assert_int_equal(dn_pipe_link_times_parse("0.5", "times", 3, seconds), DN_OK);
    assert_true(seconds[0] == 0.5 && seconds[2] == 0.5);
    assert_int_equal(dn_pipe_link_times_parse("1e-3,0", "times", 2, seconds), DN_OK);
    assert_true(seconds[0] == 1e-3 && seconds[1] == 0 && seconds[2] == 0.5);
    static const char *const wrong[] = {"1,2", "1,2,3,4", "1,,3", "x", "-1", "nan", "1e99", "1s"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(dn_pipe_link_times_parse(wrong[i], "times", 3, seconds), DN_ERR_CONFIG);
        assert_non_null(strstr(dn_error_message(), "times: "));
    }
}

TESTS(pipe_cut)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_cut_is_better),
        cmocka_unit_test(a_slow_link_is_taken_off_the_stage_behind_it),
        cmocka_unit_test(one_link_is_for_all_boundaries_and_several_are_one_for_each),
        cmocka_unit_test(so_are_their_times),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
