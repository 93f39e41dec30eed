/*
 * Weights of a model whose matrices are cut over fs, made readable unit by unit (a unit: the embedding, a
 * block, the head) as a pass comes to them, and the gradients' way back to their owners.
 */
#ifndef SYNC_WEIGHTS_H
#define SYNC_WEIGHTS_H

#include "dionode/mesh.h"
#include "optim/param.h"

#include <stdbool.h>

/* How other members' parts become readable: where they lie, in a copy for each NUMA domain, or in one for
 * each rank. */
typedef enum dn_gather { DN_GATHER_IN_PLACE, DN_GATHER_PER_DOMAIN, DN_GATHER_PER_RANK } dn_gather;

/* Rows row0.. and columns col0.. of a weight; weight and grad are [rows, cols] dense. A backward pass adds to
 * grad. */
typedef struct dn_piece {
    size_t row0, rows, col0, cols;
    dn_buf *weight, *grad;
} dn_piece;

/* This rank's share over tp of a stack of matrices, [rows, cols], in pieces over fs that tile it: column
 * bands where tp cuts rows, row bands where tp cuts columns. Empty pieces are left out. */
typedef struct dn_weight {
    size_t rows, cols, n_pieces;
    const dn_piece *pieces;
} dn_weight;

typedef struct dn_weights dn_weights;

/** Symmetric heap that dn_weights_create takes, in bytes. */
size_t dn_weights_heap_bytes(const dn_param *params, size_t n_params, const size_t *unit_of,
                             const int size[DN_N_AXES], dn_gather gather);

/** Collective. unit_of [n_params], ascending; all arguments are borrowed. Owned by the caller. Errors:
 * DN_ERR_MEMORY. */
dn_status dn_weights_create(const dn_param *params, size_t n_params, const size_t *unit_of,
                            const dn_mesh *mesh, dn_gather gather, dn_stream *stream,
                            dn_weights **out) DN_MUST_USE;
void dn_weights_destroy(dn_weights **weights);

/** Collective over fs (free where fs is 1). Makes a unit's weights readable for a pass; for a backward pass
 * there is zeroed room for its gradients too. Units are opened in ascending order forward, in descending
 * order backward, one at a time. */
dn_status dn_weights_open(dn_weights *weights, size_t unit, bool backward) DN_MUST_USE;

/** The weight of the stack that starts with this parameter; while its unit is open. */
const dn_weight *dn_weights_of(const dn_weights *weights, size_t first_param);

/** Collective over fs. Backward: adds the mean over fs of the unit's gradient to the parameters' gradients,
 * each rank its own blocks. */
dn_status dn_weights_close(dn_weights *weights, size_t unit, bool backward) DN_MUST_USE;

#endif
