/*
 * Long matrices orthonormalized where their parts are, by the Gram form of Newton-Schulz
 * (linalg/newton_schulz.h), twice over:
 *
 *     every rank   the Gram matrix [a,a] of its part, a the short side
 *     -- meet --
 *     owners       the sum of those of a matrix, in rank order; from it the factor K [a,a]
 *     -- meet --
 *     every rank   its part times K, read where the owner has it
 *
 * It needs the short side uncut. P ranks move 4 (P-1) a^2 numbers, against 2 (P-1)/P a b to the owner of an
 * a x b matrix and back: less where b > 2 P a. Only where the Gram form is asked for, so that one rank and
 * many do the same arithmetic, and not for rules that need the whole somewhere: for second moments of rows,
 * or to transform it themselves.
 *
 * Accounts: a reduce-scatter to owners and an all-gather from them, each round.
 */
#ifndef SYNC_SPREAD_H
#define SYNC_SPREAD_H

#include "sync/whole.h"

/** Whether a slot goes this way, of which [rows, cols] are orthonormalized. */
bool dn_spread_pays(const dn_optim_config *config, const dn_slot *slot, size_t rows, size_t cols);

/** Collective over the mesh, kernels have finished: as dn_whole_orthonormalize, of those matrices of the
 * batch that are spread. Sets found. */
dn_status dn_spread_orthonormalize(const dn_wholes *w, dn_whole_batch *b) DN_MUST_USE;

double dn_spread_part_flops(const dn_whole *x, const dn_mesh *mesh);
void dn_spread_formula(const dn_wholes *w, const dn_whole_batch *b, dn_formula *formula);

#endif
