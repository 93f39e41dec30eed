/**
 * Starting worker processes on one node and watching over them.
 *
 * The launcher does no arithmetic. It creates the shared-memory world, binds and executes one process a rank
 * (the same program with the same arguments, told apart by the environment: RANK, WORLD_SIZE, LOCAL_RANK,
 * OMP_NUM_THREADS), watches them through pidfds, and turns the first failure into the end of all: survivors
 * return DN_ERR_PEER from whatever they wait in, stragglers are killed after a grace period. Workers die with
 * the launcher.
 */
#ifndef DIONODE_LAUNCH_H
#define DIONODE_LAUNCH_H

#include "dionode/status.h"
#include "dionode/topo.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct dn_launch_spec {
    const dn_topo *topo; /* places, one a worker; borrowed */
    char *const *argv;   /* argv[0] is replaced by /proc/self/exe; NULL-terminated; borrowed */
    size_t arena_bytes;  /* shared memory a rank */
    double deadline_s;   /* no progress for so long = DN_ERR_TIMEOUT; > 0 */
} dn_launch_spec;

/** Whether this process was started as a worker by dn_launch. */
DN_API bool dn_launch_is_worker(void);

/**
 * Runs the workers to their end; blocks. SIGINT and SIGTERM ask them to stop after the current step (a second
 * one kills at once). *signal_out (may be NULL) is the signal that stopped the run, 0 if none did. Returns
 * DN_OK if every worker exited with 0, otherwise the first failure's code, its story in dn_error_message().
 * On return no worker is left. Not for use after OpenMP, BLAS or CUDA have been used in this process.
 */
DN_API dn_status dn_launch(const dn_launch_spec *spec, int *signal_out) DN_MUST_USE;

#endif
