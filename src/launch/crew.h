/*
 * The processes of one launch: starting them, and the means to end them. Each is held by a pidfd, which names
 * this very process for ever, becomes readable at its end, and takes signals even when it is stopped.
 */
#ifndef LAUNCH_CREW_H
#define LAUNCH_CREW_H

#include "dionode/launch.h"
#include "shm/world.h"

#include <signal.h>
#include <sys/types.h>

_Static_assert(DN_TOPO_WORKERS_MAX == DN_MAX_RANKS, "every plan has room in a world");

typedef struct dn_member {
    pid_t pid;
    int pidfd; /* -1: not started, or reaped */
} dn_member;

typedef struct dn_crew {
    dn_world *world;     /* owned */
    const char *program; /* what the members execute; borrowed */
    int restart;         /* 0: the first crew of its launch */
    int n_members;
    int n_alive;       /* started and not reaped */
    int failed_starts; /* pipe on which a child tells that it could not execute the program */
    dn_member members[DN_MAX_RANKS];
} dn_crew;

/** Creates the world and starts all workers, each bound to its place and with the signal mask `mask`.
 * restart: how many crews of this launch went before. On failure some may run: dn_crew_end is due either way.
 * Errors: DN_ERR_MEMORY, DN_ERR_SYSTEM. */
dn_status dn_crew_start(dn_crew *crew, const dn_launch_spec *spec, int restart,
                        const sigset_t *mask) DN_MUST_USE;

/** Takes note of rank's end if it has ended; *end as waitid tells it. Returns whether it has. If someone else
 * reaped the process, end->si_pid is 0. */
bool dn_crew_reap(dn_crew *crew, int rank, siginfo_t *end);

/** errno of a child that could not execute the program; 0 if there was none. */
int dn_crew_start_error(dn_crew *crew);

/** SIGKILL to a member, if it lives. -1 is nobody. */
void dn_crew_kill(dn_crew *crew, int rank);

/** Kills who is left, waits for them (for at most 5 s: a process in uninterruptible sleep cannot be killed,
 * and is named in the log), closes and frees everything. */
void dn_crew_end(dn_crew *crew);

#endif
