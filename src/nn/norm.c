/*
 * The norm in front of a layer (nn/spec.h): RMS norm or LayerNorm, y = n, or n times a gain, plus a bias. The backward pass
 * needs n and rstd, never x; a gained y is made again, because n cannot be had from it where the gain is 0.
 *
 * All ranks of tp compute it on all rows, so that each has the whole gradient of the gain. Dealing the rows
 * out (sequence-parallel norms) would replace each all-reduce by a reduce-scatter and an all-gather of the
 * same bytes, with a barrier more, and save (tp-1)/tp of the norms: of a step of the 256-wide model on tp 2
 * norms are 2.4 % (measured), and their share falls as 1/C.
 */
#include "nn/layer.h"

#include "nn/linear.h"

size_t dn_norm_describe(const dn_spec *spec, dn_param *params, size_t at, size_t index, const char *name)
{
    const char *const what[] = {"weight", "bias"};
    size_t n = spec->norm.gain + (size_t)spec->norm.bias;
    for (size_t i = 0; params && i < n; i++) {
        dn_layer_name(&params[at + i], spec, index, name, what[i]);
        dn_layer_param(&params[at + i], DN_PARAM_VECTOR, spec->C, 1, DN_TP_NONE, 1);
    }
    return n;
}

void dn_norm_lay(const dn_pass *pass, dn_norm *norm, size_t gain, dn_arena *own)
{
    norm->gain = gain;
    norm->n = dn_layer_take_activations(pass, own, pass->room, pass->spec->C);
    norm->rstd = dn_layer_take(own, pass->room);
}

const dn_buf *dn_norm_forward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm, const dn_buf *x)
{
    dn_stream *s = pass->stream;
    const dn_norm_spec *spec = &pass->spec->norm;
    size_t N = pass->B * pass->T, C = pass->spec->C;
    s->kernels->norm_forward(s, norm->n, norm->rstd, x, spec->center, spec->eps, N, C);
    return dn_norm_output(pass, layer, norm);
}

const dn_buf *dn_norm_output(dn_pass *pass, const dn_layer *layer, const dn_norm *norm)
{
    dn_stream *s = pass->stream;
    const dn_norm_spec *spec = &pass->spec->norm;
    size_t N = pass->B * pass->T, C = pass->spec->C;
    if (!spec->gain)
        return norm->n;
    dn_layer_gather(s, pass->gain, dn_layer_weight(pass, layer, norm->gain));
    s->kernels->gain_forward(s, pass->y, norm->n, pass->gain, spec->offset, N, C);
    if (spec->bias)
        dn_bias_forward(s, pass->y, dn_layer_weight(pass, layer, norm->gain + 1), N);
    return pass->y;
}

/* pass->gain is what dn_norm_output of this norm left there. */
void dn_norm_backward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm)
{
    dn_stream *s = pass->stream;
    const dn_norm_spec *spec = &pass->spec->norm;
    size_t N = pass->B * pass->T, C = pass->spec->C;
    if (spec->bias)
        dn_bias_backward(s, pass->dy, dn_layer_weight(pass, layer, norm->gain + 1), N);
    if (spec->gain) {
        s->kernels->fill(s, pass->dgain, C, 0);
        s->kernels->gain_backward(s, pass->dy, pass->dgain, norm->n, pass->gain, spec->offset, N, C);
        dn_layer_scatter(s, dn_layer_weight(pass, layer, norm->gain), 1, pass->dgain);
    }
    s->kernels->norm_backward(s, pass->x, pass->dy, norm->n, norm->rstd, spec->center, N, C);
}
