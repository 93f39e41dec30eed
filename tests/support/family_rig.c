#include "support/family_rig.h"

#include "linalg/select.h"
#include "optim/dion.h"
#include "support/dense.h"
#include "support/tests.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256 }; /* rows or columns */

family_options family_defaults(const char *rule, size_t rows, size_t cols)
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
    return is_rule(o->rule, "dion") || is_rule(o->rule, "orth_dion");
}

static dn_dion_shape dion_shape(const family_options *o)
{
    return dn_dion_shape_of(o->rows, o->cols, o->fraction, 1);
}

static size_t state_size(const family_options *o, int k)
{
    const dn_rule *rule = dn_rule_row(is_dion(o) ? "dion" : o->rule);
    if (is_dion(o) && k == 1)
        return dion_shape(o).n * dion_shape(o).r;
    if (k >= dn_rule_n_states(rule) && !(is_dion(o) && k == 0))
        return 0;
    dn_state_shape shape = {o->rows, o->cols};
    if (rule->states[k].at_owner)
        shape = rule->states[k].at_owner(o->rows, o->cols);
    return shape.rows * shape.cols;
}

static void start_state(const family_rig *rig, int k)
{
    size_t n = rig->sizes[k];
    double *x = dense_zeros(n, 1);
    if (!is_dion(&rig->options) && dn_rule_row(rig->options.rule)->states[k].identity)
        for (size_t i = 0; i * i < n; i++)
            x[i * (size_t)(sqrt((double)n) + 0.5) + i] = 1;
    family_set(rig, rig->states[k], x, n);
    free(x);
}

family_rig family_create(const family_options *o, const char *kernels, int n_threads)
{
    size_t size = o->rows * o->cols, all = 4 * size;
    family_rig rig = {.options = *o};
    for (int k = 0; k < DN_MAX_STATES; k++)
        all += rig.sizes[k] = state_size(o, k);
    rig.memory_bytes = all * sizeof(dn_real);
    assert_int_equal(dn_stream_create(kernels, n_threads, &rig.stream), DN_OK);
    assert_int_equal(dn_device_alloc(rig.stream, rig.memory_bytes, &rig.memory), DN_OK);
    rig.weight = rig.memory;
    rig.grad = dn_at(rig.weight, size);
    rig.u = dn_at(rig.grad, size);
    rig.r = dn_at(rig.u, size);
    rig.states[0] = dn_at(rig.r, size);
    for (int k = 1; k < DN_MAX_STATES; k++)
        rig.states[k] = dn_at(rig.states[k - 1], rig.sizes[k - 1]);
    for (int k = 0; k < DN_MAX_STATES; k++)
        start_state(&rig, k);
    if (is_dion(o))
        rig.rank = dion_shape(o).r;
    const dn_rule *rule = dn_rule_row(o->rule);
    rig.workspace_bytes = rule && rule->transform ? rule->transform_room(o->rows, o->cols) * sizeof(dn_real)
                                                  : dn_ns_workspace_bytes(&o->ns, o->rows, o->cols, 1);
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
    dn_ns_info found;
    assert_int_equal(dn_newton_schulz(rig->stream, &rig->options.ns, &u, &found, 1, rows, cols,
                                      rig->workspace, rig->workspace_bytes),
                     DN_OK);
    assert_int_not_equal(found, DN_NS_NOT_FINITE);
}

static dn_optim_config config_of(const family_options *o)
{
    return (dn_optim_config){.mu = o->mu,
                             .ef_decay = o->mu,
                             .nesterov = o->nesterov,
                             .adjust = o->adjust,
                             .row_beta2 = o->beta2,
                             .beta1 = 0.9,
                             .beta2 = 0.95,
                             .eps = 1e-8,
                             .cautious = o->cautious};
}

/* What the executor of owners does with one matrix on one rank. */
static void owner_step(family_rig *rig, const dn_rule *rule, const dn_update_params *params)
{
    const family_options *o = &rig->options;
    const dn_optim_config config = config_of(o);
    double scores[MOST], work[MOST], scratch[MOST], factor[MOST], norms[2];
    int32_t ids[MOST];
    const dn_selection z = dn_rule_selection(rule, o->rows, o->cols, o->fraction);
    dn_matrix_shard part = {.selection = z,
                            .rows = o->rows,
                            .cols = o->cols,
                            .weight = rig->weight,
                            .grad = rig->grad,
                            .ids = ids,
                            .n_ids = z.k,
                            .row_factor = factor,
                            .norms = norms};
    memcpy(part.states, rig->states, sizeof part.states);
    for (size_t i = 0; i < z.k; i++)
        ids[i] = (int32_t)i;
    if (rule->selects != DN_SELECT_ALL) {
        rule->accumulate(rig->stream, &part, scores);
        assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
        dn_select_largest(scores, z.size, z.k, work, ids);
    }
    if (rule->direction)
        rule->direction(rig->stream, &config, &part);
    assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
    size_t rows = z.by_rows ? z.k : o->rows, cols = z.by_rows ? o->cols : z.k;
    dn_owner_matrix whole = {.o = rig->grad,
                             .rows = rows,
                             .cols = cols,
                             .ids = ids,
                             .step = rig->step,
                             .row_factor = factor,
                             .norms = norms,
                             .scratch = scratch,
                             .workspace = rig->workspace};
    memcpy(whole.states, rig->states, sizeof whole.states);
    dn_ns_info found = DN_NS_OK;
    if (rule->transform)
        assert_int_equal(rule->transform(rig->stream, &config, &whole, &found), DN_OK);
    else
        polar_factor(rig, rig->grad, rows, cols);
    assert_int_not_equal(found, DN_NS_NOT_FINITE);
    if (rule->at_owner)
        assert_int_equal(rule->at_owner(rig->stream, &config, &whole), DN_OK);
    assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
    rule->apply(rig->stream, &config, &part, params);
    assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
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
                 .momentum = rig->states[0]};
    size_t n = d.shape.n, r = d.shape.r;
    dn_dion_accumulate(rig->stream, &d);
    multiply(rig, dn_dion_project(&d, 1, rig->u, rig->states[1]));
    orthonormalize(rig, rig->u, d.shape.m, r);
    multiply(rig, dn_dion_reflect(&d, 1, rig->r, rig->u));
    multiply(rig, dn_dion_feed_back(&d, rig->u, rig->r, step));
    if (is_rule(rig->options.rule, "dion")) {
        double squares[64]; /* ranks of these tests are smaller */
        rig->stream->kernels->column_squares(rig->stream, squares, rig->r, n, r);
        assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
        dn_dion_normalize(rig->stream, &d, rig->r, squares, step);
    }
    rig->stream->kernels->copy(rig->stream, rig->states[1], rig->r, n * r);
    if (!is_rule(rig->options.rule, "dion"))
        orthonormalize(rig, rig->states[1], n, r);
    multiply(rig, dn_dion_apply(&d, rig->u, rig->states[1], step));
}

static void element_wise_step(family_rig *rig, const dn_rule *rule, const dn_update_params *params)
{
    const family_options *o = &rig->options;
    const dn_optim_config config = config_of(o);
    const dn_param param = {.kind = DN_PARAM_MATRIX, .tensor.rows = o->rows, .tensor.cols = o->cols};
    dn_chunk chunk = {.param = &param, .n = o->rows * o->cols, .weight = rig->weight, .grad = rig->grad};
    memcpy(chunk.states, rig->states, sizeof chunk.states);
    rule->update(rig->stream, &config, &chunk, params);
}

void family_step(family_rig *rig, const double *grad, double lr)
{
    const family_options *o = &rig->options;
    const dn_rule *rule = dn_rule_row(o->rule);
    const dn_update_params params = {.step = rig->step, .lr = lr, .weight_decay = o->weight_decay};
    family_set(rig, rig->grad, grad, o->rows * o->cols);
    if (is_dion(o))
        dion_step(rig, &(dn_dion_step){.lr = lr, .weight_decay = o->weight_decay, .mu = o->mu, .eps = 1e-8});
    else if (rule->executor == DN_OWNER)
        owner_step(rig, rule, &params);
    else
        element_wise_step(rig, rule, &params);
    assert_int_equal(dn_stream_sync(rig->stream), DN_OK);
    rig->step++;
}
