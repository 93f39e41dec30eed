/* The accounts, held to the table of comm.h: every collective, both of private and symmetric buffers, small
 * and large, for 1 to 8 ranks; what lies in which domain; what is read in place. */
#include "support/ranks.h"
#include "support/tests.h"

#include <stdlib.h>
#include <string.h>

static void run_both_kinds(int n, ranks_body *body)
{
    for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
        ranks_spec spec = {.kind = kind, .n_ranks = n, .arena_bytes = 4 << 20};
        assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
    }
}

/* ---- payload and cluster ---- */

enum { MAX_ITEMS = 5, ROOM = 300000 };

/* What a call is made of, and what it should add to the statistics. */
typedef struct account {
    dn_comm *comm;
    char *x, *y; /* ROOM bytes each */
    size_t n;    /* floats */
    dn_traffic kind;
    int root;
    bool symmetric;
    size_t payload;
    double cluster;
    dn_collective as;
} account;

static size_t own_slice_bytes(const account *a)
{
    size_t first, end;
    dn_comm_chunk_bounds(a->comm, a->n, DN_F32, dn_comm_rank(a->comm), &first, &end);
    return 4 * (end - first);
}

/* times (P-1)/P S. The dividend is a whole number below 2^53, so the quotient is the nearest there is. */
static double ring(const account *a, uint64_t times, size_t bytes)
{
    uint64_t P = (uint64_t)dn_comm_size(a->comm);
    return (double)(times * (P - 1) * bytes) / (double)P;
}

static dn_status all_reduce(account *a)
{
    a->as = DN_ALL_REDUCE, a->payload = 4 * a->n, a->cluster = ring(a, 2, 4 * a->n);
    return dn_comm_all_reduce(a->comm, a->x, a->n, DN_F32, DN_MAX, a->kind);
}

static dn_status all_reduce_shared(account *a)
{
    const void *result;
    a->as = DN_ALL_REDUCE, a->payload = 4 * a->n, a->cluster = ring(a, 2, 4 * a->n);
    if (!a->symmetric)
        return all_reduce(a);
    return dn_comm_all_reduce_shared(a->comm, a->x, a->n, DN_F32, DN_MAX, a->kind, &result);
}

static dn_status reduce(account *a)
{
    bool sends = dn_comm_rank(a->comm) != a->root;
    a->as = DN_REDUCE, a->payload = 4 * a->n, a->cluster = sends ? 4 * (double)a->n : 0;
    return dn_comm_reduce(a->comm, a->x, a->n, DN_F32, DN_MAX, a->root, a->kind);
}

static dn_status reduce_scatter(account *a)
{
    a->as = DN_REDUCE_SCATTER, a->payload = 4 * a->n, a->cluster = ring(a, 1, 4 * a->n);
    return dn_comm_reduce_scatter(a->comm, a->x, a->n, DN_F32, DN_MAX, a->kind);
}

static dn_status all_gather(account *a)
{
    a->as = DN_ALL_GATHER, a->payload = own_slice_bytes(a), a->cluster = ring(a, 1, 4 * a->n);
    return dn_comm_all_gather(a->comm, a->x, a->n, DN_F32, a->kind);
}

static dn_status all_to_all(account *a)
{
    size_t P = (size_t)dn_comm_size(a->comm), row = a->n / P;
    a->as = DN_ALL_TO_ALL, a->payload = 4 * row * P, a->cluster = ring(a, 1, 4 * row * P);
    return dn_comm_all_to_all(a->comm, a->x, a->y, row, DN_F32, a->kind);
}

static dn_status broadcast(account *a)
{
    int P = dn_comm_size(a->comm), me = dn_comm_rank(a->comm);
    a->as = DN_BROADCAST, a->payload = me == a->root ? a->n : 0;
    a->cluster = (me + 1) % P != a->root ? (double)a->n : 0; /* all but the last of the chain */
    return dn_comm_broadcast(a->comm, a->x, a->n, a->root, a->kind);
}

static dn_status in_halves(account *a, bool scatter)
{
    uint64_t number = 0;
    if (!a->symmetric)
        return scatter ? reduce_scatter(a) : all_reduce(a);
    a->as = scatter ? DN_REDUCE_SCATTER : DN_ALL_REDUCE;
    a->payload = 4 * a->n, a->cluster = ring(a, scatter ? 1 : 2, 4 * a->n);
    dn_status status =
        scatter ? dn_comm_begin_reduce_scatter(a->comm, a->x, a->n, DN_F32, DN_MAX, a->kind, &number)
                : dn_comm_begin_all_reduce(a->comm, a->x, a->n, DN_F32, DN_MAX, a->kind, &number);
    return status == DN_OK ? dn_comm_finish(a->comm, number) : status;
}

static dn_status all_reduce_in_halves(account *a)
{
    return in_halves(a, false);
}

static dn_status reduce_scatter_in_halves(account *a)
{
    return in_halves(a, true);
}

/* Uneven items; *own bytes are this rank's. */
static void deal_out(const account *a, dn_owned *items, size_t *own)
{
    size_t at = 0;
    *own = 0;
    for (size_t i = 0; i < MAX_ITEMS; i++) {
        size_t count = i + 1 == MAX_ITEMS ? a->n - at : a->n / (3 + i);
        count = count < a->n - at ? count : a->n - at;
        items[i] = (dn_owned){a->x + 4 * at, count, (int)((i * i + 1) % (size_t)dn_comm_size(a->comm))};
        *own += items[i].owner == dn_comm_rank(a->comm) ? 4 * count : 0;
        at += count;
    }
}

static dn_status reduce_to_owners(account *a)
{
    dn_owned items[MAX_ITEMS];
    size_t own;
    if (!a->symmetric)
        return reduce_scatter(a);
    deal_out(a, items, &own);
    a->as = DN_REDUCE_SCATTER, a->payload = 4 * a->n, a->cluster = ring(a, 1, 4 * a->n);
    return dn_comm_reduce_to_owners(a->comm, items, MAX_ITEMS, DN_F32, DN_MAX, a->kind);
}

/* In two parts, of which only the last has hops. */
static dn_status reduce_to_owners_in_parts(account *a)
{
    dn_owned items[MAX_ITEMS];
    size_t own;
    uint64_t first, last;
    if (!a->symmetric)
        return reduce_scatter(a);
    deal_out(a, items, &own);
    a->as = DN_REDUCE_SCATTER, a->payload = 4 * a->n;
    size_t early = items[0].count + items[1].count;
    a->cluster = ring(a, 1, 4 * early) + ring(a, 1, 4 * (a->n - early)); /* rounded as they are counted */
    dn_status status = dn_comm_begin_reduce_to_owners(a->comm, items, 2, DN_F32, DN_MAX, a->kind, DN_BEGIN_PART, &first);
    if (status == DN_OK)
        status = dn_comm_begin_reduce_to_owners(a->comm, items + 2, MAX_ITEMS - 2, DN_F32, DN_MAX, a->kind, 0, &last);
    return status == DN_OK ? dn_comm_finish(a->comm, last) : status;
}

static dn_status gather_from_owners(account *a)
{
    dn_owned items[MAX_ITEMS];
    size_t own;
    if (!a->symmetric)
        return all_gather(a);
    deal_out(a, items, &own);
    a->as = DN_ALL_GATHER, a->payload = own, a->cluster = ring(a, 1, 4 * a->n);
    dn_comm_stats before = dn_comm_get_stats(a->comm, false);
    dn_status status = dn_comm_gather_from_owners(a->comm, items, MAX_ITEMS, DN_F32, a->kind);
    dn_comm_stats after = dn_comm_get_stats(a->comm, false);
    bool alone = dn_comm_size(a->comm) == 1; /* each byte of others' is read once and written once */
    if (after.moved[a->kind] - before.moved[a->kind] != (alone ? 0 : 2 * (4 * a->n - own)))
        return DN_ERR_DATA;
    return status;
}

static dn_status in_place(account *a)
{
    static const dn_collective as[] = {DN_ALL_REDUCE, DN_REDUCE_SCATTER, DN_ALL_GATHER, DN_ALL_TO_ALL};
    size_t own = own_slice_bytes(a), whole = 4 * a->n;
    a->as = as[a->root % 4], a->payload = a->as == DN_ALL_GATHER ? own : whole;
    a->cluster = ring(a, a->as == DN_ALL_REDUCE ? 2 : 1, whole);
    dn_comm_stats before = dn_comm_get_stats(a->comm, false);
    dn_comm_count_in_place(a->comm, a->as, own, whole, a->kind);
    dn_comm_stats after = dn_comm_get_stats(a->comm, false); /* what is read counts with its view */
    return after.moved[a->kind] == before.moved[a->kind] ? DN_OK : DN_ERR_DATA;
}

static bool has_moved(const account *a, uint64_t before, uint64_t bytes)
{
    return dn_comm_get_stats(a->comm, false).moved[a->kind] - before == bytes;
}

static dn_status views_to_owner(account *a)
{
    const void *views[8];
    const uint64_t before = dn_comm_get_stats(a->comm, false).moved[a->kind],
                   others = (uint64_t)dn_comm_size(a->comm) - 1;
    if (!a->symmetric)
        return reduce_scatter(a);
    a->as = DN_REDUCE_SCATTER, a->payload = 4 * a->n, a->cluster = ring(a, 1, 4 * a->n);
    dn_comm_view_to_owner(a->comm, dn_comm_chunk_of(a->x, 4 * a->n), a->root, a->kind, views);
    return has_moved(a, before, a->root == dn_comm_rank(a->comm) ? others * 4 * a->n : 0) ? DN_OK
                                                                                          : DN_ERR_DATA;
}

/* Of a chunk only a part is read. */
static dn_status view_from_owner(account *a)
{
    const bool own = a->root == dn_comm_rank(a->comm);
    const uint64_t before = dn_comm_get_stats(a->comm, false).moved[a->kind];
    if (!a->symmetric)
        return all_gather(a);
    a->as = DN_ALL_GATHER, a->payload = own ? 3 * a->n : 0, a->cluster = ring(a, 1, 3 * a->n);
    dn_comm_view_from_owner(a->comm, (dn_comm_chunk){a->x, 4 * a->n, 3 * a->n}, a->root, a->kind);
    return has_moved(a, before, own ? 0 : 3 * a->n) ? DN_OK : DN_ERR_DATA;
}

static dn_status (*const calls[])(account *) = {all_reduce,       all_reduce_shared,
                                                reduce,           reduce_scatter,
                                                all_gather,       all_to_all,
                                                broadcast,        all_reduce_in_halves,
                                                in_place,         reduce_scatter_in_halves,
                                                reduce_to_owners, gather_from_owners,
                                                views_to_owner,   view_from_owner,
                                                reduce_to_owners_in_parts};
enum { N_CALLS = sizeof calls / sizeof *calls };

/* Two calls of different kinds, so that what is not reset adds up, and goes where it belongs. */
static int count_one(account *a, dn_status (*call)(account *), int number)
{
    dn_comm *comm = a->comm;
    dn_comm_stats expected = {0};
    dn_comm_get_stats(comm, true);
    for (int twice = 0; twice < 2; twice++) {
        a->kind = (dn_traffic)((number + 3 * twice) % DN_N_TRAFFIC);
        a->root = (number + twice) % dn_comm_size(comm);
        RANKS_CHECK(call(a) == DN_OK);
        if (dn_comm_size(comm) == 1)
            continue;
        expected.payload[a->kind] += a->payload;
        expected.by_collective[a->as] += a->payload;
        expected.cluster[a->kind] += a->cluster;
        expected.hops[a->kind] += (a->as == DN_ALL_REDUCE ? 2 : 1) * (uint64_t)(dn_comm_size(comm) - 1);
    }
    dn_comm_stats l = dn_comm_get_stats(comm, true);
    RANKS_CHECK(memcmp(l.payload, expected.payload, sizeof l.payload) == 0);
    RANKS_CHECK(memcmp(l.by_collective, expected.by_collective, sizeof l.by_collective) == 0);
    RANKS_CHECK(memcmp(l.cluster, expected.cluster, sizeof l.cluster) == 0);
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        RANKS_CLOSE((double)l.hops[kind], (double)expected.hops[kind], 0);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static int count_all(dn_comm *comm, void *argument)
{
    static const size_t counts[] = {0, 3, 24, 200, 9001, ROOM / 4};
    void *memory;
    char *private = calloc(2, ROOM);
    int failed = 0;
    RANKS_CHECK(dn_comm_alloc(comm, (size_t)2 * ROOM, &memory) == DN_OK);
    memset(memory, 0, (size_t)2 * ROOM);
    for (int symmetric = 0; symmetric < 2; symmetric++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            for (int k = 0; k < N_CALLS && !failed; k++) {
                char *x = symmetric ? memory : private;
                account a = {.comm = comm, .x = x, .y = x + ROOM, .n = counts[i], .symmetric = symmetric};
                failed = count_one(&a, calls[k], k + (int)i);
            }
    free(private);
    return failed;
}

static void every_call_counts_what_the_table_says(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n++)
        run_both_kinds(n, count_all);
}

/* Sends have a receiver instead of members: payload and cluster, and no collective. */
static int count_send(dn_comm *comm, void *argument)
{
    enum { N = 20000 };
    char *private = calloc(1, N);
    int me = dn_comm_rank(comm), failed = 0;
    static const uint64_t nothing[DN_N_COLLECTIVES];
    dn_status status = me ? dn_comm_receive(comm, private, N / 8, DN_F64, 0, DN_TRAFFIC_ACTIVATIONS)
                          : dn_comm_send(comm, private, N / 8, DN_F64, 1, DN_TRAFFIC_ACTIVATIONS);
    free(private);
    dn_comm_stats l = dn_comm_get_stats(comm, true);
    failed |= status != DN_OK || memcmp(l.by_collective, nothing, sizeof nothing) != 0;
    failed |= l.payload[DN_TRAFFIC_ACTIVATIONS] != (me ? 0 : N);
    failed |= l.cluster[DN_TRAFFIC_ACTIVATIONS] != (me ? 0 : N);
    failed |= l.hops[DN_TRAFFIC_ACTIVATIONS] != (me ? 0 : 1);
    RANKS_CHECK(!failed);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void a_send_counts_in_no_collective(void **state)
{
    (void)state;
    run_both_kinds(2, count_send);
}

/* Many views between two barriers are one batch, whose hops count once; each counts its bytes. */
static int count_views(dn_comm *comm, void *argument)
{
    enum { N = 5 };
    const void *views[8];
    void *x;
    uint64_t others = (uint64_t)dn_comm_size(comm) - 1;
    int me = dn_comm_rank(comm);
    RANKS_CHECK(dn_comm_alloc(comm, 64, &x) == DN_OK);
    for (int batch = 0; batch < 2; batch++) {
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        for (int i = 0; i < N; i++) {
            const dn_comm_chunk chunk = dn_comm_chunk_of(x, 64);
            dn_comm_view_to_owner(comm, chunk, i % 2, DN_TRAFFIC_ORTH, views);
            dn_comm_view_from_owner(comm, chunk, i % 2, DN_TRAFFIC_BASIS);
            dn_comm_view_sent(comm, chunk, 0, 1, DN_TRAFFIC_FACTORS);
        }
    }
    dn_comm_stats l = dn_comm_get_stats(comm, true);
    RANKS_CLOSE((double)l.hops[DN_TRAFFIC_ORTH], (double)(2 * others), 0);
    RANKS_CLOSE((double)l.hops[DN_TRAFFIC_BASIS], (double)(2 * others), 0);
    RANKS_CLOSE((double)l.hops[DN_TRAFFIC_FACTORS], me == 0 ? 2 : 0, 0);
    RANKS_CLOSE((double)l.payload[DN_TRAFFIC_FACTORS], me == 0 ? 2 * N * 64 : 0, 0);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void views_between_two_barriers_are_one_batch(void **state)
{
    (void)state;
    run_both_kinds(3, count_views);
}

/* ---- links ---- */

static const int synthetic[6] = {4, 1, 1, 4, 1, 4}; /* as known to the world; in the group 4 is the first */

static int check_links(dn_comm *comm, char *x)
{
    int me = dn_comm_rank(comm), P = dn_comm_size(comm);
    uint64_t links[6], expected[6] = {0};
    dn_owned items[6];
    dn_comm_get_stats(comm, true);
    for (int i = 0; i < P; i++) {
        items[i] = (dn_owned){x + 8192 * i, 100 * (size_t)(i + 1), i};
        if (i != me) {
            expected[synthetic[i]] += 400 * (uint64_t)(i + 1);  /* read there */
            expected[synthetic[me]] += 400 * (uint64_t)(i + 1); /* written here */
        }
    }
    RANKS_CHECK(dn_comm_gather_from_owners(comm, items, (size_t)P, DN_F32, DN_TRAFFIC_WEIGHTS) == DN_OK);
    dn_comm_links(comm, links, 6);
    RANKS_CHECK(memcmp(links, expected, sizeof links) == 0);
    const uint64_t payload = dn_comm_get_stats(comm, false).payload[DN_TRAFFIC_WEIGHTS];
    for (int i = 0; i < P; i++) {
        dn_comm_view(comm, (dn_comm_chunk){x, 8192, 100 + (size_t)i}, i, DN_TRAFFIC_WEIGHTS);
        dn_comm_count_fetched(comm, 20, i, DN_TRAFFIC_WEIGHTS);
        expected[synthetic[i]] += i != me ? 120 + (uint64_t)i : 0; /* one's own is moved nowhere */
    }
    RANKS_CHECK(dn_comm_get_stats(comm, false).payload[DN_TRAFFIC_WEIGHTS] == payload);
    dn_comm_links(comm, links, 6);
    RANKS_CHECK(memcmp(links, expected, sizeof links) == 0);
    links[2] = 7;
    dn_comm_links(comm, links, 2); /* not asked for: not written */
    RANKS_CHECK(links[1] == expected[1] && links[2] == 7);
    dn_comm_stats l = dn_comm_get_stats(comm, true);
    int other = synthetic[me] == 4 ? 1 : 4;
    RANKS_CHECK(l.moved[DN_TRAFFIC_WEIGHTS] == expected[1] + expected[4]);
    RANKS_CHECK(l.crossed[DN_TRAFFIC_WEIGHTS] == expected[other]);
    dn_comm_links(comm, links, 6);
    for (int d = 0; d < 6; d++)
        RANKS_CHECK(links[d] == 0); /* reset with the statistics */
    return 0;
}

static int move_between_domains(dn_comm *unused, void *argument)
{
    dn_world *world = dn_comm_world(unused);
    dn_comm *comm, *rest;
    void *x;
    uint64_t links[6];
    int me = dn_comm_rank(unused);
    for (int rank = 0; rank < dn_comm_size(unused); rank++)
        dn_world_set_domain(world, rank, synthetic[rank]); /* all tell the same */
    if (dn_comm_create(world, me, &comm) != DN_OK)
        return 1;
    RANKS_CHECK(dn_comm_alloc(comm, (size_t)6 * 8192, &x) == DN_OK);
    int failed = check_links(comm, x);
    /* In a group without rank 0 the domains have other numbers inside; told are those of the world. */
    RANKS_CHECK(dn_comm_split(comm, me == 0, 0, 0, &rest) == DN_OK);
    if (me != 0) {
        RANKS_CHECK(dn_comm_all_reduce(rest, x, 2000, DN_F32, DN_MAX, DN_TRAFFIC_GRADIENT) == DN_OK);
        dn_comm_stats l = dn_comm_get_stats(rest, false);
        dn_comm_links(rest, links, 6);
        int other = synthetic[me] == 4 ? 1 : 4;
        RANKS_CHECK(links[1] + links[4] == l.moved[DN_TRAFFIC_GRADIENT]);
        RANKS_CHECK(links[other] == l.crossed[DN_TRAFFIC_GRADIENT] && links[other] > 0);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    dn_comm_destroy(&rest);
    dn_comm_destroy(&comm);
    return failed;
}

static void links_say_in_which_domain_the_bytes_lie(void **state)
{
    (void)state;
    run_both_kinds(6, move_between_domains);
}

static void a_group_of_one_has_no_links(void **state)
{
    (void)state;
    dn_comm *comm;
    uint64_t links[2] = {1, 1};
    dn_comm_stats zero = {0};
    assert_int_equal(dn_comm_create_alone(1000, &comm), DN_OK);
    dn_comm_count_in_place(comm, DN_ALL_GATHER, 10, 10, DN_TRAFFIC_WEIGHTS);
    dn_comm_links(comm, links, 2);
    assert_true(links[0] == 0 && links[1] == 0);
    dn_comm_stats stats = dn_comm_get_stats(comm, false);
    assert_memory_equal(&stats, &zero, sizeof zero);
    dn_comm_destroy(&comm);
}

TESTS(comm_stats)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_counts_what_the_table_says),
        cmocka_unit_test(a_send_counts_in_no_collective),
        cmocka_unit_test(views_between_two_barriers_are_one_batch),
        cmocka_unit_test(links_say_in_which_domain_the_bytes_lie),
        cmocka_unit_test(a_group_of_one_has_no_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
