/*
 * Second moments of the rows of an orthonormalized matrix, as in NorMuon (arXiv 2510.05491) and Dion3.
 *
 *     v_i   = beta2 v_i + (1-beta2) mean_j O_ij^2
 *     f_i   = 1 / (sqrt(v_i) + 1e-8)
 *     norms = ||O||^2 and ||f O||^2, which is NaN if a v_i of these rows is not finite
 *     update: X -= lr s (||O|| / max(||f O||, 1e-8)) f O, which keeps the Frobenius norm
 */
#ifndef OPTIM_ROW_MOMENTS_H
#define OPTIM_ROW_MOMENTS_H

#include "optim/rule.h"

/** dn_rule.at_owner of these rules: updates rows x->ids of v [rows of the parameter], which is state 1.
 * Decay: row_beta2. Waits for the stream; errors: of the stream. */
dn_status dn_row_moments(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *x) DN_MUST_USE;

/** dn_state_spec.at_owner of v: one element per row. */
dn_state_shape dn_row_moments_shape(size_t rows, size_t cols);

/** The factor on f that preserves the Frobenius norm, from the norms of the whole matrix. */
double dn_row_moments_scale(const double norms[2]);

#endif
