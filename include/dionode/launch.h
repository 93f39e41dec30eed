/**
 * Starting and monitoring the worker processes of one node.
 *
 * The launcher does no arithmetic. It creates the world's shared-memory segment and starts one process per
 * rank, bound to its place: the same program with the same arguments; RANK, WORLD_SIZE, LOCAL_RANK,
 * OMP_NUM_THREADS and DIONODE_RESTART are set in its environment. It monitors the workers through pidfds. The
 * first failure ends the run: in the surviving workers every wait returns DN_ERR_PEER, and those that have
 * not exited after a grace period are killed. Workers die with the launcher.
 */
#ifndef DIONODE_LAUNCH_H
#define DIONODE_LAUNCH_H

#include "dionode/status.h"
#include "dionode/topo.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dn_launch_spec {
    const dn_topo *topo; /* one place per worker; borrowed */
    const char *program; /* that workers execute, searched for in PATH; NULL: this process's executable */
    char *const *argv;   /* the workers' arguments; NULL-terminated; borrowed */
    size_t arena_bytes;  /* of each rank's arena in shared memory */
    double deadline_s;   /* a worker without progress for this long: DN_ERR_TIMEOUT; > 0 */
    int max_restarts;    /* how often all workers are restarted after DN_ERR_PEER or DN_ERR_TIMEOUT */
    int error_output;    /* descriptor that becomes the workers' standard error; 0: the caller's */
    void (*progress)(uint64_t step, void *context); /* called about every 0.2 s with the current step of rank
                                                   0; may be NULL */
    void *progress_context;
} dn_launch_spec;

/** Whether this process was started as a worker by dn_launch. */
DN_API bool dn_launch_is_worker(void);

/** Whether another launcher started this process as one of several ranks that train together: Open MPI's mpirun or Slurm's
 * srun --mpi=pmix (of more than one process), or one that DIONODE_TRANSPORT names a transport for. */
DN_API bool dn_launch_is_rank(void);

/**
 * Starts the workers and blocks until all have exited.
 *
 * Signals: SIGINT, SIGTERM and SIGHUP, unless ignored, ask the workers to save a checkpoint and stop; a
 * second one, a quarter of a second or more after the first, kills them at once (one signal often arrives
 * twice: for the process and for its group). SIGUSR1, unless ignored, asks them to save a checkpoint and
 * continue. *signal_out (may be NULL) is the signal that stopped the run, 0 if none did. SIGTSTP (Ctrl-Z),
 * unless the caller handles it, stops the workers and then this process; when this process is continued, so
 * are they. Time spent stopped does not count against the deadline.
 *
 * A worker makes progress while it waits for its peers, and when it calls dn_comm_tick. One that does neither
 * within the deadline counts as hung, even if it computes. With max_restarts > 0, the death or hang of a
 * worker ends all workers and restarts them in a new world (DIONODE_RESTART=1, 2, ... in their environment);
 * it is theirs to resume, usually from a checkpoint. An error that a worker reported itself is not retried,
 * and neither is a run that a signal stopped.
 *
 * Returns DN_OK if every worker exited with 0, otherwise the code of the first failure, with its message in
 * dn_error_message(): the error that the worker reported, or its exit status 1..10 as a code if it reported
 * none; DN_ERR_PEER if it was killed (also by the second of two stop signals); DN_ERR_TIMEOUT if it hung (the
 * message names it, the log has the state table); DN_ERR_SYSTEM or DN_ERR_MEMORY if workers could not be
 * started. Surviving workers have 2 seconds to exit and are then killed, those that have not joined yet at
 * once; if that takes noticeably long, the failure is logged first. On return all workers have ended and all
 * resources are released.
 *
 * Each worker leads its own process group, in the background of the terminal: Ctrl-C and Ctrl-Z reach the
 * calling process only, and reading from the terminal fails. Processes that workers leave running are ended,
 * too: half a second after the last worker's end their group is killed. Only a process that moved to another
 * group or session escapes. Workers get the caller's signal mask and dispositions (handlers become the
 * default), except that SIGTTIN and SIGTTOU are ignored and SIGCHLD has its default action. They inherit the
 * caller's environment and standard streams (but see error_output).
 *
 * Call from a single-threaded process, before it uses OpenMP, BLAS or CUDA. Workers die with the calling
 * thread.
 */
DN_API dn_status dn_launch(const dn_launch_spec *spec, int *signal_out) DN_MUST_USE;

/**
 * Prints the state table of a running job to `out`: the state of the run, then one row per worker with pid,
 * step, phase, barriers passed, and which rank it waits for and for how long. pid is that of the launcher or
 * of any worker. Only reads the run's shared memory. Errors: DN_ERR_ARG (no such process, or not one of a
 * run), DN_ERR_SYSTEM (another user's process).
 */
DN_API dn_status dn_launch_print(int pid, FILE *out) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
