/*
 * What one rank does for all, Dion's factorizations and Muon's orthonormalized matrices, is shared out: counted
 * in the calls that each rank makes of its kernels, with no word from the plan. Bound: giving out the most expensive first, each to the
 * rank that has least, is within 4/3 - 1/(3p) of the best that p ranks can do (Graham 1969), which is found
 * by trying all ways.
 */
#include "support/dense.h"
#include "support/optim_rig.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_RANKS = 4, MOST_CALLS = 32 };

/* The most expensive one last. At rank 1/4: r = 4 and 8, of which eight are as dear as one. */
static const rig_shape one_large[] = {
    {DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 16, 40},
    {DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 40, 16}, {DN_PARAM_MATRIX, 16, 16},
    {DN_PARAM_MATRIX, 17, 16}, {DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 32, 32}};
/* A layer of a GPT and a half: equal ranks, but four times as long. */
static const rig_shape long_ones[] = {{DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 16, 16},
                                      {DN_PARAM_MATRIX, 16, 16}, {DN_PARAM_MATRIX, 16, 16},
                                      {DN_PARAM_MATRIX, 64, 16}, {DN_PARAM_MATRIX, 16, 64},
                                      {DN_PARAM_MATRIX, 64, 16}, {DN_PARAM_MATRIX, 16, 16}};

typedef struct task {
    const rig_shape *shapes;
    size_t n;
    dn_optim_config config;
    rig_mesh mesh;
    bool whole; /* an owner makes several calls for a matrix, some for several alike: what each costs is known instead */
} task;

/* ---- what a rank does, seen where it calls its kernels ---- */

typedef struct calls {
    double flops[MOST_CALLS], sum;
    size_t n;
} calls;

static calls of_rank[MOST_RANKS];
static _Thread_local calls *own; /* ranks are threads */
static const dn_kernels *below;

static void note(double flops)
{
    if (own->n < MOST_CALLS)
        own->flops[own->n] = flops;
    own->n++;
    own->sum += flops;
}

static void factor_gram(dn_stream *s, dn_factoring *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        note(2.0 / 3 * pow((double)items[i].r, 3)); /* U of G = U'U, and its inverse */
    below->factor_gram(s, items, n);
}

static void householder(dn_stream *s, dn_tall *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double m = (double)items[i].m, r = (double)items[i].r;
        note(4 * m * r * r - 4.0 / 3 * r * r * r); /* the factorization, and Q of it */
    }
    below->householder(s, items, n);
}

/* Half of it is computed. */
static void symmetric_product(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha, const dn_buf *a,
                              const dn_buf *b, double beta, const dn_buf *d, double gamma, dn_buf *c)
{
    note((double)count * (double)n * (double)n * (double)k);
    below->symmetric_product(s, count, t, n, k, alpha, a, b, beta, d, gamma, c);
}

static void gemm_batch(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha,
                       const dn_buf *a, const dn_buf *b, double beta, dn_buf *c)
{
    note(2 * (double)count * (double)m * (double)n * (double)k);
    below->gemm_batch(s, count, ta, tb, m, n, k, alpha, a, b, beta, c);
}

/* Five times G = X X', its square, and a product with X. */
static double newton_schulz_flops(const rig_shape *shape)
{
    double a = (double)dn_min(shape->rows, shape->cols), b = (double)dn_max(shape->rows, shape->cols);
    return 5 * (a * a * b + a * a * a + 2 * a * a * b);
}

static void step_and_count(dn_comm *comm, optim_rig *rig, const task *t, dn_status *status)
{
    dn_kernels counting = *rig->stream->kernels;
    counting.factor_gram = factor_gram;
    counting.householder = householder;
    counting.symmetric_product = symmetric_product;
    counting.gemm_batch = gemm_batch;
    own = &of_rank[dn_comm_rank(comm)];
    *own = (calls){0};
    for (size_t i = 0; i < t->n; i++) {
        double *g = dense_random(t->shapes[i].rows, t->shapes[i].cols, i);
        rig_set_grad(rig, i, g);
        free(g);
    }
    rig->stream->kernels = &counting;
    *status = rig_step(rig, 0.02);
    rig->stream->kernels = below;
}

/* ---- how well that is shared out ---- */

/* The least load of the rank that has most, over all ways to give out items first .. n - 1. */
static double best(const double *items, size_t first, size_t n, double *load, int n_ranks)
{
    double least = INFINITY;
    if (first == n) {
        least = 0;
        for (int rank = 0; rank < n_ranks; rank++)
            least = fmax(least, load[rank]);
        return least;
    }
    for (int rank = 0; rank < n_ranks; rank++) {
        load[rank] += items[first];
        least = fmin(least, best(items, first + 1, n, load, n_ranks));
        load[rank] -= items[first];
        if (load[rank] == 0)
            break; /* empty ranks are alike */
    }
    return least;
}

static int check_balance(const dn_comm *comm, const task *t)
{
    const int p = dn_comm_size(comm);
    double items[MOST_CALLS], most = 0, all = 0, load[MOST_RANKS] = {0};
    size_t n = 0;
    for (int rank = 0; rank < p; rank++) {
        for (size_t i = 0; i < of_rank[rank].n && n < MOST_CALLS && !t->whole; i++)
            items[n++] = of_rank[rank].flops[i];
        most = fmax(most, of_rank[rank].sum);
        all += of_rank[rank].sum;
    }
    for (; n < t->n && t->whole; n++)
        all -= items[n] = newton_schulz_flops(&t->shapes[n]);
    RANKS_CHECK(n == t->n); /* each once */
    RANKS_CHECK(!t->whole || all == 0);
    RANKS_BELOW(most, (4.0 / 3 - 1.0 / (3 * p)) * best(items, 0, n, load, p) * (1 + 1e-9));
    return 0;
}

static int body(dn_comm *comm, void *argument)
{
    const task *t = argument;
    optim_rig rig;
    dn_status status;
    RANKS_CHECK(rig_create_on(&rig, comm, &t->mesh, "ref", &t->config, t->shapes, t->n) == DN_OK);
    below = rig.stream->kernels;
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    step_and_count(comm, &rig, t, &status);
    RANKS_CHECK(status == DN_OK && rig.report.n_fallback == 0 && rig.report.n_zero == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    if (dn_comm_rank(comm) == 0)
        RANKS_CHECK(check_balance(comm, t) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    rig_destroy(&rig);
    return 0;
}

static void expect_balance(const rig_shape *shapes, size_t n, const dn_optim_config *config, bool whole)
{
    static const rig_cut cuts[RIG_MAX] = {{DN_FS, DN_TP, 1}, {DN_FS, DN_TP, 1}, {DN_FS, DN_TP, 1},
                                          {DN_FS, DN_TP, 1}, {DN_FS, DN_TP, 1}, {DN_FS, DN_TP, 1},
                                          {DN_FS, DN_TP, 1}, {DN_FS, DN_TP, 1}, {DN_FS, DN_TP, 1}};
    static const int meshes[][DN_N_AXES] = {{2, 1, 1}, {1, 3, 1}, {1, 1, 4}, {1, 2, 2}, {4, 1, 1}};
    for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
        task t = {.shapes = shapes, .n = n, .config = *config, .mesh = {.cuts = whole ? NULL : cuts}, .whole = whole};
        memcpy(t.mesh.size, meshes[i], sizeof meshes[i]);
        ranks_spec spec = {.kind = AS_THREADS,
                           .n_ranks = meshes[i][DN_DP] * meshes[i][DN_FS] * meshes[i][DN_TP],
                           .arena_bytes = rig_heap_bytes(config, shapes, n, &t.mesh) + (1 << 16)};
        if (ranks_run(&spec, body, &t, NULL) != 0)
            fail_msg("not shared out on a mesh of %d x %d x %d", meshes[i][DN_DP], meshes[i][DN_FS],
                     meshes[i][DN_TP]);
    }
}

static void factors_of_small_matrices_are_shared_out_by_what_they_cost(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    config.orth = DN_ORTH_CQR; /* one factorization a matrix */
    expect_balance(one_large, sizeof one_large / sizeof *one_large, &config, false);
    expect_balance(long_ones, sizeof long_ones / sizeof *long_ones, &config, false);
}

static void whole_factorizations_are_shared_out_by_what_they_cost(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    config.orth = DN_ORTH_QR;
    expect_balance(one_large, sizeof one_large / sizeof *one_large, &config, false);
    expect_balance(long_ones, sizeof long_ones / sizeof *long_ones, &config, false);
    config.orth = DN_ORTH_CQR2; /* at full rank that is Householder's */
    config.rank_fraction = 1;
    expect_balance(long_ones, sizeof long_ones / sizeof *long_ones, &config, false);
}

/* Not cut: long matrices that are cut along their long side may be orthonormalized in parts, by all ranks. */
static void whole_matrices_are_shared_out_by_what_newton_schulz_costs(void **state)
{
    (void)state;
    dn_optim_config config = rig_config();
    config.matrix_rule = "muon";
    expect_balance(one_large, sizeof one_large / sizeof *one_large, &config, true);
    expect_balance(long_ones, sizeof long_ones / sizeof *long_ones, &config, true);
}

TESTS(shard_balance)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(factors_of_small_matrices_are_shared_out_by_what_they_cost),
        cmocka_unit_test(whole_factorizations_are_shared_out_by_what_they_cost),
        cmocka_unit_test(whole_matrices_are_shared_out_by_what_newton_schulz_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
