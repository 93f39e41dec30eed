/* Memory given back: one set of groups after another in the same place, whatever the last one left there; and
 * members that die or do not agree while they exchange. */
#include "dionode/mesh.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "support/typed.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static void run_both_kinds(ranks_spec spec, ranks_body *body)
{
    for (spec.kind = AS_THREADS; spec.kind <= AS_PROCESSES; spec.kind++)
        assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
}

/* ---- building and tearing down ---- */

enum { N = 3001, ROUNDS = 50, HEAP = 3 * N * 8 + 1024 };

/* Reductions as a whole and in two halves, the second kept under way over the first. */
static int reduce(dn_comm *comm, uint64_t call)
{
    static _Thread_local double expected[N];
    void *memory[2];
    uint64_t number;
    int P = dn_comm_size(comm);
    for (uint64_t i = 0; i < 2; i++) {
        RANKS_CHECK(dn_comm_alloc(comm, N * 8, &memory[i]) == DN_OK);
        typed_bring(memory[i], DN_F64, call + i, dn_comm_rank(comm), N);
    }
    for (uint64_t repeat = 0; repeat <= call % 3; repeat++) { /* counters end differently in each round */
        typed_bring(memory[1], DN_F64, call + 1, dn_comm_rank(comm), N);
        RANKS_CHECK(dn_comm_begin_all_reduce(comm, memory[1], N, DN_F64, DN_SUM, DN_TRAFFIC_CONTROL,
                                             &number) == DN_OK);
        if (repeat == 0)
            RANKS_CHECK(dn_comm_all_reduce(comm, memory[0], N, DN_F64, DN_SUM, DN_TRAFFIC_CONTROL) == DN_OK);
        RANKS_CHECK(dn_comm_finish(comm, number) == DN_OK);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        typed_reduce(expected, DN_F64, DN_SUM, call + 1, P, 0, N);
        RANKS_CHECK(memcmp(memory[1], expected, sizeof expected) == 0);
    }
    typed_reduce(expected, DN_F64, DN_SUM, call, P, 0, N);
    RANKS_CHECK(memcmp(memory[0], expected, sizeof expected) == 0);
    return 0;
}

/* Round the ring; in every third round one more message is sent that nobody ever takes. */
static int send(dn_comm *comm, uint64_t call)
{
    int P = dn_comm_size(comm), me = dn_comm_rank(comm), before = (me + P - 1) % P;
    static _Thread_local double x[N], expected[N];
    if (P == 1)
        return 0;
    typed_bring(x, DN_F64, call, me, N);
    RANKS_CHECK(dn_comm_send(comm, x, N, DN_F64, (me + 1) % P, DN_TRAFFIC_CONTROL) == DN_OK);
    RANKS_CHECK(dn_comm_receive(comm, x, N, DN_F64, before, DN_TRAFFIC_CONTROL) == DN_OK);
    typed_bring(expected, DN_F64, call, before, N);
    RANKS_CHECK(memcmp(x, expected, sizeof x) == 0);
    if (call % 3 == 0)
        RANKS_CHECK(dn_comm_send(comm, x, 1, DN_F64, (me + 1) % P, DN_TRAFFIC_CONTROL) == DN_OK);
    return 0;
}

/* Fills what the next groups will lie in with anything but zeros. */
static int litter(dn_comm *comm, int round, size_t bytes)
{
    void *memory;
    size_t mark = dn_comm_heap_mark(comm);
    RANKS_CHECK(dn_comm_alloc(comm, bytes, &memory) == DN_OK);
    memset(memory, 0x55 + round, bytes);
    RANKS_CHECK(dn_comm_heap_release(comm, mark) == DN_OK);
    return 0;
}

/* Two groups, of other members and at another place than in the round before. */
static int build_and_tear_down(dn_comm *comm, void *argument)
{
    int me = dn_comm_rank(comm), P = dn_comm_size(comm), failed = 0;
    const size_t start = dn_comm_heap_mark(comm);
    for (int round = 0; round < ROUNDS && !failed; round++) {
        dn_comm *first, *second;
        void *offset;
        if (round % 2)
            RANKS_CHECK(litter(comm, round, 2 * HEAP + 2 * dn_comm_split_bytes(comm, HEAP)) == 0);
        RANKS_CHECK(dn_comm_alloc(comm, (size_t)(round * 7919 % 40000), &offset) == DN_OK);
        RANKS_CHECK(dn_comm_split(comm, me / (1 + round % 3), -me, HEAP, &first) == DN_OK);
        RANKS_CHECK(dn_comm_split(comm, me % 2, 0, HEAP, &second) == DN_OK);
        uint64_t call = 10 * (uint64_t)round;
        failed =
            reduce(first, call) || send(second, call) || reduce(second, call + 3) || send(first, call + 1);
        dn_comm_destroy(&first);
        dn_comm_destroy(&second);
        RANKS_CHECK(failed || dn_comm_heap_release(comm, start) == DN_OK);
        RANKS_CHECK(failed || dn_comm_heap_mark(comm) == start);
    }
    RANKS_CHECK(!failed);
    double sum = 1;
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &sum, 1, DN_SUM) == DN_OK && sum == P);
    return 0;
}

static void groups_follow_each_other_in_the_same_memory(void **state)
{
    for (int n = 1; n <= 8; n += n < 4 ? 1 : 2) {
        dn_comm *alone;
        /* Room for two rounds, not for fifty. */
        run_both_kinds((ranks_spec){.n_ranks = n, .arena_bytes = 4 << 20}, build_and_tear_down);
        if (n > 1)
            continue;
        assert_int_equal(dn_comm_create_alone(4 << 20, &alone), DN_OK);
        assert_int_equal(build_and_tear_down(alone, NULL), 0);
        dn_comm_destroy(&alone);
    }
}

/* All shapes of eight ranks, over and over; the mesh says how much it takes. */
static int one_mesh_after_another(dn_comm *comm, void *argument)
{
    static const int shapes[][DN_N_AXES] = {{2, 2, 2}, {8, 1, 1}, {1, 4, 2}, {4, 1, 2}, {1, 1, 8}, {2, 4, 1}};
    const size_t start = dn_comm_heap_mark(comm);
    for (int round = 0; round < ROUNDS; round++) {
        const int *size = shapes[round % 6];
        dn_mesh *mesh;
        RANKS_CHECK(dn_mesh_create(comm, size, &mesh) == DN_OK);
        RANKS_CHECK(dn_comm_heap_mark(comm) == start + dn_mesh_heap_bytes(size));
        for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++) {
            double x = dn_comm_rank(comm), expected = 0;
            for (int rank = 0; rank < dn_comm_size(comm); rank++) {
                int at[DN_N_AXES];
                bool member = true;
                dn_mesh_at(size, rank, at);
                for (int axis = 0; axis < DN_N_AXES; axis++)
                    member = member && (axes & DN_AXIS(axis) || at[axis] == mesh->at[axis]);
                expected += member ? rank : 0;
            }
            RANKS_CHECK(dn_comm_all_reduce_scalars(dn_mesh_comm(mesh, axes), &x, 1, DN_SUM) == DN_OK);
            RANKS_CHECK(x == expected);
        }
        dn_mesh_destroy(&mesh);
        RANKS_CHECK(dn_comm_heap_release(comm, start) == DN_OK);
    }
    return 0;
}

static void meshes_follow_each_other_in_the_same_memory(void **state)
{
    size_t room = dn_mesh_heap_bytes((const int[DN_N_AXES]){2, 2, 2});
    run_both_kinds((ranks_spec){.n_ranks = 8, .arena_bytes = room}, one_mesh_after_another);
}

/* ---- misuse ---- */

static int release_too_much(dn_comm *comm, void *argument)
{
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, 1000, &memory) == DN_OK);
    size_t mark = dn_comm_heap_mark(comm);
    RANKS_CHECK(dn_comm_heap_release(comm, mark + 128) == DN_ERR_ARG);
    RANKS_CHECK(dn_comm_heap_release(comm, mark) == DN_OK && dn_comm_heap_mark(comm) == mark);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void a_mark_above_the_fill_level_is_refused(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 2, .arena_bytes = 4096}, release_too_much);
}

static int release_different_marks(dn_comm *comm, void *argument)
{
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, 1000, &memory) == DN_OK);
    dn_status status = dn_comm_heap_release(comm, dn_comm_rank(comm) == 1 ? 128 : 256);
    RANKS_CHECK(status == DN_ERR_ARG || status == DN_ERR_PEER);
    RANKS_CHECK(strstr(dn_error_message(), "rank 1 called release of the heap to a mark of 128, rank 0"));
    return 0;
}

static void members_with_different_marks_are_told_so(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 3, .arena_bytes = 4096}, release_different_marks);
}

static int own_private_memory(dn_comm *comm, void *argument)
{
    void *memory;
    float private[4] = {0};
    RANKS_CHECK(dn_comm_alloc(comm, 1000, &memory) == DN_OK);
    dn_owned items[] = {{memory, 250, 0}, {NULL, 0, 1}, {private, 4, 1}};
    RANKS_CHECK(dn_comm_gather_from_owners(comm, items, 3, DN_F32, DN_TRAFFIC_BASIS) == DN_ERR_ARG);
    RANKS_CHECK(strstr(dn_error_message(), "item 2"));
    RANKS_CHECK(dn_comm_reduce_to_owners(comm, items, 3, DN_F32, DN_SUM, DN_TRAFFIC_BASIS) == DN_ERR_ARG);
    RANKS_CHECK(dn_comm_gather_from_owners(comm, items, 2, DN_F32, DN_TRAFFIC_BASIS) == DN_OK);
    RANKS_CHECK(dn_comm_gather_from_owners(comm, NULL, 0, DN_F32, DN_TRAFFIC_BASIS) == DN_OK);
    return 0;
}

static void owned_items_must_be_symmetric(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 2, .arena_bytes = 4096}, own_private_memory);
}

/* ---- death ---- */

typedef struct death {
    int victim, after;
    bool in_release;
} death;

static int exchange_until_failure(dn_comm *comm, void *argument)
{
    const death *d = argument;
    void *memory;
    dn_status status = DN_OK;
    RANKS_CHECK(dn_comm_alloc(comm, 40000, &memory) == DN_OK);
    memset(memory, dn_comm_rank(comm), 40000);
    const dn_owned items[] = {{memory, 5000, 1}, {(char *)memory + 20000, 5000, 2}};
    for (int i = 0; status == DN_OK; i++) {
        if (dn_comm_rank(comm) == d->victim && i == d->after)
            kill(getpid(), SIGKILL);
        status = d->in_release ? dn_comm_heap_release(comm, dn_comm_heap_mark(comm))
                               : dn_comm_gather_from_owners(comm, items, 2, DN_F32, DN_TRAFFIC_BASIS);
    }
    dn_failure failure = dn_world_failure(dn_comm_world(comm));
    RANKS_CHECK(status == DN_ERR_PEER);
    RANKS_CHECK(failure.rank == d->victim && failure.signal == SIGKILL);
    return 0;
}

static void a_member_that_dies_is_an_error_of_all_others(void **state)
{
    for (int trial = 0; trial < 12; trial++) {
        death d = {.victim = trial % 4, .after = trial * trial, .in_release = trial % 3 == 2};
        ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 4, .arena_bytes = 65536};
        ranks_end ends[4];
        assert_int_equal(ranks_run(&spec, exchange_until_failure, &d, ends), 1);
        assert_int_equal(ends[d.victim].signal, SIGKILL);
    }
}

static int draw(void **state)
{
    (void)state;
    typed_draw();
    return 0;
}

TESTS(comm_heap)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_follow_each_other_in_the_same_memory),
        cmocka_unit_test(meshes_follow_each_other_in_the_same_memory),
        cmocka_unit_test(a_mark_above_the_fill_level_is_refused),
        cmocka_unit_test(members_with_different_marks_are_told_so),
        cmocka_unit_test(owned_items_must_be_symmetric),
        cmocka_unit_test(a_member_that_dies_is_an_error_of_all_others),
    };
    return cmocka_run_group_tests(tests, draw, NULL);
}
