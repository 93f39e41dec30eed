#include "optim/dion.h"

#include "base/inject.h"
#include "compute/kernels.h"

#include <math.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

dn_dion_shape dn_dion_shape_of(size_t rows, size_t cols, double fraction, size_t multiple_of)
{
    size_t n = smaller(rows, cols), m = rows + cols - n;
    size_t r = multiple_of * (size_t)ceil(fraction * (double)n / (double)multiple_of);
    return (dn_dion_shape){
        .rows = rows, .cols = cols, .m = m, .n = n, .r = smaller(r, n), .transposed = rows < cols};
}

bool dn_dion_compresses(const dn_dion_shape *shape, double fraction)
{
    return fraction < 1 && (shape->m + shape->n) * shape->r < shape->m * shape->n;
}

double dn_dion_product_flops(const dn_dion_shape *shape)
{
    return 2.0 * (double)shape->m * (double)shape->n * (double)shape->r;
}

double dn_dion_orth_flops(size_t m, size_t r)
{
    double tall = (double)m, wide = (double)r;
    return 4 * tall * wide * wide - 4.0 / 3.0 * wide * wide * wide;
}

void dn_dion_accumulate(dn_stream *s, const dn_dion *d)
{
    s->kernels->axpby(s, d->momentum, 1, d->grad, 1, d->rows * d->cols);
}

/* Rows of P, and of R and Q, that belong to the block. */
static size_t block_m(const dn_dion *d)
{
    return d->shape.transposed ? d->cols : d->rows;
}

static size_t block_n(const dn_dion *d)
{
    return d->shape.transposed ? d->rows : d->cols;
}

void dn_dion_project(dn_stream *s, const dn_dion *d, double scale, dn_buf *p, const dn_buf *basis)
{
    size_t r = d->shape.r;
    s->kernels->gemm(s, d->shape.transposed ? DN_T : DN_N, DN_N, block_m(d), r, block_n(d), scale,
                     d->momentum, d->cols, basis, r, 0, p, r);
}

void dn_dion_reflect(dn_stream *s, const dn_dion *d, double scale, dn_buf *r_out, const dn_buf *p)
{
    size_t r = d->shape.r;
    s->kernels->gemm(s, d->shape.transposed ? DN_N : DN_T, DN_N, block_n(d), r, block_m(d), scale,
                     d->momentum, d->cols, p, r, 0, r_out, r);
}

/* y [rows, cols] = alpha P W^T (its transpose if B is M^T) + beta y,  w [n,r]. */
static void add_low_rank(dn_stream *s, const dn_dion *d, dn_buf *y, double alpha, const dn_buf *p,
                         const dn_buf *w, double beta)
{
    const dn_buf *left = d->shape.transposed ? w : p, *right = d->shape.transposed ? p : w;
    size_t r = d->shape.r;
    s->kernels->gemm(s, DN_N, DN_T, d->rows, d->cols, r, alpha, left, r, right, r, beta, y, d->cols);
}

void dn_dion_feed_back(dn_stream *s, const dn_dion *d, const dn_buf *p, const dn_buf *r,
                       const dn_dion_step *step)
{
    add_low_rank(s, d, d->momentum, -(1 - step->mu), p, r, 1);
}

void dn_dion_apply(dn_stream *s, const dn_dion *d, const dn_buf *p, const dn_buf *q, const dn_dion_step *step)
{
    double scale = sqrt((double)d->shape.rows / (double)d->shape.cols);
    if (dn_injected(DN_INJECT_LOCAL_FAN_OUT) && d->cols > 0)
        scale = sqrt((double)d->rows / (double)d->cols);
    add_low_rank(s, d, d->weight, -step->lr * scale, p, q, 1 - step->lr * step->weight_decay);
}

void dn_dion_update(dn_stream *s, const dn_dion *d, const dn_buf *p, dn_buf *r, const double *squares,
                    const dn_dion_step *step)
{
    dn_dion_feed_back(s, d, p, r, step);
    s->kernels->normalize_columns(s, r, r, block_n(d), d->shape.r, step->eps, squares);
    dn_dion_apply(s, d, p, r, step);
}
