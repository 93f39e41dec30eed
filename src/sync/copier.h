/*
 * A thread that fetches what other members of a group hold while its owner computes. It reads and writes only
 * what it is told to and meets nobody, so it always comes to an end, whatever becomes of other ranks.
 */
#ifndef SYNC_COPIER_H
#define SYNC_COPIER_H

#include "dionode/comm.h"

typedef struct dn_copy {
    void *to;
    dn_comm_chunk from; /* as `member` holds it */
    int member;
} dn_copy;

typedef struct dn_copier dn_copier;

/** Starts the thread, which runs where the caller may run. comm is borrowed. Errors: DN_ERR_MEMORY,
 * DN_ERR_SYSTEM. Owned by the caller, used by one thread. */
dn_status dn_copier_create(const dn_comm *comm, dn_copier **out) DN_MUST_USE;

/** Ends the thread, after the copies under way. NULL is a no-op; sets *copier to NULL. */
void dn_copier_destroy(dn_copier **copier);

/** Has the copies made [n]; borrowed until dn_copier_wait, which must come before the next begin. What the
 * caller sees, the copier sees. */
void dn_copier_begin(dn_copier *copier, const dn_copy *copies, size_t n);

/** Returns when the copies begun are made; at once if none are. */
void dn_copier_wait(dn_copier *copier);

#endif
