#include "strategy/outer.h"

#include <math.h>

static const struct {
    uint64_t rounds; /* below so many */
    dn_outer outer;
} by_rounds[] = {{100, {1, 0}}, {500, {0.8, 0.6}}, {UINT64_MAX, {0.7, 0.9}}};

dn_outer dn_outer_by_rounds(double lr, double momentum, uint64_t n_rounds)
{
    int row = 0;
    while (n_rounds >= by_rounds[row].rounds)
        row++;
    return (dn_outer){isnan(lr) ? by_rounds[row].outer.lr : lr,
                      isnan(momentum) ? by_rounds[row].outer.momentum : momentum};
}

void dn_outer_step(dn_stream *s, dn_outer outer, dn_buf *a, dn_buf *b, const dn_buf *d, size_t n)
{
    s->kernels->axpby(s, b, 1, d, outer.momentum, n);
    s->kernels->axpby(s, a, -outer.lr, d, 1, n);
    s->kernels->axpby(s, a, -outer.lr * outer.momentum, b, 1, n);
}
