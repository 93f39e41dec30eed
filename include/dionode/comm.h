/**
 * Communicators: a set of ranks and their collectives, over shared memory; between nodes over MPI (docs/nodes.md).
 *
 * Symmetric memory (dn_comm_alloc) has the same size and offset on every rank; dn_comm_view() reads another
 * rank's copy. Collectives work on symmetric buffers in place, without packing messages. Any other buffer is
 * private to its process and is staged through shared memory in chunks. In one call a buffer must be
 * symmetric on all members, at the same offset, or private on all.
 *
 * No call blocks for ever: every wait has a deadline and notices failures. After a failure all members' calls
 * return DN_ERR_PEER (DN_ERR_TIMEOUT on the rank whose deadline expired), and the communicator cannot be used
 * any more.
 *
 * Reductions are deterministic: they combine in rank order, so results are bitwise equal on all members and
 * from run to run. (Large sums of members that share NUMA domains are formed within each domain first, then
 * over domains in the order of their first members; sums of more than 96 bytes over several nodes within each node first.) NaN propagates through every op.
 *
 * "Collective" means: all members call it, in the same order, with equal arguments. Members that meet in
 * different calls fail with DN_ERR_ARG, which names both calls. Buffers are aligned to their element type.
 */
#ifndef DIONODE_COMM_H
#define DIONODE_COMM_H

#include "dionode/status.h"
#include "dionode/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dn_comm dn_comm;

/* Traffic is counted by purpose. */
typedef enum dn_traffic {
    DN_TRAFFIC_FACTORS,     /* partial P and R of Dion, reduced                              */
    DN_TRAFFIC_BASIS,       /* P, R and Q gathered; whole matrices to owners and back       */
    DN_TRAFFIC_ORTH,        /* orthonormalization: depends on the numbers                   */
    DN_TRAFFIC_GRADIENT,    /* gradients, reduced                                            */
    DN_TRAFFIC_WEIGHTS,     /* weights, gathered: of fs for a pass, of dp after an update    */
    DN_TRAFFIC_ACTIVATIONS, /* of tp, in forward and backward                                */
    DN_TRAFFIC_MOMENTUM,    /* re-averaged momenta                                           */
    DN_TRAFFIC_DELTA,       /* what replicas that do not average gradients exchange, compressed or not */
    DN_TRAFFIC_PROBE,       /* numbers by which they decide whether to exchange              */
    DN_TRAFFIC_CONTROL,     /* losses, flags, hashes                                         */
    DN_N_TRAFFIC
} dn_traffic;

/* ... and by collective. Reducing to owners counts as reduce-scatter, gathering from owners as all-gather, a
 * shared result as all-reduce. */
typedef enum dn_collective {
    DN_ALL_REDUCE,
    DN_REDUCE,
    DN_REDUCE_SCATTER,
    DN_ALL_GATHER,
    DN_ALL_TO_ALL,
    DN_BROADCAST,
    DN_N_COLLECTIVES
} dn_collective;

/*
 * Bytes of this rank. payload: what it contributes; moved: what it reads and writes to do it; crossed: what
 * of that belongs to a rank of another NUMA domain; cluster: what it would send if members were machines in a
 * ring. With P members, S bytes of the whole buffer (of all items, for owners) and s bytes of this rank's
 * shard:
 *
 *                                        payload              cluster                    hops
 *     all-reduce                         S                    2 (P-1)/P S                2 (P-1)
 *     reduce-scatter, to owners          S                    (P-1)/P S                  P-1
 *     all-gather, from owners            s                    (P-1)/P S                  P-1
 *     all-to-all                         S                    (P-1)/P S                  P-1
 *     broadcast                          S on root, else 0    S, but 0 on the last       P-1
 *                                                             member, before root
 *     reduce                             S                    S, but 0 on root           P-1
 *     send                               S                    S                          1
 *
 * network: what this rank received from ranks of other nodes (docs/nodes.md), barriers left out; early: what of it had come before
 * it was needed, of what was sent ahead.
 *
 * hops are messages that follow one another on that ring: what latency is multiplied by. What is read in
 * place (views, dn_comm_count_in_place) between two barriers counts the hops of each collective once, as one
 * batch.
 *
 * Receives and barriers count nothing; nor does anything in a communicator of one rank.
 */
typedef struct dn_comm_stats {
    uint64_t payload[DN_N_TRAFFIC];
    uint64_t moved[DN_N_TRAFFIC];
    uint64_t crossed[DN_N_TRAFFIC];
    uint64_t network[DN_N_TRAFFIC];
    uint64_t early[DN_N_TRAFFIC];
    uint64_t by_collective[DN_N_COLLECTIVES]; /* payload; sends belong to no collective */
    double cluster[DN_N_TRAFFIC];
    double cluster_by_collective[DN_N_COLLECTIVES];
    uint64_t hops[DN_N_TRAFFIC];
} dn_comm_stats;

/* ---- communicators ---- */

/**
 * Initializes the world communicator. Collective. Rank and world size come from the environment:
 *
 * - under dn_launch (dionode launch, dionode train): RANK, the launcher's segment and its deadline;
 * - under another launcher (torchrun, Open MPI's mpirun): RANK, WORLD_SIZE and LOCAL_RANK, or mpirun's names
 * for them. Ranks of one node run as the same user. They rendezvous through a name in /dev/shm
 * that is removed before this returns; from then on a thread in each rank monitors the others. Runs that
 * start at the same time need different MASTER_PORTs, mpirun jobs, or parent processes. The calling thread,
 * and threads it creates later, are bound to the processors that dionode topo shows for LOCAL_RANK, unless it
 * was bound before; create threads (OpenMP) after this call;
 * - with none of these: a communicator of one rank.
 *
 * Under mpirun with ranks on several nodes, where DIONODE_NODE=k in every rank's environment parts them into pretended ones, or
 * where DIONODE_TRANSPORT=mpi is set, rank and world size are MPI's, which this call initializes unless it is already;
 * dn_comm_leave then waits for the ranks of the other nodes to leave, and finalizes it.
 *
 * heap_bytes: symmetric heap per rank (0: all that the launcher provides); its pages are touched here, so
 * that later accesses cannot fail. deadline_s (> 0): how long to wait for a rank that does not join or makes
 * no progress. Both are equal on all ranks.
 *
 * dn_launch receives SIGINT, SIGTERM, SIGHUP and SIGUSR1 and forwards them (dn_comm_stop_requested,
 * dn_comm_saves_requested); under it this process ignores them from here on, unless it has handlers of its
 * own.
 *
 * Errors: DN_ERR_MEMORY (not enough memory, or the launcher's arenas are smaller: dionode launch --arena);
 * DN_ERR_TIMEOUT (naming ranks that did not join); DN_ERR_CONFIG (inconsistent environment); DN_ERR_SYSTEM.
 * Call dn_comm_leave after an error, too: *out may be set.
 */
DN_API dn_status dn_comm_join(size_t heap_bytes, double deadline_s, dn_comm **out) DN_MUST_USE;

/**
 * Finalizes the world communicator and sets *comm (may be NULL) to NULL. Not collective. status: this rank's
 * result; unless it is DN_OK the other ranks' calls fail with dn_error_message() as the reason. Returns the
 * exit status for main(). A failure is logged, except under dn_launch, whose launcher reports it.
 */
DN_API int dn_comm_leave(dn_comm **comm, dn_status status);

/** The signal that asked the run to save and stop (Ctrl-C, under dn_launch), or 0. Ranks see it at different
 * times: agree on it (dn_comm_all_reduce_scalars, DN_MAX) before acting on it. */
DN_API int dn_comm_stop_requested(const dn_comm *comm);

/** How many times SIGUSR1 (under dn_launch) has asked the run to save and continue. Agree on it, too. */
DN_API uint32_t dn_comm_saves_requested(const dn_comm *comm);

/** Reports to the launcher that the state after `step` is saved: part of the message if the run is killed.
 * Called by one rank; not collective. */
DN_API void dn_comm_report_saved(dn_comm *comm, uint64_t step);

/** A communicator of one rank in private memory, with heap_bytes of symmetric heap: collectives are no-ops
 * that count nothing. */
DN_API dn_status dn_comm_create_alone(size_t heap_bytes, dn_comm **out) DN_MUST_USE;
DN_API void dn_comm_destroy(dn_comm **comm);

/**
 * Collective. One communicator for each color (>= 0), ranks ordered by (key, rank in parent), as
 * MPI_Comm_split; color -1: *out is NULL. Each has heap_bytes of symmetric heap, taken from the parent's:
 * that shrinks by dn_comm_split_bytes(parent, heap_bytes) on all members (dn_comm_heap_release gives it
 * back). Symmetric buffers of the parent are symmetric in its children. The parent outlives its children.
 * Errors: DN_ERR_MEMORY, on all members alike; those of a barrier.
 */
DN_API dn_status dn_comm_split(dn_comm *parent, int color, int key, size_t heap_bytes,
                               dn_comm **out) DN_MUST_USE;
DN_API size_t dn_comm_split_bytes(const dn_comm *parent, size_t heap_bytes);

/**
 * A communicator of some members of parent, in that order: ranks [n], which name this one. Collective over these alone,
 * unlike dn_comm_split (as MPI_Comm_create_group); members of several such groups create them in the same order. Its
 * memory, dn_comm_split_bytes(parent, heap_bytes), is taken from the end of the parent's heap, of which less is then
 * left on these members than on others; it is given back with the parent only. Otherwise as dn_comm_split. Errors:
 * DN_ERR_ARG ranks that repeat, are none of parent's, or leave this one out; DN_ERR_MEMORY, on all members alike; those
 * of a send.
 */
DN_API dn_status dn_comm_create_group(dn_comm *parent, const int *ranks, int n, size_t heap_bytes,
                                      dn_comm **out) DN_MUST_USE;

DN_API int dn_comm_rank(const dn_comm *comm);
DN_API int dn_comm_size(const dn_comm *comm);

/** Allocates `bytes` of symmetric memory, 128-byte aligned, uninitialized; at the same offset on all members
 * because all allocate in the same order. Freed by dn_comm_heap_release or with the communicator. Errors:
 * DN_ERR_MEMORY. */
DN_API dn_status dn_comm_alloc(dn_comm *comm, size_t bytes, void **out) DN_MUST_USE;

/** Bytes of the heap in use: a mark for dn_comm_heap_release. */
DN_API size_t dn_comm_heap_mark(const dn_comm *comm);
/**
 * Collective, with a barrier. Frees what was allocated since dn_comm_heap_mark returned `mark`. Communicators
 * split since must have been destroyed, exchanges on that memory finished. Errors: DN_ERR_ARG a mark above
 * the heap, or different marks; those of a barrier.
 */
DN_API dn_status dn_comm_heap_release(dn_comm *comm, size_t mark) DN_MUST_USE;
/** Chunk `rank` of `count` elements, [*first, *end): as even as whole cache lines allow; may be empty. */
DN_API void dn_comm_chunk_bounds(const dn_comm *comm, size_t count, dn_type type, int rank, size_t *first,
                                 size_t *end);

/* ---- collectives ---- */

/** Collective. What any member wrote before it, all see after it. On symmetric memory that is also an
 * all-gather and a broadcast without copies: see views below. */
DN_API dn_status dn_comm_barrier(dn_comm *comm) DN_MUST_USE;

/** Collective. buffer [count], in place; bitwise equal on all members afterwards. */
DN_API dn_status dn_comm_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                    dn_traffic kind) DN_MUST_USE;

/** Collective. An all-reduce that writes one result for each NUMA domain, or one in all. buffer [count],
 * symmetric; undefined afterwards. *result [count] lies in some member's buffer and is valid until the
 * reader's next call on this communicator. Errors: DN_ERR_ARG buffer is private. */
DN_API dn_status dn_comm_all_reduce_shared(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                           dn_traffic kind, const void **result) DN_MUST_USE;

/** Collective. buffer [count], in place: root's holds the reduction, all others are undefined. No barrier: up to 1 KiB,
 * members other than root do not wait. */
DN_API dn_status dn_comm_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root,
                                dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [count], in place: this rank's chunk (dn_comm_chunk_bounds) holds the reduction, the
 * rest is undefined. A symmetric buffer may be read by others after the next barrier and written after it
 * only. */
DN_API dn_status dn_comm_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                        dn_traffic kind) DN_MUST_USE;

/** A symmetric buffer of `count` elements, and the rank that owns it. Lists are equal on all members. */
typedef struct dn_owned {
    void *buffer;
    size_t count;
    int owner;
} dn_owned;

/**
 * Collective, one barrier for all items. Reduces each item to its owner; others' copies are unchanged. Items
 * may be read by others after the next barrier and written after it only. Errors: DN_ERR_ARG a private
 * buffer.
 */
DN_API dn_status dn_comm_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                          dn_op op, dn_traffic kind) DN_MUST_USE;

/**
 * Collective, one barrier for all items. Copies each owner's items to all members. May follow
 * dn_comm_reduce_to_owners directly. Owners write items after the next barrier only. Errors: DN_ERR_ARG a
 * private buffer.
 */
DN_API dn_status dn_comm_gather_from_owners(dn_comm *comm, const dn_owned *items, size_t n_items,
                                            dn_type type, dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [count], in place: copies each member's chunk (dn_comm_chunk_bounds) to all. Payload is
 * the own chunk. Data that can be read where they lie need only dn_comm_barrier. */
DN_API dn_status dn_comm_all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type,
                                    dn_traffic kind) DN_MUST_USE;

/** Collective. Row s of member d's from [size, count] is copied to row d of member s's to [size, count]. Both
 * buffers are symmetric or both private; they do not overlap. */
DN_API dn_status dn_comm_all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type,
                                    dn_traffic kind) DN_MUST_USE;

/** Collective. Copies root's buffer [bytes] to all. Only root has payload. No barrier: up to 1 KiB, root does not wait. */
DN_API dn_status dn_comm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root,
                                   dn_traffic kind) DN_MUST_USE;

/**
 * Nonblocking collectives on symmetric buffers. begin (collective) returns at once, unless 32 exchanges are
 * still pending; the buffer must not be touched until finish (collective, too). Up to 32 may be pending,
 * begun in the same order on all members; other calls may come between. There is no progress thread: the work
 * is done in finish, or in advance, which does what is possible without waiting. Results are those of the
 * blocking calls, bit for bit. Errors: DN_ERR_ARG a private buffer, or more than 32 pending.
 */
DN_API dn_status dn_comm_begin_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                          dn_traffic kind, uint64_t *exchange) DN_MUST_USE;
DN_API dn_status dn_comm_begin_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type,
                                              dn_op op, dn_traffic kind, uint64_t *exchange) DN_MUST_USE;

/* How a batch is begun. */
enum {
    DN_BEGIN_PART = 1, /* other parts of the same exchange follow: the last counts the hops of all */
    DN_BEGIN_KEEP = 2  /* no copy changes before finish, which forms the sums: until then each member's own is there to be read */
};

/** dn_comm_reduce_to_owners in the same way: after finish an item is its owner's again, others' copies after the next barrier. The
 * list [n_items] stays as it is until finish. flags: of those above. */
DN_API dn_status dn_comm_begin_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                                dn_op op, dn_traffic kind, unsigned flags,
                                                uint64_t *exchange) DN_MUST_USE;
DN_API dn_status dn_comm_advance(dn_comm *comm) DN_MUST_USE;
/** Finishes an exchange, and this rank's work for those begun before it. */
DN_API dn_status dn_comm_finish(dn_comm *comm, uint64_t exchange) DN_MUST_USE;

/**
 * Sends buffer [count] to another rank, which calls dn_comm_receive with the same count and type; messages
 * between two ranks arrive in order. On return buffer may be reused. Blocks until the receiver has read a
 * symmetric buffer above 2 KiB (it is read in place), and while the queue is full (32 messages, or 128 KiB
 * of private data): two ranks that send much to each other must not both send first.
 */
DN_API dn_status dn_comm_send(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to,
                              dn_traffic kind) DN_MUST_USE;

/**
 * Sends a symmetric buffer without waiting for its receiver, which reads it in place in a dn_comm_receive of the same count
 * and type: the buffer is not to be written before dn_comm_posted returns, or a message tells that it was read. Waits
 * only while 32 messages are unread. Two ranks may post to each other at once. Errors: DN_ERR_ARG a private buffer of more
 * than 80 bytes.
 */
DN_API dn_status dn_comm_post(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to,
                              dn_traffic kind) DN_MUST_USE;
/** Waits until `to` has received everything that was sent and posted to it. */
DN_API dn_status dn_comm_posted(dn_comm *comm, int to) DN_MUST_USE;

/** Errors: DN_ERR_ARG another count or type was sent; DN_ERR_PEER a damaged message. */
DN_API dn_status dn_comm_receive(dn_comm *comm, void *buffer, size_t count, dn_type type, int from,
                                 dn_traffic kind) DN_MUST_USE;

/** An all-reduce of a few numbers, counted as control; up to 12 travel with one barrier. */
static inline dn_status dn_comm_all_reduce_scalars(dn_comm *comm, double *values, size_t n, dn_op op)
{
    return dn_comm_all_reduce(comm, values, n, DN_F64, op, DN_TRAFFIC_CONTROL);
}

/* ---- views: what other members hold, read where it lies ---- */

/*
 * A view makes a chunk of another member's copy of a symmetric buffer readable. Where members share memory it
 * is a pointer into the owner's arena and nothing is copied; elsewhere the communicator fetches the chunk
 * into memory of its own, and an error of that fails the reader's next call that waits. Hence the rules,
 * which hold everywhere:
 *
 * - the owner has written the chunk before a barrier (dn_comm_barrier or any collective) that the reader has
 * left;
 * - a view is read until the reader's next barrier in this communicator, and the owner writes the chunk only
 * after it;
 * - nobody writes through a view.
 *
 * Whoever takes a view is counted as reading its bytes: moved, crossed and links. The three that all members
 * call together, in the same order with the same arguments, count payload and cluster, too; they wait for
 * nobody. A member's own chunk is a view like any other, and counts nothing.
 */

/* Part of a symmetric buffer: `span` bytes from p on, which lies in this rank's arena. Of these the reader
 * needs `bytes`, which is what counts: fewer than the span for a triangle of a matrix, or for some of its
 * columns. */
typedef struct dn_comm_chunk {
    const void *p;
    size_t span, bytes;
} dn_comm_chunk;

static inline dn_comm_chunk dn_comm_chunk_of(const void *p, size_t bytes)
{
    dn_comm_chunk chunk = {p, bytes, bytes};
    return chunk;
}

/** The chunk as member `rank` holds it. Not collective. Payload, if there is any, is counted with the barrier
 * that the data belong to: dn_comm_count_in_place. */
DN_API const void *dn_comm_view(dn_comm *comm, dn_comm_chunk chunk, int rank, dn_traffic kind);

/** Terms of a sum that the owner forms itself: there, views [size] of all members' chunks, by rank; views is
 * not looked at elsewhere. Counted as dn_comm_reduce_to_owners (which also adds), less the writing. */
DN_API void dn_comm_view_to_owner(dn_comm *comm, dn_comm_chunk chunk, int owner, dn_traffic kind,
                                  const void **views);

/** The owner's chunk, for all members. Counted as dn_comm_gather_from_owners (which copies), less the
 * writing. */
DN_API const void *dn_comm_view_from_owner(dn_comm *comm, dn_comm_chunk chunk, int owner, dn_traffic kind);

/** The chunk of member `from`, for member `to` alone; NULL elsewhere. Counted as a message between them; by
 * the two, or by all. */
DN_API const void *dn_comm_view_sent(dn_comm *comm, dn_comm_chunk chunk, int from, int to, dn_traffic kind);

/** Copies the chunk's span as member `rank` holds it, to be kept: by any thread of the reader's process,
 * beside its other calls and behind the same barriers as for a view. Therefore it counts nothing; whoever
 * waits for it does. */
DN_API void dn_comm_fetch(const dn_comm *comm, void *to, dn_comm_chunk chunk, int rank);
/** Counts as a view does: `bytes` of what was fetched from member `rank`. */
DN_API void dn_comm_count_fetched(dn_comm *comm, size_t bytes, int rank, dn_traffic kind);

/** Writes `bytes` to member rank's copy of the symmetric address p; there to be read after the next barrier.
 * Nobody else reads or writes them before it. Not collective; counted as moved, if it is another's. */
DN_API void dn_comm_put(dn_comm *comm, void *p, const void *data, size_t bytes, int rank, dn_traffic kind);

/**
 * Payload and cluster of an exchange whose data stay where they are and are read through dn_comm_view, as if
 * a collective had brought them: `own` bytes are this rank's part of `whole` bytes. `as` is not one that has
 * a root. Not collective.
 */
DN_API void dn_comm_count_in_place(dn_comm *comm, dn_collective as, size_t own, size_t whole,
                                   dn_traffic kind);

/* ---- statistics ---- */

/** What was counted since the last call with reset = true. */
DN_API dn_comm_stats dn_comm_get_stats(dn_comm *comm, bool reset);

/**
 * bytes[d], d < n_domains: moved bytes since the last reset that belong to ranks of NUMA domain d, this
 * rank's own included. Domains are numbered as in dn_place; a worker that spans several counts as domain 0,
 * and so do all ranks without dn_launch.
 */
DN_API void dn_comm_links(const dn_comm *comm, uint64_t *bytes, int n_domains);

/** Heartbeat: sets this rank's step and phase (a string literal, of which 24 bytes are shown) for
 * dn_launch_print and restarts the others' deadlines for it. Cheap. A no-op in a communicator of one rank. Returns DN_ERR_PEER once the run has
 * failed, so that a long computation can stop; the result may be ignored. */
DN_API dn_status dn_comm_tick(dn_comm *comm, uint64_t step, const char *phase);

#ifdef __cplusplus
}
#endif

#endif
