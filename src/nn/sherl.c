/*
 * SHERL (arXiv:2407.07523; the authors' code): x_l [N,C], l = 0 .. M-1, the outputs of the embedding and of all blocks but the last,
 * M = L of them, become the input of the last block, which is frozen, as all others are:
 *
 *     z_l = relu(W1_l x_l);   f_l = (W2_l z_l + z_l) * sigmoid(W3_l z_l)                       C -> r = C / reduction -> r
 *     agg = f_(M-1) + sum over l < M-1 of p_l f_l,   p_l of layers that matter and do not repeat others (ops.h: sherl_forward)
 *     y = W_out relu(agg) + tanh(10 gamma) x_(M-1),   gamma 0 at first
 *
 * It stands as a layer in front of the last block. Nothing goes backward below it, so the layers there keep nothing (model.c); the
 * model copies their outputs to pass->outputs. Over tp x is the same on all ranks, and each computes all of this.
 *
 * Parameters: W1_l [r,C], W2_l, W3_l [r,r] for each l; W_out [C,r]; a [r], at first 1; gamma [1].
 */
#include "nn/sherl.h"

#include "base/fail.h"
#include "base/size.h"
#include "nn/linear.h"

#include <stdio.h>

enum { DOWN, TRANSFORM, GATE, PER_OUTPUT };

static size_t width_of(const dn_spec *spec)
{
    return dn_max(spec->C / spec->sherl, 1);
}

static size_t up_of(const dn_spec *spec)
{
    return spec->L * PER_OUTPUT;
}

typedef struct kept {
    dn_buf *z, *u, *v, *f;       /* [M,N,r] each */
    dn_buf *agg;                 /* [N,r], relu taken */
    dn_buf *attend, *gamma;      /* [r], [1]: whole vectors, and their gradients */
    dn_buf *dattend, *dgamma;
} kept;

static size_t describe(const dn_spec *spec, size_t index, dn_param *params)
{
    static const char *const names[] = {"down", "transform", "gate"};
    size_t r = width_of(spec), up = up_of(spec);
    (void)index;
    for (size_t l = 0; params && l < spec->L; l++)
        for (size_t i = 0; i < PER_OUTPUT; i++) {
            char name[64];
            snprintf(name, sizeof name, DN_SHERL_NAME "%zu.%s", l, names[i]);
            dn_layer_name(&params[l * PER_OUTPUT + i], spec, DN_NO_BLOCK, name, "weight");
            dn_layer_param(&params[l * PER_OUTPUT + i], DN_PARAM_MATRIX, r, i == DOWN ? spec->C : r, DN_TP_NONE, 1);
        }
    if (params) {
        dn_layer_name(&params[up], spec, DN_NO_BLOCK, DN_SHERL_NAME "up", "weight");
        dn_layer_param(&params[up], DN_PARAM_MATRIX, spec->C, r, DN_TP_NONE, 1);
        dn_layer_name(&params[up + 1], spec, DN_NO_BLOCK, DN_SHERL_NAME "attend", "weight");
        dn_layer_param(&params[up + 1], DN_PARAM_VECTOR, r, 1, DN_TP_NONE, 1);
        dn_layer_name(&params[up + 2], spec, DN_NO_BLOCK, DN_SHERL_NAME "gamma", "bias");
        dn_layer_param(&params[up + 2], DN_PARAM_VECTOR, 1, 1, DN_TP_NONE, 1);
    }
    return up + 3;
}

/* The gradients of h = z + u and of v, of all outputs; of z, of one; of agg. */
static size_t wide(const dn_pass *pass)
{
    return (2 * pass->spec->L + 2) * width_of(pass->spec);
}

static void lay(const dn_pass *pass, void *memory, dn_arena *own, dn_arena *shared)
{
    kept *k = memory;
    size_t r = width_of(pass->spec), n = pass->spec->L * pass->room * r;
    (void)shared;
    k->z = dn_layer_take(own, n);
    k->u = dn_layer_take(own, n);
    k->v = dn_layer_take(own, n);
    k->f = dn_layer_take(own, n);
    k->agg = dn_layer_take(own, pass->room * r);
    k->attend = dn_layer_take(own, r);
    k->gamma = dn_layer_take(own, 1);
    k->dattend = dn_layer_take(own, r);
    k->dgamma = dn_layer_take(own, 1);
}

static double flops(const dn_spec *spec)
{
    double r = (double)width_of(spec), C = (double)spec->C;
    return 6 * ((double)spec->L * (C * r + 2 * r * r) + C * r);
}

/* x_l [N,C] */
static const dn_buf *output(const dn_pass *pass, size_t l)
{
    return dn_at(pass->outputs, l * pass->room * pass->spec->C);
}

static dn_status forward(dn_pass *pass, const dn_layer *layer)
{
    const kept *k = layer->kept;
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, C = pass->spec->C, M = pass->spec->L, r = width_of(pass->spec), up = up_of(pass->spec);

    for (size_t l = 0; l < M; l++) {
        size_t at = l * N * r, first = l * PER_OUTPUT;
        dn_linear_forward(s, dn_at(k->z, at), output(pass, l), dn_layer_weight(pass, layer, first + DOWN), N);
        s->kernels->relu(s, dn_at(k->z, at), N * r);
        dn_linear_forward(s, dn_at(k->u, at), dn_at(k->z, at), dn_layer_weight(pass, layer, first + TRANSFORM), N);
        dn_linear_forward(s, dn_at(k->v, at), dn_at(k->z, at), dn_layer_weight(pass, layer, first + GATE), N);
    }
    dn_layer_gather(s, k->attend, dn_layer_weight(pass, layer, up + 1));
    dn_layer_gather(s, k->gamma, dn_layer_weight(pass, layer, up + 2));
    s->kernels->sherl_forward(s, k->agg, k->f, k->z, k->u, k->v, k->attend, M, N, r);
    s->kernels->relu(s, k->agg, N * r);
    if (pass->tp_size > 1) { /* of a model of one block others may still read x, as the embedding left it */
        DN_TRY(dn_stream_sync(s));
        DN_TRY(dn_comm_barrier(pass->tp));
    }
    dn_linear_forward(s, pass->x, k->agg, dn_layer_weight(pass, layer, up), N); /* x [N,C] */
    s->kernels->add_gated(s, pass->x, k->gamma, output(pass, M - 1), N * C);
    return DN_OK;
}

static dn_status backward(dn_pass *pass, const dn_layer *layer)
{
    const kept *k = layer->kept;
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, C = pass->spec->C, M = pass->spec->L, r = width_of(pass->spec), up = up_of(pass->spec);
    dn_buf *dh = pass->wide, *dv = dn_at(dh, M * N * r), *dz = dn_at(dv, M * N * r), *dagg = dn_at(dz, N * r);

    s->kernels->fill(s, k->dattend, r, 0);
    s->kernels->fill(s, k->dgamma, 1, 0);
    s->kernels->add_gated_backward(s, k->dgamma, k->gamma, pass->x, output(pass, M - 1), N * C);
    dn_linear_backward(s, dagg, pass->x, k->agg, dn_layer_weight(pass, layer, up), N); /* [N,r] */
    s->kernels->clear_where_zero(s, dagg, k->agg, N * r);
    s->kernels->sherl_backward(s, dh, dv, k->dattend, dagg, k->f, k->z, k->u, k->v, k->attend, M, N, r);
    for (size_t l = 0; l < M; l++) {
        size_t at = l * N * r, first = l * PER_OUTPUT;
        const dn_buf *z = dn_at(k->z, at);
        dn_linear_backward(s, dz, dn_at(dh, at), z, dn_layer_weight(pass, layer, first + TRANSFORM), N);
        s->kernels->axpby(s, dn_at(dh, at), 1, dz, 1, N * r); /* dh becomes dz */
        dn_linear_backward(s, dz, dn_at(dv, at), z, dn_layer_weight(pass, layer, first + GATE), N);
        s->kernels->axpby(s, dn_at(dh, at), 1, dz, 1, N * r);
        s->kernels->clear_where_zero(s, dn_at(dh, at), z, N * r);
        dn_linear_backward(s, pass->dy, dn_at(dh, at), output(pass, l), dn_layer_weight(pass, layer, first + DOWN), N);
    }
    dn_layer_scatter(s, dn_layer_weight(pass, layer, up + 1), 1, k->dattend);
    dn_layer_scatter(s, dn_layer_weight(pass, layer, up + 2), 1, k->dgamma);
    return DN_OK;
}

const dn_layer_ops dn_sherl = {.describe = describe,
                               .wide = wide,
                               .lay = lay,
                               .kept_bytes = sizeof(kept),
                               .flops = flops,
                               .forward = forward,
                               .backward = backward};
