/*
 * Buckets: tensors that several ranks hold copies of, reduced and gathered together. Each rank owns a shard
 * of the rows of each tensor.
 *
 *     reduce    reduce-scatter: each rank's shard becomes the reduction over its communicator;
 *               the rest of its tensor is undefined
 *     gather    all-gather: each rank's shard is copied to all
 *
 * Tensors of one bucket may belong to different communicators of the mesh; each needs one barrier for all of
 * its own.
 */
#ifndef SHARD_BUCKET_H
#define SHARD_BUCKET_H

#include "device/stream.h"
#include "shard/layout.h"

typedef struct dn_bucket {
    const dn_mesh *mesh;              /* borrowed */
    dn_type type;                     /* of all elements */
    dn_owned *items[DN_ALL_AXES + 1]; /* by the axes of the communicator */
    size_t n[DN_ALL_AXES + 1], capacity[DN_ALL_AXES + 1];
} dn_bucket;

/** An empty bucket. */
static inline dn_bucket dn_bucket_of(const dn_mesh *mesh, dn_type type)
{
    return (dn_bucket){.mesh = mesh, .type = type};
}

/** Adds x [rows, cols], symmetric: at the same offset and of the same shape on all ranks of the communicator
 * along `axes`. Rank k of it owns the rows dn_shard_range(rows, 1, size, k). Errors: DN_ERR_MEMORY. */
dn_status dn_bucket_add(dn_bucket *bucket, unsigned axes, void *x, size_t rows, size_t cols) DN_MUST_USE;
/** Empties it and keeps its capacity: adding as many again allocates nothing. */
void dn_bucket_reset(dn_bucket *bucket);
void dn_bucket_clear(dn_bucket *bucket);

/** Collective over each of the communicators, in the same order on all ranks; queued kernels must have
 * finished. Until the next barrier of its communicator a rank must not write a tensor outside its own shard
 * nor, after a gather, its own shard. */
dn_status dn_bucket_reduce(const dn_bucket *bucket, dn_op op, dn_traffic kind) DN_MUST_USE;
dn_status dn_bucket_gather(const dn_bucket *bucket, dn_traffic kind) DN_MUST_USE;

#endif
