/*
 * Fetches what other members of a group hold while the owner computes: on the CPU a thread does, on a device a stream. It
 * reads and writes only what it is told to and meets nobody, so it always comes to an end, whatever becomes of other
 * ranks.
 */
#ifndef SHARD_PREFETCH_H
#define SHARD_PREFETCH_H

#include "device/stream.h"
#include "dionode/comm.h"

typedef struct dn_copy {
    void *to;
    dn_comm_chunk from; /* as `member` holds it */
    int member;
    bool frozen; /* of a weight that is not trained */
} dn_copy;

typedef struct dn_prefetch dn_prefetch;

/** Starts the thread, which runs where the caller may run. comm is borrowed. Errors: DN_ERR_MEMORY,
 * DN_ERR_SYSTEM. Owned by the caller, used by one thread. */
dn_status dn_prefetch_create(const dn_comm *comm, dn_prefetch **out) DN_MUST_USE;

/** Ends the thread, after the copies under way. NULL is a no-op; sets *copier to NULL. */
void dn_prefetch_destroy(dn_prefetch **prefetch);

/** Has the copies made [n]; borrowed until dn_prefetch_wait, which must come before the next begin. What the caller
 * sees, and what has been done when the event has passed, the copies see: it stands behind all that still reads where they
 * go. */
void dn_prefetch_begin(dn_prefetch *prefetch, const dn_copy *copies, size_t n, dn_event after);

/** What is queued on the stream from now on comes after the copies begun; on the CPU, returns when they are made. */
void dn_prefetch_wait(dn_prefetch *prefetch, dn_stream *stream);

#endif
