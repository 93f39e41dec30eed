/* What Muon shares with NorMuon. */
#ifndef OPTIM_MUON_H
#define OPTIM_MUON_H

#include "optim/rule.h"

/** X = (1 - lr wd) X; cautious: only where U X >= 0, with U, or anything of U's signs, in the gradient's
 * memory. */
void dn_muon_decay(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                   const dn_update_params *p);

/** dn_rule.direction: M = mu M + G (state 0); U = M, or G + mu M with Nesterov, over the gradient. */
void dn_muon_direction(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x);

#endif
