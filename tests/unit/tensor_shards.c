/* Whether parts tile a matrix: against counting every element. */
#include "base/random.h"
#include "tensor/tensor.h"
#include "support/tests.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 6, COLS = 5, PARTS_MAX = 8, TRIALS = 200000 };

static uint64_t n_drawn;

static size_t below(size_t n)
{
    return (size_t)(dn_random_bits(1, 0, n_drawn++) % n);
}

/* How often each element is covered. */
static void count(const dn_shard *held, size_t n, int times[ROWS][COLS])
{
    memset(times, 0, sizeof(int[ROWS][COLS]));
    for (size_t i = 0; i < n; i++)
        for (size_t row = 0; row < held[i].block.rows; row++)
            for (size_t col = 0; col < held[i].block.cols; col++)
                times[held[i].block.row0 + row][held[i].block.col0 + col]++;
}

/* A tiling: a rectangle cut in two again and again. */
static size_t cut(dn_block whole, dn_shard *held, size_t n)
{
    held[0] = (dn_shard){.block = whole};
    for (size_t made = 1; made < n; made++) {
        dn_block *old = &held[below(made)].block, new = *old;
        if (below(2)) {
            old->rows = below(old->rows + 1);
            new.row0 += old->rows;
            new.rows -= old->rows;
        } else {
            old->cols = below(old->cols + 1);
            new.col0 += old->cols;
            new.cols -= old->cols;
        }
        held[made] = (dn_shard){.block = new, .rank = (int)made};
    }
    return n;
}

/* Moves or resizes a part within the matrix, or leaves all as it is. */
static void disturb(dn_shard *held, size_t n)
{
    dn_block *b = &held[below(n)].block;
    switch (below(4)) {
    case 0:
        b->row0 = below(ROWS + 1 - b->rows);
        break;
    case 1:
        b->rows = below(ROWS + 1 - b->row0);
        break;
    case 2:
        b->cols = below(COLS + 1 - b->col0);
        break;
    default:
        break;
    }
}

/* What the first hole or an overlap is said to be, and is. */
static void check_reason(int times[ROWS][COLS], const char *why)
{
    const char *at = strstr(why, "first is [");
    size_t row, col, n_holes = 0, said, of;
    int first_row = -1, first_col = -1;
    for (int i = ROWS * COLS - 1; i >= 0; i--) {
        if (times[i / COLS][i % COLS] != 0)
            continue;
        n_holes++;
        first_row = i / COLS;
        first_col = i % COLS;
    }
    if (at) {
        assert_int_equal(sscanf(at, "first is [%zu, %zu]", &row, &col), 2);
        assert_int_equal(sscanf(why, "%zu of %zu", &said, &of), 2);
        assert_true((int)row == first_row && (int)col == first_col);
        assert_true(said == n_holes && of == ROWS * COLS);
        return;
    }
    at = strstr(why, "from [");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "from [%zu, %zu]", &row, &col), 2);
    assert_true(times[row][col] > 1);
}

static void parts_cover_exactly_what_counting_says(void **state)
{
    size_t n_exact = 0;
    for (int trial = 0; trial < TRIALS; trial++) {
        dn_shard held[PARTS_MAX];
        int times[ROWS][COLS];
        char why[160] = "";
        bool exact = true;
        size_t n = cut((dn_block){0, ROWS, 0, COLS}, held, 1 + below(PARTS_MAX));
        disturb(held, n);
        count(held, n, times);
        for (int i = 0; i < ROWS * COLS; i++)
            exact = exact && times[i / COLS][i % COLS] == 1;
        assert_int_equal(dn_shards_tile(ROWS, COLS, held, n, why, sizeof why), exact);
        if (!exact)
            check_reason(times, why);
        n_exact += exact;
    }
    assert_true(n_exact > TRIALS / 10 && n_exact < TRIALS - TRIALS / 10);
}

static void nothing_is_covered_by_nobody(void **state)
{
    char why[160];
    assert_true(dn_shards_tile(0, 5, NULL, 0, why, sizeof why));
    assert_false(dn_shards_tile(1, 1, NULL, 0, why, sizeof why));
    assert_non_null(strstr(why, "first is [0, 0]"));
}

TESTS(tensor_shards)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_cover_exactly_what_counting_says),
        cmocka_unit_test(nothing_is_covered_by_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
