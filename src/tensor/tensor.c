#include "tensor/tensor.h"

#include <stdint.h>
#include <stdio.h>

static bool find_overlap(const dn_shard *shards, size_t n, char *why, size_t bytes)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            dn_block both = dn_block_intersect(shards[i].block, shards[j].block);
            if (dn_block_size(both) == 0)
                continue;
            snprintf(why, bytes, "%zu x %zu elements from [%zu, %zu] are covered by rank %d and again by %d",
                     both.rows, both.cols, both.row0, both.col0, shards[j].rank, shards[i].rank);
            return true;
        }
    }
    return false;
}

static bool covers(const dn_shard *shards, size_t n, size_t row, size_t col)
{
    for (size_t i = 0; i < n; i++) {
        const dn_block *b = &shards[i].block;
        if (row >= b->row0 && row - b->row0 < b->rows && col >= b->col0 && col - b->col0 < b->cols)
            return true;
    }
    return false;
}

/* The first element that nobody has: above it, and left of it, is the edge of the matrix or of a part (what
 * covers its neighbour would cover it too if it did not end between them). */
static void find_hole(size_t rows, size_t cols, const dn_shard *shards, size_t n, size_t at[2])
{
    at[0] = at[1] = SIZE_MAX;
    for (size_t i = 0; i <= n; i++) {
        size_t row = i < n ? shards[i].block.row0 + shards[i].block.rows : 0;
        for (size_t j = 0; j <= n; j++) {
            size_t col = j < n ? shards[j].block.col0 + shards[j].block.cols : 0;
            bool before = row < at[0] || (row == at[0] && col < at[1]);
            if (before && row < rows && col < cols && !covers(shards, n, row, col)) {
                at[0] = row;
                at[1] = col;
            }
        }
    }
}

bool dn_shards_tile(size_t rows, size_t cols, const dn_shard *shards, size_t n, char *why, size_t bytes)
{
    size_t sum = 0, at[2];
    for (size_t i = 0; i < n; i++) {
        const dn_block b = shards[i].block;
        if (!dn_block_is_within(b, rows, cols)) {
            snprintf(why, bytes, "rank %d holds %zu x %zu elements from [%zu, %zu], beyond [%zu, %zu]",
                     shards[i].rank, b.rows, b.cols, b.row0, b.col0, rows, cols);
            return false;
        }
        sum += dn_block_size(b);
    }
    if (find_overlap(shards, n, why, bytes))
        return false;
    if (sum == rows * cols)
        return true;
    find_hole(rows, cols, shards, n, at);
    snprintf(why, bytes, "%zu of %zu elements are covered by no rank, the first is [%zu, %zu]",
             rows * cols - sum, rows * cols, at[0], at[1]);
    return false;
}
