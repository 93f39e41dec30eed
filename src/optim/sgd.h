/* Stochastic gradient descent with momentum, decay decoupled as everywhere here (Loshchilov and Hutter,
 * arXiv 1711.05101: SGDW). */
#ifndef OPTIM_SGD_H
#define OPTIM_SGD_H

#include "compute/device.h"

#include <stdbool.h>

typedef struct dn_sgd_step {
    double lr, weight_decay;
    double mu; /* 0: none */
    bool nesterov;
} dn_sgd_step;

/** m = mu m + g;  x = (1 - lr wd) x - lr u,  u = m, or g + mu m (Nesterov): n weights and their momentum
 * (starts at 0). With Nesterov g's memory is used up: it holds u. */
void dn_sgd_update(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *g, size_t n, const dn_sgd_step *rule);

#endif
