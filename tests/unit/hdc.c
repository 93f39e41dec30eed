/* Hypervectors against sums of signs, number by number; classes as sums that do not depend on who adds what. */
#include "base/random.h"
#include "hdc/encode.h"
#include "hdc/learn.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { D = 517, WORDS = 9, SEED = 3 };

static int sign_of(const uint64_t *h, size_t d)
{
    return h[d / 64] >> d % 64 & 1 ? -1 : 1;
}

/* Sign d of the random vector of a key, as encode.h has it. */
static int drawn(uint64_t key, size_t d)
{
    return dn_random_bits(SEED, key, d / 64) >> d % 64 & 1 ? -1 : 1;
}

/* The sign of a sum, a 0's that of the fixed vector, which the encoder alone knows: 0 is not compared. */
static void check_sum(const uint64_t *h, size_t d, int sum)
{
    if (sum != 0)
        assert_int_equal(sign_of(h, d), sum > 0 ? 1 : -1);
}

static void trigrams_are_summed_and_their_signs_taken(void **state)
{
    static const char *const texts[] = {"a", "ab", "abc", "abab", "the owl and the pussycat went to sea in a beautiful pea green boat",
                                        "\xff\x80\xc3\xa4"};
    dn_hdc_encoder e;
    uint64_t h[WORDS];
    assert_int_equal(dn_hdc_open(D, SEED, &e), DN_OK);
    assert_int_equal(e.n_words, WORDS);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]);
        char padded[100] = {0};
        memcpy(padded + 1, texts[i], n);
        dn_hdc_ngrams(&e, texts[i], n, h);
        for (size_t d = 0; d < D; d++) {
            int sum = 0;
            for (size_t at = 0; at + 3 <= n + 2; at++)
                sum += drawn((uint64_t)(unsigned char)padded[at] << 16 | (uint64_t)(unsigned char)padded[at + 1] << 8 |
                                 (unsigned char)padded[at + 2],
                             d);
            check_sum(h, d, sum);
        }
        assert_int_equal(h[WORDS - 1] >> D % 64, 0);
    }
    dn_hdc_close(&e);
}

/* Share of signs that differ. */
static double distance(const uint64_t *a, const uint64_t *b)
{
    size_t n = 0;
    for (size_t d = 0; d < D; d++)
        n += sign_of(a, d) != sign_of(b, d);
    return (double)n / D;
}

/* Neighbouring levels differ in 1/32 of the signs, the first and the last in a half: within four deviations of so many draws. */
static void levels_are_the_further_apart_the_more_values_differ(void **state)
{
    dn_hdc_encoder e;
    uint64_t low[WORDS], h[WORDS];
    assert_int_equal(dn_hdc_open(D, SEED, &e), DN_OK);
    dn_hdc_record(&e, (const double[]){0}, 1, 0, 16, low);
    for (size_t l = 0; l <= 16; l++) {
        double share = (double)l / 32, got;
        dn_hdc_record(&e, (const double[]){(double)l}, 1, 0, 16, h);
        got = distance(low, h);
        if (!(fabs(got - share) <= 4 * sqrt(share * (1 - share) / D)))
            fail_msg("level %zu differs in %g of the signs, not %g", l, got, share);
    }
    /* outside of the range it is the last one */
    uint64_t beyond[WORDS];
    dn_hdc_record(&e, (const double[]){99}, 1, 0, 16, beyond);
    assert_memory_equal(beyond, h, sizeof h);
    /* three places, bound to what stands in them: each one's vector alone, summed */
    const double x[] = {3, 3, 12};
    uint64_t alone[3][WORDS];
    dn_hdc_record(&e, x, 3, 0, 16, h);
    for (size_t i = 0; i < 3; i++)
        for (size_t w = 0; w < WORDS; w++)
            alone[i][w] = e.levels[(size_t)x[i] * WORDS + w] ^ dn_random_bits(SEED, (UINT64_C(1) << 32) + i, w);
    for (size_t d = 0; d < D; d++)
        check_sum(h, d, sign_of(alone[0], d) + sign_of(alone[1], d) + sign_of(alone[2], d));
    assert_true(distance(alone[0], alone[1]) > 0.4); /* the same value elsewhere is another vector */
    dn_hdc_close(&e);
}

static void a_projection_gives_its_signs(void **state)
{
    dn_hdc_encoder e;
    dn_real p[D];
    uint64_t h[WORDS];
    assert_int_equal(dn_hdc_open(D, SEED, &e), DN_OK);
    dn_random_normal(1, 0, 0, D, 1, p);
    dn_hdc_signs(&e, p, h);
    for (size_t d = 0; d < D; d++)
        assert_int_equal(sign_of(h, d), p[d] < 0 ? -1 : 1);
    dn_hdc_close(&e);
}

enum { N = 90, CLASSES = 5 };

/* Texts of three letters of five alphabets, one after the other. */
static uint64_t *encoded(void)
{
    dn_hdc_encoder e;
    uint64_t *h = calloc(N, WORDS * sizeof *h);
    assert_int_equal(dn_hdc_open(D, SEED, &e), DN_OK);
    for (size_t i = 0; i < N; i++) {
        char text[12];
        for (size_t k = 0; k < sizeof text; k++)
            text[k] = (char)('a' + 2 * (i % CLASSES) + dn_random_bits(7, i, k) % 3);
        dn_hdc_ngrams(&e, text, sizeof text, h + i * WORDS);
    }
    dn_hdc_close(&e);
    return h;
}

static dn_hdc_classes classes_open(void)
{
    dn_hdc_classes c;
    assert_int_equal(dn_hdc_classes_open(D, CLASSES, &c), DN_OK);
    return c;
}

/* By cosine, of numbers in double. */
static size_t nearest(const dn_hdc_classes *c, const uint64_t *h)
{
    size_t best = 0;
    double closest = -INFINITY;
    for (size_t y = 0; y < CLASSES; y++) {
        double dot = 0, squares = 0;
        for (size_t d = 0; d < D; d++) {
            double sum = (double)c->sums[y * D + d];
            dot += sum * sign_of(h, d);
            squares += sum * sum;
        }
        double cosine = squares > 0 ? dot / sqrt(squares) : 0;
        if (cosine > closest) {
            closest = cosine;
            best = y;
        }
    }
    return best;
}

static void sums_and_predictions_are_those_of_their_definition(void **state)
{
    uint64_t *h = encoded();
    dn_hdc_classes c = classes_open();
    int32_t predicted[N];
    size_t right = 0;
    for (size_t i = 0; i < N; i++)
        if (i % CLASSES != 4) /* the last class has no sum */
            dn_hdc_add(&c, i % CLASSES, i % 7 ? 1 : -2, h + i * WORDS);
    dn_hdc_settle(&c);
    for (size_t y = 0; y < CLASSES; y++)
        for (size_t d = 0; d < D; d++) {
            int32_t sum = 0;
            for (size_t i = 0; i < N; i++)
                if (i % CLASSES == y && y != 4)
                    sum += (i % 7 ? 1 : -2) * sign_of(h + i * WORDS, d);
            assert_int_equal(c.sums[y * D + d], sum);
        }
    dn_hdc_predict_all(&c, h, N, predicted);
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(predicted[i], nearest(&c, h + i * WORDS));
        right += (size_t)predicted[i] == i % CLASSES;
    }
    assert_true(right > N / 2); /* texts of four classes of five, well above a guess */
    dn_hdc_classes_close(&c);
    free(h);
}

/* Clients that have whatever part of the texts, also one class each: the sums of all are those of one, bit for bit. */
static void parts_add_up_to_the_whole(void **state)
{
    uint64_t *h = encoded();
    dn_hdc_classes whole = classes_open();
    for (size_t i = 0; i < N; i++)
        dn_hdc_add(&whole, i % CLASSES, 1, h + i * WORDS);
    for (size_t clients = 2; clients <= 7; clients++) {
        dn_hdc_classes sum = classes_open();
        for (size_t client = clients; client-- > 0;) {
            dn_hdc_classes part = classes_open();
            for (size_t i = 0; i < N; i++)
                if ((clients == 5 ? i : dn_random_bits(11, clients, i)) % clients == client)
                    dn_hdc_add(&part, i % CLASSES, 1, h + i * WORDS);
            dn_hdc_merge(&sum, &part, 1);
            dn_hdc_classes_close(&part);
        }
        assert_memory_equal(sum.sums, whole.sums, CLASSES * D * sizeof *sum.sums);
        dn_hdc_classes_close(&sum);
    }
    dn_hdc_classes_close(&whole);
    free(h);
}

static void changes_are_divided_to_the_nearest(void **state)
{
    dn_hdc_classes c = classes_open(), changes = classes_open();
    const int32_t x[] = {0, 1, 2, 3, 4, 5, 6, -1, -2, -3, -4, -5, -6};
    const int32_t divisors[] = {1, 2, 3, 20};
    for (size_t k = 0; k < 4; k++) {
        memset(c.sums, 0, sizeof *c.sums * CLASSES * D);
        memcpy(changes.sums, x, sizeof x);
        dn_hdc_merge(&c, &changes, divisors[k]);
        for (size_t i = 0; i < sizeof x / sizeof *x; i++)
            assert_int_equal(c.sums[i], lround((double)x[i] / divisors[k])); /* lround: ties away from 0 */
    }
    dn_hdc_classes_close(&c);
    dn_hdc_classes_close(&changes);
}

TESTS(hdc)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trigrams_are_summed_and_their_signs_taken),
        cmocka_unit_test(levels_are_the_further_apart_the_more_values_differ),
        cmocka_unit_test(a_projection_gives_its_signs),
        cmocka_unit_test(sums_and_predictions_are_those_of_their_definition),
        cmocka_unit_test(parts_add_up_to_the_whole),
        cmocka_unit_test(changes_are_divided_to_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
