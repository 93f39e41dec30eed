/* Rows of the loader: with T = 1 and token i of the stream = i, a row's input is its number. */
#include "data/loader.h"

#include "../support/scratch.h"
#include "support/close.h"
#include "support/tests.h"

enum { MAX_ROWS = 65521 };

static scratch dir;
static dn_tokens *tokens; /* opened by open_counting */

static int set_up(void **state)
{
    return scratch_make(&dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    dn_tokens_close(&tokens);
    scratch_remove(&dir);
    return 0;
}

/* A stream 0, 1, 2, ... of n tokens. */
static dn_loader open_counting(size_t n, size_t T, uint64_t seed, bool shuffle)
{
    static uint16_t counting[MAX_ROWS + 1];
    for (size_t i = 0; i < n; i++)
        counting[i] = (uint16_t)i;
    dn_tokens_close(&tokens);
    assert_true(scratch_write_shard(&dir, "counting.bin", counting, n));
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "counting.bin"), DN_TOKENS_SHARDS, &tokens), DN_OK);
    return (dn_loader){.tokens = tokens, .T = T, .vocab_size = 65536, .seed = seed, .shuffle = shuffle};
}

static int32_t row_number(const dn_loader *loader, uint64_t index)
{
    int32_t input, target;
    assert_int_equal(loader->T, 1);
    assert_int_equal(dn_loader_row(loader, index, &input, &target), DN_OK);
    assert_int_equal(target, input + 1);
    return input;
}

static void an_epoch_visits_every_row_exactly_once(void **state)
{
    size_t sizes[] = {1, 2, 3, 4, 5, 7, 13, 16, 17, 31, 64, 65, 97, 256, 257, 1009, 4096, 4097, MAX_ROWS};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s], epochs = n < 5000 ? 3 : 1;
        dn_loader loader = open_counting(n + 1, 1, 5, true);
        assert_int_equal(dn_loader_rows(&loader), n);
        for (size_t epoch = 0; epoch < epochs; epoch++) {
            static bool seen[MAX_ROWS];
            memset(seen, 0, sizeof seen);
            for (size_t i = 0; i < n; i++) {
                int32_t row = row_number(&loader, epoch * n + i);
                assert_true(row >= 0 && (size_t)row < n && !seen[row]);
                seen[row] = true;
            }
        }
    }
}

static size_t count_equal(const int32_t *a, const int32_t *b, size_t n)
{
    size_t equal = 0;
    for (size_t i = 0; i < n; i++)
        equal += a[i] == b[i];
    return equal;
}

/* Two random orders of 1000 rows agree in about one place (Poisson of mean 1); 10 or more: once in ten
 * million. */
static void order_depends_on_seed_and_epoch_and_on_nothing_else(void **state)
{
    enum { n = 1000 };
    int32_t first[n], again[n], next[n], other[n], sorted[n];
    dn_loader loader = open_counting(n + 1, 1, 17, true);
    for (size_t i = 0; i < n; i++)
        first[i] = row_number(&loader, i);
    dn_loader later = open_counting(n + 1, 1, 17, true), reseeded = later;
    reseeded.seed = 18;
    for (size_t i = n; i-- > 0;) {
        next[i] = row_number(&later, n + i);
        again[i] = row_number(&later, i);
        other[i] = row_number(&reseeded, i);
        sorted[i] = (int32_t)i;
    }
    assert_memory_equal(first, again, sizeof first);
    assert_true(count_equal(first, next, n) < 10);
    assert_true(count_equal(first, other, n) < 10);
    assert_true(count_equal(first, sorted, n) < 10);
}

/* Where a fixed row index lands over 4800 seeds: chi-squared with 23 degrees of freedom, mean 23, deviation
 * sqrt(46); five of them. The number of rows is no power of two, so that the walk is tested too. */
static void every_place_is_equally_likely(void **state)
{
    enum { n = 24, draws = 4800 };
    size_t hits[n] = {0};
    dn_loader loader = open_counting(n + 1, 1, 0, true);
    for (loader.seed = 0; loader.seed < draws; loader.seed++)
        hits[row_number(&loader, 3)]++;
    double chi2 = 0, expected = (double)draws / n;
    for (size_t i = 0; i < n; i++)
        chi2 += ((double)hits[i] - expected) * ((double)hits[i] - expected) / expected;
    assert_below(chi2, 23 + 5 * 6.8);
}

static void rows_share_one_token_with_the_next_and_drop_an_incomplete_end(void **state)
{
    enum { T = 7 };
    int32_t inputs[T], targets[T];
    dn_loader loader = open_counting(3 * T + 1 + (T - 1), T, 1, false);
    assert_int_equal(dn_loader_rows(&loader), 3);
    for (uint64_t index = 0; index < 7; index++) { /* in order, then from the start again */
        assert_int_equal(dn_loader_row(&loader, index, inputs, targets), DN_OK);
        for (size_t t = 0; t < T; t++) {
            assert_int_equal(inputs[t], index % 3 * T + t);
            assert_int_equal(targets[t], inputs[t] + 1);
        }
    }
}

static void a_stream_shorter_than_a_row_is_refused(void **state)
{
    int32_t inputs[8], targets[8];
    dn_loader loader = open_counting(8, 8, 1, true);
    assert_int_equal(dn_loader_rows(&loader), 0);
    assert_int_equal(dn_loader_row(&loader, 0, inputs, targets), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "8 tokens, one row takes 9"));
}

static void a_bad_token_in_the_last_target_is_found(void **state)
{
    int32_t inputs[8], targets[8];
    dn_loader loader = open_counting(9, 8, 1, false);
    loader.vocab_size = 8;
    assert_int_equal(dn_loader_row(&loader, 0, inputs, targets), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "token 8 is 8"));
}

static void a_client_visits_its_own_rows_each_once_an_epoch(void **state)
{
    enum { N = 1000, CLIENTS = 7, CLIENT = 2, OWN = 143 };
    const dn_partition_rule rule = {DN_PARTITION_IID, 0};
    dn_loader loader = open_counting(N + 1, 1, 5, true);
    dn_partition *partition;
    assert_int_equal(dn_partition_create(&rule, tokens, 1, CLIENTS, 0, &partition), DN_OK);
    loader.partition = partition;
    loader.client = CLIENT;
    assert_int_equal(dn_loader_rows(&loader), OWN);
    bool in_order = true;
    for (size_t epoch = 0; epoch < 3; epoch++) {
        bool seen[N] = {false};
        for (size_t i = 0; i < OWN; i++) {
            int32_t row = row_number(&loader, epoch * OWN + i);
            assert_int_equal(row % CLIENTS, CLIENT);
            assert_false(seen[row]);
            seen[row] = true;
            in_order = in_order && row == (int32_t)(CLIENT + i * CLIENTS);
        }
    }
    assert_false(in_order);
    dn_partition_destroy(&partition);
}

TESTS(data_loader)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_visits_every_row_exactly_once),
        cmocka_unit_test(order_depends_on_seed_and_epoch_and_on_nothing_else),
        cmocka_unit_test(every_place_is_equally_likely),
        cmocka_unit_test(a_client_visits_its_own_rows_each_once_an_epoch),
        cmocka_unit_test(rows_share_one_token_with_the_next_and_drop_an_incomplete_end),
        cmocka_unit_test(a_stream_shorter_than_a_row_is_refused),
        cmocka_unit_test(a_bad_token_in_the_last_target_is_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
