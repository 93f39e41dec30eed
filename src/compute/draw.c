#include "compute/draw.h"

#include "base/fail.h"
#include "base/random.h"
#include "compute/kernels.h"

#include <stdlib.h>

dn_status dn_stream_zero(dn_stream *stream, dn_buf *x, size_t n)
{
    const size_t piece = DN_STREAM_CHUNK / sizeof(dn_real);
    for (size_t at = 0; at < n; at += piece) {
        stream->kernels->fill(stream, dn_at(x, at), n - at < piece ? n - at : piece, 0);
        DN_TRY(dn_stream_sync(stream)); /* queued is not done */
        if (!dn_stream_progress(stream))
            break;
    }
    return DN_OK;
}

/* Drawn a piece at a time, so that a model on another device needs little host memory, and a piece in turns
 * that threads share out. */
enum { PIECE = 1 << 16, TURN = 1 << 12 };

/* Consecutive numbers of a stream, as dn_random_normal draws them. */
typedef void draw_fn(uint64_t seed, uint64_t stream, uint64_t first, size_t n, double std, dn_real *out);

static void draw_symmetric(uint64_t seed, uint64_t stream, uint64_t first, size_t n, double std, dn_real *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (dn_real)(std * (2 * dn_random_uniform(seed, stream, first + i) - 1));
}

/* Elements first .. first+n-1 of the block, row by row: a row is contiguous in the whole. */
static void draw_elements(draw_fn *fn, const dn_draw *d, size_t first, size_t n, dn_real *out)
{
    for (size_t done = 0, count; done < n; done += count) {
        size_t row = (first + done) / d->block.cols, col = (first + done) % d->block.cols;
        count = d->block.cols - col < n - done ? d->block.cols - col : n - done;
        fn(d->seed, d->stream, (d->block.row0 + row) * d->cols + d->block.col0 + col, count, d->std, out + done);
    }
}

static void draw_piece(draw_fn *fn, const dn_stream *stream, const dn_draw *d, size_t first, size_t n, dn_real *piece)
{
#pragma omp parallel for schedule(static) num_threads(stream->n_threads) if (n > TURN)
    for (size_t at = 0; at < n; at += TURN)
        draw_elements(fn, d, first + at, n - at < TURN ? n - at : TURN, piece + at);
}

static dn_status draw_block(draw_fn *fn, dn_stream *stream, dn_buf *x, const dn_draw *draw)
{
    size_t size = draw->block.rows * draw->block.cols;
    dn_real *piece = malloc(PIECE * sizeof *piece);
    if (!piece)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu bytes of random numbers", PIECE * sizeof *piece);
    dn_status status = DN_OK;
    for (size_t first = 0; first < size && status == DN_OK; first += PIECE) {
        size_t n = size - first < PIECE ? size - first : PIECE;
        draw_piece(fn, stream, draw, first, n, piece);
        dn_upload(stream, dn_at(x, first), piece, n);
        status = dn_stream_sync(stream); /* the piece is overwritten next */
        if (!dn_stream_progress(stream))
            break;
    }
    free(piece);
    return status;
}

dn_status dn_draw_normal(dn_stream *stream, dn_buf *x, const dn_draw *draw)
{
    return draw_block(dn_random_normal, stream, x, draw);
}

dn_status dn_draw_uniform(dn_stream *stream, dn_buf *x, const dn_draw *draw)
{
    return draw_block(draw_symmetric, stream, x, draw);
}
