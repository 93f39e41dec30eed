#include "optim/dion.h"

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

double dn_dion_orth_flops(const dn_dion_shape *shape)
{
    double m = (double)shape->m, r = (double)shape->r;
    return 4 * m * r * r - 4.0 / 3.0 * r * r * r;
}

void dn_dion_accumulate(dn_stream *s, const dn_dion *d)
{
    s->kernels->axpby(s, d->momentum, 1, d->grad, 1, d->shape.rows * d->shape.cols);
}

/* out = op(M) factor, with op(M) [k_out, k_in] and r columns. */
static void multiply(dn_stream *s, const dn_dion *d, dn_trans op, dn_buf *out, const dn_buf *factor)
{
    const dn_dion_shape *z = &d->shape;
    size_t k_out = op == DN_N ? z->rows : z->cols, k_in = op == DN_N ? z->cols : z->rows;
    s->kernels->gemm(s, op, DN_N, k_out, z->r, k_in, 1, d->momentum, z->cols, factor, z->r, 0, out, z->r);
}

void dn_dion_project(dn_stream *s, const dn_dion *d, dn_buf *p, const dn_buf *basis)
{
    multiply(s, d, d->shape.transposed ? DN_T : DN_N, p, basis);
}

void dn_dion_reflect(dn_stream *s, const dn_dion *d, dn_buf *r, const dn_buf *p)
{
    multiply(s, d, d->shape.transposed ? DN_N : DN_T, r, p);
}

/* y [rows, cols] = alpha P W^T (its transpose if B is M^T) + beta y,  w [n,r]. */
static void add_low_rank(dn_stream *s, const dn_dion *d, dn_buf *y, double alpha, const dn_buf *p,
                         const dn_buf *w, double beta)
{
    const dn_dion_shape *z = &d->shape;
    const dn_buf *left = z->transposed ? w : p, *right = z->transposed ? p : w;
    s->kernels->gemm(s, DN_N, DN_T, z->rows, z->cols, z->r, alpha, left, z->r, right, z->r, beta, y, z->cols);
}

void dn_dion_feed_back(dn_stream *s, const dn_dion *d, const dn_buf *p, const dn_buf *r,
                       const dn_dion_step *step)
{
    add_low_rank(s, d, d->momentum, -(1 - step->mu), p, r, 1);
}

void dn_dion_apply(dn_stream *s, const dn_dion *d, const dn_buf *p, const dn_buf *q, const dn_dion_step *step)
{
    double scale = sqrt((double)d->shape.rows / (double)d->shape.cols);
    add_low_rank(s, d, d->weight, -step->lr * scale, p, q, 1 - step->lr * step->weight_decay);
}

void dn_dion_update(dn_stream *s, const dn_dion *d, const dn_buf *p, const dn_buf *r,
                    const dn_dion_step *step)
{
    dn_dion_feed_back(s, d, p, r, step);
    s->kernels->normalize_columns(s, d->q, r, d->shape.n, d->shape.r, step->eps, NULL);
    dn_dion_apply(s, d, p, d->q, step);
}

void dn_dion_decay(dn_stream *s, const dn_dion *d, const dn_dion_step *step)
{
    const dn_dion_shape *z = &d->shape;
    /* The gradient is finite and multiplied by 0: only the weight's factor counts. */
    s->kernels->axpby(s, d->weight, 0, d->grad, 1 - step->lr * step->weight_decay, z->rows * z->cols);
    s->kernels->normalize_columns(s, d->q, d->q, z->n, z->r, step->eps, NULL);
}
