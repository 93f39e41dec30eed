/*
 * Rotary positions: position t turns pair i of a head, the numbers i and i + rot/2, by the angle t f_i,
 * f_i = theta^(-2i/rot) (Su et al., arXiv:2104.09864, in half-split form), or a scaled one (nn/spec.h). All
 * layers of a model read one table of angles.
 */
#include "nn/layer.h"

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>

static double scaled(const dn_attention_spec *a, double f)
{
    double turns = (double)a->original_T * f / (2 * M_PI);
    if (a->scaling == DN_ROPE_LINEAR)
        return f / a->factor;
    if (a->scaling == DN_ROPE_PLAIN || turns > a->high)
        return f;
    if (turns < a->low)
        return f / a->factor;
    double plain = (turns - a->low) / (a->high - a->low);
    return f * (plain + (1 - plain) / a->factor);
}

double dn_rotary_frequency(const dn_attention_spec *a, size_t i)
{
    return scaled(a, pow(a->theta, -2.0 * (double)i / (double)a->rot));
}

dn_status dn_rotary_fill(dn_stream *stream, dn_buf *angles, const dn_spec *spec)
{
    const dn_attention_spec *a = &spec->attention;
    double *frequencies = calloc(a->rot / 2 + 1, sizeof *frequencies);
    if (!frequencies)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu rotary frequencies", a->rot / 2);
    for (size_t i = 0; i < a->rot / 2; i++)
        frequencies[i] = -a->turn * dn_rotary_frequency(a, i);
    stream->kernels->rotary_angles(stream, angles, frequencies, spec->T, a->rot / 2);
    dn_status status = dn_stream_sync(stream);
    free(frequencies);
    return status;
}

void dn_rotary_select(dn_pass *pass)
{
    const dn_vocab_shard all = {0, pass->spec->T};
    size_t width = pass->spec->attention.rot;
    pass->stream->kernels->embed_forward(pass->stream, pass->angles, width, pass->angle_table, 1, pass->positions,
                                         &all, pass->B * pass->T, width);
}
