#include "optim/param.h"

#include <stdio.h>
#include <string.h>

static size_t clamp(size_t x, size_t low, size_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* What a range of rows of the whole tensor has of a view's, counted from the view's first. */
static dn_range within(const dn_param *view, dn_range rows)
{
    size_t low = view->first_row, high = low + view->tensor.rows;
    return (dn_range){clamp(rows.first, low, high) - low, clamp(rows.end, low, high) - low};
}

dn_block dn_param_block(const dn_param *param, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    dn_block block = dn_tensor_block(param->view_of ? &param->view_of->tensor : &param->tensor, size, at);
    if (param->view_of)
        block = dn_block_of(within(param, dn_block_rows(block)), dn_block_cols(block));
    return block;
}

dn_range dn_param_split(const dn_param *whole, size_t n, size_t k)
{
    size_t each = whole->tensor.rows / n, first = 0;
    if (n == 1 || whole->split_rows[0] == 0)
        return (dn_range){k * each, (k + 1) * each};
    for (size_t i = 0; i < k; i++)
        first += whole->split_rows[i];
    return (dn_range){first, first + whole->split_rows[k]};
}

dn_param dn_param_view(const dn_param *whole, size_t n, size_t k)
{
    dn_param view = *whole;
    const dn_block block = whole->block;
    if (n > 1)
        snprintf(view.tensor.name, sizeof view.tensor.name, "%.*s.%u", DN_PARAM_SPLIT_NAME_MAX - 1,
                 whole->tensor.name, (unsigned)k);
    view.n_views = 1;
    view.stack = 0;
    view.place = whole->place ? whole->place + k : 0;
    view.view_of = whole;
    const dn_range own = dn_param_split(whole, n, k);
    view.first_row = own.first;
    view.tensor.rows = own.end - own.first;
    memset(view.split_rows, 0, sizeof view.split_rows);
    view.block = dn_block_of(within(&view, dn_block_rows(block)), dn_block_cols(block));
    size_t skipped = dn_param_view_offset(&view, block);
    view.weight = whole->weight ? dn_at(whole->weight, skipped) : NULL;
    view.grad = whole->grad ? dn_at(whole->grad, skipped) : NULL;
    return view;
}

size_t dn_param_view_offset(const dn_param *view, dn_block block)
{
    size_t end = block.row0 + block.rows, first = clamp(view->first_row, block.row0, end);
    return (first - block.row0) * block.cols;
}

size_t dn_param_max_size(const dn_param *param, const int size[DN_N_AXES])
{
    const int first[DN_N_AXES] = {0}; /* larger parts come first */
    return dn_block_size(dn_param_block(param, size, first));
}
