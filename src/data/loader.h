/*
 * Which tokens are in which row of which batch: a pure function of (seed, step, row), never of the mesh, so
 * any mesh sees the same tokens in the same step and a resumed run needs no position but the step.
 *
 * The stream is cut into rows of T+1 tokens (each row's last target is the next row's first token). Training
 * visits the rows in order or in a keyed pseudo-random order, a new permutation each epoch (a Feistel network over the
 * row numbers, walked until it lands inside; no table). Validation visits them in order.
 */
#ifndef DATA_LOADER_H
#define DATA_LOADER_H

#include "data/tokens.h"

#include <stdbool.h>

typedef struct dn_loader {
    const dn_tokens *tokens; /* borrowed */
    size_t T;                /* tokens a row */
    size_t vocab_size;
    uint64_t seed;
    bool shuffle;
} dn_loader;

/** Rows in one epoch: (count - 1) / T. */
size_t dn_loader_rows(const dn_loader *loader);

/** Row `index` of the run (0, 1, ... over all epochs): inputs [T], targets [T], host. Errors: as
 * dn_tokens_read; DN_ERR_DATA if the stream is shorter than one row. */
dn_status dn_loader_row(const dn_loader *loader, uint64_t index, int32_t *inputs,
                        int32_t *targets) DN_MUST_USE;

#endif
