/* What a configuration of microsoft/dion's training script trains: ten losses of the same model, weights and tokens by an
 * implementation that shares nothing with ours (script_oracle.py). Settings are read as a user gives them. */
#include "dionode/config.h"
#include "optim/schedule.h"
#include "oracle/vectors.h"
#include "shard/optimizer.h"
#include "support/close.h"
#include "support/tests.h"
#include "train/plan.h"

enum { STEPS = 10 };

/* The next run of the file: its settings, as a plan, and its losses. False at the end. */
static bool read_run(FILE *file, dn_plan *plan, char *name, size_t bytes, double losses[STEPS])
{
    char line[512];
    dn_config config;
    dn_config_init(&config);
    *name = 0;
    if (!fgets(line, sizeof line, file))
        return false;
    assert_string_equal(line, "run\n");
    while (fgets(line, sizeof line, file) && strncmp(line, "losses", 6) != 0) {
        line[strcspn(line, "\n")] = 0;
        if (dn_config_set(&config, line) != DN_OK)
            fail_msg("%s", dn_error_message());
        size_t used = strlen(name);
        snprintf(name + used, bytes - used, "%s%s", used ? " " : "", line);
    }
    char *at = line + 6;
    for (int i = 0; i < STEPS; i++)
        losses[i] = strtod(at, &at);
    if (dn_plan_make(&config, 1, plan) != DN_OK)
        fail_msg("%s: %s", name, dn_error_message());
    return true;
}

/* Of the model of the oracle, as train.c has it; returns the worst relative difference of a loss. */
static double worst_difference(const dn_plan *plan, const double losses[STEPS])
{
    const int size[DN_N_AXES] = {1, 1, 1};
    model m = oracle_model("ref", oracle_shape, ORACLE_B);
    dn_comm *alone;
    dn_mesh *mesh;
    dn_optimizer *optimizer;
    double worst = 0;
    must(dn_comm_create_alone(dn_optimizer_heap_bytes(&plan->optim, m.params, m.n_params, size), &alone));
    must(dn_mesh_create(alone, size, &mesh));
    must(dn_optimizer_create(&plan->optim, m.params, m.n_params, m.stream, mesh, &optimizer));
    for (uint32_t step = 0; step < STEPS; step++) {
        double loss = 0, lr = plan->config.lr * dn_schedule_factor(&plan->lr_schedule, step, STEPS);
        dn_step_report report;
        oracle_tokens(&m, m.tokens, 4000 + step);
        oracle_tokens(&m, m.targets, 5000 + step);
        m.stream->kernels->fill(m.stream, m.params[0].grad, m.n_elements, 0);
        must(dn_model_train(m.model, m.tokens, m.targets, ORACLE_B, 1.0 / ORACLE_N, &loss));
        must(dn_optimizer_step(optimizer, &(dn_step_params){step, lr, 1}, &report));
        worst = fmax(worst, fabs(loss - losses[step]) / losses[step]);
    }
    dn_optimizer_destroy(&optimizer);
    dn_mesh_destroy(&mesh);
    dn_comm_destroy(&alone);
    model_destroy(&m);
    return worst;
}

/* Rounding alone is 1e-15 in double and 1e-7 in float, where a sign of Lion's may turn over, too; another momentum (0.91
 * for 0.9), other coefficients, another scalar optimizer or a warm-up of one step more show at 5e-4 and more. */
static const double bound = sizeof(dn_real) == 8 ? 1e-12 : 1e-4;

static void configurations_of_the_script_train_its_curve(void **state)
{
    (void)state;
    FILE *file = fopen(ORACLE_DIR "/script_losses.txt", "r");
    assert_non_null(file);
    dn_plan plan;
    char name[512];
    double losses[STEPS];
    int n = 0;
    for (; read_run(file, &plan, name, sizeof name, losses); n++) {
        double worst = worst_difference(&plan, losses);
        if (!(worst < bound))
            fail_msg("%s: a loss differs by %.2g, bound %.2g", name, worst, bound);
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
