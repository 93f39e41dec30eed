/*
 * What of the residual stream crosses from one stage of a pipeline to the next, and of its gradient back, if not all of it.
 *
 *     y = x where |x| is among the `kept` largest of its position's C numbers, else 0      dx = dy where y is x, else 0
 *
 * the gradient of just that function, so that one set of indices does for both ways (Gupta et al., arXiv 2010.08899; that separate
 * sets can diverge: arXiv 2401.07788). Of equal numbers those of lower index are kept, and 0 is none. Each position chooses by
 * itself: what is chosen depends neither on later positions nor on which rows are computed together.
 *
 * A message forward is the indices, uint16_t or uint32_t [N, kept], and the numbers there; backward only these.
 */
#ifndef NN_CHANNEL_H
#define NN_CHANNEL_H

#include "compute/kernels.h"
#include "nn/spec.h"

/** How many of C numbers to send, if `wanted` of them are: 0, which is all as they are, where indices would make it no shorter. */
size_t dn_channel_kept(size_t wanted, size_t C);
/** Bytes of a kept number forward, over those of a number: of floats, in double too, so that both precisions keep the same. */
double dn_channel_overhead(size_t C);

/* From here on kept > 0; x and dx [N, C]. */

/** Bytes of a message, multiples of 8. */
size_t dn_channel_bytes(size_t kept, size_t C, size_t N);
size_t dn_channel_gradient_bytes(size_t kept, size_t N);

/** Of the messages of the first n of a whole model's channels. */
size_t dn_channels_bytes(const dn_spec *spec, size_t n, size_t N);

void dn_channel_encode(dn_stream *s, size_t kept, size_t C, size_t N, dn_bytes *message, const dn_buf *x);
/** x = what the message stands for. */
void dn_channel_decode(dn_stream *s, size_t kept, size_t C, size_t N, dn_buf *x, const dn_bytes *message);
/** gradient = dx where the message of the way forward has its entries; it may be the message's own numbers: dn_channel_numbers. */
void dn_channel_encode_gradient(dn_stream *s, size_t kept, size_t C, size_t N, dn_buf *gradient, const dn_buf *dx,
                                const dn_bytes *message);
void dn_channel_decode_gradient(dn_stream *s, size_t kept, size_t C, size_t N, dn_buf *dx, const dn_buf *gradient,
                                const dn_bytes *message);
dn_buf *dn_channel_numbers(size_t kept, size_t C, size_t N, dn_bytes *message);

#endif
