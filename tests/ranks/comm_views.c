/* Views: each shows what the member holds, to whom it should, and messages between two count as such. */
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>

enum { N = 40 };

static int number_of(int rank, size_t i)
{
    return 1000 * rank + (int)i;
}

static bool shows(const int *x, int rank, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != number_of(rank, first + i))
            return false;
    return true;
}

static int take_views(dn_comm *comm, void *argument)
{
    const int me = dn_comm_rank(comm), P = dn_comm_size(comm);
    const void *views[8];
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, N * sizeof(int), &memory) == DN_OK);
    int *x = memory;
    for (size_t i = 0; i < N; i++)
        x[i] = number_of(me, i);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    const dn_comm_chunk chunk = dn_comm_chunk_of(x + 7, 9 * sizeof *x);
    for (int rank = 0; rank < P; rank++) {
        RANKS_CHECK(shows(dn_comm_view(comm, chunk, rank, DN_TRAFFIC_CONTROL), rank, 7, 9));
        RANKS_CHECK(shows(dn_comm_view_from_owner(comm, chunk, rank, DN_TRAFFIC_CONTROL), rank, 7, 9));
        memset(views, 0, sizeof views);
        dn_comm_view_to_owner(comm, chunk, rank, DN_TRAFFIC_CONTROL, views);
        for (int k = 0; k < P; k++)
            RANKS_CHECK(rank == me ? shows(views[k], k, 7, 9) : !views[k]);
        int kept[9];
        dn_comm_fetch(comm, kept, chunk, rank);
        RANKS_CHECK(shows(kept, rank, 7, 9));
    }

    /* From each to the next, and from each to itself. */
    dn_comm_get_stats(comm, true);
    for (int from = 0; from < P; from++) {
        const int to = (from + 1) % P;
        const int *got = dn_comm_view_sent(comm, chunk, from, to, DN_TRAFFIC_ORTH);
        RANKS_CHECK(to == me ? shows(got, from, 7, 9) : !got);
        got = dn_comm_view_sent(comm, chunk, from, from, DN_TRAFFIC_BASIS);
        RANKS_CHECK(from == me ? got == x + 7 : !got);
    }
    static const uint64_t nothing[DN_N_COLLECTIVES];
    const dn_comm_stats l = dn_comm_get_stats(comm, true);
    const uint64_t once = P > 1 ? chunk.bytes : 0;
    RANKS_CHECK(l.payload[DN_TRAFFIC_ORTH] == once && l.moved[DN_TRAFFIC_ORTH] == once);
    RANKS_CHECK(l.payload[DN_TRAFFIC_BASIS] == 0 && l.moved[DN_TRAFFIC_BASIS] == 0);
    RANKS_CHECK(memcmp(l.by_collective, nothing, sizeof nothing) == 0);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static int write_to_the_next(dn_comm *comm, void *argument)
{
    const int me = dn_comm_rank(comm), P = dn_comm_size(comm), next = (me + 1) % P, before = (me + P - 1) % P;
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, N * sizeof(int), &memory) == DN_OK);
    int *x = memory, mine[5];
    for (size_t i = 0; i < N; i++)
        x[i] = number_of(me, i);
    for (size_t i = 0; i < 5; i++)
        mine[i] = -number_of(me, i);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    dn_comm_get_stats(comm, true);
    dn_comm_put(comm, x + 3, mine, sizeof mine, next, DN_TRAFFIC_CONTROL);
    RANKS_CHECK(dn_comm_get_stats(comm, true).moved[DN_TRAFFIC_CONTROL] == (P > 1 ? sizeof mine : 0));
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < 5; i++)
        RANKS_CHECK(x[3 + i] == -number_of(before, i));
    RANKS_CHECK(shows(x, me, 0, 3) && shows(x + 8, me, 8, N - 8));
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void run_all_sizes(ranks_body *body)
{
    for (int n_ranks = 1; n_ranks <= 4; n_ranks++)
        for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
            ranks_spec spec = {.kind = kind, .n_ranks = n_ranks, .arena_bytes = 1 << 20};
            assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
        }
}

static void views_show_what_members_hold(void **state)
{
    (void)state;
    run_all_sizes(take_views);
}

static void what_is_put_is_there_after_a_meeting(void **state)
{
    (void)state;
    run_all_sizes(write_to_the_next);
}

TESTS(comm_views)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_show_what_members_hold),
        cmocka_unit_test(what_is_put_is_there_after_a_meeting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
