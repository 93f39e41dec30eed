/* A tensor with all its shards. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include "tensor/block.h"

typedef struct dn_sharded_tensor {
    dn_tensor tensor;
    size_t n_shards;
    const dn_shard *shards; /* borrowed */
} dn_sharded_tensor;

#endif
