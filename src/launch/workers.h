/*
 * The processes of one launch: starting them, and the means to end them. Each is held by a pidfd, which names
 * this very process for ever, becomes readable at its end, and takes signals even when it is stopped.
 *
 * Each leads a process group of its own, so that what it starts can be ended with it. A worker that has ended
 * is not reaped before all have: its number stays its group's. The groups are in the background of a
 * terminal: what the keyboard sends comes to the launcher, which passes it on, and who reads from the
 * terminal gets an error.
 */
#ifndef LAUNCH_WORKERS_H
#define LAUNCH_WORKERS_H

#include "dionode/launch.h"
#include "shm/world.h"

#include <signal.h>
#include <sys/types.h>

typedef struct dn_worker {
    pid_t pid;
    pid_t group; /* pid; 0: not started, or reaped by someone else, so that the number may be another's */
    int pidfd;   /* -1: not started */
    bool ended;
} dn_worker;

typedef struct dn_workers {
    dn_world *world;     /* owned */
    const char *program; /* what the members execute; borrowed */
    int restart;         /* 0: the first set of workers of its launch */
    int n_workers;
    int n_alive;       /* started and not ended */
    int failed_starts; /* pipe on which a child tells that it could not execute the program */
    dn_worker processes[DN_MAX_RANKS];
} dn_workers;

/** Creates the world and starts all workers, each bound to its place and with the signal mask `mask`; no more
 * of them once one has failed.
 * restart: how many sets of workers of this launch went before. On failure some may run: dn_workers_end is
 * due either way. Errors: DN_ERR_MEMORY, DN_ERR_SYSTEM. */
dn_status dn_workers_start(dn_workers *workers, const dn_launch_spec *spec, int restart,
                           const sigset_t *mask) DN_MUST_USE;

/** Takes note of rank's end if it has ended; *end as waitid tells it. Returns whether it has. If someone else
 * reaped the process, end->si_pid is 0. */
bool dn_workers_note_end(dn_workers *workers, int rank, siginfo_t *end);

/** errno of a child that could not execute the program; 0 if there was none. */
int dn_workers_start_error(dn_workers *workers);

/** SIGKILL to a member and all that it started, if it lives. -1 is nobody. */
void dn_workers_kill(dn_workers *workers, int rank);

/** Stops all members, then this process as SIGTSTP does by default (not if it would not: see setpgid(2) on
 * orphaned groups); when it is continued, continues them. SIGTSTP must be blocked. */
void dn_workers_suspend(dn_workers *workers);

/** Kills who is left, waits for them (for at most 5 s: a process in uninterruptible sleep cannot be killed,
 * and is named in the log), gives what those that ended by themselves have left running half a second to end
 * too and then kills it, closes and frees everything. */
void dn_workers_end(dn_workers *workers);

#endif
