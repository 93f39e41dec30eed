#include "tensor/block.h"

#include "base/size.h"

dn_range dn_shard_range(size_t n, size_t unit, int parts, int index)
{
    size_t units = (n + unit - 1) / unit, at = (size_t)index;
    size_t each = units / (size_t)parts, more = units % (size_t)parts; /* so many shards are a unit larger */
    size_t first = (each * at + (at < more ? at : more)) * unit;
    size_t end = first + (each + (at < more)) * unit;
    return (dn_range){first < n ? first : n, end < n ? end : n};
}

dn_range dn_range_intersect(dn_range a, dn_range b)
{
    size_t first = dn_max(a.first, b.first), end = dn_min(a.end, b.end);
    return (dn_range){first, dn_max(first, end)};
}

dn_range dn_sharding_range(dn_dim_sharding sharding, size_t n, const int size[DN_N_AXES],
                           const int at[DN_N_AXES])
{
    if (sharding.unit == 0)
        return (dn_range){0, n};
    return dn_shard_range(n, sharding.unit, size[sharding.axis], at[sharding.axis]);
}

dn_block dn_tensor_block(const dn_tensor *tensor, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    return dn_block_of(dn_sharding_range(tensor->row_sharding, tensor->rows, size, at),
                       dn_sharding_range(tensor->col_sharding, tensor->cols, size, at));
}

dn_block dn_block_intersect(dn_block a, dn_block b)
{
    return dn_block_of(dn_range_intersect(dn_block_rows(a), dn_block_rows(b)),
                       dn_range_intersect(dn_block_cols(a), dn_block_cols(b)));
}

bool dn_block_is_within(dn_block b, size_t rows, size_t cols)
{
    return b.row0 <= rows && b.rows <= rows - b.row0 && b.col0 <= cols && b.cols <= cols - b.col0;
}
