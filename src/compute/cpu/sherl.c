/*
 * SHERL's mixture of layers (nn/sherl.h, ops.h). All that a row needs of its M features f_l are their products with one another: with
 * len_l^2 = f_l.f_l and cos_lm = f_l.f_m / (len_l len_m) the gradients are
 *
 *     df_l = p_l dagg + dt_l a * f_deep + sum_m B_lm f_m,      dp_l = dagg . f_l,  ds_l = (dp_l - sum_m p_m dp_m) / sum s
 *     dt_l = ds_l / red_l where t_l > 0;   dred_l = -ds_l s_l / red_l
 *     B_lm = (dred_l + dred_m) / (len_l len_m) where cos_lm > 0,   B_ll = -sum_m B_lm f_l.f_m / len_l^2
 *
 * LANES rows are lanes of vectors; what stands under [..] below has one for each. In double: weights p are quotients of small
 * differences. Rows come in blocks of ROWS; what they add to da is added in order.
 */
#include "compute/cpu/tile.h"
#include "compute/cpu/vector_math.h"

#include <omp.h>
#include <string.h>

#define LANES ((size_t)8)
#define ROWS  ((size_t)64)
#define EPS   1e-6

#define FOR_LANES _Pragma("omp simd") for (size_t i = 0; i < LANES; i++)

typedef double lanes[LANES];

/* What a thread needs: features, products, numbers of each layer. */
typedef struct mixture {
    size_t M, r;
    lanes *f, *dagg;                   /* [M,r], [r] */
    lanes *dot, *inverse;              /* [M,M]: f_l.f_m; [M]: 1 / len_l, 0 of a length of 0 */
    lanes *t, *red, *p, *dt, *dred, *B; /* [M]; B [M,M] */
    lanes sum;                         /* EPS + sum of s */
    dn_real *turned;                   /* [r,LANES] */
} mixture;

static size_t room_of(size_t M, size_t r)
{
    return ((M * r + r) + 2 * M * M + 6 * M) * sizeof(lanes) + r * LANES * sizeof(dn_real);
}

static mixture mixture_at(char *room, size_t M, size_t r)
{
    lanes *f = (lanes *)room, *dot = f + M * r + r, *each = dot + 2 * M * M;
    return (mixture){.M = M, .r = r, .f = f, .dagg = f + M * r, .dot = dot, .B = dot + M * M, .inverse = each, .t = each + M,
                     .red = each + 2 * M, .p = each + 3 * M, .dt = each + 4 * M, .dred = each + 5 * M, .turned = (dn_real *)(each + 6 * M)};
}

/* out [r][..] = x [rows,r], rows beyond them 0 */
static void turn(const mixture *x, lanes *restrict out, const dn_real *rows, size_t n)
{
    dn_tile_transpose(x->turned, LANES, 1, rows, x->r, n, x->r);
    for (size_t c = 0; c < x->r; c++)
        FOR_LANES
            out[c][i] = (double)x->turned[c * LANES + i];
}

static void product(lanes out, const lanes *restrict a, const lanes *restrict b, size_t r)
{
    lanes sum = {0};
    for (size_t c = 0; c < r; c++)
        FOR_LANES
            sum[i] += a[c][i] * b[c][i];
    memcpy(out, sum, sizeof sum);
}

/* Reads n rows of f [M,N,r] from row `row` on: products, t, red, p. */
static void mix(mixture *x, const dn_real *f, const dn_real *a, size_t N, size_t row, size_t n)
{
    size_t M = x->M, r = x->r;
    const lanes *deep = x->f + (M - 1) * r;
    for (size_t l = 0; l < M; l++)
        turn(x, x->f + l * r, f + (l * N + row) * r, n);
    FOR_LANES
        x->sum[i] = EPS;
    for (size_t l = 0; l + 1 < M; l++) {
        lanes *dot = x->dot + l * M;
        for (size_t m = 0; m <= l; m++) {
            product(dot[m], x->f + l * r, x->f + m * r, r);
            memcpy(x->dot[m * M + l], dot[m], sizeof(lanes));
        }
        lanes important = {0};
        for (size_t c = 0; c < r; c++)
            FOR_LANES
                important[i] += (double)a[c] * x->f[l * r + c][i] * deep[c][i];
        FOR_LANES {
            x->inverse[l][i] = dot[l][i] > 0 ? 1 / sqrt(dot[l][i]) : 0;
            x->t[l][i] = important[i] > 0 ? important[i] : 0;
            x->red[l][i] = 1;
        }
    }
    for (size_t l = 0; l + 1 < M; l++) {
        for (size_t m = 0; m + 1 < M; m++)
            if (m != l)
                FOR_LANES {
                    double cosine = x->dot[l * M + m][i] * x->inverse[l][i] * x->inverse[m][i];
                    x->red[l][i] += cosine > 0 ? cosine : 0;
                }
        FOR_LANES {
            x->p[l][i] = x->t[l][i] / x->red[l][i];
            x->sum[i] += x->p[l][i];
        }
    }
    for (size_t l = 0; l + 1 < M; l++)
        FOR_LANES
            x->p[l][i] /= x->sum[i];
}

static void forward_rows(mixture *x, dn_real *agg, const dn_real *f, const dn_real *a, size_t N, size_t row, size_t n)
{
    size_t M = x->M, r = x->r;
    mix(x, f, a, N, row, n);
    for (size_t c = 0; c < r; c++) {
        lanes sum;
        memcpy(sum, x->f[(M - 1) * r + c], sizeof sum);
        for (size_t l = 0; l + 1 < M; l++)
            FOR_LANES
                sum[i] += x->p[l][i] * x->f[l * r + c][i];
        for (size_t i = 0; i < n; i++)
            agg[(row + i) * r + c] = (dn_real)sum[i];
    }
}

static void gate(dn_real *restrict f, const dn_real *restrict z, const dn_real *restrict u, const dn_real *restrict v, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++)
        f[i] = (z[i] + u[i]) / (1 + DN_EXP(-v[i]));
}

void DN_CPU(sherl_forward)(dn_stream *s, dn_buf *agg, dn_buf *f, const dn_buf *z, const dn_buf *u, const dn_buf *v, const dn_buf *a, size_t M,
                           size_t N, size_t r)
{
    size_t room = room_of(M, r), blocks = dn_blocks(N, ROWS);
    char *rooms = dn_scratch(s, (size_t)s->n_threads * room);
    if (!rooms)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (M * N * r > DN_CPU_BLOCK)
    for (size_t block = 0; block < blocks; block++) {
        mixture x = mixture_at(rooms + (size_t)omp_get_thread_num() * room, M, r);
        size_t first = block * ROWS, end = dn_min(N, first + ROWS);
        for (size_t l = 0; l < M; l++) {
            size_t at = (l * N + first) * r;
            gate(dn_host(f) + at, dn_host(z) + at, dn_host(u) + at, dn_host(v) + at, (end - first) * r);
        }
        for (size_t row = first; row < end; row += LANES)
            forward_rows(&x, dn_host(agg), dn_host(f), dn_host(a), N, row, dn_min(end - row, LANES));
    }
}

/* dt, dred and B from dagg [..]. */
static void slopes(mixture *x)
{
    size_t M = x->M, r = x->r;
    lanes mean = {0};
    for (size_t l = 0; l + 1 < M; l++) {
        product(x->dt[l], x->dagg, x->f + l * r, r); /* dp */
        FOR_LANES
            mean[i] += x->p[l][i] * x->dt[l][i];
    }
    for (size_t l = 0; l + 1 < M; l++)
        FOR_LANES {
            double ds = (x->dt[l][i] - mean[i]) / x->sum[i] / x->red[l][i];
            x->dred[l][i] = -ds * x->t[l][i] / x->red[l][i];
            x->dt[l][i] = x->t[l][i] > 0 ? ds : 0;
        }
    for (size_t l = 0; l + 1 < M; l++) {
        lanes along = {0};
        for (size_t m = 0; m + 1 < M; m++)
            if (m != l)
                FOR_LANES {
                    double dot = x->dot[l * M + m][i], both = (x->dred[l][i] + x->dred[m][i]) * x->inverse[l][i] * x->inverse[m][i];
                    x->B[l * M + m][i] = dot > 0 ? both : 0;
                    along[i] += x->B[l * M + m][i] * dot;
                }
        FOR_LANES
            x->B[l * M + l][i] = -along[i] * x->inverse[l][i] * x->inverse[l][i];
    }
}

/* df of layer l, number c of each row. */
static void feature_gradient(const mixture *x, size_t l, size_t c, double a, lanes out)
{
    size_t M = x->M, r = x->r;
    lanes df = {0};
    if (l == M - 1) {
        for (size_t m = 0; m + 1 < M; m++)
            FOR_LANES
                df[i] += x->dt[m][i] * a * x->f[m * r + c][i];
        FOR_LANES
            out[i] = x->dagg[c][i] + df[i];
        return;
    }
    for (size_t m = 0; m + 1 < M; m++)
        FOR_LANES
            df[i] += x->B[l * M + m][i] * x->f[m * r + c][i];
    FOR_LANES
        out[i] = df[i] + x->p[l][i] * x->dagg[c][i] + x->dt[l][i] * a * x->f[(M - 1) * r + c][i];
}

/* da [r] += */
static void backward_rows(mixture *x, dn_real *dh, double *da, const dn_real *dagg, const dn_real *f, const dn_real *a, size_t N, size_t row,
                          size_t n)
{
    size_t M = x->M, r = x->r;
    mix(x, f, a, N, row, n);
    turn(x, x->dagg, dagg + row * r, n);
    slopes(x);
    for (size_t l = 0; l < M; l++)
        for (size_t c = 0; c < r; c++) {
            lanes df, important;
            feature_gradient(x, l, c, (double)a[c], df);
            for (size_t i = 0; i < n; i++)
                dh[(l * N + row + i) * r + c] = (dn_real)df[i];
            FOR_LANES
                important[i] = x->dt[l][i] * x->f[l * r + c][i] * x->f[(M - 1) * r + c][i];
            for (size_t i = 0; i < n && l + 1 < M; i++)
                da[c] += important[i];
        }
}

/* dh holds df: it becomes df sigmoid(v), and dv the gradient of v. */
static void gate_back(dn_real *restrict dh, dn_real *restrict dv, const dn_real *restrict z, const dn_real *restrict u,
                      const dn_real *restrict v, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        dn_real gate = 1 / (1 + DN_EXP(-v[i])), df = dh[i];
        dh[i] = df * gate;
        dv[i] = df * (z[i] + u[i]) * gate * (1 - gate);
    }
}

void DN_CPU(sherl_backward)(dn_stream *s, dn_buf *dh, dn_buf *dv, dn_buf *da, const dn_buf *dagg, const dn_buf *f, const dn_buf *z,
                            const dn_buf *u, const dn_buf *v, const dn_buf *a, size_t M, size_t N, size_t r)
{
    size_t room = room_of(M, r), blocks = dn_blocks(N, ROWS), n_threads = (size_t)s->n_threads;
    char *rooms = dn_scratch(s, n_threads * room + blocks * r * sizeof(double));
    double *parts = (double *)(rooms + n_threads * room);
    if (!rooms)
        return;
    memset(parts, 0, blocks * r * sizeof *parts);
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (M * N * r > DN_CPU_BLOCK)
    for (size_t block = 0; block < blocks; block++) {
        mixture x = mixture_at(rooms + (size_t)omp_get_thread_num() * room, M, r);
        size_t first = block * ROWS, end = dn_min(N, first + ROWS);
        for (size_t row = first; row < end; row += LANES)
            backward_rows(&x, dn_host(dh), parts + block * r, dn_host(dagg), dn_host(f), dn_host(a), N, row, dn_min(end - row, LANES));
        for (size_t l = 0; l < M; l++) {
            size_t at = (l * N + first) * r;
            gate_back(dn_host(dh) + at, dn_host(dv) + at, dn_host(z) + at, dn_host(u) + at, dn_host(v) + at, (end - first) * r);
        }
    }
    for (size_t c = 0; c < r; c++) {
        double sum = 0;
        for (size_t block = 0; block < blocks; block++)
            sum += parts[block * r + c];
        dn_host(da)[c] += (dn_real)sum;
    }
}

void DN_CPU(relu)(dn_stream *s, dn_buf *x, size_t n)
{
    dn_real *out = dn_host(x);
#pragma omp parallel for simd schedule(static) num_threads(s->n_threads) if (parallel : n > DN_CPU_BLOCK)
    for (size_t i = 0; i < n; i++)
        out[i] = out[i] < 0 ? 0 : out[i];
}

void DN_CPU(add_gated)(dn_stream *s, dn_buf *y, const dn_buf *gamma, const dn_buf *x, size_t n)
{
    DN_CPU(axpby)(s, y, tanh(10 * (double)*dn_host(gamma)), x, 1, n);
}

void DN_CPU(add_gated_backward)(dn_stream *s, dn_buf *dgamma, const dn_buf *gamma, const dn_buf *dy, const dn_buf *x, size_t n)
{
    double gate = tanh(10 * (double)*dn_host(gamma)), sum;
    DN_CPU(dot)(s, &sum, dy, x, n);
    *dn_host(dgamma) += (dn_real)(10 * (1 - gate * gate) * sum);
}
