/* Sending and receiving: every type, size class and kind of buffer; and rings whose memory was damaged. */
#include "base/random.h"
#include "shm/ring.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "support/typed.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_COUNT 50001

/* In one line of the message, in two, in one buffer, in many; symmetric ones up to 2 KiB are copied, too. */
static const size_t counts[] = {0, 1, 8, 11, 33, 257, 4097, MAX_COUNT};
#define N_COUNTS (sizeof counts / sizeof *counts)

static void run_both_kinds(int n_ranks, ranks_body *body)
{
    for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
        ranks_spec spec = {.kind = kind, .n_ranks = n_ranks, .arena_bytes = 2 << 20};
        assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
    }
}

static int draw(void **state)
{
    typed_draw();
    return 0;
}

/* Even ranks send first, so that nobody waits in a circle. */
static int pass_on(dn_comm *comm, char *out, char *in, size_t n, dn_type type, uint64_t call)
{
    int P = dn_comm_size(comm), me = dn_comm_rank(comm), next = (me + 1) % P, before = (me + P - 1) % P;
    static _Thread_local char expected[MAX_COUNT * 8];
    typed_bring(out, type, call, me, n);
    if (me % 2 == 0)
        RANKS_CHECK(dn_comm_send(comm, out, n, type, next, DN_TRAFFIC_CONTROL) == DN_OK);
    RANKS_CHECK(dn_comm_receive(comm, in, n, type, before, DN_TRAFFIC_CONTROL) == DN_OK);
    if (me % 2 == 1)
        RANKS_CHECK(dn_comm_send(comm, out, n, type, next, DN_TRAFFIC_CONTROL) == DN_OK);
    typed_bring(expected, type, call, before, n);
    RANKS_CHECK(n == 0 || memcmp(in, expected, n * dn_type_bytes(type)) == 0);
    return 0;
}

static int pass_around(dn_comm *comm, void *argument)
{
    void *symmetric, *other;
    char *private = malloc(2 * MAX_COUNT * 8);
    int failed = 0;
    RANKS_CHECK(dn_comm_alloc(comm, MAX_COUNT * 8, &symmetric) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, MAX_COUNT * 8, &other) == DN_OK);
    for (size_t i = 0; i < 4 * N_COUNTS && !failed; i++)
        for (dn_type type = 0; type < DN_N_TYPES && !failed; type++) {
            char *out = i % 2 ? private : symmetric, *in = i / 2 % 2 ? private + MAX_COUNT * 8 : other;
            failed = pass_on(comm, out, in, counts[i / 4], type, i * DN_N_TYPES + type);
        }
    free(private);
    return failed;
}

static void what_is_sent_arrives_from_and_to_any_kind_of_buffer(void **state)
{
    for (int n_ranks = 2; n_ranks <= 16; n_ranks += n_ranks < 4 ? 1 : 6)
        run_both_kinds(n_ranks, pass_around);
}

/* Each posts to both neighbours before it receives from either, which sends of that size could not; and again into the same
 * buffers as soon as they were read. */
static int post_both_ways(dn_comm *comm, void *argument)
{
    enum { N = 5000, ROUNDS = 20 };
    int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    const int others[2] = {(me + P - 1) % P, (me + 1) % P};
    int32_t *out[2], in[N], short_one = me, heard;
    void *memory;
    for (int side = 0; side < 2; side++) {
        RANKS_CHECK(dn_comm_alloc(comm, N * sizeof **out, &memory) == DN_OK);
        out[side] = memory;
    }
    (void)dn_comm_get_stats(comm, true);
    for (int32_t round = 0; round < ROUNDS; round++) {
        for (int side = 0; side < 2; side++) {
            RANKS_CHECK(dn_comm_posted(comm, others[side]) == DN_OK);
            for (int i = 0; i < N; i++)
                out[side][i] = 1000 * round + 10 * me + side + i;
            RANKS_CHECK(dn_comm_post(comm, out[side], N, DN_I32, others[side], DN_TRAFFIC_ACTIVATIONS) == DN_OK);
            RANKS_CHECK(dn_comm_post(comm, &short_one, 1, DN_I32, others[side], DN_TRAFFIC_CONTROL) == DN_OK);
        }
        for (int side = 0; side < 2; side++) { /* what came from the left was sent to the right */
            RANKS_CHECK(dn_comm_receive(comm, in, N, DN_I32, others[side], DN_TRAFFIC_ACTIVATIONS) == DN_OK);
            RANKS_CHECK(dn_comm_receive(comm, &heard, 1, DN_I32, others[side], DN_TRAFFIC_CONTROL) == DN_OK);
            for (int i = 0; i < N; i++)
                RANKS_CHECK(in[i] == 1000 * round + 10 * others[side] + !side + i);
            RANKS_CHECK(heard == others[side]);
        }
    }
    const dn_comm_stats stats = dn_comm_get_stats(comm, true);
    RANKS_CHECK(stats.payload[DN_TRAFFIC_ACTIVATIONS] == 2 * ROUNDS * N * sizeof **out);
    RANKS_CHECK(stats.hops[DN_TRAFFIC_ACTIVATIONS] == 2 * ROUNDS);
    RANKS_CHECK(dn_comm_post(comm, in, N, DN_I32, others[0], DN_TRAFFIC_CONTROL) == DN_ERR_ARG); /* private */
    return 0;
}

static void neighbours_that_post_to_each_other_do_not_wait(void **state)
{
    for (int n_ranks = 3; n_ranks <= 5; n_ranks += 2)
        run_both_kinds(n_ranks, post_both_ways);
}

/* Far more than a ring holds, from a rank that never waits for anything but the ring. */
static int flood(dn_comm *comm, void *argument)
{
    enum { N = 5000 };
    for (uint64_t i = 0; i < N; i++) {
        uint64_t words[11] = {i, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3 * i};
        size_t n = i % 3 ? 1 : 11; /* in the message; in a buffer */
        if (dn_comm_rank(comm) == 0)
            RANKS_CHECK(dn_comm_send(comm, words, n, DN_I64, 1, DN_TRAFFIC_CONTROL) == DN_OK);
        else
            RANKS_CHECK(dn_comm_receive(comm, words, n, DN_I64, 0, DN_TRAFFIC_CONTROL) == DN_OK);
        RANKS_CHECK(words[0] == i && words[10] == 3 * i);
    }
    return 0;
}

static void messages_keep_their_order_when_the_ring_is_full(void **state)
{
    run_both_kinds(2, flood);
}

static int expect_another_count(dn_comm *comm, void *argument)
{
    int x[2] = {0};
    if (dn_comm_rank(comm) == 0)
        return dn_comm_send(comm, x, 2, DN_I32, 1, DN_TRAFFIC_CONTROL) == DN_OK ? 0 : 1;
    RANKS_CHECK(dn_comm_receive(comm, x, 1, DN_I32, 0, DN_TRAFFIC_CONTROL) == DN_ERR_ARG);
    RANKS_CHECK(strstr(dn_error_message(), "rank 0 sent 8 bytes (type 3) but rank 1 receives 4 (type 3)"));
    return 0;
}

static void a_receiver_of_something_else_is_told_so(void **state)
{
    run_both_kinds(2, expect_another_count);
}

/* Rank 0 waits for 1, 1 waits for 2, 2 does something else: 2 is to blame. */
static int wait_in_a_chain(dn_comm *comm, void *argument)
{
    int x, me = dn_comm_rank(comm);
    dn_world *world = dn_comm_world(comm);
    if (me < 2) {
        dn_status status = dn_comm_receive(comm, &x, 1, DN_I32, me + 1, DN_TRAFFIC_CONTROL);
        RANKS_CHECK(status == DN_ERR_TIMEOUT || status == DN_ERR_PEER);
    }
    for (int i = 0; i < 4000 && dn_world_failure(world).status == DN_OK; i++)
        usleep(1000);
    RANKS_CHECK(dn_world_failure(world).rank == 2);
    RANKS_CHECK(strstr(dn_world_failure(world).message, "0 '' step 0 waits for 1, 1 '' step 0 waits for 2"));
    return 0;
}

static void the_end_of_a_chain_of_receivers_is_blamed(void **state)
{
    for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
        ranks_spec spec = {.kind = kind, .n_ranks = 3, .arena_bytes = 4096, .deadline_s = 0.2};
        assert_int_equal(ranks_run(&spec, wait_in_a_chain, NULL, NULL), 0);
    }
}

/* ---- damage ---- */

static dn_ring *find_ring(dn_world *world)
{
    return (dn_ring *)((char *)dn_world_scratch(world, 1) + DN_SCRATCH_BYTES); /* from rank 0 to rank 1 */
}

/* One message in the ring, of so many bytes, then `bit` of its slot or of the tail behind it is turned over. */
static dn_status receive_damaged(uint64_t bytes, int bit)
{
    dn_world *world;
    if (dn_world_create(2, 4096, 2, 5, &world) != DN_OK)
        return DN_ERR_SYSTEM;
    dn_ring *ring = find_ring(world);
    dn_ring_end from = dn_ring_open_producer(world, ring, 0, 1),
                to = dn_ring_open_consumer(world, ring, 1, 0);
    dn_message m = {.bytes = bytes, .total = bytes, .type = 1};
    if (bytes > DN_MESSAGE_BYTES)
        m.at = (uint64_t)(uintptr_t)dn_world_arena(world, 0);
    dn_status status = dn_ring_put(&from, m);
    if (bit >= 0)
        ((unsigned char *)&ring->slots[0])[bit / 8] ^= (unsigned char)(1 << bit % 8);
    if (status == DN_OK)
        status = dn_ring_peek(&to, &m);
    if (status != DN_OK && dn_world_failure(world).rank != 0)
        status = DN_ERR_SYSTEM;
    dn_world_destroy(&world);
    return status;
}

/* Of those that are read: a short message is in the first of its two lines. Number 1 without its lowest bit is an empty slot. */
static void a_message_with_any_bit_turned_over_is_refused(void **state)
{
    static const uint64_t sizes[] = {4, 16, 17, DN_MESSAGE_BYTES, 100};
    for (int i = 0; i < 5; i++) {
        bool two_lines = sizes[i] > 16 && sizes[i] <= DN_MESSAGE_BYTES;
        assert_int_equal(receive_damaged(sizes[i], -1), DN_OK);
        for (int bit = 1; bit < (two_lines ? 1024 : 512); bit += 1 + bit % 3)
            if (receive_damaged(sizes[i], bit) != DN_ERR_PEER)
                fail_msg("a message of %d bytes whose bit %d was turned over is not refused", (int)sizes[i], bit);
    }
}

static void a_tail_that_cannot_be_is_refused(void **state)
{
    for (uint64_t tail = DN_RING_SLOTS - 1; tail < DN_RING_SLOTS + 3; tail++) {
        dn_world *world;
        assert_int_equal(dn_world_create(2, 4096, 2, 5, &world), DN_OK);
        dn_ring *ring = find_ring(world);
        dn_ring_end from = dn_ring_open_producer(world, ring, 0, 1);
        dn_status status = DN_OK;
        for (int i = 0; i < DN_RING_SLOTS && status == DN_OK; i++)
            status = dn_ring_put(&from, (dn_message){.bytes = 1, .total = 1});
        assert_int_equal(status, DN_OK);
        atomic_store(&ring->tail, tail);
        assert_int_equal(dn_ring_put(&from, (dn_message){.bytes = 1, .total = 1}),
                         tail <= DN_RING_SLOTS ? DN_OK : DN_ERR_PEER);
        dn_world_destroy(&world);
    }
}

/* A checksum that is right does not make an address right. */
static dn_status receive_from(uint64_t (*address)(dn_world *), uint64_t bytes)
{
    dn_world *world;
    if (dn_world_create(2, 4096, 2, 5, &world) != DN_OK)
        return DN_ERR_SYSTEM;
    dn_ring *ring = find_ring(world);
    dn_ring_end from = dn_ring_open_producer(world, ring, 0, 1),
                to = dn_ring_open_consumer(world, ring, 1, 0);
    dn_message m = {.at = address(world), .bytes = bytes, .total = UINT64_MAX, .type = 1};
    dn_status status = dn_ring_put(&from, m);
    if (status == DN_OK)
        status = dn_ring_peek(&to, &m);
    dn_world_destroy(&world);
    return status;
}

static uint64_t start_of_arena(dn_world *world)
{
    return (uint64_t)(uintptr_t)dn_world_arena(world, 0);
}

static uint64_t other_arena(dn_world *world)
{
    return (uint64_t)(uintptr_t)dn_world_arena(world, 1);
}

static uint64_t in_the_message(dn_world *world)
{
    return 0;
}

static void a_message_that_points_out_of_its_senders_memory_is_refused(void **state)
{
    const size_t arena = 2 << 20;
    assert_int_equal(receive_from(start_of_arena, arena), DN_OK);
    assert_int_equal(receive_from(start_of_arena, arena + 1), DN_ERR_PEER);
    assert_int_equal(receive_from(start_of_arena, UINT64_MAX), DN_ERR_PEER);
    assert_int_equal(receive_from(other_arena, 8), DN_ERR_PEER);
    assert_int_equal(receive_from(in_the_message, DN_MESSAGE_BYTES), DN_OK);
    assert_int_equal(receive_from(in_the_message, DN_MESSAGE_BYTES + 1), DN_ERR_PEER);
}

TESTS(comm_send)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_arrives_from_and_to_any_kind_of_buffer),
        cmocka_unit_test(neighbours_that_post_to_each_other_do_not_wait),
        cmocka_unit_test(messages_keep_their_order_when_the_ring_is_full),
        cmocka_unit_test(a_receiver_of_something_else_is_told_so),
        cmocka_unit_test(the_end_of_a_chain_of_receivers_is_blamed),
        cmocka_unit_test(a_message_with_any_bit_turned_over_is_refused),
        cmocka_unit_test(a_tail_that_cannot_be_is_refused),
        cmocka_unit_test(a_message_that_points_out_of_its_senders_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, draw, NULL);
}
