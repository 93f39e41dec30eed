/* The inside of a group, for the files of this room. */
#ifndef COMM_GROUP_H
#define COMM_GROUP_H

#include "base/arena.h"
#include "comm/world.h"
#include "launch/peers.h"
#include "shm/barrier.h"

struct dn_comm {
    dn_world *world; /* borrowed unless joined; NULL for a group of one without a world */
    bool joined;     /* by dn_comm_join: dn_comm_leave is its end */
    dn_peers *peers; /* owned; NULL under a launcher of ours, which watches */
    int rank;
    int size;
    void *own_heap; /* freed with the group; NULL where the heap lies in the world */
    dn_arena heap;
    dn_barrier barrier; /* unused in a group of one */
    dn_ledger ledger;
};

/** Meets the others for `name`, with nothing to exchange. */
dn_status dn_comm_meet(dn_comm *comm, const char *name, size_t count) DN_MUST_USE;

/** Adds to the ledger. */
void dn_comm_count(dn_comm *comm, dn_traffic kind, size_t payload, size_t moved);

#endif
