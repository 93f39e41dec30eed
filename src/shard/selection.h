/*
 * Which rows or columns of matrices are the largest by L1 norm, chosen on all ranks alike from norms of the
 * whole (optim/rule.h).
 *
 *     global   the k = ceil(fraction * size) largest of the matrix: the same on every mesh
 *     local    of each part that fs or tp cuts the selected dimension into, the largest ceil(fraction * its
 *              size): as the reference's shards choose. Replicas share parts, so dp changes nothing.
 *
 * Norms of whole rows are exchanged for both: on one node they cost nothing beside the rows themselves, and
 * where other columns of a row lie elsewhere a choice without them would not be one of rows.
 *
 * A choice is not continuous: of two norms that differ by less than rounding, another mesh may take the
 * other.
 */
#ifndef SHARD_SELECTION_H
#define SHARD_SELECTION_H

#include "shard/owner.h"

/** What the rule takes of a parameter on a mesh of size[]. */
dn_selection dn_selection_of(const dn_rule *rule, const dn_optim_config *config, const int size[DN_N_AXES],
                             const dn_param *param);

/** Collective over the mesh, if one matrix of the batch has a choice. M += G of each, and in the same
 * pass its scores; from these ids and ids_here. Errors: DN_ERR_NUMERIC on all ranks if a norm is not finite;
 * of the group. */
dn_status dn_selection_choose(const dn_owner_work *w, dn_owner_batch *b) DN_MUST_USE;

#endif
