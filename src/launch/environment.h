/* What a worker's environment says beyond the launcher's own. */
#ifndef LAUNCH_ENVIRONMENT_H
#define LAUNCH_ENVIRONMENT_H

#include "dionode/topo.h"
#include "shm/world.h"

#define DN_ENVIRONMENT_ADDED 7

typedef struct dn_environment {
    char **entries; /* NULL-terminated, for execve; entries borrow from environ and from text */
    char text[DN_ENVIRONMENT_ADDED][128];
} dn_environment;

/**
 * The launcher's environment with RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE (as torchrun sets them),
 * OMP_NUM_THREADS (the plan's threads, as far as this machine has PUs for all ranks) and the world's entry;
 * where `bound` is false and there are several workers also OMP_WAIT_POLICY=passive, unless the user has set
 * how OpenMP waits: threads that spin would take the cores from one another. Errors: DN_ERR_MEMORY.
 */
dn_status dn_environment_make(const dn_topo *topo, int rank, bool bound, dn_world *world,
                              dn_environment *out) DN_MUST_USE;
void dn_environment_free(dn_environment *environment);

#endif
