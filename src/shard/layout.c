#include "shard/layout.h"

#include "base/size.h"

#include <string.h>

dn_layout dn_layout_of(const dn_param *param, const int size[DN_N_AXES], bool decoupled)
{
    dn_layout layout = {.param = param, .size = {size[DN_DP], size[DN_FS], size[DN_TP]}};
    layout.row_axes = dn_axes_of(size, dn_sharding_axes(param->tensor.row_sharding));
    layout.col_axes = dn_axes_of(size, dn_sharding_axes(param->tensor.col_sharding));
    unsigned copies = dn_axes_without(size, layout.row_axes | layout.col_axes);
    layout.replicas = decoupled ? copies & DN_AXIS(DN_DP) : 0;
    layout.slices = copies & ~layout.replicas;
    layout.row_axes |= layout.slices;
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
    return dn_block_of(share(layout, dn_block_rows(block), layout->slices, at), dn_block_cols(block));
}

int dn_layout_largest(const dn_layout *layout, int at[DN_LAYOUT_LARGEST][DN_N_AXES])
{
    const dn_param *param = layout->param;
    const dn_axis axis = param->tensor.row_sharding.axis;
    memset(at, 0, sizeof(int[DN_LAYOUT_LARGEST][DN_N_AXES]));
    if (!param->view_of || !dn_sharding_axes(param->tensor.row_sharding))
        return 1;
    int low = 0, high = layout->size[axis] - 1;
    while (low < high) {
        int middle = at[1][axis] = (low + high) / 2;
        dn_block block = dn_tensor_block(&param->view_of->tensor, layout->size, at[1]);
        if (block.row0 + block.rows > param->first_row)
            high = middle;
        else
            low = middle + 1;
    }
    at[1][axis] = low;
    at[2][axis] = low + 1 < layout->size[axis] ? low + 1 : low;
    return DN_LAYOUT_LARGEST;
}

dn_layout_most dn_layout_most_of(const dn_layout *layout, bool transposed)
{
    dn_layout_most most = {0};
    int at[DN_LAYOUT_LARGEST][DN_N_AXES];
    for (int i = 0, n = dn_layout_largest(layout, at); i < n; i++) {
        dn_block part = dn_layout_block(layout, at[i]);
        dn_factor_shards shards = dn_layout_factor_shards(layout, transposed, at[i]);
        most.part = dn_max(most.part, dn_block_size(part));
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
    dn_range rows = dn_block_rows(part), cols = dn_block_cols(part);
    unsigned a = dn_layout_m_axes(layout, transposed), b = dn_layout_n_axes(layout, transposed);
    dn_factor_shards shards = {.m = transposed ? cols : rows, .n = transposed ? rows : cols};
    shards.p = share(layout, shards.m, dn_axes_without(layout->size, a), at);
    shards.q = share(layout, shards.n, a, at);
    shards.r = share(layout, shards.n, dn_axes_without(layout->size, b), at);
    return shards;
}
