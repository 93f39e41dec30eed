/*
 * A transport in front of a communicator's own that shares no memory for views: each is a copy, which is
 * spoiled when its reader next comes to a meeting in that group. What holds with it reads as comm.h says, and
 * needs no shared memory for what it reads through views.
 */
#ifndef SUPPORT_COPIED_VIEWS_H
#define SUPPORT_COPIED_VIEWS_H

#include "comm/ops.h"

typedef struct copied_view {
    dn_comm *comm;
    void *data;
    size_t bytes;
    bool spoiled;
} copied_view;

typedef struct copied_views {
    dn_comm_ops ops; /* first: the communicator's table is the address of all of it */
    const dn_comm_ops *real;
    copied_view *all; /* until the end, so that who reads too late reads what is spoiled */
    size_t n, room;
} copied_views;

/** From now on comm and what is split from it; ends before comm does. Not collective. */
void copied_views_begin(copied_views *views, dn_comm *comm);
/** Returns how many there were. */
size_t copied_views_end(copied_views *views, dn_comm *comm);

#endif
