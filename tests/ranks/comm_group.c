/* The group itself: its barrier orders memory, its heap is symmetric, slices cover, and alone is a group too.
 */
#include "base/clock.h"
#include "comm/peer.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static void run_both_kinds(int n_ranks, ranks_body *body)
{
    for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
        ranks_spec spec = {.kind = kind, .n_ranks = n_ranks, .arena_bytes = 1 << 20};
        assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
    }
}

/* ---- barrier ---- */

/* Plain, not atomic stores and loads: the barrier alone orders them, or a thread sanitizer objects. */
static int write_meet_read(dn_comm *comm, void *argument)
{
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, sizeof(int), &memory) == DN_OK);
    int *cell = memory;
    for (int round = 1; round <= 300; round++) {
        *cell = round;
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        for (int rank = 0; rank < dn_comm_size(comm); rank++)
            RANKS_CHECK(*(const int *)dn_comm_peer(comm, cell, rank) == round);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    return 0;
}

/* Eight ranks on two cores: whoever only spun would take seconds (each meeting waits for preemptions). */
static void writes_before_a_barrier_are_seen_after_it(void **state)
{
    (void)state;
    for (int n_ranks = 2; n_ranks <= 8; n_ranks *= 2)
        run_both_kinds(n_ranks, write_meet_read);
}

static int wait_for_the_last(dn_comm *comm, void *argument)
{
    double start = dn_clock_s();
    for (int round = 0; round < 20; round++) {
        if (dn_comm_rank(comm) == round % dn_comm_size(comm))
            usleep(5000);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    RANKS_CHECK(dn_clock_s() - start < 0.5);
    return 0;
}

/* Twenty times 5 ms. Without wake-ups the others sleep their 50 ms to the end, twenty times. */
static void sleepers_are_woken_as_soon_as_the_last_arrives(void **state)
{
    (void)state;
    run_both_kinds(2, wait_for_the_last);
}

static int meet_in_a_second_group(dn_comm *comm, void *argument)
{
    dn_comm *second;
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    RANKS_CHECK(dn_comm_create(dn_comm_world(comm), dn_comm_rank(comm), &second) == DN_OK);
    double sum = 1;
    RANKS_CHECK(dn_comm_all_reduce_scalars(second, &sum, 1, DN_SUM) == DN_OK);
    RANKS_CHECK(sum == dn_comm_size(comm));
    dn_comm_destroy(&second);
    return 0;
}

static void a_world_can_have_one_group_after_another(void **state)
{
    (void)state;
    run_both_kinds(3, meet_in_a_second_group);
}

static int come_to_different_calls(dn_comm *comm, void *argument)
{
    void *buffer;
    RANKS_CHECK(dn_comm_alloc(comm, 64, &buffer) == DN_OK);
    dn_status status = dn_comm_rank(comm) == 2
                           ? dn_comm_broadcast(comm, buffer, 40, 0, DN_TRAFFIC_CONTROL)
                           : dn_comm_all_reduce(comm, buffer, 5, DN_REAL, DN_SUM, DN_TRAFFIC_CONTROL);
    RANKS_CHECK(status == DN_ERR_ARG || status == DN_ERR_PEER); /* ARG: to the first that noticed */
    RANKS_CHECK(strstr(dn_error_message(), "rank 2 called broadcast of 40, rank 0 called all-reduce of 5"));
    return 0;
}

static void ranks_in_different_calls_are_told_so(void **state)
{
    (void)state;
    run_both_kinds(3, come_to_different_calls);
}

/* ---- who need not wait ---- */

enum { N_CALLS = 14 }; /* in succession; the fifteenth is a barrier */

/* The root of a broadcast, and all but the root of a reduction, return before the others have called: these call only when a
 * word says that they may, which is written after the return. Waiting would end at the deadline. Then barriers and calls of
 * each kind in turn, many more than there are lines, with another root each time. */
static int go_ahead(dn_comm *comm, void *argument)
{
    void *memory;
    double x[40];
    const int me = dn_comm_rank(comm), n = dn_comm_size(comm);
    RANKS_CHECK(dn_comm_alloc(comm, 2 * sizeof(_Atomic int), &memory) == DN_OK);
    _Atomic int *word = memory, *first = dn_comm_peer(comm, word, 0), *last = dn_comm_peer(comm, word, n - 1);
    memset(memory, 0, 2 * sizeof *word);
    for (size_t count = 1; count <= 40; count += 39) { /* in the line, and beside it */
        const int round = 1 + (count > 1);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        while (me != 0 && atomic_load(first) < round)
            usleep(100);
        for (int i = 0; i < N_CALLS; i++) {
            x[count - 1] = me == 0 ? i : -1;
            RANKS_CHECK(dn_comm_broadcast(comm, x, count * sizeof *x, 0, DN_TRAFFIC_CONTROL) == DN_OK);
            RANKS_CHECK(x[count - 1] == i);
        }
        atomic_store(&word[0], round);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        while (me == 0 && atomic_load(&last[1]) < round)
            usleep(100);
        for (int i = 0; i < N_CALLS; i++) {
            for (size_t k = 0; k < count; k++)
                x[k] = me + i;
            RANKS_CHECK(dn_comm_reduce(comm, x, count, DN_F64, DN_SUM, 0, DN_TRAFFIC_CONTROL) == DN_OK);
            RANKS_CHECK(me != 0 || x[count - 1] == n * i + n * (n - 1) / 2);
        }
        atomic_store(&word[1], round);
    }
    for (int i = 0; i < 500; i++) {
        const int root = i % n;
        double y[2] = {me + i, me == root ? i : -1};
        if (i % 7 == 0)
            RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &y[0], 1, DN_SUM) == DN_OK);
        else
            RANKS_CHECK(dn_comm_reduce(comm, &y[0], 1, DN_F64, DN_SUM, root, DN_TRAFFIC_CONTROL) == DN_OK);
        RANKS_CHECK(dn_comm_broadcast(comm, &y[1], sizeof y[1], root, DN_TRAFFIC_CONTROL) == DN_OK);
        RANKS_CHECK((me != root && i % 7 != 0) || y[0] == n * i + n * (n - 1) / 2);
        RANKS_CHECK(y[1] == i);
    }
    return 0;
}

static void who_need_not_wait_does_not(void **state)
{
    for (int n_ranks = 2; n_ranks <= 5; n_ranks += 3)
        run_both_kinds(n_ranks, go_ahead);
}

/* ---- heap ---- */

static int compare_addresses(dn_comm *comm, void *argument)
{
    void *a, *b, *c;
    size_t capacity = dn_world_arena_bytes(dn_comm_world(comm));
    RANKS_CHECK(dn_comm_alloc(comm, 1, &a) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, 129, &b) == DN_OK);
    for (int rank = 0; rank < dn_comm_size(comm); rank++) {
        char *arena = dn_world_arena(dn_comm_world(comm), rank);
        RANKS_CHECK(dn_comm_peer(comm, a, rank) == arena);
        RANKS_CHECK(dn_comm_peer(comm, b, rank) == arena + 128);
    }
    RANKS_CHECK(dn_comm_alloc(comm, capacity - 3 * 128 + 1, &c) == DN_ERR_MEMORY);
    RANKS_CHECK(dn_comm_alloc(comm, SIZE_MAX, &c) == DN_ERR_MEMORY);
    RANKS_CHECK(dn_comm_alloc(comm, capacity - 3 * 128, &c) == DN_OK);
    memset(c, dn_comm_rank(comm), capacity - 3 * 128);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (int rank = 0; rank < dn_comm_size(comm); rank++)
        RANKS_CHECK(((char *)dn_comm_peer(comm, c, rank))[capacity - 3 * 128 - 1] == rank);
    return 0;
}

static void the_heap_is_symmetric_and_can_be_full(void **state)
{
    (void)state;
    run_both_kinds(4, compare_addresses);
}

/* ---- slices ---- */

static int inspect_slices(dn_comm *comm, void *argument)
{
    const size_t line = 64 / sizeof(dn_real);
    for (size_t count = 0; count < 40 * line; count += 3) {
        size_t first, end, next = 0, largest = 0, smallest = SIZE_MAX;
        for (int rank = 0; rank < dn_comm_size(comm); rank++) {
            dn_comm_chunk_bounds(comm, count, DN_REAL, rank, &first, &end);
            RANKS_CHECK(first == next && end >= first);
            RANKS_CHECK(first % line == 0 || first == count);
            largest = end - first > largest ? end - first : largest;
            smallest = end - first < smallest ? end - first : smallest;
            next = end;
        }
        RANKS_CHECK(next == count);
        /* One line of unevenness, and the last line may be short. */
        RANKS_CHECK(largest - smallest < 2 * line);
    }
    return 0;
}

static void slices_cover_everything_evenly_in_whole_cache_lines(void **state)
{
    (void)state;
    for (int n_ranks = 1; n_ranks <= 8; n_ranks++) {
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = n_ranks, .arena_bytes = 4096};
        assert_int_equal(ranks_run(&spec, inspect_slices, NULL, NULL), 0);
    }
}

/* ---- alone ---- */

static void a_group_of_one_does_nothing_and_counts_nothing(void **state)
{
    (void)state;
    dn_comm *comm;
    void *memory;
    assert_int_equal(dn_comm_create_alone(1000, &comm), DN_OK);
    assert_int_equal(dn_comm_rank(comm), 0);
    assert_int_equal(dn_comm_size(comm), 1);
    assert_null(dn_comm_world(comm));
    assert_int_equal(dn_comm_alloc(comm, 1000, &memory), DN_OK);
    assert_int_equal((uintptr_t)memory % 128, 0);
    assert_ptr_equal(dn_comm_peer(comm, memory, 0), memory);
    dn_real *x = memory;
    double s = 3;
    x[0] = 1, x[1] = 2;
    assert_int_equal(dn_comm_barrier(comm), DN_OK);
    assert_int_equal(dn_comm_all_reduce(comm, x, 2, DN_REAL, DN_SUM, DN_TRAFFIC_GRADIENT), DN_OK);
    assert_int_equal(dn_comm_reduce_scatter(comm, x, 2, DN_REAL, DN_SUM, DN_TRAFFIC_GRADIENT), DN_OK);
    assert_int_equal(dn_comm_broadcast(comm, x, 2 * sizeof *x, 0, DN_TRAFFIC_GRADIENT), DN_OK);
    assert_int_equal(dn_comm_all_reduce_scalars(comm, &s, 1, DN_SUM), DN_OK);
    dn_owned item = {.buffer = x, .count = 2, .owner = 0};
    assert_int_equal(dn_comm_reduce_to_owners(comm, &item, 1, DN_REAL, DN_AVG, DN_TRAFFIC_FACTORS), DN_OK);
    dn_comm_tick(comm, 1, "alone");
    assert_true(x[0] == 1 && x[1] == 2 && s == 3);
    dn_comm_stats stats = dn_comm_get_stats(comm, true), zero = {0};
    assert_memory_equal(&stats, &zero, sizeof zero);
    assert_int_equal(dn_comm_alloc(comm, 4096, &memory), DN_ERR_MEMORY);
    dn_comm_destroy(&comm);
    assert_null(comm);
    dn_comm_destroy(&comm);
}

TESTS(comm_group)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_before_a_barrier_are_seen_after_it),
        cmocka_unit_test(sleepers_are_woken_as_soon_as_the_last_arrives),
        cmocka_unit_test(a_world_can_have_one_group_after_another),
        cmocka_unit_test(ranks_in_different_calls_are_told_so),
        cmocka_unit_test(who_need_not_wait_does_not),
        cmocka_unit_test(the_heap_is_symmetric_and_can_be_full),
        cmocka_unit_test(slices_cover_everything_evenly_in_whole_cache_lines),
        cmocka_unit_test(a_group_of_one_does_nothing_and_counts_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
