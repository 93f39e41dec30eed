/*
 * Muon, NorMuon, Dion2, Dion3 and SGD on every mesh of up to 8 ranks against one rank, over matrices cut
 * along every axis or none, in sizes that do not divide and leave ranks with nothing. One rank itself is held
 * to stored vectors in tests/oracle/family.c.
 *
 * Bound: relative to the norm of a tensor, 1e-12 in double and as many roundings in float. A Newton-Schulz
 * multiplies what sums in another order have changed, a few roundings, by at most 990 (newton_schulz.h); a
 * step adds that times lr 0.02 to weights of size 1, 20 steps 20 times that. Momenta get no more than the
 * roundings of their gradients: nothing comes back to them from O. Where rows are selected, norms of these
 * gradients never come so close to each other that a rounding could choose.
 */
#include "support/dense.h"
#include "support/optim_rig.h"
#include "support/ranks.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define BOUND (1e-12 / 2.220446049250313e-16 * DN_REAL_EPS)

static const rig_shape model[] = {{DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 40, 16},
                                  {DN_PARAM_MATRIX, 16, 37}, {DN_PARAM_VECTOR, 1, 16},
                                  {DN_PARAM_MATRIX, 13, 7},  {DN_PARAM_MATRIX, 3, 2},
                                  {DN_PARAM_MATRIX, 1, 29},  {DN_PARAM_MATRIX, 16, 16},
                                  {DN_PARAM_MATRIX, 19, 17}, {DN_PARAM_MATRIX, 12, 20}};
static const rig_cut cuts[] = {{DN_TP, DN_FS, 1},    {DN_TP, DN_FS, 8},     {DN_TP, DN_FS, 1},
                               {DN_FS, DN_TP, 1},    {DN_FS, DN_TP, 1},     {DN_TP, DN_FS, 1},
                               {DN_TP, DN_FS, 1},    {DN_N_AXES, DN_FS, 1}, {DN_N_AXES, DN_N_AXES, 1},
                               {DN_FS, DN_N_AXES, 1}};
enum { N_MODEL = sizeof model / sizeof *model, N_MATRICES = 9, STEPS = 20, MAX_RANKS = 8 };

static const dn_rule family[] = {DN_RULE_MUON, DN_RULE_NORMUON, DN_RULE_DION2, DN_RULE_DION3, DN_RULE_SGD};
enum { N_FAMILY = sizeof family / sizeof *family };

/* ---- one rank ---- */

/* What a rank alone has after the first step and after the last: weights, then states. */
typedef struct reference {
    double *after[2][3 * N_MODEL];
    size_t n;
} reference;

typedef struct task {
    dn_optim_config config;
    rig_mesh mesh;
    double scale;  /* of gradients */
    size_t broken; /* number of the state that is to break */
    const reference *expected;
} task;

static task task_of(dn_rule rule)
{
    task t = {.config = rig_config(), .mesh = {.cuts = cuts}, .scale = 1e-3};
    t.config.matrix_rule = rule;
    t.config.rank_fraction = 0.3;
    t.config.ef_decay = 0.9;
    t.config.row_beta2 = 0.95;
    for (size_t k = 0; k < DN_PARAM_N_KINDS; k++)
        t.config.groups[k] = (dn_group){1, 0.1};
    return t;
}

static size_t size_of(size_t i)
{
    return model[i].rows * model[i].cols;
}

/* Of replica dp, whole. Owned by the caller. */
static double *gradient_of(const task *t, int dp, uint64_t step, size_t i)
{
    double *g = dense_random(model[i].rows, model[i].cols, (step * 64 + (uint64_t)dp) * 16 + i);
    for (size_t k = 0; k < size_of(i); k++)
        g[k] *= t->scale;
    return g;
}

static double *mean_gradient(const task *t, int n_dp, uint64_t step, size_t i)
{
    double *mean = dense_zeros(size_of(i), 1);
    for (int dp = 0; dp < n_dp; dp++) {
        double *g = gradient_of(t, dp, step, i);
        for (size_t k = 0; k < size_of(i); k++)
            mean[k] += g[k] / n_dp;
        free(g);
    }
    return mean;
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

/* As the replicas of one mean gradient, or as replica dp alone (n_dp 0). */
static dn_status take_step(optim_rig *rig, const task *t, int n_dp)
{
    for (size_t i = 0; i < N_MODEL; i++) {
        double *g =
            n_dp ? mean_gradient(t, n_dp, rig->step, i) : gradient_of(t, rig->mesh->at[DN_DP], rig->step, i);
        rig_set_grad(rig, i, g);
        free(g);
    }
    return rig_step(rig, 0.02);
}

static void keep(reference *r, int when, const optim_rig *rig)
{
    r->n = 0;
    for (size_t i = 0; i < N_MODEL; i++)
        r->after[when][r->n++] = rig_whole_weight(rig, i).mean;
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++)
        r->after[when][r->n++] = rig_whole_state(rig, k).mean;
}

static reference one_rank(const task *t, int n_dp)
{
    reference r = {0};
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &t->config, model, N_MODEL), DN_OK);
    set_weights(&rig);
    for (int step = 0; step < STEPS; step++) {
        assert_int_equal(take_step(&rig, t, n_dp), DN_OK);
        assert_int_equal(rig.report.n_zero,
                         t->scale == 0 && t->config.matrix_rule != DN_RULE_SGD ? N_MATRICES : 0);
        if (step == 0)
            keep(&r, 0, &rig);
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

static double relative(const double *x, const double *expected, size_t n)
{
    double difference = 0, norm = dense_norm(expected, n);
    for (size_t i = 0; i < n; i++)
        difference += (x[i] - expected[i]) * (x[i] - expected[i]);
    return difference == 0 ? 0 : sqrt(difference) / norm;
}

/* Frees x. A tensor whose copies differ, which has holes, or more copies than it should, is infinitely far.
 */
static double distance(rig_whole x, const double *expected, int most_copies)
{
    bool right = x.n_copies >= 1 && x.n_copies <= most_copies && x.equal;
    double d = right ? relative(x.mean, expected, x.size) : INFINITY;
    free(x.mean);
    return d;
}

/* States are kept once. */
static int compare(dn_comm *comm, const optim_rig *rig, const task *t, int when)
{
    double *const *expected = t->expected->after[when];
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < N_MODEL && dn_comm_rank(comm) == 0; i++)
        RANKS_CHECK(distance(rig_whole_weight(rig, i), expected[i], MAX_RANKS) < BOUND);
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer) && dn_comm_rank(comm) == 0; k++)
        RANKS_CHECK(distance(rig_whole_state(rig, k), expected[N_MODEL + k], 1) < BOUND);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    return 0;
}

static void reset_ledgers(const optim_rig *rig)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        dn_comm_ledger(dn_mesh_group(rig->mesh, axes), true);
}

/* Every group of the mesh, every kind, every collective. */
static int check_ledgers(dn_comm *comm, const optim_rig *rig)
{
    const dn_formula formula = dn_optimizer_formula(rig->optimizer);
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++) {
        if (!rig->mesh->groups[axes])
            continue; /* another name of a group */
        const dn_ledger ledger = dn_comm_ledger(rig->mesh->groups[axes], false);
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            RANKS_CHECK(ledger.payload[kind] == STEPS * formula.payload[axes][kind]);
        for (int as = 0; as < DN_N_COLLECTIVES; as++)
            RANKS_CHECK(ledger.by_collective[as] == STEPS * formula.by_collective[axes][as]);
    }
    return 0;
}

static int create(optim_rig *rig, dn_comm *comm, const task *t)
{
    RANKS_CHECK(rig_create_on(rig, comm, &t->mesh, "ref", &t->config, model, N_MODEL) == DN_OK);
    set_weights(rig);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    return 0;
}

static int mesh_against_one(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig;
    RANKS_CHECK(create(&rig, comm, t) == 0);
    reset_ledgers(&rig);
    for (int step = 0; step < STEPS; step++) {
        RANKS_CHECK(take_step(&rig, t, 0) == DN_OK);
        RANKS_CHECK(rig.report.n_zero ==
                    (t->scale == 0 && t->config.matrix_rule != DN_RULE_SGD ? N_MATRICES : 0));
        if (step == 0)
            RANKS_CHECK(compare(comm, &rig, t, 0) == 0);
    }
    RANKS_CHECK(check_ledgers(comm, &rig) == 0);
    RANKS_CHECK(compare(comm, &rig, t, 1) == 0);
    rig_destroy(&rig);
    return 0;
}

static int run_on(task t, const int size[DN_N_AXES], ranks_body *body, const reference *expected)
{
    memcpy(t.mesh.size, size, sizeof t.mesh.size);
    t.expected = expected;
    ranks_spec spec = {.kind = AS_THREADS,
                       .n_ranks = size[DN_DP] * size[DN_FS] * size[DN_TP],
                       .arena_bytes = rig_heap_bytes(&t.config, model, N_MODEL, &t.mesh)};
    int failed = ranks_run(&spec, body, &t, NULL);
    if (failed)
        print_error("# rule %d on dp %d, fs %d, tp %d\n", (int)t.config.matrix_rule, size[DN_DP], size[DN_FS],
                    size[DN_TP]);
    return failed;
}

/* All meshes of up to 8 ranks. */
static void run(task t)
{
    int failed = 0;
    for (int dp = 1; dp <= MAX_RANKS; dp++) {
        reference expected = one_rank(&t, dp);
        for (int fs = 1; dp * fs <= MAX_RANKS; fs++)
            for (int tp = 1; dp * fs * tp <= MAX_RANKS; tp++)
                failed += run_on(t, (int[]){dp, fs, tp}, mesh_against_one, &expected);
        forget(&expected);
    }
    assert_int_equal(failed, 0);
}

/* ---- scenarios ---- */

static void every_rule_on_every_mesh(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_FAMILY; k++)
        run(task_of(family[k]));
}

static void every_option_on_every_mesh(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_FAMILY; k++) {
        task t = task_of(family[k]);
        t.config.nesterov = true;
        t.config.gram = true;
        t.config.newton_schulz = DN_NS_KELLER;
        t.config.adjust = DN_ADJUST_RMS_NORM;
        t.config.rank_fraction = 1;
        if (family[k] == DN_RULE_SGD)
            t.config.scalar_rule = DN_RULE_SGD;
        run(t);
    }
}

/* Few rows or columns of much longer ones, in the Gram form: on most meshes some are orthonormalized where
 * their parts are. */
static task long_matrices(dn_rule rule)
{
    task t = task_of(rule);
    t.config.gram = true;
    t.config.rank_fraction = 0.1;
    return t;
}

static void long_matrices_on_every_mesh(void **state)
{
    (void)state;
    run(long_matrices(DN_RULE_DION2));
    run(long_matrices(DN_RULE_MUON));
    task zero = long_matrices(DN_RULE_DION2);
    zero.scale = 0;
    run(zero);
}

static void momentum_that_is_zero_everywhere(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_FAMILY; k++) {
        task t = task_of(family[k]);
        t.scale = 0;
        run(t);
    }
}

/* ---- relations ---- */

/* After all steps. */
static void assert_same_weights(const task *a, const task *b)
{
    reference x = one_rank(a, 1), y = one_rank(b, 1);
    for (size_t i = 0; i < N_MODEL; i++)
        assert_true(relative(x.after[1][i], y.after[1][i], size_of(i)) < BOUND);
    forget(&x), forget(&y);
}

/* Each keeps what Muon's M <- mu M + G is after its own M <- M + G and M <- mu M. */
static void with_everything_selected_dion2_is_muon_and_dion3_normuon(void **state)
{
    (void)state;
    task a = task_of(DN_RULE_DION2), b = task_of(DN_RULE_MUON);
    a.config.rank_fraction = 1;
    a.config.ef_decay = a.config.mu;
    assert_same_weights(&a, &b);
    a.config.matrix_rule = DN_RULE_DION3, b.config.matrix_rule = DN_RULE_NORMUON;
    b.config.gram = true;
    assert_same_weights(&a, &b);
}

static void with_everything_selected_local_is_global(void **state)
{
    (void)state;
    for (dn_rule rule = DN_RULE_DION2; rule <= DN_RULE_DION3; rule++) {
        task t = task_of(rule);
        t.config.rank_fraction = 1;
        reference expected = one_rank(&t, 2);
        t.config.local_selection = true;
        assert_int_equal(run_on(t, (int[]){2, 2, 2}, mesh_against_one, &expected), 0);
        assert_int_equal(run_on(t, (int[]){2, 3, 1}, mesh_against_one, &expected), 0);
        forget(&expected);
    }
}

/* ---- local selection ---- */

static double norm1(const double *row, size_t n)
{
    double sum = 0;
    for (size_t j = 0; j < n; j++)
        sum += fabs(row[j]);
    return sum;
}

/* Of the last matrix, 12 x 20, whose rows fs = 3 cuts into bands of 4: whether a row is among the two
 * largest of its band, ceil(0.3 * 4). */
static bool is_chosen(const double *g, size_t row)
{
    size_t larger = 0;
    for (size_t k = row / 4 * 4; k < row / 4 * 4 + 4; k++)
        larger += norm1(g + k * 20, 20) > norm1(g + row * 20, 20);
    return larger < 2;
}

static int check_chosen(dn_comm *comm, const optim_rig *rig, const task *t)
{
    double *g = mean_gradient(t, 2, 0, N_MODEL - 1);
    const dn_state_shard mine = rig_shard(rig, dn_optimizer_n_states(rig->optimizer) - 3);
    RANKS_CHECK(strcmp(dn_optimizer_state(rig->optimizer, dn_optimizer_n_states(rig->optimizer) - 3)->name,
                       "dion2.momentum.x9") == 0);
    for (size_t k = 0; k < mine.block.rows * mine.block.cols; k++) {
        size_t row = mine.block.row0 + k / mine.block.cols;
        double right = g[row * 20 + mine.block.col0 + k % mine.block.cols] * (is_chosen(g, row) ? 0.9 : 1);
        double x = (double)((const dn_real *)(const void *)mine.data)[k];
        RANKS_CHECK(fabs(x - right) < 1e-3 * 8 * DN_REAL_EPS);
    }
    free(g);
    return 0;
}

static int local_choice(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig;
    RANKS_CHECK(create(&rig, comm, t) == 0);
    RANKS_CHECK(take_step(&rig, t, 0) == DN_OK);
    RANKS_CHECK(check_chosen(comm, &rig, t) == 0);
    for (int step = 1; step < STEPS; step++)
        RANKS_CHECK(take_step(&rig, t, 0) == DN_OK);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < N_MODEL; i++) {
        rig_whole x = rig_whole_weight(&rig, i);
        free(x.mean);
        RANKS_CHECK(x.n_copies >= 1 && x.equal);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    rig_destroy(&rig);
    return 0;
}

static void local_selection_takes_the_largest_of_each_part(void **state)
{
    (void)state;
    task t = task_of(DN_RULE_DION2);
    t.config.local_selection = true;
    assert_int_equal(run_on(t, (int[]){2, 3, 1}, local_choice, NULL), 0);
}

/* ---- a momentum that is no number, in one shard ---- */

static int broken_momentum(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig;
    RANKS_CHECK(create(&rig, comm, t) == 0);
    RANKS_CHECK(take_step(&rig, t, 0) == DN_OK);
    dn_state_shard s = rig_shard(&rig, t->broken);
    const char *name = strrchr(dn_optimizer_state(rig.optimizer, t->broken)->name, '.') + 1;
    size_t size = s.block.rows * s.block.cols;
    if (dn_comm_rank(comm) == dn_comm_size(comm) - 1) {
        RANKS_CHECK(size > 0);
        ((dn_real *)(void *)s.data)[size - 1] = (dn_real)NAN;
    }
    dn_real before = rig_weight(&rig, 0)[0];
    RANKS_CHECK(take_step(&rig, t, 0) == DN_ERR_NUMERIC);
    RANKS_CHECK(strncmp(dn_error_message(), name, strlen(name)) == 0);
    RANKS_CHECK(strstr(dn_error_message(), ": momentum beyond the range of numbers") != NULL);
    RANKS_CHECK(rig_weight(&rig, 0)[0] == before);
    rig_destroy(&rig);
    return 0;
}

static void a_momentum_that_is_no_number_stops_all_ranks(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_FAMILY; k++)
        if (family[k] != DN_RULE_SGD) {
            assert_int_equal(run_on(task_of(family[k]), (int[]){2, 2, 2}, broken_momentum, NULL), 0);
            assert_int_equal(run_on(task_of(family[k]), (int[]){3, 1, 1}, broken_momentum, NULL), 0);
        }
    task t = long_matrices(DN_RULE_MUON);
    t.broken = 5; /* 1 x 29, columns over fs */
    assert_int_equal(run_on(t, (int[]){1, 3, 1}, broken_momentum, NULL), 0);
}

/* ---- bytes, by hand ---- */

static uint64_t sum_of(const dn_formula *f)
{
    uint64_t sum = 0;
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            sum += f->payload[axes][kind];
    return sum;
}

/* What a rank alone in an exchange of n doubles moves. */
static int moved_by_scalars(dn_comm *comm, size_t n, uint64_t *moved)
{
    double values[64] = {0};
    dn_comm_ledger(comm, true);
    RANKS_CHECK(dn_comm_all_reduce(comm, values, n, DN_F64, DN_MAX, DN_TRAFFIC_FACTORS) == DN_OK);
    *moved = dn_comm_ledger(comm, true).moved[DN_TRAFFIC_FACTORS];
    return 0;
}

/* A matrix of 40 x 16, rows over tp, columns over fs, rows of both dealt over dp; rank 0 is its owner. */
static int bytes_of_one_matrix(dn_comm *comm, void *argument)
{
    const task *t = argument;
    const rig_shape shape = {DN_PARAM_MATRIX, 40, 16};
    const rig_cut cut = {DN_TP, DN_FS, 1};
    const rig_mesh mesh = {{2, 2, 2}, &cut};
    const dn_rule rule = t->config.matrix_rule;
    const bool owns = dn_comm_rank(comm) == 0;
    const uint64_t e = sizeof(dn_real), S = e * (rule == DN_RULE_DION2 ? 40 * 5 : 40 * 16);
    const uint64_t tile = rule == DN_RULE_DION2 ? 0 : 10 * 8 * e, small = rule == DN_RULE_NORMUON ? 43 : 1;
    optim_rig rig;
    RANKS_CHECK(rig_create_on(&rig, comm, &mesh, "ref", &t->config, &shape, 1) == DN_OK);
    const dn_formula f = dn_optimizer_formula(rig.optimizer);
    const uint64_t scores = rule == DN_RULE_DION2 ? 16 : 0, exchanged = 8 * (small + scores);
    RANKS_CHECK(f.payload[DN_ALL_AXES][DN_TRAFFIC_BASIS] == exchanged + (owns ? 2 * S : 0));
    RANKS_CHECK(f.by_collective[DN_ALL_AXES][DN_ALL_TO_ALL] == (owns ? 2 * S : 0));
    RANKS_CHECK(f.payload[DN_AXIS(DN_DP)][DN_TRAFFIC_GRADIENT] == 20 * 8 * e);
    RANKS_CHECK(f.payload[DN_AXIS(DN_DP)][DN_TRAFFIC_WEIGHTS] == 10 * 8 * e);
    RANKS_CHECK(sum_of(&f) == exchanged + (owns ? 2 * S : 0) + 30 * 8 * e + 8); /* nothing else: a norm */

    uint64_t moved = 0;
    double *g = dense_random(40, 16, 3);
    rig_set_grad(&rig, 0, g);
    free(g);
    RANKS_CHECK(moved_by_scalars(comm, small, &moved) == 0);
    RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
    uint64_t read = dn_comm_ledger(comm, false).moved[DN_TRAFFIC_BASIS] - moved;
    RANKS_CHECK(rule == DN_RULE_DION2 || read == (owns ? S - tile : tile));
    rig_destroy(&rig);
    return 0;
}

static void bytes_of_one_matrix_by_hand(void **state)
{
    (void)state;
    const dn_rule rules[] = {DN_RULE_MUON, DN_RULE_NORMUON, DN_RULE_DION2};
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(run_on(task_of(rules[k]), (int[]){2, 2, 2}, bytes_of_one_matrix, NULL), 0);
}

/* Two columns of 40 x 16 whose rows are dealt over dp and tp: 2 x 2 numbers of each rank, twice, and back. */
static int bytes_of_a_long_matrix(dn_comm *comm, void *argument)
{
    const task *t = argument;
    const rig_shape shape = {DN_PARAM_MATRIX, 40, 16};
    const rig_cut cut = {DN_TP, DN_FS, 1};
    const rig_mesh mesh = {{2, 1, 2}, &cut};
    const unsigned all = DN_AXIS(DN_DP) | DN_AXIS(DN_TP);
    const uint64_t grams = 2 * 2 * 2 * sizeof(dn_real), own = dn_comm_rank(comm) == 0 ? grams : 0;
    optim_rig rig;
    RANKS_CHECK(rig_create_on(&rig, comm, &mesh, "ref", &t->config, &shape, 1) == DN_OK);
    const dn_formula f = dn_optimizer_formula(rig.optimizer);
    RANKS_CHECK(f.by_collective[all][DN_ALL_TO_ALL] == 0);
    RANKS_CHECK(f.by_collective[all][DN_REDUCE_SCATTER] == grams);
    RANKS_CHECK(f.by_collective[all][DN_ALL_GATHER] == own);
    RANKS_CHECK(f.payload[all][DN_TRAFFIC_BASIS] ==
                8 * (16 + 1 + 1) + grams + own); /* norms, squares, found */
    rig_destroy(&rig);
    return 0;
}

static void bytes_of_a_long_matrix_by_hand(void **state)
{
    (void)state;
    assert_int_equal(run_on(long_matrices(DN_RULE_DION2), (int[]){2, 1, 2}, bytes_of_a_long_matrix, NULL), 0);
}

/* Over all ranks of any mesh the flops are those of one. */
static int flops_of_rank(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig, one;
    RANKS_CHECK(create(&rig, comm, t) == 0);
    RANKS_CHECK(rig_create(&one, NULL, "ref", &t->config, model, N_MODEL) == DN_OK);
    double own = dn_optimizer_flops(rig.optimizer), sum = own, whole = dn_optimizer_flops(one.optimizer);
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &sum, 1, DN_SUM) == DN_OK);
    RANKS_CHECK(whole > 0 && fabs(sum - whole) < 1e-9 * whole && own < 0.6 * whole);
    rig_destroy(&rig);
    rig_destroy(&one);
    return 0;
}

static void work_is_divided_and_never_repeated(void **state)
{
    (void)state;
    for (size_t k = 0; k < N_FAMILY; k++)
        if (family[k] != DN_RULE_SGD) {
            assert_int_equal(run_on(task_of(family[k]), (int[]){2, 2, 2}, flops_of_rank, NULL), 0);
            assert_int_equal(run_on(task_of(family[k]), (int[]){1, 3, 2}, flops_of_rank, NULL), 0);
        }
    assert_int_equal(run_on(long_matrices(DN_RULE_DION2), (int[]){3, 1, 1}, flops_of_rank, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_on_every_mesh),
        cmocka_unit_test(every_option_on_every_mesh),
        cmocka_unit_test(long_matrices_on_every_mesh),
        cmocka_unit_test(momentum_that_is_zero_everywhere),
        cmocka_unit_test(with_everything_selected_dion2_is_muon_and_dion3_normuon),
        cmocka_unit_test(with_everything_selected_local_is_global),
        cmocka_unit_test(local_selection_takes_the_largest_of_each_part),
        cmocka_unit_test(a_momentum_that_is_no_number_stops_all_ranks),
        cmocka_unit_test(bytes_of_one_matrix_by_hand),
        cmocka_unit_test(bytes_of_a_long_matrix_by_hand),
        cmocka_unit_test(work_is_divided_and_never_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
