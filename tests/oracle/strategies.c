/*
 * Twenty steps of four replicas under every strategy that does not leave it to the optimizer, by the engine, against stored
 * vectors of an independent float64 implementation: each replica's weights after every step, and the
 * strategy's states; bytes and hops of every step against the model of traffic; memory against formulas. In double to 1e-12 of numbers of about 1: sixteen digits and twenty steps that contract.
 * In float the same reckoning gives 1e-4.
 */
#include "strategy/engine.h"
#include "codec/codec.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "oracle/strategies_vectors.h"
#include "support/close.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "verify/inside.h"
#include "verify/traffic_model.h"

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = STRATEGIES_N, N_PARAMS = STRATEGIES_PARAMS, SIZE = STRATEGIES_SIZE };

static const double bound = DN_REAL == DN_F64 ? 1e-12 : 1e-4;

typedef struct oracle_case {
    const dn_strategy *strategy;
    const char *rule;
    dn_strategy_config config;
    strategies_case vectors;
    dn_bug bug;
} oracle_case;

/* Settings of the vectors as the product's. False where it has none of some. */
static bool read_config(oracle_case *c)
{
    const strategies_case *v = &c->vectors;
    char text[512] = "";
    uint64_t seed = 0;
    c->rule = "sgd"; /* of strategies that step themselves */
    for (size_t i = 0; i < v->n_settings; i++) {
        const strategies_setting *s = &v->settings[i];
        size_t used = strlen(text);
        if (strcmp(s->key, "rule") == 0)
            c->rule = s->value;
        else if (strcmp(s->key, "seed") == 0)
            seed = strtoull(s->value, NULL, 10);
        else
            snprintf(text + used, sizeof text - used, "%s=%s ", s->key, s->value);
    }
    if (dn_strategy_configure(c->strategy, text, STRATEGIES_STEPS, seed, &c->config) == DN_OK)
        return true;
    fprintf(stderr, "# %s: %s\n", text, dn_error_message());
    return false;
}

/* One replica. All numbers of its parameters, one after another, are copied in and out. */
typedef struct replica {
    dn_mesh *mesh;
    dn_mesh own;
    dn_stream *stream;
    dn_param params[N_PARAMS];
    dn_optim_config config;
    dn_optimizer *optimizer;
    dn_strategy_run *strategy;
    size_t strategy_bytes; /* of the heap, that it took */
    dn_plant_tensor owed[N_PARAMS * DN_STRATEGY_STATES_MAX], anchors[N_PARAMS];
    dn_verify planted; /* a bug */
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

/* Of a run that has begun: an anchor that stays where it is has been somewhere. */
static void plant_kernels(replica *r)
{
    dn_plant_memory memory = {.residuals.tensors = r->owed, .anchors.tensors = r->anchors};
    for (size_t i = 0; i < dn_strategy_n_states(r->strategy); i++) {
        const dn_tensor *state = dn_strategy_state(r->strategy, i);
        dn_shard own = dn_strategy_state_shard(r->strategy, i, dn_comm_rank(r->mesh->all));
        const dn_plant_tensor memory_of = {own.data, own.block.rows * own.block.cols * sizeof(dn_real), own.block.rows,
                                           own.block.cols};
        if (state->per_replica)
            r->owed[memory.residuals.n++] = memory_of;
        if (strstr(state->name, ".anchor."))
            r->anchors[memory.anchors.n++] = memory_of;
    }
    dn_plant_kernels(&r->planted, r->stream, &memory);
}

static dn_status open_replica(replica *r, const oracle_case *c, dn_comm *comm)
{
    const int size[DN_N_AXES] = {N, 1, 1};
    *r = (replica){.config = optimizer_config(c)};
    DN_TRY(dn_stream_create("cpu", 1, &r->stream));
    DN_TRY(dn_mesh_create(comm, size, &r->mesh));
    r->own = dn_strategy_mesh(c->strategy, r->mesh);
    for (size_t i = 0; i < N_PARAMS; i++) {
        dn_param *p = &r->params[i];
        void *memory[2];
        const strategies_param *shape = &strategies_params[i];
        *p = (dn_param){.tensor = {.rows = shape->rows, .cols = shape->cols, .type = DN_REAL},
                        .kind = shape->kind,
                        .block = {0, shape->rows, 0, shape->cols}};
        snprintf(p->tensor.name, sizeof p->tensor.name, "x%zu", i);
        for (int k = 0; k < 2; k++)
            DN_TRY(dn_comm_alloc_device(comm, dn_param_size(p) * sizeof(dn_real), &memory[k]));
        p->weight = memory[0];
        p->grad = memory[1];
    }
    DN_TRY(dn_optimizer_create(&r->config, r->params, dn_strategy_n_stepped(c->strategy, N_PARAMS), r->stream, &r->own,
                               &r->optimizer));
    const dn_strategy_parts parts = {&r->config, r->params, N_PARAMS, r->stream, r->mesh, r->optimizer};
    dn_plant_begin(&r->planted.plant, c->bug, r->mesh);
    size_t before = dn_comm_heap_mark(comm);
    DN_TRY(dn_strategy_open(dn_plant_strategy(&r->planted, c->strategy), &c->config, &parts, &r->strategy));
    r->strategy_bytes = dn_comm_heap_mark(comm) - before;
    return DN_OK;
}

static void close_replica(replica *r)
{
    dn_strategy_close(&r->strategy);
    dn_plant_end(&r->planted.plant); /* whose row the strategy was */
    dn_optimizer_destroy(&r->optimizer);
    dn_mesh_destroy(&r->mesh);
    dn_stream_destroy(&r->stream);
}

static void set(const replica *r, bool grad, const double *x)
{
    for (size_t i = 0; i < N_PARAMS; x += dn_param_size(&r->params[i]), i++)
        dense_to_real(behind(grad ? r->params[i].grad : r->params[i].weight), x,
                      dn_param_size(&r->params[i]));
}

static void get(const replica *r, double *x)
{
    for (size_t i = 0; i < N_PARAMS; i++)
        for (size_t k = 0; k < dn_param_size(&r->params[i]); k++)
            *x++ = (double)((const dn_real *)behind(r->params[i].weight))[k];
}

/* A state of every parameter, put together of the ranks' shares or, where each replica has one, this one's. */
static bool get_state(const replica *r, const char *name, double *x)
{
    for (size_t p = 0; p < N_PARAMS; x += dn_param_size(&r->params[p]), p++) {
        char wanted[DN_TENSOR_NAME_MAX];
        size_t index = 0, n = dn_strategy_n_states(r->strategy);
        snprintf(wanted, sizeof wanted, "%.60s.%.60s", name, r->params[p].tensor.name);
        while (index < n && strcmp(dn_strategy_state(r->strategy, index)->name, wanted) != 0)
            index++;
        if (index == n)
            return false;
        for (int rank = 0; rank < N; rank++) {
            dn_shard s = dn_strategy_state_shard(r->strategy, index, rank);
            const dn_real *theirs = behind(dn_comm_peer(r->mesh->all, s.data, rank));
            if (dn_strategy_state(r->strategy, index)->per_replica && rank != dn_comm_rank(r->mesh->all))
                continue;
            for (size_t k = 0; k < s.block.rows * s.block.cols; k++)
                x[s.block.row0 * s.block.cols + k] = (double)theirs[k];
        }
    }
    return true;
}

/* What a step must exchange: along dp, in islands and across them. Returns a communicator's set, or NULL. */
static dn_comm *set_of(const replica *r, unsigned set)
{
    return set == DN_AXIS(DN_DP)   ? dn_mesh_comm(r->mesh, set)
           : set == DN_SET_ISLAND ? dn_strategy_comm(r->strategy, DN_SCOPE_ISLAND)
                                  : dn_strategy_comm(r->strategy, DN_SCOPE_ACROSS);
}

static const unsigned sets[] = {DN_AXIS(DN_DP), DN_SET_ISLAND, DN_SET_ACROSS};

/* Bytes of every kind and hops, as counted since the step began, are those of the formula: under settings that send a part, too,
 * whose lengths the formula asks of the run where numbers decide about them. */
static int check_traffic(const replica *r, uint64_t t)
{
    dn_comm *comm = r->mesh->all;
    dn_traffic_model model = {0};
    const dn_strategy_case strategy = {dn_strategy_row(r->strategy), dn_strategy_settings_of(r->strategy), r->optimizer, r->strategy};
    dn_traffic_of_strategy(&strategy, r->params, N_PARAMS, r->mesh, t, &model);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        if (!set_of(r, sets[i]))
            continue;
        const dn_comm_stats counted = dn_comm_get_stats(set_of(r, sets[i]), true);
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
            if (!dn_traffic_plans_hops(strategy.strategy, sets[i], (dn_traffic)kind))
                continue; /* control */
            RANKS_CLOSE((double)counted.payload[kind], (double)model.payload[sets[i]][kind], 0);
            RANKS_CLOSE((double)counted.hops[kind], (double)model.hops[sets[i]][kind], 0);
        }
    }
    return 0;
}

/* Of this rank's replica. */
static int engine_step(void *self, uint64_t t, double loss, const double *g, double *w)
{
    replica *r = self;
    dn_step_report report;
    dn_comm *comm = r->mesh->all;
    set(r, true, g);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (set_of(r, sets[i]))
            dn_comm_get_stats(set_of(r, sets[i]), true);
    RANKS_CHECK(dn_strategy_step(r->strategy, &(dn_step_params){t, STRATEGIES_LR, 1}, loss, &report) == DN_OK &&
                !report.skipped);
    if (r->planted.plant.bug == DN_BUG_NONE)
        RANKS_CHECK(check_traffic(r, t) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    get(r, w);
    double ends[2] = {w[0] + w[SIZE - 1], -(w[0] + w[SIZE - 1])};
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, ends, 2, DN_MAX) == DN_OK);
    RANKS_CHECK(dn_strategy_apart(r->strategy) || ends[0] == -ends[1]);
    return 0;
}

static int compare_states(const replica *r, dn_comm *comm, const oracle_case *c)
{
    double *x = calloc(SIZE, sizeof *x);
    strategies_deviation d = {0};
    for (size_t k = 0; k < c->vectors.n_states && !d.found; k++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%s", c->strategy->name, c->vectors.states[k].name);
        RANKS_CHECK(get_state(r, name, x));
        d = strategies_compare_state(&c->vectors, k, dn_comm_rank(comm), x, bound);
    }
    free(x);
    if (d.found)
        strategies_print(c->strategy->name, &c->vectors, &d);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK); /* peers read the states */
    return d.found;
}

static int twenty_steps(dn_comm *comm, void *argument)
{
    const oracle_case *c = argument;
    double *w = calloc(SIZE, sizeof *w);
    strategies_deviation d;
    replica r;
    RANKS_CHECK(open_replica(&r, c, comm) == DN_OK);
    strategies_start(w);
    set(&r, false, w);
    free(w);
    RANKS_CHECK(dn_strategy_begin(r.strategy) == DN_OK);
    int result = strategies_follow(&c->vectors, dn_comm_rank(comm), 1, bound, engine_step, &r, &d);
    if (d.found)
        strategies_print(c->strategy->name, &c->vectors, &d);
    if (result == 0)
        result = compare_states(&r, comm, c);
    close_replica(&r);
    return result;
}

static void follow_file(const dn_strategy *strategy)
{
    FILE *file = strategies_open(strategy->name);
    oracle_case c = {.strategy = strategy};
    if (!file)
        fail_msg("%s has no vectors in tests/oracle/strategies", strategy->name);
    while (strategies_next(file, &c.vectors)) {
        const char *wire = strategies_text(&c.vectors, "wire");
        if (wire && !dn_codec_find(wire)) {
            print_message("# skipped, for there is no codec %s: a case of %s\n", wire, strategy->name);
            continue;
        }
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 24};
        if (!read_config(&c))
            fail_msg("%s: vectors with a setting that this test does not pass on", strategy->name);
        assert_int_equal(ranks_run(&spec, twenty_steps, &c, NULL), 0);
    }
    fclose(file);
}

static void replicas_step_as_the_published_rules_say(void **state)
{
    (void)state;
    const dn_strategy *strategy;
    size_t n = 0;
    for (size_t i = 0; (strategy = dn_strategy_at(i)); i++) {
        if (!dn_strategy_has_engine(strategy))
            continue; /* of the optimizer: family.c, dion.c, tests/ranks; or of clients: client_runs.py */
        follow_file(strategy);
        n++;
    }
    assert_above(n, 0);
}

/* ---- planted bugs ---- */

/* Weights that are wrong are wrong on all: each says whether its own are, and none of what it expected. */
static int bug_is_seen(dn_comm *comm, void *argument)
{
    const oracle_case *c = argument;
    double *w = calloc(SIZE, sizeof *w);
    strategies_deviation d = {0};
    replica r;
    RANKS_CHECK(open_replica(&r, c, comm) == DN_OK);
    strategies_start(w);
    set(&r, false, w);
    free(w);
    RANKS_CHECK(dn_strategy_begin(r.strategy) == DN_OK);
    plant_kernels(&r);
    (void)strategies_follow(&c->vectors, dn_comm_rank(comm), 1, bound, engine_step, &r, &d);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    close_replica(&r);
    return !d.found;
}

static void bugs_of_what_replicas_send_and_keep_are_noticed(void **state)
{
    (void)state;
    static const struct {
        dn_bug bug;
        const char *strategy;
    } places[] = {{DN_BUG_SKIP_FEEDBACK, "sparseloco"},      {DN_BUG_SKIP_FEEDBACK, "demo"},
                  {DN_BUG_SKIP_FEEDBACK, "dynthresh"},       {DN_BUG_SKIP_FEEDBACK, "replicators"},
                  {DN_BUG_SKIP_FEEDBACK, "powersgd"},        {DN_BUG_OWN_NOT_SUBTRACTED, "sparseloco"},
                  {DN_BUG_OWN_NOT_SUBTRACTED, "demo"},       {DN_BUG_OWN_NOT_SUBTRACTED, "dynthresh"},
                  {DN_BUG_OWN_NOT_SUBTRACTED, "replicators"}, {DN_BUG_OWN_NOT_SUBTRACTED, "powersgd"},
                  {DN_BUG_MEAN_FOR_SENDERS, "sparseloco"},    {DN_BUG_MEAN_FOR_SENDERS, "demo"},
                  {DN_BUG_STALE_ANCHOR, "cyclic"},            {DN_BUG_STALE_ANCHOR, "noloco"},
                  {DN_BUG_STALE_ANCHOR, "streaming"},         {DN_BUG_STALE_ANCHOR, "sparseloco"},
                  {DN_BUG_LATE_APPLY, "streaming"},           {DN_BUG_LATE_APPLY, "daso"},
                  {DN_BUG_WRONG_PAIR, "noloco"},              {DN_BUG_POISON_PROBE, "fda"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        oracle_case c = {.strategy = dn_strategy_find(places[i].strategy), .bug = places[i].bug};
        FILE *file = strategies_open(places[i].strategy);
        assert_true(file && strategies_next(file, &c.vectors) && read_config(&c));
        fclose(file);
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 24};
        if (ranks_run(&spec, bug_is_seen, &c, NULL) != 0)
            fail_msg("%s in %s is not noticed", dn_bug_name(places[i].bug), places[i].strategy);
    }
}

/* ---- numbers that are none ---- */

/* In the probe of one replica: weights are averaged on all, in every step, under a threshold that nothing else passes. */
static int one_replica_tells_no_numbers(dn_comm *comm, void *argument)
{
    const oracle_case *c = argument;
    double *w = calloc(SIZE, sizeof *w), *g = calloc(SIZE, sizeof *g);
    dn_step_report report;
    replica r;
    RANKS_CHECK(open_replica(&r, c, comm) == DN_OK);
    strategies_start(w);
    set(&r, false, w);
    RANKS_CHECK(dn_strategy_begin(r.strategy) == DN_OK);
    for (uint64_t t = 0; t < 3; t++) {
        strategies_gradient(dn_comm_rank(comm), t, w, g);
        set(&r, true, g);
        RANKS_CHECK(dn_strategy_step(r.strategy, &(dn_step_params){t, STRATEGIES_LR, 1}, 1, &report) == DN_OK && !report.skipped);
        RANKS_CHECK(dn_strategy_apart(r.strategy) == (c->bug == DN_BUG_NONE));
        get(&r, w);
        for (size_t k = 0; k < SIZE; k++)
            g[k] = -w[k];
        RANKS_CHECK(dn_comm_all_reduce_scalars(comm, w, SIZE, DN_MAX) == DN_OK);
        RANKS_CHECK(dn_comm_all_reduce_scalars(comm, g, SIZE, DN_MAX) == DN_OK);
        for (size_t k = 0; k < SIZE && c->bug != DN_BUG_NONE; k++)
            RANKS_CLOSE(w[k], -g[k], 0);
        get(&r, w);
    }
    close_replica(&r);
    free(w);
    free(g);
    return 0;
}

static void all_replicas_take_the_same_branch_over_a_probe_that_is_no_number(void **state)
{
    (void)state;
    static const char *const monitors[] = {"linear", "sketch", "naive", "exact"};
    for (size_t i = 0; i < 2 * (sizeof monitors / sizeof *monitors); i++) {
        char settings[64];
        oracle_case c = {.strategy = dn_strategy_find("fda"), .rule = "sgd", .bug = i % 2 ? DN_BUG_POISON_PROBE : DN_BUG_NONE};
        snprintf(settings, sizeof settings, "monitor=%s variance_threshold=1e30", monitors[i / 2]);
        assert_int_equal(dn_strategy_configure(c.strategy, settings, STRATEGIES_STEPS, 1, &c.config), DN_OK);
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 24};
        assert_int_equal(ranks_run(&spec, one_replica_tells_no_numbers, &c, NULL), 0);
    }
}

/* On one replica: no replica steps, and all say the same. */
static int one_replica_is_spoiled(dn_comm *comm, void *argument)
{
    const oracle_case *c = argument;
    double *before = calloc(SIZE, sizeof *before), *g = calloc(SIZE, sizeof *g), *w = calloc(SIZE, sizeof *w);
    dn_step_report report;
    replica r;
    RANKS_CHECK(open_replica(&r, c, comm) == DN_OK);
    strategies_start(before);
    strategies_gradient(dn_comm_rank(comm), 0, before, g);
    set(&r, false, before);
    get(&r, before); /* as they are in this precision */
    if (dn_comm_rank(comm) == 2)
        g[SIZE - 1] = NAN;
    set(&r, true, g);
    RANKS_CHECK(dn_strategy_step(r.strategy, &(dn_step_params){0, STRATEGIES_LR, 1}, 1, &report) == DN_OK);
    get(&r, w);
    RANKS_CHECK(report.skipped);
    RANKS_CHECK(memcmp(w, before, SIZE * sizeof *w) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    close_replica(&r);
    free(before);
    free(g);
    free(w);
    return 0;
}

static void a_gradient_that_is_not_finite_on_one_replica_skips_the_step_on_all(void **state)
{
    (void)state;
    const dn_strategy *strategy;
    for (size_t i = 0; (strategy = dn_strategy_at(i)); i++) {
        oracle_case c = {.strategy = strategy, .rule = "sgd"};
        if (strategy->clients)
            continue;
        assert_int_equal(dn_strategy_configure(strategy, NULL, STRATEGIES_STEPS, 1, &c.config), DN_OK);
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 24};
        assert_int_equal(ranks_run(&spec, one_replica_is_spoiled, &c, NULL), 0);
    }
}

/* ---- in flight through a checkpoint ---- */

static int step_on(replica *r, uint64_t t, bool spoiled)
{
    double *w = calloc(SIZE, sizeof *w), *g = calloc(SIZE, sizeof *g);
    dn_comm *comm = r->mesh->all;
    dn_step_report report;
    get(r, w);
    strategies_gradient(dn_comm_rank(comm), t, w, g);
    if (spoiled && dn_comm_rank(comm) == 1)
        g[0] = NAN;
    set(r, true, g);
    RANKS_CHECK(dn_strategy_step(r->strategy, &(dn_step_params){t, STRATEGIES_LR, 1}, 1 / (1. + (double)t), &report) == DN_OK);
    RANKS_CHECK(report.skipped == spoiled);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    free(w);
    free(g);
    return 0;
}

static void copy_shard(dn_shard to, dn_shard from)
{
    memcpy(behind(to.data), behind(from.data), from.block.rows * from.block.cols * sizeof(dn_real));
}

/* As through a file: weights and states, by their names. Returns how many were in flight. */
static int restore(replica *to, replica *from, size_t *n_flying)
{
    double *w = calloc(SIZE, sizeof *w);
    dn_comm *comm = from->mesh->all;
    int rank = dn_comm_rank(comm);
    get(from, w);
    set(to, false, w);
    free(w);
    RANKS_CHECK(dn_strategy_begin(to->strategy) == DN_OK);
    RANKS_CHECK(dn_strategy_show(from->strategy) == DN_OK);
    size_t n = dn_strategy_n_states(from->strategy), n_new = dn_strategy_n_states(to->strategy);
    *n_flying = n - n_new;
    for (size_t i = 0; i < n; i++)
        dn_strategy_expect(to->strategy, dn_strategy_state(from->strategy, i)->name);
    RANKS_CHECK(dn_strategy_n_states(to->strategy) == n);
    for (size_t i = 0; i < n; i++) {
        char name[DN_TENSOR_NAME_MAX];
        snprintf(name, sizeof name, "%s", dn_strategy_state(from->strategy, i)->name);
        RANKS_CHECK(strcmp(dn_strategy_state(to->strategy, i)->name, name) == 0);
        copy_shard(dn_strategy_state_shard(to->strategy, i, rank), dn_strategy_state_shard(from->strategy, i, rank));
    }
    for (size_t i = 0; i < dn_optimizer_n_states(from->optimizer); i++)
        copy_shard(dn_optimizer_state_shard(to->optimizer, i, rank), dn_optimizer_state_shard(from->optimizer, i, rank));
    RANKS_CHECK(dn_strategy_restored(to->strategy) == DN_OK);
    return 0;
}

/* Messages that begin in step 3 (streaming) or 2 (daso) are to end two steps later; that one is skipped, and then the run is
 * saved. */
static int goes_on_after_a_skipped_end(dn_comm *comm, void *argument)
{
    const oracle_case *c = argument;
    double *w = calloc(SIZE, sizeof *w), *again = calloc(SIZE, sizeof *again);
    const uint64_t skipped = strcmp(c->strategy->name, "daso") == 0 ? 4 : 5;
    size_t n_flying;
    replica r, other;
    RANKS_CHECK(open_replica(&r, c, comm) == DN_OK);
    RANKS_CHECK(open_replica(&other, c, comm) == DN_OK);
    strategies_start(w);
    set(&r, false, w);
    RANKS_CHECK(dn_strategy_begin(r.strategy) == DN_OK);
    for (uint64_t t = 0; t <= skipped; t++)
        RANKS_CHECK(step_on(&r, t, t == skipped) == 0);
    RANKS_CHECK(restore(&other, &r, &n_flying) == 0 && n_flying > 0);
    for (uint64_t t = skipped + 1; t < STRATEGIES_STEPS; t++) {
        RANKS_CHECK(step_on(&r, t, false) == 0 && step_on(&other, t, false) == 0);
        get(&r, w);
        get(&other, again);
        for (size_t k = 0; k < SIZE; k++)
            if (w[k] != again[k]) {
                fprintf(stderr, "%s, step %d, weight %zu: %.17g, restored %.17g\n", c->strategy->name, (int)t, k, w[k], again[k]);
                return 1;
            }
    }
    close_replica(&other);
    close_replica(&r);
    free(w);
    free(again);
    return 0;
}

static void messages_whose_end_was_skipped_are_in_flight_again_after_a_restart(void **state)
{
    (void)state;
    static const char *const runs[][2] = {{"streaming", "sync_every=4 fragments=2 overlap=2"},
                                          {"streaming", "sync_every=4 fragments=2 overlap=2 wire=fp4"},
                                          {"daso", "islands=2 across_every=3 across_wait=2"}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        oracle_case c = {.strategy = dn_strategy_find(runs[i][0]), .rule = "adamw"};
        assert_int_equal(dn_strategy_configure(c.strategy, runs[i][1], STRATEGIES_STEPS, 1, &c.config), DN_OK);
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 24};
        assert_int_equal(ranks_run(&spec, goes_on_after_a_skipped_end, &c, NULL), 0);
    }
}

/* ---- memory ---- */

/* What a replica keeps and sends by the definition of its strategy, of a parameter of m x n numbers; its share of the rows is
 * m / N, rounded up. */
typedef struct memory_formula {
    const char *strategy, *settings;
    int blocks, shares;                           /* states of m x n numbers, and of a share */
    int windows;                                  /* messages of m x n numbers with memory of their own */
    size_t (*others)(const strategies_param *p);  /* bytes of states and messages of another size */
    size_t (*scratch)(const strategies_param *p); /* numbers, of the parameter that needs most */
    int lengths;                                  /* exchanges whose messages have memory of their own: a length each */
    int numbers;                                  /* of the strategy as a whole */
    int comms;                                    /* communicators of islands */
    int rule_blocks, rule_shares;                 /* states of AdamW */
} memory_formula;

/* As it is taken of a heap. */
static size_t piece(size_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

static size_t piece_of(size_t numbers)
{
    return piece(numbers * sizeof(dn_real));
}

static size_t in_eights(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

static size_t parts_of(size_t n, size_t part)
{
    return (n + part - 1) / part;
}

static size_t size_of(const strategies_param *p)
{
    return p->rows * p->cols;
}

static size_t twice(const strategies_param *p)
{
    return 2 * size_of(p);
}

static size_t drift_and_anchor(const strategies_param *p)
{
    return piece_of(2 * size_of(p));
}

static size_t topk_message(size_t entries)
{
    return piece(in_eights(2 * entries) + in_eights(entries * sizeof(dn_real)));
}

/* 0.0156 of each tile of 64 x 64, or of the parameter, if that is smaller. */
static size_t sparseloco_entries(const strategies_param *p)
{
    size_t rows = p->rows < 64 ? p->rows : 64, cols = p->cols < 64 ? p->cols : 64;
    return parts_of(p->rows, rows) * parts_of(p->cols, cols) * (size_t)ceil(0.0156 * (double)(rows * cols));
}

static size_t sparseloco_message(const strategies_param *p)
{
    return topk_message(sparseloco_entries(p));
}

static size_t sparseloco_scratch(const strategies_param *p)
{
    return size_of(p) + sparseloco_entries(p);
}

/* Whole tiles of 64 x 64 of a matrix, with 32 coefficients, or runs of 64, with one. */
static size_t demo_tiles(const strategies_param *p)
{
    bool is_run = p->kind != DN_PARAM_MATRIX;
    size_t runs = p->cols == 1 ? parts_of(p->rows, 64) : p->rows * parts_of(p->cols, 64);
    return is_run ? runs : parts_of(p->rows, 64) * parts_of(p->cols, 64);
}

static size_t demo_entries(const strategies_param *p)
{
    return demo_tiles(p) * (p->kind == DN_PARAM_MATRIX ? 32 : 1);
}

static size_t demo_message(const strategies_param *p)
{
    return topk_message(demo_entries(p));
}

/* Sums and counts of coefficients, and those that were sent. */
static size_t demo_scratch(const strategies_param *p)
{
    return 2 * demo_tiles(p) * (p->kind == DN_PARAM_MATRIX ? 4096 : 64) + demo_entries(p);
}

/* The threshold and what was counted; entries, as many bytes as all numbers at most; the count. */
static size_t dynthresh_others(const strategies_param *p)
{
    return piece_of(2) + piece(in_eights(size_of(p) * sizeof(dn_real))) + piece_of(1);
}

/* P and Q of rank 4, kept and sent; of a parameter that is sent in full a column of both is kept. */
static size_t powersgd_others(const strategies_param *p)
{
    size_t r = 4 * (p->rows + p->cols) < size_of(p) ? 4 : 0, kept = r ? r : 1;
    return piece_of(p->rows * kept) + piece_of(p->cols * kept) + piece_of(p->rows * r) + piece_of(p->cols * r);
}

/* A message in four bits, and its bytes as numbers, for checkpoints. */
static size_t fp4_in_flight(const strategies_param *p)
{
    size_t scales = in_eights(parts_of(size_of(p), 256) * sizeof(dn_real)), bytes = in_eights(scales + parts_of(size_of(p), 2));
    return piece(bytes) + piece_of(bytes);
}

static const memory_formula memory_formulas[] = {
    {"average", .rule_shares = 2},
    {"factors", .rule_shares = 2},
    {"local_sgd", .rule_blocks = 2},
    {"diloco", .shares = 2, .rule_blocks = 2},
    {"cyclic", .shares = 1, .rule_blocks = 2},
    {"streaming", "overlap=2", .blocks = 2, .windows = 1, .lengths = 1, .rule_blocks = 2},
    {"streaming", "overlap=2 wire=fp4", .blocks = 2, .others = fp4_in_flight, .lengths = 1, .rule_blocks = 2},
    {"desloc", .scratch = twice, .rule_blocks = 2},
    {"noloco", .blocks = 2, .others = drift_and_anchor, .lengths = 1, .rule_blocks = 2},
    {"fda", .blocks = 2, .rule_blocks = 2},
    {"daso", "islands=2", .windows = 1, .lengths = 1, .numbers = 9, .comms = 2, .rule_blocks = 2},
    {"sparseloco", .blocks = 2, .others = sparseloco_message, .scratch = sparseloco_scratch, .lengths = 1, .rule_blocks = 2},
    {"demo", .blocks = 1, .others = demo_message, .scratch = demo_scratch, .lengths = 1},
    {"replicators", .blocks = 1, .windows = 1, .lengths = 1},
    {"dynthresh", .blocks = 1, .others = dynthresh_others, .scratch = size_of, .lengths = 2, .rule_blocks = 2},
    {"powersgd", .blocks = 1, .others = powersgd_others, .lengths = 2, .rule_blocks = 2},
};

static size_t share_of(const strategies_param *p)
{
    return parts_of(p->rows, N) * p->cols;
}

static size_t bytes_by(const memory_formula *f)
{
    size_t bytes = (size_t)f->lengths * piece(N_PARAMS * sizeof(uint64_t)) + piece_of(4 * (size_t)f->numbers) +
                   (size_t)f->comms * dn_split_bytes(N, 0),
           scratch = 0;
    for (const strategies_param *p = strategies_params; p < strategies_params + N_PARAMS; p++) {
        size_t needed = f->scratch ? f->scratch(p) : 0;
        bytes += (size_t)(f->blocks + f->windows) * piece_of(size_of(p)) + (size_t)f->shares * piece_of(share_of(p)) +
                 (f->others ? f->others(p) : 0);
        scratch = needed > scratch ? needed : scratch;
    }
    return bytes + piece_of(scratch);
}

/* Of the rule's states, as numbers of the first replica. */
static size_t rule_numbers_by(const memory_formula *f)
{
    size_t n = 0;
    for (const strategies_param *p = strategies_params; p < strategies_params + N_PARAMS; p++)
        n += (size_t)f->rule_blocks * size_of(p) + (size_t)f->rule_shares * share_of(p);
    return n;
}

static size_t rule_numbers_of(const replica *r)
{
    size_t n = 0;
    for (size_t i = 0; i < dn_optimizer_n_states(r->optimizer); i++) {
        dn_shard own = dn_optimizer_state_shard(r->optimizer, i, dn_comm_rank(r->mesh->all));
        n += own.block.rows * own.block.cols;
    }
    return n;
}

typedef struct memory_case {
    oracle_case oracle;
    const memory_formula *formula;
} memory_case;

static int memory_is_by_the_formula(dn_comm *comm, void *argument)
{
    const memory_case *m = argument;
    size_t bytes = bytes_by(m->formula), numbers = rule_numbers_by(m->formula);
    double *w = calloc(SIZE, sizeof *w);
    replica r;
    RANKS_CHECK(open_replica(&r, &m->oracle, comm) == DN_OK);
    if (dn_comm_rank(comm) == 0)
        print_message("# %s %s: %zu bytes a replica, by the formula %zu; %zu numbers of the rule, by the formula %zu\n",
                      m->formula->strategy, m->formula->settings ? m->formula->settings : "", r.strategy_bytes, bytes,
                      rule_numbers_of(&r), numbers);
    RANKS_CLOSE((double)r.strategy_bytes, (double)bytes, 0);
    if (dn_comm_rank(comm) == 0)
        RANKS_CLOSE((double)rule_numbers_of(&r), (double)numbers, 0);
    size_t mark = dn_comm_heap_mark(comm);
    strategies_start(w);
    set(&r, false, w);
    free(w);
    RANKS_CHECK(dn_strategy_begin(r.strategy) == DN_OK);
    for (uint64_t t = 0; t < 5; t++)
        RANKS_CHECK(step_on(&r, t, false) == 0);
    RANKS_CLOSE((double)dn_comm_heap_mark(comm), (double)mark, 0);
    close_replica(&r);
    return 0;
}

static void replicas_take_the_memory_that_formulas_say(void **state)
{
    (void)state;
    const dn_strategy *strategy;
    for (size_t i = 0; (strategy = dn_strategy_at(i)); i++) {
        size_t n = 0;
        for (size_t k = 0; k < sizeof memory_formulas / sizeof *memory_formulas; k++) {
            memory_case m = {{.strategy = strategy, .rule = "adamw"}, &memory_formulas[k]};
            if (strcmp(memory_formulas[k].strategy, strategy->name) != 0)
                continue;
            assert_int_equal(dn_strategy_configure(strategy, m.formula->settings, STRATEGIES_STEPS, 1, &m.oracle.config), DN_OK);
            ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = (size_t)1 << 24};
            assert_int_equal(ranks_run(&spec, memory_is_by_the_formula, &m, NULL), 0);
            n++;
        }
        if (n == 0 && !strategy->clients)
            fail_msg("%s has no formula of its memory", strategy->name);
    }
}

TESTS(strategies)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_step_as_the_published_rules_say),
        cmocka_unit_test(bugs_of_what_replicas_send_and_keep_are_noticed),
        cmocka_unit_test(all_replicas_take_the_same_branch_over_a_probe_that_is_no_number),
        cmocka_unit_test(a_gradient_that_is_not_finite_on_one_replica_skips_the_step_on_all),
        cmocka_unit_test(messages_whose_end_was_skipped_are_in_flight_again_after_a_restart),
        cmocka_unit_test(replicas_take_the_memory_that_formulas_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
