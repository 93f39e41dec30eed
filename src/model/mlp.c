/*
 * A language model without attention: L MLPs, each of which sees, normalized, its own and the three positions before,
 *
 *     x[t] += P max(0, sum over j < 4 of W_j norm(x[t-j]))^2
 *
 * between the embedding and the head of every model here; positions before a sequence are 0. Layer l+1 sees further back
 * than layer l: 3 L positions in all. Parameters in order, each [fan_out, fan_in], row-major:
 *
 *     transformer.wte.weight [V,C]
 *     for each layer l:
 *         mlp.h.<l>.lag_<j>.weight [4C,C], j = 0 .. 3;  mlp.h.<l>.proj.weight [C,4C]
 *     lm_head.weight [V,C]
 *
 * tp cuts the hidden columns: rows of W_j, columns of P.
 */
#include "model/model.h"

#include "base/fail.h"
#include "nn/linear.h"
#include "sync/layout.h"

#include <stdio.h>

enum { LAGS = 4, PROJ = LAGS, N_PARAMS };

typedef struct kept {
    size_t hidden; /* this rank's columns */
    dn_norm norm;
    dn_buf *a; /* [N,hidden]: relu squared */
} kept;

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    for (size_t j = 0; params && j < LAGS; j++) {
        snprintf(params[j].name, DN_PARAM_NAME_MAX, "mlp.h.%zu.lag_%zu.weight", index, j);
        dn_layer_param(&params[j], DN_PARAM_MATRIX, 4 * spec->C, spec->C, DN_CUT_ROWS, 1);
    }
    if (params) {
        snprintf(params[PROJ].name, DN_PARAM_NAME_MAX, "mlp.h.%zu.proj.weight", index);
        dn_layer_param(&params[PROJ], DN_PARAM_MATRIX, spec->C, 4 * spec->C, DN_CUT_COLUMNS, 1);
    }
    return N_PARAMS;
}

static size_t own_hidden(const dn_pass *pass)
{
    return dn_range_size(dn_part(4 * pass->spec->C, 1, pass->tp_size, pass->tp_rank));
}

/* The gradients of a, and of y by one lag. */
static size_t wide(const dn_pass *pass)
{
    return own_hidden(pass) + pass->spec->C;
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
    return 6 * (LAGS + 1) * 4 * (double)spec->C * (double)spec->C;
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t B = pass->B, T = pass->T, C = pass->spec->C, H = m->hidden;

    dn_norm_forward(pass, &m->norm);                                                     /* y [N,C] */
    dn_linear_forward(s, m->a, m->norm.y, dn_layer_weight(pass, layer, 0), B * T);       /* [N,hidden] */
    for (size_t j = 1; j < LAGS && j < T; j++)
        for (size_t b = 0; b < B; b++)                                                   /* += [T-j,hidden] */
            dn_linear_forward_add(s, dn_at(m->a, (b * T + j) * H), dn_at(m->norm.y, b * T * C),
                                  dn_layer_weight(pass, layer, j), T - j);
    s->kernels->relu2_forward(s, m->a, B * T * H);                                       /* a [N,hidden] */
    return dn_layer_project(pass, m->a, dn_layer_weight(pass, layer, PROJ));             /* x [N,C] */
}

static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t B = pass->B, T = pass->T, C = pass->spec->C, H = m->hidden;
    dn_buf *da = pass->wide, *lagged = dn_at(pass->wide, B * T * H);

    dn_linear_backward(s, da, pass->x, m->a, dn_layer_weight(pass, layer, PROJ), B * T); /* [N,hidden] */
    s->kernels->relu2_backward(s, da, m->a, B * T * H);
    dn_linear_backward(s, pass->dy, da, m->norm.y, dn_layer_weight(pass, layer, 0), B * T); /* dy [N,C] */
    for (size_t j = 1; j < LAGS && j < T; j++)
        for (size_t b = 0; b < B; b++) {                                                 /* dy += [T-j,C] */
            size_t from = b * T * C;
            dn_linear_backward(s, lagged, dn_at(da, (b * T + j) * H), dn_at(m->norm.y, from),
                               dn_layer_weight(pass, layer, j), T - j);
            s->kernels->axpby(s, dn_at(pass->dy, from), 1, lagged, 1, (T - j) * C);
        }
    DN_TRY(dn_layer_sum_dy(pass));
    dn_norm_backward(pass, &m->norm);                                                    /* x [N,C] */
    return DN_OK;
}

static const dn_layer_ops lagged_mlp = {.describe = describe,
                                        .wide = wide,
                                        .lay = lay,
                                        .kept_bytes = sizeof(kept),
                                        .flops = flops,
                                        .sums_forward = 1,
                                        .sums_backward = 1,
                                        .forward = forward,
                                        .backward = backward};

static size_t n_layers(const dn_spec *spec)
{
    return spec->L + 2;
}

static dn_layer_place layer_at(const dn_spec *spec, size_t i)
{
    const dn_layer_ops *ops = i == 0 ? &dn_embedding : i == spec->L + 1 ? &dn_head : &lagged_mlp;
    return (dn_layer_place){ops, i - (ops == &lagged_mlp), i};
}

const dn_architecture dn_architecture_mlp = {.name = "mlp",
                                             .n_layers = n_layers,
                                             .layer = layer_at,
                                             .first_std = dn_model_first_std};
