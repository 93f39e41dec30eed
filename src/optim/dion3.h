/*
 * Dion3 (also NorDion2) on one matrix, as phases without communication (arXiv 2608.11612; dion.md 7): Dion2
 * over rows, with mu for ef_decay, its update normalized row by row as NorMuon's, and the second moments kept
 * for selected rows only. The paper orthonormalizes by the Gram form (linalg/newton_schulz.h).
 *
 *     accumulate, norms, choice, take    Dion2's; then O = the polar factor of the selected rows
 *     squares, moments                   NorMuon's, with the numbers of the selected rows here
 *     apply        X = (1 - lr wd) X everywhere, then selected rows -= lr s (||O|| / ||f O||) f O
 */
#ifndef OPTIM_DION3_H
#define OPTIM_DION3_H

#include "optim/dion2.h"
#include "optim/normuon.h"

/** As dn_dion2_shape_of, always by rows. */
dn_dion2_shape dn_dion3_shape_of(size_t rows, size_t cols, double fraction);

/** host_factor [k] and norms, those of all selected rows, from dn_normuon_moments; o [k, cols]. */
void dn_dion3_apply(dn_stream *s, const dn_dion2 *d, const int32_t *host_ids, size_t k, const dn_buf *o,
                    const double *host_factor, const double norms[2], const dn_dion2_step *step);

#endif
