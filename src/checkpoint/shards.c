#include "checkpoint/shards.h"

#include "base/size.h"
#include "comm/world.h"
#include "device/device.h"

#include <string.h>

/* Of the rows from *row up to, not including, *end that elements first .. first+n-1 lie in, those that the shard has
 * some of. */
static bool has_rows(const dn_shard *shard, size_t cols, size_t first, size_t n, size_t *row, size_t *end)
{
    const dn_block *b = &shard->block;
    *row = dn_max(b->row0, first / cols);
    *end = dn_min(b->row0 + b->rows, (first + n - 1) / cols + 1);
    return b->cols > 0 && *row < *end;
}

/* width: bytes of an element. x: the shard's row of that number. Its part among elements first .. end-1. */
static void copy_row(const dn_block *b, const char *x, size_t width, size_t cols, size_t row, size_t first,
                     size_t end, char *out)
{
    size_t from = row * cols + b->col0, to = from + b->cols;
    size_t start = dn_max(from, first), stop = dn_min(to, end);
    if (start < stop)
        memcpy(out + (start - first) * width, x + (start - from) * width, (stop - start) * width);
}

/* How many elements of the shard are before `element` of the tensor, which is in this row of it. */
static size_t index_in_shard(const dn_block *b, size_t cols, size_t row, size_t element)
{
    size_t from = row * cols + b->col0;
    return (row - b->row0) * b->cols + (element > from ? dn_min(element - from, b->cols) : 0);
}

/* Elements first .. end-1 of the tensor, as far as they are in rows [row, last) of the shard, which no host reads where they lie, or must
 * not bring to where they would lie here: something else of that rank's may be on its way there. In pieces, each one copy from the
 * device, or another node, whose runs of a row then go to their places. */
static void fetch_rows(dn_comm *comm, const dn_shard *shard, size_t width, size_t cols, size_t row, size_t last, size_t first,
                       size_t end, char *out)
{
    _Alignas(64) char piece[64 << 10];
    const dn_block *b = &shard->block;
    const size_t stop = index_in_shard(b, cols, last - 1, end);
    for (size_t at = index_in_shard(b, cols, row, first), n; at < stop; at += n) {
        n = dn_min(sizeof piece / width, stop - at);
        dn_comm_fetch(comm, piece, dn_comm_chunk_of((const char *)shard->data + at * width, n * width), shard->rank);
        dn_comm_count_fetched(comm, n * width, shard->rank, DN_TRAFFIC_CONTROL);
        for (size_t i = at, run; i < at + n; i += run) {
            run = dn_min(b->cols - i % b->cols, at + n - i);
            size_t from = (b->row0 + i / b->cols) * cols + b->col0 + i % b->cols;
            memcpy(out + (from - first) * width, piece + (i - at) * width, run * width);
        }
    }
}

void dn_shards_gather(dn_comm *comm, const dn_sharded_tensor *tensor, size_t first, size_t n, void *out)
{
    size_t width = dn_type_bytes(tensor->tensor.type), row, end;
    for (size_t i = 0; n > 0 && i < tensor->n_shards; i++) {
        const dn_shard *shard = &tensor->shards[i];
        if (!has_rows(shard, tensor->tensor.cols, first, n, &row, &end))
            continue;
        size_t row_bytes = shard->block.cols * width;
        const char *rows = (const char *)shard->data + (row - shard->block.row0) * row_bytes;
        if (dn_device_is_apart() || dn_comm_node(comm, shard->rank) != dn_comm_node(comm, dn_comm_rank(comm))) {
            fetch_rows(comm, shard, width, tensor->tensor.cols, row, end, first, first + n, out);
            continue;
        }
        const char *x = dn_comm_view(comm, dn_comm_chunk_of(rows, (end - row) * row_bytes), shard->rank,
                                     DN_TRAFFIC_CONTROL);
        for (; row < end; row++, x += row_bytes)
            copy_row(&shard->block, x, width, tensor->tensor.cols, row, first, first + n, out);
    }
}

int dn_shards_holder(const dn_sharded_tensor *tensor, size_t first, size_t n, size_t turn)
{
    size_t n_holders = 0, row, end;
    for (size_t i = 0; i < tensor->n_shards; i++)
        n_holders += has_rows(&tensor->shards[i], tensor->tensor.cols, first, n, &row, &end);
    turn %= n_holders;
    for (const dn_shard *shard = tensor->shards;; shard++)
        if (has_rows(shard, tensor->tensor.cols, first, n, &row, &end) && turn-- == 0)
            return shard->rank;
}
