#include "optim/adamw.h"

#include <math.h>

void dn_adamw_update(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n, uint64_t step,
                     dn_adamw_step rule)
{
    rule.correction1 = 1 - pow(rule.beta1, (double)step + 1);
    rule.correction2 = 1 - pow(rule.beta2, (double)step + 1);
    s->kernels->adamw(s, x, m, v, g, n, &rule);
}
