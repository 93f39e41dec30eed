/*
 * Dion (arXiv 2504.05295v3): the lines of the algorithm on one matrix, without communication.
 * The step itself, which puts the exchanges between them, is shard/lowrank.c.
 *
 * X [rows, cols] is stored out x in, M is the momentum. B [m,n] is M, or its transpose where rows < cols, so
 * that m >= n: P [m,r] lives on the long side, the basis Q [n,r] on the short one. The orientation
 * depends on the shape alone, never on the sharding, so that a state means the same on every mesh. M is never
 * transposed in memory: products read it as it is stored.
 *
 *     accumulate   M += G
 *     project      P = B Q             (then orthonormalized: linalg/orth.h)
 *     reflect      R = B^T P
 *     feed back    M -= (1-mu) P R^T (or its transpose)
 *     normalize    Q = R with unit columns
 *     apply        X = (1 - lr wd) X - lr sqrt(rows/cols) P Q^T (or its transpose), with the new Q
 *
 * A rank may hold only a block of the matrix, with the corresponding rows of the factors: M and X are then
 * the block's, and P and R partial sums, to be summed over ranks. A block may be empty.
 */
#ifndef OPTIM_DION_H
#define OPTIM_DION_H

#include "compute/kernels.h"
#include "optim/param.h"

#include <stdbool.h>

typedef struct dn_dion_shape {
    size_t rows, cols; /* of X, M and G */
    size_t m, n, r;    /* of the oriented B [m,n], and the rank */
    bool transposed;   /* B = M^T */
} dn_dion_shape;

/** Orientation, and rank r = multiple_of * ceil(fraction * min(rows, cols) / multiple_of), at most min(rows,
 * cols). 0 < fraction <= 1, multiple_of > 0. */
dn_dion_shape dn_dion_shape_of(size_t rows, size_t cols, double fraction, size_t multiple_of);

/** Whether replicas exchange P and R instead of the gradient: fraction < 1 and (m+n) r < m n. */
bool dn_dion_compresses(const dn_dion_shape *shape, double fraction);

/** Flops of orthonormalizing one [m,r]: 4 m r^2 - 4/3 r^3, as for Householder QR. */
double dn_dion_orth_flops(size_t m, size_t r);

/* One matrix, or a block of it; all borrowed. */
typedef struct dn_dion {
    dn_dion_shape shape; /* of the whole */
    size_t rows, cols;   /* of the block */
    dn_buf *weight;      /* [rows, cols] of X */
    dn_buf *grad;        /* [rows, cols] of G */
    dn_buf *momentum;    /* [rows, cols] of M, starts at 0 */
} dn_dion;

typedef struct dn_dion_step {
    double lr, weight_decay; /* lr of the parameter; sqrt(rows/cols) is applied in dn_dion_apply */
    double mu, eps;          /* eps is added to the column norms */
} dn_dion_step;

/** M += G. */
void dn_dion_accumulate(dn_stream *s, const dn_dion *d);

/* Below, m and n are those of the oriented block. Products are returned as arguments of gemm_many, which
 * takes those of many matrices at once. */

/** p [m,r] = scale B basis, basis [n,r]: Q, or R of the power iteration before. */
dn_product dn_dion_project(const dn_dion *d, double scale, dn_buf *p, const dn_buf *basis);

/** r [n,r] = scale B^T p; p [m,r]: rows of a P with orthonormal columns. */
dn_product dn_dion_reflect(const dn_dion *d, double scale, dn_buf *r, const dn_buf *p);

/** Error feedback: M -= (1-mu) P R^T (or its transpose), p [m,r], r [n,r] = B^T p. */
dn_product dn_dion_feed_back(const dn_dion *d, const dn_buf *p, const dn_buf *r, const dn_dion_step *step);

/**
 * r [n,r] becomes the new Q: columns divided by (their norm + eps). squares [r]: squared norms of the whole
 * R's columns; NULL if r is the whole R. Orth-Dion (arXiv 2605.16341) takes the orthonormal factor of R
 * instead (linalg/orth.h): P Q^T is then a partial isometry, all its singular values are 1, for
 * rank-deficient momentum, too.
 */
void dn_dion_normalize(dn_stream *s, const dn_dion *d, dn_buf *r, const double *squares,
                       const dn_dion_step *step);

/** X = (1 - lr wd) X - lr sqrt(rows/cols) P Q^T (or its transpose), q [n,r] = Q. */
dn_product dn_dion_apply(const dn_dion *d, const dn_buf *p, const dn_buf *q, const dn_dion_step *step);

#endif
