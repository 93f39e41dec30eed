/*
 * Rotary positions: position t turns pair i of a head, the numbers i and i + hd/2, by the angle t
 * theta^(-2i/hd) (Su et al., arXiv:2104.09864, in half-split form). All layers of a model read one table of
 * angles.
 */
#include "nn/layer.h"

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>

dn_status dn_rotary_fill(dn_stream *stream, dn_buf *angles, const dn_spec *spec)
{
    const dn_attention_spec *a = &spec->attention;
    double *frequencies = calloc(a->hd / 2, sizeof *frequencies);
    if (!frequencies)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu rotary frequencies", a->hd / 2);
    for (size_t i = 0; i < a->hd / 2; i++)
        frequencies[i] = -a->turn * pow(a->theta, -2.0 * (double)i / (double)a->hd);
    stream->kernels->rotary_angles(stream, angles, frequencies, spec->T, a->hd / 2);
    dn_status status = dn_stream_sync(stream);
    free(frequencies);
    return status;
}

void dn_rotary_select(dn_pass *pass)
{
    const dn_vocab_shard all = {0, pass->spec->T};
    size_t width = pass->spec->attention.hd;
    pass->stream->kernels->embed_forward(pass->stream, pass->angles, width, pass->angle_table, pass->positions, &all,
                                         pass->B * pass->T, width);
}
