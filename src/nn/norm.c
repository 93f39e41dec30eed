/*
 * RMS norm in front of a layer. The backward pass needs its output and rstd, never its input.
 *
 * All ranks of tp compute it on all rows. Dealing the rows out (sequence-parallel norms) would replace each
 * all-reduce by a reduce-scatter and an all-gather of the same bytes, with a barrier more, and save (tp-1)/tp
 * of the norms: of a step of the 256-wide model on tp 2 norms are 2.4 % (measured), and their share falls as
 * 1/C.
 */
#include "nn/layer.h"

void dn_norm_lay(const dn_pass *pass, dn_norm *norm, dn_arena *own)
{
    norm->y = dn_layer_take(own, pass->room * pass->spec->C);
    norm->rstd = dn_layer_take(own, pass->room);
}

void dn_norm_forward(dn_pass *pass, const dn_norm *norm)
{
    dn_stream *s = pass->stream;
    s->kernels->rmsnorm_forward(s, norm->y, norm->rstd, pass->x, pass->spec->norm.eps, pass->B * pass->T,
                                pass->spec->C);
}

void dn_norm_backward(dn_pass *pass, const dn_norm *norm)
{
    dn_stream *s = pass->stream;
    s->kernels->rmsnorm_backward(s, pass->x, pass->dy, norm->y, norm->rstd, pass->B * pass->T, pass->spec->C);
}
