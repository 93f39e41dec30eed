/* Embedding, norms, rotary positions and activations: threads share out rows, a row is computed by one. */
#include "compute/cpu/vector_math.h"

#include <string.h>

/* Row i of the part of the vocabulary that holds token i; NULL if another part does. */
static dn_real *row_of(const dn_buf *wte, const dn_ids *tokens, const dn_vocab_shard *vocab, size_t i,
                       size_t C)
{
    size_t word = (size_t)dn_host_ids(tokens)[i] - vocab->first; /* wraps around below first */
    return word < vocab->n ? dn_host(wte) + word * C : NULL;
}

void DN_CPU(embed_forward)(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, double scale,
                           const dn_ids *tokens, const dn_vocab_shard *vocab, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++) {
        const dn_real *row = row_of(wte, tokens, vocab, i, C);
        for (size_t c = 0; row && c < C; c++)
            dn_host(x)[i * ld + c] = (dn_real)scale * row[c];
    }
}

static void add_row(dn_real *restrict y, const dn_real *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void add_scaled_row(dn_real *restrict y, dn_real a, const dn_real *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* A token may occur often, so threads share out columns: each adds its columns in order of position. */
void DN_CPU(embed_backward)(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, double scale,
                            const dn_ids *tokens, const dn_vocab_shard *vocab, size_t N, size_t C)
{
    enum { COLUMNS = 32 }; /* whole cache lines */
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t at = 0; at < C; at += COLUMNS)
        for (size_t i = 0; i < N; i++) {
            dn_real *row = row_of(dwte, tokens, vocab, i, C);
            if (row)
                add_scaled_row(row + at, (dn_real)scale, dn_host(dx) + i * ld + at, dn_min(C - at, COLUMNS));
        }
}

void DN_CPU(positions_forward)(dn_stream *s, dn_buf *x, const dn_buf *positions, size_t first, size_t n,
                               const dn_ids *tokens, const dn_vocab_shard *vocab, size_t B, size_t T, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (B * T * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < B * T; i++)
        if (i % T - first < n && (size_t)dn_host_ids(tokens)[i] - vocab->first < vocab->n)
            add_row(dn_host(x) + i * C, dn_host(positions) + (i % T - first) * C, C);
}

/* Threads share out positions. */
void DN_CPU(positions_backward)(dn_stream *s, dn_buf *dpositions, const dn_buf *dx, size_t first, size_t n,
                                size_t B, size_t T, size_t C)
{
    size_t end = first < T ? dn_min(first + n, T) : first;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (B * T * C > DN_CPU_BLOCK)
    for (size_t t = first; t < end; t++)
        for (size_t b = 0; b < B; b++)
            add_row(dn_host(dpositions) + (t - first) * C, dn_host(dx) + (b * T + t) * C, C);
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

static dn_real layernorm_row(dn_real *restrict y, const dn_real *restrict x, double eps, size_t n)
{
    dn_real mean = dn_row_sum(x, n) / (dn_real)n;
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] - mean;
    dn_real rstd = reciprocal_rms(y, eps, n);
    for (size_t i = 0; i < n; i++)
        y[i] *= rstd;
    return rstd;
}

void DN_CPU(norm_forward)(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, bool center, double eps,
                          size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        dn_host(rstd)[i] =
            (center ? layernorm_row : rmsnorm_row)(dn_host(y) + i * C, dn_host(x) + i * C, eps, C);
}

static void norm_backward_row(dn_real *restrict dx, const dn_real *restrict dy, const dn_real *restrict y,
                              dn_real rstd, dn_real shift, size_t n)
{
    dn_real mean = dn_row_dot(dy, y, n) / (dn_real)n;
    for (size_t i = 0; i < n; i++)
        dx[i] += rstd * (dy[i] - shift - y[i] * mean);
}

void DN_CPU(norm_backward)(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                           bool center, size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        norm_backward_row(dn_host(dx) + i * C, dn_host(dy) + i * C, dn_host(y) + i * C, dn_host(rstd)[i],
                          center ? dn_row_sum(dn_host(dy) + i * C, C) / (dn_real)C : 0, C);
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

void DN_CPU(gain_forward)(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, double offset,
                          size_t N, size_t C)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * C > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++) {
        dn_real *restrict out = dn_host(y) + i * C;
        const dn_real *restrict in = dn_host(x) + i * C, *restrict g = dn_host(gain);
        for (size_t c = 0; c < C; c++)
            out[c] = in[c] * ((dn_real)offset + g[c]);
    }
}

void DN_CPU(gain_backward)(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                           double offset, size_t N, size_t C)
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
                d[c] *= (dn_real)offset + g[c];
            }
        }
        for (size_t c = 0; c < n; c++)
            dn_host(dgain)[at + c] = (dn_real)((double)dn_host(dgain)[at + c] + sum[c]);
    }
}

/* Of a head at its position; angles [rot] = cosines, then sines. */
static void rotate_head(dn_real *restrict x, const dn_real *restrict angles, size_t rot)
{
    size_t half = rot / 2;
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = x[i], high = x[i + half];
        x[i] = low * angles[i] + high * angles[i + half];
        x[i + half] = high * angles[i] - low * angles[i + half];
    }
}

static void rotate_head_back(dn_real *restrict x, const dn_real *restrict angles, size_t rot)
{
    size_t half = rot / 2;
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
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd, rot = shape->rot;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            head(dn_host(x) + row * shape->ld + h * hd, dn_host(angles) + row % T * rot, rot);
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
static dn_real norm_rotary_head(dn_real *restrict x, const dn_real *restrict angles, double eps, size_t rot,
                                size_t hd)
{
    size_t half = rot / 2;
    dn_real rstd = reciprocal_rms(x, eps, hd);
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = x[i] * rstd, high = x[i + half] * rstd;
        x[i] = low * angles[i] + high * angles[i + half];
        x[i + half] = high * angles[i] - low * angles[i + half];
    }
    for (size_t i = rot; i < hd; i++)
        x[i] *= rstd;
    return rstd;
}

void DN_CPU(norm_rotary_forward)(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_buf *angles, double eps,
                                 const dn_attention_shape *shape)
{
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd, rot = shape->rot;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            dn_host(rstd)[row * NH + h] = norm_rotary_head(dn_host(x) + row * shape->ld + h * hd,
                                                           dn_host(angles) + row % T * rot, eps, rot, hd);
}

/* A rotation keeps dot products, so mean(dy * y) may be taken before turning back. */
static void norm_rotary_backward_head(dn_real *restrict dy, const dn_real *restrict y, dn_real rstd,
                                      const dn_real *restrict angles, size_t rot, size_t hd)
{
    size_t half = rot / 2;
    dn_real mean = dn_row_dot(dy, y, hd) / (dn_real)hd;
#pragma omp simd
    for (size_t i = 0; i < half; i++) {
        dn_real low = rstd * (dy[i] - y[i] * mean), high = rstd * (dy[i + half] - y[i + half] * mean);
        dy[i] = low * angles[i] - high * angles[i + half];
        dy[i + half] = high * angles[i] + low * angles[i + half];
    }
    for (size_t i = rot; i < hd; i++)
        dy[i] = rstd * (dy[i] - y[i] * mean);
}

void DN_CPU(norm_rotary_backward)(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                  const dn_buf *angles, const dn_attention_shape *shape)
{
    const size_t T = shape->T, NH = shape->NH, hd = shape->hd, rot = shape->rot;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (shape->B * T * NH * hd > DN_CPU_BLOCK)
    for (size_t row = 0; row < shape->B * T; row++)
        for (size_t h = 0; h < NH; h++)
            norm_rotary_backward_head(dn_host(dy) + row * shape->ld + h * hd,
                                      dn_host(y) + row * shape->ld + h * hd, dn_host(rstd)[row * NH + h],
                                      dn_host(angles) + row % T * rot, rot, hd);
}

/* f(h), and its slope: f is a constant where they are inlined, so that loops become vectors. */
static inline dn_real argument(dn_activation f, dn_real h)
{
    const dn_real two_c = (dn_real)1.5957691216057307117597842397375, k = (dn_real)0.044715;
    return f == DN_SILU ? h : two_c * (h + k * h * h * h);
}

static inline dn_real slope_of_argument(dn_activation f, dn_real h)
{
    const dn_real two_c = (dn_real)1.5957691216057307117597842397375, k3 = (dn_real)0.134145;
    return f == DN_SILU ? 1 : two_c * (1 + k3 * h * h);
}

/* Phi(h), and the density. No vector library has an error function that clang knows too. */
static inline dn_real normal_below(dn_real h)
{
    return (dn_real)(erfc(-(double)h * M_SQRT1_2) / 2);
}

static inline dn_real activation(dn_activation f, dn_real h)
{
    return f == DN_GELU_ERF ? h * normal_below(h) : h / (1 + DN_EXP(-argument(f, h)));
}

static inline dn_real slope(dn_activation f, dn_real h)
{
    if (f == DN_GELU_ERF)
        return normal_below(h) + h * DN_EXP(-h * h / 2) * (dn_real)0.39894228040143267793994605993438;
    dn_real sigma = 1 / (1 + DN_EXP(-argument(f, h)));
    return sigma * (1 + h * slope_of_argument(f, h) * (1 - sigma));
}

/* u NULL: 1 */
static inline void forward_row(dn_activation f, dn_real *restrict a, const dn_real *restrict g,
                               const dn_real *restrict u, size_t n)
{
    if (u) {
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            a[i] = activation(f, g[i]) * u[i];
    } else {
#pragma omp simd
        for (size_t i = 0; i < n; i++)
            a[i] = activation(f, g[i]);
    }
}

static void activation_row(dn_activation f, dn_real *a, const dn_real *g, const dn_real *u, size_t n)
{
    switch (f) {
    case DN_SILU: forward_row(DN_SILU, a, g, u, n); break;
    case DN_GELU_TANH: forward_row(DN_GELU_TANH, a, g, u, n); break;
    default: forward_row(DN_GELU_ERF, a, g, u, n);
    }
}

static inline void slope_row_of(dn_activation f, dn_real *restrict da, const dn_real *restrict h, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        da[i] *= slope(f, h[i]);
}

static void slope_row(dn_activation f, dn_real *da, const dn_real *h, size_t n)
{
    switch (f) {
    case DN_SILU: slope_row_of(DN_SILU, da, h, n); break;
    case DN_GELU_TANH: slope_row_of(DN_GELU_TANH, da, h, n); break;
    default: slope_row_of(DN_GELU_ERF, da, h, n);
    }
}

void DN_CPU(activation_forward)(dn_stream *s, dn_buf *a, const dn_buf *h, dn_activation f, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        activation_row(f, dn_host(a) + at, dn_host(h) + at, NULL, dn_min(n - at, DN_CPU_BLOCK));
}

void DN_CPU(activation_backward)(dn_stream *s, dn_buf *da, const dn_buf *h, dn_activation f, size_t n)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n > DN_CPU_BLOCK)
    for (size_t at = 0; at < n; at += DN_CPU_BLOCK)
        slope_row(f, dn_host(da) + at, dn_host(h) + at, dn_min(n - at, DN_CPU_BLOCK));
}

void DN_CPU(glu_forward)(dn_stream *s, dn_buf *a, const dn_buf *h, dn_activation f, size_t N, size_t F)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * F > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++)
        activation_row(f, dn_host(a) + i * F, dn_host(h) + i * 2 * F, dn_host(h) + i * 2 * F + F, F);
}

static inline void glu_backward_row_of(dn_activation f, dn_real *restrict dg, dn_real *restrict du,
                                       const dn_real *restrict da, const dn_real *restrict g,
                                       const dn_real *restrict u, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        dg[i] = da[i] * u[i] * slope(f, g[i]);
        du[i] = da[i] * activation(f, g[i]);
    }
}

static void glu_backward_row(dn_activation f, dn_real *dg, dn_real *du, const dn_real *da, const dn_real *g,
                             const dn_real *u, size_t n)
{
    switch (f) {
    case DN_SILU: glu_backward_row_of(DN_SILU, dg, du, da, g, u, n); break;
    case DN_GELU_TANH: glu_backward_row_of(DN_GELU_TANH, dg, du, da, g, u, n); break;
    default: glu_backward_row_of(DN_GELU_ERF, dg, du, da, g, u, n);
    }
}

void DN_CPU(glu_backward)(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, dn_activation f,
                          size_t N, size_t F)
{
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (N * F > DN_CPU_BLOCK)
    for (size_t i = 0; i < N; i++) {
        size_t g = i * 2 * F, u = g + F;
        glu_backward_row(f, dn_host(dh) + g, dn_host(dh) + u, dn_host(da) + i * F, dn_host(h) + g,
                         dn_host(h) + u, F);
    }
}
