/*
 * x += mlp(norm(x)): two matrices, c_fc [4C,C] and c_proj [C,4C], and relu squared between them.
 *
 * tp cuts the hidden columns: rows of the first, columns of the second. What the projection makes of a rank's
 * columns is a part of a sum, and so is the gradient of the normalized input. Relu squared keeps only its result.
 */
#include "nn/layer.h"

#include "base/fail.h"
#include "nn/linear.h"
#include "sync/layout.h"

#include <stdio.h>

enum { FC, PROJ, N_PARAMS };

typedef struct kept {
    size_t hidden; /* this rank's columns */
    dn_norm norm;
    dn_buf *a; /* [N,hidden]: relu squared */
} kept;

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    if (params) {
        snprintf(params[FC].name, DN_PARAM_NAME_MAX, "transformer.h.%zu.mlp.c_fc.weight", index);
        dn_layer_param(&params[FC], DN_PARAM_MATRIX, 4 * spec->C, spec->C, DN_CUT_ROWS, 1);
        snprintf(params[PROJ].name, DN_PARAM_NAME_MAX, "transformer.h.%zu.mlp.c_proj.weight", index);
        dn_layer_param(&params[PROJ], DN_PARAM_MATRIX, spec->C, 4 * spec->C, DN_CUT_COLUMNS, 1);
    }
    return N_PARAMS;
}

static size_t wide(const dn_pass *pass)
{
    return dn_range_size(dn_part(4 * pass->spec->C, 1, pass->tp_size, pass->tp_rank));
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    kept *k = memory;
    k->hidden = wide(pass);
    dn_norm_lay(pass, &k->norm, own);
    k->a = dn_layer_take(own, pass->room * k->hidden);
}

static double flops(const dn_spec *spec)
{
    return 6 * 8 * (double)spec->C * (double)spec->C;
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T;

    dn_norm_forward(pass, &m->norm);                                              /* y [N,C] */
    dn_linear_forward(s, m->a, m->norm.y, dn_layer_weight(pass, layer, FC), N);   /* [N,hidden] */
    s->kernels->relu2_forward(s, m->a, N * m->hidden);                            /* a [N,hidden] */
    return dn_layer_project(pass, m->a, dn_layer_weight(pass, layer, PROJ));      /* x [N,C] */
}

static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T;
    dn_buf *da = pass->wide;

    dn_linear_backward(s, da, pass->x, m->a, dn_layer_weight(pass, layer, PROJ), N);       /* [N,hidden] */
    s->kernels->relu2_backward(s, da, m->a, N * m->hidden);
    dn_linear_backward(s, pass->dy, da, m->norm.y, dn_layer_weight(pass, layer, FC), N);   /* dy [N,C] */
    DN_TRY(dn_layer_sum_dy(pass));
    dn_norm_backward(pass, &m->norm);                                                      /* x [N,C] */
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
