/* The linear layer without bias, y = x W^T, forward and backward side by side. Everything dense, row-major.
 */
#ifndef NN_LINEAR_H
#define NN_LINEAR_H

#include "compute/device.h"

/** y [N,out] = x [N,in] w [out,in]^T. */
void dn_linear_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *w, size_t N, size_t out,
                       size_t in);

/** y [N,out] += x [N,in] w [out,in]^T: a layer that ends in the residual stream. */
void dn_linear_forward_add(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *w, size_t N, size_t out,
                           size_t in);

/** dx [N,in] = dy [N,out] w;  dw [out,in] += dy^T x.  x and w as in the forward pass. */
void dn_linear_backward(dn_stream *s, dn_buf *dx, dn_buf *dw, const dn_buf *dy, const dn_buf *x,
                        const dn_buf *w, size_t N, size_t out, size_t in);

#endif
