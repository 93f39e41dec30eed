/**
 * Tensors: name, shape, type, and which axis of a mesh (dionode/mesh.h) shards which dimension; and the
 * shards that ranks hold of them. A tensor here is a matrix [rows, cols], row-major: a vector of n is [n, 1],
 * and what has more dimensions, as a convolution's filters, is the matrix of its first dimension and all
 * others together.
 */
#ifndef DIONODE_TENSOR_H
#define DIONODE_TENSOR_H

#include "dionode/status.h"
#include "dionode/types.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Axes of a mesh: data parallel, fully sharded, tensor parallel, and pipeline stages, along which no tensor is
 * sharded: each stage has tensors of its own. The size of an axis is 1 where it is 0, as where a list of sizes
 * leaves the last ones out. */
typedef enum dn_axis { DN_DP, DN_FS, DN_TP, DN_PP, DN_N_AXES } dn_axis;

/* A set of axes is a bit mask. */
#define DN_AXIS(axis) (1u << (axis))
#define DN_ALL_AXES   (DN_AXIS(DN_N_AXES) - 1)

/* [first, end) */
typedef struct dn_range {
    size_t first, end;
} dn_range;

/* A block of a matrix: rows row0 .. row0 + rows - 1 and columns col0 .. col0 + cols - 1. */
typedef struct dn_block {
    size_t row0, rows, col0, cols;
} dn_block;

/**
 * Shard `index` of a dimension of n, split into `parts` shards of whole units of `unit` >= 1 (the last unit
 * may be short). Shards differ by at most one unit, larger ones first; a shard may be empty.
 */
DN_API dn_range dn_shard_range(size_t n, size_t unit, int parts, int index);

/* How one dimension is sharded along an axis of the mesh: dn_shard_range in units (1: any row; the size of a
 * head: between heads). */
typedef struct dn_dim_sharding {
    dn_axis axis;
    size_t unit; /* 0: not sharded */
} dn_dim_sharding;

#define DN_TENSOR_NAME_MAX 128 /* bytes of a name, with its end */

/* A tensor as a whole: the same on all ranks. Owns nothing. */
typedef struct dn_tensor {
    char name[DN_TENSOR_NAME_MAX];
    size_t rows, cols;
    dn_type type;
    dn_dim_sharding row_sharding, col_sharding; /* over different axes. Ranks along all others hold copies of
                                                   a block, or each a shard of its rows */
    bool per_replica; /* copies differ (decoupled momentum); others are bitwise equal */
} dn_tensor;

/* What one rank holds of a tensor. */
typedef struct dn_shard {
    dn_block block; /* may be empty */
    void *data;  /* [block.rows, block.cols] of the tensor's type, dense, row-major; an address of this rank's
                    symmetric memory: what another rank holds is read through dn_comm_view */
    int rank;    /* that holds it */
    int replica; /* that it belongs to: the shards of one replica tile the tensor exactly */
} dn_shard;

/** The block that the sharding leaves the rank at coordinates at[] of a mesh of size[]. */
DN_API dn_block dn_tensor_block(const dn_tensor *tensor, const int size[DN_N_AXES], const int at[DN_N_AXES]);

#ifdef __cplusplus
}
#endif

#endif
