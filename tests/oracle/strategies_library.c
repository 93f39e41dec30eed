/*
 * Strategies of a program's own tensors, through dionode/strategy.h alone: twenty steps of four replicas against the vectors of
 * an independent implementation, on meshes that cut the tensors, too, with copies and in place; states through a checkpoint;
 * what null means, held to the registry; what is refused. Bounds as in strategies.c.
 */
#include "dionode/strategy.h"

#include "base/key.h"
#include "oracle/strategies_vectors.h"
#include "strategy/option.h"
#include "strategy/strategy.h"
#include "support/full.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = STRATEGIES_N, N_PARAMS = STRATEGIES_PARAMS, SIZE = STRATEGIES_SIZE };

static const double bound = sizeof(dn_real) == 8 ? 1e-12 : 1e-4;

/* Along which axes the tensors are cut: rows, columns; of 5 rows over two ranks one has more. */
static const dn_axis cuts[N_PARAMS][2] = {{DN_TP, DN_FS}, {DN_FS, DN_N_AXES}, {DN_FS, DN_TP}, {DN_TP, DN_N_AXES}};

typedef struct task {
    int size[DN_N_AXES];
    bool in_place;
    dn_optim_config config;
    dn_strategy_settings settings;
    char options[512];
    strategies_case vectors;
} task;

/* ---- a program ---- */

typedef struct program {
    dn_comm *comm;
    dn_mesh *mesh;
    dn_optim_tensor tensors[N_PARAMS];
    dn_block blocks[N_PARAMS];
    bool in_place;
    dn_optim *optim;
} program;

static dn_status take(program *p, size_t n, dn_real **out)
{
    void *memory = NULL;
    if (!p->in_place)
        return (*out = calloc(n + 1, sizeof **out)) ? DN_OK : DN_ERR_MEMORY;
    dn_status status = dn_comm_alloc(p->comm, n * sizeof **out, &memory);
    *out = memory;
    return status;
}

static dn_status describe(program *p, dn_comm *comm, const task *t)
{
    *p = (program){.comm = comm, .in_place = t->in_place};
    dn_status status = dn_mesh_create(comm, t->size, &p->mesh);
    for (size_t i = 0; i < N_PARAMS && status == DN_OK; i++) {
        const strategies_param *shape = &strategies_params[i];
        dn_optim_tensor *x = &p->tensors[i];
        *x = (dn_optim_tensor){
            .tensor = {.rows = shape->rows, .cols = shape->cols}, .kind = shape->kind, .in_place = t->in_place};
        if (cuts[i][0] != DN_N_AXES)
            x->tensor.row_sharding = (dn_dim_sharding){cuts[i][0], 1};
        if (cuts[i][1] != DN_N_AXES)
            x->tensor.col_sharding = (dn_dim_sharding){cuts[i][1], 1};
        snprintf(x->tensor.name, sizeof x->tensor.name, "x%zu", i);
        p->blocks[i] = dn_tensor_block(&x->tensor, p->mesh->size, p->mesh->at);
        size_t most = shape->rows * shape->cols; /* in place all take as much */
        if (status == DN_OK)
            status = take(p, most, &x->weight);
        if (status == DN_OK)
            status = take(p, most, &x->grad);
    }
    return status;
}

static void close_program(program *p)
{
    dn_optim_destroy(&p->optim);
    dn_mesh_destroy(&p->mesh);
    for (size_t i = 0; i < N_PARAMS && !p->in_place; i++) {
        free(p->tensors[i].weight);
        free(p->tensors[i].grad);
    }
}

/* This rank's blocks of all numbers x [SIZE], in or out. */
static void set(const program *p, bool grad, const double *x)
{
    for (size_t i = 0; i < N_PARAMS; x += strategies_params[i].rows * strategies_params[i].cols, i++) {
        const dn_block b = p->blocks[i];
        dn_real *to = grad ? p->tensors[i].grad : p->tensors[i].weight;
        for (size_t k = 0; k < b.rows * b.cols; k++)
            to[k] = (dn_real)x[(b.row0 + k / b.cols) * strategies_params[i].cols + b.col0 + k % b.cols];
    }
}

static void put(const dn_real *from, dn_block b, size_t cols, double *x)
{
    for (size_t k = 0; k < b.rows * b.cols; k++)
        x[(b.row0 + k / b.cols) * cols + b.col0 + k % b.cols] = (double)from[k];
}

static void nothing(double *x)
{
    for (size_t k = 0; k < SIZE; k++)
        x[k] = -INFINITY;
}

/* All of this replica's weights, or of what stands in its gradients, from its ranks: the largest, as others tell of less. */
static dn_status get(const program *p, bool grad, double *x)
{
    double *at = x;
    nothing(x);
    for (size_t i = 0; i < N_PARAMS; at += strategies_params[i].rows * strategies_params[i].cols, i++)
        put(grad ? p->tensors[i].grad : p->tensors[i].weight, p->blocks[i], strategies_params[i].cols, at);
    return dn_comm_all_reduce_scalars(dn_mesh_comm(p->mesh, DN_AXIS(DN_FS) | DN_AXIS(DN_TP)), x, SIZE, DN_MAX);
}

static int find_state(const program *p, const char *name)
{
    for (size_t i = 0; i < dn_optim_n_states(p->optim); i++)
        if (strcmp(dn_optim_state(p->optim, i)->name, name) == 0)
            return (int)i;
    return -1;
}

/* A state of all tensors: of this replica, or what all have together; 0 of tensors that have none. */
static int get_state(const program *p, const char *what, double *x)
{
    dn_comm *comm = p->comm;
    bool own = false;
    int found = 0;
    double *at = x;
    nothing(x);
    for (size_t i = 0; i < N_PARAMS; at += strategies_params[i].rows * strategies_params[i].cols, i++) {
        char name[DN_TENSOR_NAME_MAX];
        snprintf(name, sizeof name, "%.60s.%.60s", what, p->tensors[i].tensor.name);
        int index = find_state(p, name);
        if (index < 0) {
            memset(at, 0, strategies_params[i].rows * strategies_params[i].cols * sizeof *at);
            continue;
        }
        const dn_shard shard = dn_optim_state_shard(p->optim, (size_t)index, dn_comm_rank(p->comm));
        own = dn_optim_state(p->optim, (size_t)index)->per_replica;
        found++;
        put(shard.data, shard.block, strategies_params[i].cols, at);
    }
    RANKS_CHECK(found > 0);
    const unsigned replica = DN_AXIS(DN_FS) | DN_AXIS(DN_TP);
    RANKS_CHECK(dn_comm_all_reduce_scalars(dn_mesh_comm(p->mesh, own ? replica : DN_ALL_AXES), x, SIZE, DN_MAX) == DN_OK);
    return 0;
}

static dn_status open_program(program *p, dn_comm *comm, const task *t, const double *w)
{
    dn_status status = describe(p, comm, t);
    if (status != DN_OK)
        return status;
    set(p, false, w);
    return dn_optim_create_with_strategy(&t->settings, &t->config, p->tensors, N_PARAMS, p->mesh, 1, &p->optim);
}

static int step_of(void *self, uint64_t step, double loss, const double *g, double *w)
{
    program *p = self;
    dn_comm *comm = p->comm;
    dn_optim_report report;
    set(p, true, g);
    dn_optim_set_loss(p->optim, loss);
    RANKS_CHECK(dn_optim_step(p->optim, step, STRATEGIES_LR, &report) == DN_OK && !report.skipped);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    RANKS_CHECK(get(p, false, w) == DN_OK);
    return 0;
}

/* ---- against the vectors ---- */

static int check_consensus(program *p, const double *w)
{
    dn_comm *comm = p->comm;
    double *mean = calloc(SIZE, sizeof *mean), *found = calloc(SIZE, sizeof *found);
    memcpy(mean, w, SIZE * sizeof *mean);
    RANKS_CHECK(dn_comm_all_reduce(dn_mesh_comm(p->mesh, DN_AXIS(DN_DP)), mean, SIZE, DN_F64, DN_AVG, DN_TRAFFIC_CONTROL) == DN_OK);
    RANKS_CHECK(dn_optim_form_consensus(p->optim) == DN_OK && get(p, true, found) == DN_OK);
    for (size_t k = 0; k < SIZE; k++)
        RANKS_CLOSE(found[k], mean[k], bound);
    RANKS_CHECK(get(p, false, found) == DN_OK && memcmp(found, w, SIZE * sizeof *w) == 0); /* weights stay */
    free(mean);
    free(found);
    return 0;
}

static int twenty_steps(dn_comm *comm, void *argument)
{
    const task *t = argument;
    double *w = calloc(SIZE, sizeof *w), *x = calloc(SIZE, sizeof *x);
    strategies_deviation d;
    program p;
    strategies_start(w);
    RANKS_CHECK(describe(&p, comm, t) == DN_OK);
    set(&p, false, w);
    size_t before = dn_comm_heap_mark(comm);
    RANKS_CHECK(dn_optim_create_with_strategy(&t->settings, &t->config, p.tensors, N_PARAMS, p.mesh, 1, &p.optim) == DN_OK);
    RANKS_CLOSE((double)(dn_comm_heap_mark(comm) - before),
                (double)dn_optim_heap_bytes_with_strategy(&t->settings, &t->config, p.tensors, N_PARAMS, p.mesh->size), 0);
    int result = strategies_follow(&t->vectors, p.mesh->at[DN_DP], 1, bound, step_of, &p, &d);
    for (size_t k = 0; k < t->vectors.n_states && result == 0; k++) {
        char name[64];
        const char *state = t->vectors.states[k].name; /* the strategy's, or with the rule's name */
        snprintf(name, sizeof name, "%s%s%s", strchr(state, '.') ? "" : t->settings.name, strchr(state, '.') ? "" : ".", state);
        RANKS_CHECK(get_state(&p, name, x) == 0);
        d = strategies_compare_state(&t->vectors, k, p.mesh->at[DN_DP], x, bound);
        result = d.found;
    }
    if (d.found)
        strategies_print(t->settings.name, &t->vectors, &d);
    if (result == 0)
        result = get(&p, false, w) == DN_OK ? check_consensus(&p, w) : 1;
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    close_program(&p);
    free(w);
    free(x);
    return result;
}

static dn_optim_config config_of(const char *rule)
{
    const dn_group_options plain = {.lr_scale = 1};
    dn_optim_config c = dn_optim_defaults();
    c.matrix_rule = rule;
    c.scalar_rule = strcmp(rule, "dion") == 0 ? "sgd" : rule;
    for (int kind = 0; kind < DN_PARAM_N_KINDS; kind++)
        c.groups[kind] = plain;
    c.groups[DN_PARAM_MATRIX].weight_decay = 0.1;
    c.mu = c.beta1 = 0.9;
    c.beta2 = 0.95;
    c.eps = 1e-8;
    c.clip_norm = 0;
    c.cautious = c.nesterov = false;
    return c;
}

static void read_settings(task *t, const char *strategy)
{
    const strategies_case *v = &t->vectors;
    const char *rule = strategies_text(v, "rule"), *seed = strategies_text(v, "seed");
    t->config = config_of(rule ? rule : "sgd");
    t->config.seed = seed ? strtoull(seed, NULL, 10) : 0;
    if (strategies_text(v, "momentum_sync_every"))
        t->config.momentum_sync_every = (int64_t)strategies_number(v, "momentum_sync_every");
    *t->options = 0;
    for (size_t i = 0; i < v->n_settings; i++) {
        static const char *const of_rules[] = {"rule", "seed", "momentum_sync_every"};
        size_t used = strlen(t->options);
        bool of_rule = false;
        for (size_t k = 0; k < sizeof of_rules / sizeof *of_rules; k++)
            of_rule = of_rule || strcmp(v->settings[i].key, of_rules[k]) == 0;
        if (!of_rule)
            snprintf(t->options + used, sizeof t->options - used, "%s=%s ", v->settings[i].key, v->settings[i].value);
    }
    t->settings = (dn_strategy_settings){strategy, t->options, STRATEGIES_STEPS};
}

static int run(task *t, ranks_body *body)
{
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = t->size[DN_DP] * t->size[DN_FS] * t->size[DN_TP], .arena_bytes = 16 << 20};
    return ranks_run(&spec, body, t, NULL);
}

static bool is_cut_dependent(const task *t)
{
    const dn_strategy *row = dn_strategy_find(t->settings.name);
    dn_strategy_config config;
    assert_int_equal(dn_strategy_configure(row, t->options, STRATEGIES_STEPS, 0, &config), DN_OK);
    return row->cut_dependent && row->cut_dependent(&config);
}

/* The first case of each file in the short run, and on cut meshes those of one strategy of each pattern. */
static void replicas_step_as_the_published_rules_say(void **state)
{
    (void)state;
    static const int meshes[][DN_N_AXES] = {{N, 1, 1}, {N, 2, 1}, {N, 1, 2}};
    size_t n = 0;
    for (size_t i = 0; dn_strategy_info_at(i).name; i++) {
        const char *name = dn_strategy_info_at(i).name;
        FILE *file = strategies_open(name);
        task t = {0};
        bool pattern = strcmp(name, "streaming") == 0 || strcmp(name, "noloco") == 0;
        for (bool first = true; file && (first || full_run()) && strategies_next(file, &t.vectors); first = false) {
            read_settings(&t, name);
            for (size_t m = 0; m < sizeof meshes / sizeof *meshes; m++) {
                memcpy(t.size, meshes[m], sizeof t.size);
                t.in_place = m == 2;
                if (m > 0 && (is_cut_dependent(&t) || !(full_run() || (pattern && m == 1))))
                    continue;
                if (run(&t, twenty_steps) != 0)
                    fail_msg("%s %s on %d x %d x %d", name, t.options, t.size[0], t.size[1], t.size[2]);
                n++;
            }
        }
        if (file)
            fclose(file);
    }
    if (n < 15)
        fail_msg("%zu runs were compared, at least 15 expected", n);
}

/* ---- what holds whatever is chosen ---- */

/* What replicas have and owe is what moves the weights and what they owe then: over all replicas
 *
 *     sum of (of_gradient g_i + decay e_i) = N moved (w - w') + sum of e'_i
 */
typedef struct ledger {
    task task;
    const char *owed; /* the state e */
    double of_gradient, decay, moved;
} ledger;

static int nothing_is_lost(dn_comm *comm, void *argument)
{
    const ledger *l = argument;
    double *w = calloc(SIZE, sizeof *w), *after = calloc(SIZE, sizeof *w), *g = calloc(SIZE, sizeof *w),
           *owed = calloc(SIZE, sizeof *w), *then = calloc(SIZE, sizeof *w);
    program p;
    strategies_start(w);
    RANKS_CHECK(open_program(&p, comm, &l->task, w) == DN_OK && get(&p, false, w) == DN_OK);
    for (uint64_t t = 0; t < 4; t++) {
        strategies_gradient(p.mesh->at[DN_DP], t, w, g);
        RANKS_CHECK(get_state(&p, l->owed, owed) == 0);
        RANKS_CHECK(step_of(&p, t, 1, g, after) == 0);
        RANKS_CHECK(get_state(&p, l->owed, then) == 0);
        for (size_t k = 0; k < SIZE; k++)
            g[k] = l->of_gradient * g[k] + l->decay * owed[k] - then[k];
        RANKS_CHECK(dn_comm_all_reduce_scalars(comm, g, SIZE, DN_SUM) == DN_OK);
        for (size_t k = 0; k < SIZE; k++)
            RANKS_CLOSE(g[k], N * l->moved * (w[k] - after[k]), bound);
        memcpy(w, after, SIZE * sizeof *w);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    close_program(&p);
    free(w), free(after), free(g), free(owed), free(then);
    return 0;
}

static void what_is_not_sent_is_owed(void **state)
{
    (void)state;
    const double lr = STRATEGIES_LR;
    const struct {
        dn_strategy_settings settings;
        const char *owed;
        double of_gradient, decay, moved;
    } runs[] = {{{"dynthresh", "threshold_quantile=0.9 threshold_every=2", 4}, "dynthresh.residual", 1, 1, 1 / lr},
                {{"powersgd", "powersgd_rank=2", 4}, "powersgd.residual", 1, 1, 1 / lr},
                {{"demo", "demo_topk=48 demo_beta=0.9 demo_update=plain demo_mean=all", 4}, "demo.momentum", lr, 0.9, 1},
                {{"replicators", "density=0.25 demo_beta=0.9 demo_update=plain", 4}, "replicators.momentum", lr, 0.9, 1},
                {{"sparseloco", "sync_every=1 density=0.1 demo_mean=all feedback=0.9", 4}, "sparseloco.residual", lr, 0.9, 1},
                {{"sparseloco", "sync_every=1 density=0.1 demo_mean=all feedback=0.9 wire=int2", 4}, "sparseloco.residual", lr, 0.9, 1}};
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        ledger l = {{.size = {N, 1, 1}, .config = config_of("sgd"), .settings = runs[i].settings}, runs[i].owed,
                    runs[i].of_gradient, runs[i].decay, runs[i].moved};
        l.task.config.mu = 0;
        l.task.config.groups[DN_PARAM_MATRIX].weight_decay = 0;
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = 16 << 20};
        if (ranks_run(&spec, nothing_is_lost, &l, NULL) != 0)
            fail_msg("%s %s", runs[i].settings.name, runs[i].settings.options);
    }
}

typedef struct relabelling {
    task task;
    double (*weights)[SIZE]; /* [N] of each replica, before they change places */
} relabelling;

/* Replicas change places, with their data: islands of two stay islands. */
static int each_has_what_the_other_had(dn_comm *comm, void *argument)
{
    const relabelling *r = argument;
    double *w = calloc(SIZE, sizeof *w), *g = calloc(SIZE, sizeof *g);
    for (int turn = 0; turn < 2; turn++) {
        program p;
        strategies_start(w);
        RANKS_CHECK(open_program(&p, comm, &r->task, w) == DN_OK && get(&p, false, w) == DN_OK);
        int who = (p.mesh->at[DN_DP] + 2 * turn) % N;
        for (uint64_t t = 0; t < 8; t++) {
            strategies_gradient(who, t, w, g);
            RANKS_CHECK(step_of(&p, t, 1 / (1. + (double)t), g, w) == 0);
        }
        if (turn == 0)
            memcpy(r->weights[who], w, SIZE * sizeof *w);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        for (size_t k = 0; k < SIZE; k++)
            RANKS_CLOSE(w[k], r->weights[who][k], bound);
        close_program(&p);
    }
    free(w);
    free(g);
    return 0;
}

/* Not of noloco, whose pairs go by the replicas' numbers; signs would make more of rounding. */
static void replicas_that_change_places_change_nothing(void **state)
{
    (void)state;
    static const dn_strategy_settings runs[] = {{"streaming", "sync_every=4 fragments=2 overlap=2 wire=fp4", 8},
                                                {"sparseloco", "sync_every=2 density=0.1", 8},
                                                {"daso", "islands=2 across_every=3 across_wait=1", 8},
                                                {"dynthresh", "threshold_quantile=0.9 threshold_every=2", 8},
                                                {"powersgd", "powersgd_rank=2", 8},
                                                {"demo", "demo_topk=48 demo_update=plain", 8},
                                                {"replicators", "density=0.25 demo_update=plain", 8},
                                                {"fda", "variance_threshold=100", 8},
                                                {"cyclic", "sync_every=2 cycle_amplitude=0.3 cycles=1", 8},
                                                {"desloc", "sync_every=1", 8},
                                                {"local_sgd", "sync_every=3", 8}};
    for (size_t i = 0; i < (full_run() ? sizeof runs / sizeof *runs : 4); i++) {
        relabelling r = {{.size = {N, 1, 1}, .config = config_of("adamw"), .settings = runs[i]}, calloc(N, sizeof *r.weights)};
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = N, .arena_bytes = 32 << 20};
        int failed = ranks_run(&spec, each_has_what_the_other_had, &r, NULL);
        free(r.weights);
        if (failed != 0)
            fail_msg("%s %s", runs[i].name, runs[i].options);
    }
}

/* ---- how far a weight can move ---- */

typedef struct bounded {
    task task;
    double worst; /* of m^2 / v over all replicas and steps */
} bounded;

/* Replicas but the first have gradients in step 0 alone: of what they have not met since then. */
static int momenta_that_outlive_second_moments(dn_comm *comm, void *argument)
{
    bounded *b = argument;
    double *w = calloc(SIZE, sizeof *w), *g = calloc(SIZE, sizeof *g), *m = calloc(SIZE, sizeof *m), *v = calloc(SIZE, sizeof *v);
    double worst = 0;
    program p;
    strategies_start(w);
    RANKS_CHECK(open_program(&p, comm, &b->task, w) == DN_OK && get(&p, false, w) == DN_OK);
    for (uint64_t t = 0; t < STRATEGIES_STEPS; t++) {
        strategies_gradient(p.mesh->at[DN_DP], t, w, g);
        if (t > 0 && p.mesh->at[DN_DP] > 0)
            memset(g, 0, SIZE * sizeof *g);
        RANKS_CHECK(step_of(&p, t, 1, g, w) == 0);
        RANKS_CHECK(get_state(&p, "adamw.m", m) == 0 && get_state(&p, "adamw.v", v) == 0);
        for (size_t k = 0; k < SIZE; k++)
            worst = m[k] != 0 ? fmax(worst, m[k] * m[k] / v[k]) : worst;
    }
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &worst, 1, DN_MAX) == DN_OK);
    if (dn_comm_rank(comm) == 0)
        b->worst = worst;
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    close_program(&p);
    free(w), free(g), free(m), free(v);
    return 0;
}

/* Adam's bound on m^2 / v, (1 - beta1)^2 / ((1 - beta2) (1 - beta1^2 / beta2)) by Cauchy and Schwarz, which averaging keeps where m is
 * averaged with v: DES-LOC's default, and not its authors'. */
static void desloc_averages_no_momentum_without_its_second_moment(void **state)
{
    (void)state;
    const double c = 0.1 * 0.1 / (0.05 * (1 - 0.9 * 0.9 / 0.95));
    const dn_strategy_settings together = {"desloc", "sync_every=5", STRATEGIES_STEPS},
                               alone = {"desloc", "sync_every=5 second_moment_every=6", STRATEGIES_STEPS};
    bounded b = {.task = {.size = {N, 1, 1}, .config = config_of("adamw"), .settings = together}};
    assert_int_equal(run(&b.task, momenta_that_outlive_second_moments), 0);
    if (!(b.worst > 0 && b.worst <= c * 1.0001)) /* the numbers' own rounding, in float */
        fail_msg("m^2 / v is %.9g, at most %.9g", b.worst, c);
    b.task.settings = alone;
    assert_int_equal(run(&b.task, momenta_that_outlive_second_moments), 0);
    if (b.worst < 2 * c)
        fail_msg("m^2 / v is %.9g where m was averaged without v: the bound %.9g is not tested", b.worst, c);
}

/* ---- alone, without a mesh ---- */

static void alone_every_strategy_steps_and_falls(void **state)
{
    (void)state;
    for (size_t i = 0; dn_strategy_info_at(i).name; i++) {
        dn_real w[12], g[12];
        const dn_optim_tensor tensor = {.tensor = {.name = "w", .rows = 4, .cols = 3}, .kind = DN_PARAM_MATRIX, .weight = w, .grad = g};
        const char *name = dn_strategy_info_at(i).name;
        /* of a tile as small as this one a single entry would travel, and overshoot */
        const dn_strategy_settings how = {name, strcmp(name, "sparseloco") == 0 ? "density=1" : NULL, 200};
        const dn_optim_config c = config_of(strcmp(how.name, "factors") == 0 ? "dion" : "sgd");
        dn_optim_report report;
        dn_optim *optim;
        if (strcmp(how.name, "factors") == 0)
            continue; /* element-wise rules take everything else: tests/ranks/shard_library.c */
        for (size_t k = 0; k < 12; k++)
            w[k] = (dn_real)k - 6;
        assert_int_equal(dn_optim_create_with_strategy(&how, &c, &tensor, 1, NULL, 1, &optim), DN_OK);
        for (uint64_t step = 0; step < 200; step++) {
            for (size_t k = 0; k < 12; k++)
                g[k] = w[k];
            assert_int_equal(dn_optim_step(optim, step, 0.02, &report), DN_OK);
        }
        assert_false(dn_optim_is_apart(optim));
        for (size_t k = 0; k < 12; k++)
            if (!(fabs((double)w[k]) < fabs((double)k - 6) || k == 6))
                fail_msg("%s: weight %zu is %g, and was %g", how.name, k, (double)w[k], (double)k - 6);
        dn_optim_destroy(&optim);
    }
}

/* ---- through a checkpoint ---- */

static int step_on(program *p, uint64_t t, bool spoiled)
{
    dn_comm *comm = p->comm;
    double *w = calloc(SIZE, sizeof *w), *g = calloc(SIZE, sizeof *g);
    dn_optim_report report;
    RANKS_CHECK(get(p, false, w) == DN_OK);
    strategies_gradient(p->mesh->at[DN_DP], t, w, g);
    if (spoiled && dn_comm_rank(comm) == 0)
        g[0] = NAN;
    set(p, true, g);
    dn_optim_set_loss(p->optim, 1 / (1. + (double)t));
    RANKS_CHECK(dn_optim_step(p->optim, t, STRATEGIES_LR, &report) == DN_OK && report.skipped == spoiled);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    free(w);
    free(g);
    return 0;
}

/* Numbers of a state of this rank, by its name, as a file would have them. */
typedef struct saved {
    char name[DN_TENSOR_NAME_MAX];
    void *data;
    size_t bytes;
} saved;

static int save(program *p, saved *all)
{
    dn_comm *comm = p->comm;
    RANKS_CHECK(dn_optim_show_states(p->optim) == DN_OK && dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < dn_optim_n_states(p->optim); i++) {
        const dn_tensor *state = dn_optim_state(p->optim, i);
        const dn_shard shard = dn_optim_state_shard(p->optim, i, dn_comm_rank(comm));
        all[i].bytes = shard.block.rows * shard.block.cols * (state->type == DN_BF16 ? 2 : sizeof(dn_real));
        all[i].data = malloc(all[i].bytes + 1);
        if (all[i].bytes)
            memcpy(all[i].data, shard.data, all[i].bytes);
        snprintf(all[i].name, sizeof all[i].name, "%s", state->name);
    }
    return 0;
}

static int restore(program *p, const saved *all, size_t n)
{
    dn_comm *comm = p->comm;
    for (size_t i = 0; i < n; i++)
        dn_optim_expect_state(p->optim, all[i].name);
    RANKS_CHECK(dn_optim_n_states(p->optim) == n);
    for (size_t i = 0; i < n; i++) {
        int index = find_state(p, all[i].name);
        RANKS_CHECK(index >= 0);
        if (all[i].bytes)
            memcpy(dn_optim_state_shard(p->optim, (size_t)index, dn_comm_rank(comm)).data, all[i].data, all[i].bytes);
    }
    RANKS_CHECK(dn_optim_take_states(p->optim) == DN_OK && dn_optim_is_apart(p->optim));
    return 0;
}

/* Saved after step 5, which is skipped and was to end what began in step 3. */
static int goes_on_from_its_states(dn_comm *comm, void *argument)
{
    const task *t = argument;
    double *w = calloc(SIZE, sizeof *w), *again = calloc(SIZE, sizeof *again);
    saved states[128] = {0};
    program p, other;
    strategies_start(w);
    RANKS_CHECK(open_program(&p, comm, t, w) == DN_OK);
    for (uint64_t step = 0; step < 6; step++)
        RANKS_CHECK(step_on(&p, step, step == 5) == 0);
    size_t n = dn_optim_n_states(p.optim);
    RANKS_CHECK(n <= sizeof states / sizeof *states && dn_optim_is_apart(p.optim));
    RANKS_CHECK(save(&p, states) == 0 && get(&p, false, w) == DN_OK);
    RANKS_CHECK(open_program(&other, comm, t, w) == DN_OK && dn_optim_n_states(other.optim) < n);
    RANKS_CHECK(restore(&other, states, n) == 0);
    for (uint64_t step = 6; step < STRATEGIES_STEPS; step++) {
        RANKS_CHECK(step_on(&p, step, false) == 0 && step_on(&other, step, false) == 0);
        RANKS_CHECK(get(&p, false, w) == DN_OK && get(&other, false, again) == DN_OK);
        for (size_t k = 0; k < SIZE; k++)
            RANKS_CLOSE(again[k], w[k], 0);
    }
    close_program(&other);
    close_program(&p);
    for (size_t i = 0; i < n; i++)
        free(states[i].data);
    free(w);
    free(again);
    return 0;
}

static void states_and_messages_in_flight_are_all_there_is_to_save(void **state)
{
    (void)state;
    static const dn_strategy_settings runs[] = {
        {"streaming", "sync_every=4 fragments=2 overlap=2 wire=fp4", STRATEGIES_STEPS},
        {"streaming", "sync_every=4 fragments=2 overlap=2", STRATEGIES_STEPS}};
    for (size_t i = 0; i < (full_run() ? 2 : 1); i++) {
        task t = {.size = {2, 2, 1}, .config = config_of("adamw"), .settings = runs[i], .in_place = i == 1};
        assert_int_equal(run(&t, goes_on_from_its_states), 0);
    }
}

/* ---- islands ---- */

static double sent(dn_comm *comm)
{
    const dn_comm_stats stats = dn_comm_get_stats(comm, true);
    double sum = 0;
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        sum += kind == DN_TRAFFIC_CONTROL ? 0 : (double)stats.payload[kind];
    return sum;
}

/* Gradients inside in every step, weights across in every third. */
static int islands_count_apart(dn_comm *comm, void *argument)
{
    const task *t = argument;
    double *w = calloc(SIZE, sizeof *w);
    program p;
    strategies_start(w);
    RANKS_CHECK(open_program(&p, comm, t, w) == DN_OK);
    dn_comm *inside = dn_optim_island_comm(p.optim), *across = dn_optim_across_comm(p.optim);
    RANKS_CHECK(inside && across && dn_comm_size(inside) == 2 && dn_comm_size(across) == 2);
    for (uint64_t step = 0; step < 6; step++) {
        sent(inside);
        sent(across);
        RANKS_CHECK(step_on(&p, step, false) == 0);
        RANKS_CHECK(sent(inside) > 0 && (sent(across) > 0) == (step % 3 == 2));
    }
    close_program(&p);
    free(w);
    return 0;
}

static void what_islands_exchange_counts_apart(void **state)
{
    (void)state;
    task t = {.size = {4, 1, 1}, .config = config_of("sgd"), .settings = {"daso", "islands=2 across_every=3 across_wait=0", 20}};
    assert_int_equal(run(&t, islands_count_apart), 0);
}

/* ---- what is refused ---- */

static void settings_that_cannot_be_are_refused(void **state)
{
    (void)state;
    char longer[600];
    memset(longer, ' ', sizeof longer);
    longer[sizeof longer - 1] = 0;
    const struct {
        dn_strategy_settings settings;
        dn_status status;
        const char *said;
    } bad[] = {{{"lokal_sgd", NULL, 10}, DN_ERR_CONFIG, "no strategy 'lokal_sgd'"},
               {{"cyclic", "sync_evry=3", 10}, DN_ERR_CONFIG, "no option 'sync_evry'"},
               {{"cyclic", "sync_every=0", 10}, DN_ERR_CONFIG, "sync_every"},
               {{"streaming", "overlap=40", 10}, DN_ERR_CONFIG, "overlap 40"},
               {{"daso", NULL, 0}, DN_ERR_CONFIG, "n_steps"},
               {{"factors", NULL, 10}, DN_ERR_CONFIG,
                "strategy factors: rule sgd has no low-rank factors to exchange; use strategy average"},
               {{NULL, "sync_every=5", 10}, DN_ERR_CONFIG, "name is NULL"},
               {{"local_sgd", longer, 10}, DN_ERR_CONFIG, "more than 511 bytes"}};
    dn_real x[24] = {0};
    const dn_optim_tensor tensor = {.tensor = {.name = "w", .rows = 4, .cols = 3}, .kind = DN_PARAM_MATRIX, .weight = x, .grad = x + 12};
    const int one[DN_N_AXES] = {1, 1, 1}, four[DN_N_AXES] = {4, 1, 1};
    const dn_optim_config c = config_of("sgd");
    dn_optim *optim;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(dn_optim_create_with_strategy(&bad[i].settings, &c, &tensor, 1, NULL, 1, &optim), bad[i].status);
        assert_null(optim);
        if (!strstr(dn_error_message(), bad[i].said))
            fail_msg("\"%s\" does not say \"%s\"", dn_error_message(), bad[i].said);
        assert_int_equal(dn_optim_heap_bytes_with_strategy(&bad[i].settings, &c, &tensor, 1, one), 0);
    }
    const dn_strategy_settings uneven = {"daso", "islands=3", 10}, good = {"local_sgd", NULL, 10};
    assert_int_equal(dn_optim_heap_bytes_with_strategy(&uneven, &c, &tensor, 1, four), 0);
    assert_non_null(strstr(dn_error_message(), "islands 3"));
    assert_int_equal(dn_optim_create_with_strategy(&good, &c, &tensor, 1, NULL, 1, &optim), DN_OK);
    assert_int_equal(dn_optim_set_frozen(optim, 0, true), DN_ERR_ARG);
    assert_non_null(strstr(dn_error_message(), "strategy local_sgd"));
    assert_null(dn_optim_island_comm(optim));
    dn_optim_destroy(&optim);
}

/* Without gradient and momentum a step only decays, also of what takes the place of the rule. */
static void weight_decay_changes_between_steps(void **state)
{
    (void)state;
    static const char *const names[] = {"replicators", "local_sgd"};
    for (size_t i = 0; i < 2; i++) {
        dn_real w[2] = {1, 1}, g[2] = {0};
        const dn_optim_tensor tensor = {.tensor = {.name = "w", .rows = 1, .cols = 2}, .kind = DN_PARAM_MATRIX, .weight = w, .grad = g};
        const dn_strategy_settings how = {names[i], NULL, 10};
        const dn_optim_config c = config_of("sgd");
        dn_optim_report report;
        dn_optim *optim;
        assert_int_equal(dn_optim_create_with_strategy(&how, &c, &tensor, 1, NULL, 1, &optim), DN_OK);
        assert_int_equal(dn_optim_step(optim, 0, 0.5, &report), DN_OK);
        assert_true(fabs((double)w[0] - 0.95) < 1e-6);
        assert_int_equal(dn_optim_set_weight_decay(optim, "w*", 1), DN_OK);
        assert_int_equal(dn_optim_step(optim, 1, 0.5, &report), DN_OK);
        assert_true(fabs((double)w[0] - 0.475) < 1e-6);
        assert_int_equal(dn_optim_set_weight_decay(optim, "v", 1), DN_ERR_ARG);
        dn_optim_destroy(&optim);
    }
}

TESTS(strategies_library)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_step_as_the_published_rules_say),
        cmocka_unit_test(what_is_not_sent_is_owed),
        cmocka_unit_test(replicas_that_change_places_change_nothing),
        cmocka_unit_test(desloc_averages_no_momentum_without_its_second_moment),
        cmocka_unit_test(alone_every_strategy_steps_and_falls),
        cmocka_unit_test(states_and_messages_in_flight_are_all_there_is_to_save),
        cmocka_unit_test(what_islands_exchange_counts_apart),
        cmocka_unit_test(settings_that_cannot_be_are_refused),
        cmocka_unit_test(weight_decay_changes_between_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
