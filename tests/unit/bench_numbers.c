/* The arithmetic of the benchmarks: sizes from text and from size to size, percentiles, bus factors. */
#include "base/random.h"
#include "bench/measure.h"
#include "bench/sizes.h"
#include "bench/summary.h"
#include "bench/triad.h"
#include "support/tests.h"

#include <stdlib.h>
#include <string.h>

static void sizes_take_suffixes_of_1024(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } good[] = {{"0", 0},
                {"8", 8},
                {"32K", 32768},
                {"32k", 32768},
                {"1M", 1 << 20},
                {"2G", (size_t)2 << 30},
                {"8G", (size_t)8 << 30},
                {"18446744073709551615", SIZE_MAX}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        size_t bytes = 1;
        assert_true(dn_bench_parse_size(good[i].text, &bytes));
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void other_texts_are_no_sizes(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "K",
                                      "-1",
                                      " 8",
                                      "8 ",
                                      "8KB",
                                      "1.5M",
                                      "8T",
                                      "0x10",
                                      "+8",
                                      "18446744073709551616",
                                      "18446744073709551615K",
                                      "17179869184G"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t bytes = 77;
        assert_false(dn_bench_parse_size(bad[i], &bytes));
        assert_int_equal(bytes, 77);
    }
}

/* The sizes of elements of `element` bytes below `limit`, against a list that ends with SIZE_MAX. */
static void sizes_are(const dn_bench_comm_options *options, size_t element, size_t limit,
                      const size_t *expected)
{
    size_t bytes;
    bool more = dn_bench_first_size(options, element, limit, &bytes);
    for (; *expected != SIZE_MAX; expected++) {
        assert_true(more);
        assert_int_equal(bytes, *expected);
        more = dn_bench_next_size(options, element, limit, &bytes);
    }
    assert_false(more);
}

static void sizes_go_by_factor_or_by_step_and_end(void **state)
{
    (void)state;
    dn_bench_comm_options options = dn_bench_comm_defaults();
    options.min_bytes = 4;
    options.max_bytes = 100;
    options.factor = 3;
    sizes_are(&options, 4, 0, (const size_t[]){4, 12, 36, SIZE_MAX});
    sizes_are(&options, 8, 40, (const size_t[]){8, 24, SIZE_MAX});
    sizes_are(&options, 0, 0, (const size_t[]){0, SIZE_MAX});
    options.step_bytes = 40;
    sizes_are(&options, 4, 0, (const size_t[]){4, 44, 84, SIZE_MAX});
    options.min_bytes = SIZE_MAX - 50;
    options.max_bytes = SIZE_MAX - 1; /* no wrapping around */
    sizes_are(&options, 4, 0, (const size_t[]){SIZE_MAX - 50, SIZE_MAX - 10, SIZE_MAX});
    options.step_bytes = 0;
    sizes_are(&options, 4, 0, (const size_t[]){SIZE_MAX - 50, SIZE_MAX});
    sizes_are(&options, 4, 96, (const size_t[]){SIZE_MAX});
}

static void a_batch_fits_its_bytes_and_is_one_call_at_least(void **state)
{
    (void)state;
    static const struct {
        size_t bytes;
        int n_messages, batch;
    } expected[] = {{0, 1, 64},
                    {4, 1, 64},
                    {512, 1, 64},
                    {513, 1, 51},
                    {4096, 1, 8},
                    {32768, 1, 1},
                    {(size_t)1 << 30, 1, 1},
                    {4, 2, 32},
                    {4, 64, 1},
                    {1 << 20, 64, 1}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(dn_bench_batch(expected[i].bytes, expected[i].n_messages), expected[i].batch);
}

/* By counting, without sorting: the least sample that at least percent of 100 do not exceed. */
static double percentile(const double *samples, size_t n, double percent)
{
    double best = samples[0];
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        size_t below = 0;
        for (size_t j = 0; j < n; j++)
            below += samples[j] <= samples[i];
        if ((double)below * 100 >= percent * (double)n && (!found || samples[i] < best)) {
            best = samples[i];
            found = true;
        }
    }
    return best;
}

static void percentiles_are_those_of_counting(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 250; n += n < 12 ? 1 : 17) {
        double samples[250], copy[250], sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += samples[i] = (double)(dn_random_bits(1, n, i) % 64); /* with equal ones among them */
        memcpy(copy, samples, sizeof copy);
        dn_summary s = dn_summarize(copy, n);
        assert_true(s.mean == sum / (double)n); /* whole numbers: the sum is exact in any order */
        assert_true(s.p50 == percentile(samples, n, 50));
        assert_true(s.p99 == percentile(samples, n, 99));
        assert_true(s.max == percentile(samples, n, 100));
    }
}

static void bus_factors_are_those_of_nccl_tests(void **state)
{
    (void)state;
    static const struct {
        const char *op;
        double factor[3]; /* 1, 2 and 8 ranks; all exact in double */
    } expected[] = {{"barrier", {0, 0, 0}},
                    {"scalars", {0, 1, 1.75}},
                    {"broadcast", {1, 1, 1}},
                    {"reduce", {1, 1, 1}},
                    {"reduce-scatter", {0, 0.5, 0.875}},
                    {"all-reduce", {0, 1, 1.75}},
                    {"all-reduce-shared", {0, 1, 1.75}},
                    {"all-gather", {0, 0.5, 0.875}},
                    {"all-to-all", {0, 0.5, 0.875}},
                    {"begin-reduce-scatter", {0, 0.5, 0.875}},
                    {"begin-all-reduce", {0, 1, 1.75}},
                    {"latency", {1, 1, 1}},
                    {"bandwidth", {1, 1, 1}}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const dn_bench_op *op = dn_bench_ops;
        while (op->name && strcmp(op->name, expected[i].op) != 0)
            op++;
        assert_non_null(op->name);
        assert_true(dn_bench_bus_factor(op, 1) == expected[i].factor[0]);
        assert_true(dn_bench_bus_factor(op, 2) == expected[i].factor[1]);
        assert_true(dn_bench_bus_factor(op, 8) == expected[i].factor[2]);
    }
}

/* OSU: 100 - (overall - compute) / pure * 100, and not below 0. */
static void overlap_is_the_share_that_was_not_left(void **state)
{
    (void)state;
    assert_true(dn_bench_overlap(4, 0) == 1);
    assert_true(dn_bench_overlap(4, 1) == 0.75);
    assert_true(dn_bench_overlap(4, 4) == 0);
    assert_true(dn_bench_overlap(4, 9) == 0);
    assert_true(dn_bench_overlap(0, 0) == 0);
}

static void names_are_listed_once(void **state)
{
    (void)state;
    const char *const *names = dn_bench_comm_ops();
    assert_true(names == dn_bench_comm_ops());
    for (size_t i = 0; names[i]; i++)
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(names[i], names[j]);
    for (const dn_bench_op *op = dn_bench_ops; op->name; op++) {
        size_t i = 0;
        while (names[i] && strcmp(names[i], op->name) != 0)
            i++;
        assert_non_null(names[i]);
    }
}

static void both_triads_compute_all_of_an_odd_length(void **state)
{
    (void)state;
    enum { N = 1001 };
    static _Alignas(128) double a[N + 1], b[N], c[N];
    for (int i = 0; i < N; i++) {
        b[i] = i;
        c[i] = 1000 - i;
    }
    for (int streaming = 0; streaming <= 1; streaming++) {
        memset(a, 0, sizeof a);
        dn_triad(a, b, c, 3, N, streaming);
        for (int i = 0; i < N; i++)
            assert_true(a[i] == i + 3.0 * (1000 - i));
        assert_true(a[N] == 0);
    }
}

TESTS(bench_numbers)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_take_suffixes_of_1024),
        cmocka_unit_test(other_texts_are_no_sizes),
        cmocka_unit_test(sizes_go_by_factor_or_by_step_and_end),
        cmocka_unit_test(a_batch_fits_its_bytes_and_is_one_call_at_least),
        cmocka_unit_test(percentiles_are_those_of_counting),
        cmocka_unit_test(bus_factors_are_those_of_nccl_tests),
        cmocka_unit_test(overlap_is_the_share_that_was_not_left),
        cmocka_unit_test(names_are_listed_once),
        cmocka_unit_test(both_triads_compute_all_of_an_odd_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
