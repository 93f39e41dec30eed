/* Reference: matrix product, vectors, element-wise optimizers, column norms. */
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

static double element(const dn_real *a, size_t lda, dn_trans trans, size_t row, size_t column)
{
    return trans == DN_N ? (double)a[row * lda + column] : (double)a[column * lda + row];
}

void dn_ref_gemm(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, double alpha,
                 const dn_buf *a, size_t lda, const dn_buf *b, size_t ldb, double beta, dn_buf *c, size_t ldc)
{
    dn_real *out = dn_host(c);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += element(dn_host(a), lda, ta, i, l) * element(dn_host(b), ldb, tb, l, j);
            double old = beta == 0 ? 0 : beta * (double)out[i * ldc + j];
            out[i * ldc + j] = (dn_real)(alpha * sum + old);
        }
}

void dn_ref_gemm_layer(dn_stream *s, dn_trans ta, dn_trans tb, size_t m, size_t n, size_t k, const dn_buf *a, size_t lda,
                       const dn_buf *b, size_t ldb, bool add, dn_buf *c, size_t ldc)
{
    s->kernels->gemm(s, ta, tb, m, n, k, 1, a, lda, b, ldb, add, c, ldc);
}

void dn_ref_matvec(dn_stream *s, dn_buf *y, size_t ldy, const dn_buf *x, size_t ldx, const dn_buf *w, size_t n,
                   size_t out, size_t in, bool add)
{
    dn_ref_gemm(s, DN_N, DN_T, n, out, in, 1, x, ldx, w, in, add, y, ldy);
}

void dn_ref_matvec_bf16(dn_stream *s, dn_buf *y, size_t ldy, const dn_buf *x, size_t ldx, const dn_bf16 *w, size_t n,
                        size_t out, size_t in, bool add)
{
    for (size_t i = 0; i < n; i++)
        for (size_t row = 0; row < out; row++) {
            dn_real *to = dn_host(y) + i * ldy + row;
            double sum = add ? (double)*to : 0;
            for (size_t k = 0; k < in; k++)
                sum += (double)dn_host(x)[i * ldx + k] * dn_ref_bf16_value(dn_host_bf16(w)[row * in + k]);
            *to = (dn_real)sum;
        }
}

void dn_ref_gemm_many(dn_stream *s, const dn_product *products, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const dn_product *x = &products[i];
        dn_ref_gemm(s, x->ta, x->tb, x->m, x->n, x->k, x->alpha, x->a, x->lda, x->b, x->ldb, x->beta, x->c,
                    x->ldc);
    }
}

void dn_ref_fill(dn_stream *s, dn_buf *x, size_t n, double value)
{
    for (size_t i = 0; i < n; i++)
        dn_host(x)[i] = (dn_real)value;
}

void dn_ref_copy(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dn_host(y)[i] = dn_host(x)[i];
}

void dn_ref_axpby(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n)
{
    dn_real *out = dn_host(y);
    for (size_t i = 0; i < n; i++)
        out[i] = (dn_real)(a * (double)dn_host(x)[i] + b * (double)out[i]);
}

void dn_ref_multiply_add(dn_stream *s, dn_buf *x, double a, double b, size_t rounds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t round = 0; round < rounds; round++)
            dn_host(x)[i] = (dn_real)(a * (double)dn_host(x)[i] + b);
}

void dn_ref_multiply_add_layer(dn_stream *s, dn_buf *x, double a, double b, size_t rounds, size_t n)
{
    s->kernels->multiply_add(s, x, a, b, rounds, n);
}

void dn_ref_sum_squares(dn_stream *s, double *host_out, const dn_buf *x, size_t n)
{
    *host_out = 0;
    for (size_t i = 0; i < n; i++)
        *host_out += (double)dn_host(x)[i] * (double)dn_host(x)[i];
}

void dn_ref_dot(dn_stream *s, double *host_out, const dn_buf *x, const dn_buf *y, size_t n)
{
    *host_out = 0;
    for (size_t i = 0; i < n; i++)
        *host_out += (double)dn_host(x)[i] * (double)dn_host(y)[i];
}

void dn_ref_sign(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dn_real own = dn_host(x)[i];
        dn_host(y)[i] = (dn_real)((own > 0) - (own < 0));
    }
}

void dn_ref_clear_where_zero(dn_stream *s, dn_buf *x, const dn_buf *u, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (dn_host(u)[i] == 0)
            dn_host(x)[i] = 0;
}

void dn_ref_adamw(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n,
                  const dn_adamw_step *step)
{
    dn_real *weight = dn_host(x), *mean = dn_host(m), *square = dn_host(v);
    for (size_t i = 0; i < n; i++) {
        double gradient = (double)dn_host(g)[i];
        double m1 = step->beta1 * (double)mean[i] + (1 - step->beta1) * gradient;
        double v1 = step->beta2 * (double)square[i] + (1 - step->beta2) * gradient * gradient;
        double update = (m1 / step->correction1) / (sqrt(v1 / step->correction2) + step->eps);
        mean[i] = (dn_real)m1;
        square[i] = (dn_real)v1;
        bool decays = !step->cautious || m1 * (double)weight[i] >= 0;
        double keep = decays ? 1 - step->lr * step->weight_decay : 1;
        weight[i] = (dn_real)(keep * (double)weight[i] - step->lr * update);
    }
}

void dn_ref_lion(dn_stream *s, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n, double lr, double beta1,
                 double beta2, double weight_decay, bool cautious)
{
    dn_real *weight = dn_host(x), *mean = dn_host(m);
    for (size_t i = 0; i < n; i++) {
        double gradient = (double)dn_host(g)[i];
        double mixed = beta1 * (double)mean[i] + (1 - beta1) * gradient;
        double sign = (mixed > 0) - (mixed < 0);
        mean[i] = (dn_real)(beta2 * (double)mean[i] + (1 - beta2) * gradient);
        bool decays = !cautious || mixed * (double)weight[i] >= 0;
        weight[i] = (dn_real)((1 - (decays ? lr * weight_decay : 0)) * (double)weight[i] - lr * sign);
    }
}

void dn_ref_scale_aligned(dn_stream *s, dn_buf *x, double a, const dn_buf *u, size_t n)
{
    dn_real *weight = dn_host(x);
    for (size_t i = 0; i < n; i++)
        if ((double)dn_host(u)[i] * (double)weight[i] >= 0)
            weight[i] = (dn_real)(a * (double)weight[i]);
}

void dn_ref_column_squares(dn_stream *s, double *host, const dn_buf *x, size_t n, size_t r)
{
    memset(host, 0, r * sizeof *host);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < r; j++)
            host[j] += (double)dn_host(x)[i * r + j] * (double)dn_host(x)[i * r + j];
}

void dn_ref_normalize_columns(dn_stream *s, dn_buf *q, const dn_buf *x, size_t n, size_t r, double eps,
                              const double *column_squares)
{
    double *squares = dn_scratch(s, r * sizeof *squares);
    if (!squares)
        return;
    if (column_squares)
        memcpy(squares, column_squares, r * sizeof *squares);
    else
        dn_ref_column_squares(s, squares, x, n, r);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < r; j++)
            dn_host(q)[i * r + j] = (dn_real)((double)dn_host(x)[i * r + j] / (sqrt(squares[j]) + eps));
}
