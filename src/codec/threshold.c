/* Entries whose magnitude is at least tau (Gupta et al., arXiv 2010.08899). A message has room for so many
 * (config->k); where more reach tau, those of higher index are left out,
 * which error feedback keeps for the next message. Unused room is not counted as sent: dn_codec_sent_bytes.
 */
#include "codec/codec.h"
#include "compute/kernels.h"

static dn_tiling whole(size_t n)
{
    return (dn_tiling){1, n, 1, dn_max(n, 1)};
}

static size_t entries(const dn_codec_config *config, size_t n)
{
    return dn_min(n, config->k);
}

static size_t index_bytes(const dn_codec_config *config, size_t n, size_t entries)
{
    dn_tiling t = whole(n);
    return dn_size_mul(entries, dn_index_bytes(&t));
}

static void choose(dn_stream *s, const dn_codec_config *config, dn_bytes *indices, dn_buf *values,
                   const dn_buf *x, size_t n)
{
    s->kernels->take_above(s, indices, values, x, n, config->tau, entries(config, n));
}

static void add_entries(dn_stream *s, const dn_codec_config *config, dn_buf *y, double factor,
                        const dn_bytes *indices, const dn_buf *values, size_t n)
{
    dn_tiling t = whole(n);
    s->kernels->add_entries(s, y, factor, indices, values, &t, entries(config, n));
}

static void count(dn_stream *s, const dn_codec_config *config, uint64_t *host, const dn_bytes *indices,
                  size_t n)
{
    dn_tiling t = whole(n);
    s->kernels->count_entries(s, host, indices, &t, entries(config, n));
}

const dn_codec dn_codec_threshold = {
    .name = "threshold",
    .help = "entries whose magnitude is at least tau",
    .entries = entries,
    .index_bytes = index_bytes,
    .choose = choose,
    .add_entries = add_entries,
    .count = count,
};
