/*
 * RMS norm in front of a layer: n = x / sqrt(mean(x^2) + eps), y = n, or n times a gain. The backward pass
 * needs n and rstd, never x; a gained y is made again, because n cannot be had from it where the gain is 0.
 *
 * All ranks of tp compute it on all rows, so that each has the whole gradient of the gain. Dealing the rows
 * out (sequence-parallel norms) would replace each all-reduce by a reduce-scatter and an all-gather of the
 * same bytes, with a barrier more, and save (tp-1)/tp of the norms: of a step of the 256-wide model on tp 2
 * norms are 2.4 % (measured), and their share falls as 1/C.
 */
#include "nn/layer.h"

size_t dn_norm_describe(const dn_spec *spec, dn_param *params, size_t at)
{
    if (params && spec->norm.gain)
        dn_layer_param(&params[at], DN_PARAM_VECTOR, spec->C, 1, DN_TP_NONE, 1);
    return spec->norm.gain;
}

void dn_norm_lay(const dn_pass *pass, dn_norm *norm, size_t gain, dn_arena *own)
{
    norm->gain = gain;
    norm->n = dn_layer_take(own, pass->room * pass->spec->C);
    norm->rstd = dn_layer_take(own, pass->room);
}

const dn_buf *dn_norm_forward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm)
{
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, C = pass->spec->C;
    s->kernels->rmsnorm_forward(s, norm->n, norm->rstd, pass->x, pass->spec->norm.eps, N, C);
    return dn_norm_output(pass, layer, norm);
}

const dn_buf *dn_norm_output(dn_pass *pass, const dn_layer *layer, const dn_norm *norm)
{
    dn_stream *s = pass->stream;
    if (!pass->spec->norm.gain)
        return norm->n;
    const dn_weight *w = dn_layer_weight(pass, layer, norm->gain);
    for (size_t i = 0; i < w->n_blocks; i++) /* over fs the gain comes in blocks */
        s->kernels->copy(s, dn_at(pass->gain, w->blocks[i].block.row0), w->blocks[i].weight,
                         w->blocks[i].block.rows);
    s->kernels->gain_forward(s, pass->y, norm->n, pass->gain, pass->B * pass->T, pass->spec->C);
    return pass->y;
}

/* pass->gain is what dn_norm_output of this norm left there. */
void dn_norm_backward(dn_pass *pass, const dn_layer *layer, const dn_norm *norm)
{
    dn_stream *s = pass->stream;
    size_t N = pass->B * pass->T, C = pass->spec->C;
    if (pass->spec->norm.gain) {
        const dn_weight *w = dn_layer_weight(pass, layer, norm->gain);
        s->kernels->fill(s, pass->dgain, C, 0);
        s->kernels->gain_backward(s, pass->dy, pass->dgain, norm->n, pass->gain, N, C);
        for (size_t i = 0; i < w->n_blocks; i++)
            s->kernels->axpby(s, w->blocks[i].grad, 1, dn_at(pass->dgain, w->blocks[i].block.row0), 1,
                              w->blocks[i].block.rows);
    }
    s->kernels->rmsnorm_backward(s, pass->x, pass->dy, norm->n, norm->rstd, N, C);
}
