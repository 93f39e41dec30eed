/* Reference: embedding, norms, rotary positions, activations. */
#include "compute/ref/ref.h"

#include <math.h>

static bool among(const dn_ids *tokens, size_t i, const dn_vocab_shard *vocab)
{
    size_t token = (size_t)dn_host_ids(tokens)[i];
    return token >= vocab->first && token < vocab->first + vocab->n;
}

void dn_ref_embed_forward(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, double scale,
                          const dn_ids *tokens, const dn_vocab_shard *vocab, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, vocab); c++)
            dn_host(x)[i * ld + c] =
                (dn_real)(scale * (double)dn_host(wte)[((size_t)dn_host_ids(tokens)[i] - vocab->first) * C + c]);
}

void dn_ref_embed_backward(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, double scale,
                           const dn_ids *tokens, const dn_vocab_shard *vocab, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, vocab); c++)
            dn_host(dwte)[((size_t)dn_host_ids(tokens)[i] - vocab->first) * C + c] +=
                (dn_real)(scale * (double)dn_host(dx)[i * ld + c]);
}

void dn_ref_positions_forward(dn_stream *s, dn_buf *x, const dn_buf *positions, size_t first, size_t n,
                              const dn_ids *tokens, const dn_vocab_shard *vocab, size_t B, size_t T, size_t C)
{
    for (size_t i = 0; i < B * T; i++)
        for (size_t c = 0; c < C && i % T - first < n && among(tokens, i, vocab); c++)
            dn_host(x)[i * C + c] += dn_host(positions)[(i % T - first) * C + c];
}

void dn_ref_positions_backward(dn_stream *s, dn_buf *dpositions, const dn_buf *dx, size_t first, size_t n,
                               size_t B, size_t T, size_t C)
{
    for (size_t i = 0; i < B * T; i++)
        for (size_t c = 0; c < C && i % T - first < n; c++)
            dn_host(dpositions)[(i % T - first) * C + c] += dn_host(dx)[i * C + c];
}

void dn_ref_copy_rows(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens,
                      const dn_vocab_shard *vocab, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, vocab); c++)
            dn_host(x)[i * C + c] = dn_host(y)[i * C + c];
}

static double dot(const dn_real *x, const dn_real *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

static double mean_of(const dn_real *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i];
    return sum / (double)n;
}

/* y = x * rstd; returns rstd. y may be x. */
static double normalize(dn_real *y, const dn_real *x, double eps, size_t n)
{
    double rstd = 1 / sqrt(dot(x, x, n) / (double)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (dn_real)((double)x[i] * rstd);
    return rstd;
}

/* The same of x less its mean. */
static double normalize_centered(dn_real *y, const dn_real *x, double eps, size_t n)
{
    double mean = mean_of(x, n), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    double rstd = 1 / sqrt(sum / (double)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (dn_real)(((double)x[i] - mean) * rstd);
    return rstd;
}

void dn_ref_norm_forward(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, bool center, double eps,
                         size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        dn_host(rstd)[i] = (dn_real)(center ? normalize_centered : normalize)(dn_host(y) + i * C,
                                                                              dn_host(x) + i * C, eps, C);
}

void dn_ref_norm_backward(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                          bool center, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++) {
        const dn_real *dy_row = dn_host(dy) + i * C, *y_row = dn_host(y) + i * C;
        double mean = dot(dy_row, y_row, C) / (double)C, shift = center ? mean_of(dy_row, C) : 0;
        for (size_t c = 0; c < C; c++)
            dn_host(dx)[i * C + c] +=
                (dn_real)((double)dn_host(rstd)[i] * ((double)dy_row[c] - shift - (double)y_row[c] * mean));
    }
}

void dn_ref_bias_forward(dn_stream *s, dn_buf *y, size_t ld, const dn_buf *bias, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C; c++)
            dn_host(y)[i * ld + c] += dn_host(bias)[c];
}

void dn_ref_bias_backward(dn_stream *s, dn_buf *dbias, const dn_buf *dy, size_t ld, size_t N, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double sum = 0;
        for (size_t i = 0; i < N; i++)
            sum += (double)dn_host(dy)[i * ld + c];
        dn_host(dbias)[c] = (dn_real)((double)dn_host(dbias)[c] + sum);
    }
}

void dn_ref_gain_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain,
                         double offset, size_t N, size_t C)
{
    for (size_t i = 0; i < N * C; i++)
        dn_host(y)[i] = (dn_real)((double)dn_host(x)[i] * (offset + (double)dn_host(gain)[i % C]));
}

void dn_ref_gain_backward(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                          double offset, size_t N, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double sum = 0;
        for (size_t at = c; at < N * C; at += C) {
            sum += (double)dn_host(dy)[at] * (double)dn_host(x)[at];
            dn_host(dy)[at] = (dn_real)((double)dn_host(dy)[at] * (offset + (double)dn_host(gain)[c]));
        }
        dn_host(dgain)[c] = (dn_real)((double)dn_host(dgain)[c] + sum);
    }
}

void dn_ref_rotary_angles(dn_stream *s, dn_buf *angles, const double *host_frequencies, size_t T, size_t n)
{
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < n; i++) {
            dn_host(angles)[t * 2 * n + i] = (dn_real)cos((double)t * host_frequencies[i]);
            dn_host(angles)[t * 2 * n + n + i] = (dn_real)sin((double)t * host_frequencies[i]);
        }
}

/* The pair (x_i, x_{i + rot/2}) of a head, turned by `sign` times the angle with that cosine and sine. */
static void rotate_pair(dn_real *x, size_t i, const dn_real *row, size_t rot, double sign)
{
    double c = (double)row[i], s = sign * (double)row[i + rot / 2];
    double low = (double)x[i], high = (double)x[i + rot / 2];
    x[i] = (dn_real)(low * c + high * s);
    x[i + rot / 2] = (dn_real)(-low * s + high * c);
}

static void rotate(dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape, double sign)
{
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++)
            for (size_t i = 0; i < shape->rot / 2; i++)
                rotate_pair(dn_host(x) + row * shape->ld + h * shape->hd, i,
                            dn_host(angles) + row % shape->T * shape->rot, shape->rot, sign);
}

void dn_ref_rotary_forward(dn_stream *s, dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape)
{
    rotate(x, angles, shape, 1);
}

void dn_ref_rotary_backward(dn_stream *s, dn_buf *dy, const dn_buf *angles, const dn_attention_shape *shape)
{
    rotate(dy, angles, shape, -1);
}

void dn_ref_norm_rotary_forward(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_buf *angles, double eps,
                                const dn_attention_shape *shape)
{
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++) {
            dn_real *head = dn_host(x) + row * shape->ld + h * shape->hd;
            dn_host(rstd)[row * shape->NH + h] = (dn_real)normalize(head, head, eps, shape->hd);
        }
    rotate(x, angles, shape, 1);
}

/* A rotation keeps dot products, so mean(dy * y) may be taken before turning dy and y back. */
void dn_ref_norm_rotary_backward(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                 const dn_buf *angles, const dn_attention_shape *shape)
{
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++) {
            dn_real *d = dn_host(dy) + row * shape->ld + h * shape->hd;
            const dn_real *out = dn_host(y) + row * shape->ld + h * shape->hd;
            double mean = dot(d, out, shape->hd) / (double)shape->hd;
            double scale = (double)dn_host(rstd)[row * shape->NH + h];
            for (size_t i = 0; i < shape->hd; i++)
                d[i] = (dn_real)(scale * ((double)d[i] - (double)out[i] * mean));
        }
    rotate(dy, angles, shape, -1);
}

void dn_ref_relu2_forward(dn_stream *s, dn_buf *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        dn_real positive = dn_host(x)[i] < 0 ? 0 : dn_host(x)[i]; /* keeps NaN */
        dn_host(x)[i] = positive * positive;
    }
}

void dn_ref_relu2_backward(dn_stream *s, dn_buf *da, const dn_buf *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dn_host(da)[i] = (dn_real)(2 * sqrt((double)dn_host(a)[i]) * (double)dn_host(da)[i]);
}

/* f(h); *slope = f'(h). */
static double activation(dn_activation f, double h, double *slope)
{
    const double c = sqrt(2 / M_PI), k = 0.044715;
    if (f == DN_GELU_ERF) {
        double below = erfc(-h * M_SQRT1_2) / 2;
        *slope = below + h * exp(-h * h / 2) / sqrt(2 * M_PI);
        return h * below;
    }
    double z = f == DN_SILU ? h : 2 * c * (h + k * h * h * h), dz = f == DN_SILU ? 1 : 2 * c * (1 + 3 * k * h * h);
    double sigma = 1 / (1 + exp(-z));
    *slope = sigma * (1 + h * dz * (1 - sigma));
    return h * sigma;
}

void dn_ref_activation_forward(dn_stream *s, dn_buf *a, const dn_buf *h, dn_activation f, size_t n)
{
    double slope;
    for (size_t i = 0; i < n; i++)
        dn_host(a)[i] = (dn_real)activation(f, (double)dn_host(h)[i], &slope);
}

void dn_ref_activation_backward(dn_stream *s, dn_buf *da, const dn_buf *h, dn_activation f, size_t n)
{
    double slope;
    for (size_t i = 0; i < n; i++) {
        activation(f, (double)dn_host(h)[i], &slope);
        dn_host(da)[i] = (dn_real)((double)dn_host(da)[i] * slope);
    }
}

void dn_ref_glu_forward(dn_stream *s, dn_buf *a, const dn_buf *h, dn_activation f, size_t N, size_t F)
{
    double slope;
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < F; j++) {
            double g = (double)dn_host(h)[i * 2 * F + j], u = (double)dn_host(h)[i * 2 * F + F + j];
            dn_host(a)[i * F + j] = (dn_real)(activation(f, g, &slope) * u);
        }
}

void dn_ref_glu_backward(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, dn_activation f,
                         size_t N, size_t F)
{
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < F; j++) {
            double g = (double)dn_host(h)[i * 2 * F + j], u = (double)dn_host(h)[i * 2 * F + F + j];
            double d = (double)dn_host(da)[i * F + j], slope, value = activation(f, g, &slope);
            dn_host(dh)[i * 2 * F + j] = (dn_real)(d * u * slope);
            dn_host(dh)[i * 2 * F + F + j] = (dn_real)(d * value);
        }
}
