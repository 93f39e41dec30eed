/* Lion: the sign of a blend of momentum and gradient (dion.md 1.9). */
#ifndef OPTIM_LION_H
#define OPTIM_LION_H

#include "compute/kernels.h"
#include "optim/param.h"

typedef struct dn_lion_step {
    double lr, beta1, beta2, weight_decay;
} dn_lion_step;

/** Updates param's weight and its momentum m [rows, cols] (starts at 0) from its gradient. An output head's
 * update, not its decay, is scaled by 1/sqrt(fan_in). */
void dn_lion_update(dn_stream *s, const dn_param *param, dn_buf *m, const dn_lion_step *rule);

#endif
