#include "codec/codec.h"
#include "compute/kernels.h"

void dn_codec_encode_feedback(dn_stream *s, const dn_codec *codec, const dn_codec_config *config,
                              dn_bytes *message, dn_buf *e, double beta, const dn_buf *x, size_t n,
                              dn_buf *work)
{
    s->kernels->axpby(s, e, 1, x, beta, n);
    dn_codec_encode(s, codec, config, message, e, n, work);
    dn_codec_decode_add(s, codec, config, e, -1, message, n, work);
}
