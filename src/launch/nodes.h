/* Pretended nodes: ranks of one machine under Open MPI's mpirun. */
#ifndef LAUNCH_NODES_H
#define LAUNCH_NODES_H

#include "dionode/status.h"

#include <sys/types.h>

/**
 * Runs `program` (NULL: this process's executable) with argv[1], ... as the ranks of several pretended nodes on this machine,
 * and waits for their end: mpirun starts nodes[0] times nodes[1] processes, which DIONODE_NODE tells their node. They have
 * the caller's streams and environment, and die with the calling thread. *pid: mpirun's, the parent of all ranks.
 *
 * Errors: that of a rank, by its exit status, which has told why; DN_ERR_PEER: one was killed; DN_ERR_SYSTEM: mpirun cannot be
 * started; DN_ERR_MEMORY.
 */
dn_status dn_launch_nodes(const int nodes[2], const char *program, char *const *argv, pid_t *pid) DN_MUST_USE;

#endif
