/* The worker's side of a launch: attach to the inherited world, run, leave with a status the launcher
 * understands. */
#ifndef LAUNCH_WORKER_H
#define LAUNCH_WORKER_H

#include "comm/comm.h"

/** Attaches as the rank in the environment, populates the arena, makes the group of all ranks. Ignores SIGINT
 *  and SIGTERM from then on (the launcher passes them on as a stop request). Both outputs owned by the
 * caller. */
dn_status dn_worker_begin(dn_world **world, dn_comm **comm) DN_MUST_USE;

/** Publishes a failure (status not DN_OK) with dn_error_message() as its story, releases both, returns the
 * exit status for main(). Silent: the launcher speaks. */
int dn_worker_end(dn_world **world, dn_comm **comm, dn_status status);

#endif
