/*
 * State in bfloat16, on every mesh of up to 8 ranks against one rank that stores its state so, too.
 *
 * In double, ranks that sum in another order differ by some 1e-16 before a state is rounded, and round alike:
 * a tie between them is a chance of some 1e-13 a number. All then holds as with full state. In float that
 * chance is 1e-4, and a state is an element's unit in the last place away here and there, at most 2^-7 of it;
 * what steps make of that is not followed. Replicas with momenta of their own round each theirs: the mean of
 * these is off by half a unit, 2^-8 of each replica's; the weights of the first step are not.
 */
#include "support/dense.h"
#include "support/mesh_task.h"
#include "support/tests.h"
#include "support/rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IN_DOUBLE (DN_REAL == DN_F64)
#define UNIT      (1.0 / 128) /* in the last place, of a number, at most */

/* ---- on every mesh ---- */

static mesh_task task_of(const char *rule)
{
    mesh_task t = mesh_task_of(rule);
    t.config.state_precision = DN_PRECISION_BFLOAT16;
    if (!IN_DOUBLE) {
        t.states[0] = UNIT;
        t.weights[1] = t.states[1] = INFINITY;
    }
    return t;
}

static void every_rule_whose_copies_work_on_one_gradient_rounds_as_one_rank(void **state)
{
    (void)state;
    for (size_t k = 0; dn_rule_at(k); k++) {
        mesh_task t = task_of(dn_rule_at(k)->name);
        t.config.compress = false;
        mesh_run(t);
    }
}

static void replicas_of_equal_gradients_round_as_one_rank(void **state)
{
    (void)state;
    mesh_task t = task_of("dion");
    t.same = true;
    mesh_run(t);
    t.config.momentum_sync_every = 1;
    mesh_run(t);
    t.config.adaptive_rank = t.config.orth_dion = true;
    mesh_run(t);
}

/* Momenta of independent replicas are sqrt(dp) as long as their mean, or less than twice that by chance. */
static void replicas_with_momenta_of_their_own_are_a_rounding_apart(void **state)
{
    (void)state;
    mesh_task t = task_of("dion");
    t.states[0] = UNIT / 2 * (1 + 2 * sqrt(MESH_MAX_RANKS));
    t.weights[1] = t.states[1] = INFINITY;
    mesh_run(t);
    t.config.momentum_sync_every = 1;
    mesh_run(t);
}

/* ---- memory ---- */

static size_t heap_bytes(dn_optim_config config, const rig_shape *shapes, size_t n, dn_precision precision)
{
    const rig_mesh mesh = {.size = {2, 2, 1}};
    dn_param params[RIG_MAX] = {0};
    config.state_precision = precision;
    for (size_t i = 0; i < n; i++) {
        params[i] =
            (dn_param){.kind = shapes[i].kind, .tensor.rows = shapes[i].rows, .tensor.cols = shapes[i].cols};
    }
    return dn_optimizer_heap_bytes(&config, params, n, mesh.size);
}

/* What one parameter more adds: the room to open states in is there already. */
static size_t added(const dn_optim_config *config, const rig_shape *shapes, size_t n, dn_precision precision)
{
    return heap_bytes(*config, shapes, n, precision) - heap_bytes(*config, shapes, n - 1, precision);
}

static void states_take_half_the_memory(void **state)
{
    (void)state;
    /* Matrices that each fill a batch (Dion's at half their rank), and two moments of an embedding;
     * uncompressed, a quarter of each. The fifth matrix has the owner of the first again. */
    const rig_shape matrix = {DN_PARAM_MATRIX, 16384, 4096}, matrices[] = {matrix, matrix, matrix, matrix, matrix},
                    others[] = {{DN_PARAM_EMBEDDING, 4096, 64}, {DN_PARAM_EMBEDDING, 4096, 64}};
    static const char *const rules[] = {"dion", "muon", "dion3", "adamw"};
    for (size_t k = 0; k < 4; k++) {
        dn_optim_config config = rig_config();
        config.matrix_rule = rules[k];
        config.compress = false;
        config.rank_fraction = is_rule(rules[k], "dion") ? 0.5 : 1;
        size_t momentum = 16384 * 4096 / 4, q = 4096 * 2048 / 4, second = 16384;
        size_t n = momentum + (is_rule(rules[k], "dion")    ? q
                               : is_rule(rules[k], "dion3") ? second
                               : is_rule(rules[k], "adamw") ? momentum
                                                            : 0);
        assert_int_equal(added(&config, matrices, 5, DN_PRECISION_FULL) -
                             added(&config, matrices, 5, DN_PRECISION_BFLOAT16),
                         n * (sizeof(dn_real) - 2));
        assert_int_equal(added(&config, others, 2, DN_PRECISION_FULL), 2 * 1024 * 64 * sizeof(dn_real));
        assert_int_equal(added(&config, others, 2, DN_PRECISION_BFLOAT16), 2 * 1024 * 64 * 2);
    }
}

/* Longer than what is opened at a time, so that there are several stretches, the last of another length. */
static void stretches_of_a_long_parameter_step_as_many_short_ones(void **state)
{
    (void)state;
    enum { ROWS = 5, LONG = 120011 };
    const rig_shape whole[] = {{DN_PARAM_EMBEDDING, ROWS, LONG}},
                    parts[ROWS] = {{DN_PARAM_EMBEDDING, 1, LONG},
                                   {DN_PARAM_EMBEDDING, 1, LONG},
                                   {DN_PARAM_EMBEDDING, 1, LONG},
                                   {DN_PARAM_EMBEDDING, 1, LONG},
                                   {DN_PARAM_EMBEDDING, 1, LONG}};
    optim_rig one, many;
    dn_optim_config config = rig_config();
    config.state_precision = DN_PRECISION_BFLOAT16;
    assert_int_equal(rig_create(&one, NULL, "ref", &config, whole, 1), DN_OK);
    assert_int_equal(rig_create(&many, NULL, "ref", &config, parts, ROWS), DN_OK);
    double *g = dense_random(ROWS, LONG, 1);
    for (int step = 0; step < 3; step++) {
        rig_set_grad(&one, 0, g);
        for (size_t i = 0; i < ROWS; i++)
            rig_set_grad(&many, i, g + i * LONG);
        assert_int_equal(rig_step(&one, 0.02), DN_OK);
        assert_int_equal(rig_step(&many, 0.02), DN_OK);
    }
    for (size_t i = 0; i < ROWS; i++)
        assert_memory_equal(rig_weight(&many, i), rig_weight(&one, 0) + i * LONG, LONG * sizeof(dn_real));
    free(g);
    rig_destroy(&one);
    rig_destroy(&many);
}

static void means_that_would_stand_still_are_refused(void **state)
{
    (void)state;
    const rig_shape shape = {DN_PARAM_VECTOR, 1, 16};
    optim_rig rig;
    dn_optim_config config = rig_config();
    config.beta2 = 0.999;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
    rig_destroy(&rig);
    config.state_precision = DN_PRECISION_BFLOAT16;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_ERR_ARG);
    assert_non_null(strstr(dn_error_message(), "beta2 rounds to no change"));
    rig_destroy(&rig);
    config.beta2 = 0.99;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
    rig_destroy(&rig);
}

TESTS(shard_bfloat16)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_whose_copies_work_on_one_gradient_rounds_as_one_rank),
        cmocka_unit_test(replicas_of_equal_gradients_round_as_one_rank),
        cmocka_unit_test(replicas_with_momenta_of_their_own_are_a_rounding_apart),
        cmocka_unit_test(states_take_half_the_memory),
        cmocka_unit_test(stretches_of_a_long_parameter_step_as_many_short_ones),
        cmocka_unit_test(means_that_would_stand_still_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
