/*
 * Orthonormalization by teams, their rows cut in every way, against a communicator of one, which tests/unit
 * holds to Gram-Schmidt. Each rank does the communicator's work and the whole alone.
 */
#include "base/random.h"
#include "comm/world.h"
#include "linalg/orth.h"
#include "support/close.h"
#include "support/copied_views.h"
#include "support/dense.h"
#include "support/device.h"
#include "support/full.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "verify/traffic_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const dn_orth methods[] = {DN_ORTH_CQR2, DN_ORTH_QR, DN_ORTH_CQR, DN_ORTH_RCQR};
static const int team_sizes[] = {2, 5, 1, 3, 8}; /* the first two in the short run */

enum { MOST = 80, MOST_RANKS = 8, AT = 5 /* rows begin there in p: not at its start */ };

/* How rows are cut. */
typedef enum cut {
    EVEN,
    UNEVEN, /* the first member has as much as all others */
    ENDS,   /* only the first and the last have rows; one alone has all */
    N_CUTS
} cut;

typedef struct scenario {
    const char *kernels;
    dn_orth method;
    cut cut;
    size_t n;
    size_t shapes[MOST][2];
    /* Fills a [m, r], matrix `index` of the batch. */
    void (*fill)(double *a, size_t m, size_t r, size_t index, double parameter);
    double parameter;
    double orthonormal; /* bound of |P'P - I|, where P is a basis */
    double same;        /* bound of the distance to the basis of a communicator of one; 0: the same bits */
    double factor;      /* bound of what is wrong in p = P R */
    int info;           /* expected everywhere; -1: whatever a communicator of one finds */
    bool steep;         /* and so held to Householder by one */
    size_t first;       /* that is compared, with all behind it */
} scenario;

/* ---- matrices ---- */

static void fill_noise(double *a, size_t m, size_t r, size_t index, double ignored)
{
    double *noise = dense_random(m, r, index);
    memcpy(a, noise, m * r * sizeof *a);
    free(noise);
}

/* As good as noise here, and of millions of numbers done in a moment. */
static void fill_steps(double *a, size_t m, size_t r, size_t index, double ignored)
{
    uint32_t state = (uint32_t)index + 1;
    for (size_t i = 0; i < m * r; i++)
        a[i] = (double)(state = state * 1664525u + 1013904223u) / 4294967296.0 - 0.5;
}

/* Singular values from 1 to 1 / condition. */
static void fill_conditioned(double *a, size_t m, size_t r, size_t index, double condition)
{
    double *u = dense_random(m, r, index), *v = dense_random(r, r, index + 100);
    dense_orthonormalize(u, m, r);
    dense_orthonormalize(v, r, r);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < r; j++)
            u[i * r + j] *= r > 1 ? pow(condition, -(double)j / (double)(r - 1)) : 1;
    dense_multiply(a, u, 0, v, 1, m, r, r);
    free(u), free(v);
}

/* The last column is half the first. */
static void fill_dependent(double *a, size_t m, size_t r, size_t index, double ignored)
{
    fill_noise(a, m, r, index, 0);
    for (size_t i = 0; i < m; i++)
        a[i * r + r - 1] = a[i * r] / 2;
}

static void fill_zeros(double *a, size_t m, size_t r, size_t index, double ignored)
{
    memset(a, 0, m * r * sizeof *a);
}

/* The bad number lies in the last row: with one member only. Every other matrix is sound. */
static void fill_bad(double *a, size_t m, size_t r, size_t index, double bad)
{
    fill_noise(a, m, r, index, 0);
    if (index % 2 == 0)
        a[m * r - 1] = bad;
}

/* ---- one rank ---- */

static void cut_rows(dn_orth_shard *parts, size_t m, int size, cut how)
{
    size_t row = 0, n = (size_t)size;
    for (size_t k = 0; k < n; k++) {
        size_t end = m * (k + 1) / n;
        if (how == UNEVEN)
            end = n == 1 ? m : m / 2 + (m - m / 2) * k / (n - 1);
        if (how == ENDS)
            end = k + 1 < n ? (m + 1) / 2 : m;
        parts[k] = (dn_orth_shard){.row0 = row, .rows = end - row, .at = AT + (k % 3)};
        row = end;
    }
}

typedef struct side {
    dn_stream *stream;
    dn_comm *comm;
    dn_orth_matrix matrices[MOST];
    dn_orth_shard parts[MOST][MOST_RANKS];
} side;

static size_t room_of(size_t m, size_t r)
{
    return (m * r + AT + 2 + 1) * sizeof(dn_real);
}

static size_t rounded(size_t bytes)
{
    return (bytes + 127) / 128 * 128;
}

static void describe(const scenario *s, dn_orth_matrix *matrices)
{
    for (size_t i = 0; i < s->n; i++)
        matrices[i] =
            (dn_orth_matrix){.m = s->shapes[i][0], .r = s->shapes[i][1], .draw = i, .steep = s->steep};
}

static size_t heap_bytes(const scenario *s, int size)
{
    dn_orth_matrix matrices[MOST];
    describe(s, matrices);
    size_t bytes = rounded(dn_orth_heap_bytes(s->method, size, matrices, s->n)) + 128 * MOST;
    for (size_t i = 0; i < s->n; i++)
        bytes += rounded(room_of(s->shapes[i][0], s->shapes[i][1]));
    return bytes;
}

static dn_real *memory_of(const side *x, size_t i)
{
    return behind(x->matrices[i].p);
}

/* All of p is NaN but this member's rows. */
static int fill_matrix(dn_comm *comm, const scenario *s, side *x, size_t i)
{
    dn_orth_matrix *a = &x->matrices[i];
    void *memory;
    RANKS_CHECK(dn_comm_alloc_device(x->comm, room_of(a->m, a->r), &memory) == DN_OK);
    memset(behind(memory), 0xff, room_of(a->m, a->r));
    a->p = memory;
    a->parts = x->parts[i];
    a->owner = (int)i % dn_comm_size(x->comm);
    cut_rows(x->parts[i], a->m, dn_comm_size(x->comm), s->cut);
    const dn_orth_shard *own = &x->parts[i][dn_comm_rank(x->comm)];
    double *whole = dense_zeros(a->m, a->r);
    s->fill(whole, a->m, a->r, i, s->parameter);
    dense_to_real((dn_real *)behind(memory) + own->at, whole + own->row0 * a->r, own->rows * a->r);
    free(whole);
    return 0;
}

static int run_side(dn_comm *comm, const scenario *s, side *x)
{
    void *workspace;
    describe(s, x->matrices);
    size_t bytes = dn_orth_heap_bytes(s->method, dn_comm_size(x->comm), x->matrices, s->n);
    RANKS_CHECK(dn_stream_create(s->kernels, 1, &x->stream) == DN_OK);
    RANKS_CHECK(dn_comm_alloc_device(x->comm, bytes, &workspace) == DN_OK);
    for (size_t i = 0; i < s->n; i++)
        RANKS_CHECK(fill_matrix(comm, s, x, i) == 0);
    RANKS_CHECK(dn_orthonormalize(x->stream, x->comm, s->method, 1, workspace, bytes, x->matrices, s->n) ==
                DN_OK);
    RANKS_CHECK(dn_comm_barrier(x->comm) == DN_OK);
    return 0;
}

/* ---- what must hold ---- */

/* The rows of all members. Owned by the caller. */
static dn_real *assemble(const side *x, size_t i)
{
    const dn_orth_matrix *a = &x->matrices[i];
    dn_real *p = malloc((a->m * a->r + 1) * sizeof *p);
    for (int k = 0; k < dn_comm_size(x->comm); k++) {
        const dn_orth_shard *part = &a->parts[k];
        memcpy(p + part->row0 * a->r, (dn_real *)behind(dn_comm_peer(x->comm, a->p, k)) + part->at,
               part->rows * a->r * sizeof *p);
    }
    return p;
}

/* Memory before and behind this member's rows is as it was. */
static int check_surroundings(dn_comm *comm, const side *x, size_t i)
{
    const dn_orth_matrix *a = &x->matrices[i];
    const dn_orth_shard *own = &a->parts[dn_comm_rank(x->comm)];
    size_t end = own->at + own->rows * a->r, n = room_of(a->m, a->r) / sizeof(dn_real);
    dn_real untouched;
    memset(&untouched, 0xff, sizeof untouched);
    for (size_t k = 0; k < n; k++)
        if (k < own->at || k >= end)
            RANKS_CHECK(memcmp(memory_of(x, i) + k, &untouched, sizeof untouched) == 0);
    return 0;
}

/* Largest element of x - P (P'x), and of P'x below its diagonal and minus its diagonal. */
static double deviation_from_factor(const double *p, const double *x, size_t m, size_t r)
{
    double worst = 0, *factor = dense_zeros(r, r), *back = dense_zeros(m, r);
    dense_multiply(factor, p, 1, x, 0, r, r, m);
    for (size_t i = 0; i < r; i++)
        for (size_t j = 0; j <= i; j++)
            worst = larger(worst, j < i ? fabs(factor[i * r + j]) : -factor[i * r + i]);
    dense_multiply(back, p, 0, factor, 0, m, r, r);
    worst = larger(worst, dense_distance(back, x, m * r));
    free(factor), free(back);
    return worst;
}

static int check_basis(dn_comm *comm, const scenario *s, const dn_orth_matrix *a, size_t i, const dn_real *p,
                       const dn_real *one)
{
    double *basis = dense_from_real(p, a->m * a->r), *other = dense_from_real(one, a->m * a->r);
    double *x = dense_zeros(a->m, a->r);
    dn_real *given = malloc(a->m * a->r * sizeof *given);
    s->fill(x, a->m, a->r, i, s->parameter);
    dense_to_real(given, x, a->m * a->r);
    double *rounded_x = dense_from_real(given, a->m * a->r);
    double orthonormal = dense_orthogonality(basis, a->m, a->r);
    double same = dense_distance(basis, other, a->m * a->r);
    double factor = deviation_from_factor(basis, rounded_x, a->m, a->r);
    if (!(orthonormal <= s->orthonormal && same <= s->same && factor <= s->factor))
        fprintf(stderr, "# %s, method %d, cut %d, parameter %g, %zu x %zu: %g of %g, %g of %g, %g of %g\n",
                s->kernels, (int)s->method, (int)s->cut, s->parameter, a->m, a->r, orthonormal,
                s->orthonormal, same, s->same, factor, s->factor);
    RANKS_CHECK(orthonormal <= s->orthonormal);
    RANKS_CHECK(same <= s->same);
    RANKS_CHECK(factor <= s->factor);
    free(basis), free(other), free(x), free(given), free(rounded_x);
    return 0;
}

/* Zero and broken matrices are what they were. */
static int check_kept(dn_comm *comm, const scenario *s, const dn_orth_matrix *a, size_t i, const dn_real *p)
{
    double *x = dense_zeros(a->m, a->r);
    dn_real *given = malloc(a->m * a->r * sizeof *given);
    s->fill(x, a->m, a->r, i, s->parameter);
    dense_to_real(given, x, a->m * a->r);
    RANKS_CHECK(memcmp(given, p, a->m * a->r * sizeof *p) == 0);
    free(x), free(given);
    return 0;
}

static int check_matrix(dn_comm *comm, const scenario *s, const side *team, const side *one, size_t i)
{
    const dn_orth_matrix *a = &team->matrices[i];
    dn_real *p = assemble(team, i), *alone = assemble(one, i);
    RANKS_CHECK(a->info == one->matrices[i].info);
    if (s->info >= 0)
        RANKS_CHECK((int)a->info == s->info);
    if (a->info == DN_ORTH_OK || a->info == DN_ORTH_FELL_BACK)
        RANKS_CHECK(check_basis(comm, s, a, i, p, alone) == 0);
    else
        RANKS_CHECK(check_kept(comm, s, a, i, p) == 0);
    RANKS_CHECK(check_surroundings(comm, team, i) == 0);
    free(p), free(alone);
    return 0;
}

/* What was counted is what the rounds say; and rows that went to the owner are all but its own. */
static int check_account(dn_comm *comm, const scenario *s, const side *team)
{
    const dn_comm_stats stats = dn_comm_get_stats(comm, false);
    dn_orth_traffic all = {0};
    int size = dn_comm_size(comm), rank = dn_comm_rank(comm);
    for (size_t i = 0; i < s->n; i++) {
        const dn_orth_matrix *a = &team->matrices[i];
        dn_orth_traffic one = {0};
        if (size > 1)
            one = dn_traffic_of_orth(a->m, a->r, &a->rounds, a->parts[rank].rows, a->parts[a->owner].rows,
                                     rank == a->owner);
        bool fine = a->info == DN_ORTH_OK,
             whole = s->method == DN_ORTH_QR || s->steep || (s->method == DN_ORTH_RCQR && a->m == a->r);
        if (fine && size > 1 && whole)
            RANKS_CHECK(one.reduced == 0 && one.gathered == (rank == a->owner) * 16);
        else if (fine && size > 1 && s->method == DN_ORTH_CQR && a->rounds.sketches == 0)
            RANKS_CHECK(one.reduced == a->r * (a->r + 1) * 4 &&
                        one.gathered == (rank == a->owner) * (a->r * (a->r + 1) * 4 + 16));
        if (whole && size > 1 && rank != a->owner)
            RANKS_CHECK(one.sent == a->parts[rank].rows * a->r * sizeof(dn_real));
        all.reduced += one.reduced;
        all.gathered += one.gathered;
        all.sent += one.sent;
    }
    RANKS_CHECK(stats.by_collective[DN_REDUCE_SCATTER] == all.reduced);
    RANKS_CHECK(stats.by_collective[DN_ALL_GATHER] == all.gathered);
    RANKS_CHECK(stats.payload[DN_TRAFFIC_ORTH] == all.reduced + all.gathered + all.sent);
    return 0;
}

static int team_against_one(dn_comm *comm, void *argument)
{
    const scenario *s = argument;
    scenario alone = *s;
    alone.method = s->steep ? DN_ORTH_QR : s->method;
    side *team = calloc(1, sizeof *team), *one = calloc(1, sizeof *one);
    RANKS_CHECK(team && one);
    team->comm = comm;
    RANKS_CHECK(dn_comm_create_alone(heap_bytes(&alone, 1), &one->comm) == DN_OK);
    RANKS_CHECK(run_side(comm, s, team) == 0);
    RANKS_CHECK(run_side(comm, &alone, one) == 0);
    RANKS_CHECK(check_account(comm, s, team) == 0);
    for (size_t i = s->first; i < s->n; i++)
        if (i % (size_t)dn_comm_size(comm) == (size_t)dn_comm_rank(comm) || s->n <= 2)
            RANKS_CHECK(check_matrix(comm, s, team, one, i) == 0);
    double info[MOST];
    for (size_t i = 0; i < s->n; i++)
        info[i] = team->matrices[i].info;
    RANKS_CHECK(dn_comm_all_reduce(comm, info, s->n, DN_F64, DN_MAX, DN_TRAFFIC_CONTROL) == DN_OK);
    for (size_t i = 0; i < s->n; i++)
        RANKS_CHECK(info[i] == (double)team->matrices[i].info);
    dn_stream_destroy(&team->stream);
    dn_stream_destroy(&one->stream);
    dn_comm_destroy(&one->comm);
    free(team), free(one);
    return 0;
}

static void run_team(scenario s, int size)
{
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = size, .arena_bytes = heap_bytes(&s, size) + 4096};
    if (ranks_run(&spec, team_against_one, &s, NULL) != 0)
        fail_msg("%s, method %d, cut %d, parameter %g, %d ranks", s.kernels, (int)s.method, (int)s.cut,
                 s.parameter, size);
}

static void run_teams(scenario s)
{
    for (s.cut = EVEN; s.cut < N_CUTS; s.cut++) {
        s.kernels = "ref"; /* slow, and the same to the routine */
        if (s.cut == EVEN || full_run())
            run_team(s, 3);
        s.kernels = "cpu";
        for (size_t k = 0; k < (full_run() ? sizeof team_sizes / sizeof *team_sizes : 2); k++)
            run_team(s, team_sizes[k]);
    }
}

/* Primes, m = r, r = 1, fewer rows than members, a single row, more than one tile and more than one part. */
#define SHAPES                                                                                               \
    {                                                                                                        \
        {60, 20}, {37, 37}, {53, 1}, {101, 13}, {131, 67}, {3, 2}, {1, 1}, {300, 40},                        \
        {                                                                                                    \
            7, 5                                                                                             \
        }                                                                                                    \
    }
#define N_SHAPES 9

/* ---- tests ---- */

/* Noise of 37 x 37 and the smaller square ones has a condition of some hundreds, times which cqr and
 * Householder in dn_real may be off; all others are some tens. */
static void teams_agree_with_one_member_by_every_method(void **state)
{
    for (size_t k = 0; k < 4; k++)
        run_teams((scenario){.method = methods[k],
                             .n = N_SHAPES,
                             .shapes = SHAPES,
                             .fill = fill_noise,
                             .orthonormal =
                                 methods[k] == DN_ORTH_CQR ? 2e-10 + 100 * DN_REAL_EPS : 100 * DN_REAL_EPS,
                             .same = methods[k] == DN_ORTH_QR    ? 0
                                     : methods[k] == DN_ORTH_CQR ? 2e-10 + 2000 * DN_REAL_EPS
                                                                 : 2000 * DN_REAL_EPS,
                             .factor = 1000 * DN_REAL_EPS,
                             .info = DN_ORTH_OK});
}

static scenario conditioned(dn_orth method, double condition)
{
    return (scenario){.method = method,
                      .n = 2,
                      .shapes = {{61, 19}, {140, 8}},
                      .fill = fill_conditioned,
                      .parameter = condition,
                      .orthonormal = 100 * DN_REAL_EPS,
                      .same = method == DN_ORTH_QR ? 0 : 100 * DN_REAL_EPS + 1e-14 * condition,
                      .factor = 1000 * DN_REAL_EPS,
                      .info = DN_ORTH_OK};
}

/* P = p T is computed in double and so wrong by 2e-16 times the condition, whatever dn_real is; P'P is not.
 * But for cqr, whose one pass leaves 2e-16 times the square. */
static void ill_conditioned_matrices_come_out_the_same(void **state)
{
    static const double conditions[] = {1, 1e2, 1e4, 1e6};
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < 4; i++) {
            scenario s = conditioned(methods[k], conditions[i]);
            if (methods[k] == DN_ORTH_CQR) {
                s.orthonormal += 1e-14 * conditions[i] * conditions[i];
                s.same += 1e-14 * conditions[i] * conditions[i];
                s.factor += 1e-14 * conditions[i] * conditions[i];
            }
            run_teams(s);
        }
}

/* At 1e7 a Gram matrix in double is at its end, and may fail; in double rcqr and Householder go on to 1e12.
 */
static void beyond_the_range_of_gram_matrices_all_stay_orthonormal(void **state)
{
    for (size_t k = 0; k < 4; k++) {
        scenario s = conditioned(methods[k], 1e7);
        s.info = -1;
        s.same = methods[k] == DN_ORTH_QR ? 0 : 2;
        if (methods[k] == DN_ORTH_CQR)
            s.orthonormal = s.factor = 1;
        run_teams(s);
#ifdef DN_REAL_DOUBLE
        s = conditioned(methods[k], 1e12);
        s.info = methods[k] == DN_ORTH_CQR2 ? DN_ORTH_FELL_BACK : DN_ORTH_OK;
        s.same = methods[k] == DN_ORTH_QR || methods[k] == DN_ORTH_CQR2 ? 0 : s.same;
        run_teams(s);
#endif
    }
}

/* To the bit, and nothing is reduced or gathered on the way. */
static void steep_matrices_are_left_to_householder(void **state)
{
    for (double condition = 1; condition < 1e9; condition *= 1e4) {
        scenario s = conditioned(DN_ORTH_CQR2, condition);
        s.steep = true;
        s.same = 0;
        run_teams(s);
    }
}

/* Its dependent column is replaced by noise, by the same Householder as alone: the same bits. */
static void rank_deficient_matrices_fall_back_everywhere(void **state)
{
    for (size_t k = 0; k < 4; k++)
        run_teams((scenario){.method = methods[k],
                             .n = 4,
                             .shapes = {{60, 20}, {131, 67}, {43, 41}, {5, 2}},
                             .fill = fill_dependent,
                             .orthonormal = 100 * DN_REAL_EPS,
                             .same = 0,
                             .factor = 1000 * DN_REAL_EPS,
                             .info = methods[k] == DN_ORTH_QR ? DN_ORTH_OK : DN_ORTH_FELL_BACK});
}

static void zeros_stay_zeros(void **state)
{
    for (size_t k = 0; k < 4; k++)
        run_teams((scenario){.method = methods[k],
                             .n = 4,
                             .shapes = {{60, 20}, {9, 9}, {2, 1}, {200, 40}},
                             .fill = fill_zeros,
                             .info = DN_ORTH_ZERO});
}

static void a_bad_number_of_one_member_is_known_to_all_and_others_go_on(void **state)
{
    static const double bad[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    for (size_t k = 0; k < 4; k++)
        for (size_t i = 0; i < 3; i++)
            run_teams((scenario){.method = methods[k],
                                 .n = 4,
                                 .shapes = {{60, 20}, {41, 13}, {17, 17}, {160, 40}},
                                 .fill = fill_bad,
                                 .parameter = bad[i],
                                 .orthonormal = 100 * DN_REAL_EPS,
                                 .same = 2000 * DN_REAL_EPS,
                                 .factor = 1000 * DN_REAL_EPS,
                                 .info = -1});
}

/* More matrices than a batch takes, and more bytes: the workspace is used again and again. */
static void calls_that_need_several_batches(void **state)
{
    for (size_t k = 0; k < 4; k++) {
        scenario s = {.kernels = "cpu",
                      .method = methods[k],
                      .n = 70,
                      .fill = fill_noise,
                      .orthonormal = 100 * DN_REAL_EPS,
                      .same = 100 * DN_REAL_EPS,
                      .factor = 1000 * DN_REAL_EPS,
                      .info = DN_ORTH_OK};
        for (size_t i = 0; i < s.n; i++) {
            s.shapes[i][0] = 30 + i % 11;
            s.shapes[i][1] = 4 + i % 3;
        }
        run_team(s, 3);
        if (methods[k] != DN_ORTH_CQR2 && methods[k] != DN_ORTH_RCQR)
            continue;
        s.n = 60; /* together more than 64 MiB, which 57 are not */
        s.first = 50;
        s.fill = fill_steps;
        for (size_t i = 0; i < s.n; i++) {
            s.shapes[i][0] = 271;
            s.shapes[i][1] = 270;
        }
        run_team(s, 2);
    }
}

static int team_by_copies(dn_comm *comm, void *argument)
{
    copied_views views;
    copied_views_begin(&views, comm);
    int failed = team_against_one(comm, argument);
    RANKS_CHECK(copied_views_end(&views, comm) > 0 || failed);
    return failed;
}

/* Ranks 0, 2, 4 and ranks 3, 1 of a group of five, each on a heap of its own. */
static int parts_at_once(dn_comm *comm, void *argument)
{
    scenario *s = argument;
    dn_comm *part;
    const int rank = dn_comm_rank(comm), odd = rank % 2;
    RANKS_CHECK(dn_comm_split(comm, odd, odd ? -rank : rank, heap_bytes(s, 3), &part) == DN_OK);
    RANKS_CHECK(dn_comm_size(part) == (odd ? 2 : 3) && dn_comm_rank(part) == (odd ? rank == 1 : rank / 2));
    dn_comm_get_stats(comm, true);
    int failed = team_against_one(part, s);
    const dn_comm_stats stats = dn_comm_get_stats(comm, false);
    RANKS_CHECK(!failed && stats.payload[DN_TRAFFIC_ORTH] == 0 && stats.moved[DN_TRAFFIC_ORTH] == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    dn_comm_destroy(&part);
    return 0;
}

static void parts_of_a_group_are_teams_of_their_own_and_views_may_be_copies(void **state)
{
    (void)state;
    scenario s = {.kernels = "cpu",
                  .cut = UNEVEN,
                  .n = N_SHAPES,
                  .shapes = SHAPES,
                  .fill = fill_noise,
                  .orthonormal = 2e-10 + 100 * DN_REAL_EPS,
                  .same = 2e-10 + 2000 * DN_REAL_EPS,
                  .factor = 1000 * DN_REAL_EPS,
                  .info = DN_ORTH_OK};
    for (size_t k = 0; k < 4; k++) {
        s.method = methods[k];
        const ranks_spec spec = {
            .kind = AS_THREADS, .n_ranks = 5, .arena_bytes = heap_bytes(&s, 3) + ((size_t)16 << 20)};
        assert_int_equal(ranks_run(&spec, parts_at_once, &s, NULL), 0);
        assert_int_equal(ranks_run(&spec, team_by_copies, &s, NULL), 0);
    }
}

TESTS(orth_comm)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(teams_agree_with_one_member_by_every_method),
        cmocka_unit_test(parts_of_a_group_are_teams_of_their_own_and_views_may_be_copies),
        cmocka_unit_test(ill_conditioned_matrices_come_out_the_same),
        cmocka_unit_test(beyond_the_range_of_gram_matrices_all_stay_orthonormal),
        cmocka_unit_test(steep_matrices_are_left_to_householder),
        cmocka_unit_test(rank_deficient_matrices_fall_back_everywhere),
        cmocka_unit_test(zeros_stay_zeros),
        cmocka_unit_test(a_bad_number_of_one_member_is_known_to_all_and_others_go_on),
        cmocka_unit_test(calls_that_need_several_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
