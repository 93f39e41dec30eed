/* Reference: embedding, norms, rotary positions, ReLU squared. */
#include "compute/ref/ref.h"

#include <math.h>

static bool among(const dn_ids *tokens, size_t i, const dn_words *words)
{
    size_t token = (size_t)dn_host_ids(tokens)[i];
    return token >= words->first && token < words->first + words->n;
}

void dn_ref_embed_forward(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, const dn_ids *tokens,
                          const dn_words *words, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, words); c++)
            dn_host(x)[i * ld + c] = dn_host(wte)[((size_t)dn_host_ids(tokens)[i] - words->first) * C + c];
}

void dn_ref_embed_backward(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, const dn_ids *tokens,
                           const dn_words *words, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, words); c++)
            dn_host(dwte)[((size_t)dn_host_ids(tokens)[i] - words->first) * C + c] += dn_host(dx)[i * ld + c];
}

void dn_ref_copy_rows(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens, const dn_words *words,
                      size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        for (size_t c = 0; c < C && among(tokens, i, words); c++)
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
static double normalize(dn_real *y, const dn_real *x, size_t n)
{
    double rstd = 1 / sqrt(dot(x, x, n) / (double)n + DN_NORM_EPS);
    for (size_t i = 0; i < n; i++)
        y[i] = (dn_real)((double)x[i] * rstd);
    return rstd;
}

void dn_ref_rmsnorm_forward(dn_stream *s, dn_buf *y, dn_buf *rstd, const dn_buf *x, size_t N, size_t C)
{
    for (size_t i = 0; i < N; i++)
        dn_host(rstd)[i] = (dn_real)normalize(dn_host(y) + i * C, dn_host(x) + i * C, C);
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

/* The pair (x_i, x_{i + hd/2}) of a head at position t, turned by `sign` times its angle. */
static void rotate_pair(double *low, double *high, size_t t, size_t i, size_t hd, double sign)
{
    double angle = sign * (double)t * pow(DN_ROTARY_BASE, -2.0 * (double)i / (double)hd);
    double c = cos(angle), s = sin(angle), x = *low, y = *high;
    *low = x * c + y * s;
    *high = -x * s + y * c;
}

void dn_ref_norm_rotary_forward(dn_stream *s, dn_buf *x, dn_buf *rstd, const dn_attention_shape *shape)
{
    size_t hd = shape->hd, half = hd / 2;
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++) {
            dn_real *head = dn_host(x) + row * shape->ld + h * hd;
            dn_host(rstd)[row * shape->NH + h] = (dn_real)normalize(head, head, hd);
            for (size_t i = 0; i < half; i++) {
                double low = (double)head[i], high = (double)head[i + half];
                rotate_pair(&low, &high, row % shape->T, i, hd, 1);
                head[i] = (dn_real)low;
                head[i + half] = (dn_real)high;
            }
        }
}

/* A rotation keeps dot products, so mean(dy * y) may be taken before turning dy and y back. */
void dn_ref_norm_rotary_backward(dn_stream *s, dn_buf *dy, const dn_buf *y, const dn_buf *rstd,
                                 const dn_attention_shape *shape)
{
    size_t hd = shape->hd, half = hd / 2;
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++) {
            dn_real *d = dn_host(dy) + row * shape->ld + h * hd;
            const dn_real *out = dn_host(y) + row * shape->ld + h * hd;
            double mean = dot(d, out, hd) / (double)hd, scale = (double)dn_host(rstd)[row * shape->NH + h];
            for (size_t i = 0; i < half; i++) {
                double low = scale * ((double)d[i] - (double)out[i] * mean);
                double high = scale * ((double)d[i + half] - (double)out[i + half] * mean);
                rotate_pair(&low, &high, row % shape->T, i, hd, -1);
                d[i] = (dn_real)low;
                d[i + half] = (dn_real)high;
            }
        }
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
