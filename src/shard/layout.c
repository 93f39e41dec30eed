#include "shard/layout.h"

#include "base/size.h"

dn_layout dn_layout_of(const dn_param *param, const int size[DN_N_AXES], bool decoupled)
{
    dn_layout layout = {.param = param, .size = {size[DN_DP], size[DN_FS], size[DN_TP]}};
    layout.row_axes = dn_axes_of(size, DN_AXIS(param->row_sharding.axis));
    layout.col_axes = dn_axes_of(size, DN_AXIS(param->col_sharding.axis));
    unsigned copies = dn_axes_without(size, layout.row_axes | layout.col_axes);
    if (decoupled) {
        layout.replicas = copies;
    } else {
        layout.slices = copies;
        layout.row_axes |= copies;
    }
    return layout;
}

/* The share of a range of rows of the rank at at[], among the ranks along a set of axes. */
static dn_range share(const dn_layout *layout, dn_range range, unsigned axes, const int at[DN_N_AXES])
{
    dn_range part = dn_shard_range(dn_range_size(range), 1, dn_axes_size(layout->size, axes),
                                   dn_axes_rank(layout->size, axes, at));
    return (dn_range){range.first + part.first, range.first + part.end};
}

dn_block dn_layout_block(const dn_layout *layout, const int at[DN_N_AXES])
{
    dn_block block = dn_param_block(layout->param, layout->size, at);
    dn_range rows = {block.row0, block.row0 + block.rows};
    rows = share(layout, rows, layout->slices, at);
    return (dn_block){rows.first, dn_range_size(rows), block.col0, block.cols};
}

dn_layout_most dn_layout_most_of(const dn_layout *layout, bool transposed)
{
    dn_layout_most most = {0};
    for (int rank = 0; rank < dn_axes_size(layout->size, DN_ALL_AXES); rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(layout->size, rank, at);
        dn_block part = dn_layout_block(layout, at);
        dn_factor_shards shards = dn_layout_factor_shards(layout, transposed, at);
        most.part = dn_max(most.part, part.rows * part.cols);
        most.m = dn_max(most.m, dn_range_size(shards.m));
        most.n = dn_max(most.n, dn_range_size(shards.n));
    }
    return most;
}

unsigned dn_layout_m_axes(const dn_layout *layout, bool transposed)
{
    return transposed ? layout->col_axes : layout->row_axes;
}

unsigned dn_layout_n_axes(const dn_layout *layout, bool transposed)
{
    return transposed ? layout->row_axes : layout->col_axes;
}

dn_factor_shards dn_layout_factor_shards(const dn_layout *layout, bool transposed, const int at[DN_N_AXES])
{
    dn_block part = dn_layout_block(layout, at);
    dn_range rows = {part.row0, part.row0 + part.rows}, cols = {part.col0, part.col0 + part.cols};
    unsigned a = dn_layout_m_axes(layout, transposed), b = dn_layout_n_axes(layout, transposed);
    dn_factor_shards shards = {.m = transposed ? cols : rows, .n = transposed ? rows : cols};
    shards.p = share(layout, shards.m, dn_axes_without(layout->size, a), at);
    shards.q = share(layout, shards.n, a, at);
    shards.r = share(layout, shards.n, dn_axes_without(layout->size, b), at);
    return shards;
}
