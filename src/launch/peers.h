/* Without a launcher of ours each rank watches the others itself: a thread sleeps on their pidfds and fails
 * the world in the name of one that ends before it has left. */
#ifndef LAUNCH_PEERS_H
#define LAUNCH_PEERS_H

#include "shm/world.h"

typedef struct dn_peers dn_peers;

/** Begins to watch every rank of `world` (borrowed until dn_peers_end) but `rank`; their pids must be known.
 * Errors: DN_ERR_SYSTEM, DN_ERR_MEMORY, and DN_ERR_PEER for one that has ended already. */
dn_status dn_peers_watch(dn_world *world, int rank, dn_peers **out) DN_MUST_USE;
/** Ends the thread. NULL is a no-op; sets *peers to NULL. */
void dn_peers_end(dn_peers **peers);

#endif
