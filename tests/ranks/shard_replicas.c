/*
 * The optimizer step of several replicas against the step of one replica on the mean gradient,
 * over matrices of all orientations and every other kind of parameter. Each rank computes
 * both sides, so threads and processes run the same body.
 */
#include "support/close.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/optim_rig.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const rig_shape model[] = {{DN_PARAM_EMBEDDING, 11, 16}, {DN_PARAM_MATRIX, 16, 16},
                                  {DN_PARAM_MATRIX, 16, 16},    {DN_PARAM_MATRIX, 40, 16},
                                  {DN_PARAM_MATRIX, 16, 37},    {DN_PARAM_VECTOR, 1, 16},
                                  {DN_PARAM_HEAD, 11, 16}};
enum { N_MODEL = sizeof model / sizeof *model };

/* What gradients a scenario has. */
typedef enum gradients {
    NOISE,
    DEAD_REPLICA,     /* the last rank's are 0 in every step */
    CANCELLING_PAIRS, /* rank 2k+1's are those of rank 2k with the other sign */
    FEW_ROWS,         /* only the first two rows of each: columns of P beyond them are rounding noise that the
                         update takes for full, so replicas agree on it, but not with one alone */
} gradients;

typedef struct scenario {
    const char *kernels;
    dn_optim_config config;
    gradients gradients;
    int n_steps;
    bool replicas_end_equal; /* momenta too */
    int n_zero, n_fallback;  /* matrices reported in the last step */
} scenario;

/* Owned by the caller. */
static double *gradient_of(const scenario *s, int rank, int n_ranks, int step, size_t i)
{
    double sign = 1;
    if (s->gradients == CANCELLING_PAIRS && rank % 2 == 1) {
        rank--;
        sign = -1;
    }
    size_t rows = model[i].rows, cols = model[i].cols;
    double *g = dense_random(rows, cols, (uint64_t)((step * 64 + rank) * 16) + i);
    if (s->gradients == DEAD_REPLICA && rank == n_ranks - 1)
        sign = 0;
    for (size_t k = 0; k < rows * cols; k++)
        g[k] *= s->gradients == FEW_ROWS && k >= 2 * cols ? 0 : sign;
    return g;
}

/* This rank's gradients to rig, the mean of all to one. */
static void give_gradients(const scenario *s, dn_comm *comm, int step, optim_rig *rig, optim_rig *one)
{
    int n_ranks = dn_comm_size(comm);
    for (size_t i = 0; i < N_MODEL; i++) {
        size_t size = model[i].rows * model[i].cols;
        double *mean = dense_zeros(size, 1);
        for (int rank = 0; rank < n_ranks; rank++) {
            double *g = gradient_of(s, rank, n_ranks, step, i);
            for (size_t k = 0; k < size; k++)
                mean[k] += g[k] / n_ranks;
            if (rank == dn_comm_rank(comm))
                rig_set_grad(rig, i, g);
            free(g);
        }
        rig_set_grad(one, i, mean);
        free(mean);
    }
}

/* ---- what must hold afterwards ---- */

static bool same_bits_everywhere(dn_comm *comm, const dn_real *x, size_t n)
{
    for (int rank = 0; rank < dn_comm_size(comm); rank++)
        if (memcmp(x, dn_comm_peer(comm, x, rank), n * sizeof *x) != 0)
            return false;
    return true;
}

/* Largest difference between the mean over replicas of x [n] and expected [n]. */
static double distance_of_mean(dn_comm *comm, const dn_real *x, const dn_real *expected, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        double mean = 0;
        for (int rank = 0; rank < dn_comm_size(comm); rank++)
            mean += (double)((const dn_real *)dn_comm_peer(comm, x, rank))[i] / dn_comm_size(comm);
        worst = larger(worst, fabs(mean - (double)expected[i]));
    }
    return worst;
}

/* Ten steps of noise: weights move by 0.02 a step, momenta reach size 5, local ones a little more. Each step
 * adds some tens of roundings of each. */
#define BOUND (2000 * DN_REAL_EPS)

static int compare_weights(dn_comm *comm, const scenario *s, const optim_rig *rig, const optim_rig *one)
{
    for (size_t i = 0; i < N_MODEL; i++) {
        size_t size = model[i].rows * model[i].cols;
        RANKS_CHECK(same_bits_everywhere(comm, rig_weight(rig, i), size));
        if (s->gradients != FEW_ROWS)
            RANKS_BELOW(distance_of_mean(comm, rig_weight(rig, i), rig_weight(one, i), size), BOUND);
    }
    return 0;
}

/* Largest difference between expected and the mean over the copies of a state; infinite where its shards do
 * not tile it. */
static double distance_of_state(const optim_rig *rig, size_t k, const dn_real *expected, bool *equal)
{
    rig_whole x = rig_whole_state(rig, k);
    double *y = dense_from_real(expected, x.size);
    double worst = x.n_copies ? dense_distance(x.mean, y, x.size) : INFINITY;
    *equal = x.equal;
    free(x.mean), free(y);
    return worst;
}

static int compare_states(dn_comm *comm, const scenario *s, const optim_rig *rig, const optim_rig *one)
{
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++) {
        bool equal,
            must_be_equal = !dn_optimizer_state(rig->optimizer, k)->per_replica || s->replicas_end_equal;
        double distance = distance_of_state(rig, k, behind(rig_shard(one, k).data), &equal);
        RANKS_CHECK(equal == must_be_equal);
        RANKS_CHECK(s->gradients == FEW_ROWS ? isfinite(distance) : distance < BOUND);
    }
    return 0;
}

static int check_stats(dn_comm *comm, const scenario *s, const optim_rig *rig)
{
    const dn_comm_stats stats = dn_comm_get_stats(comm, true);
    const dn_traffic kinds[] = {DN_TRAFFIC_FACTORS, DN_TRAFFIC_GRADIENT, DN_TRAFFIC_WEIGHTS,
                                DN_TRAFFIC_MOMENTUM, DN_TRAFFIC_CONTROL};
    uint64_t payload[DN_N_TRAFFIC] = {0};
    optim_rig at = *rig;
    for (at.step = 0; at.step < (uint64_t)s->n_steps; at.step++) {
        const dn_traffic_model traffic = rig_traffic(&at);
        for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
            payload[kind] += traffic.payload[dn_comm_size(comm) > 1][kind];
    }
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        RANKS_CLOSE((double)stats.payload[kinds[k]], (double)payload[kinds[k]], 0);
    return 0;
}

static int replicas_against_one(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    optim_rig rig, one;
    RANKS_CHECK(rig_create(&rig, comm, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    RANKS_CHECK(rig_create(&one, NULL, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    dn_comm_get_stats(comm, true);
    for (int t = 0; t < s->n_steps; t++) {
        give_gradients(s, comm, t, &rig, &one);
        RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
        RANKS_CHECK(rig_step(&one, 0.02) == DN_OK);
    }
    RANKS_CHECK(rig.report.n_zero == s->n_zero && one.report.n_zero == s->n_zero);
    RANKS_CHECK(rig.report.n_fallback == s->n_fallback && one.report.n_fallback == s->n_fallback);
    RANKS_CHECK(check_stats(comm, s, &rig) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    RANKS_CHECK(compare_weights(comm, s, &rig, &one) == 0);
    RANKS_CHECK(compare_states(comm, s, &rig, &one) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK); /* peers have read it */
    rig_destroy(&rig);
    rig_destroy(&one);
    return 0;
}

static size_t arena_bytes(const scenario *s, int n_ranks)
{
    const rig_mesh replicas = {.size = {n_ranks, 1, 1}};
    return rig_heap_bytes(&s->config, model, N_MODEL, &replicas);
}

static void run_as(ranks_kind kind, int n_ranks, scenario s)
{
    for (size_t k = 0; k < 4; k++)
        s.config.groups[k].weight_decay = 0.1;
    ranks_spec spec = {.kind = kind, .n_ranks = n_ranks, .arena_bytes = arena_bytes(&s, n_ranks)};
    assert_int_equal(ranks_run(&spec, replicas_against_one, &s, NULL), 0);
}

static void run(int n_ranks, scenario s)
{
    run_as(AS_THREADS, n_ranks, s);
}

/* ---- scenarios ---- */

static scenario ten_steps(void)
{
    return (scenario){.kernels = "ref", .config = rig_config(), .n_steps = 10};
}

/* Run first: processes are forked before this one has used OpenMP or BLAS. */
static void processes_with_the_fast_kernels_equal_one(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.kernels = "cpu";
    run_as(AS_PROCESSES, 2, s);
    run_as(AS_PROCESSES, 4, s);
}

static void compressed_replicas_equal_one_on_the_mean_gradient(void **state)
{
    (void)state;
    scenario s = ten_steps();
    run(2, s);
    run(4, s);
    run_as(AS_PROCESSES, 3, s);
    s.replicas_end_equal = true;
    run(1, s);
}

static void uncompressed_replicas_equal_one_on_the_mean_gradient(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.config.compress = false;
    run(2, s);
    run(4, s);
}

/* At 1/2 square matrices are not compressed, the others are. */
static void compressed_and_full_matrices_side_by_side_equal_one(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.config.rank_fraction = 0.5;
    run(2, s);
    run(3, s);
}

static void several_power_iterations_and_sketches_equal_one(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.config.power_iters = 2;
    s.config.orth = DN_ORTH_RCQR;
    run(2, s);
    s.config.compress = false;
    run(3, s);
}

static void element_wise_rules_equal_one(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.config.matrix_rule = s.config.scalar_rule = "adamw";
    run(3, s);
}

static void averaging_momenta_changes_nothing_and_makes_them_equal(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.replicas_end_equal = true;
    for (int every = 1; every <= 10; every += every == 1 ? 1 : 3) { /* 1, 2, 5 */
        s.config.momentum_sync_every = every;
        if (10 % every == 0)
            run(2, s);
    }
    s.config.momentum_sync_every = 3; /* the last one was at step 9 of 10 */
    s.replicas_end_equal = false;
    run(4, s);
}

static void a_replica_without_gradients_does_not_disturb_the_others(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.gradients = DEAD_REPLICA;
    run(2, s);
    run(4, s);
}

/* Every replica has momentum; only all of them together see that the mean is zero. */
static void momenta_that_cancel_are_zero_for_all(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.gradients = CANCELLING_PAIRS;
    s.n_zero = 4;
    run(2, s);
}

static void rank_deficient_matrices_are_reported_by_all(void **state)
{
    (void)state;
    scenario s = ten_steps();
    s.n_steps = 1;
    s.gradients = FEW_ROWS;
    s.n_fallback = 4;
    run(2, s);
    s.config.compress = false;
    run(4, s);
}

/* ---- NaN on one replica ---- */

/* What this rank holds at a moment. */
typedef struct moment {
    dn_real *weights[N_MODEL], *shards[2 * N_MODEL];
} moment;

static size_t weight_bytes(size_t i)
{
    return model[i].rows * model[i].cols * sizeof(dn_real);
}

static size_t shard_bytes(const optim_rig *rig, size_t k)
{
    dn_block block = rig_shard(rig, k).block;
    return block.rows * block.cols * sizeof(dn_real);
}

static moment keep(const optim_rig *rig)
{
    moment now = {0};
    for (size_t i = 0; i < N_MODEL; i++)
        now.weights[i] = memcpy(malloc(weight_bytes(i)), rig_weight(rig, i), weight_bytes(i));
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++)
        now.shards[k] = memcpy(malloc(shard_bytes(rig, k) + 1), behind(rig_shard(rig, k).data), shard_bytes(rig, k));
    return now;
}

/* Whether nothing has changed since; forgets the moment. */
static bool unchanged(const optim_rig *rig, moment *before)
{
    bool same = true;
    for (size_t i = 0; i < N_MODEL; i++)
        same = memcmp(rig_weight(rig, i), before->weights[i], weight_bytes(i)) == 0 && same;
    for (size_t k = 0; k < dn_optimizer_n_states(rig->optimizer); k++)
        same = memcmp(behind(rig_shard(rig, k).data), before->shards[k], shard_bytes(rig, k)) == 0 && same;
    for (size_t i = 0; i < N_MODEL; i++)
        free(before->weights[i]);
    for (size_t k = 0; k < 2 * N_MODEL; k++)
        free(before->shards[k]);
    return same;
}

static int nan_on_one_replica(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    optim_rig rig, one;
    RANKS_CHECK(rig_create(&rig, comm, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    RANKS_CHECK(rig_create(&one, NULL, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    for (int t = 0; t < 4; t++) {
        give_gradients(s, comm, t, &rig, &one);
        if (t % 2 == 1 && dn_comm_rank(comm) == 1)
            rig_grad(&rig, (size_t)t)[5] = (dn_real)(t == 1 ? NAN : INFINITY);
        moment before = keep(&rig);
        RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
        RANKS_CHECK(rig.report.skipped == (t % 2 == 1));
        RANKS_CHECK(unchanged(&rig, &before) == (t % 2 == 1));
    }
    rig_destroy(&rig);
    rig_destroy(&one);
    return 0;
}

static void nan_on_one_replica_skips_the_step_on_all(void **state)
{
    (void)state;
    scenario s = ten_steps();
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 3, .arena_bytes = arena_bytes(&s, 3)};
    assert_int_equal(ranks_run(&spec, nan_on_one_replica, &s, NULL), 0);
}

/* ---- one replica's momentum runs out of range ---- */

static int overflow_on_one_replica(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    optim_rig rig, one;
    RANKS_CHECK(rig_create(&rig, comm, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    RANKS_CHECK(rig_create(&one, NULL, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    give_gradients(s, comm, 0, &rig, &one);
    if (dn_comm_rank(comm) == 1)
        for (size_t i = 0; i < 16 * 16; i++)
            rig_state_data(&rig, "dion.momentum", 2)[i] = (dn_real)(sizeof(dn_real) == 4 ? 3e38 : 1.7e308);
    RANKS_CHECK(rig_step(&rig, 0.02) == DN_ERR_NUMERIC);
    for (size_t i = 0; i < 16 * 16; i++)
        RANKS_CHECK(rig_weight(&rig, 1)[i] == 0);
    rig_destroy(&rig);
    rig_destroy(&one);
    return 0;
}

static void momentum_out_of_range_on_one_replica_is_an_error_on_all(void **state)
{
    (void)state;
    scenario s = ten_steps();
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 3, .arena_bytes = arena_bytes(&s, 3)};
    assert_int_equal(ranks_run(&spec, overflow_on_one_replica, &s, NULL), 0);
}

/* ---- steps of whom ---- */

/* Clients' steps are not the run's: which one it is in says who calls the optimizer. */
static int steps_in_another_step(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    optim_rig rig, one;
    RANKS_CHECK(rig_create(&rig, comm, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    RANKS_CHECK(rig_create(&one, NULL, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    for (int t = 0; t < 3; t++) {
        RANKS_CHECK(dn_comm_tick(comm, 40, "clients") == DN_OK);
        give_gradients(s, comm, t, &rig, &one);
        RANKS_CHECK(rig_step(&rig, 0.02) == DN_OK);
        RANKS_CHECK(dn_world_step(dn_comm_world(comm), dn_comm_rank(comm)) == 40);
    }
    rig_destroy(&rig);
    rig_destroy(&one);
    return 0;
}

static void a_step_of_the_optimizer_does_not_tell_which_one_the_run_is_in(void **state)
{
    (void)state;
    static const char *const rules[] = {"dion", "muon"};
    for (int i = 0; i < 2; i++) {
        scenario s = ten_steps();
        s.config.matrix_rule = rules[i];
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 2, .arena_bytes = arena_bytes(&s, 2)};
        assert_int_equal(ranks_run(&spec, steps_in_another_step, &s, NULL), 0);
    }
}

/* ---- division of labour ---- */

/* Every orthonormalization is somebody's, and only one's: over all ranks the flops beyond the products that
 * each does are those of one rank. */
static int shares_of_work(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    optim_rig rig, one;
    RANKS_CHECK(rig_create(&rig, comm, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    RANKS_CHECK(rig_create(&one, NULL, s->kernels, &s->config, model, N_MODEL) == DN_OK);
    const double products = 8 * 4 * (2 * 16 * 16 + 40 * 16 + 37 * 16); /* rank 4 */
    double mine = dn_optimizer_flops(rig.optimizer) - products, sum = mine, most = mine;
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &sum, 1, DN_SUM) == DN_OK);
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &most, 1, DN_MAX) == DN_OK);
    double whole = dn_optimizer_flops(one.optimizer) - products;
    RANKS_CLOSE(sum, whole, 1e-9 * whole);
    RANKS_BELOW(most, 0.6 * whole); /* two ranks, four matrices */
    rig_destroy(&rig);
    rig_destroy(&one);
    return 0;
}

static void orthonormalization_is_divided_and_never_repeated(void **state)
{
    (void)state;
    scenario s = ten_steps();
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 2, .arena_bytes = arena_bytes(&s, 2)};
    assert_int_equal(ranks_run(&spec, shares_of_work, &s, NULL), 0);
}

TESTS(shard_replicas)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(processes_with_the_fast_kernels_equal_one),
        cmocka_unit_test(compressed_replicas_equal_one_on_the_mean_gradient),
        cmocka_unit_test(uncompressed_replicas_equal_one_on_the_mean_gradient),
        cmocka_unit_test(compressed_and_full_matrices_side_by_side_equal_one),
        cmocka_unit_test(several_power_iterations_and_sketches_equal_one),
        cmocka_unit_test(element_wise_rules_equal_one),
        cmocka_unit_test(averaging_momenta_changes_nothing_and_makes_them_equal),
        cmocka_unit_test(a_replica_without_gradients_does_not_disturb_the_others),
        cmocka_unit_test(momenta_that_cancel_are_zero_for_all),
        cmocka_unit_test(rank_deficient_matrices_are_reported_by_all),
        cmocka_unit_test(nan_on_one_replica_skips_the_step_on_all),
        cmocka_unit_test(momentum_out_of_range_on_one_replica_is_an_error_on_all),
        cmocka_unit_test(a_step_of_the_optimizer_does_not_tell_which_one_the_run_is_in),
        cmocka_unit_test(orthonormalization_is_divided_and_never_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
