/* What Dion2 shares with Dion3. */
#ifndef OPTIM_DION2_H
#define OPTIM_DION2_H

#include "optim/rule.h"

/** dn_rule.accumulate: M (state 0) += G. */
void dn_dion2_accumulate(dn_stream *s, const dn_matrix_shard *x, double *scores);

/** dn_rule.direction with that ef_decay: copies the selected rows or columns of M over the gradient, [n_ids,
 * cols] or [rows, n_ids], then scales them in M by ef_decay. */
void dn_dion2_take(dn_stream *s, const dn_matrix_shard *x, double ef_decay);

#endif
