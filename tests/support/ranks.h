/*
 * Runs a function as the ranks of a world: as threads of this process (sanitizers see them), or as forked
 * processes (they can die). Nothing can hang: every child, and a process with threads, has an alarm.
 *
 * An assertion of the test framework in a forked child would be swallowed, so a rank returns a number and the
 * test asserts on it. Ranks must be started before OpenMP or BLAS have been used in the test's process.
 */
#ifndef SUPPORT_RANKS_H
#define SUPPORT_RANKS_H

#include "comm/peer.h"
#include "comm/world.h"
#include "dionode/mesh.h"

#define RANKS_ALARM_S 400 /* a test that hangs ends by itself; a busy machine does not come near it */
#define RANKS_MOST    8  /* of a mesh */
#define RANKS_MESHES  38 /* of up to so many ranks */

typedef enum ranks_kind { AS_THREADS, AS_PROCESSES } ranks_kind;

typedef struct ranks_spec {
    ranks_kind kind;
    int n_ranks;
    size_t arena_bytes;
    double deadline_s;                /* 0: 120 s */
    void (*prepare)(dn_world *world); /* NULL, or called before there are ranks */
} ranks_spec;

/* How one rank ended. */
typedef struct ranks_end {
    int result;     /* what the body returned, 0..255 */
    int signal;     /* that killed it (processes), 0 otherwise */
    double ended_s; /* dn_clock_s() when that was noticed */
    double delay_s; /* processes, as support/delay.h: since the first that was killed, or the start if none was */
} ranks_end;

/* What a rank does. Returns 0 if all is well. argument is shared by threads, copied by processes. */
typedef int ranks_body(dn_comm *comm, void *argument);

/** Runs body as every rank and waits for all. ends [n_ranks] may be NULL. As a launcher would, fails the
 * world in the name of a rank that is killed by a signal or does not end with 0. Returns how many ranks did
 * not end with 0; -1 if the world could not be made. */
int ranks_run(const ranks_spec *spec, ranks_body *body, void *argument, ranks_end *ends);

/** Sizes of the meshes that a test of every mesh goes through, by rising dp; returns how many. In the long run all of
 * up to 8 ranks; otherwise one rank, each axis alone, all three together, and one that leaves ranks with nothing. */
size_t ranks_meshes(int sizes[RANKS_MESHES][DN_N_AXES]);

/** In a body: returns 1 from it, with a line on stderr, unless the condition holds. */
#define RANKS_CHECK(condition)                                                                               \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            return ranks_complain(comm, __FILE__, __LINE__, #condition);                                     \
    } while (0)

/** The same for numbers, which the line shows: |got - want| <= bound; got < bound. NaN fails. */
#define RANKS_CLOSE(got, want, bound)                                                                        \
    do {                                                                                                     \
        if (!ranks_close(comm, __FILE__, __LINE__, #got, got, want, bound))                                  \
            return 1;                                                                                        \
    } while (0)
#define RANKS_BELOW(got, bound)                                                                              \
    do {                                                                                                     \
        if (!ranks_below(comm, __FILE__, __LINE__, #got, got, bound))                                        \
            return 1;                                                                                        \
    } while (0)

bool ranks_close(const dn_comm *comm, const char *file, int line, const char *text, double got, double want,
                 double bound);
bool ranks_below(const dn_comm *comm, const char *file, int line, const char *text, double got, double bound);
int ranks_complain(const dn_comm *comm, const char *file, int line, const char *condition);

#endif
