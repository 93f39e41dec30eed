/* E3M0: sign and 8 magnitudes, 0 and 2^-6 to 1 times the largest of a block of 256 (Douillard et al., arXiv
 * 2501.18512, who say E3M0; the block, its scale and rounding to the nearest are ours). */
#include "codec/codec.h"
#include "compute/kernels.h"

static size_t bytes(size_t n)
{
    return dn_size_add(dn_scale_bytes(n), n / 2 + n % 2);
}

static void write(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    s->kernels->encode_fp4(s, to, x, n);
}

static void add(dn_stream *s, dn_buf *y, double factor, const dn_bytes *from, size_t n)
{
    s->kernels->add_fp4(s, y, factor, from, n);
}

const dn_codec dn_codec_fp4 = {
    .name = "fp4",
    .help = "4 bits: sign, and a power of 2 of the largest of 256 numbers",
    .bytes = bytes,
    .write = write,
    .add = add,
};
