#include "nn/linear.h"

#include "compute/kernels.h"

/* A block's weights as products of many rows take them. */
static const dn_buf *factor(const dn_stream *s, const dn_weight_block *b)
{
    return s->kernels->narrow && b->narrow ? dn_narrow(b->narrow) : b->weight;
}

/* y (+)= the products of all blocks. Blocks are in order of rows and columns, so the first to reach an
 * element is the one that starts its row. Of few rows, reading the weights is what takes time. */
static void forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_weight *w, size_t N, bool add)
{
    bool few = N <= DN_MATVEC_ROWS && !dn_is_narrow(x) && !dn_is_narrow(y);
    for (size_t i = 0; i < w->n_blocks; i++) {
        const dn_weight_block *wb = &w->blocks[i];
        const dn_block b = wb->block;
        const dn_buf *in = dn_at(x, b.col0);
        dn_buf *out = dn_at(y, b.row0);
        bool keep = add || b.col0 > 0;
        if (few && wb->narrow)
            s->kernels->matvec_bf16(s, out, w->rows, in, w->cols, wb->narrow, N, b.rows, b.cols, keep);
        else if (few)
            s->kernels->matvec(s, out, w->rows, in, w->cols, wb->weight, N, b.rows, b.cols, keep);
        else
            s->kernels->gemm_layer(s, DN_N, DN_T, N, b.rows, b.cols, in, w->cols, factor(s, wb), b.cols, keep, out, w->rows);
    }
}

void dn_linear_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_weight *w, size_t N)
{
    if (w->n_blocks == 0)
        s->kernels->fill(s, y, N * w->rows, 0);
    forward(s, y, x, w, N, false);
}

void dn_linear_forward_add(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_weight *w, size_t N)
{
    forward(s, y, x, w, N, true);
}

void dn_linear_backward(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *x, const dn_weight *w,
                        size_t N)
{
    if (w->n_blocks == 0)
        s->kernels->fill(s, dx, N * w->cols, 0);
    for (size_t i = 0; i < w->n_blocks; i++) {
        const dn_weight_block *wb = &w->blocks[i];
        const dn_block b = wb->block;
        const dn_buf *dy_part = dn_at(dy, b.row0);
        if (wb->grad)
            s->kernels->gemm_layer(s, DN_T, DN_N, b.rows, b.cols, N, dy_part, w->rows, dn_at(x, b.col0), w->cols, true, wb->grad,
                                   b.cols);
        s->kernels->gemm_layer(s, DN_N, DN_N, N, b.cols, b.rows, dy_part, w->rows, factor(s, wb), b.cols, b.row0 > 0,
                               dn_at(dx, b.col0), w->cols);
    }
}

void dn_bias_forward(dn_stream *s, dn_buf *y, const dn_weight *bias, size_t N)
{
    for (size_t i = 0; i < bias->n_blocks; i++) {
        const dn_weight_block *b = &bias->blocks[i];
        s->kernels->bias_forward(s, dn_at(y, b->block.row0), bias->rows, b->weight, N, b->block.rows);
    }
}

void dn_bias_backward(dn_stream *s, const dn_buf *dy, const dn_weight *bias, size_t N)
{
    for (size_t i = 0; i < bias->n_blocks; i++) {
        const dn_weight_block *b = &bias->blocks[i];
        if (b->grad)
            s->kernels->bias_backward(s, b->grad, dn_at(dy, b->block.row0), bias->rows, N, b->block.rows);
    }
}
