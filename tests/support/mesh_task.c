#include "support/mesh_task.h"

#include "support/dense.h"
#include "support/tests.h"
#include "support/rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const rig_shape mesh_model[MESH_N_MODEL] = {{DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 40, 16},
                                            {DN_PARAM_MATRIX, 16, 37}, {DN_PARAM_VECTOR, 1, 16},
                                            {DN_PARAM_MATRIX, 13, 7},  {DN_PARAM_MATRIX, 3, 2},
                                            {DN_PARAM_MATRIX, 1, 29},  {DN_PARAM_MATRIX, 16, 16},
                                            {DN_PARAM_MATRIX, 19, 17}, {DN_PARAM_MATRIX, 12, 20}};
static const rig_cut mesh_cuts[] = {{DN_TP, DN_FS, 1},    {DN_TP, DN_FS, 8},     {DN_TP, DN_FS, 1},
                                    {DN_FS, DN_TP, 1},    {DN_FS, DN_TP, 1},     {DN_TP, DN_FS, 1},
                                    {DN_TP, DN_FS, 1},    {DN_N_AXES, DN_FS, 1}, {DN_N_AXES, DN_N_AXES, 1},
                                    {DN_FS, DN_N_AXES, 1}};

const char *mesh_family(size_t k)
{
    for (size_t i = 0; dn_rule_at(i); i++)
        if (dn_rule_row(dn_rule_at(i)->name)->executor != DN_LOW_RANK && k-- == 0)
            return dn_rule_at(i)->name;
    return NULL;
}

/* ---- one rank ---- */

mesh_task mesh_task_of(const char *rule)
{
    mesh_task t = {.config = rig_config(),
                   .mesh = {.cuts = mesh_cuts},
                   .scale = 1e-3,
                   .weights = {MESH_BOUND, MESH_BOUND},
                   .states = {MESH_BOUND, MESH_BOUND}};
    t.config.matrix_rule = rule;
    t.config.rank_fraction = 0.3;
    t.config.ef_decay = 0.9;
    t.config.row_beta2 = 0.95;
    for (size_t k = 0; k < DN_PARAM_N_KINDS; k++)
        t.config.groups[k] = (dn_group_options){1, 0.1};
    return t;
}

mesh_task mesh_long_matrices(const char *rule)
{
    mesh_task t = mesh_task_of(rule);
    t.config.gram = true;
    t.config.rank_fraction = 0.1;
    return t;
}

size_t mesh_size_of(size_t i)
{
    return mesh_model[i].rows * mesh_model[i].cols;
}

/* Of replica dp, whole. Owned by the caller. */
static double *gradient_of(const mesh_task *t, int dp, uint64_t step, size_t i)
{
    double *g = dense_random(mesh_model[i].rows, mesh_model[i].cols, (step * 64 + (uint64_t)dp) * 16 + i);
    for (size_t k = 0; k < mesh_size_of(i); k++)
        g[k] *= t->scale;
    return g;
}

double *mesh_mean_gradient(const mesh_task *t, int n_dp, uint64_t step, size_t i)
{
    double *mean = dense_zeros(mesh_size_of(i), 1);
    for (int dp = 0; dp < n_dp; dp++) {
        double *g = gradient_of(t, dp, step, i);
        for (size_t k = 0; k < mesh_size_of(i); k++)
            mean[k] += g[k] / n_dp;
        free(g);
    }
    return mean;
}

/* Weights start as noise, so that decay can be seen. */
static void set_weights(optim_rig *rig)
{
    for (size_t i = 0; i < MESH_N_MODEL; i++) {
        const dn_block b = rig->params[i].block;
        double *x = dense_random(mesh_model[i].rows, mesh_model[i].cols, 9000 + i);
        for (size_t k = 0; k < b.rows * b.cols; k++)
            rig_weight(rig, i)[k] =
                (dn_real)x[(b.row0 + k / b.cols) * mesh_model[i].cols + b.col0 + k % b.cols];
        free(x);
    }
}

dn_status mesh_take_step(optim_rig *rig, const mesh_task *t, int n_dp)
{
    for (size_t i = 0; i < MESH_N_MODEL; i++) {
        double *g = n_dp ? mesh_mean_gradient(t, n_dp, rig->step, i)
                         : gradient_of(t, rig->mesh->at[DN_DP], rig->step, i);
        rig_set_grad(rig, i, g);
        free(g);
    }
    return rig_step(rig, 0.02);
}

static void keep(mesh_reference *r, int when, const optim_rig *rig)
{
    r->n = 0;
    for (size_t i = 0; i < MESH_N_MODEL; i++)
        r->after[when][r->n++] = rig_whole_weight(rig, i).mean;
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++)
        r->after[when][r->n++] = rig_whole_state(rig, k).mean;
}

/* Matrices that the rule finds to be 0. */
static int n_zero(const mesh_task *t)
{
    bool looks = dn_rule_row(t->config.matrix_rule)->executor != DN_ELEMENT_WISE;
    return t->scale == 0 && looks ? MESH_N_MATRICES : 0;
}

mesh_reference mesh_one_rank(const mesh_task *t, int n_dp)
{
    mesh_reference r = {0};
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &t->config, mesh_model, MESH_N_MODEL), DN_OK);
    set_weights(&rig);
    for (int step = 0; step < MESH_STEPS; step++) {
        assert_int_equal(mesh_take_step(&rig, t, n_dp), DN_OK);
        assert_int_equal(rig.report.n_zero, n_zero(t));
        if (step == 0)
            keep(&r, 0, &rig);
    }
    keep(&r, 1, &rig);
    rig_destroy(&rig);
    return r;
}

void mesh_forget(mesh_reference *r)
{
    for (size_t i = 0; i < r->n; i++)
        free(r->after[0][i]), free(r->after[1][i]);
}

/* ---- a mesh ---- */

double mesh_relative(const double *x, const double *expected, size_t n)
{
    double difference = 0, norm = dense_norm(expected, n);
    for (size_t i = 0; i < n; i++)
        difference += (x[i] - expected[i]) * (x[i] - expected[i]);
    return difference == 0 ? 0 : sqrt(difference) / norm;
}

/* Frees x. A tensor whose copies differ that may not, which has holes, or more copies than it should, is
 * infinitely far. */
static double distance(rig_whole x, const double *expected, int most_copies, bool may_differ)
{
    bool right = x.n_copies >= 1 && x.n_copies <= most_copies && (x.equal || may_differ);
    double d = right ? mesh_relative(x.mean, expected, x.size) : INFINITY;
    free(x.mean);
    return d;
}

/* States are kept once, those of replicas once a replica. */
static int compare(dn_comm *comm, const optim_rig *rig, const mesh_task *t, int when)
{
    double *const *expected = t->expected->after[when];
    bool decoupled = is_rule(t->config.matrix_rule, "dion") && t->config.compress;
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < MESH_N_MODEL && dn_comm_rank(comm) == 0; i++)
        RANKS_BELOW(distance(rig_whole_weight(rig, i), expected[i], MESH_MAX_RANKS, false), t->weights[when]);
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer) && dn_comm_rank(comm) == 0; k++) {
        bool differs = dn_optimizer_state(rig->optimizer, k)->per_replica && !t->same;
        RANKS_BELOW(distance(rig_whole_state(rig, k), expected[MESH_N_MODEL + k],
                             decoupled ? MESH_MAX_RANKS : 1, differs),
                    t->states[when]);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    return 0;
}

static void reset_stats(const optim_rig *rig)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        dn_comm_get_stats(dn_mesh_comm(rig->mesh, axes), true);
}

/* Every group of the mesh, every kind, every collective: what one step exchanged. */
static int check_all_stats(dn_comm *comm, const optim_rig *rig, dn_traffic_model model)
{
    rig_add_rounds(rig, &model);
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++) {
        if (!rig->mesh->comms[axes])
            continue; /* another name of a group */
        const dn_comm_stats stats = dn_comm_get_stats(rig->mesh->comms[axes], false);
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            RANKS_CLOSE((double)stats.payload[kind], (double)model.payload[axes][kind], 0);
        for (int as = 0; as < DN_N_COLLECTIVES; as++)
            RANKS_CLOSE((double)stats.by_collective[as], (double)model.by_collective[axes][as], 0);
    }
    return 0;
}

int mesh_create_rig(optim_rig *rig, dn_comm *comm, const mesh_task *t)
{
    RANKS_CHECK(rig_create_on(rig, comm, &t->mesh, "ref", &t->config, mesh_model, MESH_N_MODEL) == DN_OK);
    set_weights(rig);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    return 0;
}

int mesh_against_one(dn_comm *comm, void *argument)
{
    const mesh_task *t = argument;
    optim_rig rig;
    RANKS_CHECK(mesh_create_rig(&rig, comm, t) == 0);
    for (int step = 0; step < MESH_STEPS; step++) {
        const dn_traffic_model model = rig_traffic(&rig);
        reset_stats(&rig);
        RANKS_CHECK(mesh_take_step(&rig, t, t->same ? t->mesh.size[DN_DP] : 0) == DN_OK);
        RANKS_CHECK(check_all_stats(comm, &rig, model) == 0);
        RANKS_CHECK(rig.report.n_zero == n_zero(t));
        if (step == 0)
            RANKS_CHECK(compare(comm, &rig, t, 0) == 0);
    }
    RANKS_CHECK(compare(comm, &rig, t, 1) == 0);
    rig_destroy(&rig);
    return 0;
}

int mesh_run_on(mesh_task t, const int size[DN_N_AXES], ranks_body *body, const mesh_reference *expected)
{
    memcpy(t.mesh.size, size, sizeof t.mesh.size);
    t.expected = expected;
    ranks_spec spec = {.kind = AS_THREADS,
                       .n_ranks = size[DN_DP] * size[DN_FS] * size[DN_TP],
                       .arena_bytes = rig_heap_bytes(&t.config, mesh_model, MESH_N_MODEL, &t.mesh)};
    int failed = ranks_run(&spec, body, &t, NULL);
    if (failed)
        print_error("# rule %s on dp %d, fs %d, tp %d\n", t.config.matrix_rule, size[DN_DP], size[DN_FS],
                    size[DN_TP]);
    return failed;
}

void mesh_run(mesh_task t)
{
    int failed = 0, sizes[RANKS_MESHES][DN_N_AXES];
    size_t n = ranks_meshes(sizes);
    mesh_reference expected = {0};
    for (size_t k = 0; k < n; k++) {
        if (k == 0 || sizes[k][DN_DP] != sizes[k - 1][DN_DP]) {
            mesh_forget(&expected);
            expected = mesh_one_rank(&t, sizes[k][DN_DP]);
        }
        failed += mesh_run_on(t, sizes[k], mesh_against_one, &expected);
    }
    mesh_forget(&expected);
    assert_int_equal(failed, 0);
}
