/*
 * x += attention(norm(x)): causal, NH heads of size hd, RMS-normalized and rotated q and k, no biases.
 *
 * Parameters: c_q, c_k, c_v [NH*hd,C], adjacent in memory: a stack, one product serves all three; c_proj [C,NH*hd].
 * tp cuts between heads: the rows of the first three, the columns of the last. What the projection makes of a rank's
 * heads is a part of a sum, and so is the gradient of the normalized input.
 */
#include "nn/layer.h"

#include "base/fail.h"
#include "nn/linear.h"
#include "sync/layout.h"

#include <stdio.h>

enum { Q, K, V, PROJ, N_PARAMS };

/* W = heads * hd: a rank's columns of q, k, v and o. */
typedef struct kept {
    size_t heads, W;
    dn_norm norm;
    dn_buf *qkv;             /* [N,3W]: q | k | v of a position; q and k normalized and rotated */
    dn_buf *q_rstd, *k_rstd; /* [N,heads] */
    dn_buf *o, *lse;         /* [N,W], [B,heads,T]: before the projection */
} kept;

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    static const char *const names[N_PARAMS] = {"c_q", "c_k", "c_v", "c_proj"};
    size_t hd = dn_head_size(spec), C = spec->C, all = spec->NH * hd;
    for (size_t i = 0; params && i < N_PARAMS; i++) {
        snprintf(params[i].name, DN_PARAM_NAME_MAX, "transformer.h.%zu.attn.%s.weight", index, names[i]);
        if (i == PROJ) {
            dn_layer_param(&params[i], DN_PARAM_MATRIX, C, all, DN_CUT_COLUMNS, hd);
        } else {
            dn_layer_param(&params[i], DN_PARAM_MATRIX, all, C, DN_CUT_ROWS, hd);
            params[i].stack = i;
            params[i].split = spec->split_heads ? spec->NH : 1;
        }
    }
    return N_PARAMS;
}

static size_t own_heads(const dn_pass *pass)
{
    size_t hd = dn_head_size(pass->spec);
    return dn_range_size(dn_part(pass->spec->NH * hd, hd, pass->tp_size, pass->tp_rank)) / hd;
}

/* The gradients of q, k and v; and that of o where it is wider than dy. */
static size_t wide(const dn_pass *pass)
{
    size_t W = own_heads(pass) * dn_head_size(pass->spec);
    return 3 * W + (W > pass->spec->C ? W : 0);
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    kept *k = memory;
    size_t N = pass->room;
    k->heads = own_heads(pass);
    k->W = k->heads * dn_head_size(pass->spec);
    dn_norm_lay(pass, &k->norm, own);
    k->qkv = dn_layer_take(own, N * 3 * k->W);
    k->q_rstd = dn_layer_take(own, N * k->heads);
    k->k_rstd = dn_layer_take(own, N * k->heads);
    k->o = dn_layer_take(own, N * k->W);
    k->lse = dn_layer_take(own, N * k->heads);
}

/* Of scores and values, a half of the full square. */
static double flops(const dn_spec *spec)
{
    double all = (double)spec->NH * (double)dn_head_size(spec);
    return 6 * 4 * all * (double)spec->C + 6 * (double)spec->T * all;
}

static dn_attention_shape shape_of(const dn_pass *pass, const kept *k)
{
    return (dn_attention_shape){pass->B, pass->T, k->heads, dn_head_size(pass->spec), 3 * k->W};
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    dn_attention_shape shape = shape_of(pass, m);
    dn_buf *q = m->qkv, *k = dn_at(m->qkv, m->W), *v = dn_at(m->qkv, 2 * m->W);

    dn_norm_forward(pass, &m->norm);                                                               /* y [N,C] */
    dn_linear_forward(s, m->qkv, m->norm.y, dn_layer_weight(pass, layer, Q), pass->B * pass->T);   /* [N,3W] */
    s->kernels->norm_rotary_forward(s, q, m->q_rstd, &shape);                                      /* [N,heads,hd] */
    s->kernels->norm_rotary_forward(s, k, m->k_rstd, &shape);                                      /* [N,heads,hd] */
    s->kernels->attention_forward(s, m->o, m->lse, q, k, v, &shape);                               /* o [N,W] */
    return dn_layer_project(pass, m->o, dn_layer_weight(pass, layer, PROJ));                       /* x [N,C] */
}

static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    const kept *m = layer->kept;
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, W = m->W;
    dn_attention_shape shape = shape_of(pass, m);
    dn_buf *q = m->qkv, *k = dn_at(m->qkv, W), *v = dn_at(m->qkv, 2 * W);
    dn_buf *dqkv = pass->wide, *dq = dqkv, *dk = dn_at(dqkv, W), *dv = dn_at(dqkv, 2 * W);
    dn_buf *d_o = W > pass->spec->C ? dn_at(dqkv, N * 3 * W) : pass->dy;

    dn_linear_backward(s, d_o, pass->x, m->o, dn_layer_weight(pass, layer, PROJ), N);              /* [N,W] */
    s->kernels->attention_backward(s, dq, dk, dv, d_o, q, k, v, m->o, m->lse, &shape);             /* [N,3W] */
    s->kernels->norm_rotary_backward(s, dq, q, m->q_rstd, &shape);
    s->kernels->norm_rotary_backward(s, dk, k, m->k_rstd, &shape);
    dn_linear_backward(s, pass->dy, dqkv, m->norm.y, dn_layer_weight(pass, layer, Q), N);          /* dy [N,C] */
    DN_TRY(dn_layer_sum_dy(pass));
    dn_norm_backward(pass, &m->norm);                                                              /* x [N,C] */
    return DN_OK;
}

const dn_layer_ops dn_attention = {.describe = describe,
                                   .wide = wide,
                                   .lay = lay,
                                   .kept_bytes = sizeof(kept),
                                   .flops = flops,
                                   .sums_forward = 1,
                                   .sums_backward = 1,
                                   .forward = forward,
                                   .backward = backward};
