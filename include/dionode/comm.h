/**
 * A group of ranks and its collectives, through shared memory.
 *
 * A symmetric allocation has the same size and offset in every member's arena; dn_comm_view() makes another
 * member's copy readable. Collectives read and write such buffers in place: no message is packed. Buffers
 * anywhere else are private to their process and go through a staging area of the group, in chunks; the group
 * knows which is which, and a buffer must be of the same kind, and symmetric ones at the same offset, on all
 * members.
 *
 * Every wait polls the abort word and a deadline: no call blocks for ever. After a failure every member's
 * call returns DN_ERR_PEER (or DN_ERR_TIMEOUT, to the one whose deadline passed) and the world is dead.
 *
 * Reductions combine in rank order, whoever comes first: results are bitwise the same on every member and in
 * every run. (Where members share NUMA domains, large sums are made within each domain first, and the sums of
 * domains then added in the order of their first members.) NaN propagates through every op. Every collective
 * must be called by all members, in the same order, with equal arguments: members that meet in different
 * calls fail with DN_ERR_ARG, which names both calls. Addresses are multiples of the size of an element;
 * nothing else is asked of them or of counts.
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

/* What the bytes were for. */
typedef enum dn_traffic {
    DN_TRAFFIC_FACTORS,     /* partial P and R of Dion, reduced                              */
    DN_TRAFFIC_BASIS,       /* P, R and Q gathered; whole matrices to owners and back       */
    DN_TRAFFIC_ORTH,        /* small matrices of orthonormalization, in as many rounds as it takes */
    DN_TRAFFIC_GRADIENT,    /* gradients, reduced                                            */
    DN_TRAFFIC_WEIGHTS,     /* weights, gathered: of fs for a pass, of dp after an update    */
    DN_TRAFFIC_ACTIVATIONS, /* of tp, in forward and backward                                */
    DN_TRAFFIC_MOMENTUM,    /* re-averaged momenta                                           */
    DN_TRAFFIC_CONTROL,     /* losses, flags, hashes                                         */
    DN_N_TRAFFIC
} dn_traffic;

/* What kind of exchange, for the statistics. Reducing to owners counts as reduce-scatter, gathering from
 * owners as all-gather, a shared result as all-reduce. */
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
 * Payload = what this rank contributes to the exchange; moved = bytes this rank read plus bytes it wrote to
 * do it; crossed = those of the moved ones that lie with a rank of another NUMA domain. Cluster = bytes this
 * rank would send if the members were machines in a ring: what a network would have carried. P members, S
 * bytes of the whole buffer (of all items, for owners), s of this rank's part of it:
 *
 *                                        payload              cluster
 *     all-reduce                         S                    2 (P-1)/P S
 *     reduce-scatter, to owners          S                    (P-1)/P S
 *     all-gather, from owners            s                    (P-1)/P S
 *     all-to-all                         S                    (P-1)/P S
 *     broadcast                          S on root, else 0    S, but 0 on the member before root, the last
 *     reduce                             S                    S, but 0 on root
 *     send                               S                    S
 *
 * A receive and a barrier count nothing; neither does anything in a group of one.
 */
typedef struct dn_comm_stats {
    uint64_t payload[DN_N_TRAFFIC];
    uint64_t moved[DN_N_TRAFFIC];
    uint64_t crossed[DN_N_TRAFFIC];
    uint64_t by_collective[DN_N_COLLECTIVES]; /* payload again; sends are in none */
    double cluster[DN_N_TRAFFIC];
    double cluster_by_collective[DN_N_COLLECTIVES];
} dn_comm_stats;

/* ---- groups ---- */

/**
 * Makes this process a rank of the group of all. Collective. Which rank of how many says the environment:
 *
 * - started by dn_launch (dionode launch, dionode train): RANK, in the launcher's world, with its deadline;
 * - started by another launcher (torchrun, or Open MPI's mpirun): RANK, WORLD_SIZE and LOCAL_RANK (or what
 *   mpirun calls them). All ranks must be on this node and of this user. They meet through one name in
 *   /dev/shm, which is gone before this returns; from then on each watches the others, as there is no
 *   launcher of ours to do it. Runs that start at the same moment need different MASTER_PORTs, jobs of
 *   mpirun, or parents.
 *   The calling thread, and those it starts from then on, is bound to the place that dionode topo shows for
 *   its LOCAL_RANK, unless it was bound before (its affinity mask is smaller than what the system allows);
 *   start threads, and libraries that do (OpenMP), after joining;
 * - alone, with none of these: a group of one.
 *
 * heap_bytes: the symmetric heap a rank needs (0: all that the launcher gives); touched here, so that later
 * accesses cannot fail. deadline_s (> 0): how long to wait for ranks that do not come, and for one that makes
 * no progress. Equal on all ranks.
 *
 * Under dn_launch, which hears SIGINT, SIGTERM, SIGHUP and SIGUSR1 and passes them on (dn_comm_stop_requested,
 * dn_comm_saves_requested), these do nothing to this process any more, unless it has handlers of its own for them
 * or ignores them.
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

/** The signal that asked the run to save what is done and stop (Ctrl-C, under dn_launch), or 0. Ranks may
 * see it at different moments: agree on it (dn_comm_all_reduce_scalars, DN_MAX) before acting on it. */
DN_API int dn_comm_stop_requested(const dn_comm *comm);

/** How often SIGUSR1 (under dn_launch) has asked the run to save its state and go on. Agree on it, too. */
DN_API uint32_t dn_comm_saves_requested(const dn_comm *comm);

/** Tells the launcher that the state after `step` is saved, for the message of a run that is stopped by
 * force. By one rank; not collective. */
DN_API void dn_comm_report_saved(dn_comm *comm, uint64_t step);

/** A group of one, in ordinary memory: every collective is a no-op that counts nothing. heap_bytes of
 * symmetric heap. */
DN_API dn_status dn_comm_create_alone(size_t heap_bytes, dn_comm **out) DN_MUST_USE;
DN_API void dn_comm_destroy(dn_comm **comm);

/**
 * Collective. Cuts the group into one a color (>= 0), members ordered by (key, rank in parent); with color -1
 * *out is NULL. Each gets a heap of heap_bytes of its own out of the parent's, which shrinks by
 * dn_comm_split_bytes(parent, heap_bytes), on all members alike (dn_comm_heap_release gives it back). Parent
 * and children can be used in turn; symmetric buffers of the parent are symmetric in its children too. The
 * parent outlives its children. Errors: DN_ERR_MEMORY (on all members alike), those of a barrier.
 */
DN_API dn_status dn_comm_split(dn_comm *parent, int color, int key, size_t heap_bytes,
                               dn_comm **out) DN_MUST_USE;
DN_API size_t dn_comm_split_bytes(const dn_comm *parent, size_t heap_bytes);

DN_API int dn_comm_rank(const dn_comm *comm);
DN_API int dn_comm_size(const dn_comm *comm);

/** Symmetric heap: `bytes` in this rank's arena, 128-byte aligned, at the same offset on all members because
 * all call in the same order. Contents are undefined. Never freed alone. Errors: DN_ERR_MEMORY. */
DN_API dn_status dn_comm_alloc(dn_comm *comm, size_t bytes, void **out) DN_MUST_USE;

/** How full the heap is, in bytes: where dn_comm_heap_release may go back to. */
DN_API size_t dn_comm_heap_mark(const dn_comm *comm);
/**
 * Collective. The heap is as full again as when dn_comm_heap_mark returned `mark`: what was allocated since
 * is gone, groups split since are dead and must have been destroyed, exchanges begun on that memory finished.
 * Meets the members, so that nobody uses the old memory any more when somebody uses it anew. Errors:
 * DN_ERR_ARG the heap is not that full, or members come with different marks; those of a barrier.
 */
DN_API dn_status dn_comm_heap_release(dn_comm *comm, size_t mark) DN_MUST_USE;
/** Slice `rank` of `count` elements: as equal as can be, in whole cache lines of the buffer; may be empty. */
DN_API void dn_comm_chunk_bounds(const dn_comm *comm, size_t count, dn_type type, int rank, size_t *first,
                                 size_t *end);

/* ---- collectives ---- */

/** Collective. Everything written before it by any member is visible after it to all. Between buffers on the
 * symmetric heap it also is the all-gather and the broadcast: peers are then read in place. */
DN_API dn_status dn_comm_barrier(dn_comm *comm) DN_MUST_USE;

/** Collective. buffer [count], in place: on return all members' buffers hold the same bits. */
DN_API dn_status dn_comm_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                    dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [count], symmetric: on return *result [count] is the one shared result, to be read in
 * place until the reader's next call on this group; it lies in buffer on one member a NUMA domain, or on one
 * of all. Contents of buffer are undefined. Errors: DN_ERR_ARG buffer is private. */
DN_API dn_status dn_comm_all_reduce_shared(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                           dn_traffic kind, const void **result) DN_MUST_USE;

/** Collective. buffer [count], in place: on return root's holds the reduction, the others' are undefined. */
DN_API dn_status dn_comm_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root,
                                dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [count], in place: on return this rank's slice (dn_comm_chunk_bounds) holds the
 * reduction, the rest is undefined. If buffer is symmetric, peers may read the slice after the next barrier
 * of the group, and must not write to their buffer before it. */
DN_API dn_status dn_comm_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                        dn_traffic kind) DN_MUST_USE;

/** One buffer of a batch: symmetric address, elements, and the member whose it is. All members bring the same
 * list. */
typedef struct dn_owned {
    void *buffer;
    size_t count;
    int owner;
} dn_owned;

/**
 * Collective. Reduces many symmetric buffers, each to its owner, after one barrier: on return the items this
 * rank owns hold op over all members; the others are unchanged. Peers may read a result after the next
 * barrier, and must not write an item before it. Errors: DN_ERR_ARG a private buffer.
 */
DN_API dn_status dn_comm_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                          dn_op op, dn_traffic kind) DN_MUST_USE;

/**
 * Collective. The way back: each owner's copy of its items comes to all members, after one barrier; on return
 * all hold the same bits. Owners must not write an item again before the next barrier. What was reduced to
 * owners just before is gathered right. Errors: DN_ERR_ARG a private buffer.
 */
DN_API dn_status dn_comm_gather_from_owners(dn_comm *comm, const dn_owned *items, size_t n_items,
                                            dn_type type, dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [count]: each member's slice (dn_comm_chunk_bounds) comes to all; on return all hold
 * the same bits. Payload is the own slice. Copies; what may stay where it is needs dn_comm_barrier only. */
DN_API dn_status dn_comm_all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type,
                                    dn_traffic kind) DN_MUST_USE;

/** Collective. Member d's from [size, count] row s comes to to [size, count] row d of member s. Both buffers
 * symmetric or both private; they must not overlap. */
DN_API dn_status dn_comm_all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type,
                                    dn_traffic kind) DN_MUST_USE;

/** Collective. buffer [bytes] of root is copied to all. Payload is the root's alone. */
DN_API dn_status dn_comm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root,
                                   dn_traffic kind) DN_MUST_USE;

/**
 * Collective, in two halves; buffers symmetric. begin tells the others that buffer is ready, and waits for
 * nobody (unless its 32nd predecessor is not done everywhere); from then on buffer is the exchange's until
 * finish, which is a collective too. Several may be under way, begun in the same order by all; other
 * collectives may come between. What overlaps is the waiting for slower members; work of the exchange is done
 * in finish, or in advance, which does what can be done without waiting: call it now and then if others
 * finish earlier. A finished all-reduce, reduce-scatter: as the whole ones (the same bits, the same rules for
 * peers). Errors: DN_ERR_ARG private buffer, or more than 32 under way.
 */
DN_API dn_status dn_comm_begin_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                          dn_traffic kind, uint64_t *exchange) DN_MUST_USE;
DN_API dn_status dn_comm_begin_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type,
                                              dn_op op, dn_traffic kind, uint64_t *exchange) DN_MUST_USE;
DN_API dn_status dn_comm_advance(dn_comm *comm) DN_MUST_USE;
/** Also finishes those begun earlier, as far as they are this rank's work. */
DN_API dn_status dn_comm_finish(dn_comm *comm, uint64_t exchange) DN_MUST_USE;

/**
 * buffer [count] goes to member `to`, which calls dn_comm_receive with as many elements of the same type;
 * between two members, sends arrive in order. On return buffer may change. Waits for the receiver if buffer
 * is symmetric (it is read in place; above 64 bytes) and where the queue is full (8 messages, or 128 KiB of
 * private data): two members that send much to each other must not both send first. Not to oneself.
 */
DN_API dn_status dn_comm_send(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to,
                              dn_traffic kind) DN_MUST_USE;
/** Errors: DN_ERR_ARG if other elements were sent; DN_ERR_PEER if what came is damaged. */
DN_API dn_status dn_comm_receive(dn_comm *comm, void *buffer, size_t count, dn_type type, int from,
                                 dn_traffic kind) DN_MUST_USE;

/** An all-reduce of a few numbers, counted as control: up to 12 ride beside the flag of one barrier. */
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
 * - a view is read until the reader's next barrier in this group, and the owner writes the chunk only after
 * it;
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

/* ---- accounts ---- */

/** Bytes since the last call with reset = true. */
DN_API dn_comm_stats dn_comm_get_stats(dn_comm *comm, bool reset);

/**
 * bytes[d] = those of the moved bytes since the statistics was last reset that lie with members of NUMA
 * domain d (this rank's own included), for d < n_domains. Domains are numbered as in dn_place, and a worker
 * that spans several counts as one of domain 0; without a launcher of ours all are in domain 0.
 */
DN_API void dn_comm_links(const dn_comm *comm, uint64_t *bytes, int n_domains);

/** Progress of this rank for the state table and its peers' deadlines (dn_world_tick); no-op for a group of
 * one. Returns DN_ERR_PEER once the run has failed: a loop that computes for long without a call that waits may
 * leave then, as its results are in vain; the result may be ignored, too. */
DN_API dn_status dn_comm_tick(dn_comm *comm, uint64_t step, const char *phase);

#ifdef __cplusplus
}
#endif

#endif
