/* Other members' memory by address, for this room and tests only (tests/style/check_rooms.py). Other rooms
 * use the views of dionode/comm.h, which count traffic and do not require shared memory. */
#ifndef COMM_PEER_H
#define COMM_PEER_H

#include "dionode/comm.h"

/** `rank`'s copy of the symmetric address p (which lies in this rank's arena). */
void *dn_comm_peer(const dn_comm *comm, const void *p, int rank);

#endif
