/* AdamW with bias correction, eps outside the root, decoupled decay first (dion.md 1.9). */
#ifndef OPTIM_ADAMW_H
#define OPTIM_ADAMW_H

#include "compute/kernels.h"

/** Updates n weights x and their moments m, v (start at 0) from gradients g. step counts from 0; the rule's
 * corrections are set here. */
void dn_adamw_update(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n, uint64_t step,
                     dn_adamw_step rule);

#endif
