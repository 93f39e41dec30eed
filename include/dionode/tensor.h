/**
 * Blocks of tensors, and how a dimension is sharded over a mesh (dionode/mesh.h).
 */
#ifndef DIONODE_TENSOR_H
#define DIONODE_TENSOR_H

#include "dionode/status.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Axes of a mesh: data parallel, fully sharded, tensor parallel. */
typedef enum dn_axis { DN_DP, DN_FS, DN_TP, DN_N_AXES } dn_axis;

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
    size_t unit; /* 0 in a dn_optim_tensor: not sharded */
} dn_dim_sharding;

#ifdef __cplusplus
}
#endif

#endif
