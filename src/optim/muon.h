/*
 * Muon on one matrix, as phases without communication (Jordan 2024; dion.md 7):
 *
 *     accumulate   M = mu M + G,  U = M, or G + mu M (Nesterov)
 *                  then O = the polar factor of the whole U (linalg/newton_schulz.h)
 *     apply        X = (1 - lr wd) X - lr s O,  s by the global shape (optim/adjust.h)
 *
 * Both phases are element-wise: they serve a whole matrix, or the part of it that stands here. A driver of
 * sharded matrices brings the parts of U together at one owner and deals those of O out again.
 */
#ifndef OPTIM_MUON_H
#define OPTIM_MUON_H

#include "compute/device.h"
#include "optim/adjust.h"

#include <stdbool.h>

/* One matrix, or the part of it here; all borrowed. */
typedef struct dn_muon {
    size_t rows, cols; /* global shape: it decides the scale */
    size_t n;          /* elements here */
    dn_buf *weight;    /* X [n] */
    dn_buf *grad;      /* G [n] */
    dn_buf *momentum;  /* M [n], starts at 0 */
} dn_muon;

typedef struct dn_muon_step {
    double lr, weight_decay; /* lr as it stands; s is applied inside, to the update only */
    double mu;
    bool nesterov;
    dn_adjust adjust;
} dn_muon_step;

/** Returns U [n]: the momentum itself, to be copied before it is orthonormalized; or, with Nesterov, the
 * gradient's memory, which now holds U. */
dn_buf *dn_muon_accumulate(dn_stream *s, const dn_muon *d, const dn_muon_step *step);

/** o [n] = O here. */
void dn_muon_apply(dn_stream *s, const dn_muon *d, const dn_buf *o, const dn_muon_step *step);

#endif
