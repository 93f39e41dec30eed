/* Gradients that are averaged part by part, while units before theirs still go backward: the bits and the accounts of one reduction, on
 * threads and on processes. Between nodes the same calls are tested in nodes_joined.c, and whole runs in nodes_runs.py. */
#include "shard/overlap.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>

enum { UNITS = 41, N = 2 * UNITS, NUMBERS = 16384, EMPTY = 7 }; /* of a unit without parameters */

typedef struct gradients {
    dn_param params[N];
    dn_param_state states[N];
    dn_real *x; /* [NUMBERS] symmetric */
    size_t n, all;
} gradients;

/* Of each unit a matrix, and of some a vector; the first and the last are large, as embedding and head are. */
static void make(gradients *g, const dn_mesh *mesh, dn_real *x)
{
    *g = (gradients){.x = x};
    for (size_t i = 0; i < N; i++) {
        const size_t unit = i / 2;
        const bool vector = i % 2, large = unit == 0 || unit + 1 == UNITS;
        if (unit == EMPTY || (vector && unit % 3 != 0))
            continue;
        const size_t rows = vector ? 5 : 3 + unit % 5, cols = vector ? 1 : large ? 300 : 17 + unit;
        dn_param *p = &g->params[g->n];
        *p = (dn_param){.unit = unit, .block = {0, rows, 0, cols}, .grad = (dn_buf *)(x + g->all)};
        p->tensor.rows = rows;
        p->tensor.cols = cols;
        g->states[g->n++] = (dn_param_state){.param = p, .layout = {.slices = dn_axes_of(mesh->size, DN_AXIS(DN_DP))}};
        g->all += rows * cols;
    }
}

static void fill(const gradients *g, int rank, int round)
{
    for (size_t i = 0; i < g->all; i++)
        g->x[i] = (dn_real)(1 + (i * 7 + (size_t)rank * 31 + (size_t)round) % 101) / 7;
}

/* As many parts as units make that hold at least a sixteenth of all numbers; the last ends with unit 0. */
static int check_parts(dn_comm *comm, const dn_overlap *o, const gradients *g)
{
    size_t numbers[DN_OVERLAP_PARTS_MAX] = {0};
    for (size_t i = 0; i < g->n; i++) {
        size_t part = 0;
        while (part + 1 < o->n_parts && g->params[i].unit < o->lowest[part])
            part++;
        numbers[part] += g->params[i].tensor.rows * g->params[i].tensor.cols;
    }
    RANKS_CHECK(o->n_parts > 4 && o->n_parts <= DN_OVERLAP_PARTS_MAX && o->lowest[o->n_parts - 1] == 0);
    for (size_t part = 0; part + 1 < o->n_parts; part++)
        RANKS_CHECK(numbers[part] * DN_OVERLAP_PARTS_MAX > g->all && o->lowest[part] > o->lowest[part + 1]);
    return 0;
}

static double cluster_bytes_before(const dn_overlap *o, const dn_bucket *b, size_t part, int P)
{
    size_t numbers = 0;
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        for (size_t i = 0; part > 0 && i < o->ends[part - 1][axes]; i++)
            numbers += b->items[axes][i].count;
    return (double)(P - 1) / P * (double)(numbers * sizeof(dn_real));
}

static int reduce_part_by_part(dn_comm *comm, void *argument)
{
    static _Thread_local gradients early, at_once;
    const int P = dn_comm_size(comm), rank = dn_comm_rank(comm);
    dn_mesh *mesh;
    void *x, *y;
    dn_overlap o;
    RANKS_CHECK(dn_mesh_create(comm, (const int[DN_N_AXES]){[DN_DP] = P, [DN_PP] = 1, [DN_FS] = 1, [DN_TP] = 1}, &mesh) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, NUMBERS * sizeof(dn_real), &x) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, NUMBERS * sizeof(dn_real), &y) == DN_OK);
    make(&early, mesh, x);
    make(&at_once, mesh, y);
    RANKS_CHECK(early.all <= NUMBERS);
    dn_bucket a = dn_bucket_of(mesh, DN_REAL), b = dn_bucket_of(mesh, DN_REAL);
    RANKS_CHECK(dn_overlap_open(&o, &a, early.states, early.n) == DN_OK);
    for (size_t i = 0; i < at_once.n; i++) /* in another order */
        RANKS_CHECK(dn_bucket_add(&b, at_once.states[i].layout.slices, at_once.params[i].grad, at_once.params[i].block.rows,
                                  at_once.params[i].block.cols) == DN_OK);
    int failed = check_parts(comm, &o, &early);
    dn_comm *dp = dn_mesh_comm(mesh, DN_AXIS(DN_DP));
    for (int round = 0; round < 6 && !failed; round++) {
        const size_t last = round == 3 ? 11 : 0; /* then no step follows: what has begun ends */
        fill(&early, rank, round);
        fill(&at_once, rank, round);
        dn_comm_get_stats(dp, true);
        for (size_t unit = UNITS; unit-- > last;) {
            size_t due = 0;
            RANKS_CHECK(dn_overlap_begin(&o, unit, DN_AVG, DN_TRAFFIC_GRADIENT) == DN_OK);
            while (due < o.n_parts && o.lowest[due] >= unit)
                due++;
            RANKS_CHECK(o.n_begun == due);
            if (unit == 20) /* ranks agree in between */
                RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        }
        size_t begun = o.n_begun < o.n_parts ? o.n_begun : o.n_parts - 1; /* while units went backward */
        RANKS_CLOSE(o.cluster_bytes, cluster_bytes_before(&o, &a, begun, P), 1e-9 * o.cluster_bytes);
        RANKS_CHECK(dn_overlap_finish(&o) == DN_OK && o.n_begun == 0);
        const dn_comm_stats of_early = dn_comm_get_stats(dp, true);
        RANKS_CHECK(dn_bucket_reduce(&b, DN_AVG, DN_TRAFFIC_GRADIENT) == DN_OK);
        const dn_comm_stats of_once = dn_comm_get_stats(dp, true);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        if (last > 0)
            continue;
        RANKS_CLOSE((double)of_early.hops[DN_TRAFFIC_GRADIENT], (double)of_once.hops[DN_TRAFFIC_GRADIENT], 0);
        RANKS_CLOSE((double)of_early.payload[DN_TRAFFIC_GRADIENT], (double)of_once.payload[DN_TRAFFIC_GRADIENT], 0);
        for (size_t i = 0; i < early.n; i++) {
            const dn_range own = dn_shard_range(early.params[i].block.rows, 1, P, rank);
            const size_t at = (size_t)((dn_real *)early.params[i].grad - early.x) + own.first * early.params[i].block.cols;
            const size_t bytes = dn_range_size(own) * early.params[i].block.cols * sizeof(dn_real);
            RANKS_CHECK(memcmp(early.x + at, at_once.x + at, bytes) == 0);
        }
    }
    dn_bucket_clear(&a);
    dn_bucket_clear(&b);
    dn_mesh_destroy(&mesh);
    return failed;
}

static void parts_that_begin_early_are_one_reduction(void **state)
{
    (void)state;
    for (int n = 2; n <= 4; n++)
        for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
            ranks_spec spec = {.kind = kind, .n_ranks = n, .arena_bytes = 8 << 20};
            assert_int_equal(ranks_run(&spec, reduce_part_by_part, NULL, NULL), 0);
        }
}

TESTS(shard_overlap)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_that_begin_early_are_one_reduction)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
