/* A whole tensor from the shards that ranks hold. */
#ifndef CHECKPOINT_SHARDS_H
#define CHECKPOINT_SHARDS_H

#include "checkpoint/checkpoint.h"

/** out [n], of the tensor's type: elements first .. first+n-1 of the whole tensor, row-major. The shards must
 * tile it; those of other members of comm are read through views. */
void dn_shards_gather(dn_comm *comm, const dn_sharded_tensor *tensor, size_t first, size_t n, void *out);

/** A rank that holds some of these n > 0 elements: of those that do, number turn modulo their number. */
int dn_shards_holder(const dn_sharded_tensor *tensor, size_t first, size_t n, size_t turn);

#endif
