/* Four bins of 6/4 deviations around the mean of the numbers that are not 0, each read back as the mean of
 * what fell into it (arXiv 2508.15706; that bins meet at the mean, the deviation of the population, and
 * leaving out zeros are ours). */
#include "codec/codec.h"
#include "compute/kernels.h"

static size_t bytes(size_t n)
{
    return dn_size_add(4 * sizeof(dn_real), n / 4 + (n % 4 > 0));
}

static void write(dn_stream *s, dn_bytes *to, const dn_buf *x, size_t n)
{
    s->kernels->encode_int2(s, to, x, n);
}

static void add(dn_stream *s, dn_buf *y, double factor, const dn_bytes *from, size_t n)
{
    s->kernels->add_int2(s, y, factor, from, n);
}

const dn_codec dn_codec_int2 = {
    .name = "int2",
    .help = "2 bits: four bins around the mean, read back as their means",
    .bytes = bytes,
    .write = write,
    .add = add,
};
