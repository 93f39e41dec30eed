#include "optim/sgd.h"

#include "compute/kernels.h"

void dn_sgd_update(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *g, size_t n, const dn_sgd_step *rule)
{
    s->kernels->axpby(s, m, 1, g, rule->mu, n);
    if (rule->nesterov)
        s->kernels->axpby(s, g, rule->mu, m, 1, n);
    s->kernels->axpby(s, x, -rule->lr, rule->nesterov ? g : m, 1 - rule->lr * rule->weight_decay, n);
}
