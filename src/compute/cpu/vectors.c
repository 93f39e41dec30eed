/* Vectors and element-wise optimizers: one pass over memory each, in fixed blocks. */
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

static void fill_block(dn_real *x, size_t n, dn_real value)
{
    for (size_t i = 0; i < n; i++)
        x[i] = value;
}

void DN_CPU(fill)(dn_stream *s, dn_buf *x, size_t n, double value)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        fill_block(dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK), (dn_real)value);
}

void DN_CPU(copy)(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        memcpy(dn_host(y) + at, dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK) * sizeof(dn_real));
}

static void axpby_block(dn_real *restrict y, dn_real a, const dn_real *restrict x, dn_real b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a * x[i] + b * y[i];
}

void DN_CPU(axpby)(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        axpby_block(dn_host(y) + at, (dn_real)a, dn_host(x) + at, (dn_real)b, dn_min(n - at, DN_CPU_BLOCK));
}

static double dot_block(const dn_real *x, const dn_real *y, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

void DN_CPU(dot)(dn_stream *s, double *host_out, const dn_buf *x, const dn_buf *y, size_t n)
{
    *host_out = 0;
    size_t n_blocks = dn_blocks(n, DN_CPU_BLOCK);
    double *partial = dn_scratch(s, n_blocks * sizeof *partial);
    if (!partial)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t b = 0; b < n_blocks; b++)
        partial[b] = dot_block(dn_host(x) + b * DN_CPU_BLOCK, dn_host(y) + b * DN_CPU_BLOCK,
                               dn_min(n - b * DN_CPU_BLOCK, DN_CPU_BLOCK));
    for (size_t b = 0; b < n_blocks; b++)
        *host_out += partial[b];
}

void DN_CPU(sum_squares)(dn_stream *s, double *host_out, const dn_buf *x, size_t n)
{
    DN_CPU(dot)(s, host_out, x, x, n);
}

void DN_CPU(sign)(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    dn_real *out = dn_host(y);
    const dn_real *of = dn_host(x);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t i = 0; i < n; i++)
        out[i] = (dn_real)((of[i] > 0) - (of[i] < 0));
}

void DN_CPU(clear_where_zero)(dn_stream *s, dn_buf *x, const dn_buf *u, size_t n)
{
    dn_real *out = dn_host(x);
    const dn_real *with = dn_host(u);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t i = 0; i < n; i++)
        out[i] = with[i] == 0 ? 0 : out[i];
}

static void relu2_forward_block(dn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dn_real positive = x[i] < 0 ? 0 : x[i]; /* keeps NaN */
        x[i] = positive * positive;
    }
}

void DN_CPU(relu2_forward)(dn_stream *s, dn_buf *x, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        relu2_forward_block(dn_host(x) + at, dn_min(n - at, DN_CPU_BLOCK));
}

static dn_real square_root(dn_real x)
{
    return sizeof x == sizeof(float) ? (dn_real)sqrtf((float)x) : (dn_real)sqrt((double)x);
}

static void relu2_backward_block(dn_real *restrict da, const dn_real *restrict a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        da[i] *= 2 * square_root(a[i]);
}

void DN_CPU(relu2_backward)(dn_stream *s, dn_buf *da, const dn_buf *a, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        relu2_backward_block(dn_host(da) + at, dn_host(a) + at, dn_min(n - at, DN_CPU_BLOCK));
}

static void adamw_block(dn_real *restrict x, dn_real *restrict m, dn_real *restrict v,
                        const dn_real *restrict g, size_t n, const dn_adamw_step *step)
{
    const dn_real beta1 = (dn_real)step->beta1, rest1 = (dn_real)(1 - step->beta1);
    const dn_real beta2 = (dn_real)step->beta2, rest2 = (dn_real)(1 - step->beta2);
    const dn_real keep = (dn_real)(1 - step->lr * step->weight_decay), eps = (dn_real)step->eps;
    const dn_real rate = (dn_real)(step->lr / step->correction1), square = (dn_real)(1 / step->correction2);
    const dn_real against = step->cautious ? 1 : keep; /* what is kept of a weight that the update grows */
    for (size_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + rest1 * g[i];
        v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
        dn_real kept = m[i] * x[i] >= 0 ? keep : against;
        x[i] = kept * x[i] - rate * m[i] / (square_root(v[i] * square) + eps);
    }
}

void DN_CPU(adamw)(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n,
                   const dn_adamw_step *step)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        adamw_block(dn_host(x) + at, dn_host(m) + at, dn_host(v) + at, dn_host(g) + at,
                    dn_min(n - at, DN_CPU_BLOCK), step);
}

static void lion_block(dn_real *restrict x, dn_real *restrict m, const dn_real *restrict g, size_t n,
                       double lr, double beta1, double beta2, double weight_decay, bool cautious)
{
    const dn_real b1 = (dn_real)beta1, rest1 = (dn_real)(1 - beta1);
    const dn_real b2 = (dn_real)beta2, rest2 = (dn_real)(1 - beta2);
    const dn_real keep = (dn_real)(1 - lr * weight_decay), rate = (dn_real)lr, against = cautious ? 1 : keep;
    for (size_t i = 0; i < n; i++) {
        dn_real mixed = b1 * m[i] + rest1 * g[i];
        dn_real up = mixed > 0 ? rate : 0, down = mixed < 0 ? rate : 0;
        m[i] = b2 * m[i] + rest2 * g[i];
        dn_real kept = mixed * x[i] >= 0 ? keep : against;
        x[i] = kept * x[i] - (up - down);
    }
}

void DN_CPU(lion)(dn_stream *s, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n, double lr, double beta1,
                  double beta2, double weight_decay, bool cautious)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        lion_block(dn_host(x) + at, dn_host(m) + at, dn_host(g) + at, dn_min(n - at, DN_CPU_BLOCK), lr, beta1,
                   beta2, weight_decay, cautious);
}

static void scale_aligned_block(dn_real *restrict x, dn_real a, const dn_real *restrict u, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= u[i] * x[i] >= 0 ? a : 1;
}

void DN_CPU(scale_aligned)(dn_stream *s, dn_buf *x, double a, const dn_buf *u, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        scale_aligned_block(dn_host(x) + at, (dn_real)a, dn_host(u) + at, dn_min(n - at, DN_CPU_BLOCK));
}
