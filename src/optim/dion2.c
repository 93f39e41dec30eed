#include "optim/dion2.h"

#include "compute/kernels.h"

#include <math.h>

dn_dion2_shape dn_dion2_shape_of(size_t rows, size_t cols, double fraction)
{
    dn_dion2_shape z = {.rows = rows, .cols = cols, .by_rows = rows <= cols};
    z.size = z.by_rows ? rows : cols;
    z.k = (size_t)fmax(1, ceil(fraction * (double)z.size));
    return z;
}

void dn_dion2_accumulate(dn_stream *s, const dn_dion2 *d, double *host_norms)
{
    if (!host_norms)
        s->kernels->axpby(s, d->momentum, 1, d->grad, 1, d->rows * d->cols);
    else if (d->shape.by_rows)
        s->kernels->add_row_norms1(s, host_norms, d->momentum, d->grad, d->rows, d->cols);
    else
        s->kernels->add_column_norms1(s, host_norms, d->momentum, d->grad, d->rows, d->cols);
}

void dn_dion2_take(dn_stream *s, const dn_dion2 *d, const int32_t *host_ids, size_t k, dn_buf *selected,
                   const dn_dion2_step *step)
{
    if (d->shape.by_rows)
        s->kernels->take_rows(s, selected, d->momentum, host_ids, k, d->cols, step->ef_decay);
    else
        s->kernels->take_columns(s, selected, d->momentum, host_ids, k, d->rows, d->cols, step->ef_decay);
}

void dn_dion2_apply(dn_stream *s, const dn_dion2 *d, const int32_t *host_ids, size_t k, const dn_buf *o,
                    const dn_dion2_step *step)
{
    double rate = -step->lr * dn_adjust_factor(step->adjust, d->shape.rows, d->shape.cols);
    s->kernels->scale(s, d->weight, 1 - step->lr * step->weight_decay, d->weight, d->rows * d->cols);
    if (d->shape.by_rows)
        s->kernels->add_rows(s, d->weight, host_ids, rate, NULL, o, k, d->cols);
    else
        s->kernels->add_columns(s, d->weight, host_ids, rate, o, k, d->rows, d->cols);
}
