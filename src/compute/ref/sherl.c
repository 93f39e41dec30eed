/* Reference: the row-wise part of SHERL's side module (nn/sherl.h): gates, and the mixture of layers by redundancy. */
#include "compute/ref/ref.h"

#include <math.h>

void dn_ref_relu(dn_stream *s, dn_buf *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        dn_host(x)[i] = dn_host(x)[i] < 0 ? 0 : dn_host(x)[i];
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* What a row makes of the features f_l [M,r] of M layers, the last the deepest. Arrays stand in scratch. */
typedef struct mixture {
    size_t M, r;
    double *f, *unit;               /* [M,r]: features, and these divided by their length; 0 of a length of 0 */
    double *length, *t, *red, *s;   /* [M] */
    double sum;                   /* of s, and what keeps it from 0 */
} mixture;

#define SHERL_EPS 1e-6

static size_t scratch_of(size_t M, size_t r)
{
    return (4 * M * r + 6 * M) * sizeof(double);
}

static mixture mixture_at(double *scratch, size_t M, size_t r)
{
    double *numbers = scratch + 4 * M * r;
    return (mixture){M, r, scratch, scratch + M * r, numbers, numbers + M, numbers + 2 * M, numbers + 3 * M, 0};
}

static double dot(const double *x, const double *y, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* Reads a row of f [M,N,r]. Of the shallow layers l < M - 1:  red_l = 1 + sum over the others of relu(f_l f_m / |f_l| |f_m|),
 * t_l = relu(a . (f_l * f_deep)),  s_l = t_l / red_l. */
static void mix(mixture *x, const dn_real *f, const dn_real *a, size_t N, size_t row)
{
    size_t M = x->M, r = x->r;
    const double *deep = x->f + (M - 1) * r;
    x->sum = SHERL_EPS;
    for (size_t l = 0; l < M; l++) {
        for (size_t c = 0; c < r; c++)
            x->f[l * r + c] = (double)f[(l * N + row) * r + c];
        x->length[l] = sqrt(dot(x->f + l * r, x->f + l * r, r));
        for (size_t c = 0; c < r; c++)
            x->unit[l * r + c] = x->length[l] > 0 ? x->f[l * r + c] / x->length[l] : 0;
    }
    for (size_t l = 0; l + 1 < M; l++) {
        double importance = 0;
        x->red[l] = 1;
        for (size_t m = 0; m + 1 < M; m++)
            if (m != l)
                x->red[l] += fmax(dot(x->unit + l * r, x->unit + m * r, r), 0);
        for (size_t c = 0; c < r; c++)
            importance += (double)a[c] * x->f[l * r + c] * deep[c];
        x->t[l] = fmax(importance, 0);
        x->s[l] = x->t[l] / x->red[l];
        x->sum += x->s[l];
    }
}

void dn_ref_sherl_forward(dn_stream *s, dn_buf *agg, dn_buf *f, const dn_buf *z, const dn_buf *u, const dn_buf *v, const dn_buf *a,
                          size_t M, size_t N, size_t r)
{
    double *scratch = dn_scratch(s, scratch_of(M, r));
    if (!scratch)
        return;
    mixture x = mixture_at(scratch, M, r);
    for (size_t i = 0; i < M * N * r; i++)
        dn_host(f)[i] = (dn_real)(((double)dn_host(z)[i] + (double)dn_host(u)[i]) * sigmoid((double)dn_host(v)[i]));
    for (size_t row = 0; row < N; row++) {
        mix(&x, dn_host(f), dn_host(a), N, row);
        for (size_t c = 0; c < r; c++) {
            double sum = x.f[(M - 1) * r + c];
            for (size_t l = 0; l + 1 < M; l++)
                sum += x.s[l] / x.sum * x.f[l * r + c];
            dn_host(agg)[row * r + c] = (dn_real)sum;
        }
    }
}

/* df, dunit [M,r]: the gradients of a row's features from dagg [r]; da [r] +=. */
static void mix_back(const mixture *x, const dn_real *dagg, const dn_real *a, double *df, double *dunit, double *dred, double *da)
{
    size_t M = x->M, r = x->r;
    const double *deep = x->f + (M - 1) * r;
    double *ddeep = df + (M - 1) * r, mean = 0; /* of the gradients of p, by s, over their sum squared */
    for (size_t c = 0; c < r; c++)
        ddeep[c] = (double)dagg[c];
    for (size_t l = 0; l + 1 < M; l++)
        for (size_t c = 0; c < r; c++)
            mean += (double)dagg[c] * x->f[l * r + c] * x->s[l] / (x->sum * x->sum);
    for (size_t l = 0; l + 1 < M; l++) {
        const double *f = x->f + l * r;
        double dp = 0, ds, dt;
        for (size_t c = 0; c < r; c++) {
            dp += (double)dagg[c] * f[c];
            df[l * r + c] = x->s[l] / x->sum * (double)dagg[c];
            dunit[l * r + c] = 0;
        }
        ds = dp / x->sum - mean;
        dred[l] = -ds * x->t[l] / (x->red[l] * x->red[l]);
        dt = x->t[l] > 0 ? ds / x->red[l] : 0;
        for (size_t c = 0; c < r; c++) {
            da[c] += dt * f[c] * deep[c];
            df[l * r + c] += dt * (double)a[c] * deep[c];
            ddeep[c] += dt * (double)a[c] * f[c];
        }
    }
    for (size_t l = 0; l + 1 < M; l++) {
        const double *unit = x->unit + l * r;
        for (size_t m = 0; m + 1 < M; m++)
            if (m != l && dot(unit, x->unit + m * r, r) > 0)
                for (size_t c = 0; c < r; c++)
                    dunit[l * r + c] += (dred[l] + dred[m]) * x->unit[m * r + c];
        double along = dot(unit, dunit + l * r, r);
        for (size_t c = 0; c < r && x->length[l] > 0; c++)
            df[l * r + c] += (dunit[l * r + c] - unit[c] * along) / x->length[l];
    }
}

void dn_ref_sherl_backward(dn_stream *s, dn_buf *dh, dn_buf *dv, dn_buf *da, const dn_buf *dagg, const dn_buf *f, const dn_buf *z,
                           const dn_buf *u, const dn_buf *v, const dn_buf *a, size_t M, size_t N, size_t r)
{
    double *scratch = dn_scratch(s, scratch_of(M, r) + r * sizeof *scratch);
    if (!scratch)
        return;
    mixture x = mixture_at(scratch, M, r);
    double *df = scratch + 2 * M * r, *dunit = df + M * r, *dred = x.s + M, *sum = scratch + 4 * M * r + 6 * M;
    for (size_t c = 0; c < r; c++)
        sum[c] = 0;
    for (size_t row = 0; row < N; row++) {
        mix(&x, dn_host(f), dn_host(a), N, row);
        mix_back(&x, dn_host(dagg) + row * r, dn_host(a), df, dunit, dred, sum);
        for (size_t l = 0; l < M; l++)
            for (size_t c = 0; c < r; c++) {
                size_t i = (l * N + row) * r + c;
                double gate = sigmoid((double)dn_host(v)[i]), h = (double)dn_host(z)[i] + (double)dn_host(u)[i];
                dn_host(dh)[i] = (dn_real)(df[l * r + c] * gate);
                dn_host(dv)[i] = (dn_real)(df[l * r + c] * h * gate * (1 - gate));
            }
    }
    for (size_t c = 0; c < r; c++)
        dn_host(da)[c] += (dn_real)sum[c];
}

void dn_ref_add_gated(dn_stream *s, dn_buf *y, const dn_buf *gamma, const dn_buf *x, size_t n)
{
    double gate = tanh(10 * (double)*dn_host(gamma));
    for (size_t i = 0; i < n; i++)
        dn_host(y)[i] = (dn_real)((double)dn_host(y)[i] + gate * (double)dn_host(x)[i]);
}

void dn_ref_add_gated_backward(dn_stream *s, dn_buf *dgamma, const dn_buf *gamma, const dn_buf *dy, const dn_buf *x, size_t n)
{
    double gate = tanh(10 * (double)*dn_host(gamma)), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)dn_host(dy)[i] * (double)dn_host(x)[i];
    *dn_host(dgamma) += (dn_real)(10 * (1 - gate * gate) * sum);
}
