/*
 * Tensors that the members of a group all hold, dealt to them in shares of rows: what is summed over the
 * group is summed once, each share by its member, and what members make of their shares comes back to all.
 *
 *     reduce    each member's share becomes the reduction over the group; the rest of its tensor is undefined
 *     gather    each member's share comes to all
 *
 * Tensors of one list may belong to different groups of the mesh; each group meets once for all of its own.
 */
#ifndef SHARD_BUCKET_H
#define SHARD_BUCKET_H

#include "device/stream.h"
#include "shard/layout.h"

typedef struct dn_bucket {
    const dn_mesh *mesh;              /* borrowed */
    dn_type type;                     /* of all elements */
    dn_owned *items[DN_ALL_AXES + 1]; /* by the axes of the group */
    size_t n[DN_ALL_AXES + 1], capacity[DN_ALL_AXES + 1];
} dn_bucket;

/** An empty list. */
static inline dn_bucket dn_bucket_of(const dn_mesh *mesh, dn_type type)
{
    return (dn_bucket){.mesh = mesh, .type = type};
}

/** Adds x [rows, cols], symmetric: it lies at the same offset on all members of the group along `axes`, with
 * the same shape. Member k's share are the rows dn_shard_range(rows, 1, members, k). Errors: DN_ERR_MEMORY.
 */
dn_status dn_bucket_add(dn_bucket *bucket, unsigned axes, void *x, size_t rows, size_t cols) DN_MUST_USE;
/** Empties the lists and keeps their room: adding as many again takes no memory. */
void dn_bucket_reset(dn_bucket *bucket);
void dn_bucket_clear(dn_bucket *bucket);

/** Collective over each of the groups, in the same order everywhere; queued kernels have finished. Members
 * must not write a tensor outside their own share before the next barrier of the group, nor, after a gather,
 * their own share. */
dn_status dn_bucket_reduce(const dn_bucket *bucket, dn_op op, dn_traffic kind) DN_MUST_USE;
dn_status dn_bucket_gather(const dn_bucket *bucket, dn_traffic kind) DN_MUST_USE;

#endif
