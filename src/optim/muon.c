#include "optim/muon.h"

#include "compute/kernels.h"

dn_buf *dn_muon_accumulate(dn_stream *s, const dn_muon *d, const dn_muon_step *step)
{
    s->kernels->axpby(s, d->momentum, 1, d->grad, step->mu, d->n);
    if (!step->nesterov)
        return d->momentum;
    s->kernels->axpby(s, d->grad, step->mu, d->momentum, 1, d->n);
    return d->grad;
}

void dn_muon_apply(dn_stream *s, const dn_muon *d, const dn_buf *o, const dn_muon_step *step)
{
    double scale = dn_adjust_factor(step->adjust, d->rows, d->cols);
    s->kernels->axpby(s, d->weight, -step->lr * scale, o, 1 - step->lr * step->weight_decay, d->n);
}
