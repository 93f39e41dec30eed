/* Reference: products of batches of matrices, and those whose result is symmetric. */
#include "compute/ref/ref.h"

void dn_ref_gemm_batch(dn_stream *s, size_t count, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k,
                       double alpha, const dn_buf *a, const dn_buf *b, double beta, dn_buf *c)
{
    for (size_t i = 0; i < count; i++)
        dn_ref_gemm(s, ta, tb, m, n, k, alpha, dn_at(a, i * m * k), ta == DN_N ? k : m, dn_at(b, i * k * n),
                    tb == DN_N ? n : k, beta, dn_at(c, i * m * n), n);
}

static double row_product(const dn_real *a, const dn_real *b, dn_trans t, size_t n, size_t k, size_t i,
                          size_t j)
{
    double sum = 0;
    for (size_t l = 0; l < k; l++)
        sum += t == DN_N ? (double)a[i * k + l] * (double)b[j * k + l]
                         : (double)a[l * n + i] * (double)b[l * n + j];
    return sum;
}

void dn_ref_symmetric_product(dn_stream *s, size_t count, dn_trans t, size_t n, size_t k, double alpha,
                              const dn_buf *a, const dn_buf *b, double beta, const dn_buf *d, double gamma,
                              dn_buf *c)
{
    for (size_t matrix = 0; matrix < count; matrix++) {
        const dn_real *left = dn_host(a) + matrix * n * k, *right = dn_host(b) + matrix * n * k;
        dn_real *out = dn_host(c) + matrix * n * n;
        for (size_t i = 0; i < n; i++)
            for (size_t j = i; j < n; j++) {
                double sum = alpha * row_product(left, right, t, n, k, i, j) + (i == j ? gamma : 0);
                if (beta != 0)
                    sum += beta * (double)dn_host(d)[(matrix * n + i) * n + j];
                out[i * n + j] = out[j * n + i] = (dn_real)sum;
            }
    }
}
