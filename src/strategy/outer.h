/* The outer step of DiLoCo and its relatives. */
#ifndef STRATEGY_OUTER_H
#define STRATEGY_OUTER_H

#include "strategy/strategy.h"

typedef struct dn_outer {
    double lr, momentum;
} dn_outer;

/** The outer step's settings where they are given, else (NAN) by the number of exchanges in the run: momentum that few
 * rounds build up does harm. */
dn_outer dn_outer_by_rounds(double lr, double momentum, uint64_t n_rounds);

/** With Nesterov momentum, as PyTorch's SGD has it: b = mu b + d; a = a - eta (d + mu b). d [n] is the mean of what
 * replicas moved by, a [n] where they set out from, b [n] the momentum. */
void dn_outer_step(dn_stream *s, dn_outer outer, dn_buf *a, dn_buf *b, const dn_buf *d, size_t n);

#endif
