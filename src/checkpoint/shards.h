/* A whole tensor out of the parts that ranks hold of it. */
#ifndef CHECKPOINT_SHARDS_H
#define CHECKPOINT_SHARDS_H

#include "checkpoint/checkpoint.h"

/** Elements first .. first+n-1 of the whole tensor, row-major, to out [n] of its type; the shards tile it. What other
 * members of comm hold is read through views. */
void dn_shards_gather(dn_comm *comm, const dn_sharded_tensor *tensor, size_t first, size_t n, void *out);

/** A rank that holds some of these n > 0 elements: of those that do, number turn, counted in rounds. */
int dn_shards_holder(const dn_sharded_tensor *tensor, size_t first, size_t n, size_t turn);

#endif
