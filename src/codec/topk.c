/* A share of each tile of a matrix, its entries of largest magnitude (Peng et al., arXiv 2411.19870; Aji and
 * Heafield, arXiv 1704.05021), with an index of 16 bits in tiles of up to 65535 entries, else 32. Of equal
 * ones those of lower index are sent. */
#include "codec/codec.h"
#include "compute/kernels.h"

/* Tiles no larger than the matrix. */
static dn_tiling tiling_of(const dn_codec_config *config, size_t n)
{
    size_t cols = config->cols ? config->cols : n, rows = cols ? n / cols : 0;
    return (dn_tiling){rows, cols, dn_min(config->tile_rows, dn_max(rows, 1)),
                       dn_min(config->tile_cols, dn_max(cols, 1))};
}

static size_t entries_of_tile(const dn_codec_config *config, const dn_tiling *t)
{
    return dn_share_of(config->share, t->tile_rows * t->tile_cols);
}

static size_t entries(const dn_codec_config *config, size_t n)
{
    dn_tiling t = tiling_of(config, n);
    return dn_size_mul(dn_tiles(&t), entries_of_tile(config, &t));
}

static size_t index_bytes(const dn_codec_config *config, size_t n, size_t entries)
{
    dn_tiling t = tiling_of(config, n);
    return dn_size_mul(entries, dn_index_bytes(&t));
}

static void choose(dn_stream *s, const dn_codec_config *config, dn_bytes *indices, dn_buf *values,
                   const dn_buf *x, size_t n)
{
    dn_tiling t = tiling_of(config, n);
    s->kernels->topk(s, indices, values, x, &t, config->share);
}

static void add_entries(dn_stream *s, const dn_codec_config *config, dn_buf *y, double factor,
                        const dn_bytes *indices, const dn_buf *values, size_t n)
{
    dn_tiling t = tiling_of(config, n);
    s->kernels->add_entries(s, y, factor, indices, values, &t, entries_of_tile(config, &t));
}

const dn_codec dn_codec_topk = {
    .name = "topk",
    .help = "of each tile a share of the entries, those of largest magnitude",
    .entries = entries,
    .index_bytes = index_bytes,
    .choose = choose,
    .add_entries = add_entries,
};
