#include "nn/channel.h"

#include "base/size.h"

/* A position is a tile. */
static dn_tiling positions(size_t C, size_t N)
{
    return (dn_tiling){N, C, 1, C};
}

static size_t index_bytes(size_t kept, size_t C, size_t N)
{
    dn_tiling t = positions(C, N);
    return (N * kept * dn_index_bytes(&t) + 7) / 8 * 8;
}

double dn_channel_overhead(size_t C)
{
    dn_tiling t = positions(C, 1);
    return (double)(dn_index_bytes(&t) + sizeof(float)) / sizeof(float);
}

size_t dn_channel_kept(size_t wanted, size_t C)
{
    return (double)wanted * dn_channel_overhead(C) < (double)C ? wanted : 0;
}

size_t dn_channel_gradient_bytes(size_t kept, size_t N)
{
    return (N * kept * sizeof(dn_real) + 7) / 8 * 8;
}

size_t dn_channel_bytes(size_t kept, size_t C, size_t N)
{
    return index_bytes(kept, C, N) + dn_channel_gradient_bytes(kept, N);
}

size_t dn_channels_bytes(const dn_spec *spec, size_t n, size_t N)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes = dn_size_add(bytes, dn_channel_bytes(spec->channels[i].kept, spec->C, N));
    return bytes;
}

dn_buf *dn_channel_numbers(size_t kept, size_t C, size_t N, dn_bytes *message)
{
    return (dn_buf *)dn_bytes_at(message, index_bytes(kept, C, N));
}

void dn_channel_encode(dn_stream *s, size_t kept, size_t C, size_t N, dn_bytes *message, const dn_buf *x)
{
    const dn_tiling t = positions(C, N);
    double share = ((double)kept - 0.5) / (double)C; /* rounded up: kept */
    s->kernels->topk(s, message, dn_channel_numbers(kept, C, N, message), x, &t, share);
}

void dn_channel_decode(dn_stream *s, size_t kept, size_t C, size_t N, dn_buf *x, const dn_bytes *message)
{
    dn_channel_decode_gradient(s, kept, C, N, x, (const dn_buf *)dn_bytes_at(message, index_bytes(kept, C, N)), message);
}

void dn_channel_encode_gradient(dn_stream *s, size_t kept, size_t C, size_t N, dn_buf *gradient, const dn_buf *dx,
                                const dn_bytes *message)
{
    const dn_tiling t = positions(C, N);
    s->kernels->take_entries(s, gradient, dx, message, &t, kept);
}

void dn_channel_decode_gradient(dn_stream *s, size_t kept, size_t C, size_t N, dn_buf *dx, const dn_buf *gradient,
                                const dn_bytes *message)
{
    const dn_tiling t = positions(C, N);
    s->kernels->fill(s, dx, N * C, 0);
    s->kernels->add_entries(s, dx, 1, message, gradient, &t, kept);
}
