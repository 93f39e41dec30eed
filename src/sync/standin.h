/* Stands in for what the group will bring: replaced by dionode/comm.h. */
#ifndef SYNC_STANDIN_H
#define SYNC_STANDIN_H

#include "dionode/comm.h"

#define DN_TRAFFIC_WEIGHTS DN_TRAFFIC_MOMENTUM
#define DN_ALL_GATHER      0

static inline void dn_comm_count_in_place(dn_comm *comm, int as, size_t own, size_t whole, dn_traffic kind)
{
}

#endif
