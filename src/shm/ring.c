#include "shm/ring.h"

#include "base/fail.h"
#include "shm/control.h"
#include "shm/wait.h"

#include <stddef.h>
#include <string.h>

/* ---- handles ---- */

dn_ring_end dn_ring_open_producer(dn_world *world, dn_ring *ring, int me, int peer)
{
    dn_ring_end end = {.world = world, .ring = ring, .me = me, .peer = peer};
    for (int i = 0; i < DN_RING_SLOTS; i++) {
        uint64_t number = atomic_load_explicit(&ring->slots[i].number, memory_order_relaxed);
        end.own = number > end.own ? number : end.own;
    }
    return end;
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

/* Of the message as it lies in the slot: one cache line, or two. */
static size_t used_bytes(const dn_message *m)
{
    return (m->at || m->bytes <= 16 ? 64 : 128) - offsetof(dn_ring_slot, message);
}

/* Over the number and all words that are used but the checksum, in four strands that do not wait for each other.
 * Multiplication by an odd number is invertible, so any single changed word changes the sum. */
static uint64_t checksum_of(const dn_message *message, uint64_t number)
{
    enum { STRANDS = 4 };
    const uint64_t odd = UINT64_C(0xff51afd7ed558ccd);
    uint64_t words[16] = {number}, strands[STRANDS] = {1, 2, 3, 4}, sum = 0;
    size_t n = 1 + used_bytes(message) / 8;
    memcpy(words + 1, message, used_bytes(message));
    words[1] = 0;
    for (size_t i = 0; i < n; i++) {
        strands[i % STRANDS] = (strands[i % STRANDS] ^ words[i]) * odd;
        strands[i % STRANDS] ^= strands[i % STRANDS] >> 32;
    }
    for (int k = 0; k < STRANDS; k++)
        sum = (sum ^ strands[k]) * odd;
    return sum;
}

static dn_status check(const dn_ring_end *end, const dn_message *m, uint64_t number)
{
    if (number != end->own + 1)
        return fail_damaged(end, "a message has the wrong number");
    if (m->checksum != checksum_of(m, number))
        return fail_damaged(end, "the checksum of a message does not match");
    if (m->bytes > m->total)
        return fail_damaged(end, "a chunk is larger than its transfer");
    if (m->at == 0 ? m->bytes > DN_MESSAGE_BYTES
                   : !dn_world_owns(end->world, end->peer, (const void *)(uintptr_t)m->at, m->bytes))
        return fail_damaged(end, "a message points outside its sender's memory");
    return DN_OK;
}

/* ---- producer ---- */

dn_status dn_ring_drained(dn_ring_end *end, uint64_t number)
{
    if (end->seen >= number)
        return DN_OK;
    DN_TRY(dn_wait_reach(end->world, end->me, end->peer, &end->ring->tail, number));
    uint64_t tail = atomic_load_explicit(&end->ring->tail, memory_order_acquire); /* later than the awaited one, perhaps */
    if (tail < number || tail > end->own)
        return fail_damaged(end, "a counter is out of range");
    end->seen = tail;
    return DN_OK;
}

dn_status dn_ring_put(dn_ring_end *end, dn_message message)
{
    /* Once full, half empty is waited for: a tail that is looked at after each message goes to and fro. */
    if (end->own - end->seen >= DN_RING_SLOTS)
        DN_TRY(dn_ring_drained(end, end->own - DN_RING_SLOTS / 2));
    dn_ring_slot *slot = &end->ring->slots[end->own % DN_RING_SLOTS];
    message.checksum = checksum_of(&message, ++end->own);
    memcpy(&slot->message, &message, used_bytes(&message));
    dn_wait_post(end->world, end->me, &slot->number, end->own);
    return DN_OK;
}

/* ---- consumer ---- */

/* A message that says of itself that it is short is copied as such: what it says is checked afterwards. */
dn_status dn_ring_peek(dn_ring_end *end, dn_message *out)
{
    const dn_ring_slot *slot = &end->ring->slots[end->own % DN_RING_SLOTS];
    DN_TRY(dn_wait_reach(end->world, end->me, end->peer, &slot->number, end->own + 1));
    uint64_t number = atomic_load_explicit(&slot->number, memory_order_relaxed); /* beyond: an error */
    const size_t line = 64 - offsetof(dn_ring_slot, message);
    memcpy(out, &slot->message, line);
    __builtin_prefetch(&end->ring->slots[(end->own + 1) % DN_RING_SLOTS]); /* likely there, too */
    size_t used = used_bytes(out);
    memcpy((char *)out + line, (const char *)&slot->message + line, used - line);
    return check(end, out, number);
}

void dn_ring_pop(dn_ring_end *end)
{
    dn_wait_post(end->world, end->me, &end->ring->tail, ++end->own);
}
