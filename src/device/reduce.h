/* Reduction loops, compiled for each instruction set; the fastest that the processor supports is used. */
#ifndef DEVICE_REDUCE_H
#define DEVICE_REDUCE_H

#include "dionode/types.h"

#define DN_CHUNK                                                                                             \
    2048 /* elements that a kernel takes at most: sums of a chunk stay in the first-level cache */

/** out [n <= DN_CHUNK] = sources[0] op sources[1] op ..., in this order, n_sources >= 1. DN_AVG divides by
 * n_averaged, which is n_sources unless these are partial sums of more. out overlaps no source. */
typedef void dn_reduce_fn(void *out, const void *const *sources, int n_sources, size_t n, int n_averaged);

typedef struct dn_reducers {
    const char *name;
    dn_reduce_fn *reduce[DN_N_TYPES][DN_N_OPS];
} dn_reducers;

/** Never NULL. Selected once per process. */
const dn_reducers *dn_reducers_best(void);

/** All that this processor supports, the best first; NULL-terminated; for tests. */
const dn_reducers *const *dn_reducers_all(void);

#endif
