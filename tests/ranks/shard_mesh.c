/*
 * The optimizer step on every mesh of up to 8 ranks against the step of one rank: parameters cut along every
 * axis or none, in sizes that do not divide and leave ranks with nothing, of all kinds and orientations; and
 * matrices that are split, cut between their parts, through them, and not at all.
 *
 * Bound: relative to the norm of a tensor, 1e-12 in double and as many roundings in float. A step adds some
 * tens of them; where r is the whole of a small matrix, P carries them times the condition of the momentum.
 */
#include "optim/dion.h"
#include "comm/world.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/optim_rig.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "shard/param_address.h"
#include "shard/views.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BOUND (1e-12 / 2.220446049250313e-16 * DN_REAL_EPS)

static const rig_shape small[] = {
    {DN_PARAM_EMBEDDING, 11, 16}, {DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 40, 16},
    {DN_PARAM_MATRIX, 16, 37},    {DN_PARAM_MATRIX, 13, 7},  {DN_PARAM_MATRIX, 3, 2},
    {DN_PARAM_MATRIX, 1, 29},     {DN_PARAM_MATRIX, 19, 17}, {DN_PARAM_MATRIX, 12, 20},
    {DN_PARAM_VECTOR, 1, 16},     {DN_PARAM_HEAD, 11, 16},   {DN_PARAM_MATRIX, 12, 10},
    {DN_PARAM_MATRIX, 40, 6},     {DN_PARAM_MATRIX, 6, 13}};
static const rig_cut cuts[] = {{DN_TP, DN_FS, 1},         {DN_TP, DN_FS, 8},         {DN_TP, DN_FS, 1},
                               {DN_FS, DN_TP, 1},         {DN_FS, DN_TP, 1},         {DN_TP, DN_FS, 1},
                               {DN_TP, DN_FS, 1},         {DN_N_AXES, DN_N_AXES, 1}, {DN_FS, DN_N_AXES, 1},
                               {DN_N_AXES, DN_N_AXES, 1}, {DN_TP, DN_FS, 1},         {DN_TP, DN_FS, 1},
                               {DN_FS, DN_TP, 10},        {DN_N_AXES, DN_N_AXES, 1}};
static const size_t splits[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 2};
/* For adaptive ranks, which are 16 at least: larger ones in the places of those, with the same cuts. */
static const rig_shape large[] = {
    {DN_PARAM_EMBEDDING, 11, 16}, {DN_PARAM_MATRIX, 40, 40}, {DN_PARAM_MATRIX, 60, 35},
    {DN_PARAM_MATRIX, 33, 50},    {DN_PARAM_MATRIX, 26, 26}, {DN_PARAM_MATRIX, 3, 2},
    {DN_PARAM_MATRIX, 1, 29},     {DN_PARAM_MATRIX, 37, 31}, {DN_PARAM_MATRIX, 30, 70},
    {DN_PARAM_VECTOR, 1, 16},     {DN_PARAM_HEAD, 11, 16},   {DN_PARAM_MATRIX, 60, 30},
    {DN_PARAM_MATRIX, 80, 20},    {DN_PARAM_MATRIX, 50, 24}};
static const rig_shape *model = small;
enum {
    N_MODEL = sizeof small / sizeof *small,
    N_MATRICES = 8 + 3 + 4 + 2,
    STEPS = 20,
    MOST_KEPT = N_MODEL + 3 * (3 + N_MATRICES)
};

typedef enum gradients {
    NOISE,
    DEAD_CORNER, /* the lower right quarter of each is 0 in every step: whole shards are */
    ALL_ZERO,
    UNEVEN,   /* every third step twice as large, every third three times */
    WIDENING, /* nearly of rank 6 in the first three steps */
} gradients;

typedef struct scenario {
    dn_optim_config config;
    gradients gradients;
    double spread; /* of the spectra: what rounds in the largest direction counts in the smallest, a column of
                      Q */
} scenario;

/* ---- one rank ---- */

/* What one rank has after the first step and after the last: weights, then states. */
typedef struct reference {
    double *after[2][MOST_KEPT];
    size_t n;
    dn_step_report report[2];
    int n_clipped;           /* steps */
    int n_shrunk, n_widened; /* ranks, over all steps */
} reference;

static size_t size_of(size_t i)
{
    return model[i].rows * model[i].cols;
}

/* A hundredth of g and more of a matrix of rank 6, the same in all steps; less than g. */
static void make_narrow(double *g, size_t i, uint64_t dp)
{
    enum { RANK = 6 };
    double *left = dense_random(model[i].rows, RANK, 7000 + i), *wide = dense_zeros(size_of(i), 1),
           *right = dense_random(RANK, model[i].cols, 8000 + 16 * dp + i);
    dense_multiply(wide, left, 0, right, 0, model[i].rows, model[i].cols, RANK);
    for (size_t k = 0; k < size_of(i); k++)
        g[k] = 0.01 * g[k] + 1e-4 * wide[k];
    free(left), free(wide), free(right);
}

/* Of replica dp, whole. Owned by the caller. Small, so that a norm that is off would show beside eps. */
static double *gradient_of(const scenario *s, int dp, int step, size_t i)
{
    double *g = dense_random(model[i].rows, model[i].cols, (uint64_t)((step * 64 + dp) * 16) + i);
    for (size_t k = 0; k < size_of(i); k++) {
        size_t row = k / model[i].cols, col = k % model[i].cols;
        bool dead = row >= model[i].rows / 2 && col >= model[i].cols / 2 && model[i].rows > 3;
        g[k] *= s->gradients == ALL_ZERO || (s->gradients == DEAD_CORNER && dead) ? 0 : 1e-3;
        g[k] *= s->gradients == UNEVEN ? 1 + step % 3 : 1;
    }
    if (s->gradients == WIDENING && step < 3)
        make_narrow(g, i, (uint64_t)dp);
    return g;
}

static double *mean_gradient(const scenario *s, int n_dp, int step, size_t i)
{
    double *mean = dense_zeros(size_of(i), 1);
    for (int dp = 0; dp < n_dp; dp++) {
        double *g = gradient_of(s, dp, step, i);
        for (size_t k = 0; k < size_of(i); k++)
            mean[k] += g[k] / n_dp;
        free(g);
    }
    return mean;
}

/* What clipping makes of the gradients of n_dp replicas, by its definition (shard/optimizer.h). */
static double clip_of(const scenario *s, int n_dp, int step)
{
    double sum = 0;
    for (size_t i = 0; i < N_MODEL && s->config.clip_norm > 0; i++) {
        dn_dion_shape z =
            dn_dion_shape_of(model[i].rows / splits[i], model[i].cols, s->config.rank_fraction, 1);
        bool decoupled = model[i].kind == DN_PARAM_MATRIX && s->config.compress &&
                         dn_dion_compresses(&z, s->config.rank_fraction);
        double *mean = mean_gradient(s, n_dp, step, i), norm = dense_norm(mean, size_of(i));
        sum += decoupled ? 0 : norm * norm;
        free(mean);
        for (int dp = 0; decoupled && dp < n_dp; dp++) {
            double *g = gradient_of(s, dp, step, i);
            norm = dense_norm(g, size_of(i));
            sum += norm * norm / n_dp;
            free(g);
        }
    }
    return s->config.clip_norm > 0 ? fmin(1, s->config.clip_norm / sqrt(sum)) : 1;
}

/* Weights start as noise, so that decay can be seen. */
static void set_weights(optim_rig *rig)
{
    for (size_t i = 0; i < N_MODEL; i++) {
        const dn_block b = rig->params[i].block;
        double *x = dense_random(model[i].rows, model[i].cols, 9000 + i);
        for (size_t k = 0; k < b.rows * b.cols; k++)
            rig_weight(rig, i)[k] = (dn_real)x[(b.row0 + k / b.cols) * model[i].cols + b.col0 + k % b.cols];
        free(x);
    }
}

static void keep(reference *r, int when, const optim_rig *rig)
{
    r->n = 0;
    for (size_t i = 0; i < N_MODEL; i++)
        r->after[when][r->n++] = rig_whole_weight(rig, i).mean;
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++)
        r->after[when][r->n++] = rig_whole_state(rig, k).mean;
    r->report[when] = rig->report;
}

/* Of the model on one rank. */
static dn_status create_one(optim_rig *rig, const dn_optim_config *config)
{
    const rig_mesh one = {{1, 1, 1}, NULL, splits};
    return rig_create_on(rig, NULL, &one, "ref", config, model, N_MODEL);
}

/* ranks [N_MODEL]: those before the step, 0 before the first; then those after it. */
static void follow_ranks(reference *r, double *ranks, const optim_rig *rig)
{
    for (size_t i = 0; i < N_MODEL && rig_state(rig, "dion.rank", 1); i++) {
        if (!rig_state(rig, "dion.rank", i))
            continue;
        double rank = (double)rig_state_data(rig, "dion.rank", i)[0];
        r->n_shrunk += rank < ranks[i];
        r->n_widened += ranks[i] > 0 && rank > ranks[i];
        ranks[i] = rank;
    }
}

static reference one_rank(const scenario *s, int n_dp)
{
    reference r = {0};
    optim_rig rig;
    double ranks[N_MODEL] = {0};
    dn_optim_config config = s->config;
    config.clip_norm = 0; /* clipped by hand */
    assert_int_equal(create_one(&rig, &config), DN_OK);
    set_weights(&rig);
    for (int t = 0; t < STEPS; t++) {
        double clip = clip_of(s, n_dp, t);
        r.n_clipped += clip < 1;
        for (size_t i = 0; i < N_MODEL; i++) {
            double *g = mean_gradient(s, n_dp, t, i);
            for (size_t k = 0; k < size_of(i); k++)
                g[k] *= clip;
            rig_set_grad(&rig, i, g);
            free(g);
        }
        assert_int_equal(rig_step(&rig, 0.02), DN_OK);
        if (t == 0)
            keep(&r, 0, &rig);
        follow_ranks(&r, ranks, &rig);
    }
    keep(&r, 1, &rig);
    rig_destroy(&rig);
    return r;
}

static void forget(reference *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->after[0][i]), free(r->after[1][i]);
}

/* ---- a mesh ---- */

typedef struct task {
    const scenario *scenario;
    rig_mesh mesh;
    const reference *expected;
} task;

static double relative(const double *x, const double *expected, size_t n)
{
    double difference = 0, norm = dense_norm(expected, n);
    for (size_t i = 0; i < n; i++)
        difference += (x[i] - expected[i]) * (x[i] - expected[i]);
    return difference == 0 ? 0 : sqrt(difference) / norm;
}

/* Frees x. A tensor whose copies may not differ, or which has holes, is infinitely far. */
static double distance(rig_whole x, const double *expected, bool may_differ)
{
    double d = x.n_copies && (x.equal || may_differ) ? relative(x.mean, expected, x.size) : INFINITY;
    free(x.mean);
    return d;
}

static int compare(dn_comm *comm, const optim_rig *rig, const task *t, int when)
{
    double *const *expected = t->expected->after[when];
    const dn_step_report *report = &t->expected->report[when];
    const double bound = t->scenario->spread * BOUND;
    RANKS_CHECK(rig->report.n_zero == report->n_zero && rig->report.n_fallback == report->n_fallback);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < N_MODEL && dn_comm_rank(comm) == 0; i++)
        RANKS_BELOW(distance(rig_whole_weight(rig, i), expected[i], false), bound);
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer) && dn_comm_rank(comm) == 0; k++) {
        const dn_tensor *state = dn_optimizer_state(rig->optimizer, k);
        RANKS_BELOW(distance(rig_whole_state(rig, k), expected[N_MODEL + k], state->per_replica), bound);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    return 0;
}

/* What nothing exchanges (AdamW, Lion, Dion uncompressed) is kept once; the rest once a replica. */
static int check_copies(dn_comm *comm, const optim_rig *rig, const scenario *s)
{
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++) {
        rig_whole x = rig_whole_state(rig, k);
        free(x.mean);
        const char *name = dn_optimizer_state(rig->optimizer, k)->name;
        bool dion = strncmp(name, "dion.", 5) == 0, rank = strncmp(name, "dion.rank", 9) == 0;
        RANKS_CHECK(x.n_copies == 1 || (s->config.compress && dion) || rank);
    }
    return 0;
}

static void reset_stats(const optim_rig *rig)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        dn_comm_get_stats(dn_mesh_comm(rig->mesh, axes), true);
}

/* Every group of the mesh, every kind, of the one step since the statistics were reset. */
static int check_all_stats(dn_comm *comm, const optim_rig *rig, const dn_traffic_model *traffic)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++) {
        if (!rig->mesh->comms[axes])
            continue; /* another name of a group */
        const dn_comm_stats stats = dn_comm_get_stats(rig->mesh->comms[axes], false);
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            RANKS_CLOSE((double)stats.payload[kind], (double)traffic->payload[axes][kind], 0);
        for (int as = 0; as < DN_N_COLLECTIVES; as++)
            RANKS_CLOSE((double)stats.by_collective[as], (double)traffic->by_collective[axes][as], 0);
    }
    return 0;
}

/* The first bases are those of one rank, bit for bit: drawn, not exchanged. */
static int check_bases(dn_comm *comm, const optim_rig *rig, const task *t)
{
    optim_rig one;
    RANKS_CHECK(create_one(&one, &t->scenario->config) == DN_OK);
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++) {
        rig_whole x = rig_whole_state(rig, k), y = rig_whole_state(&one, k);
        bool same = x.n_copies && x.equal && relative(x.mean, y.mean, x.size) < DN_REAL_EPS;
        free(x.mean), free(y.mean);
        RANKS_CHECK(same);
    }
    rig_destroy(&one);
    return 0;
}

static int step_of_mesh(dn_comm *comm, optim_rig *rig, const task *t, int step)
{
    for (size_t i = 0; i < N_MODEL; i++) {
        double *g = gradient_of(t->scenario, rig->mesh->at[DN_DP], step, i);
        rig_set_grad(rig, i, g);
        free(g);
    }
    RANKS_CHECK(rig_step(rig, 0.02) == DN_OK);
    double clip = clip_of(t->scenario, rig->mesh->size[DN_DP], step);
    RANKS_CLOSE(rig->report.clip, clip, BOUND * clip);
    return 0;
}

static int mesh_against_one(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig;
    RANKS_CHECK(rig_create_on(&rig, comm, &t->mesh, "ref", &t->scenario->config, model, N_MODEL) == DN_OK);
    set_weights(&rig);
    if (dn_comm_rank(comm) == 0)
        RANKS_CHECK(check_bases(comm, &rig, t) == 0 && check_copies(comm, &rig, t->scenario) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (int step = 0; step < STEPS; step++) {
        dn_traffic_model traffic = rig_traffic(&rig);
        reset_stats(&rig);
        RANKS_CHECK(step_of_mesh(comm, &rig, t, step) == 0);
        rig_add_rounds(&rig, &traffic);
        RANKS_CHECK(check_all_stats(comm, &rig, &traffic) == 0);
        if (step == 0)
            RANKS_CHECK(compare(comm, &rig, t, 0) == 0);
    }
    RANKS_CHECK(compare(comm, &rig, t, 1) == 0);
    rig_destroy(&rig);
    return 0;
}

static int run_on(const int size[DN_N_AXES], ranks_body *body, const scenario *s, const reference *expected)
{
    task t = {s, {{size[DN_DP], size[DN_FS], size[DN_TP]}, cuts, splits}, expected};
    ranks_spec spec = {.kind = AS_THREADS,
                       .n_ranks = size[DN_DP] * size[DN_FS] * size[DN_TP],
                       .arena_bytes = rig_heap_bytes(&s->config, model, N_MODEL, &t.mesh)};
    int failed = ranks_run(&spec, body, &t, NULL);
    if (failed)
        print_error("# dp %d, fs %d, tp %d\n", size[DN_DP], size[DN_FS], size[DN_TP]);
    return failed;
}

static void run(scenario s)
{
    for (size_t k = 0; k < 4; k++)
        s.config.groups[k].weight_decay = 0.1;
    int failed = 0, sizes[RANKS_MESHES][DN_N_AXES];
    size_t n = ranks_meshes(sizes);
    reference expected = {0};
    for (size_t k = 0; k < n; k++) {
        if (k == 0 || sizes[k][DN_DP] != sizes[k - 1][DN_DP]) {
            forget(&expected);
            expected = one_rank(&s, sizes[k][DN_DP]);
        }
        failed += run_on(sizes[k], mesh_against_one, &s, &expected);
    }
    forget(&expected);
    assert_int_equal(failed, 0);
}

/* ---- scenarios ---- */

static scenario plain(void)
{
    model = small;
    return (scenario){.config = rig_config(), .spread = 1};
}

static void every_rank_fraction_compressed(void **state)
{
    (void)state;
    const double fractions[] = {1, 0.5, 0.25, 1.0 / 16};
    for (size_t k = 0; k < 4; k++) {
        scenario s = plain();
        s.config.rank_fraction = fractions[k];
        run(s);
    }
}

static void every_rank_fraction_uncompressed(void **state)
{
    (void)state;
    const double fractions[] = {1, 0.25, 1.0 / 16};
    for (size_t k = 0; k < 3; k++) {
        scenario s = plain();
        s.config.compress = false;
        s.config.rank_fraction = fractions[k];
        run(s);
    }
}

static void every_orthonormalization(void **state)
{
    (void)state;
    for (dn_orth orth = DN_ORTH_QR; orth <= DN_ORTH_RCQR; orth++) {
        scenario s = plain();
        s.config.orth = orth;
        s.config.rank_fraction = 0.5;
        run(s);
    }
}

static void orthonormal_r_by_every_method(void **state)
{
    (void)state;
    for (dn_orth orth = DN_ORTH_CQR2; orth <= DN_ORTH_RCQR; orth++) {
        scenario s = plain();
        s.config.orth = orth;
        s.config.orth_dion = true;
        s.config.compress = orth != DN_ORTH_QR;
        s.config.rank_fraction = orth == DN_ORTH_CQR2 ? 0.25 : 0.5;
        run(s);
    }
    scenario s = plain();
    s.config.orth_dion = true;
    s.config.power_iters = 2;
    s.gradients = DEAD_CORNER;
    run(s);
    s.gradients = ALL_ZERO;
    run(s);
}

/* Ranks that fall and rise; fresh columns are drawn for the whole, whoever holds them. */
static void adaptive_ranks(void **state)
{
    (void)state;
    scenario s = plain();
    s.config.adaptive_rank = true;
    s.gradients = WIDENING;
    s.spread = 100;
    model = large;
    for (int k = 0; k < 3; k++) {
        s.config.rank_fraction = k == 0 ? 0.7 : 1;
        s.config.orth_dion = k == 2;
        reference r = one_rank(&s, 1);
        assert_true(r.n_shrunk > 0 && r.n_widened > 0);
        forget(&r);
        run(s);
    }
    s.gradients = ALL_ZERO;
    run(s);
}

static void power_iterations_and_averaged_momenta(void **state)
{
    (void)state;
    scenario s = plain();
    s.config.power_iters = 2;
    s.config.momentum_sync_every = STEPS;
    run(s);
}

static void element_wise_rules(void **state)
{
    (void)state;
    for (size_t k = 0; dn_rule_at(k); k++) {
        if (dn_rule_at(k)->matrices_only)
            continue;
        scenario s = plain();
        s.config.matrix_rule = s.config.scalar_rule = dn_rule_at(k)->name;
        run(s);
    }
    scenario s = plain();
    s.config.matrix_rule = "adamw";
    s.config.cautious = true;
    run(s);
}

/* A norm that steps lie below and above, whatever the number of replicas. */
static void clipped_gradients(void **state)
{
    (void)state;
    scenario s = plain();
    s.gradients = UNEVEN;
    s.config.clip_norm = 0.054;
    for (int compress = 0; compress < 2; compress++) {
        s.config.compress = compress;
        for (int dp = 1; dp <= RANKS_MOST; dp++) {
            reference r = one_rank(&s, dp);
            assert_true(r.n_clipped > 0 && (r.n_clipped < STEPS || compress));
            forget(&r);
        }
        run(s);
    }
}

static void shards_without_momentum(void **state)
{
    (void)state;
    scenario s = plain();
    s.gradients = DEAD_CORNER;
    run(s);
    s.config.compress = false;
    run(s);
}

static void momentum_that_is_zero_everywhere(void **state)
{
    (void)state;
    scenario s = plain();
    s.gradients = ALL_ZERO;
    run(s);
    reference r = one_rank(&s, 1);
    assert_int_equal(r.report[1].n_zero, N_MATRICES);
    forget(&r);
}

/* ---- a number that is none, in one shard ---- */

static int nan_in_one_shard(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig;
    RANKS_CHECK(rig_create_on(&rig, comm, &t->mesh, "ref", &t->scenario->config, model, N_MODEL) == DN_OK);
    for (int culprit = 0; culprit < dn_comm_size(comm); culprit++) {
        for (size_t i = 0; i < N_MODEL; i++) {
            const dn_block b = rig.params[i].block;
            memset(rig_grad(&rig, i), 0, b.rows * b.cols * sizeof(dn_real));
            if (culprit == dn_comm_rank(comm) && b.rows * b.cols > 0)
                rig_grad(&rig, i)[b.rows * b.cols - 1] = (dn_real)(i % 2 ? NAN : INFINITY);
        }
        RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
        RANKS_CHECK(rig.report.skipped);
    }
    for (size_t k = 0; k < dn_optimizer_n_states(rig.optimizer); k++) {
        dn_shard s = rig_shard(&rig, k);
        bool is_q = strncmp(dn_optimizer_state(rig.optimizer, k)->name, "dion.q", 6) == 0;
        for (size_t i = 0; i < s.block.rows * s.block.cols; i++)
            RANKS_CHECK(is_q || ((const dn_real *)behind(s.data))[i] == 0);
    }
    rig_destroy(&rig);
    return 0;
}

static void nan_in_one_shard_skips_the_step_on_all(void **state)
{
    (void)state;
    const int meshes[][DN_N_AXES] = {{1, 2, 2}, {2, 2, 2}, {1, 5, 1}, {1, 1, 7}};
    for (size_t k = 0; k < 4; k++) {
        scenario s = plain();
        s.config.compress = k % 2 == 0;
        assert_int_equal(run_on(meshes[k], nan_in_one_shard, &s, NULL), 0);
    }
}

/* ---- where peers hold the matrices of what is split ---- */

/* Two in a stack; elements say where they belong. */
static void place_stack(dn_param params[2], const dn_mesh *mesh, dn_real *weights)
{
    params[0] = (dn_param){.tensor.rows = 12,
                           .tensor.cols = 5,
                           .tensor.row_sharding = {DN_TP, 1},
                           .tensor.col_sharding = {DN_FS, 1},
                           .n_views = 3};
    params[1] = params[0];
    params[1].tensor.rows = params[1].n_views = 10;
    params[1].stack = 1;
    for (size_t i = 0, at = 0; i < 2; i++) {
        const dn_block b = params[i].block = dn_param_block(&params[i], mesh->size, mesh->at);
        params[i].weight = params[i].grad = handle_of(weights + at);
        for (size_t k = 0; k < b.rows * b.cols; k++)
            weights[at++] = (dn_real)(1000 * i + 10 * (b.row0 + k / b.cols) + b.col0 + k % b.cols);
    }
}

static int check_peer(dn_comm *comm, const dn_mesh *mesh, const dn_param *views, size_t w,
                      const int at[DN_N_AXES])
{
    const dn_param *view = &views[w];
    const dn_block b = dn_param_block(view, mesh->size, at);
    const dn_real *there =
        behind(dn_comm_peer(comm, dn_param_address(mesh->size, views, w, w % 2, at), dn_mesh_rank(mesh->size, at)));
    for (size_t k = 0; k < b.rows * b.cols; k++) {
        size_t row = view->first_row + b.row0 + k / b.cols;
        RANKS_CHECK(there[k] == (dn_real)(1000 * view->view_of->stack + 10 * row + b.col0 + k % b.cols));
    }
    return 0;
}

static int views_of_peers(dn_comm *comm, void *argument)
{
    const task *t = argument;
    dn_mesh *mesh;
    dn_param params[2], views[13];
    void *weights;
    RANKS_CHECK(dn_mesh_create(comm, t->mesh.size, &mesh) == DN_OK);
    RANKS_CHECK(dn_comm_alloc_device(comm, 22 * 5 * sizeof(dn_real), &weights) == DN_OK);
    place_stack(params, mesh, behind(weights));
    RANKS_CHECK(dn_views_of(&t->scenario->config, params, 2, views) == 13);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (int rank = 0; rank < dn_comm_size(comm); rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(mesh->size, rank, at);
        for (size_t w = 0; w < 13; w++)
            RANKS_CHECK(check_peer(comm, mesh, views, w, at) == 0);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    dn_mesh_destroy(&mesh);
    return 0;
}

static void views_are_found_at_every_peer(void **state)
{
    (void)state;
    scenario s = plain();
    assert_int_equal(run_on((int[DN_N_AXES]){1, 1, 5}, views_of_peers, &s, NULL), 0);
    assert_int_equal(run_on((int[DN_N_AXES]){2, 2, 2}, views_of_peers, &s, NULL), 0);
}

/* ---- bytes, by hand ---- */

/* A matrix of 40 x 16, rank 4, rows over tp, columns over fs, and nothing else. */
static int bytes_of_one_matrix(dn_comm *comm, void *argument)
{
    const task *t = argument;
    const rig_shape shape = {DN_PARAM_MATRIX, 40, 16};
    const rig_cut cut = {DN_TP, DN_FS, 1};
    const rig_mesh mesh = {{2, 2, 2}, &cut, NULL};
    optim_rig rig;
    RANKS_CHECK(rig_create_on(&rig, comm, &mesh, "ref", &t->scenario->config, &shape, 1) == DN_OK);
    const dn_traffic_model f = rig_traffic(&rig);
    const unsigned dp_fs = DN_AXIS(DN_DP) | DN_AXIS(DN_FS), dp_tp = DN_AXIS(DN_DP) | DN_AXIS(DN_TP), all = dp_fs | dp_tp;
    uint64_t sum = 0, e = sizeof(dn_real);
    RANKS_CHECK(f.payload[dp_fs][DN_TRAFFIC_FACTORS] == 20 * 4 * e);       /* P_a [20,4]       */
    RANKS_CHECK(f.payload[dp_fs][DN_TRAFFIC_BASIS] == 5 * 4 * e);          /* a band of it     */
    RANKS_CHECK(f.payload[dp_tp][DN_TRAFFIC_FACTORS] == 8 * 4 * e);        /* R_b [8,4]        */
    RANKS_CHECK(f.payload[dp_tp][DN_TRAFFIC_BASIS] == 2 * 4 * e);          /* a band of it     */
    RANKS_CHECK(f.payload[DN_AXIS(DN_TP)][DN_TRAFFIC_BASIS] == 4 * 4 * e); /* a band of Q_b    */
    RANKS_CHECK(f.payload[all][DN_TRAFFIC_BASIS] == 4 * 8);        /* column norms     */
    RANKS_CHECK(f.payload[all][DN_TRAFFIC_CONTROL] == 8);          /* gradient's norm  */
    RANKS_CHECK(f.payload[DN_AXIS(DN_DP)][DN_TRAFFIC_MOMENTUM] == 20 * 8 * e + 10 * 8 * e);
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            sum += f.payload[axes][kind];
    RANKS_CHECK(sum == (20 + 5 + 8 + 2 + 4) * 4 * e + 4 * 8 + 8 + 30 * 8 * e); /* nothing else */
    rig_destroy(&rig);
    return 0;
}

static void bytes_of_one_matrix_by_hand(void **state)
{
    (void)state;
    scenario s = plain();
    s.config.momentum_sync_every = 1;
    assert_int_equal(run_on((int[DN_N_AXES]){2, 2, 2}, bytes_of_one_matrix, &s, NULL), 0);
}

/* Work is divided: over all ranks of any mesh the flops are those of one rank where nothing is compressed. */
static int flops_of_rank(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig, one;
    RANKS_CHECK(rig_create_on(&rig, comm, &t->mesh, "ref", &t->scenario->config, model, N_MODEL) == DN_OK);
    RANKS_CHECK(create_one(&one, &t->scenario->config) == DN_OK);
    double sum = dn_optimizer_flops(rig.optimizer), whole = dn_optimizer_flops(one.optimizer);
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &sum, 1, DN_SUM) == DN_OK);
    RANKS_CHECK(whole > 0);
    RANKS_CLOSE(sum, whole, 1e-9 * whole);
    rig_destroy(&rig);
    rig_destroy(&one);
    return 0;
}

static void work_is_divided_and_never_repeated(void **state)
{
    (void)state;
    scenario s = plain();
    s.config.compress = false;
    assert_int_equal(run_on((int[DN_N_AXES]){2, 2, 2}, flops_of_rank, &s, NULL), 0);
    assert_int_equal(run_on((int[DN_N_AXES]){1, 3, 2}, flops_of_rank, &s, NULL), 0);
    assert_int_equal(run_on((int[DN_N_AXES]){7, 1, 1}, flops_of_rank, &s, NULL), 0);
}

/* Of a step that averages momenta: what is predicted without an optimizer is what the first rank then counts, but for rounds of
 * orthonormalization, which are not predicted, and control. Flops are those that its optimizer tells. */
static int counted_of_predicted(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig;
    dn_optimizer_cost cost, counted = {0};
    RANKS_CHECK(rig_create_on(&rig, comm, &t->mesh, "ref", &t->scenario->config, model, N_MODEL) == DN_OK);
    RANKS_CHECK(dn_optimizer_predict(&rig.config, rig.params, rig.n_params, t->mesh.size, &cost) == DN_OK);
    for (unsigned axes = 1; axes <= DN_ALL_AXES; axes++)
        if (rig.mesh->comms[axes])
            dn_comm_get_stats(rig.mesh->comms[axes], true);
    for (size_t i = 0; i < N_MODEL; i++) {
        double *g = gradient_of(t->scenario, rig.mesh->at[DN_DP], 0, i);
        rig_set_grad(&rig, i, g);
        free(g);
    }
    RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
    for (unsigned axes = 1; axes <= DN_ALL_AXES; axes++) {
        bool dp = (axes & DN_AXIS(DN_DP)) != 0;
        const dn_comm_stats stats = rig.mesh->comms[axes] ? dn_comm_get_stats(rig.mesh->comms[axes], false) : (dn_comm_stats){0};
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
            if (kind == DN_TRAFFIC_ORTH || kind == DN_TRAFFIC_CONTROL)
                continue;
            *(dp ? &counted.bytes_dp : &counted.bytes) += stats.cluster[kind];
            counted.hops_dp += dp ? (double)stats.hops[kind] : 0;
        }
    }
    if (dn_comm_rank(comm) == 0) {
        RANKS_CLOSE(cost.bytes, counted.bytes, 1e-12 * counted.bytes);
        RANKS_CLOSE(cost.bytes_dp, counted.bytes_dp, 1e-12 * counted.bytes_dp);
        RANKS_CLOSE(cost.hops_dp, counted.hops_dp, 0);
        RANKS_CLOSE(cost.flops, dn_optimizer_flops(rig.optimizer), 1e-12 * cost.flops);
        RANKS_CHECK(counted.bytes_dp > 0 && cost.flops > 0);
    }
    rig_destroy(&rig);
    return 0;
}

static void predicted_costs_are_what_the_first_rank_counts(void **state)
{
    (void)state;
    for (int k = 0; k < 4; k++) {
        scenario s = plain();
        s.config.compress = k % 2 == 0;
        s.config.momentum_sync_every = 1;
        s.config.power_iters = k < 2 ? 1 : 2;
        s.config.orth_dion = k >= 2;
        assert_int_equal(run_on((int[DN_N_AXES]){2, 1, 1}, counted_of_predicted, &s, NULL), 0);
        assert_int_equal(run_on((int[DN_N_AXES]){2, 2, 2}, counted_of_predicted, &s, NULL), 0);
        assert_int_equal(run_on((int[DN_N_AXES]){3, 2, 1}, counted_of_predicted, &s, NULL), 0);
    }
}

TESTS(shard_mesh)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_fraction_compressed),
        cmocka_unit_test(every_rank_fraction_uncompressed),
        cmocka_unit_test(every_orthonormalization),
        cmocka_unit_test(orthonormal_r_by_every_method),
        cmocka_unit_test(adaptive_ranks),
        cmocka_unit_test(power_iterations_and_averaged_momenta),
        cmocka_unit_test(element_wise_rules),
        cmocka_unit_test(clipped_gradients),
        cmocka_unit_test(shards_without_momentum),
        cmocka_unit_test(momentum_that_is_zero_everywhere),
        cmocka_unit_test(nan_in_one_shard_skips_the_step_on_all),
        cmocka_unit_test(views_are_found_at_every_peer),
        cmocka_unit_test(bytes_of_one_matrix_by_hand),
        cmocka_unit_test(work_is_divided_and_never_repeated),
        cmocka_unit_test(predicted_costs_are_what_the_first_rank_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
