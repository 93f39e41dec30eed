/* Other members' memory by address, for the files of this room and for tests. All others read it through the
 * views of dionode/comm.h, which count, and which need no shared memory: tests/style/check_rooms.py. */
#ifndef COMM_PEER_H
#define COMM_PEER_H

#include "dionode/comm.h"

/** `rank`'s copy of the symmetric address p (which lies in this rank's arena). */
void *dn_comm_peer(const dn_comm *comm, const void *p, int rank);

#endif
