/* The upper half of a float: 8 bits of exponent, 7 of fraction, rounded to the nearest. */
#include "codec/codec.h"
#include "compute/kernels.h"

static size_t bytes(size_t n)
{
    return dn_size_mul(n, sizeof(uint16_t));
}

static void write(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    s->kernels->to_bf16(s, (dn_bf16 *)to, x, n);
}

static void add(dn_stream *s, dn_buf *y, double factor, const dn_bytes *from, size_t n)
{
    s->kernels->add_bf16(s, y, factor, (const dn_bf16 *)from, n);
}

const dn_codec dn_codec_bf16 = {
    .name = "bf16",
    .help = "the upper half of a float",
    .bytes = bytes,
    .write = write,
    .add = add,
};
