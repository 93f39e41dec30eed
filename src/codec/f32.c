/* Numbers as they are: float, and double where the program computes in double, which is then exact, too. */
#include "codec/codec.h"
#include "compute/kernels.h"

static size_t bytes(size_t n)
{
    return dn_size_mul(n, sizeof(dn_real));
}

static void write(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    s->kernels->copy(s, (dn_buf *)to, x, n);
}

static void add(dn_stream *s, dn_buf *y, double factor, const dn_bytes *from, size_t n)
{
    s->kernels->axpby(s, y, factor, (const dn_buf *)from, 1, n);
}

const dn_codec dn_codec_f32 = {
    .name = "f32",
    .help = "numbers as they are",
    .bytes = bytes,
    .write = write,
    .add = add,
};
