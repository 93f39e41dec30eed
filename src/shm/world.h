/*
 * The world of one run: a shared-memory segment with a control page, and scratch and an arena for each rank,
 * mapped at the same address in every process:
 *
 *     base |  control  | scratch of rank 0 | of rank 1 | ... | arena of rank 0 | arena of rank 1 | ... |
 *
 * Arenas are arena_bytes each, in whole huge pages of 2 MiB. Scratch is what collectives need besides their
 * callers' buffers.
 *
 * The launcher creates the segment (shm_open, unlinked at once, so that nothing can leak; a memfd, with a
 * line in the log, if /dev/shm is too small), keeps the descriptor, and lets workers inherit it through exec.
 * Each worker attaches and populates its own arena, so that its pages are on its own NUMA domain. Ranks can
 * also be threads of one process (in tests): one world, one mapping, the same code.
 *
 * One writer per field: a rank writes its slot, anyone reads it; the abort word is claimed by
 * compare-and-swap.
 */
#ifndef SHM_WORLD_H
#define SHM_WORLD_H

#include "dionode/status.h"
#include "dionode/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define DN_MESSAGE_MAX 512

typedef struct dn_world dn_world;

/** Creates the segment for n_ranks arenas of arena_bytes. Checks available memory first (MemAvailable, limits
 * of control groups): the message of DN_ERR_MEMORY names what is needed, what is available, and what to
 * reduce. Initializes the control page; arenas stay untouched. n_usable_pus sets the pause budget of waits
 * (fewer than ranks: yield at once). deadline_s: how long a wait may see no progress of the rank it waits
 * for. The caller owns *out. */
dn_status dn_world_create(int n_ranks, size_t arena_bytes, int n_usable_pus, double deadline_s,
                          dn_world **out) DN_MUST_USE;

/** As dn_world_create, on one node of several: n_here of the n_ranks ranks are this node's and need memory. */
dn_status dn_world_create_part(int n_ranks, int n_here, size_t arena_bytes, int n_usable_pus, double deadline_s,
                               dn_world **out) DN_MUST_USE;

/** text [bytes] = the environment entry "DIONODE_WORLD=fd:address:bytes" with which an executed child
 * attaches. Makes the descriptor inheritable. */
void dn_world_export(dn_world *world, char *text, size_t bytes);

/** In an executed worker: attaches to the inherited world as `rank`, and counts as progress. Errors:
 * DN_ERR_SYSTEM (not a worker, address range in use). dn_world_inherited(): whether this process was started
 * as a worker. */
bool dn_world_inherited(void);
dn_status dn_world_attach(int rank, dn_world **out) DN_MUST_USE;

/* Arguments of dn_world_rendezvous; all but rank, host and domain are equal on all ranks. */
typedef struct dn_rendezvous {
    const char *id; /* letters and digits, unique among the runs that this user is starting at the time */
    bool host;      /* the rank that creates the world: exactly one */
    int rank, n_ranks;
    int n_here; /* of n_ranks, those of this node, which meet here; 0: all */
    int domain; /* NUMA domain, as dn_world_set_domain */
    size_t arena_bytes;
    int n_usable_pus; /* as dn_world_create */
    double deadline_s;
} dn_rendezvous;

/**
 * Creates the world without Dionode's launcher, together with the other processes that call this, one per
 * rank. Collective.
 *
 * The processes find each other through a file in /dev/shm named by user, id and random digits, which is gone
 * on return. Files of other users under such names are ignored. The file holds only the location of the
 * segment, /proc/PID/fd/N of the host, from which the others open it: so the segment is created as by
 * dn_world_create, and may be anonymous where /dev/shm is small. (A socket could pass the descriptor, too,
 * but the host would have to serve every process, and the same user may open it anyway.) A file left by a run
 * that died during its start is recognized by its lock, which died with the run, and removed by the host of the next,
 * whichever id that has.
 *
 * Errors: DN_ERR_TIMEOUT, naming the ranks that did not arrive within the deadline; DN_ERR_CONFIG if the
 * processes disagree on the number of ranks, or two claim the same rank; DN_ERR_MEMORY as dn_world_create;
 * DN_ERR_SYSTEM; DN_ERR_PEER.
 */
dn_status dn_world_rendezvous(const dn_rendezvous *call, dn_world **out) DN_MUST_USE;

/** A read-only snapshot of the world of another process (launcher or worker): only dn_world_print,
 * dn_world_failure and the getters of sizes, pids and steps may be called on it, and dn_world_destroy.
 * Errors: DN_ERR_ARG (no such process, or it has no world), DN_ERR_SYSTEM (no permission). */
dn_status dn_world_attach_pid(int pid, dn_world **out) DN_MUST_USE;

/** Touches every page of the calling rank's scratch and of the first arena_bytes of its arena
 * (MADV_POPULATE_WRITE), so that neither faults later. Errors: DN_ERR_MEMORY, never SIGBUS; DN_ERR_PEER. */
dn_status dn_world_populate(dn_world *world, int rank, size_t arena_bytes) DN_MUST_USE;

/** Unmaps (and closes, for the creator). NULL is a no-op; sets *world to NULL. */
void dn_world_destroy(dn_world **world);

int dn_world_size(const dn_world *world);
size_t dn_world_arena_bytes(const dn_world *world);
/** Start of a rank's arena; the same address in every process. */
void *dn_world_arena(const dn_world *world, int rank);

/** A rank's scratch, initially zero, and its size: DN_SCRATCH_BYTES plus DN_SCRATCH_BYTES_PER_PEER per rank.
 */
#define DN_SCRATCH_BYTES          ((size_t)544 << 10)
#define DN_SCRATCH_BYTES_PER_PEER ((size_t)4224)
void *dn_world_scratch(const dn_world *world, int rank);
size_t dn_world_scratch_bytes(const dn_world *world);
/** Whether [p, p + bytes) lies in this rank's arena or scratch; p may be any address, it is not read. */
bool dn_world_owns(const dn_world *world, int rank, const void *p, size_t bytes);

/** The NUMA domain of a rank, as an arbitrary number >= 0; initially 0 for all. Set by the creator of the
 * world, before communicators exist; may also be that of a synthetic machine. */
void dn_world_set_domain(dn_world *world, int rank, int domain);
int dn_world_domain(const dn_world *world, int rank);
/** The node of a rank: 0 unless the run spans several. Segments of several nodes have one layout: a rank's slot, scratch and
 * arena are at the same offset in each, and on nodes that are not the rank's own they are copies of what was fetched or
 * told. Set as domains are. */
void dn_world_set_node(dn_world *world, int rank, int node);
int dn_world_node(const dn_world *world, int rank);
int dn_world_n_nodes(const dn_world *world);

/** What this process does whenever it waits, and in every tick: brings in what other nodes have sent, and answers them. NULL
 * (at first): nothing. Not shared with other processes. */
void dn_world_on_wait(dn_world *world, void (*poll)(void *context), void *context);

/** Where an address in the segment lies, from its beginning: the same on all nodes; and back. */
uint64_t dn_world_offset(const dn_world *world, const void *p);
void *dn_world_at(const dn_world *world, uint64_t offset);
/** Whether [offset, offset + bytes) lies in the segment. */
bool dn_world_has(const dn_world *world, uint64_t offset, uint64_t bytes);

/* What another node knows of a rank: its row of the state table. */
typedef struct dn_rank_state {
    uint64_t progress, step, phase[3], waiting_at, waiting_want, waiting_since_ns;
    int32_t waiting_for, pid, left;
} dn_rank_state;
dn_rank_state dn_world_state(const dn_world *world, int rank);
void dn_world_set_state(dn_world *world, int rank, const dn_rank_state *state);

/** What the world was created with. */
double dn_world_deadline_s(const dn_world *world);

/** Whether ranks outnumber the PUs they may use, so that spinning would take time from other ranks. */
bool dn_world_crowded(const dn_world *world);

/* ---- failure: the first one is kept, and all ranks learn of it ---- */

typedef struct dn_failure {
    dn_status status; /* DN_OK: nothing failed */
    int rank;         /* that failed first (for a timeout: that did not answer); -1: unknown */
    int signal;       /* the signal that killed it, or 0 */
    uint64_t step;    /* the step it was in (dn_world_tick) */
    char message[DN_MESSAGE_MAX];
} dn_failure;

/** Fails the world: records `failure`, unless another came first, and wakes all sleepers. From then on every
 * wait of every rank returns DN_ERR_PEER. Thread-safe, not async-signal-safe. Returns whether this failure
 * was the first. */
bool dn_world_abort(dn_world *world, const dn_failure *failure);
/** A copy of the first failure. A corrupted record is returned as DN_ERR_PEER of rank -1. */
dn_failure dn_world_failure(const dn_world *world);

/** Whether the world has failed, for the cost of a load. */
bool dn_world_failed(const dn_world *world);
/** DN_ERR_PEER with the message if the world has failed; otherwise DN_OK, for the cost of a load. */
dn_status dn_world_check(const dn_world *world);

/** Pid of the process that created the world: the launcher, if it has one. */
int dn_world_launcher(const dn_world *world);

/** Asks all ranks to save a checkpoint and stop; workers poll dn_world_stop_requested (the signal, 0: none).
 */
void dn_world_request_stop(dn_world *world, int signal);
int dn_world_stop_requested(const dn_world *world);

/** Asks all ranks to save a checkpoint and continue; workers poll dn_world_saves_requested (the number of
 * requests). */
void dn_world_request_save(dn_world *world);
uint32_t dn_world_saves_requested(const dn_world *world);

/** Records that the state after `step` is saved. Called by one rank. */
void dn_world_report_saved(dn_world *world, uint64_t step);
/** Returns false if nothing was saved yet. */
bool dn_world_saved(const dn_world *world, uint64_t *step);

/* ---- the state table: one row per rank ---- */

/** Sets this rank's step and phase ("forward", "barrier", ...; a string literal) and counts as progress:
 * peers' deadlines for this rank restart. Cheap (a few stores); call it at least once per layer, and while
 * writing files. */
void dn_world_tick(dn_world *world, int rank, uint64_t step, const char *phase);
/** The same for another phase of the same step. */
void dn_world_enter(dn_world *world, int rank, const char *phase);
/** Counts as progress in the same step and phase. */
void dn_world_touch(dn_world *world, int rank);
void dn_world_set_pid(dn_world *world, int rank, int pid);
int dn_world_pid(const dn_world *world, int rank); /* 0: unknown */
/** Records that this rank has finished, so that its exit is no failure; for worlds without a launcher. */
void dn_world_leave(dn_world *world, int rank);
bool dn_world_has_left(const dn_world *world, int rank);
/** The step of a rank's last tick, and a number that grows with its progress (ticks and barriers of the
 * world); for the launcher. */
uint64_t dn_world_step(const dn_world *world, int rank);
uint64_t dn_world_progress(const dn_world *world, int rank);
/** Prints the state table: rank, pid, step, phase, barriers, which rank it waits for and for how long. */
void dn_world_print(const dn_world *world, FILE *out);

#endif
