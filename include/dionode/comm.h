/**
 * A group of ranks and its collectives, by direct access to the symmetric heap: no message is packed or
 * copied.
 *
 * A symmetric allocation has the same size and offset in every member's arena; dn_comm_peer() turns a pointer
 * into another member's copy, to be read in place after a barrier. Every wait polls the abort word and a
 * deadline: no call blocks for ever. After a failure every member's call returns DN_ERR_PEER (or
 * DN_ERR_TIMEOUT, to the one whose deadline passed) and the group is dead.
 *
 * Reductions add in rank order, so results are bitwise the same on every member and in every run. NaN
 * propagates through every op. Every collective must be called by all members, in the same order, with equal
 * counts: members that meet in different calls fail with DN_ERR_ARG, which names both calls.
 */
#ifndef DIONODE_COMM_H
#define DIONODE_COMM_H

#include "dionode/real.h"
#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dn_comm dn_comm;

/* DN_AVG: arrays, the sum times the rounded 1/size (exact for powers of two); scalars, the sum over size. */
typedef enum dn_op { DN_SUM, DN_AVG, DN_MIN, DN_MAX } dn_op;

/* What the bytes were for. Payload = what each rank contributes to the exchange (for an all-reduce of S
 * bytes: S), the measure of dion.md 2.4; moved = bytes this rank really read from or wrote to the shared
 * arenas to do it. */
typedef enum dn_traffic {
    DN_TRAFFIC_FACTORS,  /* P and R of compressed matrices */
    DN_TRAFFIC_GRADIENT, /* gradients averaged in full     */
    DN_TRAFFIC_MOMENTUM, /* re-averaged momenta            */
    DN_TRAFFIC_CONTROL,  /* losses, flags, hashes          */
    DN_N_TRAFFIC
} dn_traffic;

typedef struct dn_ledger {
    uint64_t payload[DN_N_TRAFFIC];
    uint64_t moved[DN_N_TRAFFIC];
} dn_ledger;

/**
 * Makes this process a rank of the group of all. Collective. Which rank of how many says the environment:
 *
 * - started by dn_launch (dionode launch, dionode train): RANK, in the launcher's world and with its
 * deadline;
 * - started by another launcher (torchrun, or Open MPI's mpirun): RANK, WORLD_SIZE and LOCAL_RANK (or what
 *   mpirun calls them). All ranks must be on this node and of this user. They meet through one name in
 *   /dev/shm, which is gone before this returns; from then on each watches the others, as there is no
 * launcher of ours to do it. Ranks that run the same program twice at a time need different MASTER_PORTs, or
 *   different parents;
 * - alone, with none of these: a group of one.
 *
 * heap_bytes: the symmetric heap a rank needs; touched here, so that later accesses cannot fail. deadline_s
 * (> 0): how long to wait for ranks that do not come, and for one that makes no progress. Equal on all ranks.
 *
 * SIGINT, SIGTERM and SIGHUP stay ignored under dn_launch, which passes them on: dn_comm_stop_requested.
 *
 * Errors: DN_ERR_MEMORY (too little, or the launcher's arenas are smaller: dionode launch --arena);
 * DN_ERR_TIMEOUT (who did not come); DN_ERR_CONFIG (an environment that makes no sense); DN_ERR_SYSTEM. *out
 * may be a group even then, and dn_comm_leave is due all the same.
 */
DN_API dn_status dn_comm_join(size_t heap_bytes, double deadline_s, dn_comm **out) DN_MUST_USE;

/**
 * The end of what dn_comm_join began, and of *comm (which may be NULL); not collective. status is how this
 * rank fared: unless it is DN_OK the others' calls fail, with dn_error_message() as the reason. Returns the
 * exit status for main(). Silent under dn_launch, whose launcher speaks; elsewhere a failure goes to the log.
 */
DN_API int dn_comm_leave(dn_comm **comm, dn_status status);

/** The signal that asked the run to stop after the current step (Ctrl-C, under dn_launch), or 0. Ranks may
 * see it at different moments: agree on it (dn_comm_all_reduce_scalars, DN_MAX) before acting on it. */
DN_API int dn_comm_stop_requested(const dn_comm *comm);

/** A group of one, in ordinary memory: every collective is a no-op that counts nothing. heap_bytes of
 * symmetric heap. */
DN_API dn_status dn_comm_create_alone(size_t heap_bytes, dn_comm **out) DN_MUST_USE;
DN_API void dn_comm_destroy(dn_comm **comm);

DN_API int dn_comm_rank(const dn_comm *comm);
DN_API int dn_comm_size(const dn_comm *comm);

/** Symmetric heap: `bytes` in this rank's arena, 128-byte aligned, at the same offset on all members because
 * all call in the same order. Contents are undefined. Never freed alone. Errors: DN_ERR_MEMORY. */
DN_API dn_status dn_comm_alloc(dn_comm *comm, size_t bytes, void **out) DN_MUST_USE;
/** `rank`'s copy of the symmetric address p (which lies in this rank's arena). */
DN_API void *dn_comm_peer(const dn_comm *comm, const void *p, int rank);

/** Collective. Everything written before it by any member is visible after it to all. */
DN_API dn_status dn_comm_barrier(dn_comm *comm) DN_MUST_USE;

/** Slice `rank` of `count` elements: as equal as can be, in whole cache lines; may be empty. */
DN_API void dn_comm_slice(const dn_comm *comm, size_t count, int rank, size_t *first, size_t *end);

/** One buffer of a batch: symmetric address, elements, and the member that gets the result. */
typedef struct dn_reduce_item {
    dn_real *buffer;
    size_t count;
    int owner;
} dn_reduce_item;

/**
 * Collective. Reduces many symmetric buffers, each to its owner, after one barrier: on return the items this
 * rank owns hold op over all members, in rank order; the others are unchanged. Peers may read a result after
 * the next barrier, and must not write an item before it. This is the engine under the next two.
 */
DN_API dn_status dn_comm_reduce_to_owners(dn_comm *comm, const dn_reduce_item *items, size_t n_items,
                                          dn_op op, dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [count], symmetric: on return this rank's slice (dn_comm_slice) holds the reduction.
 * The rest is unchanged; the same barrier rule holds. */
DN_API dn_status dn_comm_reduce_scatter(dn_comm *comm, dn_real *buffer, size_t count, dn_op op,
                                        dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [count], symmetric, in place: on return all members' buffers hold the same bits. Ends
 * with a barrier. */
DN_API dn_status dn_comm_all_reduce(dn_comm *comm, dn_real *buffer, size_t count, dn_op op,
                                    dn_traffic kind) DN_MUST_USE;

/** Collective. buffer (symmetric) of `bytes` on root is copied to all. Ends with a barrier. Payload is
 * the root's alone. */
DN_API dn_status dn_comm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root,
                                   dn_traffic kind) DN_MUST_USE;

#define DN_COMM_SCALARS_MAX 12
/** Collective. values [n <= DN_COMM_SCALARS_MAX], private memory, in place: payload rides beside the flag,
 * one synchronization. Identical bits on all members. Counted as control. */
DN_API dn_status dn_comm_all_reduce_scalars(dn_comm *comm, double *values, size_t n, dn_op op) DN_MUST_USE;

/** Bytes since the last call with reset = true. */
DN_API dn_ledger dn_comm_ledger(dn_comm *comm, bool reset);

/** Progress of this rank for the state table and its peers' deadlines (dn_world_tick); no-op for a group of
 * one. */
DN_API void dn_comm_tick(dn_comm *comm, uint64_t step, const char *phase);

#endif
