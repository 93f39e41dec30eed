/* Monitoring without Dionode's launcher: in each rank a thread sleeps on the other ranks' pidfds, and fails
 * the world in the name of a rank that ends before it has left (dn_world_leave). */
#ifndef LAUNCH_PEER_MONITOR_H
#define LAUNCH_PEER_MONITOR_H

#include "shm/world.h"

typedef struct dn_peer_monitor dn_peer_monitor;

/** Starts monitoring every rank of this node in `world` (borrowed until dn_peer_monitor_stop) but `rank`; their pids must
 * be known. Errors: DN_ERR_SYSTEM, DN_ERR_MEMORY, and DN_ERR_PEER for one that has ended already. */
dn_status dn_peer_monitor_start(dn_world *world, int rank, dn_peer_monitor **out) DN_MUST_USE;
/** Ends the thread. NULL is a no-op; sets *peers to NULL. */
void dn_peer_monitor_stop(dn_peer_monitor **peers);

#endif
