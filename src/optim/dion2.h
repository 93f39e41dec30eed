/* What Dion2 shares with Dion3. */
#ifndef OPTIM_DION2_H
#define OPTIM_DION2_H

#include "optim/rule.h"

/** dn_rule.accumulate: M (state 0) += G. */
void dn_dion2_accumulate(dn_stream *s, const dn_matrix_shard *x, double *scores);

/** dn_rule.direction with that ef_decay: the selected part of M, which then fades to ef_decay times itself,
 * goes where the gradient was: [n_ids, cols], or [rows, n_ids]. */
void dn_dion2_take(dn_stream *s, const dn_matrix_shard *x, double ef_decay);

#endif
