/* How an orthonormal update is scaled so that one learning rate serves all shapes (dion.md 1.9, 7). */
#ifndef OPTIM_ADJUST_H
#define OPTIM_ADJUST_H

#include <stddef.h>

typedef enum dn_adjust {
    DN_ADJUST_NONE,          /* 1 */
    DN_ADJUST_SPECTRAL_NORM, /* sqrt(rows/cols): an update of RMS-to-RMS operator norm 1 */
    DN_ADJUST_RMS_NORM,      /* 0.2 sqrt(max(rows, cols)): entries of the size AdamW's have (Moonshot) */
} dn_adjust;

/** Factor on the learning rate of the update, not of the decay, for a matrix of that global shape. */
double dn_adjust_factor(dn_adjust adjust, size_t rows, size_t cols);

#endif
