/*
 * Asynchronous stages in two replicas whose weights are averaged, against vectors of an independent program (ravnest_oracle.py):
 * losses of seven steps, and weights when replicas are apart again. In double to 1e-12 of a tensor's largest number: sixteen digits and
 * seven steps; in float the same reckoning gives 1e-4. Gradients of newer or older weights differ by some tenth.
 */
#include "oracle/vectors.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "train/instance.h"

enum { STEPS = 7, DP = 2, STAGES = 4, B = 2 /* sequences of a replica */, PARAMS = 21 };

static const double bound = DN_REAL_EPS < 1e-10 ? 1e-12 : 1e-4;

static const char *const settings[] = {
    "architecture=llama", "model_dim=12", "n_layer=2", "n_head=4", "n_kv_head=2", "head_dim=4", "mlp_dim=20", "vocab_size=19",
    "sequence_length=7", "norm_eps=1e-3", "rope_theta=100", "batch_size=4", "device_batch_size=2", "num_iterations=7", "dp_size=2",
    "pp_size=4", "pipeline=async", "strategy=local_sgd", "sync_every=2", "optimizer=sgd", "scalar_opt=sgd", "mu=0", "weight_decay=0",
    "clip_grad_norm=0"};

static dn_plan plan;

static uint32_t token(uint32_t first, uint64_t row, size_t t, const dn_spec *spec)
{
    uint64_t replica = row / B % DP, step = row / (B * DP);
    return oracle_bits((uint32_t)(first + 10 * step + replica), (uint32_t)(row % B * spec->T + t)) % (uint32_t)spec->V;
}

static dn_status read_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const dn_spec *spec = context;
    for (size_t t = 0; t < spec->T; t++) {
        inputs[t] = (int32_t)token(4000, row, t, spec);
        targets[t] = (int32_t)token(5000, row, t, spec);
    }
    return DN_OK;
}

static void set_weights(const dn_instance *instance)
{
    static const double amplitude[] = {
        [DN_PARAM_MATRIX] = 0.5, [DN_PARAM_EMBEDDING] = 2, [DN_PARAM_HEAD] = 1, [DN_PARAM_VECTOR] = 0.5};
    size_t first = dn_model_first_param(&instance->plan->spec);
    for (size_t i = 0; i < instance->plan->n_params; i++) {
        const dn_param *p = &instance->params[i];
        oracle_upload(instance->stream, p->weight, dn_param_size(p), (uint32_t)(first + i), p->kind == DN_PARAM_VECTOR, amplitude[p->kind]);
    }
}

/* The largest difference of this rank's weights from those in the file; infinite if one is not there. */
static double worst_weight(const dn_instance *instance, int replica, FILE *file)
{
    size_t first = dn_model_first_param(&instance->plan->spec), n_params = instance->plan->n_params;
    double worst = 0;
    for (int r = 0; r < DP; r++)
        for (size_t i = 0; i < PARAMS; i++) {
            char name[DN_PARAM_NAME_MAX];
            size_t rows, cols;
            if (r == replica && i >= first && i < first + n_params) {
                const dn_param *p = &instance->params[i - first];
                dn_real *weight = host_copy(instance->stream, p->weight, dn_param_size(p));
                worst = larger(worst, oracle_difference(file, p, weight));
                free(weight);
                continue;
            }
            bool read = fscanf(file, "%63s %zu %zu", name, &rows, &cols) == 3;
            for (size_t k = 0; read && k < rows * cols; k++)
                read = fscanf(file, "%*a") == 0;
            if (!read)
                return INFINITY;
        }
    return worst;
}

static int follow(dn_comm *comm, void *argument)
{
    const char *kernels = argument;
    dn_plan own = plan;
    dn_mesh *mesh;
    dn_stream *stream;
    dn_instance instance;
    double expected[STEPS];
    const size_t n = B * DP, counted = n * plan.spec.T;
    dn_spec whole = plan.spec;
    FILE *file = oracle_open("ravnest_steps.txt");
    oracle_losses(file, expected, STEPS);
    RANKS_CHECK(dn_stream_create(kernels, 1, &stream) == DN_OK && dn_mesh_create(comm, plan.mesh, &mesh) == DN_OK);
    RANKS_CHECK(dn_plan_enter_stage(&own, mesh->at[DN_PP]) == DN_OK);
    RANKS_CHECK(dn_instance_open(&instance, &own, mesh, stream, true) == DN_OK);
    set_weights(&instance);
    RANKS_CHECK(dn_instance_begin(&instance) == DN_OK);
    for (uint64_t step = 0; step < STEPS; step++) {
        double loss;
        dn_step_report report;
        RANKS_CHECK(dn_instance_gradient(&instance, read_row, &whole, step * n, n, counted, &loss) == DN_OK);
        RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &loss, 1, DN_SUM) == DN_OK);
        RANKS_CLOSE(loss, expected[step], bound * expected[step]);
        size_t behind = STAGES - 1 - (size_t)mesh->at[DN_PP];
        RANKS_CHECK(instance.pipeline.staleness == (behind < step ? behind : step));
        RANKS_CHECK(dn_instance_step(&instance, &(dn_step_params){step, 0.4, 1}, loss, &report) == DN_OK && !report.skipped);
    }
    RANKS_BELOW(worst_weight(&instance, mesh->at[DN_DP], file), bound);
    fclose(file);
    dn_instance_close(&instance);
    dn_mesh_destroy(&mesh);
    dn_stream_destroy(&stream);
    return 0;
}

static void check(const char *kernels)
{
    dn_config config;
    dn_config_init(&config);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        must(dn_config_set(&config, settings[i]));
    must(dn_plan_make(&config, DP * STAGES, &plan));
    const ranks_spec spec = {.kind = AS_THREADS, .n_ranks = DP * STAGES, .arena_bytes = plan.arena_bytes};
    assert_int_equal(plan.n_params, PARAMS);
    assert_int_equal(ranks_run(&spec, follow, (void *)(uintptr_t)kernels, NULL), 0);
}

static void stages_step_by_as_old_weights_as_published_with_plain_kernels(void **state)
{
    (void)state;
    check("ref");
}

static void stages_step_by_as_old_weights_as_published_with_fast_kernels(void **state)
{
    (void)state;
    check("cpu");
}

TESTS(ravnest)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_step_by_as_old_weights_as_published_with_plain_kernels),
        cmocka_unit_test(stages_step_by_as_old_weights_as_published_with_fast_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
