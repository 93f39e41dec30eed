/* Messages: of a dense codec its numbers; of a sparse one the indices, then the numbers of its entries. */
#include "codec/codec.h"

#include "base/size.h"
#include "compute/kernels.h"

/* The parts of a message are aligned. */
static size_t whole(size_t bytes)
{
    return bytes > SIZE_MAX - 7 ? SIZE_MAX : (bytes + 7) / 8 * 8;
}

static size_t index_bytes(const dn_codec *codec, const dn_codec_config *config, size_t n)
{
    return whole(codec->index_bytes(config, n, codec->entries(config, n)));
}

size_t dn_codec_entries(const dn_codec *codec, const dn_codec_config *config, size_t n)
{
    return codec->entries ? codec->entries(config, n) : n;
}

size_t dn_codec_sent_bytes(const dn_codec *codec, const dn_codec_config *config, size_t n, size_t entries)
{
    if (!codec->entries)
        return whole(codec->bytes(entries));
    return dn_size_add(whole(codec->index_bytes(config, n, entries)), whole(config->values->bytes(entries)));
}

size_t dn_codec_bytes(const dn_codec *codec, const dn_codec_config *config, size_t n)
{
    return dn_codec_sent_bytes(codec, config, n, dn_codec_entries(codec, config, n));
}

size_t dn_codec_work(const dn_codec *codec, const dn_codec_config *config, size_t n)
{
    return codec->entries ? codec->entries(config, n) : 0;
}

void dn_codec_encode(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, dn_bytes *message,
                     const dn_buf *x, size_t n, dn_buf *work)
{
    if (!codec->entries) {
        codec->write(s, message, x, n);
        return;
    }
    codec->choose(s, config, message, work, x, n);
    config->values->write(s, dn_bytes_at(message, index_bytes(codec, config, n)), work,
                          codec->entries(config, n));
}

void dn_codec_decode_add(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, dn_buf *y,
                         double factor, const dn_bytes *message, size_t n, dn_buf *work)
{
    if (!codec->entries) {
        codec->add(s, y, factor, message, n);
        return;
    }
    size_t entries = codec->entries(config, n);
    s->kernels->fill(s, work, entries, 0);
    config->values->add(s, work, 1, dn_bytes_at(message, index_bytes(codec, config, n)), entries);
    codec->add_entries(s, config, y, factor, message, work, n);
}

void dn_codec_count(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, uint64_t *host,
                    const dn_bytes *message, size_t n)
{
    if (codec->count)
        codec->count(s, config, host, message, n);
    else
        *host = dn_codec_entries(codec, config, n);
}

void dn_codec_count_add(dn_stream *s, const dn_codec *codec, const dn_codec_config *config, dn_buf *counts,
                        const dn_bytes *message, size_t n)
{
    codec->add_entries(s, config, counts, 1, message, NULL, n);
}
