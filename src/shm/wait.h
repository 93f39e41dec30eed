/*
 * Waiting until another rank has written a number; never without a deadline.
 *
 * Two stages: pause instructions for up to half a millisecond where each rank has a core (the other one is about to write), or
 * sched_yield where ranks share them; then futex sleeps of at most 50 ms each. A sleeping rank is shown as waiting in the state
 * table.
 */
#ifndef SHM_WAIT_H
#define SHM_WAIT_H

#include "shm/world.h"

#include <stdatomic.h>

/**
 * Returns DN_OK once *word, in shared memory and written only by rank `awaited` with dn_wait_post, is at
 * least `want`: whatever that rank wrote before the post can then be read. Sequence numbers never wrap.
 *
 * Errors: DN_ERR_PEER once the world has failed; DN_ERR_TIMEOUT after the world's deadline without progress
 * (dn_world_tick) of the blocking rank, which is `awaited` or the one that it waits for in turn; the world
 * then fails, naming that rank. Time in which this process did not run (a stopped job) does not count.
 */
dn_status dn_wait_reach(dn_world *world, int rank, int awaited, const _Atomic uint64_t *word,
                        uint64_t want) DN_MUST_USE;

/** The same for what no word tells: returns DN_OK once done(context) says so. Errors: those of dn_wait_reach, and of
 * done: > 0 done, 0 not yet, < 0 failed (DN_ERR_SYSTEM without a message). */
dn_status dn_wait_until(dn_world *world, int rank, int awaited, int (*done)(void *context), void *context) DN_MUST_USE;

/** Sleeps until that time of dn_clock_s, and returns how long it slept. Nobody takes a rank for hung that sleeps here, and it answers
 * other nodes; a stop, or a failure of another rank, ends the sleep. */
double dn_wait_for_time(dn_world *world, int rank, double end_s);

/** Whether *word has reached want: dn_wait_reach without waiting, and without noticing failures. */
static inline bool dn_wait_reached(const _Atomic uint64_t *word, uint64_t want)
{
    return atomic_load_explicit(word, memory_order_acquire) >= want;
}

/** Once in each process that posts, before it does. */
void dn_wait_register(void);

/** Stores value in `rank`'s *word with release order and wakes sleepers; no system call if there are none. */
void dn_wait_post(dn_world *world, int rank, _Atomic uint64_t *word, uint64_t value);

#endif
