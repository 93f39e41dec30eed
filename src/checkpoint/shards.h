/* A whole tensor out of the parts that ranks hold of it. */
#ifndef CHECKPOINT_SHARDS_H
#define CHECKPOINT_SHARDS_H

#include "checkpoint/checkpoint.h"

/** Whether the shards tile the tensor. Errors: DN_ERR_ARG naming tensor and shards: one beyond it, two that
 * overlap, or a hole. */
dn_status dn_shards_check(const dn_tensor *tensor) DN_MUST_USE;

/** Elements first .. first+n-1 of the whole tensor, row-major, to out [n] of its type; the shards tile it. What other
 * members of comm hold is read through views. */
void dn_shards_gather(dn_comm *comm, const dn_tensor *tensor, size_t first, size_t n, void *out);

/** A rank that holds some of these n > 0 elements: of those that do, number turn, counted in rounds. */
int dn_shards_holder(const dn_tensor *tensor, size_t first, size_t n, size_t turn);

#endif
