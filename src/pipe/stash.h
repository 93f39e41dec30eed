/*
 * Weights as they were before the last updates, for micro-batches that went forward with them and have not gone back (PipeDream's
 * weight stashing): copies in symmetric memory of all that a rank trains, laid out as it is.
 */
#ifndef PIPE_STASH_H
#define PIPE_STASH_H

#include "compute/kernels.h"

typedef struct dn_stash {
    const dn_buf *newest; /* [n] borrowed */
    dn_buf *copies;       /* [n_kept, n] borrowed; a ring */
    size_t n, n_kept;
    uint64_t made;        /* updates since all copies were the newest weights */
    dn_stream *stream;    /* borrowed */
} dn_stash;

/** All copies become the newest weights. Returns after sync. */
dn_status dn_stash_begin(dn_stash *stash) DN_MUST_USE;

/** Before each update, made or not: keeps the newest weights and drops the oldest copy. Returns after sync. */
dn_status dn_stash_keep(dn_stash *stash) DN_MUST_USE;

/** The weights before the last `age` <= n_kept updates; 0: the newest. */
const dn_buf *dn_stash_at(const dn_stash *stash, size_t age);

#endif
