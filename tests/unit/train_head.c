/* The output head under Lion, from a configuration to the weights: its factor 1/sqrt(fan_in) is applied once.
 * A sign times a rate: the first step from 0 moves every weight by exactly that. */
#include "support/close.h"
#include "support/optim_rig.h"
#include "support/tests.h"
#include "train/plan.h"

#include <math.h>
#include <stdio.h>

enum { V = 7, C = 64 };

/* How far the first weight of a parameter of `kind` goes in one step of rate 1. */
static double first_move(const char *scalar_opt, dn_param_kind kind)
{
    char assignment[64];
    const rig_shape shape = {kind, V, C};
    dn_config config;
    dn_plan plan;
    optim_rig rig;
    dn_config_init(&config);
    snprintf(assignment, sizeof assignment, "scalar_opt=%s", scalar_opt);
    assert_int_equal(dn_config_set(&config, assignment), DN_OK);
    assert_int_equal(dn_config_set(&config, "model_dim=64"), DN_OK);
    assert_int_equal(dn_config_set(&config, "n_head=4"), DN_OK);
    assert_int_equal(dn_plan_make(&config, 1, &plan), DN_OK);
    assert_int_equal(rig_create(&rig, NULL, "ref", &plan.optim, &shape, 1), DN_OK);
    for (size_t i = 0; i < V * C; i++)
        rig_grad(&rig, 0)[i] = -2;
    assert_int_equal(rig_step(&rig, 1), DN_OK);
    double move = (double)rig_weight(&rig, 0)[0];
    rig_destroy(&rig);
    return move;
}

static void lion_moves_the_head_by_the_root_of_its_fan_in_less(void **state)
{
    (void)state;
    assert_true(first_move("lion", DN_PARAM_HEAD) == 0.125); /* 1/sqrt(64) */
    assert_true(first_move("lion", DN_PARAM_EMBEDDING) == 1);
}

/* Its first step is a sign, too, but for eps. */
static void adamw_moves_the_head_as_all_others(void **state)
{
    (void)state;
    assert_close(first_move("adamw", DN_PARAM_HEAD), 1, 1e-5);
}

TESTS(train_head)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lion_moves_the_head_by_the_root_of_its_fan_in_less),
        cmocka_unit_test(adamw_moves_the_head_as_all_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
