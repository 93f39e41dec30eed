#include "optim/dion.h"

#include "base/size.h"
#include "compute/kernels.h"
#include "optim/rule.h"

#include <math.h>

dn_dion_shape dn_dion_shape_of(size_t rows, size_t cols, double fraction, size_t multiple_of)
{
    size_t n = dn_min(rows, cols), m = rows + cols - n;
    size_t r = multiple_of * (size_t)ceil(fraction * (double)n / (double)multiple_of);
    return (dn_dion_shape){
        .rows = rows, .cols = cols, .m = m, .n = n, .r = dn_min(r, n), .transposed = rows < cols};
}

bool dn_dion_compresses(const dn_dion_shape *shape, double fraction)
{
    return fraction < 1 && (shape->m + shape->n) * shape->r < shape->m * shape->n;
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

dn_product dn_dion_project(const dn_dion *d, double scale, dn_buf *p, const dn_buf *basis)
{
    size_t r = d->shape.r;
    return (dn_product){.ta = d->shape.transposed ? DN_T : DN_N,
                        .tb = DN_N,
                        .m = block_m(d),
                        .n = r,
                        .k = block_n(d),
                        .alpha = scale,
                        .a = d->momentum,
                        .lda = d->cols,
                        .b = basis,
                        .ldb = r,
                        .c = p,
                        .ldc = r};
}

dn_product dn_dion_reflect(const dn_dion *d, double scale, dn_buf *r_out, const dn_buf *p)
{
    size_t r = d->shape.r;
    return (dn_product){.ta = d->shape.transposed ? DN_N : DN_T,
                        .tb = DN_N,
                        .m = block_n(d),
                        .n = r,
                        .k = block_m(d),
                        .alpha = scale,
                        .a = d->momentum,
                        .lda = d->cols,
                        .b = p,
                        .ldb = r,
                        .c = r_out,
                        .ldc = r};
}

/* y [rows, cols] = alpha P W^T (its transpose if B is M^T) + beta y,  w [n,r]. */
static dn_product add_low_rank(const dn_dion *d, dn_buf *y, double alpha, const dn_buf *p, const dn_buf *w,
                               double beta)
{
    size_t r = d->shape.r;
    return (dn_product){.ta = DN_N,
                        .tb = DN_T,
                        .m = d->rows,
                        .n = d->cols,
                        .k = r,
                        .alpha = alpha,
                        .a = d->shape.transposed ? w : p,
                        .lda = r,
                        .b = d->shape.transposed ? p : w,
                        .ldb = r,
                        .beta = beta,
                        .c = y,
                        .ldc = d->cols};
}

dn_product dn_dion_feed_back(const dn_dion *d, const dn_buf *p, const dn_buf *r, const dn_dion_step *step)
{
    return add_low_rank(d, d->momentum, -(1 - step->mu), p, r, 1);
}

void dn_dion_normalize(dn_stream *s, const dn_dion *d, dn_buf *r, const double *squares,
                       const dn_dion_step *step)
{
    s->kernels->normalize_columns(s, r, r, block_n(d), d->shape.r, step->eps, squares);
}

dn_product dn_dion_apply(const dn_dion *d, const dn_buf *p, const dn_buf *q, const dn_dion_step *step)
{
    double scale = sqrt((double)d->shape.rows / (double)d->shape.cols);
    return add_low_rank(d, d->weight, -step->lr * scale, p, q, 1 - step->lr * step->weight_decay);
}

static const dn_key option_rank_multiple_of =
    DN_OPTION(rank_multiple_of, "rank_multiple_of", "1", .min = 1, .max = 1 << 20,
              .help = "the rank is rounded up to a multiple of this");
static const dn_key option_orth =
    DN_OPTION(orth, "qr_method", "cqr2", .choices = DN_ORTH_NAMES,
              .help = "orthonormalization: Cholesky QR twice in double (at full rank Householder), Householder, "
                      "Cholesky, or randomized Cholesky");
static const dn_key option_power_iters =
    DN_OPTION(power_iters, "power_iters", "1", .min = 1, .max = 100, .help = "power iterations a step");
static const dn_key option_orth_dion =
    DN_OPTION(orth_dion, "orth_dion", "false",
              .help = "Orth-Dion: R is orthonormalized where Dion normalizes its columns");
static const dn_key option_adaptive_rank =
    DN_OPTION(adaptive_rank, "adaptive_rank", "false",
              .help = "AdaDion: each matrix's rank follows its spectrum; ortho_fraction gives the largest");
static const dn_key option_compress =
    DN_OPTION(compress, "replicate_mesh_grad_sync", "auto", .choices = DN_COMPRESS_NAMES,
              .help = "replicas exchange low-rank factors (true) or whole gradients (false); auto = factors, unless they cost more "
                      "than 1 % of the step");
static const dn_key option_momentum_sync_every =
    DN_OPTION(momentum_sync_every, "momentum_sync_every", "100", .max = INT32_MAX,
              .help = "steps between averagings of the replicas' momenta; 0 = never");

#define SETTINGS "mixed_precision:state_precision=bfloat16"

const dn_rule dn_rule_dion = {
    .info = {.name = "dion",
             .help = "low-rank orthonormal updates",
             .matrices_only = true,
             .lr = 0.02},
    .executor = DN_LOW_RANK,
    .script = {{"dion", SETTINGS}, {"dion_reference", SETTINGS}, {"dion_simple", SETTINGS}},
    .options = {&dn_option_mu, &dn_option_rank_fraction, &option_rank_multiple_of, &option_orth, &option_power_iters,
                &dn_option_eps, &option_orth_dion, &option_adaptive_rank, &option_compress,
                &option_momentum_sync_every},
};
