/* Embedding, norms and rotary positions: threads share out rows, a row is computed by one. */
#include "compute/cpu/vector_math.h"

#include <string.h>

/* Row i of the part of the vocabulary that holds token i; NULL if another part does. */
static dn_real *row_of(const dn_buf *wte, const dn_ids *tokens, const dn_vocab_shard *vocab, size_t i,
                       size_t C)
{
    size_t word = (size_t)dn_host_ids(tokens)[i] - vocab->first; /* wraps around below first */
    return word < vocab->n ? dn_host(wte) + word * C : NULL;
}

void DN_CPU(embed_forward)(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, const dn_ids *tokens,
                           const dn_vocab_shard *vocab, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++) {
        const dn_real *row = row_of(wte, tokens, vocab, i, C);
        if (row)
            memcpy(dn_host(x) + i * ld, row, C * sizeof(dn_real));
    }
}

static void add_row(dn_real *restrict y, const dn_real *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

/* A token may occur often, so threads share out columns: each adds its columns in order of position. */
void DN_CPU(embed_backward)(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, const dn_ids *tokens,
                            const dn_vocab_shard *vocab, size_t N, size_t C)
{
    enum { COLUMNS = 32 }; /* whole cache lines */
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t at = 0; at < C; at += COLUMNS)
        for (size_t i = 0; i < N; i++) {
            dn_real *row = row_of(dwte, tokens, vocab, i, C);
            if (row)
                add_row(row + at, dn_host(dx) + i * ld + at, dn_min(C - at, COLUMNS));
        }
}

void DN_CPU(copy_rows)(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens,
                       const dn_vocab_shard *vocab, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        if ((size_t)dn_host_ids(tokens)[i] - vocab->first < vocab->n)
            memcpy(dn_host(x) + i * C, dn_host(y) + i * C, C * sizeof(dn_real));
}

static dn_real reciprocal_rms(const dn_real *x, double eps, size_t n)
{
    return (dn_real)(1 / sqrt((double)dn_row_dot(x, x, n) / (double)n + eps));
}

static dn_real rmsnorm_row(dn_real *restrict y, const dn_real *restrict x, double eps, size_t n)
{
    dn_real rstd = reciprocal_rms(x, eps, n);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * rstd;
    return rstd;
}

void DN_CPU(rmsnorm_forward)(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, double eps, size_t N,
                             size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        dn_host(rstd)[i] = rmsnorm_row(dn_host(y) + i * C, dn_host(x) + i * C, eps, C);
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

void DN_CPU(bias_forward)(dn_stream *s, dn_buf *y, size_t ld, const dn_buf *bias, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        add_row(dn_host(y) + i * ld, dn_host(bias), C);
}

enum { SUMMED_COLUMNS = 64 }; /* that a thread sums at a time, through all rows in order */

void DN_CPU(bias_backward)(dn_stream *s, dn_buf *dbias, const dn_buf *dy, size_t ld, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t at = 0; at < C; at += SUMMED_COLUMNS) {
        size_t n = dn_min(C - at, SUMMED_COLUMNS);
        double sum[SUMMED_COLUMNS] = {0};
        for (size_t i = 0; i < N; i++)
            for (size_t c = 0; c < n; c++)
                sum[c] += (double)dn_host(dy)[i * ld + at + c];
        for (size_t c = 0; c < n; c++)
            dn_host(dbias)[at + c] = (dn_real)((double)dn_host(dbias)[at + c] + sum[c]);
    }
}

void DN_CPU(gain_forward)(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++) {
        dn_real *restrict out = dn_host(y) + i * C;
        const dn_real *restrict in = dn_host(x) + i * C, *restrict g = dn_host(gain);
        for (size_t c = 0; c < C; c++)
            out[c] = in[c] * g[c];
    }
}

void DN_CPU(gain_backward)(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                           size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t at = 0; at < C; at += SUMMED_COLUMNS) {
        size_t n = dn_min(C - at, SUMMED_COLUMNS);
        double sum[SUMMED_COLUMNS] = {0};
        const dn_real *restrict g = dn_host(gain) + at;
        for (size_t i = 0; i < N; i++) {
            dn_real *restrict d = dn_host(dy) + i * C + at;
            const dn_real *restrict in = dn_host(x) + i * C + at;
            for (size_t c = 0; c < n; c++) {
                sum[c] += (double)d[c] * (double)in[c];
                d[c] *= g[c];
            }
        }
        for (size_t c = 0; c < n; c++)
            dn_host(dgain)[at + c] = (dn_real)((double)dn_host(dgain)[at + c] + sum[c]);
    }
}

/* Of a head at its position; angles [hd] = cosines, then sines. */
static void rotate_head(dn_real *restrict x, const dn_real *restrict angles, size_t hd)
{
    size_t half = hd / 2;
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = x[i], high = x[i + half];
        x[i] = low * angles[i] + high * angles[i + half];
        x[i + half] = high * angles[i] - low * angles[i + half];
    }
}

static void rotate_head_back(dn_real *restrict x, const dn_real *restrict angles, size_t hd)
{
    size_t half = hd / 2;
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = x[i], high = x[i + half];
        x[i] = low * angles[i] - high * angles[i + half];
        x[i + half] = high * angles[i] + low * angles[i + half];
    }
}

static void rotate(dn_stream *s, dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape,
                   void (*head)(dn_real *restrict, const dn_real *restrict, size_t))
{
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            head(dn_host(x) + row * shape->ld + h * hd, dn_host(angles) + row % T * hd, hd);
}

void DN_CPU(rotary_forward)(dn_stream *s, dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape)
{
    rotate(s, x, angles, shape, rotate_head);
}

void DN_CPU(rotary_backward)(dn_stream *s, dn_buf *dy, const dn_buf *angles, const dn_attention_shape *shape)
{
    rotate(s, dy, angles, shape, rotate_head_back);
}

/* One head, normalized and turned. */
static dn_real norm_rotary_head(dn_real *restrict x, const dn_real *restrict angles, double eps, size_t hd)
{
    size_t half = hd / 2;
    dn_real rstd = reciprocal_rms(x, eps, hd);
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = x[i] * rstd, high = x[i + half] * rstd;
        x[i] = low * angles[i] + high * angles[i + half];
        x[i + half] = high * angles[i] - low * angles[i + half];
    }
    return rstd;
}

void DN_CPU(norm_rotary_forward)(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_buf *angles, double eps,
                                 const dn_attention_shape *shape)
{
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            dn_host(rstd)[row * NH + h] = norm_rotary_head(dn_host(x) + row * shape->ld + h * hd,
                                                           dn_host(angles) + row % T * hd, eps, hd);
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
                                  const dn_buf *angles, const dn_attention_shape *shape)
{
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            norm_rotary_backward_head(dn_host(dy) + row * shape->ld + h * hd,
                                      dn_host(y) + row * shape->ld + h * hd, dn_host(rstd)[row * NH + h],
                                      dn_host(angles) + row % T * hd, hd);
}

static void swiglu_row(dn_real *restrict a, const dn_real *restrict g, const dn_real *restrict u, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        a[i] = g[i] / (1 + DN_EXP(-g[i])) * u[i];
}

void DN_CPU(swiglu_forward)(dn_stream *s, dn_buf *a, const dn_buf *h, size_t N, size_t F)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * F > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        swiglu_row(dn_host(a) + i * F, dn_host(h) + i * 2 * F, dn_host(h) + i * 2 * F + F, F);
}

static void swiglu_backward_row(dn_real *restrict dg, dn_real *restrict du, const dn_real *restrict da,
                                const dn_real *restrict g, const dn_real *restrict u, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        dn_real sigma = 1 / (1 + DN_EXP(-g[i]));
        dg[i] = da[i] * u[i] * sigma * (1 + g[i] * (1 - sigma));
        du[i] = da[i] * g[i] * sigma;
    }
}

void DN_CPU(swiglu_backward)(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, size_t N, size_t F)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * F > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++) {
        size_t g = i * 2 * F, u = g + F;
        swiglu_backward_row(dn_host(dh) + g, dn_host(dh) + u, dn_host(da) + i * F, dn_host(h) + g,
                            dn_host(h) + u, F);
    }
}
