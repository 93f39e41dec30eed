#include "checkpoint/shards.h"

#include "base/fail.h"
#include "base/size.h"

#include <string.h>

static bool is_empty(const dn_shard *shard)
{
    return !shard->data || shard->block.rows == 0 || shard->block.cols == 0;
}

bool dn_block_is_within(const dn_block *b, size_t rows, size_t cols)
{
    return b->row0 <= rows && b->rows <= rows - b->row0 && b->col0 <= cols && b->cols <= cols - b->col0;
}

static bool overlap(const dn_block *a, const dn_block *b)
{
    return a->row0 < b->row0 + b->rows && b->row0 < a->row0 + a->rows && a->col0 < b->col0 + b->cols &&
           b->col0 < a->col0 + a->cols;
}

/* The first shard before `index` that holds some of the same elements, or `index`. */
static size_t find_overlap(const dn_tensor *tensor, size_t index)
{
    size_t other = 0;
    while (other < index && (is_empty(&tensor->shards[other]) ||
                             !overlap(&tensor->shards[other].block, &tensor->shards[index].block)))
        other++;
    return other;
}

/* Shards within the tensor that do not overlap leave no hole if they have as many elements. */
dn_status dn_shards_check(const dn_tensor *tensor)
{
    size_t held = 0;
    for (size_t i = 0; i < tensor->n_shards; i++) {
        const dn_block *block = &tensor->shards[i].block;
        if (is_empty(&tensor->shards[i]))
            continue;
        if (!dn_block_is_within(block, tensor->rows, tensor->cols))
            return dn_fail(DN_ERR_ARG, "%s: shard %zu lies beyond the tensor [%zu, %zu]", tensor->name, i,
                           tensor->rows, tensor->cols);
        size_t other = find_overlap(tensor, i);
        if (other < i)
            return dn_fail(DN_ERR_ARG, "%s: shards %zu and %zu overlap: give each element once", tensor->name,
                           other, i);
        held += block->rows * block->cols;
    }
    if (held != tensor->rows * tensor->cols)
        return dn_fail(DN_ERR_ARG, "%s: its shards hold %zu of %zu elements: give all of them", tensor->name,
                       held, tensor->rows * tensor->cols);
    return DN_OK;
}

/* width: bytes of an element. The part of row `row` that lies in the shard, as far as it is among elements
 * first .. end-1. */
static void copy_row(const dn_shard *shard, size_t width, size_t cols, size_t row, size_t first, size_t end,
                     char *out)
{
    const dn_block *b = &shard->block;
    size_t from = row * cols + b->col0, to = from + b->cols;
    const char *data = (const char *)shard->data + (row - b->row0) * b->cols * width;
    size_t start = dn_max(from, first), stop = dn_min(to, end);
    if (start < stop)
        memcpy(out + (start - first) * width, data + (start - from) * width, (stop - start) * width);
}

void dn_shards_gather(const dn_tensor *tensor, size_t first, size_t n, void *out)
{
    size_t end = first + n;
    if (n == 0)
        return;
    size_t first_row = first / tensor->cols, last_row = (end - 1) / tensor->cols;
    for (size_t i = 0; i < tensor->n_shards; i++) {
        const dn_block *b = &tensor->shards[i].block;
        if (is_empty(&tensor->shards[i]))
            continue;
        size_t row = b->row0 > first_row ? b->row0 : first_row;
        for (; row < b->row0 + b->rows && row <= last_row; row++)
            copy_row(&tensor->shards[i], dn_type_bytes(tensor->type), tensor->cols, row, first, end, out);
    }
}
