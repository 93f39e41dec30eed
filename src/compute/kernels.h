/*
 * The table of kernels: one entry an operation, one backend a way to compute it (ref/: plain C, the
 * definition; cpu/: OpenMP, OpenBLAS, LAPACKE, built once per instruction set; cuda/ later). Code above this
 * room calls `s->kernels->op(s, ...)` and never knows which backend it got.
 *
 * Conventions. Matrices are row-major, ld = elements between rows. Shapes stand in brackets behind each name.
 * "=" overwrites, "+=" accumulates. Outputs first. No output may alias an input unless the row says "in
 * place". Results do not depend on the number of threads, except for rounding inside gemm. Reductions run in
 * a fixed order. Host scalars behind `host_` pointers are valid after dn_stream_sync. Sizes may be 0: then
 * nothing is read or written. Kernels take scratch from the stream: it grows until every size was seen once,
 * then nothing allocates. Dimensions and leading dimensions are below 2^31 (BLAS), their products are not.
 */
#ifndef COMPUTE_KERNELS_H
#define COMPUTE_KERNELS_H

#include "device/stream.h"
#include "dionode/blas.h"

#include <stdbool.h>

typedef enum dn_trans { DN_N, DN_T } dn_trans;

/* What AdamW needs to know of one step; bias corrections are 1 - beta^t, t counting from 1. */
typedef struct dn_adamw_step {
    double lr, beta1, beta2, eps, weight_decay, correction1, correction2;
    bool cautious; /* decay only where update and weight have the same sign (arXiv 2510.12402) */
} dn_adamw_step;

typedef struct dn_attention_shape {
    size_t B, T, NH, hd; /* sequences, positions, heads, size of a head (even) */
    size_t NKV;          /* heads of keys and values, of which query head h reads number h / (NH/NKV); divides NH */
    size_t ld;           /* elements from one position to the next in q, k, v and their gradients: >= NH*hd */
} dn_attention_shape;

/* A band of rows of a tall matrix P [m,r], and the small matrices that are made of it or applied to it. */
typedef struct dn_row_block {
    size_t m, r, row0, rows; /* rows row0 .. row0 + rows - 1 of P; may be none */
    dn_buf *p;               /* [rows,r] dense */
    uint64_t seed, draw;     /* sketch: where its random numbers come from */
    dn_wide *partial;        /* gram, sketch: out */
    const dn_wide *inverse;  /* apply: T [r,r], upper triangular, zeros below */
} dn_row_block;

/* What a factorization found. Only DN_FACTOR_OK writes a result. */
typedef enum dn_factor_info {
    DN_FACTOR_OK,
    DN_FACTOR_RANK_DEFICIENT, /* numerically rank-deficient */
    DN_FACTOR_ZERO,           /* P is 0 everywhere          */
    DN_FACTOR_NOT_FINITE,     /* P holds NaN or infinity    */
} dn_factor_info;

/* The sum of partials of all bands of a matrix, to be factored: P = Q U with U upper triangular of positive
 * diagonal. */
typedef struct dn_factoring {
    size_t r, n_partials;           /* both > 0 */
    const dn_wide *const *partials; /* [n_partials] */
    dn_wide *inverse;               /* [r,r] out: U^{-1}, zeros below; none of the partials */
    dn_factor_info info;            /* host, out */
    double defect;                  /* host, out */
} dn_factoring;

/* A whole tall matrix, m >= r > 0. */
typedef struct dn_tall {
    size_t m, r;
    dn_buf *p;           /* [m,r] dense */
    dn_factor_info info; /* host, out */
} dn_tall;

/** Rows of a sketch: 1.25 r, rounded up to a multiple of 128 (dion.md 1.3). */
static inline size_t dn_sketch_rows(size_t r)
{
    return (5 * r + 511) / 512 * 128;
}

/* A part of the vocabulary: words first .. first+n-1. */
typedef struct dn_vocab_shard {
    size_t first, n;
} dn_vocab_shard;

/* C [m,n] = alpha op(A) op(B) + beta C.  op(A) [m,k], op(B) [k,n].  beta 0 ignores what C held. */
typedef struct dn_product {
    dn_trans ta, tb;
    size_t m, n, k;
    double alpha;
    const dn_buf *a;
    size_t lda;
    const dn_buf *b;
    size_t ldb;
    double beta;
    dn_buf *c;
    size_t ldc;
} dn_product;

typedef struct dn_kernels {
    const char *name; /* "ref", "cpu-avx512", ... */

    /* One product (dn_product). */
    void (*gemm)(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha,
                 const dn_buf *a, size_t lda, const dn_buf *b, size_t ldb, double beta, dn_buf *c,
                 size_t ldc);
    /* Many, none of which touches another's C: small ones go to a thread each. */
    void (*gemm_many)(dn_stream *s, const dn_product *products, size_t n);

    /* ---- vectors of n elements ---- */
    void (*fill)(dn_stream *s, dn_buf *x, size_t n, double value);    /* x = value            */
    void (*copy)(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n); /* y = x                */
    void (*axpby)(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n); /* y = a x + b y */
    /* *host_out = sum of x_i^2, accumulated in double by fixed blocks; NaN or Inf in x shows in it. */
    void (*sum_squares)(dn_stream *s, double *host_out, const dn_buf *x, size_t n);

    /* ---- layers, N = B*T rows of C columns unless said otherwise ---- */
    /* x [N,C], rows ld apart, = wte [words->n,C] at tokens [N];  dwte [words->n,C] += rows of dx [N,C], ld
     * apart, in order of position. Rows of tokens that are not among the words are left alone. */
    void (*embed_forward)(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, const dn_ids *tokens,
                          const dn_vocab_shard *vocab, size_t N, size_t C);
    void (*embed_backward)(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, const dn_ids *tokens,
                           const dn_vocab_shard *vocab, size_t N, size_t C);
    /* x [N,C] = y [N,C] in the rows whose tokens are among the words; other rows are left alone. */
    void (*copy_rows)(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens,
                      const dn_vocab_shard *vocab, size_t N, size_t C);
    /* y = x * rstd, rstd [N] = 1/sqrt(mean(x^2) + eps). */
    void (*rmsnorm_forward)(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, double eps, size_t N,
                            size_t C);
    /* dx += rstd * (dy - y * mean(dy * y)), mean over a row; y, rstd as the forward pass left them. */
    void (*rmsnorm_backward)(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                             size_t N, size_t C);
    /* y [N,C] = x [N,C] times gain [C], column by column. */
    void (*gain_forward)(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, size_t N, size_t C);
    /* dgain [C] += the sum over rows of dy x, in double, in order; and in place, dy becomes dy times gain. */
    void (*gain_backward)(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                          size_t N, size_t C);
    /* angles [T,2n], for the rotary kernels: row t = the n cosines, then the n sines of t *
     * host_frequencies[i], computed in double. host_frequencies must stay until dn_stream_sync. */
    void (*rotary_angles)(dn_stream *s, dn_buf *angles, const double *host_frequencies, size_t T, size_t n);
    /* In place on x [B,T,NH,hd] with row stride shape->ld: rotary embedding, half-split: with c, s of
     * position t and frequency i < hd/2 of angles [T,hd], y_i = x_i c + x_(i+hd/2) s,  y_(i+hd/2) = -x_i s +
     * x_(i+hd/2) c. Negative frequencies turn the other way. */
    void (*rotary_forward)(dn_stream *s, dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape);
    /* In place on dy (becomes dx). */
    void (*rotary_backward)(dn_stream *s, dn_buf *dy, const dn_buf *angles, const dn_attention_shape *shape);
    /* The same behind an RMS norm of each head (rstd [B,T,NH], eps as above), in one pass. */
    void (*norm_rotary_forward)(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_buf *angles, double eps,
                                const dn_attention_shape *shape);
    /* In place on dy (becomes dx); y and rstd as the forward pass left them. */
    void (*norm_rotary_backward)(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                 const dn_buf *angles, const dn_attention_shape *shape);
    /* o [B,T,NH*hd] = softmax(q k^T / sqrt(hd), causal) v for each head, q [B,T,NH,hd], k and v [B,T,NKV,hd];
     * lse [B,NH,T] = log of each row's sum of exponentials (of the scaled scores), kept for the backward pass
     * instead of the probabilities. */
    void (*attention_forward)(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                              const dn_buf *v, const dn_attention_shape *shape);
    /* dq, dk, dv (stride ld) = gradients for d_o [B,T,NH*hd]; o and lse from the forward pass. Query heads
     * that read the same keys add to their gradients in order. */
    void (*attention_backward)(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                               const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                               const dn_buf *lse, const dn_attention_shape *shape);
    /* In place: x = max(x, 0)^2.  Backward needs only that result a: relu(x) = sqrt(a), so da = 2 sqrt(a) da.
     * NaN stays NaN. */
    void (*relu2_forward)(dn_stream *s, dn_buf *x, size_t n);
    void (*relu2_backward)(dn_stream *s, dn_buf *da, const dn_buf *a, size_t n);
    /* a [N,F] = g sigma(g) u, sigma(g) = 1/(1 + e^-g), with g and u side by side in the rows of h [N,2F]. */
    void (*swiglu_forward)(dn_stream *s, dn_buf *a, const dn_buf *h, size_t N, size_t F);
    /* dh [N,2F] = the gradients of g and u, side by side. */
    void (*swiglu_backward)(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, size_t N, size_t F);
    /* *host_loss += sum over N rows of -log softmax(logits)[target], in double, in row order; and in place,
     * if scale is not 0, logits [N,V] = scale * (softmax(logits) - onehot(target)). scale 0 leaves logits
     * undefined. */
    void (*cross_entropy)(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                          size_t V, double scale);
    /* The same where each of several ranks has the logits of some words, in two steps. First, of the own
     * logits [N, words->n]: part [N,3] = their maximum, the sum of e^(logit - maximum), and the target's
     * logit (0 if it is not among the words); logits become those exponentials. */
    void (*cross_entropy_part)(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                               const dn_vocab_shard *vocab, size_t N);
    /* Then, with the parts of all, host_parts [n_parts] in the order of their words, of which number `own` is
     * this rank's: *host_loss += as above; if scale is not 0, logits (now exponentials) = the gradient. */
    void (*cross_entropy_join)(dn_stream *s, double *host_loss, dn_buf *logits,
                               const dn_buf *const *host_parts, size_t n_parts, size_t own,
                               const dn_ids *targets, const dn_vocab_shard *vocab, size_t N, double scale);

    /* ---- element-wise optimizers: state and weight of n elements updated in place ---- */
    /* m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; x = (1 - lr wd) x - lr (m/c1) / (sqrt(v/c2) + eps).
     * Cautious: wd is 0 for elements with m x < 0. */
    void (*adamw)(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n,
                  const dn_adamw_step *step);
    /* u = sign(b1 m + (1-b1) g); m = b2 m + (1-b2) g; x = (1 - lr wd) x - lr u.  sign(0) = 0. */
    void (*lion)(dn_stream *s, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n, double lr, double beta1,
                 double beta2, double weight_decay);

    /* ---- factorizations, column-wise work on tall matrices ---- */
    /* q [n,r] = each column j of x [n,r] divided by (||x_j||_2 + eps); the norms are accumulated in double.
     * May be in place. column_squares, if not NULL, is host memory [r] of squared norms to use instead of x's
     * own (for columns that are sharded over ranks). */
    void (*normalize_columns)(dn_stream *s, dn_buf *q, const dn_buf *x, size_t n, size_t r, double eps,
                              const double *column_squares);
    /* host [r] = squared norms of x's columns, in double. */
    void (*column_squares)(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t r);
    /* ---- products of Newton-Schulz: `count` matrices of one shape, dense, one behind the other ---- */
    /* C [count][m,n] = alpha op(A) op(B) + beta C, op(A) [count][m,k], op(B) [count][k,n]. */
    void (*gemm_batch)(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                       double alpha, const dn_buf *a, const dn_buf *b, double beta, dn_buf *c);
    /* C [count][n,n] = alpha op(A) op(B)^T + beta D + gamma I, op(A), op(B) [count][n,k], both stored [k,n]
     * for DN_T, D [count][n,n] symmetric, not read when beta is 0. op(A) op(B)^T must be symmetric: B is A,
     * or they are polynomials of one symmetric matrix. Only half of it is computed: C is symmetric to the
     * last bit. */
    void (*symmetric_product)(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha,
                              const dn_buf *a, const dn_buf *b, double beta, const dn_buf *d, double gamma,
                              dn_buf *c);

    /* ---- rows and columns of x [rows, cols]: norms, selection, scaling. Host inputs (factors, numbers of
     * rows or columns) must stay until dn_stream_sync. ---- */
    void (*scale)(dn_stream *s, dn_buf *y, double a, const dn_buf *x, size_t n); /* y = a x; y may be x */
    /* host [rows] = sum of x^2 over each row. */
    void (*row_squares)(dn_stream *s, double *host, const dn_buf *x, size_t rows, size_t cols);
    /* x += y, and in the same pass host [rows] ([cols]) = sum of |x| over each row (column) of what that is.
     */
    void (*add_row_norms1)(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows, size_t cols);
    void (*add_column_norms1)(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows,
                              size_t cols);
    /* out [k, cols] (out [rows, k]) = the k rows (columns) host_ids of x, which are then multiplied by keep.
     */
    void (*take_rows)(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t cols,
                      double keep);
    void (*take_columns)(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t rows,
                         size_t cols, double keep);
    /* Row host_ids[i] of x += a host_factor[i] times row i of y [k, cols]; host_ids NULL: row i,
     * host_factor NULL: 1. Column host_ids[j] of x += a times column j of y [rows, k]. Numbers are distinct.
     */
    void (*add_rows)(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const double *host_factor,
                     const dn_buf *y, size_t k, size_t cols);
    void (*add_columns)(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y, size_t k,
                        size_t rows, size_t cols);
    /* NorMuon's second moments: for i < k and row r = host_ids[i] (NULL: i), v_r = beta2 v_r + (1-beta2)
     * host_mean[i], and host_factor[i] = 1/(sqrt(v_r) + eps), v_r as stored. */
    void (*row_moments)(dn_stream *s, dn_buf *v, double *host_factor, const int32_t *host_ids,
                        const double *host_mean, size_t k, double beta2, double eps);

    /* ---- states stored in bfloat16, the upper half of a float ---- */
    /* y = x rounded to the nearest, ties to even: too large becomes infinity, NaN stays NaN of its sign. */
    void (*to_bf16)(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n);
    void (*from_bf16)(dn_stream *s, dn_buf *y, const dn_bf16 *x, size_t n); /* y = x, exactly */

    /* ---- orthonormalization in rounds (linalg/orth.h puts them together), n items at once ----
     * A batch is shared out over threads as a whole: large matrices by rows, small ones whole. The bits of
     * an item do not depend on its batch. */
    /* partial [r,r] = p'p, upper triangle; what stands below is undefined. */
    void (*gram)(dn_stream *s, const dn_row_block *bands, size_t n);
    /* partial [k+1,r], k = dn_sketch_rows(r): S p, and in the last row the squared lengths of p's columns. S
     * [k,rows] are columns row0.. of a k x m matrix of N(0, 1/k), row by row from (seed, draw). */
    void (*sketch)(dn_stream *s, const dn_row_block *bands, size_t n);
    /* G = sum of gram's partials, in order; inverse = U^{-1} of G = U'U. DN_FACTOR_RANK_DEFICIENT if a
     * column's part outside the earlier ones is lost in the rounding of G. defect = bound of what rounding
     * leaves of |P'P - I| after one apply. */
    void (*factor_gram)(dn_stream *s, dn_factoring *items, size_t n);
    /* The same from sketch's partials: inverse = R^{-1} of the QR factorization of S P; no defect. */
    void (*factor_sketch)(dn_stream *s, dn_factoring *items, size_t n);
    /* p = p inverse, in double, rounded once. */
    void (*apply)(dn_stream *s, const dn_row_block *bands, size_t n);
    /* p = its orthonormal factor by Householder's QR: succeeds on every finite matrix but 0. */
    void (*householder)(dn_stream *s, dn_tall *items, size_t n);
} dn_kernels;

/** The backends; NULL-terminated list of those this processor can run, fastest first, "ref" last. */
const dn_kernels *const *dn_kernels_available(void);

/**
 * A stream over n_threads OpenMP threads. kernels is "cpu" (the fastest instruction set this
 * processor has) or "ref" (plain C, one thread, for tests). Sets the BLAS and OpenMP thread counts of the
 * calling thread. Returned stream is owned by the caller. Errors: DN_ERR_ARG unknown name, DN_ERR_MEMORY.
 */
dn_status dn_stream_create(const char *kernels, int n_threads, dn_stream **out) DN_MUST_USE;

/** Best sgemm (dgemm) rate of this stream's threads in flop/s, over budget_s (0.2 will do) of n x n products,
 * one at least: the yardstick for every "share of GEMM peak". The best, not the median: a peak is a limit,
 * and other processes only lower it. */
double dn_gemm_peak(dn_stream *stream, double budget_s);

#endif
