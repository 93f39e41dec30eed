#include "linalg/lanczos.h"

#include "base/fail.h"
#include "base/size.h"

#include <cblas.h>
#include <float.h>
#include <lapacke.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static double dot(size_t n, const double *x, const double *y)
{
    return cblas_ddot((int)n, x, 1, y, 1);
}

/* diagonal [m] and beside [m]: A in the basis [m+1,n] of the vectors start, A start ..., of which the first is there; returns how many
 * they are. */
static dn_status reduce(size_t n, size_t m, dn_product_fn *product, void *context, double *basis, double *diagonal, double *beside,
                        size_t *found)
{
    double largest = 0;
    for (*found = 0; *found < m;) {
        size_t j = (*found)++;
        double *last = basis + j * n, *next = last + n;
        DN_TRY(product(context, last, next));
        diagonal[j] = dot(n, last, next);
        for (int again = 0; again < 2; again++)
            for (size_t i = 0; i <= j; i++)
                cblas_daxpy((int)n, -dot(n, basis + i * n, next), basis + i * n, 1, next, 1);
        beside[j] = sqrt(dot(n, next, next));
        if (!isfinite(diagonal[j]) || !isfinite(beside[j]))
            return dn_fail(DN_ERR_NUMERIC, "a product with the matrix is not finite");
        largest = fmax(largest, fabs(diagonal[j]) + beside[j]);
        if (beside[j] <= (double)n * DBL_EPSILON * largest)
            return DN_OK;
        cblas_dscal((int)n, 1 / beside[j], next, 1);
    }
    return DN_OK;
}

dn_status dn_lanczos(size_t n, size_t m, dn_product_fn *product, void *context, const double *start, double *nodes, double *weights,
                     size_t *n_nodes)
{
    double *basis = calloc(dn_size_add(dn_size_mul(m + 1, n), dn_size_mul(m, m + 3)), sizeof *basis);
    if (!basis)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu vectors of %zu numbers", m + 1, n);
    double *beside = basis + (m + 1) * n, *vectors = beside + m, *work = vectors + m * m;
    memcpy(basis, start, n * sizeof *basis);
    cblas_dscal((int)n, 1 / sqrt(dot(n, start, start)), basis, 1);
    dn_status status = reduce(n, m, product, context, basis, nodes, beside, n_nodes);
    const int k = (int)*n_nodes;
    if (status == DN_OK && LAPACKE_dstev_work(LAPACK_COL_MAJOR, 'V', k, nodes, beside, vectors, k, work) != 0)
        status = dn_fail(DN_ERR_NUMERIC, "the eigenvalues of a tridiagonal matrix of %d rows are not found", k);
    for (int i = 0; status == DN_OK && i < k; i++)
        weights[i] = vectors[i * k] * vectors[i * k];
    free(basis);
    return status;
}
