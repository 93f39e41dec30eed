/*
 * Tensors that the members of a group all hold, dealt to them in shares of rows: what is summed over the
 * group is summed once, each share by its member, and what members make of their shares comes back to all.
 *
 *     reduce    each member's share becomes the reduction over the group; the rest of its tensor is undefined
 *     gather    each member's share comes to all
 *
 * Tensors of one list may belong to different groups of the mesh; each group meets once for all of its own.
 */
#ifndef SYNC_SHARES_H
#define SYNC_SHARES_H

#include "device/stream.h"
#include "sync/layout.h"

typedef struct dn_shares {
    const dn_mesh *mesh;              /* borrowed */
    dn_type type;                     /* of all elements */
    dn_owned *items[DN_ALL_AXES + 1]; /* by the axes of the group */
    size_t n[DN_ALL_AXES + 1], room[DN_ALL_AXES + 1];
} dn_shares;

/** An empty list. */
static inline dn_shares dn_shares_of(const dn_mesh *mesh, dn_type type)
{
    return (dn_shares){.mesh = mesh, .type = type};
}

/** Adds x [rows, cols], symmetric: it lies at the same offset on all members of the group along `axes`, with
 * the same shape. Member k's share are the rows dn_part(rows, 1, members, k). Errors: DN_ERR_MEMORY. */
dn_status dn_shares_add(dn_shares *shares, unsigned axes, void *x, size_t rows, size_t cols) DN_MUST_USE;
/** Empties the lists and keeps their room: adding as many again takes no memory. */
void dn_shares_reset(dn_shares *shares);
void dn_shares_clear(dn_shares *shares);

/** Collective over each of the groups, in the same order everywhere; queued kernels have finished. Members
 * must not write a tensor outside their own share before the next meeting of the group, nor, after a gather,
 * their own share. */
dn_status dn_shares_reduce(const dn_shares *shares, dn_op op, dn_traffic kind) DN_MUST_USE;
dn_status dn_shares_gather(const dn_shares *shares, dn_traffic kind) DN_MUST_USE;

#endif
