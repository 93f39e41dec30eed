#include "nn/linear.h"

#include "compute/kernels.h"

/* y (+)= the products of all blocks. Blocks are in order of rows and columns, so the first to reach an
 * element is the one that starts its row. Of few rows, reading the weights is what takes time. */
static void forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_weight *w, size_t N, bool add)
{
    for (size_t i = 0; i < w->n_blocks; i++) {
        const dn_weight_block *p = &w->blocks[i];
        bool keep = add || p->col0 > 0;
        const dn_buf *in = dn_at(x, p->col0);
        dn_buf *out = dn_at(y, p->row0);
        if (N <= DN_MATVEC_ROWS)
            s->kernels->matvec(s, out, w->rows, in, w->cols, p->weight, N, p->rows, p->cols, keep);
        else
            s->kernels->gemm(s, DN_N, DN_T, N, p->rows, p->cols, 1, in, w->cols, p->weight, p->cols, keep, out,
                             w->rows);
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
        const dn_weight_block *p = &w->blocks[i];
        const dn_buf *dy_part = dn_at(dy, p->row0);
        s->kernels->gemm(s, DN_T, DN_N, p->rows, p->cols, N, 1, dy_part, w->rows, dn_at(x, p->col0), w->cols,
                         1, p->grad, p->cols);
        s->kernels->gemm(s, DN_N, DN_N, N, p->cols, p->rows, 1, dy_part, w->rows, p->weight, p->cols,
                         p->row0 > 0, dn_at(dx, p->col0), w->cols);
    }
}

void dn_bias_forward(dn_stream *s, dn_buf *y, const dn_weight *bias, size_t N)
{
    for (size_t i = 0; i < bias->n_blocks; i++) {
        const dn_weight_block *b = &bias->blocks[i];
        s->kernels->bias_forward(s, dn_at(y, b->row0), bias->rows, b->weight, N, b->rows);
    }
}

void dn_bias_backward(dn_stream *s, const dn_buf *dy, const dn_weight *bias, size_t N)
{
    for (size_t i = 0; i < bias->n_blocks; i++) {
        const dn_weight_block *b = &bias->blocks[i];
        s->kernels->bias_backward(s, b->grad, dn_at(dy, b->row0), bias->rows, N, b->rows);
    }
}
