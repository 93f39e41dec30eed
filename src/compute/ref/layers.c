/* Reference: embedding, norms, rotary positions, ReLU squared. */
#include "compute/ref/ref.h"

#include <math.h>

static bool among(const dn_ids *tokens, size_t i, const dn_vocab_shard *vocab)
{
    size_t token = (size_t)dn_host_ids(tokens)[i];
    return token >= vocab->first && token < vocab->first + vocab->n;
}

void dn_ref_embed_forward(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, const dn_ids *tokens,
                          const dn_vocab_shard *vocab, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, vocab); c++)
            dn_host(x)[i * ld + c] = dn_host(wte)[((size_t)dn_host_ids(tokens)[i] - vocab->first) * C + c];
}

void dn_ref_embed_backward(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, const dn_ids *tokens,
                           const dn_vocab_shard *vocab, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, vocab); c++)
            dn_host(dwte)[((size_t)dn_host_ids(tokens)[i] - vocab->first) * C + c] += dn_host(dx)[i * ld + c];
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

/* y = x * rstd; returns rstd. y may be x. */
static double normalize(dn_real *y, const dn_real *x, double eps, size_t n)
{
    double rstd = 1 / sqrt(dot(x, x, n) / (double)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (dn_real)((double)x[i] * rstd);
    return rstd;
}

void dn_ref_rmsnorm_forward(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, double eps, size_t N,
                            size_t C)
{
    for (size_t i = 0; i < N; i++)
        dn_host(rstd)[i] = (dn_real)normalize(dn_host(y) + i * C, dn_host(x) + i * C, eps, C);
}

void dn_ref_rmsnorm_backward(dn_stream *s, dn_buf *dx, const dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                             size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++) {
        const dn_real *dy_row = dn_host(dy) + i * C, *y_row = dn_host(y) + i * C;
        double mean = dot(dy_row, y_row, C) / (double)C;
        for (size_t c = 0; c < C; c++)
            dn_host(dx)[i * C + c] +=
                (dn_real)((double)dn_host(rstd)[i] * ((double)dy_row[c] - (double)y_row[c] * mean));
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

void dn_ref_gain_forward(dn_stream *s, dn_buf *y, const dn_buf *x, const dn_buf *gain, size_t N, size_t C)
{
    for (size_t i = 0; i < N * C; i++)
        dn_host(y)[i] = dn_host(x)[i] * dn_host(gain)[i % C];
}

void dn_ref_gain_backward(dn_stream *s, dn_buf *dy, dn_buf *dgain, const dn_buf *x, const dn_buf *gain,
                          size_t N, size_t C)
{
    for (size_t c = 0; c < C; c++) {
        double sum = 0;
        for (size_t at = c; at < N * C; at += C) {
            sum += (double)dn_host(dy)[at] * (double)dn_host(x)[at];
            dn_host(dy)[at] *= dn_host(gain)[c];
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

/* The pair (x_i, x_{i + hd/2}) of a head, turned by `sign` times the angle with that cosine and sine. */
static void rotate_pair(dn_real *x, size_t i, const dn_real *row, size_t hd, double sign)
{
    double c = (double)row[i], s = sign * (double)row[i + hd / 2];
    double low = (double)x[i], high = (double)x[i + hd / 2];
    x[i] = (dn_real)(low * c + high * s);
    x[i + hd / 2] = (dn_real)(-low * s + high * c);
}

static void rotate(dn_buf *x, const dn_buf *angles, const dn_attention_shape *shape, double sign)
{
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++)
            for (size_t i = 0; i < shape->hd / 2; i++)
                rotate_pair(dn_host(x) + row * shape->ld + h * shape->hd, i,
                            dn_host(angles) + row % shape->T * shape->hd, shape->hd, sign);
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

void dn_ref_swiglu_forward(dn_stream *s, dn_buf *a, const dn_buf *h, size_t N, size_t F)
{
    for (size_t i = 0; i < N; i++)
        for (size_t f = 0; f < F; f++) {
            double g = (double)dn_host(h)[i * 2 * F + f], u = (double)dn_host(h)[i * 2 * F + F + f];
            dn_host(a)[i * F + f] = (dn_real)(g / (1 + exp(-g)) * u);
        }
}

void dn_ref_swiglu_backward(dn_stream *s, dn_buf *dh, const dn_buf *da, const dn_buf *h, size_t N, size_t F)
{
    for (size_t i = 0; i < N; i++)
        for (size_t f = 0; f < F; f++) {
            double g = (double)dn_host(h)[i * 2 * F + f], u = (double)dn_host(h)[i * 2 * F + F + f];
            double d = (double)dn_host(da)[i * F + f], sigma = 1 / (1 + exp(-g));
            dn_host(dh)[i * 2 * F + f] = (dn_real)(d * u * sigma * (1 + g * (1 - sigma)));
            dn_host(dh)[i * 2 * F + F + f] = (dn_real)(d * g * sigma);
        }
}
