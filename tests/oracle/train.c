/* Ten training steps, GPT and Dion and AdamW together, against an independent implementation
 * (train_oracle.py). */

#include "shard/optimizer.h"
#include "oracle/vectors.h"
#include "support/close.h"
#include "support/tests.h"

enum { STEPS = 10 };

/* As train_oracle.py has them. */
static const double base_lr = 0.02;
static const dn_optim_config settings = {
    .matrix_rule = "dion",
    .scalar_rule = "adamw",
    .groups = {[DN_PARAM_MATRIX] = {.lr_scale = 1, .weight_decay = 0.01},
               [DN_PARAM_EMBEDDING] = {.lr_scale = 0.1},
               [DN_PARAM_HEAD] = {.lr_scale = 0.1}},
    .mu = 0.95,
    .rank_fraction = 0.25,
    .eps = 1e-8,
    .rank_multiple_of = 1,
    .power_iters = 1,
    .beta1 = 0.9,
    .beta2 = 0.95,
};

/* A model with its optimizer, alone. */
typedef struct trainer {
    model m;
    dn_comm *alone;
    dn_mesh *mesh;
    dn_optimizer *optimizer;
} trainer;

/* Q of parameter p, for every p that has one, from the oracle's numbers. */
static void set_bases(const trainer *t)
{
    for (size_t i = 0; i < dn_optimizer_n_states(t->optimizer); i++) {
        const dn_tensor *state = dn_optimizer_state(t->optimizer, i);
        for (uint32_t p = 0; p < t->m.n_params; p++)
            if (strncmp(state->name, "dion.q.", 7) == 0 &&
                strcmp(state->name + 7, t->m.params[p].tensor.name) == 0)
                oracle_upload(t->m.stream, dn_optimizer_state_shard(t->optimizer, i, 0).data,
                              state->rows * state->cols, 3000 + p, 0, 1);
    }
}

static trainer trainer_create(const char *kernels, dn_orth orth)
{
    trainer t = {.m = oracle_model(kernels, oracle_shape, ORACLE_B)};
    dn_optim_config config = settings;
    config.orth = orth;
    const int size[DN_N_AXES] = {1, 1, 1};
    must(dn_comm_create_alone(dn_optimizer_heap_bytes(&config, t.m.params, t.m.n_params, size), &t.alone));
    must(dn_mesh_create(t.alone, size, &t.mesh));
    must(dn_optimizer_create(&config, t.m.params, t.m.n_params, t.m.stream, t.mesh, &t.optimizer));
    set_bases(&t);
    return t;
}

static void trainer_destroy(trainer *t)
{
    dn_optimizer_destroy(&t->optimizer);
    dn_mesh_destroy(&t->mesh);
    dn_comm_destroy(&t->alone);
    model_destroy(&t->m);
}

/* Returns the summed loss of the micro-batch. */
static double train_step(trainer *t, uint32_t step)
{
    model *m = &t->m;
    double loss = 0;
    dn_step_report report;
    oracle_tokens(m, m->tokens, 4000 + step);
    oracle_tokens(m, m->targets, 5000 + step);
    m->stream->kernels->fill(m->stream, m->params[0].grad, m->n_elements, 0);
    must(dn_model_train(m->model, m->tokens, m->targets, ORACLE_B, 1.0 / ORACLE_N, &loss));
    must(dn_optimizer_step(t->optimizer, &(dn_step_params){step, base_lr, 1}, &report));
    assert_false(report.skipped);
    return loss;
}

/* Ten steps move a weight by some tenth of its size, so an error of the updates shows as a tenth here: the
 * plain kernels come within 2 eps. The rest is room for other orders of summation, which a warm-started basis
 * passes on from step to step. In double this is 1.4e-14. */
static const double tolerance = 64 * DN_REAL_EPS;

static void check(const char *kernels, dn_orth orth)
{
    double expected[STEPS];
    FILE *file = oracle_open("gpt_ten_steps.txt");
    oracle_losses(file, expected, STEPS);
    trainer t = trainer_create(kernels, orth);
    for (uint32_t step = 0; step < STEPS; step++)
        assert_close(train_step(&t, step), expected[step], tolerance * expected[step]);
    for (size_t p = 0; p < t.m.n_params; p++) {
        dn_real *weight = host_copy(t.m.stream, t.m.params[p].weight, dn_param_size(&t.m.params[p]));
        assert_below(oracle_difference(file, &t.m.params[p], weight), tolerance);
        free(weight);
    }
    fclose(file);
    trainer_destroy(&t);
}

static void ten_steps_are_the_oracle_s_with_plain_kernels(void **state)
{
    (void)state;
    check("ref", DN_ORTH_QR);
}

static void ten_steps_are_the_oracle_s_with_fast_kernels(void **state)
{
    (void)state;
    check("cpu", DN_ORTH_CQR2);
}

TESTS(train)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_steps_are_the_oracle_s_with_plain_kernels),
        cmocka_unit_test(ten_steps_are_the_oracle_s_with_fast_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
