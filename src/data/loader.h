/*
 * The data loader: the tokens of a row of a batch are a pure function of (seed, step, row), not of the mesh,
 * so that all meshes see the same tokens in the same step, and a resumed run needs only the step number.
 *
 * The stream is split into rows of T+1 tokens (the last target of a row is the first token of the next).
 * Training visits them in order, or shuffled by a new keyed permutation each epoch (a Feistel network with
 * cycle walking; no table). Validation visits them in order.
 */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include "data/partition.h"
#include "data/tokens.h"

#include <stdbool.h>

typedef struct dn_loader {
    const dn_tokens *tokens; /* borrowed */
    size_t T;                /* tokens per row */
    size_t vocab_size;
    uint64_t seed;
    bool shuffle;
    const dn_partition *partition; /* NULL: all rows; or those of one client */
    int client;
} dn_loader;

/** Where row `value` of n stands in the order of that epoch: a permutation of 0 .. n-1. */
uint64_t dn_shuffled(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t value);

/** Rows in one epoch: (count - 1) / T, or the client's. */
size_t dn_loader_rows(const dn_loader *loader);

/** Row `index` of the run (0, 1, ... over all epochs): inputs [T], targets [T], host; a target that does not count is -1.
 * Errors: as dn_tokens_read; DN_ERR_DATA if the stream is shorter than one row. */
dn_status dn_loader_row(const dn_loader *loader, uint64_t index, int32_t *inputs,
                        int32_t *targets) DN_MUST_USE;

/** *n: the targets that count in so many rows from `index` on. Errors: the same. */
dn_status dn_loader_counted(const dn_loader *loader, uint64_t index, size_t n_rows, size_t *n) DN_MUST_USE;

#endif
