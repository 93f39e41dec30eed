/* Which rows clients have: each row one client's, of the files that they should be of. */
#include "data/partition.h"

#include "../support/scratch.h"
#include "support/close.h"
#include "support/tests.h"

#include <math.h>
#include <stdio.h>

enum { T = 4, FILES = 3, MAX_ROWS = 3000, MAX_CLIENTS = 40 };

/* Tokens of the files: not whole rows, one shorter than a row. */
static const size_t sizes[FILES] = {4001, 3, 2000};
static const size_t first_rows[FILES + 1] = {0, 1001, 1001, 1500}; /* that begin in a file: of 6004 tokens the last is a target */

static scratch dir;
static dn_tokens *tokens;

static int set_up(void **state)
{
    static uint16_t some[4001];
    (void)state;
    if (!scratch_make(&dir))
        return -1;
    for (size_t i = 0; i < FILES; i++) {
        char name[16];
        snprintf(name, sizeof name, "%zu.bin", i);
        if (!scratch_write_shard(&dir, name, some, sizes[i]))
            return -1;
    }
    return dn_tokens_open(scratch_path(&dir, "*.bin"), DN_TOKENS_SHARDS, &tokens) == DN_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    dn_tokens_close(&tokens);
    scratch_remove(&dir);
    return 0;
}

static dn_status make(const char *how, int n_clients, uint64_t seed, dn_partition **p)
{
    dn_partition_rule rule;
    assert_int_equal(dn_partition_parse(how, "partition", &rule), DN_OK);
    return dn_partition_create(&rule, tokens, T, n_clients, seed, p);
}

static size_t file_of(size_t row)
{
    size_t file = 0;
    while (row >= first_rows[file + 1])
        file++;
    return file;
}

static void every_row_is_one_clients(void **state)
{
    (void)state;
    static const struct {
        const char *how;
        int n;
    } some[] = {{"iid", 1}, {"iid", 7}, {"iid", 40}, {"by_file", 1}, {"dirichlet:0.5", 3}, {"dirichlet:1000", 40}};
    size_t rows = first_rows[FILES];
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        dn_partition *p;
        bool seen[MAX_ROWS] = {false};
        size_t n = 0;
        assert_int_equal(make(some[i].how, some[i].n, 2, &p), DN_OK);
        for (int c = 0; c < some[i].n; c++)
            for (size_t k = 0; k < dn_partition_rows(p, c); k++, n++) {
                size_t row = dn_partition_row(p, c, k);
                if (row >= rows || seen[row])
                    fail_msg("%s: row %zu of %zu is client %d's number %zu, and %s", some[i].how, row, rows, c, k,
                             row < rows ? "another's, too" : "none");
                seen[row] = true;
            }
        assert_int_equal(n, rows);
        dn_partition_destroy(&p);
    }
}

static void labels_are_dealt_in_turn(void **state)
{
    (void)state;
    static const size_t first[] = {0, 3, 3, 7, 8};
    const dn_partition_rule by_label = {DN_PARTITION_BY_LABEL, 0}, by_file = {DN_PARTITION_BY_FILE, 0};
    dn_partition *p;
    assert_int_equal(dn_partition_create_by_label(&by_label, first, 4, 2, 1, &p), DN_OK);
    assert_int_equal(dn_partition_rows(p, 0), 7); /* labels 0 and 2 */
    assert_int_equal(dn_partition_rows(p, 1), 1); /* 1, of which there is none, and 3 */
    assert_int_equal(dn_partition_row(p, 0, 3), 3);
    assert_int_equal(dn_partition_row(p, 1, 0), 7);
    dn_partition_destroy(&p);
    assert_int_equal(dn_partition_create_by_label(&by_label, first, 4, 5, 1, &p), DN_ERR_DATA);
    assert_int_equal(dn_partition_create_by_label(&by_file, first, 4, 2, 1, &p), DN_ERR_CONFIG);
    assert_int_equal(dn_partition_create(&by_label, tokens, T, 2, 1, &p), DN_ERR_CONFIG);
}

static void rows_are_dealt_in_turn(void **state)
{
    (void)state;
    dn_partition *p;
    assert_int_equal(make("iid", 7, 2, &p), DN_OK);
    assert_int_equal(dn_partition_rows(p, 0), 215); /* 1500 = 7 * 214 + 2 */
    assert_int_equal(dn_partition_rows(p, 2), 214);
    assert_int_equal(dn_partition_row(p, 2, 3), 23);
    dn_partition_destroy(&p);
}

static void parts_of_a_file_are_drawn_from_a_dirichlet_distribution(void **state)
{
    (void)state;
    enum { N = 4, DRAWS = 400 };
    static const double alphas[] = {0.5, 3};
    for (size_t i = 0; i < 2; i++) {
        double sum[N] = {0}, squares = 0, a = alphas[i];
        int n_drawn = 0;
        char how[32];
        snprintf(how, sizeof how, "dirichlet:%g", a);
        for (uint64_t seed = 0; seed < DRAWS; seed++) {
            dn_partition *p;
            size_t of_first[N] = {0};
            if (make(how, N, seed, &p) != DN_OK)
                continue; /* a client without a row: rare */
            n_drawn++;
            for (int c = 0; c < N; c++) {
                for (size_t k = 0; k < dn_partition_rows(p, c); k++)
                    of_first[c] += file_of(dn_partition_row(p, c, k)) == 0;
                double share = (double)of_first[c] / 1001;
                sum[c] += share;
                squares += (share - 1. / N) * (share - 1. / N) / N;
            }
            dn_partition_destroy(&p);
        }
        assert_above(n_drawn, DRAWS * 9 / 10);
        /* Mean 1/N, variance (N-1) / (N^2 (N a + 1)): 0.0625 and 0.0144. Five deviations of the mean; a fifth of the variance, whose own
         * deviation from so many draws is below 4 %. */
        double variance = (N - 1.) / (N * N * (N * a + 1));
        for (int c = 0; c < N; c++)
            assert_close(sum[c] / n_drawn, 1. / N, 5 * sqrt(variance / n_drawn));
        assert_close(squares / n_drawn, variance, variance / 5);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    dn_partition *p;
    dn_partition_rule rule;
    static const char *const bad[] = {"", "file", "dirichlet", "dirichlet:0", "dirichlet:-1", "dirichlet:1x", "dirichlet:nan"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(dn_partition_parse(bad[i], "partition", &rule), DN_ERR_CONFIG);
    assert_int_equal(make("by_file", 4, 1, &p), DN_ERR_DATA);
    assert_null(p);
    assert_non_null(strstr(dn_error_message(), "at most as many as files"));
    assert_int_equal(make("by_file", 3, 1, &p), DN_ERR_DATA); /* no row begins in the second file */
    assert_int_equal(make("iid", 1501, 1, &p), DN_ERR_DATA);
}

TESTS(data_partition)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_one_clients),
        cmocka_unit_test(labels_are_dealt_in_turn),
        cmocka_unit_test(rows_are_dealt_in_turn),
        cmocka_unit_test(parts_of_a_file_are_drawn_from_a_dirichlet_distribution),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
