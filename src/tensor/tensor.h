/* A tensor with all its shards, and whether they are all of it. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include "tensor/block.h"

typedef struct dn_sharded_tensor {
    dn_tensor tensor;
    size_t n_shards;
    const dn_shard *shards; /* borrowed */
} dn_sharded_tensor;

/** Whether the blocks of shards hold each element of [rows, cols] exactly once; if not, why. They may hold
 * any values.
 */
bool dn_shards_tile(size_t rows, size_t cols, const dn_shard *shards, size_t n, char *why, size_t bytes);

#endif
