/* Reference: attention to a prefix, keys and values that stand before all positions, joined to attention to these. */
#include "compute/ref/ref.h"

#include <math.h>

/* A query, and where it meets the prefix: number `row` of [B,T], head h. */
typedef struct query {
    size_t at, o, lse, kv; /* elements before its q, its o, its lse; before its head in a row of the prefix */
} query;

static query query_of(const dn_attention_shape *x, size_t row, size_t h)
{
    return (query){.at = row * x->ld + h * x->hd,
                   .o = (row * x->NH + h) * x->hd,
                   .lse = (row / x->T * x->NH + h) * x->T + row % x->T,
                   .kv = h / (x->NH / x->NKV) * x->hd};
}

static double dot(const dn_real *x, const dn_real *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * (double)y[i];
    return sum;
}

/* With s_j the scaled scores, lse' = log(e^lse + sum e^s_j),  o' = e^(lse - lse') o + sum e^(s_j - lse') v_j. */
void dn_ref_prefix_forward(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *pk, const dn_buf *pv, size_t n,
                           const dn_attention_shape *shape)
{
    size_t hd = shape->hd, ldp = shape->NKV * hd;
    double *scores = dn_scratch(s, (n + hd) * sizeof *scores), *sum = scores + n;
    for (size_t row = 0; scores && row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++) {
            const query x = query_of(shape, row, h);
            dn_real *out = dn_host(o) + x.o, *log_sum = dn_host(lse) + x.lse;
            double most = (double)*log_sum, whole;
            for (size_t j = 0; j < n; j++) {
                scores[j] = dot(dn_host(q) + x.at, dn_host(pk) + j * ldp + x.kv, hd) / sqrt((double)hd);
                most = fmax(most, scores[j]);
            }
            whole = exp((double)*log_sum - most);
            for (size_t j = 0; j < n; j++)
                whole += exp(scores[j] - most);
            whole = most + log(whole);
            for (size_t c = 0; c < hd; c++)
                sum[c] = exp((double)*log_sum - whole) * (double)out[c];
            for (size_t j = 0; j < n; j++)
                for (size_t c = 0; c < hd; c++)
                    sum[c] += exp(scores[j] - whole) * (double)dn_host(pv)[j * ldp + x.kv + c];
            for (size_t c = 0; c < hd; c++)
                out[c] = (dn_real)sum[c];
            *log_sum = (dn_real)whole;
        }
}

/* What the gradients of a query, and of a row of the prefix, have in common. */
typedef struct backward {
    const dn_real *q, *d_o, *o, *lse, *pk, *pv;
    size_t hd;
} backward;

/* p = e^(s - lse),  ds = p (do v - do o) / sqrt(hd), of a query and the row that begins at number `at` of the prefix. */
static double slope(const backward *a, const query *x, size_t at, double *p)
{
    double root = sqrt((double)a->hd);
    const dn_real *d_o = a->d_o + x->o;
    *p = exp(dot(a->q + x->at, a->pk + at, a->hd) / root - (double)a->lse[x->lse]);
    return *p * (dot(d_o, a->pv + at, a->hd) - dot(d_o, a->o + x->o, a->hd)) / root;
}

/* dq += sum ds_j k_j */
static void add_to_query(const backward *a, const query *x, size_t n, size_t ldp, dn_real *dq)
{
    double p;
    for (size_t c = 0; c < a->hd; c++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += slope(a, x, j * ldp + x->kv, &p) * (double)a->pk[j * ldp + x->kv + c];
        dq[x->at + c] += (dn_real)sum;
    }
}

/* dk_j += sum ds q, dv_j += sum p do, over the queries, in order; `at`: where the row of a head begins. sum [2 hd]. */
static void add_to_row(const backward *a, const dn_attention_shape *shape, size_t at, size_t kv, double *sum, dn_real *dk,
                       dn_real *dv)
{
    size_t group = shape->NH / shape->NKV;
    for (size_t c = 0; c < 2 * a->hd; c++)
        sum[c] = 0;
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = kv * group; h < (kv + 1) * group; h++) {
            const query x = query_of(shape, row, h);
            double p, ds = slope(a, &x, at, &p);
            for (size_t c = 0; c < a->hd; c++) {
                sum[c] += ds * (double)a->q[x.at + c];
                sum[a->hd + c] += p * (double)a->d_o[x.o + c];
            }
        }
    for (size_t c = 0; c < a->hd; c++) {
        dk[at + c] += (dn_real)sum[c];
        dv[at + c] += (dn_real)sum[a->hd + c];
    }
}

void dn_ref_prefix_backward(dn_stream *s, dn_buf *dq, dn_buf *dpk, dn_buf *dpv, const dn_buf *d_o, const dn_buf *q, const dn_buf *pk,
                            const dn_buf *pv, const dn_buf *o, const dn_buf *lse, size_t n, const dn_attention_shape *shape)
{
    size_t hd = shape->hd, ldp = shape->NKV * hd;
    double *sum = dn_scratch(s, 2 * hd * sizeof *sum);
    const backward a = {dn_host(q), dn_host(d_o), dn_host(o), dn_host(lse), dn_host(pk), dn_host(pv), hd};
    if (!sum)
        return;
    for (size_t row = 0; row < shape->B * shape->T; row++)
        for (size_t h = 0; h < shape->NH; h++) {
            const query x = query_of(shape, row, h);
            add_to_query(&a, &x, n, ldp, dn_host(dq));
        }
    for (size_t j = 0; j < n; j++)
        for (size_t kv = 0; kv < shape->NKV; kv++)
            add_to_row(&a, shape, j * ldp + kv * hd, kv, sum, dn_host(dpk), dn_host(dpv));
}
