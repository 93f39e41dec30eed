/*
 * Messages in the ring between two ranks. Rank 0 reads what rank 1, or whoever scribbled over it, has
 * written: a first byte says how a message comes to be, then come its words.
 *
 *     even   as dn_ring_put writes it, with its number and checksum, so that what is behind them is reached
 *     odd    the bytes as they are
 *
 * Nobody waits: a message is always there before it is read, whatever its number.
 */
#include "fuzz/fuzz.h"

#include "shm/control.h"
#include "shm/ring.h"
#include "shm/wait.h"

#include <string.h>

static dn_world *world;

static void reset(dn_ring *ring)
{
    dn_control *control = world->control;
    memset(ring, 0, sizeof *ring);
    memset(&control->abort, 0, sizeof control->abort);
    memset(control->slots, 0, 2 * sizeof *control->slots);
}

static void put(dn_ring_end *producer, fuzz_input *input, uint64_t how)
{
    dn_message message = {.at = fuzz_take(input, 8),
                          .bytes = fuzz_take(input, 4),
                          .total = fuzz_take(input, 4),
                          .type = (uint32_t)fuzz_take(input, 1)};
    if (how & 4) /* near or in the producer's arena */
        message.at = (uint64_t)(uintptr_t)dn_world_arena(world, 1) + (message.at & 0x3fffff) - 0x100000;
    memset(message.payload, (int)how, sizeof message.payload);
    dn_status status = dn_ring_put(producer, message);
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_PEER);
}

static void scribble(dn_ring_end *producer, fuzz_input *input)
{
    dn_message message;
    unsigned char *bytes = (unsigned char *)&message;
    for (size_t i = 0; i < sizeof message; i++)
        bytes[i] = (unsigned char)fuzz_take(input, 1);
    dn_ring_slot *slot = &producer->ring->slots[producer->own % DN_RING_SLOTS];
    slot->message = message;
    dn_wait_post(world, 1, &slot->number, ++producer->own);
}

/* Whether there is more to read. */
static bool read_one(dn_ring_end *consumer)
{
    dn_message m;
    dn_status status = dn_ring_peek(consumer, &m);
    if (status != DN_OK) {
        FUZZ_EXPECT_FAILURE(status, DN_ERR_PEER);
        FUZZ_EXPECT(dn_world_failure(world).rank == 1, "rank %d is blamed", dn_world_failure(world).rank);
        return false;
    }
    FUZZ_EXPECT(m.bytes <= m.total, "%zu bytes of %zu", (size_t)m.bytes, (size_t)m.total);
    const volatile unsigned char *from = m.at ? (const unsigned char *)(uintptr_t)m.at : m.payload;
    volatile unsigned char last; /* reading would crash if it pointed elsewhere */
    for (uint64_t i = 0; i < m.bytes; i += 64)
        last = from[i];
    if (m.bytes)
        last = from[m.bytes - 1];
    (void)last;
    dn_ring_pop(consumer);
    return true;
}

static void run(const uint8_t *data, size_t size)
{
    if (!world)
        FUZZ_EXPECT(dn_world_create(2, 1 << 20, 2, 1, &world) == DN_OK, "%s", dn_error_message());
    fuzz_input input = {data, size};
    dn_ring *ring = dn_world_scratch(world, 0);
    reset(ring);
    dn_ring_end producer = dn_ring_open_producer(world, ring, 1, 0);
    dn_ring_end consumer = dn_ring_open_consumer(world, ring, 0, 1);
    bool more = true;
    while (more && input.size > 0) {
        uint64_t how = fuzz_take(&input, 1);
        if (how & 1)
            scribble(&producer, &input);
        else
            put(&producer, &input, how);
        if (how & 8) /* a number that need not be the right one; none that would be waited for */
            atomic_store(&ring->slots[consumer.own % DN_RING_SLOTS].number,
                         consumer.own + 1 + fuzz_take(&input, 8) % (UINT64_MAX - consumer.own - 1));
        more = read_one(&consumer);
    }
}

const fuzz_target fuzz_ring = {"ring", run, 20000};
