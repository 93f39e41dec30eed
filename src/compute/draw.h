/* What a device's memory begins with: zeros, and normal random numbers drawn by the host's threads. */
#ifndef COMPUTE_DRAW_H
#define COMPUTE_DRAW_H

#include "device/stream.h"
#include "dionode/mesh.h"

/* A block of a random matrix: element (i, j) of the whole is std times draw i * cols + j of `stream` under
 * `seed` (dn_random_normal), whoever draws it. */
typedef struct dn_draw {
    uint64_t seed, stream;
    double std;
    size_t cols; /* of the whole matrix */
    dn_block block;
} dn_draw;

/** Zeroes elements 0 .. n-1 of x, DN_STREAM_CHUNK bytes at a time. Returns after sync. */
dn_status dn_stream_zero(dn_stream *stream, dn_buf *x, size_t n) DN_MUST_USE;

/** x [block.rows, block.cols] = the block. Returns after sync. Errors: DN_ERR_MEMORY. */
dn_status dn_draw_normal(dn_stream *stream, dn_buf *x, const dn_draw *draw) DN_MUST_USE;

#endif
