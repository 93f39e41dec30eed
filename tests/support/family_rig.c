#include "support/family_rig.h"

#include "linalg/select.h"
#include "optim/adamw.h"
#include "optim/dion.h"
#include "optim/dion3.h"
#include "optim/muon.h"
#include "optim/normuon.h"
#include "optim/sgd.h"
#include "support/dense.h"
#include "support/tests.h"

#include <stdlib.h>

enum { MOST = 256 }; /* rows or columns */

family_options family_defaults(family_rule rule, size_t rows, size_t cols)
{
    return (family_options){.rule = rule,
                            .rows = rows,
                            .cols = cols,
                            .adjust = DN_ADJUST_SPECTRAL_NORM,
                            .ns = {.set = DN_NS_POLAR_EXPRESS, .eps = 1e-8},
                            .beta2 = 0.95,
                            .mu = 0.95,
                            .fraction = 1};
}

static bool is_dion(const family_options *o)
{
    return o->rule == FAMILY_DION || o->rule == FAMILY_ORTH_DION;
}

static dn_dion_shape dion_shape(const family_options *o)
{
    return dn_dion_shape_of(o->rows, o->cols, o->fraction, 1);
}

static size_t second_size(const family_options *o)
{
    switch (o->rule) {
    case FAMILY_NORMUON:
    case FAMILY_DION3:
        return o->rows;
    case FAMILY_ADAMW:
        return o->rows * o->cols;
    case FAMILY_DION:
    case FAMILY_ORTH_DION:
        return dion_shape(o).n * dion_shape(o).r;
    default:
        return 0;
    }
}

static dn_dion2_shape selection_shape(const family_options *o)
{
    return o->rule == FAMILY_DION3 ? dn_dion3_shape_of(o->rows, o->cols, o->fraction)
                                   : dn_dion2_shape_of(o->rows, o->cols, o->fraction);
}

family_rig family_create(const family_options *o, const char *kernels, int n_threads)
{
    size_t size = o->rows * o->cols;
    family_rig rig = {.options = *o, .n_second = second_size(o), .memory_bytes = 6 * size * sizeof(dn_real)};
    assert_int_equal(dn_stream_create(kernels, n_threads, &rig.stream), DN_OK);
    assert_int_equal(dn_device_alloc(rig.stream, rig.memory_bytes, &rig.memory), DN_OK);
    rig.weight = rig.memory;
    rig.grad = dn_at(rig.weight, size);
    rig.momentum = dn_at(rig.grad, size);
    rig.second = dn_at(rig.momentum, size);
    rig.u = dn_at(rig.second, size);
    rig.r = dn_at(rig.u, size);
    if (is_dion(o))
        rig.rank = dion_shape(o).r;
    rig.workspace_bytes = dn_ns_workspace_bytes(&o->ns, o->rows, o->cols, 1);
    assert_int_equal(dn_device_alloc(rig.stream, rig.workspace_bytes, &rig.workspace), DN_OK);
    return rig;
}

void family_destroy(family_rig *rig)
{
    dn_device_free(rig->stream, rig->memory, rig->memory_bytes);
    dn_device_free(rig->stream, rig->workspace, rig->workspace_bytes);
    dn_stream_destroy(&rig->stream);
}

void family_set(const family_rig *rig, dn_buf *to, const double *from, size_t n)
{
    dn_real *host = calloc(n, sizeof *host);
    dense_to_real(host, from, n);
    dn_upload(rig->stream, to, host, n);
    assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
    free(host);
}

double *family_get(const family_rig *rig, const dn_buf *from, size_t n)
{
    dn_real *host = calloc(n + 1, sizeof *host);
    dn_download(rig->stream, host, from, n);
    assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
    double *x = dense_from_real(host, n);
    free(host);
    return x;
}

static void polar_factor(family_rig *rig, dn_buf *u, size_t rows, size_t cols)
{
    dn_ns_found found;
    assert_int_equal(dn_newton_schulz(rig->stream, &rig->options.ns, &u, &found, 1, rows, cols,
                                      rig->workspace, rig->workspace_bytes),
                     DN_OK);
    assert_int_not_equal(found, DN_NS_BROKEN);
}

static void muon_step(family_rig *rig, const dn_muon_step *step)
{
    const family_options *o = &rig->options;
    dn_normuon d = {.muon = {.rows = o->rows,
                             .cols = o->cols,
                             .n = o->rows * o->cols,
                             .weight = rig->weight,
                             .grad = rig->grad,
                             .momentum = rig->momentum},
                    .here_rows = o->rows,
                    .here_cols = o->cols,
                    .second = rig->second};
    rig->stream->kernels->copy(rig->stream, rig->u, dn_muon_accumulate(rig->stream, &d.muon, step), d.muon.n);
    polar_factor(rig, rig->u, o->rows, o->cols);
    if (o->rule == FAMILY_MUON) {
        dn_muon_apply(rig->stream, &d.muon, rig->u, step);
        return;
    }
    double squares[MOST], factor[MOST], norms[2];
    dn_normuon_squares(rig->stream, rig->u, o->rows, o->cols, squares);
    assert_int_equal(
        dn_normuon_moments(rig->stream, d.second, NULL, o->rows, o->cols, o->beta2, squares, factor, norms),
        DN_OK);
    dn_normuon_apply(rig->stream, &d, rig->u, factor, norms, step);
}

static void selecting_step(family_rig *rig, const dn_dion2_step *step)
{
    const family_options *o = &rig->options;
    double norms1[MOST], work[MOST], squares[MOST], factor[MOST], norms[2];
    int32_t ids[MOST];
    dn_dion2 d = {.shape = selection_shape(o),
                  .rows = o->rows,
                  .cols = o->cols,
                  .weight = rig->weight,
                  .grad = rig->grad,
                  .momentum = rig->momentum};
    size_t k = d.shape.k, rows = d.shape.by_rows ? k : o->rows, cols = d.shape.by_rows ? o->cols : k;
    dn_dion2_accumulate(rig->stream, &d, norms1);
    dn_select_largest(norms1, d.shape.size, k, work, ids);
    dn_dion2_take(rig->stream, &d, ids, k, rig->u, step);
    polar_factor(rig, rig->u, rows, cols);
    if (o->rule == FAMILY_DION2) {
        dn_dion2_apply(rig->stream, &d, ids, k, rig->u, step);
        return;
    }
    dn_normuon_squares(rig->stream, rig->u, k, cols, squares);
    assert_int_equal(
        dn_normuon_moments(rig->stream, rig->second, ids, k, cols, o->beta2, squares, factor, norms), DN_OK);
    dn_dion3_apply(rig->stream, &d, ids, k, rig->u, factor, norms, step);
}

static void multiply(family_rig *rig, dn_product product)
{
    rig->stream->kernels->gemm_many(rig->stream, &product, 1);
}

static void orthonormalize(const family_rig *rig, dn_buf *p, size_t m, size_t r)
{
    double *host = family_get(rig, p, m * r);
    dense_orthonormalize(host, m, r);
    family_set(rig, p, host, m * r);
    free(host);
}

static void dion_step(family_rig *rig, const dn_dion_step *step)
{
    dn_dion d = {.shape = dion_shape(&rig->options),
                 .rows = rig->options.rows,
                 .cols = rig->options.cols,
                 .weight = rig->weight,
                 .grad = rig->grad,
                 .momentum = rig->momentum};
    size_t n = d.shape.n, r = d.shape.r;
    dn_dion_accumulate(rig->stream, &d);
    multiply(rig, dn_dion_project(&d, 1, rig->u, rig->second));
    orthonormalize(rig, rig->u, d.shape.m, r);
    multiply(rig, dn_dion_reflect(&d, 1, rig->r, rig->u));
    multiply(rig, dn_dion_feed_back(&d, rig->u, rig->r, step));
    if (rig->options.rule == FAMILY_DION) {
        double squares[64]; /* ranks of these tests are smaller */
        rig->stream->kernels->column_squares(rig->stream, squares, rig->r, n, r);
        dn_dion_normalize(rig->stream, &d, rig->r, squares, step);
    }
    rig->stream->kernels->copy(rig->stream, rig->second, rig->r, n * r);
    if (rig->options.rule != FAMILY_DION)
        orthonormalize(rig, rig->second, n, r);
    multiply(rig, dn_dion_apply(&d, rig->u, rig->second, step));
}

/* The element-wise rules. */
static void plain_step(family_rig *rig, double lr)
{
    const family_options *o = &rig->options;
    size_t n = o->rows * o->cols;
    if (o->rule == FAMILY_SGD)
        dn_sgd_update(
            rig->stream, rig->weight, rig->momentum, rig->grad, n,
            &(dn_sgd_step){.lr = lr, .weight_decay = o->weight_decay, .mu = o->mu, .nesterov = o->nesterov});
    else
        dn_adamw_update(rig->stream, rig->weight, rig->momentum, rig->second, rig->grad, n, rig->step,
                        (dn_adamw_step){.lr = lr,
                                        .beta1 = 0.9,
                                        .beta2 = 0.95,
                                        .eps = 1e-8,
                                        .weight_decay = o->weight_decay,
                                        .cautious = o->cautious});
}

void family_step(family_rig *rig, const double *grad, double lr)
{
    const family_options *o = &rig->options;
    family_set(rig, rig->grad, grad, o->rows * o->cols);
    if (o->rule == FAMILY_MUON || o->rule == FAMILY_NORMUON)
        muon_step(rig, &(dn_muon_step){.lr = lr,
                                       .weight_decay = o->weight_decay,
                                       .mu = o->mu,
                                       .nesterov = o->nesterov,
                                       .adjust = o->adjust});
    else if (o->rule == FAMILY_DION2 || o->rule == FAMILY_DION3)
        selecting_step(
            rig, &(dn_dion2_step){
                     .lr = lr, .weight_decay = o->weight_decay, .ef_decay = o->mu, .adjust = o->adjust});
    else if (is_dion(o))
        dion_step(rig, &(dn_dion_step){.lr = lr, .weight_decay = o->weight_decay, .mu = o->mu, .eps = 1e-8});
    else
        plain_step(rig, lr);
    assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
    rig->step++;
}
