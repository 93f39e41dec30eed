/*
 * Long matrices orthonormalized where their parts are, by the Gram form of Newton-Schulz
 * (linalg/newton_schulz.h), in two rounds of:
 *
 *     every rank   the Gram matrix [a,a] of its part, a the short side
 *     -- reduce to owners: their sum, in rank order --
 *     owners       from it the factor K [a,a]
 *     -- barrier --
 *     every rank   its part times K, read where the owner has it
 *
 * The short side must not be cut. P ranks move 4 (P-1) a^2 numbers, against 2 (P-1)/P a b to the owner of an
 * a x b matrix and back: fewer where b > 2 P a. Done only where the Gram form is asked for, so that one rank
 * and many do the same arithmetic, and not for rules that need the whole matrix somewhere: for second moments
 * of rows, or to transform it themselves.
 *
 * Counted as a reduce-scatter to owners and an all-gather from them, each round.
 */
#ifndef SHARD_GRAM_H
#define SHARD_GRAM_H

#include "shard/owner.h"

/** Whether the matrix of a parameter state is orthonormalized this way; [rows, cols] of it are. */
bool dn_gram_pays(const dn_optim_config *config, const dn_param_state *ps, size_t rows, size_t cols);

/** Collective over the mesh; queued kernels have finished. Of the matrices of the batch that are spread:
 * this rank's part, in the gradient's memory, becomes its part of the polar factor. Sets found. Errors:
 * DN_ERR_NUMERIC not finite; those of the exchanges. */
dn_status dn_gram_orthonormalize(const dn_owner_work *w, dn_owner_batch *b) DN_MUST_USE;

double dn_gram_block_flops(const dn_owned_matrix *x, const dn_mesh *mesh);

#endif
