/* Reference: causal attention by rows of probabilities, one head of one sequence after the other. */
#include "compute/ref/ref.h"

#include <math.h>
#include <string.h>

static double dot(const dn_real *x, const dn_real *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

static void add_scaled(dn_real *y, double a, const dn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += (dn_real)(a * (double)x[i]);
}

/* One head: rows of q, dq, dk, dv are ld apart, of k and v ld_kv, rows of o and d_o NH * hd. */
typedef struct head {
    size_t T, hd, ld, ld_kv, ldo, window;
    double scale;
    const dn_real *q, *k, *v;
} head;

static head head_of(const dn_attention_shape *shape, size_t b, size_t h, const dn_buf *q, const dn_buf *k,
                    const dn_buf *v)
{
    size_t row = b * shape->T * shape->ld, kv = h / (shape->NH / shape->NKV);
    size_t of_kv = shape->room ? (2 * b * shape->NKV + kv) * shape->room * shape->hd : row + kv * shape->hd;
    return (head){shape->T,
                  shape->hd,
                  shape->ld,
                  shape->room ? shape->hd : shape->ld,
                  shape->NH * shape->hd,
                  shape->window,
                  1 / sqrt((double)shape->hd),
                  dn_host(q) + row + h * shape->hd,
                  dn_host(k) + of_kv,
                  dn_host(v) + of_kv};
}

/* The first key that a query at position i sees. */
static size_t first_key(const head *a, size_t i)
{
    return a->window > 0 && i >= a->window ? i + 1 - a->window : 0;
}

/* p [i+1] = probabilities of query q at position i over the keys up to i that it sees; returns the log of the
 * sum of exponentials. */
static double forward_row(const head *a, const dn_real *q, size_t i, double *p, dn_real *o_row)
{
    double max = -INFINITY, sum = 0;
    for (size_t j = first_key(a, i); j <= i; j++) {
        p[j] = a->scale * dot(q, a->k + j * a->ld_kv, a->hd);
        max = fmax(max, p[j]);
    }
    for (size_t j = first_key(a, i); j <= i; j++) {
        p[j] = exp(p[j] - max);
        sum += p[j];
    }
    for (size_t c = 0; c < a->hd; c++) {
        double out = 0;
        for (size_t j = first_key(a, i); j <= i; j++)
            out += p[j] / sum * (double)a->v[j * a->ld_kv + c];
        o_row[c] = (dn_real)out;
    }
    return max + log(sum);
}

void dn_ref_attention_forward(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                              const dn_buf *v, const dn_attention_shape *shape)
{
    double *p = dn_scratch(s, (shape->first + shape->T) * sizeof *p);
    if (!p)
        return;
    for (size_t b = 0; b < shape->B; b++)
        for (size_t h = 0; h < shape->NH; h++) {
            head a = head_of(shape, b, h, q, k, v);
            for (size_t i = 0; i < a.T; i++) {
                dn_real *o_row = dn_host(o) + (b * a.T + i) * a.ldo + h * a.hd;
                dn_host(lse)[(b * shape->NH + h) * a.T + i] = (dn_real)forward_row(&a, a.q + i * a.ld, shape->first + i, p, o_row);
            }
        }
}

void dn_ref_cache_store(dn_stream *s, dn_buf *cache, size_t heads, size_t room, size_t hd, const dn_buf *x, size_t ld,
                        const dn_cache_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t h = 0; h < heads; h++) {
            size_t at = (rows[i].sequence * heads + h) * room + rows[i].position;
            memcpy(dn_host(cache) + at * hd, dn_host(x) + i * ld + h * hd, hd * sizeof(dn_real));
        }
}

void dn_ref_attention_decode(dn_stream *s, dn_buf *o, const dn_buf *q, const dn_buf *k, const dn_buf *v,
                             const dn_cache_row *rows, size_t n, const dn_attention_shape *shape)
{
    double *p = dn_scratch(s, shape->room * sizeof *p);
    for (size_t i = 0; p && i < n; i++)
        for (size_t h = 0; h < shape->NH; h++) {
            head a = head_of(shape, rows[i].sequence, h, q, k, v);
            forward_row(&a, dn_host(q) + i * shape->ld + h * shape->hd, rows[i].position, p,
                        dn_host(o) + (i * shape->NH + h) * shape->hd);
        }
}

void dn_ref_attention_decode_bf16(dn_stream *s, dn_buf *o, const dn_buf *q, const dn_bf16 *k, const dn_bf16 *v,
                                  const dn_cache_row *rows, size_t n, const dn_attention_shape *shape)
{
    size_t own = shape->room * shape->hd;
    double *p = dn_scratch(s, shape->room * sizeof *p + 2 * own * sizeof(dn_real));
    for (size_t i = 0; p && i < n; i++)
        for (size_t h = 0; h < shape->NH; h++) {
            dn_buf *keys = (dn_buf *)(p + shape->room), *values = dn_at(keys, own);
            head a = head_of(shape, 0, 0, q, keys, values);
            size_t at = (2 * rows[i].sequence * shape->NKV + h / (shape->NH / shape->NKV)) * own;
            dn_ref_from_bf16(s, keys, dn_bf16_at(k, at), (rows[i].position + 1) * shape->hd);
            dn_ref_from_bf16(s, values, dn_bf16_at(v, at), (rows[i].position + 1) * shape->hd);
            forward_row(&a, dn_host(q) + i * shape->ld + h * shape->hd, rows[i].position, p,
                        dn_host(o) + (i * shape->NH + h) * shape->hd);
        }
}

/* The terms of query i: with p = exp(s - lse) and ds = p (d_o.v - d_o.o), dq_i += ds k, dk += ds q_i,
 * dv += p d_o_i. */
static void backward_row(const head *a, size_t i, const dn_real *d_o, const dn_real *o, double lse,
                         dn_real *dq, dn_real *dk, dn_real *dv)
{
    double d = dot(d_o, o, a->hd);
    for (size_t j = first_key(a, i); j <= i; j++) {
        double p = exp(a->scale * dot(a->q + i * a->ld, a->k + j * a->ld, a->hd) - lse);
        double ds = a->scale * p * (dot(d_o, a->v + j * a->ld, a->hd) - d);
        add_scaled(dq + i * a->ld, ds, a->k + j * a->ld, a->hd);
        add_scaled(dk + j * a->ld, ds, a->q + i * a->ld, a->hd);
        add_scaled(dv + j * a->ld, p, d_o, a->hd);
    }
}

void dn_ref_attention_backward(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                               const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                               const dn_buf *lse, const dn_attention_shape *shape)
{
    dn_buf *const gradients[] = {dq, dk, dv};
    for (int g = 0; g < 3; g++)
        for (size_t row = 0; row < shape->B * shape->T; row++)
            memset(dn_host(gradients[g]) + row * shape->ld, 0,
                   (g == 0 ? shape->NH : shape->NKV) * shape->hd * sizeof(dn_real));
    for (size_t b = 0; b < shape->B; b++)
        for (size_t h = 0; h < shape->NH; h++) {
            head a = head_of(shape, b, h, q, k, v);
            size_t offset_o = b * a.T * a.ldo + h * a.hd;
            for (size_t i = 0; i < a.T; i++)
                backward_row(&a, i, dn_host(d_o) + offset_o + i * a.ldo, dn_host(o) + offset_o + i * a.ldo,
                             (double)dn_host(lse)[(b * shape->NH + h) * a.T + i],
                             dn_host(dq) + (a.q - dn_host(q)), dn_host(dk) + (a.k - dn_host(k)),
                             dn_host(dv) + (a.v - dn_host(v)));
        }
}
