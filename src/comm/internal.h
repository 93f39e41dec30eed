/* Internals of a communicator, for the files of this room. */
#ifndef COMM_INTERNAL_H
#define COMM_INTERNAL_H

#include "base/arena.h"
#include "comm/link.h"
#include "comm/ops.h"
#include "comm/proxy.h"
#include "comm/wire.h"
#include "comm/world.h"
#include "device/device.h"
#include "launch/peer_monitor.h"
#include "shm/barrier.h"
#include "shm/ring.h"

/*
 * The scratch of one member of a communicator:
 *
 *     | stage 0 | stage 1 | stage 2 | bounce buffers | parcels | barrier lines | exchanges | proxy | node lines | ring from 0 | ...
 *
 * Stages are used in rotation, by the number of the barrier before which they are filled. Peers read stage k
 * after barrier k and until they enter barrier k + 2; then its owner may refill it. Parcels are used as barrier lines
 * are (barrier.h), for what is too long for these.
 */
#define DN_STAGE_BYTES  ((size_t)128 << 10)
#define DN_N_STAGES     3
#define DN_BOUNCE_BYTES ((size_t)8 << 10) /* bounce buffers of messages that are copied */
#define DN_N_BOUNCES    16
#define DN_BOUNCES_AT   (DN_N_STAGES * DN_STAGE_BYTES)
#define DN_PARCEL_BYTES ((size_t)1 << 10)
#define DN_PARCELS_AT   (DN_BOUNCES_AT + DN_N_BOUNCES * DN_BOUNCE_BYTES)
#define DN_LINES_AT     (DN_PARCELS_AT + DN_N_LINES * DN_PARCEL_BYTES)
#define DN_EXCHANGES_AT (DN_LINES_AT + DN_N_LINES * sizeof(dn_line))
#define DN_PROXY_AT     (DN_EXCHANGES_AT + ((size_t)2 << 10)) /* of the world's */
#define DN_RINGS_AT     DN_SCRATCH_BYTES
#define DN_NODE_LINES_AT (DN_RINGS_AT - DN_N_LINES * sizeof(dn_line)) /* of the barrier of a node's members */

/* Members by NUMA domain. Domains are numbered by their first member. */
typedef struct dn_domains {
    int n;
    int16_t of[DN_MAX_RANKS];        /* member -> domain */
    int16_t members[DN_MAX_RANKS];   /* domain by domain, ascending in each */
    int16_t first[DN_MAX_RANKS + 1]; /* domain -> where its members start */
} dn_domains;

#define DN_IN_FLIGHT_MAX 32 /* exchanges that are begun and not finished */

/* The reader of a bounce buffer, which may be refilled once the message is popped from the ring. */
typedef struct dn_bounce {
    dn_ring_end *ring; /* NULL: none */
    uint64_t number;
} dn_bounce;

/* One collective on one buffer. */
typedef struct dn_job {
    char *buffer;
    size_t count;
    dn_type type;
    dn_op op;
    dn_traffic kind;
    int root;
    size_t bytes;
    const dn_owned *items; /* [n_items] borrowed, of a batch; else NULL */
    size_t n_items;
    bool keeps;   /* no copy changes before it is finished */
    dn_call call; /* its description, compared by the members */
} dn_job;

/* An emulated link, in seconds of dn_clock_s. */
typedef struct dn_link_clock {
    dn_link link;
    double begun; /* when the next exchange counts as begun; 0: when it is called */
    double free;  /* when it has sent the bytes of all that began */
    double done;  /* when what began last is done */
    double done_at[DN_IN_FLIGHT_MAX]; /* ... of exchanges in flight */
    double slept_s;
    double called;    /* when the exchange that is waited for was called; 0: nobody waits */
    double awaited_s; /* for exchanges, without slept_s */
} dn_link_clock;

/* A sum over nodes that is under way (nodes.c). Its moves begin as there is room for them, in the order in which others expect them:
 * who waited for room in dn_comm_advance might be waited for in a barrier. */
typedef struct dn_span_sum {
    dn_moves moves;
    int n_called;                /* calls: moves with nodes [0, n_called) have begun, */
    size_t n_moved;              /* items of a batch: of [0, n_moved), */
    int node;                    /* and of the next one, or of the own chunk, with nodes [0, node) */
    bool back;                   /* the own piece is summed, and results are on their way */
    dn_call calls[DN_MAX_RANKS]; /* of the twins on other nodes, by node, if it was begun */
} dn_span_sum;

#define DN_MOVING_MAX 4 /* exchanges of a communicator that are between nodes at a time */

/* How the members of a communicator are spread over nodes (nodes.c). Nodes are numbered as domains are. */
typedef struct dn_span {
    dn_domains nodes;
    int16_t index[DN_MAX_RANKS]; /* of a member on its node */
    dn_barrier local;            /* of the members on this node */
    int number;                  /* of what is moved between its members (wire.h) */
    int n_rails;                 /* members on the smallest node */
    dn_span_sum begun[DN_MOVING_MAX]; /* of exchange i: i % DN_MOVING_MAX */
    dn_moves ahead;                   /* what is sent ahead of its use */
} dn_span;

struct dn_comm {
    dn_world *world;        /* borrowed unless joined; NULL for a communicator of one without a world */
    bool joined;            /* by dn_comm_join; ends with dn_comm_leave */
    bool split;             /* from a parent */
    dn_peer_monitor *peers; /* owned; NULL under Dionode's launcher, which monitors the workers */
    dn_wire *wire;          /* borrowed; NULL: the run is on one node */
    dn_span *span;          /* owned; NULL: all members are on one node */
    dn_proxy *proxy;        /* the world's; NULL: devices reach what members hold */
    int rank;
    int size;
    void *own_heap;     /* freed with the communicator; NULL if the heap is in the world */
    dn_arena heap;      /* for dn_comm_alloc */
    char *arena;        /* this rank's symmetric memory */
    size_t arena_bytes; /* of it, and between arenas of neighbouring ranks */
    dn_barrier barrier; /* unused in a communicator of one */
    dn_domains domains;
    size_t small_bytes;     /* up to this size an all-reduce uses the stages: one barrier instead of two */
    const dn_comm_ops *ops; /* borrowed */
    dn_stream *stream;      /* for copies and folds; the parent's if split */
    dn_comm_stats stats;
    bool viewing; /* a view is being counted, */
    bool counts_part; /* or a part of an exchange that others follow: it has no hops */
    uint64_t batched_at[DN_N_COLLECTIVES + 1][DN_N_TRAFFIC]; /* barrier before the last view of a kind, plus 1 */
    dn_link_clock link;
    uint64_t links[DN_MAX_RANKS]; /* bytes moved, by domain of the communicator */
    char *scratch[DN_MAX_RANKS];  /* of each member */
    dn_bounce bounces[DN_N_BOUNCES];
    uint64_t n_bounced;          /* bounce buffers sent */
    uint64_t n_begun, n_started, n_reduced; /* exchanges */
    dn_job in_flight[DN_IN_FLIGHT_MAX];
    void *begun[DN_IN_FLIGHT_MAX]; /* shadows.c: their buffers on the device */
    dn_owned *shadows;             /* shadows.c: the last list of items, of at most n_shadows; owned */
    size_t n_shadows;
    dn_ring_end producers[DN_MAX_RANKS], consumers[DN_MAX_RANKS]; /* opened when first used */
};

/** Fails the world with this rank's error, whose message is that of the calling thread. */
void dn_comm_publish(dn_world *world, int rank, dn_status status);

/** A job and its call. root -1: none. */
dn_job dn_job_of(const dn_comm *comm, dn_purpose purpose, const void *buffer, size_t count, dn_type type,
                 dn_op op, dn_traffic kind, int root);

/** A batch as one job. Errors: DN_ERR_ARG a private buffer. */
dn_status dn_job_of_items(const dn_comm *comm, dn_purpose purpose, const dn_owned *items, size_t n_items,
                          dn_type type, dn_op op, dn_traffic kind, dn_job *job) DN_MUST_USE;

/** Collective. The barrier of the job's next phase. */
dn_status dn_job_barrier(dn_comm *comm, dn_job *job) DN_MUST_USE;

static inline bool dn_job_private(const dn_job *job)
{
    return job->call.place == DN_PLACE_PRIVATE;
}

/** Exchange `number`, over several nodes: starts it once all members of this node have begun it; goes on, and waits if `waits`,
 * until all that comes from other nodes is here (*here); then ends it, so that this rank's part is done. */
dn_status dn_span_start(dn_comm *comm, const dn_job *job, uint64_t number) DN_MUST_USE;
/** After it: begins moves of the exchange that had no room then. *all: none is left, and the next exchange may be started. */
dn_status dn_span_begin_rest(dn_comm *comm, const dn_job *job, uint64_t number, bool *all) DN_MUST_USE;
dn_status dn_span_go_on(dn_comm *comm, const dn_job *job, uint64_t number, bool waits, bool *here) DN_MUST_USE;
dn_status dn_span_end(dn_comm *comm, const dn_job *job) DN_MUST_USE;

/** Whether it may be begun now and finished later, on one node and on several. Errors: DN_ERR_ARG. */
dn_status dn_job_check_begun(const dn_job *job) DN_MUST_USE;

/** Chunk `index` of n_chunks: as dn_comm_chunk_bounds, for any number of chunks. */
void dn_chunk_bounds(size_t count, dn_type type, int n_chunks, int index, size_t *first, size_t *end);

/** Numbers domains, or nodes, of n members by the first of each: of[member] is any number. */
void dn_domains_number(dn_domains *domains, const int16_t *of, int n);
/** Numbers the domains of the members. */
void dn_domains_find(dn_comm *comm);

/** Reads this rank's exchange counters, which an earlier communicator may have advanced. */
void dn_exchanges_init(dn_comm *comm);

/* ---- statistics (stats.c) ---- */

/** The entry `count` of every table (ops.h). */
void dn_comm_count_call(dn_comm *comm, dn_collective as, dn_traffic kind, size_t own, size_t whole, int root);
/** viewing: the receiver reads it in place. */
void dn_comm_count_send(dn_comm *comm, dn_traffic kind, size_t bytes, bool viewing);
/** As dn_comm_count_in_place, but one of several views that are one exchange, until the next barrier. */
void dn_comm_count_viewed(dn_comm *comm, dn_collective as, size_t own, size_t whole, dn_traffic kind);
/** Counts bytes read from or written to `member`'s memory. */
void dn_comm_count_moved(dn_comm *comm, dn_traffic kind, int member, size_t bytes);

/* ---- emulated links (link.c) ---- */

/** An exchange that begins: the communicator's link, if it has one, will have carried it at link.done. */
void dn_link_carry(dn_comm *comm, dn_traffic kind, uint64_t hops, double bytes);
/** Sleeps until the exchange that began last is done. */
void dn_link_wait(dn_comm *comm);
/** status, after dn_link_wait if it is DN_OK. */
dn_status dn_link_end(dn_comm *comm, dn_status status) DN_MUST_USE;

/* ---- the table of the shared-memory transport; entries as in dionode/comm.h ---- */

dn_status dn_shm_barrier(dn_comm *comm) DN_MUST_USE;
dn_status dn_shm_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                            dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_all_reduce_shared(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                   dn_traffic kind, const void **result) DN_MUST_USE;
dn_status dn_shm_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, int root,
                        dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                  dn_op op, dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_gather_from_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                    dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_all_gather(dn_comm *comm, void *buffer, size_t count, dn_type type,
                            dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_all_to_all(dn_comm *comm, const void *from, void *to, size_t count, dn_type type,
                            dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_broadcast(dn_comm *comm, void *buffer, size_t bytes, int root, dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_begin_all_reduce(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                  dn_traffic kind, uint64_t *exchange) DN_MUST_USE;
dn_status dn_shm_begin_reduce_scatter(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op,
                                      dn_traffic kind, uint64_t *exchange) DN_MUST_USE;
dn_status dn_shm_begin_reduce_to_owners(dn_comm *comm, const dn_owned *items, size_t n_items, dn_type type,
                                        dn_op op, dn_traffic kind, unsigned flags, uint64_t *exchange) DN_MUST_USE;
dn_status dn_shm_advance(dn_comm *comm) DN_MUST_USE;
dn_status dn_shm_finish(dn_comm *comm, uint64_t exchange) DN_MUST_USE;
dn_status dn_shm_send(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to,
                      dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_post(dn_comm *comm, const void *buffer, size_t count, dn_type type, int to,
                      dn_traffic kind) DN_MUST_USE;
dn_status dn_shm_posted(dn_comm *comm, int to) DN_MUST_USE;
dn_status dn_shm_receive(dn_comm *comm, void *buffer, size_t count, dn_type type, int from,
                         dn_traffic kind) DN_MUST_USE;
const void *dn_shm_view(dn_comm *comm, const void *p, size_t span, int rank);
void dn_shm_fetch(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank);
void dn_shm_put(dn_comm *comm, void *p, const void *data, size_t bytes, int rank);

/* ---- stages ---- */

/** The stage of `member` that is filled before the barrier `ahead` barriers from now (1: the next one, 0: the
 * last one, -1: the one before). */
static inline char *dn_stage(const dn_comm *comm, int member, int ahead)
{
    uint64_t number = comm->barrier.n_met + DN_N_STAGES + (uint64_t)(int64_t)ahead;
    return comm->scratch[member] + number % DN_N_STAGES * DN_STAGE_BYTES;
}

/** The parcel of `member` in the call `ahead` calls from now: 1 or 0. */
static inline char *dn_parcel(const dn_comm *comm, int member, int ahead)
{
    uint64_t sequence = comm->barrier.sequence + (uint64_t)ahead;
    return comm->scratch[member] + DN_PARCELS_AT + sequence % DN_N_LINES * DN_PARCEL_BYTES;
}

/* Collectives through the stages: for private buffers of any size, and small symmetric ones. */
dn_status dn_staged_all_reduce(dn_comm *comm, dn_job *job) DN_MUST_USE; /* root >= 0: result on root only */
dn_status dn_staged_reduce_scatter(dn_comm *comm, dn_job *job) DN_MUST_USE;
dn_status dn_staged_all_gather(dn_comm *comm, dn_job *job) DN_MUST_USE;
dn_status dn_staged_all_to_all(dn_comm *comm, dn_job *job, char *to) DN_MUST_USE;
dn_status dn_staged_broadcast(dn_comm *comm, dn_job *job) DN_MUST_USE;

/* ---- copies and folds: a range read from several members and written to several ---- */

/** Copies within or between host and device memory, and waits for completion. */
dn_status dn_comm_copy(const dn_comm *comm, void *to, const void *from, size_t bytes) DN_MUST_USE;

/* A fold of a job, which counts the bytes moved. */
typedef struct dn_job_fold {
    dn_comm *comm;
    const dn_job *job;
    dn_fold work;
} dn_job_fold;

/** A fold without sources and targets yet, of n elements. */
void dn_fold_init(dn_job_fold *fold, dn_comm *comm, const dn_job *job, size_t n);
/** Adds a source or target in `member`'s memory, and counts its bytes as moved. */
void dn_fold_from(dn_job_fold *fold, int member, const char *source);
void dn_fold_to(dn_job_fold *fold, int member, char *target);
/** Runs the fold and waits for it. A target may be one of the sources. */
dn_status dn_fold_run(const dn_job_fold *fold) DN_MUST_USE;

/** Reduces this rank's chunk of a symmetric buffer into member `target`'s copy; into all copies if -1. */
dn_status dn_reduce_chunk(dn_comm *comm, const dn_job *job, int target) DN_MUST_USE;
/** Reduces the items of a batch that are this rank's, in place. */
dn_status dn_reduce_items(dn_comm *comm, const dn_job *job) DN_MUST_USE;

/* ---- hierarchy (hierarchy.c) ---- */

/** Whether the job is faster if reduced within NUMA domains first. */
bool dn_hierarchy_pays(const dn_comm *comm, const dn_job *job);
/** As their names without _hierarchy; if shared, the result is in the memory of dn_hierarchy_leader. */
dn_status dn_hierarchy_reduce_scatter(dn_comm *comm, dn_job *job) DN_MUST_USE;
dn_status dn_hierarchy_all_reduce(dn_comm *comm, dn_job *job, bool shared) DN_MUST_USE;
int dn_hierarchy_leader(const dn_comm *comm, int member);

#endif
