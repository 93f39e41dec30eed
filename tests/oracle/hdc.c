/* Hypervectors, sums and predictions of each round of damped retraining, integer by integer, against hdc.txt, which hdc_oracle.py
 * wrote: the same in numpy. */
#include "base/random.h"
#include "hdc/encode.h"
#include "hdc/learn.h"
#include "support/tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64, ROOM = 1024 };
#define PROJECTION (UINT64_C(0x70726f6a) << 24) /* the stream of finetune_hdc.c */

typedef struct stored {
    FILE *file;
    uint64_t seed;
    size_t D, n_classes, n, n_rounds, width;
    double low, high;
    size_t class[MOST];
    dn_hdc_encoder encoder;
    uint64_t *h; /* [n, words] */
} stored;

static void open_stored(stored *x)
{
    *x = (stored){.file = fopen(ORACLE_DIR "/hdc.txt", "r")};
    assert_non_null(x->file);
    assert_int_equal(fscanf(x->file, "seed %lu D %zu classes %zu n %zu rounds %zu width %zu low %lf high %lf", &x->seed, &x->D,
                            &x->n_classes, &x->n, &x->n_rounds, &x->width, &x->low, &x->high), 8);
    assert_true(x->n <= MOST && x->D < ROOM && x->width <= 16);
    for (size_t i = 0; i < x->n; i++)
        assert_int_equal(fscanf(x->file, "%zu", &x->class[i]), 1);
    assert_int_equal(dn_hdc_open(x->D, x->seed, &x->encoder), DN_OK);
    x->h = calloc(x->n, x->encoder.n_words * sizeof *x->h);
    assert_non_null(x->h);
}

static void close_stored(stored *x)
{
    char more[8];
    assert_int_equal(fscanf(x->file, "%7s", more), EOF);
    fclose(x->file);
    dn_hdc_close(&x->encoder);
    free(x->h);
}

/* The next input, encoded. */
static void encode(stored *x, const char *how, uint64_t *h)
{
    char text[ROOM];
    double values[16];
    if (strcmp(how, "ngram") == 0) {
        assert_int_equal(fscanf(x->file, "%1023s", text), 1);
        dn_hdc_ngrams(&x->encoder, text, strlen(text), h);
        return;
    }
    for (size_t i = 0; i < x->width; i++)
        assert_int_equal(fscanf(x->file, "%lf", &values[i]), 1);
    if (strcmp(how, "record") == 0) {
        dn_hdc_record(&x->encoder, values, x->width, x->low, x->high, h);
        return;
    }
    dn_real phi[16], projected[ROOM];
    for (size_t d = 0; d < x->D; d++) {
        double sum = 0;
        dn_random_normal(x->seed, PROJECTION, d * x->width, x->width, 1, phi);
        for (size_t i = 0; i < x->width; i++)
            sum += (double)phi[i] * values[i];
        projected[d] = (dn_real)sum;
    }
    dn_hdc_signs(&x->encoder, projected, h);
}

static void compare_signs(const stored *x, const char *how, size_t i)
{
    char signs[ROOM];
    assert_int_equal(fscanf(x->file, "%1023s", signs), 1);
    assert_int_equal(strlen(signs), x->D);
    for (size_t d = 0; d < x->D; d++) {
        char got = x->h[i * x->encoder.n_words + d / 64] >> d % 64 & 1 ? '-' : '+';
        if (got != signs[d])
            fail_msg("%s, input %zu: sign %zu is %c, the oracle has %c", how, i, d, got, signs[d]);
    }
}

static void compare_stage(const stored *x, const char *how, size_t round, const int32_t *predicted, const int32_t *sums)
{
    for (size_t i = 0; i < x->n + x->n_classes * x->D; i++) {
        int32_t want, got = i < x->n ? predicted[i] : sums[i - x->n];
        assert_int_equal(fscanf(x->file, "%d", &want), 1);
        if (got != want)
            fail_msg("%s, round %zu: %s %zu is %d, the oracle has %d", how, round, i < x->n ? "class of input" : "sum",
                     i < x->n ? i : i - x->n, got, want);
    }
}

/* As finetune_hdc.c goes through them. */
static void compare_rounds(const stored *x, const char *how)
{
    dn_hdc_classes classes, changes;
    int32_t predicted[MOST];
    size_t words = x->encoder.n_words;
    assert_int_equal(dn_hdc_classes_open(x->D, x->n_classes, &classes), DN_OK);
    for (size_t i = 0; i < x->n; i++)
        dn_hdc_add(&classes, x->class[i], 1, x->h + i * words);
    for (size_t round = 0; round <= x->n_rounds; round++) {
        dn_hdc_settle(&classes);
        dn_hdc_predict_all(&classes, x->h, x->n, predicted);
        compare_stage(x, how, round, predicted, classes.sums);
        assert_int_equal(dn_hdc_classes_open(x->D, x->n_classes, &changes), DN_OK);
        for (size_t i = 0; i < x->n; i++)
            if ((size_t)predicted[i] != x->class[i]) {
                dn_hdc_add(&changes, x->class[i], 1, x->h + i * words);
                dn_hdc_add(&changes, (size_t)predicted[i], -1, x->h + i * words);
            }
        dn_hdc_merge(&classes, &changes, (int32_t)round + 1);
        dn_hdc_classes_close(&changes);
    }
    dn_hdc_classes_close(&classes);
}

static void encoders_sums_and_retraining_are_the_oracles(void **state)
{
    static const char *const encoders[] = {"ngram", "record", "features"};
    stored x;
    open_stored(&x);
    for (size_t k = 0; k < 3; k++) {
        char name[16];
        assert_int_equal(fscanf(x.file, "%15s", name), 1);
        assert_string_equal(name, encoders[k]);
        for (size_t i = 0; i < x.n; i++) {
            encode(&x, name, x.h + i * x.encoder.n_words);
            compare_signs(&x, name, i);
        }
        compare_rounds(&x, name);
    }
    close_stored(&x);
}

TESTS(hdc)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders_sums_and_retraining_are_the_oracles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
