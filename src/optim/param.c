#include "optim/param.h"

#include "base/inject.h"

void dn_param_set_whole(dn_param *param)
{
    param->row_cut = param->col_cut = (dn_cut){DN_N_AXES, 1};
    param->block = (dn_block){0, param->rows, 0, param->cols};
}

static dn_range part(dn_cut cut, size_t n, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    if (cut.axis == DN_N_AXES)
        return (dn_range){0, n};
    dn_range part = dn_part(n, cut.unit, size[cut.axis], at[cut.axis]);
    if (dn_injected(DN_INJECT_EVEN_PARTS)) {
        size_t units = (n + cut.unit - 1) / cut.unit;
        size_t first = units / (size_t)size[cut.axis] * (size_t)at[cut.axis] * cut.unit;
        part = (dn_range){first, first + (part.end - part.first)};
    }
    return part;
}

dn_block dn_param_block(const dn_param *param, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    dn_range rows = part(param->row_cut, param->rows, size, at);
    dn_range cols = part(param->col_cut, param->cols, size, at);
    return (dn_block){rows.first, rows.end - rows.first, cols.first, cols.end - cols.first};
}

size_t dn_param_room(const dn_param *param, const int size[DN_N_AXES])
{
    const int first[DN_N_AXES] = {0}; /* larger parts come first */
    dn_block block = dn_param_block(param, size, first);
    return block.rows * block.cols;
}
