/* What ranks of a mesh do with their parts of matrices that are orthonormalized whole: local choices, momenta
 * that are no numbers, bytes and flops. */
#include "support/dense.h"
#include "support/device.h"
#include "support/mesh_task.h"
#include "support/tests.h"
#include "support/rules.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

static int check_chosen(dn_comm *comm, const optim_rig *rig, const mesh_task *t)
{
    double *g = mesh_mean_gradient(t, 2, 0, MESH_N_MODEL - 1);
    const dn_shard mine = rig_shard(rig, dn_optimizer_n_states(rig->optimizer) - 3);
    RANKS_CHECK(strcmp(dn_optimizer_state(rig->optimizer, dn_optimizer_n_states(rig->optimizer) - 3)->name,
                       "dion2.momentum.x9") == 0);
    for (size_t k = 0; k < mine.block.rows * mine.block.cols; k++) {
        size_t row = mine.block.row0 + k / mine.block.cols;
        double right = g[row * 20 + mine.block.col0 + k % mine.block.cols] * (is_chosen(g, row) ? 0.9 : 1);
        double x = (double)((const dn_real *)behind(mine.data))[k];
        RANKS_CLOSE(x, right, 1e-3 * 8 * DN_REAL_EPS);
    }
    free(g);
    return 0;
}

static int local_choice(dn_comm *comm, void *argument)
{
    const mesh_task *t = argument;
    optim_rig rig;
    RANKS_CHECK(mesh_create_rig(&rig, comm, t) == 0);
    RANKS_CHECK(mesh_take_step(&rig, t, 0) == DN_OK);
    RANKS_CHECK(check_chosen(comm, &rig, t) == 0);
    for (int step = 1; step < MESH_STEPS; step++)
        RANKS_CHECK(mesh_take_step(&rig, t, 0) == DN_OK);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < MESH_N_MODEL; i++) {
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
    mesh_task t = mesh_task_of("dion2");
    t.config.local_selection = true;
    assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){2, 3, 1}, local_choice, NULL), 0);
}

/* ---- a state that is no number, in one shard ---- */

static dn_real broken_value = (dn_real)NAN;

static int broken_state(dn_comm *comm, void *argument)
{
    const mesh_task *t = argument;
    optim_rig rig;
    RANKS_CHECK(mesh_create_rig(&rig, comm, t) == 0);
    RANKS_CHECK(mesh_take_step(&rig, t, 0) == DN_OK);
    const char *name = strrchr(dn_optimizer_state(rig.optimizer, t->broken)->name, '.') + 1;
    int rank = dn_comm_size(comm) - 1; /* the last one that has something of it */
    dn_shard s = dn_optimizer_state_shard(rig.optimizer, t->broken, rank);
    while (s.block.rows * s.block.cols == 0)
        s = dn_optimizer_state_shard(rig.optimizer, t->broken, --rank);
    for (size_t i = 0; dn_comm_rank(comm) == rank && i < s.block.rows * s.block.cols; i++)
        ((dn_real *)behind(s.data))[i] = broken_value; /* all of it: some rules take a few rows only */
    dn_real before = rig_weight(&rig, 0)[0];
    RANKS_CHECK(mesh_take_step(&rig, t, 0) == DN_ERR_NUMERIC);
    RANKS_CHECK(strncmp(dn_error_message(), name, strlen(name)) == 0);
    RANKS_CHECK(strstr(dn_error_message(), ": optimizer state beyond the range of numbers") != NULL);
    RANKS_CHECK(rig_weight(&rig, 0)[0] == before);
    rig_destroy(&rig);
    return 0;
}

static void any_state_that_is_no_number_stops_all_ranks(void **state)
{
    (void)state;
    for (size_t k = 0; mesh_family(k); k++) {
        if (!is_owner_rule(mesh_family(k)))
            continue;
        mesh_task t = mesh_task_of(mesh_family(k));
        for (t.broken = 0; t.broken < DN_MAX_STATES && dn_rule_row(mesh_family(k))->states[t.broken].name; t.broken++) {
            broken_value = (dn_real)NAN;
            assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){2, 2, 2}, broken_state, NULL), 0);
            broken_value = (dn_real)INFINITY;
            assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){3, 1, 1}, broken_state, NULL), 0);
        }
    }
    mesh_task t = mesh_long_matrices("muon");
    t.broken = 5; /* 1 x 29, columns over fs */
    broken_value = (dn_real)NAN;
    assert_int_equal(mesh_run_on(t, (int[DN_N_AXES]){1, 3, 1}, broken_state, NULL), 0);
}

/* ---- bytes, by hand ---- */

static uint64_t sum_of(const dn_traffic_model *f)
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
    dn_comm_get_stats(comm, true);
    RANKS_CHECK(dn_comm_all_reduce(comm, values, n, DN_F64, DN_MAX, DN_TRAFFIC_FACTORS) == DN_OK);
    *moved = dn_comm_get_stats(comm, true).moved[DN_TRAFFIC_FACTORS];
    return 0;
}

/* A matrix of 40 x 16, rows over tp, columns over fs, rows of both dealt over dp; rank 0 is its owner. */
static int bytes_of_one_matrix(dn_comm *comm, void *argument)
{
    const mesh_task *t = argument;
    const rig_shape shape = {DN_PARAM_MATRIX, 40, 16};
    const rig_cut cut = {DN_TP, DN_FS, 1};
    const rig_mesh mesh = {{2, 2, 2}, &cut, NULL};
    const char *rule = t->config.matrix_rule;
    const unsigned all = DN_AXIS(DN_DP) | DN_AXIS(DN_FS) | DN_AXIS(DN_TP);
    const bool owns = dn_comm_rank(comm) == 0;
    const uint64_t e = sizeof(dn_real), S = e * (is_rule(rule, "dion2") ? 40 * 5 : 40 * 16);
    const uint64_t tile = is_rule(rule, "dion2") ? 0 : 10 * 8 * e, small = is_rule(rule, "normuon") ? 43 : 1;
    optim_rig rig;
    RANKS_CHECK(rig_create_on(&rig, comm, &mesh, "ref", &t->config, &shape, 1) == DN_OK);
    const dn_traffic_model f = rig_traffic(&rig);
    const uint64_t scores = is_rule(rule, "dion2") ? 16 : 0, exchanged = 8 * (small + scores);
    RANKS_CHECK(f.payload[all][DN_TRAFFIC_BASIS] == exchanged + (owns ? 2 * S : 0));
    RANKS_CHECK(f.by_collective[all][DN_ALL_TO_ALL] == (owns ? 2 * S : 0));
    RANKS_CHECK(f.payload[DN_AXIS(DN_DP)][DN_TRAFFIC_GRADIENT] == 20 * 8 * e);
    RANKS_CHECK(f.payload[DN_AXIS(DN_DP)][DN_TRAFFIC_WEIGHTS] == 10 * 8 * e);
    RANKS_CHECK(sum_of(&f) == exchanged + (owns ? 2 * S : 0) + 30 * 8 * e + 8); /* nothing else: a norm */

    uint64_t moved = 0;
    double *g = dense_random(40, 16, 3);
    rig_set_grad(&rig, 0, g);
    free(g);
    RANKS_CHECK(moved_by_scalars(comm, small, &moved) == 0);
    RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
    uint64_t read = dn_comm_get_stats(comm, false).moved[DN_TRAFFIC_BASIS] - moved;
    RANKS_CHECK(is_rule(rule, "dion2") || read == (owns ? S - tile : tile));
    rig_destroy(&rig);
    return 0;
}

static void bytes_of_one_matrix_by_hand(void **state)
{
    (void)state;
    static const char *const rules[] = {"muon", "normuon", "dion2"};
    for (size_t k = 0; k < 3; k++)
        assert_int_equal(mesh_run_on(mesh_task_of(rules[k]), (int[DN_N_AXES]){2, 2, 2}, bytes_of_one_matrix, NULL), 0);
}

/* Two columns of 40 x 16 whose rows are dealt over dp and tp: 2 x 2 numbers of each rank, twice, and back. */
static int bytes_of_a_long_matrix(dn_comm *comm, void *argument)
{
    const mesh_task *t = argument;
    const rig_shape shape = {DN_PARAM_MATRIX, 40, 16};
    const rig_cut cut = {DN_TP, DN_FS, 1};
    const rig_mesh mesh = {{2, 1, 2}, &cut, NULL};
    const unsigned all = DN_AXIS(DN_DP) | DN_AXIS(DN_TP);
    const uint64_t grams = 2 * 2 * 2 * sizeof(dn_real), own = dn_comm_rank(comm) == 0 ? grams : 0;
    optim_rig rig;
    RANKS_CHECK(rig_create_on(&rig, comm, &mesh, "ref", &t->config, &shape, 1) == DN_OK);
    const dn_traffic_model f = rig_traffic(&rig);
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
    assert_int_equal(mesh_run_on(mesh_long_matrices("dion2"), (int[DN_N_AXES]){2, 1, 2}, bytes_of_a_long_matrix, NULL),
                     0);
}

/* Over all ranks of any mesh the flops are those of one. */
static int flops_of_rank(dn_comm *comm, void *argument)
{
    const mesh_task *t = argument;
    optim_rig rig, one;
    RANKS_CHECK(mesh_create_rig(&rig, comm, t) == 0);
    RANKS_CHECK(rig_create(&one, NULL, "ref", &t->config, mesh_model, MESH_N_MODEL) == DN_OK);
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
    for (size_t k = 0; mesh_family(k); k++)
        if (is_owner_rule(mesh_family(k))) {
            assert_int_equal(mesh_run_on(mesh_task_of(mesh_family(k)), (int[DN_N_AXES]){2, 2, 2}, flops_of_rank, NULL),
                             0);
            assert_int_equal(mesh_run_on(mesh_task_of(mesh_family(k)), (int[DN_N_AXES]){1, 3, 2}, flops_of_rank, NULL),
                             0);
        }
    assert_int_equal(mesh_run_on(mesh_long_matrices("dion2"), (int[DN_N_AXES]){3, 1, 1}, flops_of_rank, NULL), 0);
}

static size_t heap_of(const char *rule, size_t n_matrices)
{
    const rig_mesh mesh = {.size = {2, 2, 2}};
    const rig_shape shape = {DN_PARAM_MATRIX, 32, 64};
    const mesh_task t = mesh_task_of(rule);
    dn_param params[8] = {0};
    for (size_t i = 0; i < n_matrices; i++)
        params[i] = (dn_param){.kind = shape.kind, .tensor = {.rows = shape.rows, .cols = shape.cols}};
    return dn_optimizer_heap_bytes(&t.config, params, n_matrices, mesh.size);
}

/* Eight equal matrices have eight owners: what is kept whole takes no more on any rank than for one matrix.
 */
static void what_owners_keep_takes_heap_at_its_owner_alone(void **state)
{
    (void)state;
    for (size_t k = 0; mesh_family(k); k++) {
        const dn_rule *rule = dn_rule_row(mesh_family(k));
        if (!rule->transform)
            continue; /* Newton-Schulz takes more room to work in for more matrices */
        size_t parts = 0;
        for (int i = 0; i < dn_rule_n_states(rule); i++)
            parts += rule->states[i].at_owner ? 0 : 32 * 64 / 8 * sizeof(dn_real);
        assert_int_equal(heap_of(rule->info.name, 8) - heap_of(rule->info.name, 1), 7 * parts);
    }
}

TESTS(shard_family_parts)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(local_selection_takes_the_largest_of_each_part),
        cmocka_unit_test(any_state_that_is_no_number_stops_all_ranks),
        cmocka_unit_test(bytes_of_one_matrix_by_hand),
        cmocka_unit_test(bytes_of_a_long_matrix_by_hand),
        cmocka_unit_test(work_is_divided_and_never_repeated),
        cmocka_unit_test(what_owners_keep_takes_heap_at_its_owner_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
