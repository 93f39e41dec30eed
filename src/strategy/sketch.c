#include "strategy/sketch.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"

#include <stdlib.h>

enum { PIECE = 1024 };

/* Twelve bits of random ones for each row: the lowest is the sign. */
static void add_element(uint64_t bits, double value, double *sketch)
{
    for (int row = 0; row < DN_SKETCH_ROWS; row++) {
        unsigned field = (unsigned)(bits >> 12 * row) & 4095;
        sketch[row * DN_SKETCH_WIDTH + (field >> 1) % DN_SKETCH_WIDTH] += field & 1 ? -value : value;
    }
}

dn_status dn_sketch_add(dn_stream *s, uint64_t seed, const dn_strategy_param *x, double *sketch)
{
    dn_real piece[PIECE];
    const dn_block block = x->param->block;
    for (size_t at = 0, n; at < x->n; at += n) {
        n = dn_min(x->n - at, PIECE);
        dn_download(s, piece, dn_at(x->grad, at), n);
        DN_TRY(dn_stream_sync(s));
        for (size_t i = 0; i < n; i++) {
            size_t row = block.row0 + (at + i) / x->cols, col = block.col0 + (at + i) % x->cols;
            uint64_t bits = dn_random_bits(seed, DN_STREAM_SKETCH + x->index, row * x->param->tensor.cols + col);
            add_element(bits, (double)piece[i], sketch);
        }
    }
    return DN_OK;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double dn_sketch_square(const double *sketch)
{
    double squares[DN_SKETCH_ROWS] = {0};
    for (int i = 0; i < DN_SKETCH_SIZE; i++)
        squares[i / DN_SKETCH_WIDTH] += sketch[i] * sketch[i];
    qsort(squares, DN_SKETCH_ROWS, sizeof *squares, compare);
    return squares[DN_SKETCH_ROWS / 2];
}
