#include "optim/param.h"

#include <stdio.h>

void dn_param_set_whole(dn_param *param)
{
    param->row_cut = param->col_cut = (dn_cut){DN_N_AXES, 1};
    param->split = 1;
    param->window_of = NULL;
    param->block = (dn_block){0, param->rows, 0, param->cols};
}

static dn_range part(dn_cut cut, size_t n, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    if (cut.axis == DN_N_AXES)
        return (dn_range){0, n};
    return dn_part(n, cut.unit, size[cut.axis], at[cut.axis]);
}

static size_t clamp(size_t x, size_t low, size_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* What a range of rows of the whole tensor has of a window's, counted from the window's first. */
static dn_range within(const dn_param *window, dn_range rows)
{
    size_t low = window->first_row, high = low + window->rows;
    return (dn_range){clamp(rows.first, low, high) - low, clamp(rows.end, low, high) - low};
}

dn_block dn_param_block(const dn_param *param, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    dn_range rows = part(param->row_cut, param->window_of ? param->window_of->rows : param->rows, size, at);
    dn_range cols = part(param->col_cut, param->cols, size, at);
    if (param->window_of)
        rows = within(param, rows);
    return (dn_block){rows.first, rows.end - rows.first, cols.first, cols.end - cols.first};
}

dn_param dn_param_window(const dn_param *whole, size_t n, size_t k)
{
    dn_param window = *whole;
    const dn_block block = whole->block;
    if (n > 1)
        snprintf(window.name, sizeof window.name, "%.*s.%u", DN_PARAM_SPLIT_NAME_MAX - 1, whole->name,
                 (unsigned)k);
    window.split = 1;
    window.stack = 0;
    window.window_of = whole;
    window.rows = whole->rows / n;
    window.first_row = k * window.rows;
    dn_range rows = within(&window, (dn_range){block.row0, block.row0 + block.rows});
    window.block = (dn_block){rows.first, rows.end - rows.first, block.col0, block.cols};
    size_t skipped = dn_param_skipped(&window, block);
    window.weight = whole->weight ? dn_at(whole->weight, skipped) : NULL;
    window.grad = whole->grad ? dn_at(whole->grad, skipped) : NULL;
    return window;
}

size_t dn_param_skipped(const dn_param *window, dn_block block)
{
    size_t end = block.row0 + block.rows, first = clamp(window->first_row, block.row0, end);
    return (first - block.row0) * block.cols;
}

size_t dn_param_room(const dn_param *param, const int size[DN_N_AXES])
{
    const int first[DN_N_AXES] = {0}; /* larger parts come first */
    dn_block block = dn_param_block(param, size, first);
    return block.rows * block.cols;
}
