/*
 * The polar factor U V^T of matrices X = U S V^T, approximately, by products alone: the odd polynomial
 * x (a + b x^2 + c x^4) is applied to all singular values five times, each time with coefficients of its own
 * (dionode/orth.h: dn_ns_set). Matrices are whole, not sharded; those of equal shape are batched.
 *
 * X is first divided by norm_factor ||X||_F + eps, so that no singular value is above 1. Then
 *
 *     X <- (a I + b A + c A^2) X,  A = X X^T      (rows <= cols; else from the other side, with A = X^T X)
 *
 * or, the Gram form, which multiplies by X twice instead of fifteen times and is cheaper where one side is
 * clearly longer: with R = X X^T and K = I,
 *
 *     W = a I + b R + c R^2,  K <- K W,  R <- W R W;   X <- K X at the end and once after the second step,
 *
 * where R is formed anew from X: rounding errors of R, which the iteration cannot repair, would otherwise
 * grow. A, R, W and K are symmetric and computed by halves.
 *
 * What comes out. Singular values are those of X / (norm_factor ||X||_F + eps) sent through the polynomials:
 *     keller          [0.68, 1.21] for those of 0.002 ||X||_F and more
 *     dion            [0.85, 1.15] of 0.002 and more
 *     polar_express   [0.84, 1.15] of 0.001 and more
 * Smaller ones are multiplied by at most the product of the five a's (485, 493, 990) and may stay small: an
 * ill-conditioned matrix is orthonormalized in its dominant directions only. A matrix of rank k gives one of
 * rank k, up to rounding (eps times that product). A zero matrix stays zero (DN_NS_ZERO). One with a NaN, an
 * infinity or squares that overflow a double is left as it is (DN_NS_NOT_FINITE); it never touches others of
 * its batch.
 */
#ifndef LINALG_NEWTON_SCHULZ_H
#define LINALG_NEWTON_SCHULZ_H

#include "compute/kernels.h"
#include "dionode/orth.h"

#include <stdbool.h>

enum { DN_NS_STEPS = 5 };

typedef struct dn_ns_coefficients {
    double norm_factor; /* safety factor on the Frobenius norm that X is divided by */
    struct {
        double a, b, c;
    } step[DN_NS_STEPS];
} dn_ns_coefficients;

/** A static table. */
const dn_ns_coefficients *dn_ns_coefficients_of(dn_ns_set set);

typedef struct dn_ns_method {
    dn_ns_set set;
    bool gram;  /* the Gram form: the same result up to rounding */
    double eps; /* added to the norm: a gradient far below it gives a small update; 1e-8 as a rule */
} dn_ns_method;

typedef enum dn_ns_info { DN_NS_OK, DN_NS_ZERO, DN_NS_NOT_FINITE } dn_ns_info;

/** Bytes of workspace for a batch of n matrices. Less is enough, down to that of one. */
size_t dn_ns_workspace_bytes(const dn_ns_method *method, size_t rows, size_t cols, size_t n);

/**
 * In place, each x[k] [rows, cols], dense, becomes its polar factor as above; info[k] is set. workspace:
 * device memory. Not collective; waits for the stream. Errors: of the stream; DN_ERR_ARG if the workspace is
 * too small for one matrix. NaN is not an error: see info.
 */
dn_status dn_newton_schulz(dn_stream *s, const dn_ns_method *method, dn_buf *const *x, dn_ns_info *info,
                           size_t n, size_t rows, size_t cols, void *workspace,
                           size_t workspace_bytes) DN_MUST_USE;

/** Flops of one matrix, symmetric products counted by halves. */
double dn_ns_flops(const dn_ns_method *method, size_t rows, size_t cols);

/*
 * The distributed Gram form, for one matrix that is sharded along its long side. Each shard is multiplied by
 * the scale of the whole; then in two rounds, 0 and 1, with a the short side: gram [a,a] is summed over all
 * shards, the owner computes k [a,a] from it, and every rank multiplies its shard by k.
 */

/** The factor that X is multiplied by first; square, its squared Frobenius norm, is finite and not 0. */
double dn_ns_scale(const dn_ns_method *method, double square);
/** gram [a,a] = x x^T of a shard x [rows, cols] with rows = a, or x^T x with cols = a if the matrix is tall.
 */
void dn_ns_gram_shard(dn_stream *s, dn_buf *gram, const dn_buf *x, size_t rows, size_t cols, bool tall);
/** k [a,a] from the summed gram, which is overwritten. workspace: dn_ns_workspace_bytes of one a x a matrix.
 */
void dn_ns_gram_factor(dn_stream *s, const dn_ns_method *method, int round, dn_buf *k, dn_buf *gram, size_t a,
                       void *workspace);
/** x = k x, or x k if the matrix is tall; workspace as large as x. */
void dn_ns_gram_apply(dn_stream *s, dn_buf *x, const dn_buf *k, size_t rows, size_t cols, bool tall,
                      dn_buf *workspace);
/** Flops, over both rounds, on a shard of `elements` elements, and of dn_ns_gram_factor. */
double dn_ns_gram_shard_flops(size_t a, size_t elements);
double dn_ns_gram_factor_flops(size_t a);

enum { DN_NS_GRAM_ROUNDS = 2 };

#endif
