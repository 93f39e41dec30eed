/*
 * Layout of the control page in shared memory, and a process's handle of the world. Private to this room.
 *
 *     0 | header, constant after creation | 128 | failure | ... | slot of rank 0 | slot of rank 1 | ...
 *
 * Fixed-width types, no pointers; what different ranks write lies at least 128 bytes apart (two cache lines:
 * adjacent-line prefetch never makes two writers share). Fresh segments are zero, and zero is the right start
 * of every field.
 */
#ifndef SHM_CONTROL_H
#define SHM_CONTROL_H

#include "shm/barrier.h"
#include "shm/world.h"

#include <stdatomic.h>

#define DN_CONTROL_MAGIC UINT64_C(0x33646c72576e4444) /* "DDnWrld3" */
#define DN_PHASE_WORDS   3
#define DN_PHASE_CHARS   (8 * DN_PHASE_WORDS)

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2,
               "only lock-free atomics work between processes");

/* One rank's row of the state table, its eventcount, and its lines of the world's barrier. */
typedef struct dn_rank_slot {
    /* Written by the rank alone, read by all for reports and deadlines: relaxed, ordering nothing. */
    _Alignas(128) _Atomic uint64_t progress; /* counts ticks */
    _Atomic uint64_t step;                   /* of the last tick */
    _Atomic uint64_t phase[DN_PHASE_WORDS];  /* its name, zero-padded */
    _Atomic uint64_t waiting_at;             /* offset of the word it waits for, from the control page */
    _Atomic uint64_t waiting_want;           /* what the word must reach */
    _Atomic uint64_t waiting_since_ns;       /* clock at the start of the wait */
    _Atomic int32_t waiting_for;             /* 1 + rank, while asleep; 0 otherwise */
    _Atomic int32_t pid;                     /* 0 = unknown; written once, by the rank or its launcher */
    _Atomic int32_t left;                    /* 1: the rank has finished, its exit is no failure */
    _Atomic int32_t domain;                  /* NUMA domain; written once, before communicators exist */
    _Atomic int32_t node;                    /* as domain */

    /* Eventcount of ranks that sleep until this one writes. */
    _Alignas(128) _Atomic uint32_t wakes; /* futex word; raised by this rank and by whoever aborts */
    _Atomic uint32_t sleepers; /* incremented and decremented by each sleeper; one that dies leaves it too
                                  high, which costs one system call per post */

    dn_line lines[DN_N_LINES]; /* of the barrier of the whole world; written by the rank alone */
} dn_rank_slot;

_Static_assert(sizeof(dn_rank_slot) == (2 + DN_N_LINES) * 128 && offsetof(dn_rank_slot, wakes) == 128 &&
                   offsetof(dn_rank_slot, lines) == 256,
               "the layout is the same for every compiler and precision");

/* The abort word and the first failure. The word goes EMPTY -> CLAIMED (compare-and-swap) -> PUBLISHED. */
enum { DN_ABORT_EMPTY, DN_ABORT_CLAIMED, DN_ABORT_PUBLISHED };

typedef struct dn_abort_record {
    _Alignas(128) _Atomic uint32_t word;
    int32_t status, rank, signal; /* from here on: written by the claimer, read after PUBLISHED */
    uint64_t step;
    char message[DN_MESSAGE_MAX];
} dn_abort_record;

_Static_assert(sizeof(dn_abort_record) == 640 && offsetof(dn_abort_record, message) == 24, "as above");

typedef struct dn_control {
    uint64_t magic;
    uint64_t bytes;         /* of the segment */
    uint64_t arena_bytes;   /* of one arena */
    uint64_t first_arena;   /* offset of rank 0's */
    uint64_t address;       /* where it is mapped, in every process */
    uint64_t scratch_bytes; /* of one rank's scratch; rank 0's starts after this page */
    double deadline_s;
    uint32_t n_ranks;
    int32_t launcher;  /* pid of whoever created it */
    uint32_t crowded;  /* more ranks than PUs for them */

    dn_abort_record abort;
    _Alignas(128) _Atomic int32_t stop; /* signal that requested a stop; relaxed */
    _Atomic uint32_t n_present;         /* ranks that have mapped a world made by dn_world_rendezvous */
    _Atomic uint64_t saved;             /* 1 + the step of dn_world_report_saved; 0: none; relaxed */
    _Atomic uint32_t saves;             /* how often a save was requested; relaxed */
    dn_rank_slot slots[DN_MAX_RANKS];
} dn_control;

_Static_assert(offsetof(dn_control, abort) == 128 && offsetof(dn_control, slots) == 128 + 640 + 128 &&
                   sizeof(dn_control) == 128 + 640 + 128 + DN_MAX_RANKS * sizeof(dn_rank_slot),
               "as above");

/* bytes and n_ranks are copied when the segment is mapped: the bounds of the mapping, and the number of
 * workers that a launcher has to end, are not read from memory that other processes can overwrite. */
struct dn_world {
    dn_control *control; /* start of the mapping; of a copy, its own memory, the control page alone */
    uint64_t bytes;
    int n_ranks;
    int descriptor;
    bool is_copy; /* of another process's, made by dn_world_attach_pid */
    void (*poll)(void *context); /* dn_world_on_wait */
    void *poll_context;
};

/* Bytes of a shared-memory object's name: "/", a prefix, "-", 16 hexadecimal digits. */
#define DN_SHM_NAME_MAX 96

/** Creates a POSIX shared-memory object, readable by this user alone, named with the prefix `beginning`
 * ("/dionode-...") and random digits: /dev/shm is writable by all users, and a predictable name could be
 * occupied. Returns its descriptor; -1 with errno. */
int dn_control_create_object(const char *beginning, char name[DN_SHM_NAME_MAX]);

/** Maps the initialized world in a segment of `bytes` bytes, as `rank`. */
dn_status dn_control_attach_to(int descriptor, uint64_t address, uint64_t bytes, int rank,
                               dn_world **out) DN_MUST_USE;

static inline void dn_control_poll(const dn_world *world)
{
    if (world->poll)
        world->poll(world->poll_context);
}

/** Whether the world has failed; the fast check of every wait. Orders nothing: the message is read with
 * dn_world_failure. */
static inline bool dn_control_aborted(const dn_world *world)
{
    return atomic_load_explicit(&world->control->abort.word, memory_order_relaxed) != DN_ABORT_EMPTY;
}

/** DN_ERR_PEER with the message of the first failure. */
dn_status dn_control_fail_peer(const dn_world *world) DN_MUST_USE;

/** Records in the state table that `rank` sleeps until awaited's *word reaches want. awaited -1: it is awake.
 */
void dn_control_set_waiting(dn_world *world, int rank, int awaited, const _Atomic uint64_t *word,
                            uint64_t want);

/** The rank that the others are ultimately waiting for: follows the waits-for chain from `rank` to a rank
 * that does not wait (in a cycle, to some rank of it). */
int dn_control_failed_rank(const dn_world *world, int rank);

/** Fails the world because `waiter`'s deadline for `failed_rank` has passed. Returns DN_ERR_TIMEOUT, or
 * DN_ERR_PEER if another failure came first. */
dn_status dn_control_fail_timeout(dn_world *world, int waiter, int failed_rank) DN_MUST_USE;

/** How many barriers, and other calls, of the world's communicator this rank has entered. */
static inline uint64_t dn_control_barriers(const dn_world *world, int rank)
{
    uint64_t n = 0;
    for (int i = 0; i < DN_N_LINES; i++) {
        uint64_t sequence = atomic_load_explicit(&world->control->slots[rank].lines[i].sequence, memory_order_relaxed);
        n = sequence > n ? sequence : n;
    }
    return n;
}

/** Raises the eventcount of `rank` and wakes its sleepers. */
void dn_control_wake(dn_world *world, int rank);

#endif
