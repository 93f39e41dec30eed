/* AdamW with bias correction, eps outside the root, decoupled decay first (dion.md 1.9). */
#ifndef OPTIM_ADAMW_H
#define OPTIM_ADAMW_H

#include "compute/kernels.h"
#include "optim/param.h"

/** Updates param's weight and its moments m, v [rows, cols] (start at 0) from its gradient. step counts from
 * 0; the rule's corrections are set here. */
void dn_adamw_update(dn_stream *s, const dn_param *param, dn_buf *m, dn_buf *v, uint64_t step,
                     dn_adamw_step rule);

#endif
