/* Ranges of a dimension and blocks of a matrix. Any of them may be empty. */
#ifndef TENSOR_BLOCK_H
#define TENSOR_BLOCK_H

#include "dionode/tensor.h"

#include <stdbool.h>

static inline size_t dn_range_size(dn_range range)
{
    return range.end - range.first;
}

/** The intersection; if it is empty, it lies at an end of one of them. */
dn_range dn_range_intersect(dn_range a, dn_range b);

/** The axis that shards a dimension, as a set: empty where none does. */
static inline unsigned dn_sharding_axes(dn_dim_sharding sharding)
{
    return sharding.unit ? DN_AXIS(sharding.axis) : 0;
}

/** The axes that shard rows or columns of a tensor. */
static inline unsigned dn_tensor_axes(const dn_tensor *tensor)
{
    return dn_sharding_axes(tensor->row_sharding) | dn_sharding_axes(tensor->col_sharding);
}

/** Makes it [rows, cols], not sharded. */
static inline void dn_tensor_set_whole(dn_tensor *tensor, size_t rows, size_t cols)
{
    tensor->rows = rows;
    tensor->cols = cols;
    tensor->row_sharding = tensor->col_sharding = (dn_dim_sharding){0};
}

/** The range of a dimension of n that the rank at coordinates at[] of a mesh of size[] holds; all of it where
 * the dimension is not sharded. */
dn_range dn_sharding_range(dn_dim_sharding sharding, size_t n, const int size[DN_N_AXES],
                           const int at[DN_N_AXES]);

static inline dn_block dn_block_of(dn_range rows, dn_range cols)
{
    return (dn_block){rows.first, dn_range_size(rows), cols.first, dn_range_size(cols)};
}

static inline dn_range dn_block_rows(dn_block block)
{
    return (dn_range){block.row0, block.row0 + block.rows};
}

static inline dn_range dn_block_cols(dn_block block)
{
    return (dn_range){block.col0, block.col0 + block.cols};
}

/** Elements. */
static inline size_t dn_block_size(dn_block block)
{
    return block.rows * block.cols;
}

dn_block dn_block_intersect(dn_block a, dn_block b);

/** Whether a block lies within a matrix [rows, cols]; the block may hold any values. */
bool dn_block_is_within(dn_block block, size_t rows, size_t cols);

#endif
