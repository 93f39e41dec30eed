/* What a configuration of microsoft/dion's training script trains: ten losses of the same model, weights and tokens by an
 * implementation that shares nothing with ours (script_oracle.py). Settings are read as a user gives them. */
#include "oracle/vectors.h"
#include "support/tests.h"

enum { STEPS = 10 };

static void batch(model *m, uint32_t step, void *context)
{
    (void)context;
    oracle_tokens(m, m->tokens, 4000 + step);
    oracle_tokens(m, m->targets, 5000 + step);
}

/* Rounding alone is 1e-15 in double and 1e-7 in float, where a sign of Lion's may turn over, too; another momentum (0.91
 * for 0.9), other coefficients, another scalar optimizer or a warm-up of one step more show at 5e-4 and more. */
static const double bound = sizeof(dn_real) == 8 ? 1e-12 : 1e-4;

static void configurations_of_the_script_train_its_curve(void **state)
{
    (void)state;
    FILE *file = oracle_open("script_losses.txt");
    dn_config config;
    dn_plan plan;
    char name[ORACLE_NAME_MAX];
    double losses[STEPS], got[STEPS];
    int n = 0;
    for (dn_config_init(&config); oracle_next_run(file, &config, name, losses, STEPS); dn_config_init(&config), n++) {
        must(dn_plan_make(&config, 1, &plan));
        model m = oracle_model("ref", oracle_shape, ORACLE_B);
        oracle_train(&m, &plan, STEPS, batch, NULL, 1.0 / ORACLE_N, got);
        for (int step = 0; step < STEPS; step++)
            if (!(fabs(got[step] - losses[step]) < bound * losses[step]))
                fail_msg("%s: loss %.15g of step %d, not %.15g, bound %.2g of it", name, got[step], step, losses[step], bound);
        model_destroy(&m);
    }
    assert_int_equal(n, 9);
    fclose(file);
}

TESTS(script)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configurations_of_the_script_train_its_curve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
