/* Decoupled momentum (Peng et al., arXiv 2411.19870): each replica's own, of which it sends a part, and the update that all
 * make of what was sent: what demo and replicators share. */
#ifndef STRATEGY_DECOUPLED_H
#define STRATEGY_DECOUPLED_H

#include "strategy/strategy.h"

enum { DN_UPDATE_SIGN, DN_UPDATE_PLAIN, DN_UPDATE_MUON };

extern const dn_key dn_option_demo_beta, dn_option_demo_update;

/** d = beta d + lr g */
void dn_decoupled_momentum(const dn_strategy_context *c, const dn_strategy_param *x, dn_buf *d, double beta);

/** The weights' update by u = x->grad, which the replicas have alike; it is overwritten. With the learning rate lr and decay wd
 * w = (1 - lr wd) w, then: plain: w -= u, which has the rate in it already; sign: w -= lr sign(u), sign(0) = 0; muon: hidden
 * matrices w -= lr polar(u) (Newton-Schulz, Polar Express), others as sign. */
void dn_decoupled_update(const dn_strategy_context *c, const dn_strategy_param *x, int update);

/** A dn_strategy.cut_dependent of it. */
const char *dn_decoupled_is_cut_dependent(int update);

/** Numbers of scratch that it needs for a block. */
size_t dn_decoupled_scratch(int update, size_t rows, size_t cols);

#endif
