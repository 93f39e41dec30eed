/* AMS sketches (Alon, Matias and Szegedy, STOC 1996; Cormode and Garofalakis, VLDB 2005): linear in what is sketched, and the
 * median of the squared norms of their rows estimates that of the whole. */
#ifndef STRATEGY_SKETCH_H
#define STRATEGY_SKETCH_H

#include "strategy/strategy.h"

enum { DN_SKETCH_ROWS = 5, DN_SKETCH_WIDTH = 250, DN_SKETCH_SIZE = DN_SKETCH_ROWS * DN_SKETCH_WIDTH };

/** sketch [DN_SKETCH_SIZE] += that of x->grad, this rank's block of a parameter: each element counts with the sign, and in the
 * bucket of each row, that its place in the whole parameter gives it, on any mesh. Waits for the stream. */
dn_status dn_sketch_add(dn_stream *s, uint64_t seed, const dn_strategy_param *x, double *sketch) DN_MUST_USE;

/** Median of the rows' squared norms. */
double dn_sketch_square(const double *sketch);

#endif
