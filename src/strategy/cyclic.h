/* Cyclic aggregation, of replicas (cyclic.c, which has the formulas) and of clients (fedcyclic.c). */
#ifndef STRATEGY_CYCLIC_H
#define STRATEGY_CYCLIC_H

#include "strategy/strategy.h"

enum { DN_CYCLE_STEP, DN_CYCLE_SCALE };

extern const dn_key dn_option_cycle_amplitude, dn_option_cycles, dn_option_cycle_form;

typedef struct dn_cycle {
    double amplitude;
    uint64_t cycles; /* of the whole run */
    int form;
} dn_cycle;

/** The mean [n] of what was trained from the anchor becomes what round number `round` (from 0) of n_rounds makes of it. */
void dn_cycle_apply(const dn_cycle *cycle, uint64_t round, uint64_t n_rounds, dn_stream *s, dn_buf *mean, const dn_buf *anchor, size_t n);

#endif
