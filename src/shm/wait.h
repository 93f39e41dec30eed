/*
 * Waiting for another rank to write a number, without burning a core and without waiting for ever.
 *
 * Three stages: pause instructions (the other core is about to write), sched_yield (the other rank may need
 * this very core), a futex sleep of at most 50 ms a time. Who waits is in the state table while it sleeps.
 */
#ifndef SHM_WAIT_H
#define SHM_WAIT_H

#include "shm/world.h"

#include <stdatomic.h>

/**
 * Returns DN_OK once *word, in shared memory and written only by rank `awaited` with dn_wait_post, is at
 * least `want`: whatever that rank wrote before the post can then be read. Sequence numbers never wrap.
 *
 * DN_ERR_PEER once the world has failed. DN_ERR_TIMEOUT after the world's deadline without progress
 * (dn_world_tick) of the rank that is in the way, which is `awaited`, or whoever it waits for itself; the
 * world is then failed in its name. Time in which this process could not run (a stopped job) does not count.
 */
dn_status dn_wait_reach(dn_world *world, int rank, int awaited, const _Atomic uint64_t *word,
                        uint64_t want) DN_MUST_USE;

/** Whether *word has reached want: dn_wait_reach without waiting, and without noticing failures. */
static inline bool dn_wait_reached(const _Atomic uint64_t *word, uint64_t want)
{
    return atomic_load_explicit(word, memory_order_acquire) >= want;
}

/** Publishes value in *word in the name of `rank`, after everything written before; wakes whoever sleeps. No
 * system call when nobody does. */
void dn_wait_post(dn_world *world, int rank, _Atomic uint64_t *word, uint64_t value);

#endif
