/* Multiples of 1/127 of the largest of a block of 256; block and rounding are ours. */
#include "codec/codec.h"
#include "compute/kernels.h"

static size_t bytes(size_t n)
{
    return dn_size_add(dn_scale_bytes(n), n);
}

static void write(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    s->kernels->encode_int8(s, to, x, n);
}

static void add(dn_stream *s, dn_buf *y, double factor, const dn_bytes *from, size_t n)
{
    s->kernels->add_int8(s, y, factor, from, n);
}

const dn_codec dn_codec_int8 = {
    .name = "int8",
    .help = "8 bits: multiples of 1/127 of the largest of 256 numbers",
    .bytes = bytes,
    .write = write,
    .add = add,
};
