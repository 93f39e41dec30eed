/*
 * A ring buffer of messages from one rank to another: single producer, single consumer, no read-modify-write.
 *
 *     line 0   tail: messages read              by the consumer alone
 *     slot 0 | slot 1 | ... | slot 31           a message each, by the producer alone
 *
 * The number of a message, stored last, says that it is there: the consumer waits at the slot itself, so a short message
 * costs one transfer of one cache line. The producer remembers the tail, and reads it only when the ring is full as far as
 * it knows. A message holds up to 80 bytes itself, or the address of its bytes; of its two cache lines the second one is
 * used only by more than 16. It carries a checksum, and is copied and checked before use: a corrupted message is an error,
 * and its address is never dereferenced.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include "shm/world.h"

#include <stdatomic.h>

#define DN_RING_SLOTS    32
#define DN_MESSAGE_BYTES 80 /* that fit into a message */

typedef struct dn_message {
    uint64_t checksum; /* of everything else that is used, and the number; set by dn_ring_put */
    uint64_t at;       /* address of the bytes, in the producer's arena or scratch; 0: they are in here */
    uint64_t bytes;    /* there */
    uint64_t total;    /* of the whole transfer, of which this is a chunk */
    uint32_t type;     /* of its elements, according to the sender */
    uint32_t on_device; /* the bytes are the device's that stand for those at `at` (device/device.h) */
    unsigned char payload[DN_MESSAGE_BYTES];
} dn_message;

/* The layout in shared memory; zero is an empty ring. */
typedef struct dn_ring_slot {
    _Alignas(128) _Atomic uint64_t number; /* of the message in its ring, from 1; posted after the rest */
    dn_message message;
} dn_ring_slot;

typedef struct dn_ring {
    _Alignas(128) _Atomic uint64_t tail;
    dn_ring_slot slots[DN_RING_SLOTS];
} dn_ring;

_Static_assert(sizeof(dn_ring_slot) == 128 && sizeof(dn_ring) == DN_SCRATCH_BYTES_PER_PEER,
               "the layout is the same for every compiler");

/* One side's handle. */
typedef struct dn_ring_end {
    dn_world *world; /* borrowed */
    dn_ring *ring;   /* borrowed */
    int me, peer;    /* ranks in the world */
    uint64_t own;    /* this side's counter */
    uint64_t seen;   /* producer: the tail, as last read */
} dn_ring_end;

/** A handle of a ring that may have been used before by the same two ranks. */
dn_ring_end dn_ring_open_producer(dn_world *world, dn_ring *ring, int me, int peer);
dn_ring_end dn_ring_open_consumer(dn_world *world, dn_ring *ring, int me, int peer);

/** Appends a message (the checksum is filled in); waits while the ring is full. Errors: those of
 * dn_wait_reach; DN_ERR_PEER, failing the world, if the consumer's counter is invalid. */
dn_status dn_ring_put(dn_ring_end *end, dn_message message) DN_MUST_USE;

/** Waits until the consumer has read message number `number`. */
dn_status dn_ring_drained(dn_ring_end *end, uint64_t number) DN_MUST_USE;

/** Waits for the next message and copies it out; it stays in the ring until dn_ring_pop. Checks its
 * number, its checksum, and that its bytes lie in the producer's memory. Errors: those of dn_wait_reach;
 * DN_ERR_PEER, failing the world, if a check fails. */
dn_status dn_ring_peek(dn_ring_end *end, dn_message *out) DN_MUST_USE;
/** Releases the message: its bytes may change from now on. */
void dn_ring_pop(dn_ring_end *end);

#endif
