/* Random elements of every type, and plain arithmetic on them to hold collectives against: element by
 * element, in rank order, nothing shared with the library. */
#ifndef SUPPORT_TYPED_H
#define SUPPORT_TYPED_H

#include "dionode/comm.h"

#define TYPED_MAX_BYTES ((size_t)40001 * 8) /* of one rank's elements in one call */

/** Draws what all ranks will bring; once, before there are ranks. */
void typed_draw(void);

/** Fills out [n] with what `rank` brings to call number `call`. */
void typed_bring(void *out, dn_type type, uint64_t call, int rank, size_t n);

/** out [n] = elements [first, first + n) of the reduction of what n_ranks bring. */
void typed_reduce(void *out, dn_type type, dn_op op, uint64_t call, int n_ranks, size_t first, size_t n);

#endif
