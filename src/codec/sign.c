/* Signs times the mean magnitude (Seide et al., Interspeech 2014; Karimireddy et al., arXiv 1901.09847), the
 * mean of the numbers that are not 0: that is ours, as zeros fill the places that a sparse codec leaves
 * empty. A 0 is read back as positive. */
#include "codec/codec.h"
#include "compute/kernels.h"

static size_t bytes(size_t n)
{
    return dn_size_add(8, n / 8 + (n % 8 > 0));
}

static void write(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    s->kernels->encode_sign(s, to, x, n);
}

static void add(dn_stream *s, dn_buf *y, double factor, const dn_bytes *from, size_t n)
{
    s->kernels->add_sign(s, y, factor, from, n);
}

const dn_codec dn_codec_sign = {
    .name = "sign",
    .help = "1 bit: the sign, times the mean magnitude",
    .bytes = bytes,
    .write = write,
    .add = add,
};
