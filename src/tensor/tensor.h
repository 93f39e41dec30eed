/* A tensor as a whole and its shards: the common description that optimizer states, checkpoints and
 * verification use. Owns nothing. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include "dionode/types.h"
#include "tensor/block.h"

#define DN_TENSOR_NAME_MAX 128 /* bytes of a name, with its end */

/* What one rank holds of a tensor. */
typedef struct dn_shard {
    dn_block block; /* may be empty */
    void *data; /* [block.rows, block.cols] of the tensor's type, dense, row-major; an address of this rank's
                   symmetric memory: what another rank holds is read through dn_comm_view */
    int rank;
    int replica; /* that it belongs to: the shards of one replica tile the tensor exactly */
} dn_shard;

typedef struct dn_tensor {
    char name[DN_TENSOR_NAME_MAX]; /* as in checkpoints: "dion.q.<param>" */
    size_t rows, cols;             /* global */
    dn_type type;
    bool per_replica; /* the copies of replicas differ (decoupled momentum); others are bitwise equal */
    size_t n_shards;
    const dn_shard *shards; /* borrowed; where they are listed */
} dn_tensor;

#endif
