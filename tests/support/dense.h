/* Small dense matrices of doubles for tests: an arithmetic of its own, in the plainest order, that shares
 * nothing with the kernels under test. Row-major, no stride. */
#ifndef SUPPORT_DENSE_H
#define SUPPORT_DENSE_H

#include "dionode/real.h"

#include <stddef.h>
#include <stdint.h>

/** Owned by the caller: free(). N(0,1) entries, a function of (stream) alone. */
double *dense_random(size_t rows, size_t cols, uint64_t stream);
double *dense_zeros(size_t rows, size_t cols);
double *dense_copy(const double *a, size_t n);
/** From and to the elements of the core. */
double *dense_from_real(const dn_real *x, size_t n);
void dense_to_real(dn_real *x, const double *a, size_t n);

/** c [m,n] = op(a) op(b), op(a) [m,k]; ta, tb != 0 transposes. Overwrites; c must not alias. */
void dense_multiply(double *c, const double *a, int ta, const double *b, int tb, size_t m, size_t n,
                    size_t k);
/** In place: Gram-Schmidt, twice, on the columns of a [m,n]. Random columns are never dependent. */
void dense_orthonormalize(double *a, size_t m, size_t n);
/** Singular value decomposition of a [m,n], m >= n, by one-sided Jacobi: a becomes U diag(s) (columns sorted,
 * s falling), v [n,n]. */
void dense_svd(double *a, double *s, double *v, size_t m, size_t n);

double dense_norm(const double *a, size_t n);
/** Largest |a_i - b_i|. */
double dense_distance(const double *a, const double *b, size_t n);
/** Largest entry of |a^T a - I|, a [m,n]. */
double dense_orthogonality(const double *a, size_t m, size_t n);

#endif
