/* Scores of layers from outputs of a batch, which layers they choose, and which share of them a spectrum does, against layers.txt, which
 * layers_oracle.py wrote: in numpy, by eigenvalues. */
#include "support/close.h"
#include "support/tests.h"
#include "train/prompt_layers.h"
#include "train/prompt_share.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static double number(FILE *file)
{
    double x;
    assert_int_equal(fscanf(file, "%lf", &x), 1);
    return x;
}

/* An eigenvalue that is 0 but for rounding, some 1e-16 times the largest, at most 16, is off by as much beside 1e-5, and so is its
 * inverse: 2e-10 of the score; eigenvalues themselves have errors of like size in numpy. */
#define TOLERANCE 1e-9

static void compare_batch(FILE *file)
{
    double x[16 * 40], products[17 * 17];
    size_t B = (size_t)number(file), n = (size_t)number(file);
    double want = number(file);
    assert_true(B <= 16 && n <= 40);
    for (size_t i = 0; i < B * n; i++)
        x[i] = number(file);
    for (size_t i = 0; i < B; i++)
        for (size_t j = 0; j < B; j++) {
            products[i * B + j] = 0;
            for (size_t c = 0; c < n; c++)
                products[i * B + j] += x[i * n + c] * x[j * n + c];
        }
    double got = dn_prompt_score(products, B);
    if (!(fabs(got - want) <= TOLERANCE * fabs(want)))
        fail_msg("batch of %zu texts: score %.12g, the oracle has %.12g", B, got, want);
}

static void compare_choices(FILE *file)
{
    double scores[DN_PROMPT_BLOCKS];
    size_t L = (size_t)number(file), n = (size_t)number(file);
    assert_true(L <= DN_PROMPT_BLOCKS);
    for (size_t l = 0; l < L; l++)
        scores[l] = number(file);
    for (size_t i = 0; i < n; i++) {
        double share = number(file);
        uint64_t left_out = dn_prompt_left_out(scores, L, share);
        for (size_t l = 0; l < L; l++)
            if ((left_out >> l & 1) == (number(file) != 0))
                fail_msg("share %g: layer %zu is %s, the oracle has the opposite", share, l, left_out >> l & 1 ? "left out" : "chosen");
        assert_int_equal(left_out >> L, 0);
    }
}

static void compare_shares(FILE *file)
{
    double nodes[32], weights[32];
    size_t n = (size_t)number(file), k;
    assert_true(n > 5);
    for (; n > 0; n--) {
        k = (size_t)number(file);
        double want = number(file);
        assert_true(k <= 32);
        for (size_t i = 0; i < k; i++)
            nodes[i] = number(file);
        for (size_t i = 0; i < k; i++)
            weights[i] = number(file);
        assert_close(dn_prompt_share(nodes, weights, k), want, 1e-12);
    }
}

static void scores_choices_and_shares_are_the_oracles(void **state)
{
    FILE *file = fopen(ORACLE_DIR "/layers.txt", "r");
    size_t n;
    char word[16];
    assert_non_null(file);
    assert_int_equal(fscanf(file, "batches %zu", &n), 1);
    assert_true(n > 5);
    while (n-- > 0)
        compare_batch(file);
    assert_int_equal(fscanf(file, " %15s", word), 1);
    assert_string_equal(word, "choices");
    compare_choices(file);
    assert_int_equal(fscanf(file, " %15s", word), 1);
    assert_string_equal(word, "shares");
    compare_shares(file);
    fclose(file);
}

/* Texts that are unlike: 1 each, as ln 1 + 1 / 1; alike: the sum of ln B + 1 / B and, B - 1 times, ln c + 1 / c, with c beside each. */
static void unlike_outputs_score_low_and_alike_ones_high(void **state)
{
    double unlike[9] = {4, 0, 0, 0, 1, 0, 0, 0, 0.25}, alike[9] = {1, 2, 3, 2, 4, 6, 3, 6, 9}, c = 1e-5;
    assert_close(dn_prompt_score(unlike, 3), 3 * (log(1 + c) + 1 / (1 + c)), 1e-14);
    double want = log(3 + c) + 1 / (3 + c) + 2 * (log(c) + 1 / c);
    assert_close(dn_prompt_score(alike, 3), want, TOLERANCE * want);
}

TESTS(layers)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_choices_and_shares_are_the_oracles),
        cmocka_unit_test(unlike_outputs_score_low_and_alike_ones_high),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
