/*
 * The reference backend: each row of the table as its formula says, in plain loops, one thread, sums in
 * double. Slow on purpose; every other backend is tested against it. Signatures and meaning: kernels.h.
 */
#ifndef COMPUTE_REF_REF_H
#define COMPUTE_REF_REF_H

#include "compute/host.h"

void dn_ref_gemm(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha,
                 const dn_buf *a, size_t lda, const dn_buf *b, size_t ldb, double beta, dn_buf *c,
                 size_t ldc);
void dn_ref_fill(dn_stream *s, dn_buf *x, size_t n, double value);
void dn_ref_copy(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n);
void dn_ref_axpby(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n);
void dn_ref_sum_squares(dn_stream *s, double *host_out, const dn_buf *x, size_t n);

void dn_ref_embed_forward(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, const dn_ids *tokens,
                          const dn_vocab_shard *vocab, size_t N, size_t C);
void dn_ref_embed_backward(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, const dn_ids *tokens,
                           const dn_vocab_shard *vocab, size_t N, size_t C);
void dn_ref_copy_rows(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens,
                      const dn_vocab_shard *vocab, size_t N, size_t C);
void dn_ref_rmsnorm_forward(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, double eps, size_t N,
                            size_t C);
void dn_ref_rmsnorm_backward(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                             size_t N, size_t C);
void dn_ref_gain_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, size_t N, size_t C);
void dn_ref_gain_backward(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                          size_t N, size_t C);
void dn_ref_swiglu_forward(dn_stream *s, dn_buf *a, const dn_buf *h, size_t N, size_t F);
void dn_ref_swiglu_backward(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, size_t N, size_t F);
void dn_ref_rotary_angles(dn_stream *s, dn_buf *angles, const double *host_frequencies, size_t T, size_t n);
void dn_ref_rotary_forward(dn_stream *s, dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape);
void dn_ref_rotary_backward(dn_stream *s, dn_buf *dy, const dn_buf *angles, const dn_attention_shape *shape);
void dn_ref_norm_rotary_forward(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_buf *angles, double eps,
                                const dn_attention_shape *shape);
void dn_ref_norm_rotary_backward(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                 const dn_buf *angles, const dn_attention_shape *shape);
void dn_ref_relu2_forward(dn_stream *s, dn_buf *x, size_t n);
void dn_ref_relu2_backward(dn_stream *s, dn_buf *da, const dn_buf *a, size_t n);
void dn_ref_cross_entropy(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                          size_t V, double scale);
void dn_ref_cross_entropy_part(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                               const dn_vocab_shard *vocab, size_t N);
void dn_ref_cross_entropy_join(dn_stream *s, double *host_loss, dn_buf *logits,
                               const dn_buf *const *host_parts, size_t n_parts, size_t own,
                               const dn_ids *targets, const dn_vocab_shard *vocab, size_t N, double scale);

void dn_ref_attention_forward(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                              const dn_buf *v, const dn_attention_shape *shape);
void dn_ref_attention_backward(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                               const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                               const dn_buf *lse, const dn_attention_shape *shape);

void dn_ref_adamw(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n,
                  const dn_adamw_step *step);
void dn_ref_lion(dn_stream *s, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n, double lr, double beta1,
                 double beta2, double weight_decay);

void dn_ref_normalize_columns(dn_stream *s, dn_buf *q, const dn_buf *x, size_t n, size_t r, double eps,
                              const double *column_squares);
void dn_ref_column_squares(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t r);
void dn_ref_gram(dn_stream *s, const dn_row_block *bands, size_t n);
void dn_ref_sketch(dn_stream *s, const dn_row_block *bands, size_t n);
void dn_ref_factor_gram(dn_stream *s, dn_factoring *items, size_t n);
void dn_ref_factor_sketch(dn_stream *s, dn_factoring *items, size_t n);
void dn_ref_apply(dn_stream *s, const dn_row_block *bands, size_t n);
void dn_ref_householder(dn_stream *s, dn_tall *items, size_t n);

void dn_ref_gemm_many(dn_stream *s, const dn_product *products, size_t n);
void dn_ref_gemm_batch(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                       double alpha, const dn_buf *a, const dn_buf *b, double beta, dn_buf *c);
void dn_ref_symmetric_product(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha,
                              const dn_buf *a, const dn_buf *b, double beta, const dn_buf *d, double gamma,
                              dn_buf *c);
void dn_ref_scale(dn_stream *s, dn_buf *y, double a, const dn_buf *x, size_t n);
void dn_ref_row_squares(dn_stream *s, double *host, const dn_buf *x, size_t rows, size_t cols);
void dn_ref_add_row_norms1(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows, size_t cols);
void dn_ref_add_column_norms1(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows,
                              size_t cols);
void dn_ref_take_rows(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t cols,
                      double keep);
void dn_ref_take_columns(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t rows,
                         size_t cols, double keep);
void dn_ref_add_rows(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const double *host_factor,
                     const dn_buf *y, size_t k, size_t cols);
void dn_ref_add_columns(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y, size_t k,
                        size_t rows, size_t cols);
void dn_ref_row_moments(dn_stream *s, dn_buf *v, double *host_factor, const int32_t *host_ids,
                        const double *host_mean, size_t k, double beta2, double eps);
void dn_ref_to_bf16(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n);
void dn_ref_from_bf16(dn_stream *s, dn_buf *y, const dn_bf16 *x, size_t n);

#endif
