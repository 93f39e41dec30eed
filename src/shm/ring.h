/*
 * A ring buffer of messages from one rank to another: single producer, single consumer, no read-modify-write.
 *
 *     line 0   head: messages written           by the producer alone
 *     line 1   tail: messages read              by the consumer alone
 *     slot 0 | slot 1 | ... | slot 7            a message each, by the producer alone
 *
 * Both counters run freely. Each side caches the other's counter, and reads it only when the cached value
 * does not suffice. A message holds up to 64 bytes itself, or the address of its bytes. It carries its number
 * and a checksum, and is copied and checked before use: a corrupted message is an error, and its address is
 * never dereferenced.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include "shm/world.h"

#include <stdatomic.h>

#define DN_RING_SLOTS    8
#define DN_MESSAGE_BYTES 64 /* that fit into a message */

typedef struct dn_message {
    uint64_t number;   /* of the message in its ring, from 1; set by dn_ring_put */
    uint64_t checksum; /* of everything else; set by dn_ring_put */
    uint64_t at;       /* address of the bytes, in the producer's arena or scratch; 0: they are in here */
    uint64_t bytes;    /* there */
    uint64_t total;    /* of the whole transfer, of which this is a chunk */
    uint32_t type;     /* of its elements, according to the sender */
    uint32_t pad;
    unsigned char payload[DN_MESSAGE_BYTES];
    uint64_t reserved[2];
} dn_message;

/* The layout in shared memory; zero is an empty ring. */
typedef struct dn_ring {
    _Alignas(128) _Atomic uint64_t head;
    _Alignas(128) _Atomic uint64_t tail;
    _Alignas(128) dn_message slots[DN_RING_SLOTS];
} dn_ring;

_Static_assert(sizeof(dn_message) == 128 && sizeof(dn_ring) == DN_SCRATCH_BYTES_PER_PEER,
               "the layout is the same for every compiler");

/* One side's handle. */
typedef struct dn_ring_end {
    dn_world *world; /* borrowed */
    dn_ring *ring;   /* borrowed */
    int me, peer;    /* ranks in the world */
    uint64_t own;    /* this side's counter */
    uint64_t seen;   /* the other's, as last read */
} dn_ring_end;

/** A handle of a ring that may have been used before by the same two ranks. */
dn_ring_end dn_ring_open_producer(dn_world *world, dn_ring *ring, int me, int peer);
dn_ring_end dn_ring_open_consumer(dn_world *world, dn_ring *ring, int me, int peer);

/** Appends a message (number and checksum are filled in); waits while the ring is full. Errors: those of
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
