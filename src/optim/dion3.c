#include "optim/dion3.h"

#include "compute/kernels.h"

#include <math.h>

dn_dion2_shape dn_dion3_shape_of(size_t rows, size_t cols, double fraction)
{
    return (dn_dion2_shape){.rows = rows,
                            .cols = cols,
                            .by_rows = true,
                            .size = rows,
                            .k = (size_t)fmax(1, ceil(fraction * (double)rows))};
}

void dn_dion3_apply(dn_stream *s, const dn_dion2 *d, const int32_t *host_ids, size_t k, const dn_buf *o,
                    const double *host_factor, const double norms[2], const dn_dion2_step *step)
{
    double scale = dn_adjust_factor(step->adjust, d->shape.rows, d->shape.cols) * dn_normuon_scale(norms);
    s->kernels->scale(s, d->weight, 1 - step->lr * step->weight_decay, d->weight, d->rows * d->cols);
    s->kernels->add_rows(s, d->weight, host_ids, -step->lr * scale, host_factor, o, k, d->cols);
}
