/*
 * The worker processes of one launch: starting and ending them. Each is referred to by a pidfd, which never
 * names another process, becomes readable when the process ends, and can be used to signal it.
 *
 * Each worker leads its own process group, so that the processes that it starts can be ended with it. Workers
 * are reaped only after all have ended, so that no pid of theirs is reused for another group. The groups are
 * in the background of the terminal: keyboard signals reach the launcher, which forwards them, and reading
 * from the terminal fails.
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
    const char *program; /* that workers execute; borrowed */
    int restart;         /* 0: the first set of workers of its launch */
    int n_workers;
    int n_alive;       /* started and not ended */
    int failed_starts; /* pipe on which a child reports that exec failed */
    dn_worker processes[DN_MAX_RANKS];
} dn_workers;

/** Creates the world and starts the workers, each bound to its place and with the signal mask `mask`; stops
 * at the first that fails. restart: number of earlier restarts of this launch. On failure some workers may be
 * running; dn_workers_end must be called either way. Errors: DN_ERR_MEMORY, DN_ERR_SYSTEM. */
dn_status dn_workers_start(dn_workers *workers, const dn_launch_spec *spec, int restart,
                           const sigset_t *mask) DN_MUST_USE;

/** Returns whether rank's process has ended, and records it; *end is filled as by waitid. If another part of
 * the program reaped the process, end->si_pid is 0. */
bool dn_workers_note_end(dn_workers *workers, int rank, siginfo_t *end);

/** errno of a child whose exec failed; 0 if none failed. */
int dn_workers_start_error(dn_workers *workers);

/** Sends SIGKILL to the process group of a rank, if alive. A no-op for rank -1. */
void dn_workers_kill(dn_workers *workers, int rank);

/** Stops all workers, then this process as SIGTSTP's default action does (which is nothing in an orphaned
 * process group: setpgid(2)); when this process is continued, continues them. SIGTSTP must be blocked. */
void dn_workers_suspend(dn_workers *workers);

/** Kills the remaining workers and waits for them, for at most 5 s (a process in uninterruptible sleep cannot
 * be killed, and is logged). What workers that exited by themselves left running has half a second to end,
 * then is killed. Closes and frees everything. */
void dn_workers_end(dn_workers *workers);

#endif
