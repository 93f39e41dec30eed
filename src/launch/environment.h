/* The environment of a worker: the launcher's, plus rank, world and threads. */
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
 * The launcher's environment with RANK, LOCAL_RANK, WORLD_SIZE, LOCAL_WORLD_SIZE (as torchrun sets them), the
 * world's entry, DIONODE_RESTART, and OMP_NUM_THREADS: the plan's threads, but no more than this machine has
 * PUs for all ranks together. As threads never outnumber PUs, how they wait (OMP_WAIT_POLICY and the like) is
 * left to the user. Errors: DN_ERR_MEMORY.
 */
dn_status dn_environment_make(const dn_topo *topo, int rank, int restart, dn_world *world,
                              dn_environment *out) DN_MUST_USE;
void dn_environment_free(dn_environment *environment);

/** Whether Slurm's srun --mpi=pmix started this process as one of several tasks: Slurm says how many, PMIx which, and MPI all else.
 * mpirun inside a job of Slurm says more by itself. */
bool dn_environment_of_srun(void);

#endif
