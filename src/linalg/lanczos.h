/* The spectrum of a symmetric matrix that is known by its products alone, as a start vector sees it. */
#ifndef LINALG_LANCZOS_H
#define LINALG_LANCZOS_H

#include "dionode/status.h"

#include <stddef.h>

/* out [n] = A in [n]. */
typedef dn_status dn_product_fn(void *context, const double *in, double *out);

/**
 * Gauss's quadrature of the spectrum of a symmetric A [n,n]: with x = start [n], not 0, and 1 <= m <= n < 2^31, nodes [m] and weights [m],
 * which are not negative and of which the sum is 1, such that sum weights nodes^k = x^T A^k x / x^T x for k < 2 m. *n_nodes <= m: fewer
 * where x lies in an invariant subspace of that dimension. By m steps of Lanczos, of which each vector is made orthogonal to all before it,
 * twice; nodes and weights are eigenvalues, and first components of eigenvectors, squared, of the tridiagonal matrix (Golub and Welsch,
 * 1969). Pure. Errors: DN_ERR_MEMORY; DN_ERR_NUMERIC: products are not finite; those of product.
 */
dn_status dn_lanczos(size_t n, size_t m, dn_product_fn *product, void *context, const double *start, double *nodes, double *weights,
                     size_t *n_nodes) DN_MUST_USE;

#endif
