/* Lion: the sign of a blend of momentum and gradient (dion.md 1.9). */
#ifndef OPTIM_LION_H
#define OPTIM_LION_H

#include "compute/kernels.h"
#include "optim/param.h"

typedef struct dn_lion_step {
    double lr, beta1, beta2, weight_decay;
} dn_lion_step;

/** Updates n weights x of param and their momentum m (starts at 0) from gradients g. The update of an output
 * head, not its decay, is scaled by 1/sqrt(fan_in) of the whole parameter: here, and nowhere else. */
void dn_lion_update(dn_stream *s, const dn_param *param, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n,
                    const dn_lion_step *rule);

#endif
