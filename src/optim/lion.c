#include "optim/lion.h"

#include <math.h>

void dn_lion_update(dn_stream *s, const dn_param *param, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n,
                    const dn_lion_step *rule)
{
    double scale = param->kind == DN_PARAM_HEAD ? 1 / sqrt((double)param->cols) : 1;
    /* The kernel decays by lr * weight_decay: what scales lr must not scale the decay. */
    s->kernels->lion(s, x, m, g, n, rule->lr * scale, rule->beta1, rule->beta2, rule->weight_decay / scale);
}
