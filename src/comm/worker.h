/* The worker's side of a launch: attach to the inherited world, run, leave with a status the launcher
 * understands. */
#ifndef COMM_WORKER_H
#define COMM_WORKER_H

#include "comm/comm.h"

/** Attaches as the rank in the environment, populates the arena, makes the group of all ranks. SIGINT,
 * SIGTERM and SIGHUP are ignored from the launch on (the launcher passes them on as a stop request). Both
 * outputs owned by the caller; after a failure they may be NULL, and dn_worker_end is due all the same. */
dn_status dn_worker_begin(dn_world **world, dn_comm **comm) DN_MUST_USE;

/** Publishes a failure (status not DN_OK) with dn_error_message() as its story, releases both, returns the
 * exit status for main(). Silent, because the launcher speaks; only where there is no world to tell it
 * through does the story go to the log. */
int dn_worker_end(dn_world **world, dn_comm **comm, dn_status status);

#endif
