/*
 * replicate_mesh_grad_sync: auto. Both predicted times against sums by hand, of a gpt whose replicas have whole matrices; what
 * they lead to, on either side of the 1 %; where there is nothing to choose.
 *
 * Bound: sums of some hundred terms in another order, in double.
 */
#include "train/config_value.h"
#include "train/plan.h"
#include "support/tests.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BOUND 1e-12

/* A row of the table: model, batch, replicas, link; what is exchanged. Widths and rows divide. */
typedef struct row {
    const char *what;
    int64_t C, L, V, T, batch, replicas;
    const char *link;
    bool factors;
} row;

#define QUICKSTART 256, 4, 256, 256
#define GPT_160M   768, 12, 50304, 1024

static const row rows[] = {
    {"a small batch in shared memory", QUICKSTART, 16, 2, "null", false},
    {"a large one", QUICKSTART, 512, 2, "null", true},
    {"a small batch on a slow link", QUICKSTART, 16, 2, "100Mbit:1ms", true},
    {"no bandwidth to speak of", QUICKSTART, 2, 2, "1Mbit:1us", true},
    {"two sequences of a large model", GPT_160M, 2, 2, "null", false},
    {"the reference's batch", GPT_160M, 512, 2, "null", true},
    {"two sequences over 10 Gb/s", GPT_160M, 2, 2, "10Gbit:10us", true},
    {"two sequences over 200 Gb/s", GPT_160M, 2, 2, "200Gbit:10us", false},
    {"many replicas repeat more", GPT_160M, 32, 8, "null", false},
    {"and need a larger batch", GPT_160M, 4096, 8, "null", true},
};

static dn_config config_of(const row *r)
{
    dn_config c;
    char link[64];
    dn_config_init(&c);
    c.model_dim = r->C;
    c.n_layer = r->L;
    c.n_head = 4;
    c.vocab_size = r->V;
    c.sequence_length = r->T;
    c.batch_size = r->batch;
    c.device_batch_size = 1;
    c.dp_size = r->replicas;
    snprintf(link, sizeof link, "link_dp=%s", r->link);
    assert_int_equal(dn_config_set(&c, link), DN_OK);
    return c;
}

static dn_plan plan_of(const dn_config *c)
{
    dn_plan plan;
    if (dn_plan_make(c, (int)c->dp_size, &plan) != DN_OK)
        fail_msg("%s", dn_error_message());
    return plan;
}

/* ---- by hand ---- */

/* Seconds of a step. A matrix m x n, m >= n, at rank r = n/4 costs four products of 2 m n r and the orthonormalization of P, 4 m r^2 -
 * 4/3 r^3, which P replicas share in either case; the products they share only of whole gradients. On a ring a reduce-scatter
 * or an all-gather of N bytes sends N (P-1)/P and has P - 1 hops.
 *
 *   factors     P and R, each summed and gathered; every hundredth step the momentum
 *   gradients   the gradient, summed; the weights, gathered. If the rows of the weight are the long side, of which each
 *               replica has a part, R is summed and gathered and Q gathered; else P is summed and gathered
 *
 * and in both cases the squared norms of R's columns, as doubles, and gradients and weights of embedding and head. */
static double by_hand(const row *r, bool factors, double bytes_per_s, double latency)
{
    double C = (double)r->C, L = (double)r->L, V = (double)r->V, P = (double)r->replicas, real = sizeof(dn_real), rank = C / 4;
    double tokens = (double)r->batch * (double)r->T / P;
    double passes = tokens * (6 * (12 * C * C * L + V * C) + 6 * (double)r->T * C * L); /* scores and values: half a square */
    const struct {
        double count, m;
        bool tall; /* rows are the long side */
    } kinds[] = {{4 * L, C, true}, {L, 4 * C, true}, {L, 4 * C, false}}; /* q, k, v, o; up; down */
    double flops = 0, sent = 2 * 2 * V * C * real;
    for (int k = 0; k < 3; k++) {
        double m = kinds[k].m, products = 4 * 2 * m * C * rank, orth = 4 * m * rank * rank - 4.0 / 3 * rank * rank * rank;
        double p = m * rank * real, q = C * rank * real, whole = m * C * real;
        double of_gradients = 2 * whole + (kinds[k].tall ? 3 * q : 2 * p);
        flops += kinds[k].count * (factors ? products + orth / P : (products + orth) / P);
        sent += kinds[k].count * ((factors ? 2 * p + 2 * q + 2 * whole / 100 : of_gradients) + 2 * rank * 8);
    }
    /* Gradients and weights of what is averaged in full; P and R (and Q), summed and gathered; norms; momenta. */
    double exchanges = 2 + (factors ? 4 + 2.0 / 100 : 5) + 2;
    double rate = 345e9 * 4 / real;
    return (passes + flops) / rate + sent * (P - 1) / P / bytes_per_s + exchanges * (P - 1) * latency;
}

/* As a link is written: "10Gbit:10us". */
static void read_link(const char *text, double *bytes_per_s, double *latency)
{
    double number, time;
    char rate, unit;
    *bytes_per_s = 345e9 / 15; /* shared memory: 15 flops a byte */
    *latency = 0;
    if (sscanf(text, "%lf%cbit:%lf%cs", &number, &rate, &time, &unit) == 4) {
        *bytes_per_s = number * (rate == 'G' ? 1e9 : 1e6) / 8;
        *latency = time * (unit == 'u' ? 1e-6 : 1e-3);
    }
}

static void near(const char *what, double predicted, double expected)
{
    if (!(fabs(predicted - expected) <= BOUND * expected))
        fail_msg("%s: %.17g s predicted, %.17g by hand", what, predicted, expected);
}

/* ---- tests ---- */

/* Hops come once for each batch of matrices that the optimizer makes: by hand there is one. Of the large model on a link, whose
 * matrices are several, the choice alone is compared. */
static void predicted_times_are_those_by_hand_and_lead_to_the_choice(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const row *r = &rows[i];
        dn_config c = config_of(r);
        dn_plan plan = plan_of(&c);
        double bytes_per_s, latency;
        read_link(r->link, &bytes_per_s, &latency);
        double factors = by_hand(r, true, bytes_per_s, latency), gradients = by_hand(r, false, bytes_per_s, latency);
        if (r->C == 256 || latency == 0) {
            near(r->what, plan.exchange.factors_s, factors);
            near(r->what, plan.exchange.gradients_s, gradients);
        }
        assert_true(plan.exchange.asked && !plan.exchange.kept);
        if ((factors <= 1.01 * gradients) != r->factors)
            fail_msg("%s: %g s with factors, %g s with gradients", r->what, factors, gradients);
        if (plan.strategy->factors != r->factors || plan.optim.compress != r->factors || plan.config.optim.compress != r->factors)
            fail_msg("%s: %s, %d, %d", r->what, plan.strategy->name, (int)plan.optim.compress, (int)plan.config.optim.compress);
        assert_string_equal(plan.strategy->name, r->factors ? "factors" : "average");
    }
}

/* The batch from which on factors cost no more than 1 %. */
static void the_choice_changes_where_factors_cost_one_per_cent(void **state)
{
    (void)state;
    row r = {"", QUICKSTART, 2, 2, "null", false};
    while (by_hand(&r, true, 345e9 / 15, 0) > 1.01 * by_hand(&r, false, 345e9 / 15, 0))
        r.batch += 2;
    assert_in_range(r.batch, 20, 200);
    dn_config c = config_of(&r);
    dn_plan plan = plan_of(&c);
    assert_string_equal(plan.strategy->name, "factors");
    c.batch_size -= 2;
    plan = plan_of(&c);
    if (plan.strategy->factors)
        fail_msg("batch %d: %g s with factors, %g s with gradients", (int)c.batch_size, plan.exchange.factors_s, plan.exchange.gradients_s);
}

static void what_is_said_is_not_chosen(void **state)
{
    (void)state;
    static const struct {
        const char *set, *strategy;
        int compress;
    } cases[] = {{"replicate_mesh_grad_sync=true", "factors", DN_COMPRESS_YES},
                 {"replicate_mesh_grad_sync=False", "average", DN_COMPRESS_NO}, /* as Python writes it */
                 {"strategy=factors", "factors", DN_COMPRESS_AUTO},
                 {"strategy=average", "average", DN_COMPRESS_AUTO},
                 {"strategy=diloco", "diloco", DN_COMPRESS_AUTO},
                 {"optimizer=muon", "average", DN_COMPRESS_AUTO},
                 {"dp_size=1", "factors", DN_COMPRESS_AUTO}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t batch = 16; batch <= 512; batch += 496) {
            row r = rows[0];
            r.batch = (int64_t)batch;
            dn_config c = config_of(&r);
            assert_int_equal(dn_config_set(&c, cases[i].set), DN_OK);
            dn_plan plan = plan_of(&c);
            assert_string_equal(plan.strategy->name, cases[i].strategy);
            assert_int_equal(plan.config.optim.compress, cases[i].compress);
            assert_false(plan.exchange.asked);
        }
}

/* At full rank no matrix has smaller factors: both are the same step. */
static void without_smaller_factors_both_times_are_equal(void **state)
{
    (void)state;
    dn_config c = config_of(&rows[0]);
    c.optim.rank_fraction = 1;
    dn_plan plan = plan_of(&c);
    assert_true(plan.exchange.factors_s > 0 && plan.exchange.factors_s == plan.exchange.gradients_s);
}

/* What a checkpoint stores is what was chosen, and reads back. */
static void a_stored_configuration_has_the_choice(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        dn_config c = config_of(&rows[i]), again;
        dn_plan plan = plan_of(&c);
        char *text = dn_config_dump(&plan.config);
        assert_non_null(strstr(text, i ? "\nreplicate_mesh_grad_sync: true\n" : "\nreplicate_mesh_grad_sync: false\n"));
        dn_config_init(&again);
        assert_int_equal(dn_config_parse(&again, text, "stored"), DN_OK);
        assert_int_equal(again.optim.compress, rows[i].factors);
        free(text);
    }
}

TESTS(train_exchange)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predicted_times_are_those_by_hand_and_lead_to_the_choice),
        cmocka_unit_test(the_choice_changes_where_factors_cost_one_per_cent),
        cmocka_unit_test(what_is_said_is_not_chosen),
        cmocka_unit_test(without_smaller_factors_both_times_are_equal),
        cmocka_unit_test(a_stored_configuration_has_the_choice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
