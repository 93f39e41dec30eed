/*
 * The shared-memory world of one run: one segment, in it a control page and an arena a rank, at the same
 * address in every process. Who made it, who attaches, what is where:
 *
 *     base |  control  | scratch of rank 0 | of rank 1 | ... | arena of rank 0 | arena of rank 1 | ... |
 *
 * Arenas are arena_bytes each, in whole huge pages of 2 MiB. Scratch is for the room above: what exchanges
 * need beside the buffers of their callers.
 *
 * The launcher creates (shm_open, unlinked at once, so nothing can leak; a memfd where /dev/shm is too small,
 * said in the log), keeps the descriptor and lets workers inherit it through exec. Each worker attaches and
 * populates its own arena, so its pages come from its own NUMA domain. Ranks may also be threads of one
 * process (tests): one world, one mapping, the same code.
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

/** Creates the segment for n_ranks arenas of arena_bytes. Checks room first (MemAvailable, limits of
 * control groups): DN_ERR_MEMORY says what is needed, what there is, and what to make smaller. The
 * mapping carries the control page; arenas stay untouched. n_usable_pus sets the pause budget of waits (fewer
 * than ranks: yield at once). deadline_s: how long a wait may see no progress of the rank it waits for. Owned
 * by the caller. */
dn_status dn_world_create(int n_ranks, size_t arena_bytes, int n_usable_pus, double deadline_s,
                          dn_world **out) DN_MUST_USE;

/** Environment entries ("DIONODE_WORLD=fd:address:bytes") with which an executed child attaches; the
 * descriptor is made inheritable. text is filled with one NAME=value string. */
void dn_world_export(dn_world *world, char *text, size_t bytes);

/** In an executed worker: attaches to the inherited world as `rank`, its first sign of life. Errors: DN_ERR_SYSTEM (not a worker,
 * address taken). dn_world_inherited() says whether this process was started as a worker at all. */
bool dn_world_inherited(void);
dn_status dn_world_attach(int rank, dn_world **out) DN_MUST_USE;

/* What a rank brings to dn_world_rendezvous; rank, host and domain are its own, the rest is equal on all. */
typedef struct dn_rendezvous {
    const char *id; /* a word of letters and digits that no other run of this user starts with just now */
    bool host;      /* the rank that creates the world: exactly one */
    int rank, n_ranks;
    int domain; /* NUMA domain, as dn_world_set_domain */
    size_t arena_bytes;
    int n_usable_pus; /* as dn_world_create */
    double deadline_s;
} dn_rendezvous;

/**
 * Without a launcher of ours: makes the world together with the other processes that call this, one a rank.
 * Collective.
 *
 * They meet through a name in /dev/shm made of user, id and random digits, which is gone when this returns.
 * Files under such names that are another user's are passed over: they neither mislead nor block. Under it
 * lies only where the segment is: /proc/PID/fd/N of the host, from where the others open it, so that it is
 * made as dn_world_create makes it and may be anonymous where /dev/shm is small. (A socket could pass the
 * descriptor too, but the host would have to serve it to everybody, and the same user may open it anyway.)
 * What a run that died in its start has left under the name is told by its lock, which died with it, and
 * taken away.
 *
 * Errors: DN_ERR_TIMEOUT, naming the ranks that did not come within the deadline; DN_ERR_CONFIG, where the
 * processes do not agree on the number of ranks or two claim the same; DN_ERR_MEMORY, as dn_world_create;
 * DN_ERR_SYSTEM; DN_ERR_PEER.
 */
dn_status dn_world_rendezvous(const dn_rendezvous *meeting, dn_world **out) DN_MUST_USE;

/** The world of another process, the launcher's or a worker's, to read: of what takes a world only
 * dn_world_print, dn_world_failure and what asks for sizes, pids and steps may be called on it. Ends with
 * dn_world_destroy. Errors: DN_ERR_ARG (no such process, or it has no world), DN_ERR_SYSTEM (no permission).
 */
dn_status dn_world_attach_pid(int pid, dn_world **out) DN_MUST_USE;

/** Touches every page of the calling rank's scratch and of the first arena_bytes of its arena
 * (MADV_POPULATE_WRITE): neither can fault then. Errors: DN_ERR_MEMORY, never SIGBUS; DN_ERR_PEER. */
dn_status dn_world_populate(dn_world *world, int rank, size_t arena_bytes) DN_MUST_USE;

/** Unmaps (and closes, for the creator). NULL is a no-op; sets *world to NULL. */
void dn_world_destroy(dn_world **world);

int dn_world_size(const dn_world *world);
size_t dn_world_arena_bytes(const dn_world *world);
/** Start of a rank's arena; the same address in every process. */
void *dn_world_arena(const dn_world *world, int rank);

/** A rank's scratch, zero at first, and its size: DN_SCRATCH_BYTES and DN_SCRATCH_BYTES_PER_PEER a rank. */
#define DN_SCRATCH_BYTES          ((size_t)528 << 10)
#define DN_SCRATCH_BYTES_PER_PEER ((size_t)1280)
void *dn_world_scratch(const dn_world *world, int rank);
size_t dn_world_scratch_bytes(const dn_world *world);
/** Whether [p, p + bytes) lies in this rank's arena or scratch. Any numbers will do: nothing is read there.
 */
bool dn_world_owns(const dn_world *world, int rank, const void *p, size_t bytes);

/** NUMA domains, as numbers >= 0 that only have to differ: 0 for all until told. To be told before there are
 * groups, by whoever creates the world; synthetic machines are told like real ones. */
void dn_world_set_domain(dn_world *world, int rank, int domain);
int dn_world_domain(const dn_world *world, int rank);
/** Whether ranks outnumber the processors they may use, so that waiting costs the others their turn. */
bool dn_world_crowded(const dn_world *world);

/* ---- failure: first one wins, everybody hears ---- */

typedef struct dn_failure {
    dn_status status; /* DN_OK: nothing failed */
    int rank;         /* who failed first (for a timeout: who did not answer); -1: it is not known who */
    int signal;       /* the signal that killed it, or 0 */
    uint64_t step;    /* the step it was in, as dn_world_tick told */
    char message[DN_MESSAGE_MAX];
} dn_failure;

/** Claims the abort word for `failure` (the first claim stands), then wakes every sleeper. From then on every
 * wait of every rank returns DN_ERR_PEER. Async-signal-safe: no; thread-safe: yes. Returns whether this was
 * the first. */
bool dn_world_abort(dn_world *world, const dn_failure *failure);
/** A copy of the first failure. Whatever else than a failure lies there is told as one of nobody (rank -1),
 * DN_ERR_PEER. */
dn_failure dn_world_failure(const dn_world *world);

/** DN_ERR_PEER with the message once the world has failed; a load otherwise. */
dn_status dn_world_check(const dn_world *world);

/** Ctrl-C: asks all ranks to save what is done and stop; workers poll dn_world_stop_requested (value of
 * signal). */
void dn_world_request_stop(dn_world *world, int signal);
int dn_world_stop_requested(const dn_world *world);

/** Asks all ranks to save and go on; workers poll dn_world_saves_requested (how often it was asked for). */
void dn_world_request_save(dn_world *world);
uint32_t dn_world_saves_requested(const dn_world *world);

/** Tells what would be left if the run ended now: the state after `step` is saved. One rank tells. */
void dn_world_report_saved(dn_world *world, uint64_t step);
/** Returns whether it was told. */
bool dn_world_saved(const dn_world *world, uint64_t *step);

/* ---- who is where: each rank's row of the state table ---- */

/** Sets this rank's step and phase ("forward", "barrier", ...; a string literal) and counts as progress:
 * peers' deadlines for this rank start anew. Cheap (a few stores); call it at least once a layer and while
 * writing files. */
void dn_world_tick(dn_world *world, int rank, uint64_t step, const char *phase);
void dn_world_set_pid(dn_world *world, int rank, int pid);
int dn_world_pid(const dn_world *world, int rank); /* 0: unknown */
/** Says that this rank is done, so that its end is no failure; for worlds without a launcher. */
void dn_world_leave(dn_world *world, int rank);
bool dn_world_has_left(const dn_world *world, int rank);
/** The step of a rank's last tick, and a number that grows with all it does (ticks and barriers of
 * everybody): the launcher's view of a row. */
uint64_t dn_world_step(const dn_world *world, int rank);
uint64_t dn_world_progress(const dn_world *world, int rank);
/** The table for people: rank, pid, step, phase, barrier sequence, waiting for whom, since when. */
void dn_world_print(const dn_world *world, FILE *out);

#endif
