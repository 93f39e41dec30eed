/* Reference: norms, selection and scaling of rows and columns. */
#include "compute/ref/ref.h"

#include <math.h>

static size_t selected(const int32_t *ids, size_t i)
{
    return ids ? (size_t)ids[i] : i;
}

void dn_ref_scale(dn_stream *s, dn_buf *y, double a, const dn_buf *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dn_host(y)[i] = (dn_real)(a * (double)dn_host(x)[i]);
}

void dn_ref_row_squares(dn_stream *s, double *host, const dn_buf *x, size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++) {
        host[i] = 0;
        for (size_t j = 0; j < cols; j++)
            host[i] += (double)dn_host(x)[i * cols + j] * (double)dn_host(x)[i * cols + j];
    }
}

void dn_ref_add_row_norms1(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows, size_t cols)
{
    dn_ref_axpby(s, x, 1, y, 1, rows * cols);
    for (size_t i = 0; i < rows; i++) {
        host[i] = 0;
        for (size_t j = 0; j < cols; j++)
            host[i] += fabs((double)dn_host(x)[i * cols + j]);
    }
}

void dn_ref_add_column_norms1(dn_stream *s, double *host, dn_buf *x, const dn_buf *y, size_t rows,
                              size_t cols)
{
    dn_ref_axpby(s, x, 1, y, 1, rows * cols);
    for (size_t j = 0; j < cols; j++) {
        host[j] = 0;
        for (size_t i = 0; i < rows; i++)
            host[j] += fabs((double)dn_host(x)[i * cols + j]);
    }
}

void dn_ref_take_rows(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t cols,
                      double keep)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < cols; j++) {
            dn_real *from = dn_host(x) + selected(host_ids, i) * cols + j;
            dn_host(out)[i * cols + j] = *from;
            *from = (dn_real)(keep * (double)*from);
        }
}

void dn_ref_take_columns(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t rows,
                         size_t cols, double keep)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < k; j++) {
            dn_real *from = dn_host(x) + i * cols + selected(host_ids, j);
            dn_host(out)[i * k + j] = *from;
            *from = (dn_real)(keep * (double)*from);
        }
}

void dn_ref_add_rows(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const double *host_factor,
                     const dn_buf *y, size_t k, size_t cols)
{
    for (size_t i = 0; i < k; i++)
        for (size_t j = 0; j < cols; j++) {
            dn_real *to = dn_host(x) + selected(host_ids, i) * cols + j;
            double factor = host_factor ? a * host_factor[i] : a;
            *to = (dn_real)((double)*to + factor * (double)dn_host(y)[i * cols + j]);
        }
}

void dn_ref_add_columns(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y, size_t k,
                        size_t rows, size_t cols)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < k; j++) {
            dn_real *to = dn_host(x) + i * cols + selected(host_ids, j);
            *to = (dn_real)((double)*to + a * (double)dn_host(y)[i * k + j]);
        }
}

void dn_ref_row_moments(dn_stream *s, dn_buf *v, double *host_factor, const int32_t *host_ids,
                        const double *host_mean, size_t k, double beta2, double eps)
{
    for (size_t i = 0; i < k; i++) {
        dn_real *moment = dn_host(v) + selected(host_ids, i);
        *moment = (dn_real)(beta2 * (double)*moment + (1 - beta2) * host_mean[i]);
        host_factor[i] = 1 / (sqrt((double)*moment) + eps);
    }
}
