/*
 * The list of all kernels, an X-macro: included with OP(name, argument...) defined; an argument is (kind,
 * type, name) or (kind, type, name, count). It generates the table of kernels.h, the prototypes of the
 * backends ref/ and cpu/, and the queueing of kernels that the host computes for a device (fallback.c).
 *
 *     D       a handle of device memory
 *     A       the same of activations: narrow or not (device/stream.h) if the backend is narrow (kernels.h)
 *     V       a value
 *     IN      host memory [count] that is read; NULL where the row says so
 *     OUT     host memory [count], written; valid after dn_stream_sync
 *     SUM     a host number that is added to; valid after dn_stream_sync
 *     LIST    host memory [count] of structures with handles in them, read
 *     FOUND   the same, with results in them, valid after dn_stream_sync
 *
 * Host arguments are read before the call returns, and may be changed then; memory behind handles may not.
 *
 * Conventions. Matrices are row-major, ld = elements between rows. Shapes stand in brackets behind each name.
 * "=" overwrites, "+=" accumulates. Outputs first. No output may alias an input unless the row says "in
 * place". Results do not depend on the number of threads, except for rounding inside gemm where OpenBLAS computes it. Reductions run in
 * a fixed order. Sizes may be 0: then nothing is read or written. Scratch comes from the stream: it grows
 * until every size was seen once; after that nothing is allocated. Dimensions and leading dimensions are
 * below 2^31 (BLAS), their products are not. Of a row's activations all are narrow, or none; but of gemm_layer each as it
 * likes. What is stored in bfloat16 is computed as the rest is, and rounded as by to_bf16.
 */

/* One product (dn_product). */
OP(gemm, (V, dn_trans, ta), (V, dn_trans, tb), (V, size_t, m), (V, size_t, n), (V, size_t, k), (V, double, alpha),
   (D, const dn_buf *, a), (V, size_t, lda), (D, const dn_buf *, b), (V, size_t, ldb), (V, double, beta),
   (D, dn_buf *, c), (V, size_t, ldc))
/* C (+)= op(A) op(B), a product of a layer: as gemm has it, or, of backends of mixed precision, of A and B rounded to
 * bfloat16 (to_bf16) with sums in dn_real, and with the same bits for any number of threads. */
OP(gemm_layer, (V, dn_trans, ta), (V, dn_trans, tb), (V, size_t, m), (V, size_t, n), (V, size_t, k), (A, const dn_buf *, a),
   (V, size_t, lda), (A, const dn_buf *, b), (V, size_t, ldb), (V, bool, add), (A, dn_buf *, c), (V, size_t, ldc))
/* y [n,out], rows ldy apart, = x [n,in], rows ldx apart, times w [out,in]^T; added to what y held if add.
 * n <= DN_MATVEC_ROWS: w is read once. The same bits with any number of threads. */
OP(matvec, (D, dn_buf *, y), (V, size_t, ldy), (D, const dn_buf *, x), (V, size_t, ldx), (D, const dn_buf *, w),
   (V, size_t, n), (V, size_t, out), (V, size_t, in), (V, bool, add))
/* The same of w in bfloat16: sums are in dn_real. */
OP(matvec_bf16, (D, dn_buf *, y), (V, size_t, ldy), (D, const dn_buf *, x), (V, size_t, ldx), (D, const dn_bf16 *, w),
   (V, size_t, n), (V, size_t, out), (V, size_t, in), (V, bool, add))
/* Many, none of which touches another's C: small ones go to a thread each. */
OP(gemm_many, (LIST, dn_product, products, n), (V, size_t, n))

/* ---- vectors of n elements ---- */
/* x = value */
OP(fill, (A, dn_buf *, x), (V, size_t, n), (V, double, value))
/* y = x */
OP(copy, (D, dn_buf *, y), (D, const dn_buf *, x), (V, size_t, n))
/* y = a x + b y */
OP(axpby, (D, dn_buf *, y), (V, double, a), (D, const dn_buf *, x), (V, double, b), (V, size_t, n))
/* x_i = a x_i + b, `rounds` times over, in registers: arithmetic that waits for no memory. */
OP(multiply_add, (D, dn_buf *, x), (V, double, a), (V, double, b), (V, size_t, rounds), (V, size_t, n))
/* The same in the arithmetic of gemm_layer: as multiply_add has it, or x_i += a b, `rounds` times over, of a and b rounded to
 * bfloat16. */
OP(multiply_add_layer, (D, dn_buf *, x), (V, double, a), (V, double, b), (V, size_t, rounds), (V, size_t, n))
/* *host_out = sum of x_i^2, accumulated in double by fixed blocks; NaN or Inf in x shows in it. */
OP(sum_squares, (OUT, double, host_out, 1), (D, const dn_buf *, x), (V, size_t, n))
/* *host_out = sum of x_i y_i, accumulated alike. */
OP(dot, (OUT, double, host_out, 1), (D, const dn_buf *, x), (D, const dn_buf *, y), (V, size_t, n))
/* y = the signs of x: -1, 0 or 1; 0 of NaN, too; y may be x */
OP(sign, (D, dn_buf *, y), (D, const dn_buf *, x), (V, size_t, n))
/* x_i = 0 where u_i is 0 */
OP(clear_where_zero, (D, dn_buf *, x), (D, const dn_buf *, u), (V, size_t, n))

/* ---- layers, N = B*T rows of C columns unless said otherwise ---- */
/* x [N,C], rows ld apart, = wte [words->n,C] at tokens [N];  dwte [words->n,C] += rows of dx [N,C], ld
 * apart, in order of position. Rows of tokens that are not among the words are left alone. */
OP(embed_forward, (D, dn_buf *, x), (V, size_t, ld), (D, const dn_buf *, wte), (V, double, scale),
   (D, const dn_ids *, tokens), (IN, dn_vocab_shard, vocab, 1), (V, size_t, N), (V, size_t, C))
OP(embed_backward, (D, dn_buf *, dwte), (D, const dn_buf *, dx), (V, size_t, ld), (V, double, scale),
   (D, const dn_ids *, tokens), (IN, dn_vocab_shard, vocab, 1), (V, size_t, N), (V, size_t, C))
/* x [B,T,C] += rows of positions [n,C], which are those of positions first .. first+n-1, where the token is
 * among the words;  dpositions [n,C] += the sums of dx [B,T,C] over sequences, in order. */
OP(positions_forward, (D, dn_buf *, x), (D, const dn_buf *, positions), (V, size_t, first), (V, size_t, n),
   (D, const dn_ids *, tokens), (IN, dn_vocab_shard, vocab, 1), (V, size_t, B), (V, size_t, T), (V, size_t, C))
OP(positions_backward, (D, dn_buf *, dpositions), (D, const dn_buf *, dx), (V, size_t, first), (V, size_t, n),
   (V, size_t, B), (V, size_t, T), (V, size_t, C))
/* x [N,C] = y [N,C] in the rows whose tokens are among the words; other rows are left alone. */
OP(copy_rows, (D, dn_buf *, x), (D, const dn_buf *, y), (D, const dn_ids *, tokens),
   (IN, dn_vocab_shard, vocab, 1), (V, size_t, N), (V, size_t, C))
/* y = x * rstd, rstd [N] = 1/sqrt(mean(x^2) + eps), means over a row; center: x less its mean in the place of x. */
OP(norm_forward, (A, dn_buf *, y), (D, dn_buf *, rstd), (D, const dn_buf *, x), (V, bool, center),
   (V, double, eps), (V, size_t, N), (V, size_t, C))
/* dx += rstd * (dy - y * mean(dy * y)), center: - mean(dy) too; y, rstd as the forward pass left them. */
OP(norm_backward, (D, dn_buf *, dx), (D, const dn_buf *, dy), (A, const dn_buf *, y),
   (D, const dn_buf *, rstd), (V, bool, center), (V, size_t, N), (V, size_t, C))
/* y [N,C], rows ld apart, += bias [C];  dbias [C] += the sum over rows of dy [N,C], in double, in order. */
OP(bias_forward, (A, dn_buf *, y), (V, size_t, ld), (D, const dn_buf *, bias), (V, size_t, N), (V, size_t, C))
OP(bias_backward, (D, dn_buf *, dbias), (A, const dn_buf *, dy), (V, size_t, ld), (V, size_t, N), (V, size_t, C))
/* y [N,C] = x [N,C] times offset + gain [C], column by column. */
OP(gain_forward, (A, dn_buf *, y), (A, const dn_buf *, x), (D, const dn_buf *, gain), (V, double, offset),
   (V, size_t, N), (V, size_t, C))
/* dgain [C] += the sum over rows of dy x, in double, in order; and in place, dy becomes dy times offset + gain. */
OP(gain_backward, (D, dn_buf *, dy), (D, dn_buf *, dgain), (A, const dn_buf *, x), (D, const dn_buf *, gain),
   (V, double, offset), (V, size_t, N), (V, size_t, C))
/* angles [T,2n], for the rotary kernels: row t = the n cosines, then the n sines of t * host_frequencies[i],
 * computed in double. */
OP(rotary_angles, (D, dn_buf *, angles), (IN, double, host_frequencies, n), (V, size_t, T), (V, size_t, n))
/* In place on x [B,T,NH,hd] with row stride shape->ld: rotary embedding, half-split: with c, s of position
 * t and frequency i < rot/2 of angles [T,rot], y_i = x_i c + x_(i+rot/2) s,  y_(i+rot/2) = -x_i s +
 * x_(i+rot/2) c; the numbers of a head from rot on stay. Negative frequencies turn the other way. */
OP(rotary_forward, (A, dn_buf *, x), (D, const dn_buf *, angles), (IN, dn_attention_shape, shape, 1))
/* In place on dy (becomes dx). */
OP(rotary_backward, (A, dn_buf *, dy), (D, const dn_buf *, angles), (IN, dn_attention_shape, shape, 1))
/* The same behind an RMS norm of each head (rstd [B,T,NH], eps as above), in one pass. */
OP(norm_rotary_forward, (A, dn_buf *, x), (D, dn_buf *, rstd), (D, const dn_buf *, angles), (V, double, eps),
   (IN, dn_attention_shape, shape, 1))
/* In place on dy (becomes dx); y and rstd as the forward pass left them. */
OP(norm_rotary_backward, (A, dn_buf *, dy), (A, const dn_buf *, y), (D, const dn_buf *, rstd),
   (D, const dn_buf *, angles), (IN, dn_attention_shape, shape, 1))
/* o [B,T,NH*hd] = softmax(q k^T / sqrt(hd), causal, of the last `window` positions if that is not 0) v for each head, q [B,T,NH,hd], k and v [B,T,NKV,hd]; lse
 * [B,NH,T] = log of each row's sum of exponentials (of the scaled scores), kept for the backward pass instead
 * of the probabilities. Of a cache, T queries from position `first` on read first + T keys and values. Narrow: heads of up to
 * DN_NARROW_HEAD numbers, not of a cache. */
OP(attention_forward, (A, dn_buf *, o), (D, dn_buf *, lse), (A, const dn_buf *, q), (A, const dn_buf *, k),
   (A, const dn_buf *, v), (IN, dn_attention_shape, shape, 1))
/* cache [sequences,heads,room,hd], for each head at rows of it, = x [n,heads,hd], rows ld apart. */
OP(cache_store, (D, dn_buf *, cache), (V, size_t, heads), (V, size_t, room), (V, size_t, hd), (D, const dn_buf *, x),
   (V, size_t, ld), (IN, dn_cache_row, rows, n), (V, size_t, n))
/* The same of a cache in bfloat16: rounded as by to_bf16. */
OP(cache_store_bf16, (D, dn_bf16 *, cache), (V, size_t, heads), (V, size_t, room), (V, size_t, hd), (D, const dn_buf *, x),
   (V, size_t, ld), (IN, dn_cache_row, rows, n), (V, size_t, n))
/* o [n,NH*hd] = attention of one query each of several sequences, q [n,NH,hd], rows ld apart, at its row in
 * the caches k and v: it reads the keys of its own and of all earlier positions. B and T are not read. The
 * same bits with any number of threads. */
OP(attention_decode, (D, dn_buf *, o), (D, const dn_buf *, q), (D, const dn_buf *, k), (D, const dn_buf *, v),
   (IN, dn_cache_row, rows, n), (V, size_t, n), (IN, dn_attention_shape, shape, 1))
/* The same of caches in bfloat16: the bits of attention_decode on what from_bf16 makes of them. */
OP(attention_decode_bf16, (D, dn_buf *, o), (D, const dn_buf *, q), (D, const dn_bf16 *, k), (D, const dn_bf16 *, v),
   (IN, dn_cache_row, rows, n), (V, size_t, n), (IN, dn_attention_shape, shape, 1))
/* dq, dk, dv (stride ld) = gradients for d_o [B,T,NH*hd]; o and lse from the forward pass. Query heads that
 * read the same keys add to their gradients in order. */
OP(attention_backward, (A, dn_buf *, dq), (A, dn_buf *, dk), (A, dn_buf *, dv), (A, const dn_buf *, d_o),
   (A, const dn_buf *, q), (A, const dn_buf *, k), (A, const dn_buf *, v), (A, const dn_buf *, o),
   (D, const dn_buf *, lse), (IN, dn_attention_shape, shape, 1))
/* Of a prefix of n keys and values pk, pv [n,NKV*hd], which every query sees besides, whatever the window: in place, o and lse
 * as attention_forward left them become those of both. May be called for several parts of a prefix in turn. */
OP(prefix_forward, (D, dn_buf *, o), (D, dn_buf *, lse), (D, const dn_buf *, q), (D, const dn_buf *, pk),
   (D, const dn_buf *, pv), (V, size_t, n), (IN, dn_attention_shape, shape, 1))
/* dq, dpk, dpv += for d_o, with o and lse of all; with these attention_backward gives dq, dk and dv of the positions. */
OP(prefix_backward, (D, dn_buf *, dq), (D, dn_buf *, dpk), (D, dn_buf *, dpv), (D, const dn_buf *, d_o),
   (D, const dn_buf *, q), (D, const dn_buf *, pk), (D, const dn_buf *, pv), (D, const dn_buf *, o),
   (D, const dn_buf *, lse), (V, size_t, n), (IN, dn_attention_shape, shape, 1))
/* In place: x = max(x, 0)^2.  Backward needs only that result a: relu(x) = sqrt(a), so da = 2 sqrt(a) da.
 * NaN stays NaN. */
OP(relu2_forward, (A, dn_buf *, x), (V, size_t, n))
OP(relu2_backward, (A, dn_buf *, da), (A, const dn_buf *, a), (V, size_t, n))
/* a = f(h), n elements, f an activation (compute/activation.h);  in place, da becomes f'(h) da. */
OP(activation_forward, (A, dn_buf *, a), (A, const dn_buf *, h), (V, dn_activation, f), (V, size_t, n))
OP(activation_backward, (A, dn_buf *, da), (A, const dn_buf *, h), (V, dn_activation, f), (V, size_t, n))
/* a [N,F] = f(g) u, with g and u side by side in the rows of h [N,2F]. */
OP(glu_forward, (A, dn_buf *, a), (A, const dn_buf *, h), (V, dn_activation, f), (V, size_t, N), (V, size_t, F))
/* dh [N,2F] = the gradients of g and u, side by side. */
OP(glu_backward, (A, dn_buf *, dh), (A, const dn_buf *, da), (A, const dn_buf *, h), (V, dn_activation, f),
   (V, size_t, N), (V, size_t, F))
/* In place: x = max(x, 0). NaN stays NaN. */
OP(relu, (D, dn_buf *, x), (V, size_t, n))
/* SHERL's mixture (nn/sherl.c) of M layers' z, u, v [M,N,r]: f [M,N,r] = (z + u) sigmoid(v), and of a row's M vectors f_l of r
 * numbers, the last the deepest:
 *     red_l = sum_m relu(cos(f_l, f_m)),  s_l = relu(a . (f_l * f_deep)) / red_l,  over shallow l, m;  a vector of 0: red_l = 1
 *     agg [N,r] = f_deep + sum_l f_l s_l / (sum_m s_m + 1e-6)
 * dh = the gradients of z, without what u and v are made of it, and of u, which are equal; dv;  da [r] +=, in double. */
OP(sherl_forward, (D, dn_buf *, agg), (D, dn_buf *, f), (D, const dn_buf *, z), (D, const dn_buf *, u), (D, const dn_buf *, v),
   (D, const dn_buf *, a), (V, size_t, M), (V, size_t, N), (V, size_t, r))
OP(sherl_backward, (D, dn_buf *, dh), (D, dn_buf *, dv), (D, dn_buf *, da), (D, const dn_buf *, dagg), (D, const dn_buf *, f),
   (D, const dn_buf *, z), (D, const dn_buf *, u), (D, const dn_buf *, v), (D, const dn_buf *, a), (V, size_t, M), (V, size_t, N),
   (V, size_t, r))
/* y [n] += tanh(10 gamma) x, gamma [1];  dgamma [1] += its gradient, summed in double. */
OP(add_gated, (D, dn_buf *, y), (D, const dn_buf *, gamma), (D, const dn_buf *, x), (V, size_t, n))
OP(add_gated_backward, (D, dn_buf *, dgamma), (D, const dn_buf *, gamma), (D, const dn_buf *, dy), (D, const dn_buf *, x),
   (V, size_t, n))
/* *host_loss += sum over N rows of -log softmax(logits)[target], in double, in row order; and in place,
 * if scale is not 0, logits [N,V] = scale * (softmax(logits) - onehot(target)). scale 0 leaves logits
 * undefined. A target of -1 is not counted: its loss and its row of the gradient are 0. */
OP(cross_entropy, (SUM, double, host_loss), (A, dn_buf *, logits), (D, const dn_ids *, targets),
   (V, size_t, N), (V, size_t, V), (V, double, scale))
/* The same where each of several ranks has the logits of some words, in two steps. First, of the own
 * logits [N, words->n]: part [N,3] = their maximum, the sum of e^(logit - maximum), and the target's
 * logit (0 if it is not among the words); logits become those exponentials. */
OP(cross_entropy_part, (D, dn_buf *, part), (A, dn_buf *, logits), (D, const dn_ids *, targets),
   (IN, dn_vocab_shard, vocab, 1), (V, size_t, N))
/* Then, with the parts of all, host_parts [n_parts] in the order of their words, of which number `own` is
 * this rank's: *host_loss += as above; if scale is not 0, logits (now exponentials) = the gradient. */
OP(cross_entropy_join, (SUM, double, host_loss), (A, dn_buf *, logits),
   (LIST, dn_part_handle, host_parts, n_parts), (V, size_t, n_parts), (V, size_t, own),
   (D, const dn_ids *, targets), (IN, dn_vocab_shard, vocab, 1), (V, size_t, N), (V, double, scale))

/* ---- element-wise optimizers: state and weight of n elements updated in place ---- */
/* m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; x = (1 - lr wd) x - lr (m/c1) / (sqrt(v/c2) + eps).
 * Cautious: wd is 0 for elements with m x < 0. */
OP(adamw, (D, dn_buf *, x), (D, dn_buf *, m), (D, dn_buf *, v), (D, const dn_buf *, g), (V, size_t, n),
   (IN, dn_adamw_step, step, 1))
/* u = sign(b1 m + (1-b1) g); m = b2 m + (1-b2) g; x = (1 - lr wd) x - lr u.  sign(0) = 0.
 * Cautious: wd is 0 for elements with u x < 0. */
OP(lion, (D, dn_buf *, x), (D, dn_buf *, m), (D, const dn_buf *, g), (V, size_t, n), (V, double, lr),
   (V, double, beta1), (V, double, beta2), (V, double, weight_decay), (V, bool, cautious))
/* x = a x where u x >= 0, else x: of an update u that is still to be subtracted, the cautious decay. */
OP(scale_aligned, (D, dn_buf *, x), (V, double, a), (D, const dn_buf *, u), (V, size_t, n))

/* ---- factorizations, column-wise work on tall matrices ---- */
/* q [n,r] = each column j of x [n,r] divided by (||x_j||_2 + eps); the norms are accumulated in double.
 * May be in place. column_squares, if not NULL, is host memory [r] of squared norms to use instead of x's
 * own (for columns that are sharded over ranks). */
OP(normalize_columns, (D, dn_buf *, q), (D, const dn_buf *, x), (V, size_t, n), (V, size_t, r), (V, double, eps),
   (IN, double, column_squares, r))
/* host [r] = squared norms of x's columns, in double. */
OP(column_squares, (OUT, double, host, r), (D, const dn_buf *, x), (V, size_t, n), (V, size_t, r))

/* ---- products of Newton-Schulz: `count` matrices of one shape, dense, one behind the other ---- */
/* C [count][m,n] = alpha op(A) op(B) + beta C, op(A) [count][m,k], op(B) [count][k,n]. */
OP(gemm_batch, (V, size_t, count), (V, dn_trans, ta), (V, dn_trans, tb), (V, size_t, m), (V, size_t, n),
   (V, size_t, k), (V, double, alpha), (D, const dn_buf *, a), (D, const dn_buf *, b), (V, double, beta),
   (D, dn_buf *, c))
/* C [count][n,n] = alpha op(A) op(B)^T + beta D + gamma I, op(A), op(B) [count][n,k], both stored [k,n]
 * for DN_T, D [count][n,n] symmetric, not read when beta is 0. op(A) op(B)^T must be symmetric: B is A,
 * or they are polynomials of one symmetric matrix. Only half of it is computed: C is symmetric to the
 * last bit. */
OP(symmetric_product, (V, size_t, count), (V, dn_trans, t), (V, size_t, n), (V, size_t, k), (V, double, alpha),
   (D, const dn_buf *, a), (D, const dn_buf *, b), (V, double, beta), (D, const dn_buf *, d), (V, double, gamma),
   (D, dn_buf *, c))

/* ---- rows and columns of x [rows, cols]: norms, selection, scaling ---- */
/* y = a x; y may be x */
OP(scale, (D, dn_buf *, y), (V, double, a), (D, const dn_buf *, x), (V, size_t, n))
/* host [rows] = sum of x^2 over each row. */
OP(row_squares, (OUT, double, host, rows), (D, const dn_buf *, x), (V, size_t, rows), (V, size_t, cols))
/* x += y, and in the same pass host [rows] ([cols]) = sum of |x| over each row (column) of what that is. */
OP(add_row_norms1, (OUT, double, host, rows), (D, dn_buf *, x), (D, const dn_buf *, y), (V, size_t, rows),
   (V, size_t, cols))
OP(add_column_norms1, (OUT, double, host, cols), (D, dn_buf *, x), (D, const dn_buf *, y), (V, size_t, rows),
   (V, size_t, cols))
/* out [k, cols] (out [rows, k]) = the k rows (columns) host_ids of x, which are then multiplied by keep. */
OP(take_rows, (D, dn_buf *, out), (D, dn_buf *, x), (IN, int32_t, host_ids, k), (V, size_t, k), (V, size_t, cols),
   (V, double, keep))
OP(take_columns, (D, dn_buf *, out), (D, dn_buf *, x), (IN, int32_t, host_ids, k), (V, size_t, k), (V, size_t, rows),
   (V, size_t, cols), (V, double, keep))
/* Row host_ids[i] of x += a host_factor[i] times row i of y [k, cols]; host_ids NULL: row i,
 * host_factor NULL: 1. Column host_ids[j] of x += a times column j of y [rows, k]. Numbers are distinct. */
OP(add_rows, (D, dn_buf *, x), (IN, int32_t, host_ids, k), (V, double, a), (IN, double, host_factor, k),
   (D, const dn_buf *, y), (V, size_t, k), (V, size_t, cols))
OP(add_columns, (D, dn_buf *, x), (IN, int32_t, host_ids, k), (V, double, a), (D, const dn_buf *, y), (V, size_t, k),
   (V, size_t, rows), (V, size_t, cols))
/* NorMuon's second moments: for i < k and row r = host_ids[i] (NULL: i), v_r = beta2 v_r + (1-beta2)
 * host_mean[i], and host_factor[i] = 1/(sqrt(v_r) + eps), v_r as stored. host_factor may be host_mean. */
OP(row_moments, (D, dn_buf *, v), (OUT, double, host_factor, k), (IN, int32_t, host_ids, k),
   (IN, double, host_mean, k), (V, size_t, k), (V, double, beta2), (V, double, eps))

/* ---- what is stored in bfloat16, the upper half of a float ---- */
/* y = x rounded to the nearest, ties to even: too large becomes infinity, NaN stays NaN of its sign. */
OP(to_bf16, (D, dn_bf16 *, y), (D, const dn_buf *, x), (V, size_t, n))
/* y = x, exactly */
OP(from_bf16, (D, dn_buf *, y), (D, const dn_bf16 *, x), (V, size_t, n))

/* ---- encoding (codec/codec.h): messages are 8-byte aligned; every backend has the reference's bits ---- */
/* Of each tile of x a share of its entries (dn_share_of), those of largest magnitude that are not 0, in order of their
 * index, counted along the tile's rows; of equal ones those of lower index, NaN before all. indices [tiles, k], k the
 * share of a whole tile, are uint16_t or uint32_t (dn_index_bytes). Places that stay empty: an index of all bits, a value
 * of 0. */
OP(topk, (D, dn_bytes *, indices), (D, dn_buf *, values), (D, const dn_buf *, x), (IN, dn_tiling, tiling, 1),
   (V, double, share))
/* The entry indices[i] of tile i/k of y += a values[i] (values NULL: a), i < tiles k. Indices outside of the
 * tile are skipped. */
OP(add_entries, (D, dn_buf *, y), (V, double, a), (D, const dn_bytes *, indices), (D, const dn_buf *, values),
   (IN, dn_tiling, tiling, 1), (V, size_t, k))
/* values[i] = the entry indices[i] of tile i/k of x, 0 where it is outside of the tile */
OP(take_entries, (D, dn_buf *, values), (D, const dn_buf *, x), (D, const dn_bytes *, indices), (IN, dn_tiling, tiling, 1),
   (V, size_t, k))
/* As topk, of x [n] as one tile: in order, up to room entries whose magnitude is at least tau, or that are NaN. */
OP(take_above, (D, dn_bytes *, indices), (D, dn_buf *, values), (D, const dn_buf *, x), (V, size_t, n),
   (V, double, tau), (V, size_t, room))
/* *host = how many of indices [tiles, k] lie within their tiles. */
OP(count_entries, (OUT, uint64_t, host, 1), (D, const dn_bytes *, indices), (IN, dn_tiling, tiling, 1),
   (V, size_t, k))
/* q = x where |x| is at least tau, or NaN, else 0; x = 0 there: q + x are what x was, to the last bit. *host = how many. */
OP(split_above, (OUT, uint64_t, host, 1), (D, dn_buf *, q), (D, dn_buf *, x), (V, size_t, n), (V, double, tau))
/* *host = the k-th largest magnitude in x [n], 0 < k <= n, NaN before all. */
OP(kth_magnitude, (OUT, double, host, 1), (D, const dn_buf *, x), (V, size_t, n), (V, size_t, k))
/* x_i = x_i / counts_i where counts_i > 1 */
OP(divide_counts, (D, dn_buf *, x), (D, const dn_buf *, counts), (V, size_t, n))

/* Each tile X [r,c] of x, transformed: Y = F_r X F_c^T, and back: X = F_r^T Y F_c, with the orthonormal DCT-II
 * F_n(i,j) = sqrt((i > 0 ? 2 : 1)/n) cos(pi i (2j + 1) / 2n). All tiles of y are whole (dn_whole_tiles): those at an
 * edge of x are padded with zeros, and what comes back there is dropped. */
OP(dct_forward, (D, dn_buf *, y), (D, const dn_buf *, x), (IN, dn_tiling, tiling, 1))
OP(dct_inverse, (D, dn_buf *, x), (D, const dn_buf *, y), (IN, dn_tiling, tiling, 1))
/* y += a x, x in bfloat16 */
OP(add_bf16, (D, dn_buf *, y), (V, double, a), (D, const dn_bf16 *, x), (V, size_t, n))
/* Few bits a number: `encode` writes x [n], `add` adds a times what was written to y [n]. The layouts, with M =
 * DN_QUANTUM_BLOCK numbers a block and dn_real scales, padded to 8 bytes, before the codes:
 *     fp4    a scale a block: its largest magnitude; codes of 4 bits, low half first: sign, and 3 bits c for 0
 *            (c = 0) or 2^(c-7) scales, the nearest, ties upwards
 *     int8   a scale a block: its largest magnitude / 127; the nearest multiple, ties away from 0
 *     int2   4 numbers; codes of 2 bits, low first: bins that meet at the mean and at 1.5 deviations (of the
 *            population) beyond it on both sides; each is read back as the mean of what is in it
 *     sign   the mean magnitude; a bit each, 1 = negative, low first
 * Mean, deviation and bins are those of the numbers that are not 0. A block whose largest number is so small
 * that scales have no inverse is 0; one with NaN or infinity comes back as NaN, as do n numbers of int2 and sign.
 * Bits are the reference's on every backend: thresholds, scales and products are rounded to dn_real, sums are in double and
 * in a fixed order (DN_SUM_LANES). */
OP(encode_fp4, (D, dn_bytes *, to), (D, const dn_buf *, x), (V, size_t, n))
OP(add_fp4, (D, dn_buf *, y), (V, double, a), (D, const dn_bytes *, from), (V, size_t, n))
OP(encode_int8, (D, dn_bytes *, to), (D, const dn_buf *, x), (V, size_t, n))
OP(add_int8, (D, dn_buf *, y), (V, double, a), (D, const dn_bytes *, from), (V, size_t, n))
OP(encode_int2, (D, dn_bytes *, to), (D, const dn_buf *, x), (V, size_t, n))
OP(add_int2, (D, dn_buf *, y), (V, double, a), (D, const dn_bytes *, from), (V, size_t, n))
OP(encode_sign, (D, dn_bytes *, to), (D, const dn_buf *, x), (V, size_t, n))
OP(add_sign, (D, dn_buf *, y), (V, double, a), (D, const dn_bytes *, from), (V, size_t, n))

/* ---- orthonormalization in rounds (linalg/orth.h puts them together), n items at once ----
 * A batch is shared out over threads as a whole: large matrices by rows, small ones whole. The bits of
 * an item do not depend on its batch. */
/* partial [r,r] = p'p, upper triangle; what stands below is undefined. */
OP(gram, (LIST, dn_row_block, bands, n), (V, size_t, n))
/* partial [k+1,r], k = dn_sketch_rows(r): S p, and in the last row the squared lengths of p's columns. S
 * [k,rows] are columns row0.. of a k x m matrix of N(0, 1/k), row by row from (seed, draw). */
OP(sketch, (LIST, dn_row_block, bands, n), (V, size_t, n))
/* G = sum of gram's partials, in order; inverse = U^{-1} of G = U'U. DN_FACTOR_RANK_DEFICIENT if a column's
 * part outside the earlier ones is lost in the rounding of G. defect = bound of what rounding leaves of |P'P
 * - I| after one apply. */
OP(factor_gram, (FOUND, dn_factoring, items, n), (V, size_t, n))
/* The same from sketch's partials: inverse = R^{-1} of the QR factorization of S P; no defect. */
OP(factor_sketch, (FOUND, dn_factoring, items, n), (V, size_t, n))
/* p = p inverse, in double, rounded once. */
OP(apply, (LIST, dn_row_block, bands, n), (V, size_t, n))
/* p = its orthonormal factor by Householder's QR: succeeds on every finite matrix but 0. */
OP(householder, (FOUND, dn_tall, items, n), (V, size_t, n))
