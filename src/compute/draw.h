/* Normal random numbers into a device's memory, drawn by the host's threads. */
#ifndef COMPUTE_DRAW_H
#define COMPUTE_DRAW_H

#include "compute/device.h"
#include "dionode/mesh.h"

/* A block of a random matrix: element (i, j) of the whole is std times draw i * cols + j of `stream` under
 * `seed` (dn_random_normal), whoever draws it. */
typedef struct dn_draw {
    uint64_t seed, stream;
    double std;
    size_t cols; /* of the whole matrix */
    dn_block block;
} dn_draw;

/** x [block.rows, block.cols] = the block. Returns after sync. Errors: DN_ERR_MEMORY. */
dn_status dn_draw_normal(dn_stream *stream, dn_buf *x, const dn_draw *draw) DN_MUST_USE;

#endif
