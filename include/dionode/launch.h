/**
 * Starting worker processes on one node and watching over them.
 *
 * The launcher does no arithmetic. It creates the shared-memory world, binds and executes one process a rank
 * (the same program with the same arguments, told apart by the environment: RANK, WORLD_SIZE, LOCAL_RANK,
 * OMP_NUM_THREADS, DIONODE_RESTART), watches them through pidfds, and turns the first failure into the end of
 * all: survivors return DN_ERR_PEER from whatever they wait in, stragglers are killed after a grace period.
 * Workers die with the launcher.
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
    const dn_topo *topo; /* places, one a worker; borrowed */
    const char *program; /* what workers execute, searched for in PATH; NULL: this program's own file */
    char *const *argv;   /* of the workers; NULL-terminated; borrowed */
    size_t arena_bytes;  /* shared memory a rank */
    double deadline_s;   /* no progress for so long = DN_ERR_TIMEOUT; > 0 */
    int max_restarts; /* after DN_ERR_PEER or DN_ERR_TIMEOUT all workers start anew, at most so many times */
    int error_output; /* descriptor that workers get as standard error; 0: ours */
    void (*look)(uint64_t step, void *context); /* called now and then (0.2 s) with the step that the first
                                                   worker is in; may be NULL */
    void *look_context;
} dn_launch_spec;

/** Whether this process was started as a worker by dn_launch. */
DN_API bool dn_launch_is_worker(void);

/**
 * Runs the workers to their end; blocks. SIGINT, SIGTERM and SIGHUP, unless ignored, ask them to save what is
 * done and stop; a second one, a quarter of a second or more after the first, kills at once (the same one
 * often comes twice: to the process and to its group). SIGUSR1, unless ignored, asks them to save and go on.
 * *signal_out (may be NULL) is the signal that stopped the run, 0 if none did. SIGTSTP (Ctrl-Z), unless the
 * caller deals with it, stops the workers and then this process, and whoever continues it continues them;
 * that loses no deadline.
 *
 * A worker makes progress when it waits for its peers or ticks (dn_comm_tick); one that does neither for the
 * deadline counts as hung, even if it computes. With max_restarts, a death or a hang ends all workers and
 * starts all anew in a fresh world (DIONODE_RESTART=1, 2, ... in their environment); what they go on from is
 * theirs, a checkpoint usually. A failure that a worker told of itself is not repeated, nor a stopped run.
 *
 * Returns DN_OK if every worker exited with 0, otherwise the first failure's code, its message in
 * dn_error_message(): what the worker itself said (its exit status 1..10 read back as a code if it said
 * nothing); DN_ERR_PEER for one that was killed or stopped by force; DN_ERR_TIMEOUT naming the worker that
 * did not answer, with the state table in the log; DN_ERR_SYSTEM or DN_ERR_MEMORY when they could not be
 * started. Survivors get 2 seconds to leave, then are killed, those that have not joined yet at once; where
 * they need more than a moment, the log has the failure before they are gone. On return no worker is left,
 * nor anything else of this call.
 *
 * Each worker leads a process group of its own, in the background of a terminal: Ctrl-C and Ctrl-Z come to
 * the caller's process only, and reading from the terminal is an error. What workers start and leave running
 * ends with them: after the last worker's end it has half a second, then its group is killed. Only what goes
 * to another group or session escapes. Workers execute with the signal mask and the dispositions of the
 * caller (handlers become the default), but SIGTTIN and SIGTTOU ignored and SIGCHLD as by default.
 *
 * Call from a process with one thread, before OpenMP, BLAS or CUDA are used in it. Workers die with that
 * thread. They inherit its environment and standard streams (but see error_output).
 */
DN_API dn_status dn_launch(const dn_launch_spec *spec, int *signal_out) DN_MUST_USE;

/**
 * Writes who is where in a run to `out`: how the run stands, then a row a worker with pid, step, phase,
 * barriers, and whom it waits for since when. pid is the launcher's or a worker's. Reads the run's memory,
 * touches nothing. Errors: DN_ERR_ARG (no such process, or none of a run), DN_ERR_SYSTEM (another user's).
 */
DN_API dn_status dn_launch_print(int pid, FILE *out) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
