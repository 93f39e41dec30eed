#include "shm/ring.h"

#include "base/fail.h"
#include "shm/control.h"
#include "shm/wait.h"

#include <string.h>

/* ---- handles ---- */

dn_ring_end dn_ring_open_producer(dn_world *world, dn_ring *ring, int me, int peer)
{
    return (dn_ring_end){.world = world,
                         .ring = ring,
                         .me = me,
                         .peer = peer,
                         .own = atomic_load_explicit(&ring->head, memory_order_relaxed)};
}

dn_ring_end dn_ring_open_consumer(dn_world *world, dn_ring *ring, int me, int peer)
{
    return (dn_ring_end){.world = world,
                         .ring = ring,
                         .me = me,
                         .peer = peer,
                         .own = atomic_load_explicit(&ring->tail, memory_order_relaxed)};
}

/* ---- checks ---- */

/* Fails the world, naming the peer. */
static dn_status fail_damaged(const dn_ring_end *end, const char *what)
{
    dn_failure failure = {
        .status = DN_ERR_PEER, .rank = end->peer, .step = dn_world_step(end->world, end->peer)};
    snprintf(failure.message, sizeof failure.message,
             "the ring between ranks %d and %d is corrupted: %s; the message was not used", end->me,
             end->peer, what);
    if (!dn_world_abort(end->world, &failure))
        return dn_control_fail_peer(end->world);
    return dn_fail(DN_ERR_PEER, "%s", failure.message);
}

/* Over all words but the checksum. Multiplication by an odd number is invertible, so any single changed word
 * changes the sum. */
static uint64_t checksum_of(const dn_message *message)
{
    uint64_t words[sizeof *message / 8], sum = UINT64_C(0x9e3779b97f4a7c15);
    memcpy(words, message, sizeof words);
    words[1] = 0;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        sum = (sum ^ words[i]) * UINT64_C(0xff51afd7ed558ccd);
        sum ^= sum >> 32;
    }
    return sum;
}

static dn_status check(const dn_ring_end *end, const dn_message *m, uint64_t number)
{
    if (m->checksum != checksum_of(m))
        return fail_damaged(end, "the checksum of a message does not match");
    if (m->number != number)
        return fail_damaged(end, "a message has the wrong number");
    if (m->bytes > m->total)
        return fail_damaged(end, "a chunk is larger than its transfer");
    if (m->at == 0 ? m->bytes > DN_MESSAGE_BYTES
                   : !dn_world_owns(end->world, end->peer, (const void *)(uintptr_t)m->at, m->bytes))
        return fail_damaged(end, "a message points outside its sender's memory");
    return DN_OK;
}

/* Waits until the other side's counter reaches want. Errors: it is beyond `limit`. */
static dn_status reach(dn_ring_end *end, const _Atomic uint64_t *counter, uint64_t want, uint64_t limit)
{
    if (end->seen >= want)
        return DN_OK;
    DN_TRY(dn_wait_reach(end->world, end->me, end->peer, counter, want));
    uint64_t now = atomic_load_explicit(counter, memory_order_acquire);
    if (now < want || now > limit)
        return fail_damaged(end, "a counter is out of range");
    end->seen = now;
    return DN_OK;
}

/* ---- producer ---- */

dn_status dn_ring_put(dn_ring_end *end, dn_message message)
{
    if (end->own >= DN_RING_SLOTS)
        DN_TRY(reach(end, &end->ring->tail, end->own - DN_RING_SLOTS + 1, end->own));
    dn_message *slot = &end->ring->slots[end->own % DN_RING_SLOTS];
    message.number = ++end->own;
    message.checksum = checksum_of(&message);
    *slot = message;
    dn_wait_post(end->world, end->me, &end->ring->head, end->own);
    return DN_OK;
}

dn_status dn_ring_drained(dn_ring_end *end, uint64_t number)
{
    return reach(end, &end->ring->tail, number, end->own);
}

/* ---- consumer ---- */

dn_status dn_ring_peek(dn_ring_end *end, dn_message *out)
{
    DN_TRY(reach(end, &end->ring->head, end->own + 1, end->own + DN_RING_SLOTS));
    *out = end->ring->slots[end->own % DN_RING_SLOTS];
    return check(end, out, end->own + 1);
}

void dn_ring_pop(dn_ring_end *end)
{
    dn_wait_post(end->world, end->me, &end->ring->tail, ++end->own);
}
