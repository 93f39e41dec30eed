/*
 * Dion on one matrix, as phases without communication: whoever drives them (sync/factors.c) puts exchanges
 * between. dion.md 1.2; arXiv 2504.05295v3.
 *
 * X [rows, cols] is stored out x in. B is the momentum M, or its transpose when rows < cols, so that B [m,n]
 * has m >= n: P [m,r] lives on the long side, the basis Q [n,r] on the short one. Shape alone decides, never
 * a sharding, so that a state means the same everywhere. No transpose is ever formed: the products are taken
 * in M's stored layout.
 *
 *     accumulate   M += G
 *     project      P = B Q             then orthonormalize P (linalg/orth.h)
 *     reflect      R = B^T P
 *     update       M -= (1-mu) P R^T (or its transpose),  Q = R with unit columns,
 *                  X = (1 - lr wd) X - lr sqrt(rows/cols) P Q^T (or its transpose), with the new Q
 *
 * A rank may hold only a block of the matrix: each phase then makes of the rows of the factors that belong to
 * the block its part of the whole, or a term of a sum. Blocks may be empty.
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
 * cols) (dion.md 1.4). 0 < fraction <= 1, multiple_of > 0. */
dn_dion_shape dn_dion_shape_of(size_t rows, size_t cols, double fraction, size_t multiple_of);

/** Whether replicas exchange P and R instead of the gradient: fraction < 1 and (m+n) r < m n (dion.md 2.2).
 */
bool dn_dion_compresses(const dn_dion_shape *shape, double fraction);

/** Flops by dion.md 1.11: of one product of B with a factor of rank r, and of orthonormalizing one [m,r]. */
double dn_dion_product_flops(const dn_dion_shape *shape);
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
    double lr, weight_decay; /* lr as it stands; the shape's factor is applied inside, to the update only */
    double mu, eps;          /* eps is added to the column norms */
} dn_dion_step;

void dn_dion_accumulate(dn_stream *s, const dn_dion *d);

/* Below m and n are those of the oriented block. */

/* The products are returned, for the driver to take those of many matrices at once (gemm_many). */

/** p [m,r] = scale B basis, basis [n,r]: Q, or R of the power iteration before. */
dn_product dn_dion_project(const dn_dion *d, double scale, dn_buf *p, const dn_buf *basis);

/** r [n,r] = scale B^T p, p [m,r] with orthonormal columns (in the whole). */
dn_product dn_dion_reflect(const dn_dion *d, double scale, dn_buf *r, const dn_buf *p);

/** Error feedback: M -= (1-mu) P R^T (or its transpose), p [m,r], r [n,r] = B^T p. */
dn_product dn_dion_feed_back(const dn_dion *d, const dn_buf *p, const dn_buf *r, const dn_dion_step *step);

/**
 * r [n,r] becomes the new Q: columns divided by their norms. squares [r]: squared norms of the whole R's
 * columns; NULL where r is the whole. Orth-Dion (arXiv 2605.16341) takes the orthonormal factor of R instead
 * (linalg/orth.h): P Q^T is then a partial isometry, all its singular values are 1, rank-deficient momentum
 * included.
 */
void dn_dion_normalize(dn_stream *s, const dn_dion *d, dn_buf *r, const double *squares,
                       const dn_dion_step *step);

/** X = (1 - lr wd) X - lr sqrt(rows/cols) P Q^T (or its transpose), q [n,r] = Q. */
dn_product dn_dion_apply(const dn_dion *d, const dn_buf *p, const dn_buf *q, const dn_dion_step *step);

#endif
