/*
 * x += mlp(norm(x)): matrices up [F,C] and down [C,F], and an activation between them,
 *
 *     x[t] += down act(sum over j < lags of up_j norm(x[t-j]))
 *
 * where positions before a sequence are 0; most models have no lag but j = 0.
 *
 * tp cuts the hidden columns: rows of the first, columns of the second. What the projection makes of a rank's
 * columns is a part of a sum, and so is the gradient of the normalized input. Relu squared keeps only its
 * result.
 */
#include "nn/layer.h"

#include "base/fail.h"
#include "nn/linear.h"
#include "sync/layout.h"

#include <stdio.h>

typedef struct kept {
    size_t hidden; /* this rank's columns */
    dn_norm norm;
    dn_buf *a; /* [N,hidden]: the activation's result */
} kept;

/* up_j, j < lags, then down. */
static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    size_t F = spec->mlp.F, lags = spec->mlp.lags;
    char name[DN_PARAM_NAME_MAX];
    for (size_t j = 0; params && j < lags; j++) {
        snprintf(name, sizeof name, "%s_%zu", spec->names->up, j);
        dn_layer_name(&params[j], spec, index, lags > 1 ? name : spec->names->up);
        dn_layer_param(&params[j], DN_PARAM_MATRIX, F, spec->C, DN_CUT_ROWS, 1);
    }
    if (params) {
        dn_layer_name(&params[lags], spec, index, spec->names->down);
        dn_layer_param(&params[lags], DN_PARAM_MATRIX, spec->C, F, DN_CUT_COLUMNS, 1);
    }
    return lags + 1;
}

static size_t own_hidden(const dn_pass *pass)
{
    return dn_range_size(dn_part(pass->spec->mlp.F, 1, pass->tp_size, pass->tp_rank));
}

/* The gradient of a; and that of y by one lag. */
static size_t wide(const dn_pass *pass)
{
    return own_hidden(pass) + (pass->spec->mlp.lags > 1 ? pass->spec->C : 0);
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    kept *k = memory;
    k->hidden = own_hidden(pass);
    dn_norm_lay(pass, &k->norm, own);
    k->a = dn_layer_take(own, pass->room * k->hidden);
}

static double flops(const dn_spec *spec)
{
    return 6 * (double)(spec->mlp.lags + 1) * (double)spec->mlp.F * (double)spec->C;
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t B = pass->B, T = pass->T, C = pass->spec->C, lags = pass->spec->mlp.lags, H = m->hidden;

    dn_norm_forward(pass, &m->norm);                                               /* y [N,C] */
    dn_linear_forward(s, m->a, m->norm.y, dn_layer_weight(pass, layer, 0), B * T); /* [N,hidden] */
    for (size_t j = 1; j < lags && j < T; j++)
        for (size_t b = 0; b < B; b++) /* += [T-j,hidden] */
            dn_linear_forward_add(s, dn_at(m->a, (b * T + j) * H), dn_at(m->norm.y, b * T * C),
                                  dn_layer_weight(pass, layer, j), T - j);
    s->kernels->relu2_forward(s, m->a, B * T * H);                           /* a [N,hidden] */
    return dn_layer_project(pass, m->a, dn_layer_weight(pass, layer, lags)); /* x [N,C] */
}

static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t B = pass->B, T = pass->T, C = pass->spec->C, lags = pass->spec->mlp.lags, H = m->hidden;
    dn_buf *da = pass->wide, *lagged = dn_at(pass->wide, B * T * H);

    dn_linear_backward(s, da, pass->x, m->a, dn_layer_weight(pass, layer, lags), B * T); /* [N,hidden] */
    s->kernels->relu2_backward(s, da, m->a, B * T * H);
    dn_linear_backward(s, pass->dy, da, m->norm.y, dn_layer_weight(pass, layer, 0), B * T); /* dy [N,C] */
    for (size_t j = 1; j < lags && j < T; j++)
        for (size_t b = 0; b < B; b++) { /* dy += [T-j,C] */
            size_t from = b * T * C;
            dn_linear_backward(s, lagged, dn_at(da, (b * T + j) * H), dn_at(m->norm.y, from),
                               dn_layer_weight(pass, layer, j), T - j);
            s->kernels->axpby(s, dn_at(pass->dy, from), 1, lagged, 1, (T - j) * C);
        }
    DN_TRY(dn_layer_sum_dy(pass));
    dn_norm_backward(pass, &m->norm); /* x [N,C] */
    return DN_OK;
}

const dn_layer_ops dn_mlp = {.describe = describe,
                             .wide = wide,
                             .lay = lay,
                             .kept_bytes = sizeof(kept),
                             .flops = flops,
                             .sums_forward = 1,
                             .sums_backward = 1,
                             .forward = forward,
                             .backward = backward};
