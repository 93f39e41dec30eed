/*
 * The linear layer without bias, y = x W^T, forward and backward. W [out, in] comes in blocks that tile it
 * (shard/weights.h); all else is dense, row-major. Each block is one product: column blocks add to y, row
 * blocks fill columns of y. Without blocks W is empty, and y, or dx, is 0.
 */
#ifndef NN_LINEAR_H
#define NN_LINEAR_H

#include "shard/weights.h"

/** y [N,out] = x [N,in] w^T. */
void dn_linear_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_weight *w, size_t N);

/** y [N,out] += x [N,in] w^T: a layer that ends in the residual stream. */
void dn_linear_forward_add(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_weight *w, size_t N);

/* Of frozen weights and biases there is no gradient. */

/** dx [N,in] = dy [N,out] w;  the blocks' grad += dy^T x.  x and w as in the forward pass. */
void dn_linear_backward(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *x, const dn_weight *w,
                        size_t N);

/** y [N,out] += a bias of `out` numbers, which comes in blocks as weights do. */
void dn_bias_forward(dn_stream *s, dn_buf *y, const dn_weight *bias, size_t N);

/** The blocks' grad += the sums of dy's [N,out] columns. */
void dn_bias_backward(dn_stream *s, const dn_buf *dy, const dn_weight *bias, size_t N);

#endif
