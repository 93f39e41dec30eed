/*
 * Twenty steps of four replicas under every strategy that lets them step alone, against stored vectors of an independent
 * float64 implementation: each replica's weights, apart where the last step was no exchange, and the strategy's states. In
 * double to 1e-12 of numbers of about 1: sixteen digits and twenty steps that contract. In float the same reckoning gives
 * 1e-4.
 */
#include "strategy/engine.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/ranks.h"
#include "support/tests.h"

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4, N_PARAMS = 3, SIZE = 7 * 3 + 5 * 4 + 6, STEPS = 20 };

typedef struct oracle_case {
    uint32_t seed;
    const char *strategy, *rule;
    dn_strategy_config config;
    const double *weights; /* [N, SIZE] */
    const double *states[DN_STRATEGY_STATES_MAX];
} oracle_case;

#include "oracle/strategies_vectors.h"

enum { N_CASES = sizeof cases / sizeof *cases };

static const double bound = DN_REAL == DN_F64 ? 1e-12 : 1e-4;

static const struct {
    dn_param_kind kind;
    size_t rows, cols;
} model[N_PARAMS] = {{DN_PARAM_EMBEDDING, 7, 3}, {DN_PARAM_MATRIX, 5, 4}, {DN_PARAM_VECTOR, 6, 1}};

/* One replica. All numbers of its parameters, one after another, are copied in and out. */
typedef struct replica {
    dn_mesh *mesh;
    dn_mesh own;
    dn_stream *stream;
    dn_param params[N_PARAMS];
    dn_optimizer *optimizer;
    dn_strategy_run *strategy;
} replica;

static dn_optim_config optimizer_config(const oracle_case *c)
{
    const dn_group_options plain = {.lr_scale = 1};
    dn_optim_config config = {.matrix_rule = c->rule,
                              .scalar_rule = c->rule,
                              .groups = {plain, plain, plain, plain},
                              .mu = 0.9,
                              .rank_fraction = 1,
                              .eps = 1e-8,
                              .rank_multiple_of = 1,
                              .power_iters = 1,
                              .beta1 = 0.9,
                              .beta2 = 0.95};
    config.groups[DN_PARAM_MATRIX].weight_decay = 0.1;
    return config;
}

static dn_status open_replica(replica *r, const oracle_case *c, dn_comm *comm)
{
    const int size[DN_N_AXES] = {N, 1, 1};
    const dn_optim_config config = optimizer_config(c);
    *r = (replica){0};
    DN_TRY(dn_stream_create("ref", 1, &r->stream));
    DN_TRY(dn_mesh_create(comm, size, &r->mesh));
    r->own = dn_mesh_replica(r->mesh);
    for (size_t i = 0; i < N_PARAMS; i++) {
        dn_param *p = &r->params[i];
        void *memory[2];
        *p = (dn_param){.kind = model[i].kind, .rows = model[i].rows, .cols = model[i].cols};
        snprintf(p->name, sizeof p->name, "x%zu", i);
        dn_param_set_whole(p);
        for (int k = 0; k < 2; k++)
            DN_TRY(dn_comm_alloc_device(comm, dn_param_size(p) * sizeof(dn_real), &memory[k]));
        p->weight = memory[0];
        p->grad = memory[1];
    }
    DN_TRY(dn_optimizer_create(&config, r->params, N_PARAMS, r->stream, &r->own, &r->optimizer));
    return dn_strategy_open(dn_strategy_find(c->strategy), &c->config, r->params, N_PARAMS, r->stream, r->mesh,
                            &r->strategy);
}

static void close_replica(replica *r)
{
    dn_strategy_close(&r->strategy);
    dn_optimizer_destroy(&r->optimizer);
    dn_mesh_destroy(&r->mesh);
    dn_stream_destroy(&r->stream);
}

static void set(const replica *r, bool grad, const double *x)
{
    for (size_t i = 0; i < N_PARAMS; x += dn_param_size(&r->params[i]), i++)
        dense_to_real(behind(grad ? r->params[i].grad : r->params[i].weight), x, dn_param_size(&r->params[i]));
}

static void get(const replica *r, double *x)
{
    for (size_t i = 0; i < N_PARAMS; i++)
        for (size_t k = 0; k < dn_param_size(&r->params[i]); k++)
            *x++ = (double)((const dn_real *)behind(r->params[i].weight))[k];
}

/* The shares of all ranks, put together: state `kind` of every parameter. */
static void get_state(const replica *r, size_t kind, double *x)
{
    size_t n_kinds = dn_strategy_n_states(r->strategy) / N_PARAMS;
    for (size_t i = 0; i < N_PARAMS; x += dn_param_size(&r->params[i]), i++)
        for (int rank = 0; rank < N; rank++) {
            dn_shard s = dn_strategy_state_shard(r->strategy, i * n_kinds + kind, rank);
            const dn_real *theirs = behind(dn_comm_peer(r->mesh->all, s.data, rank));
            for (size_t k = 0; k < s.block.rows * s.block.cols; k++)
                x[s.block.row0 * s.block.cols + k] = (double)theirs[k];
        }
}

static void draw(uint32_t *generator, double *out)
{
    for (size_t i = 0; i < SIZE; i++) {
        *generator = 1664525 * *generator + 1013904223;
        out[i] = (double)*generator / 0x1p31 - 1;
    }
}

static int twenty_steps(dn_comm *comm, void *argument)
{
    const oracle_case *c = argument;
    int rank = dn_comm_rank(comm);
    uint32_t generator = c->seed;
    double w[SIZE], g[SIZE], steepness[SIZE], centre[SIZE];
    replica r;
    RANKS_CHECK(open_replica(&r, c, comm) == DN_OK);
    draw(&generator, w);
    for (int i = 0; i <= rank; i++) {
        draw(&generator, steepness);
        draw(&generator, centre);
    }
    set(&r, false, w);
    RANKS_CHECK(dn_strategy_begin(r.strategy) == DN_OK);
    for (uint64_t step = 0; step < STEPS; step++) {
        dn_step_report report;
        get(&r, w);
        for (size_t i = 0; i < SIZE; i++)
            g[i] = (1.5 + steepness[i]) * (w[i] - centre[i]) + w[i] * w[i] * w[i];
        set(&r, true, g);
        RANKS_CHECK(dn_optimizer_step(r.optimizer, &(dn_step_params){step, 0.05, 1}, &report) == DN_OK &&
                    !report.skipped);
        RANKS_CHECK(dn_strategy_exchange(r.strategy, step) == DN_OK);
        RANKS_CHECK(dn_strategy_apart(r.strategy) == ((step + 1) % c->config.sync_every != 0));
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    get(&r, w);
    RANKS_CLOSE(dense_distance(w, c->weights + rank * SIZE, SIZE), 0, bound);
    for (size_t k = 0; k < DN_STRATEGY_STATES_MAX && c->states[k]; k++) {
        RANKS_CHECK(k < dn_strategy_n_states(r.strategy) / N_PARAMS);
        get_state(&r, k, w);
        RANKS_CLOSE(dense_distance(w, c->states[k], SIZE), 0, bound);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK); /* peers read the states */
    close_replica(&r);
    return 0;
}

static void replicas_step_as_the_published_rules_say(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_CASES; i++) {
        oracle_case c = cases[i];
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 22};
        print_message("# case %zu: %s, %s\n", i, c.strategy, c.rule);
        assert_int_equal(ranks_run(&spec, twenty_steps, &c, NULL), 0);
    }
}

/* ---- a gradient that is not finite ---- */

/* On one replica: no replica steps, and all say the same. */
static int one_replica_is_spoiled(dn_comm *comm, void *argument)
{
    const oracle_case *c = argument;
    double w[SIZE], before[SIZE], g[SIZE];
    uint32_t generator = c->seed;
    dn_step_report report;
    replica r;
    RANKS_CHECK(open_replica(&r, c, comm) == DN_OK);
    draw(&generator, before);
    draw(&generator, g);
    set(&r, false, before);
    get(&r, before); /* as they are in this precision */
    if (dn_comm_rank(comm) == 2)
        g[SIZE - 1] = NAN;
    set(&r, true, g);
    RANKS_CHECK(dn_optimizer_step(r.optimizer, &(dn_step_params){0, 0.05, 1}, &report) == DN_OK);
    get(&r, w);
    RANKS_CHECK(report.skipped);
    RANKS_CHECK(memcmp(w, before, sizeof w) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    close_replica(&r);
    return 0;
}

static void a_gradient_that_is_not_finite_on_one_replica_skips_the_step_on_all(void **state)
{
    (void)state;
    oracle_case c = cases[0];
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 22};
    assert_int_equal(ranks_run(&spec, one_replica_is_spoiled, &c, NULL), 0);
}

TESTS(strategies)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_step_as_the_published_rules_say),
        cmocka_unit_test(a_gradient_that_is_not_finite_on_one_replica_skips_the_step_on_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
