#include "nn/linear.h"

#include "compute/kernels.h"

void dn_linear_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *w, size_t N, size_t out,
                       size_t in)
{
    s->kernels->gemm(s, DN_N, DN_T, N, out, in, 1, x, in, w, in, 0, y, out);
}

void dn_linear_forward_add(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *w, size_t N, size_t out,
                           size_t in)
{
    s->kernels->gemm(s, DN_N, DN_T, N, out, in, 1, x, in, w, in, 1, y, out);
}

void dn_linear_backward(dn_stream *s, dn_buf *dx, dn_buf *dw, const dn_buf *dy, const dn_buf *x,
                        const dn_buf *w, size_t N, size_t out, size_t in)
{
    s->kernels->gemm(s, DN_T, DN_N, out, in, N, 1, dy, out, x, in, 1, dw, in);
    s->kernels->gemm(s, DN_N, DN_N, N, in, out, 1, dy, out, w, in, 0, dx, in);
}
