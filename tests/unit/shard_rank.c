/* Adaptive ranks through the optimizer against Dion and AdaDion's rule in plain double arithmetic: ranks,
 * weights and momenta of twenty steps whose gradients are nearly of rank 6 and then of full rank. */
#include "support/allocations.h"
#include "support/close.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/optim_rig.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sums of 60 terms, an orthonormalization of columns a hundred times apart in size, twenty steps of 0.02. */
#define BOUND (1000 * DN_REAL_EPS)

enum { M = 60, N = 40, CAP = N, STEPS = 20, NARROW = 6, N_NARROW = 3 };
static const rig_shape shape = {DN_PARAM_MATRIX, M, N};
static const double lr = 0.02, mu = 0.95;

static dn_optim_config adaptive(void)
{
    dn_optim_config config = rig_config();
    config.rank_fraction = 1;
    config.adaptive_rank = true;
    return config;
}

/* Owned by the caller. */
static double *gradient(uint64_t step)
{
    double *g = dense_random(M, N, step), *wide = dense_zeros(M, N);
    double *left = dense_random(M, NARROW, 100), *right = dense_random(NARROW, N, 101);
    dense_multiply(wide, left, 0, right, 0, M, N, NARROW);
    for (size_t i = 0; i < M * N; i++)
        g[i] = step < N_NARROW ? 0.1 * g[i] + wide[i] : 10 * g[i];
    free(wide), free(left), free(right);
    return g;
}

typedef struct plain {
    double x[M * N], m[M * N], q[N * CAP]; /* q [N, r] */
    size_t r;
    double smoothed;
    double lengths[CAP], longest; /* of R's columns; from r on the longest of them */
} plain;

static double effective_rank(const double *r, size_t n)
{
    double norm[CAP] = {0}, sum = 0, entropy = 0;
    for (size_t j = 0; j < n; j++) {
        for (size_t i = 0; i < N; i++)
            norm[j] += r[i * n + j] * r[i * n + j];
        sum += sqrt(norm[j]);
    }
    for (size_t j = 0; j < n; j++)
        entropy -= sqrt(norm[j]) / sum * log(sqrt(norm[j]) / sum);
    return exp(entropy);
}

/* Multiples of 8 near 1.5 effective ranks, from 16 to CAP, at most 16 up and 8 down (optim/adadion.h). */
static size_t next_rank(const plain *s)
{
    double aim = fmin(fmax(8 * floor(1.5 * s->smoothed / 8 + 0.5), 16), CAP);
    return (size_t)fmin(fmax(aim, (double)s->r - 8), (double)s->r + 16);
}

/* One Dion step (optim/dion.h). Returns the rank of the next step; q is this step's new basis. */
static size_t plain_step(plain *s, const double *g)
{
    double p[M * CAP], r[N * CAP], captured[M * N], update[M * N];
    for (size_t i = 0; i < M * N; i++)
        s->m[i] += g[i];
    dense_multiply(p, s->m, 0, s->q, 0, M, s->r, N);
    dense_orthonormalize(p, M, s->r);
    dense_multiply(r, s->m, 1, p, 0, N, s->r, M);
    double effective = effective_rank(r, s->r);
    s->smoothed = s->smoothed == 0 ? effective : 0.9 * s->smoothed + 0.1 * effective;
    dense_multiply(captured, p, 0, r, 1, M, N, s->r);
    s->longest = 0;
    for (size_t j = 0; j < s->r; j++) {
        double square = 0;
        for (size_t i = 0; i < N; i++)
            square += r[i * s->r + j] * r[i * s->r + j];
        for (size_t i = 0; i < N; i++)
            s->q[i * s->r + j] = r[i * s->r + j] / (sqrt(square) + 1e-8);
        s->lengths[j] = sqrt(square);
        s->longest = larger(s->longest, s->lengths[j]);
    }
    for (size_t j = s->r; j < CAP; j++)
        s->lengths[j] = s->longest;
    dense_multiply(update, p, 0, s->q, 1, M, N, s->r);
    for (size_t i = 0; i < M * N; i++) {
        s->m[i] -= (1 - mu) * captured[i];
        s->x[i] -= lr * sqrt((double)M / N) * update[i];
    }
    return next_rank(s);
}

/* Room for the next rank; fresh columns are those that the optimizer drew, all of state [N, CAP] from r on.
 */
static void resize(plain *s, size_t next, const double *state)
{
    double q[N * CAP];
    memcpy(q, s->q, sizeof q);
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < next; j++)
            s->q[i * next + j] = j < s->r ? q[i * s->r + j] : state[i * CAP + j];
    s->r = next;
}

static double *real_state(const optim_rig *rig, const char *name, size_t n)
{
    return dense_from_real(rig_state_data(rig, name, 0), n);
}

static void check(const optim_rig *rig, const plain *s)
{
    double *x = dense_from_real(rig_weight(rig, 0), M * N), *m = real_state(rig, "dion.momentum", M * N),
           *rank = real_state(rig, "dion.rank", 2);
    assert_int_equal((size_t)rank[0], s->r);
    assert_close(rank[1], s->smoothed, BOUND * s->smoothed);
    assert_below(dense_distance(x, s->x, M * N), BOUND);
    assert_below(dense_distance(m, s->m, M * N), BOUND * dense_norm(s->m, M * N));
    assert_below(dense_distance(dn_optimizer_choice(rig->optimizer, 0).lengths, s->lengths, CAP), BOUND * s->longest);
    free(x), free(m), free(rank);
}

static void ranks_and_weights_follow_the_rule(void **state)
{
    (void)state;
    dn_optim_config config = adaptive();
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
    plain s = {.r = CAP};
    double *q = real_state(&rig, "dion.q", N * CAP);
    memcpy(s.q, q, sizeof s.q);
    free(q);
    int n_down = 0, n_up = 0;
    for (uint64_t t = 0; t < STEPS; t++) {
        double *g = gradient(t);
        rig_set_grad(&rig, 0, g);
        assert_int_equal(rig_step(&rig, lr), DN_OK);
        size_t next = plain_step(&s, g), before = s.r;
        double *drawn = real_state(&rig, "dion.q", N * CAP);
        resize(&s, next, drawn);
        n_down += next < before;
        n_up += next > before;
        check(&rig, &s);
        free(g), free(drawn);
    }
    assert_true(n_down >= 2 && n_up >= 1);
    rig_destroy(&rig);
}

static void restore(optim_rig *to, const optim_rig *from)
{
    memcpy(rig_weight(to, 0), rig_weight(from, 0), M * N * sizeof(dn_real));
    for (size_t k = 0; k < dn_optimizer_n_states(from->optimizer); k++) {
        dn_shard a = rig_shard(to, k), b = rig_shard(from, k);
        memcpy(behind(a.data), behind(b.data), b.block.rows * b.block.cols * sizeof(dn_real));
    }
    to->step = from->step;
}

/* N(0, 1/n): of length 1 in the mean, apart from each other and from those of another step. */
static void fresh_columns_are_random_directions(void **state)
{
    (void)state;
    dn_optim_config config = adaptive();
    optim_rig rig;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
    size_t n_fresh = 0, r = CAP;
    double mean = 0, largest = 0;
    for (uint64_t t = 0; t < 30; t++) {
        double *g = gradient(t);
        rig_set_grad(&rig, 0, g);
        assert_int_equal(rig_step(&rig, lr), DN_OK);
        size_t next = (size_t)rig_state_data(&rig, "dion.rank", 0)[0];
        double *q = real_state(&rig, "dion.q", N * CAP);
        for (size_t j = r; j < next; j++, n_fresh++) {
            double along = 0;
            for (size_t i = 0; i < N; i++) {
                along += q[i * CAP + j] * q[i * CAP + j - 1];
                mean += q[i * CAP + j] * q[i * CAP + j];
            }
            largest = larger(largest, fabs(along));
        }
        r = next;
        free(g), free(q);
    }
    assert_true(n_fresh >= 8);
    mean /= (double)n_fresh; /* chi-square of 320 or more: 1 with deviation 0.08 */
    assert_true(mean > 0.6 && mean < 1.4);
    assert_below(largest, 0.8); /* deviation 0.16 */
    rig_destroy(&rig);
}

/* Also the ranks and the fresh columns to come; in memory that the first step has seen. */
static void a_restored_run_goes_on_bit_for_bit_and_takes_no_memory(void **state)
{
    (void)state;
    dn_optim_config config = adaptive();
    optim_rig whole, part;
    assert_int_equal(rig_create(&whole, NULL, "cpu", &config, &shape, 1), DN_OK);
    assert_int_equal(rig_create(&part, NULL, "cpu", &config, &shape, 1), DN_OK);
    for (uint64_t t = 0; t < STEPS; t++) {
        double *g = gradient(t);
        rig_set_grad(&whole, 0, g);
        rig_set_grad(&part, 0, g);
        free(g);
        if (t == 6) /* ranks have fallen, and are to rise */
            restore(&part, &whole);
        size_t before = allocations_so_far.requests;
        dn_status status = rig_step(&whole, lr);
        assert_true(t == 0 || allocations_so_far.requests == before);
        assert_int_equal(status, DN_OK);
        if (t >= 6)
            assert_int_equal(rig_step(&part, lr), DN_OK);
    }
    assert_memory_equal(rig_weight(&whole, 0), rig_weight(&part, 0), M * N * sizeof(dn_real));
    assert_memory_equal(rig_state_data(&whole, "dion.rank", 0), rig_state_data(&part, "dion.rank", 0),
                        2 * sizeof(dn_real));
    rig_destroy(&whole), rig_destroy(&part);
}

/* Flops are those of the rank that the next step has; a restored rank counts at once. For bytes, which one
 * rank has none of, see tests/ranks/shard_mesh.c. */
static void flops_follow_the_rank(void **state)
{
    (void)state;
    dn_optim_config config = adaptive(), fixed = rig_config();
    optim_rig rig, other;
    assert_int_equal(rig_create(&rig, NULL, "ref", &config, &shape, 1), DN_OK);
    rig_state_data(&rig, "dion.rank", 0)[0] = 16;
    fixed.rank_fraction = 16.0 / N;
    assert_int_equal(rig_create(&other, NULL, "ref", &fixed, &shape, 1), DN_OK);
    assert_true(dn_optimizer_flops(rig.optimizer) == dn_optimizer_flops(other.optimizer));
    rig_destroy(&rig), rig_destroy(&other);
}

TESTS(shard_rank)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_and_weights_follow_the_rule),
        cmocka_unit_test(fresh_columns_are_random_directions),
        cmocka_unit_test(a_restored_run_goes_on_bit_for_bit_and_takes_no_memory),
        cmocka_unit_test(flops_follow_the_rank),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
