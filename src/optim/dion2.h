/*
 * Dion2 on one matrix, as phases without communication (arXiv 2512.16928; dion.md 7): only the k rows or
 * columns of the momentum that are largest by L1 norm are orthonormalized, and only they fade.
 *
 *     accumulate   M += G
 *     norms        L1 norm of each row or column here      + over ranks that hold other parts of it
 *                  then the choice, on the norms of all of the matrix: dn_select_largest (linalg/select.h)
 *     take         S = selected part of M;  that part of M = ef_decay * itself
 *                  then O = the polar factor of the whole S
 *     apply        X = (1 - lr wd) X everywhere, then the selected part -= lr s O, s by the full shape
 *
 * Selected are rows where there are at most as many as columns, else columns: shape alone decides, so that
 * the result does not depend on a sharding. That is the reference's "global" selection; its "local" one is
 * the same phases with the choice made on each rank's own norms.
 */
#ifndef OPTIM_DION2_H
#define OPTIM_DION2_H

#include "compute/device.h"
#include "optim/adjust.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dn_dion2_shape {
    size_t rows, cols; /* global */
    bool by_rows;      /* rows are selected, else columns */
    size_t size, k;    /* how many there are, and how many of them are selected */
} dn_dion2_shape;

/** k = ceil(fraction * size), at least 1, 0 < fraction <= 1. */
dn_dion2_shape dn_dion2_shape_of(size_t rows, size_t cols, double fraction);

/* One matrix, or the part of it here; all borrowed. */
typedef struct dn_dion2 {
    dn_dion2_shape shape;
    size_t rows, cols;     /* here */
    dn_buf *weight, *grad; /* [rows, cols] */
    dn_buf *momentum;      /* [rows, cols], starts at 0 */
} dn_dion2;

typedef struct dn_dion2_step {
    double lr, weight_decay; /* lr as it stands; s is applied inside, to the update only */
    double ef_decay;
    dn_adjust adjust;
} dn_dion2_step;

/** M += G, and host_norms [rows or cols here] are then M's, complete after dn_stream_sync. NULL: nobody asks.
 */
void dn_dion2_accumulate(dn_stream *s, const dn_dion2 *d, double *host_norms);

/** selected [k, cols] or [rows, k] = the k rows or columns with these numbers, counted here; k may be 0. */
void dn_dion2_take(dn_stream *s, const dn_dion2 *d, const int32_t *host_ids, size_t k, dn_buf *selected,
                   const dn_dion2_step *step);

/** o: the selected part's orthonormalized counterpart, shaped as selected. */
void dn_dion2_apply(dn_stream *s, const dn_dion2 *d, const int32_t *host_ids, size_t k, const dn_buf *o,
                    const dn_dion2_step *step);

#endif
