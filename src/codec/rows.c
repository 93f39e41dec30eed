/* A share of the rows of a matrix, drawn by a seed that all replicas have (arXiv 2502.06728): messages carry
 * no indices, and can be summed as they are. Row by row each set of that size is as likely as any other
 * (Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S). */
#include "codec/codec.h"

#include "base/random.h"
#include "compute/kernels.h"

#include <assert.h>

static size_t columns(const dn_codec_config *config, size_t n)
{
    return config->cols ? config->cols : n;
}

/* Rounded up: at least one row of what has any. */
static size_t rows_sent(const dn_codec_config *config, size_t n)
{
    size_t cols = columns(config, n), rows = cols ? n / cols : 0;
    return dn_share_of(config->share, rows);
}

static size_t entries(const dn_codec_config *config, size_t n)
{
    return rows_sent(config, n) * columns(config, n);
}

static size_t index_bytes(const dn_codec_config *config, size_t n, size_t entries)
{
    return 0;
}

/* The next row that is drawn, `from` or one after it, where `wanted` are still to come of the rows from there on. */
static size_t next_row(const dn_codec_config *config, size_t rows, size_t wanted, size_t from)
{
    while (dn_random_uniform(config->seed, config->draw, from) * (double)(rows - from) > (double)wanted)
        from++;
    return from;
}

static void choose(dn_stream *s, const dn_codec_config *config, dn_bytes *indices, dn_buf *values,
                   const dn_buf *x, size_t n)
{
    size_t cols = columns(config, n), sent = rows_sent(config, n), row = 0;
    for (size_t i = 0; i < sent; i++, row++) {
        row = next_row(config, n / cols, sent - i, row);
        s->kernels->copy(s, dn_at(values, i * cols), dn_at(x, row * cols), cols);
    }
}

static void add_entries(dn_stream *s, const dn_codec_config *config, dn_buf *y, double factor,
                        const dn_bytes *indices, const dn_buf *values, size_t n)
{
    assert(values); /* all messages have the same rows: nobody counts them */
    size_t cols = columns(config, n), sent = rows_sent(config, n), row = 0;
    for (size_t i = 0; i < sent; i++, row++) {
        row = next_row(config, n / cols, sent - i, row);
        s->kernels->axpby(s, dn_at(y, row * cols), factor, dn_at(values, i * cols), 1, cols);
    }
}

const dn_codec dn_codec_rows = {
    .name = "rows",
    .help = "rows drawn by a seed that all have",
    .entries = entries,
    .index_bytes = index_bytes,
    .choose = choose,
    .add_entries = add_entries,
};
