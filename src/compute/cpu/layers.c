/* Embedding, norms, rotary positions and loss: threads share out rows, a row is computed by one. */
#include "compute/cpu/vector_math.h"

#include <string.h>

void DN_CPU(embed_forward)(dn_stream *s, dn_buf *x, const dn_buf *wte, const dn_ids *tokens, size_t N,
                           size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        memcpy(dn_host(x) + i * C, dn_host(wte) + (size_t)dn_host_ids(tokens)[i] * C, C * sizeof(dn_real));
}

static void add_row(dn_real *restrict y, const dn_real *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* A token may occur often, so threads share out columns: each adds its columns in order of position. */
void DN_CPU(embed_backward)(dn_stream *s, dn_buf *dwte, const dn_buf *dx, const dn_ids *tokens, size_t N,
                            size_t C)
{
    enum { COLUMNS = 32 }; /* whole cache lines */
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t at = 0; at < C; at += COLUMNS)
        for (size_t i = 0; i < N; i++)
            add_row(dn_host(dwte) + (size_t)dn_host_ids(tokens)[i] * C + at, dn_host(dx) + i * C + at,
                    dn_min(C - at, COLUMNS));
}

static dn_real reciprocal_rms(const dn_real *x, size_t n)
{
    return (dn_real)(1 / sqrt((double)dn_row_dot(x, x, n) / (double)n + DN_NORM_EPS));
}

static dn_real rmsnorm_row(dn_real *restrict y, const dn_real *restrict x, size_t n)
{
    dn_real rstd = reciprocal_rms(x, n);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * rstd;
    return rstd;
}

void DN_CPU(rmsnorm_forward)(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        dn_host(rstd)[i] = rmsnorm_row(dn_host(y) + i * C, dn_host(x) + i * C, C);
}

static void rmsnorm_backward_row(dn_real *restrict dx, const dn_real *restrict dy, const dn_real *restrict y,
                                 dn_real rstd, size_t n)
{
    dn_real mean = dn_row_dot(dy, y, n) / (dn_real)n;
    for (size_t i = 0; i < n; i++)
        dx[i] += rstd * (dy[i] - y[i] * mean);
}

void DN_CPU(rmsnorm_backward)(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                              size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        rmsnorm_backward_row(dn_host(dx) + i * C, dn_host(dy) + i * C, dn_host(y) + i * C, dn_host(rstd)[i],
                             C);
}

/* One head, normalized and turned; angles [hd] = cosines, then sines of its position. */
static dn_real norm_rotary_head(dn_real *restrict x, const dn_real *restrict angles, size_t hd)
{
    size_t half = hd / 2;
    dn_real rstd = reciprocal_rms(x, hd);
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = x[i] * rstd, high = x[i + half] * rstd;
        x[i] = low * angles[i] + high * angles[i + half];
        x[i + half] = high * angles[i] - low * angles[i + half];
    }
    return rstd;
}

void DN_CPU(norm_rotary_forward)(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_attention_shape *shape)
{
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd;
    const dn_real *angles = dn_cpu_rotary_table(s, T, hd);
    if (!angles)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            dn_host(rstd)[row * NH + h] =
                norm_rotary_head(dn_host(x) + row * shape->ld + h * hd, angles + row % T * hd, hd);
}

/* A rotation keeps dot products, so mean(dy * y) may be taken before turning back. */
static void norm_rotary_backward_head(dn_real *restrict dy, const dn_real *restrict y, dn_real rstd,
                                      const dn_real *restrict angles, size_t hd)
{
    size_t half = hd / 2;
    dn_real mean = dn_row_dot(dy, y, hd) / (dn_real)hd;
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = rstd * (dy[i] - y[i] * mean), high = rstd * (dy[i + half] - y[i + half] * mean);
        dy[i] = low * angles[i] - high * angles[i + half];
        dy[i + half] = high * angles[i] + low * angles[i + half];
    }
}

void DN_CPU(norm_rotary_backward)(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                  const dn_attention_shape *shape)
{
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd;
    const dn_real *angles = dn_cpu_rotary_table(s, T, hd);
    if (!angles)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            norm_rotary_backward_head(dn_host(dy) + row * shape->ld + h * hd,
                                      dn_host(y) + row * shape->ld + h * hd, dn_host(rstd)[row * NH + h],
                                      angles + row % T * hd, hd);
}

#define LOSS_BLOCK ((size_t)1024)

/* Sum of e^(x - max); x becomes the exponentials if `keep`. */
static double exp_row(dn_real *x, size_t n, dn_real max, bool keep)
{
    double sum = 0;
    dn_real block[LOSS_BLOCK];
    for (size_t at = 0; at < n; at += LOSS_BLOCK) {
        size_t count = dn_min(n - at, LOSS_BLOCK);
        dn_real *e = keep ? x + at : block;
        dn_shift_row(e, x + at, max, count);
        dn_exp_row(e, count);
        sum += (double)dn_row_sum(e, count);
    }
    return sum;
}

/* A row stays in the cache over its passes: memory is read once and written once. */
static double cross_entropy_row(dn_real *x, size_t V, size_t target, double scale)
{
    dn_real max = dn_row_max(x, V);
    double shifted = (double)x[target] - (double)max, sum = exp_row(x, V, max, scale != 0);
    if (scale != 0) {
        dn_real factor = (dn_real)(scale / sum);
        for (size_t v = 0; v < V; v++)
            x[v] *= factor;
        x[target] -= (dn_real)scale;
    }
    return log(sum) - shifted;
}

void DN_CPU(cross_entropy)(dn_stream *s, double *host_loss, dn_buf *logits, const dn_ids *targets, size_t N,
                           size_t V, double scale)
{
    double *losses = dn_scratch(s, N * sizeof *losses);
    if (!losses)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * V > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        losses[i] = cross_entropy_row(dn_host(logits) + i * V, V, (size_t)dn_host_ids(targets)[i], scale);
    for (size_t i = 0; i < N; i++)
        *host_loss += losses[i];
}
