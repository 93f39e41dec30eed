/*
 * The cpu backend: what its files share. Files listed as kernel sources are compiled once per instruction set
 * (DN_ISA) and precision, so their symbols carry the instruction set: DN_CPU(fill) is dn_cpu_avx512_fill.
 * The other files (blas.c, gemm.c, rotary.c) leave the fast loops to OpenBLAS and are compiled once.
 *
 * Work is cut into blocks whose size depends on the shape alone, and partial sums are added in block order:
 * the number of threads changes who computes a block, never what comes out.
 */
#ifndef COMPUTE_CPU_CPU_H
#define COMPUTE_CPU_CPU_H

#include "base/size.h"
#include "compute/host.h"

#define DN_CPU_PASTE(isa, name)  dn_cpu_##isa##_##name
#define DN_CPU_EXPAND(isa, name) DN_CPU_PASTE(isa, name)
#define DN_CPU(name)             DN_CPU_EXPAND(DN_ISA, name)

/* Elements of a block: 64 KiB of float, so a thread's block of three streams stays in its L2. */
#define DN_CPU_BLOCK ((size_t)16384)

static inline size_t dn_blocks(size_t n, size_t block)
{
    return (n + block - 1) / block;
}

/* Where part `index` of `parts` of a row of `size` begins: on whole cache lines. */
static inline size_t dn_cpu_edge(size_t size, size_t index, size_t parts)
{
    enum { GRAIN = 16 };
    return dn_min(size, dn_blocks(size, GRAIN) * index / parts * GRAIN);
}

/* ---- compiled once ---- */

/** OpenMP and OpenBLAS threads of the calling thread's next parallel regions and products. */
void dn_cpu_set_threads(int n_threads);

void dn_cpu_rotary_angles(dn_stream *s, dn_buf *angles, const double *host_frequencies, size_t T, size_t n);

void dn_cpu_gemm(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha,
                 const dn_buf *a, size_t lda, const dn_buf *b, size_t ldb, double beta, dn_buf *c,
                 size_t ldc);

void dn_cpu_gemm_many(dn_stream *s, const dn_product *products, size_t n);
void dn_cpu_gemm_batch(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                       double alpha, const dn_buf *a, const dn_buf *b, double beta, dn_buf *c);
void dn_cpu_symmetric_product(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha,
                              const dn_buf *a, const dn_buf *b, double beta, const dn_buf *d, double gamma,
                              dn_buf *c);

/* ---- compiled per instruction set; rows of the table, see kernels.h ---- */
#ifdef DN_ISA
void DN_CPU(fill)(dn_stream *s, dn_buf *x, size_t n, double value);
void DN_CPU(copy)(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n);
void DN_CPU(axpby)(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n);
void DN_CPU(sum_squares)(dn_stream *s, double *host_out, const dn_buf *x, size_t n);
void DN_CPU(relu2_forward)(dn_stream *s, dn_buf *x, size_t n);
void DN_CPU(relu2_backward)(dn_stream *s, dn_buf *da, const dn_buf *a, size_t n);
void DN_CPU(adamw)(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n,
                   const dn_adamw_step *step);
void DN_CPU(lion)(dn_stream *s, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n, double lr, double beta1,
                  double beta2, double weight_decay);
void DN_CPU(normalize_columns)(dn_stream *s, dn_buf *q, const dn_buf *x, size_t n, size_t r, double eps,
                               const double *column_squares);
void DN_CPU(column_squares)(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t r);

void DN_CPU(gram)(dn_stream *s, const dn_row_block *bands, size_t n);
void DN_CPU(sketch)(dn_stream *s, const dn_row_block *bands, size_t n);
void DN_CPU(factor_gram)(dn_stream *s, dn_factoring *items, size_t n);
void DN_CPU(factor_sketch)(dn_stream *s, dn_factoring *items, size_t n);
void DN_CPU(apply)(dn_stream *s, const dn_row_block *bands, size_t n);
void DN_CPU(householder)(dn_stream *s, dn_tall *items, size_t n);

void DN_CPU(embed_forward)(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, const dn_ids *tokens,
                           const dn_vocab_shard *vocab, size_t N, size_t C);
void DN_CPU(embed_backward)(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, const dn_ids *tokens,
                            const dn_vocab_shard *vocab, size_t N, size_t C);
void DN_CPU(copy_rows)(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens,
                       const dn_vocab_shard *vocab, size_t N, size_t C);
void DN_CPU(rmsnorm_forward)(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, double eps, size_t N,
                             size_t C);
void DN_CPU(rmsnorm_backward)(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                              size_t N, size_t C);
void DN_CPU(gain_forward)(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, size_t N, size_t C);
void DN_CPU(gain_backward)(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                           size_t N, size_t C);
void DN_CPU(swiglu_forward)(dn_stream *s, dn_buf *a, const dn_buf *h, size_t N, size_t F);
void DN_CPU(swiglu_backward)(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, size_t N, size_t F);
void DN_CPU(rotary_forward)(dn_stream *s, dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape);
void DN_CPU(rotary_backward)(dn_stream *s, dn_buf *dy, const dn_buf *angles, const dn_attention_shape *shape);
void DN_CPU(norm_rotary_forward)(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_buf *angles, double eps,
                                 const dn_attention_shape *shape);
void DN_CPU(norm_rotary_backward)(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                  const dn_buf *angles, const dn_attention_shape *shape);
void DN_CPU(cross_entropy)(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                           size_t V, double scale);
void DN_CPU(cross_entropy_part)(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                                const dn_vocab_shard *vocab, size_t N);
void DN_CPU(cross_entropy_join)(dn_stream *s, double *host_loss, dn_buf *logits,
                                const dn_buf *const *host_parts, size_t n_parts, size_t own,
                                const dn_ids *targets, const dn_vocab_shard *vocab, size_t N, double scale);

void DN_CPU(attention_forward)(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                               const dn_buf *v, const dn_attention_shape *shape);
void DN_CPU(attention_backward)(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                                const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                                const dn_buf *lse, const dn_attention_shape *shape);
void DN_CPU(scale)(dn_stream *s, dn_buf *y, double a, const dn_buf *x, size_t n);
void DN_CPU(row_squares)(dn_stream *s, double *host, const dn_buf *x, size_t rows, size_t cols);
void DN_CPU(add_row_norms1)(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows, size_t cols);
void DN_CPU(add_column_norms1)(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows,
                               size_t cols);
void DN_CPU(take_rows)(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t cols,
                       double keep);
void DN_CPU(take_columns)(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k,
                          size_t rows, size_t cols, double keep);
void DN_CPU(add_rows)(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const double *host_factor,
                      const dn_buf *y, size_t k, size_t cols);
void DN_CPU(add_columns)(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y,
                         size_t k, size_t rows, size_t cols);
void DN_CPU(row_moments)(dn_stream *s, dn_buf *v, double *host_factor, const int32_t *host_ids,
                         const double *host_mean, size_t k, double beta2, double eps);
void DN_CPU(to_bf16)(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n);
void DN_CPU(from_bf16)(dn_stream *s, dn_buf *y, const dn_bf16 *x, size_t n);
#endif

#endif
