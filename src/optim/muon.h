/* What Muon shares with NorMuon. */
#ifndef OPTIM_MUON_H
#define OPTIM_MUON_H

#include "optim/rule.h"

/** dn_rule.direction: M = mu M + G (state 0); U = M, or G + mu M with Nesterov, in the gradient's memory. */
void dn_muon_direction(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x);

#endif
