/*
 * What a token costs when a model generates: products of few rows, and attention of single queries. Both read
 * much memory once and compute little with it.
 *
 * matvec: a thread has a fixed range of the rows of W, which it reads one after the other, as one stream: of rows side by side
 * each is shorter than the pages at whose ends processors stop to read ahead. A row meets two of x at a time, with sums enough to
 * hide the latency of products. An element is computed by the same operations wherever its row falls, and whatever others there are.
 *
 * What lies in bfloat16 is widened as it is read, which costs less than to read twice as much: of weights in registers, of a
 * cache a range at a time, for all queries that read it.
 *
 * attention_decode: a task is a range of KEYS keys of one head of one sequence, which all query heads of the
 * group read one after the other, from a cache after the first; ranges are cut by position alone and merged
 * in order, by their maxima and sums (Milakov and Gimelshein, arXiv:1805.02867).
 */
#include "compute/cpu/simd.h"
#include "compute/cpu/vector_math.h"

#include <omp.h>
#include <string.h>

enum { FOUR = 4 };
#define KEYS ((size_t)256)

/* Numbers of W, times rows of x, or of a cache, that a thread goes through alone: some ten microseconds, half of which another
 * one saves at most. Where other programs want the cores, waiting for it takes milliseconds. */
#define ALONE ((size_t)1 << 18)

/* ---- products ---- */

typedef struct product {
    dn_real *y;
    const dn_real *x;
    const dn_real *w;       /* or */
    const uint16_t *narrow; /* in bfloat16 */
    size_t ldy, ldx, n, out, in;
    bool add;
} product;

/* Sums of an element, and numbers that are added to them in turn. */
enum { SUMS = 4, ROUND = SUMS * DN_LANES };

/* How far ahead a thread asks for numbers of W: further than processors do of themselves. */
#define AHEAD_BYTES ((size_t)8192)

#define INLINE static inline __attribute__((always_inline))

INLINE dn_vector load_narrow(const uint16_t *x)
{
    typedef DN_VECTOR(uint16_t, DN_LANES * sizeof(uint16_t)) halves;
    typedef DN_VECTOR(uint32_t, DN_LANES * sizeof(uint32_t)) bits;
    typedef DN_VECTOR(float, DN_LANES * sizeof(float)) floats;
    return __builtin_convertvector((floats)(__builtin_convertvector(*(const halves *)x, bits) << 16), dn_vector);
}

/* In pairs, pairs of pairs, and so on. */
INLINE dn_real sum_of(dn_vector x)
{
#pragma GCC unroll 4
    for (int half = DN_LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++)
            x[i] += x[i + half];
    return x[0];
}

/* Lanes of a row of W, w or narrow, times those of x and of another row, `ldx` on, if there are two. */
INLINE void add_lanes(dn_vector (*sum)[SUMS], size_t k, size_t rows, const dn_real *x, size_t ldx, const dn_real *w,
                      const uint16_t *narrow)
{
    dn_vector weights = narrow ? load_narrow(narrow) : dn_load(w);
#pragma GCC unroll 2
    for (size_t i = 0; i < rows; i++)
        sum[i][k] += weights * dn_load(x + i * ldx);
}

/* out [rows] = products of a row of W with one or two of x. Where this is inlined the number of rows and the kind of W are
 * constants: sum becomes registers. */
INLINE void dot_rows(dn_real *out, size_t rows, const dn_real *x, size_t ldx, const dn_real *w, const uint16_t *narrow, size_t n)
{
    dn_vector sum[2][SUMS] = {0};
    size_t l = 0;
    for (; l + ROUND <= n; l += ROUND)
#pragma GCC unroll 4
        for (size_t k = 0; k < SUMS; k++) {
            size_t at = l + k * DN_LANES;
            __builtin_prefetch((const char *)(narrow ? (const void *)(narrow + at) : w + at) + AHEAD_BYTES);
            add_lanes(sum, k, rows, x + at, ldx, narrow ? NULL : w + at, narrow ? narrow + at : NULL);
        }
    for (; l + DN_LANES <= n; l += DN_LANES)
        add_lanes(sum, 0, rows, x + l, ldx, narrow ? NULL : w + l, narrow ? narrow + l : NULL);
#pragma GCC unroll 2
    for (size_t i = 0; i < rows; i++)
        out[i] = sum_of((sum[i][0] + sum[i][1]) + (sum[i][2] + sum[i][3]));
    for (; l < n; l++)
        for (size_t i = 0; i < rows; i++)
            out[i] += (narrow ? dn_widened(narrow[l]) : w[l]) * x[i * ldx + l];
}

static void multiply_rows(const product *p, size_t first, size_t end)
{
    for (size_t row = first; row < end; row++)
        for (size_t i = 0; i < p->n; i += 2) {
            const dn_real *x = p->x + i * p->ldx, *w = p->narrow ? NULL : p->w + row * p->in;
            const uint16_t *narrow = p->narrow ? p->narrow + row * p->in : NULL;
            dn_real *y = p->y + i * p->ldy + row, sums[2];
            size_t rows = dn_min(p->n - i, 2);
            if (narrow && rows == 2)
                dot_rows(sums, 2, x, p->ldx, NULL, narrow, p->in);
            else if (narrow)
                dot_rows(sums, 1, x, p->ldx, NULL, narrow, p->in);
            else if (rows == 2)
                dot_rows(sums, 2, x, p->ldx, w, NULL, p->in);
            else
                dot_rows(sums, 1, x, p->ldx, w, NULL, p->in);
            for (size_t k = 0; k < rows; k++)
                y[k * p->ldy] = p->add ? y[k * p->ldy] + sums[k] : sums[k];
        }
}

static void multiply(dn_stream *s, const product *p)
{
    size_t n_threads = (size_t)s->n_threads;
#pragma omp parallel for schedule(static, 1) num_threads(s->n_threads) if (p->n * p->out * p->in > ALONE)
    for (size_t t = 0; t < n_threads; t++)
        multiply_rows(p, dn_cpu_edge(p->out, t, n_threads), dn_cpu_edge(p->out, t + 1, n_threads));
}

void DN_CPU(matvec)(dn_stream *s, dn_buf *y, size_t ldy, const dn_buf *x, size_t ldx, const dn_buf *w,
                    size_t n, size_t out, size_t in, bool add)
{
    multiply(s, &(product){dn_host(y), dn_host(x), dn_host(w), NULL, ldy, ldx, n, out, in, add});
}

void DN_CPU(matvec_bf16)(dn_stream *s, dn_buf *y, size_t ldy, const dn_buf *x, size_t ldx, const dn_bf16 *w,
                         size_t n, size_t out, size_t in, bool add)
{
    multiply(s, &(product){dn_host(y), dn_host(x), NULL, dn_host_bf16(w), ldy, ldx, n, out, in, add});
}

/* ---- attention ---- */

/* What a query makes of a range of keys: maximum of its scores, sum of exponentials less that, and values
 * weighted by these [hd]. Parts of a query follow each other, in room for `ranges`. */
typedef struct decode {
    const dn_attention_shape *shape;
    const dn_cache_row *rows;
    const dn_real *q, *k, *v;              /* or */
    const uint16_t *narrow_k, *narrow_v;   /* in bfloat16 */
    dn_real *parts, *wide;                 /* wide [threads][2][KEYS,hd]: keys and values of a range, if they are narrow */
    size_t readers, ranges;
} decode;

static dn_real *part_of(const decode *d, size_t i, size_t h, size_t range)
{
    return d->parts + ((i * d->shape->NH + h) * d->ranges + range) * (d->shape->hd + 2);
}

/* The first key that number i's query sees. */
static size_t first_key(const decode *d, size_t i)
{
    size_t position = d->rows[i].position, window = d->shape->window;
    return window > 0 && position >= window ? position + 1 - window : 0;
}

static bool sees(const decode *d, size_t i, size_t range)
{
    return range * KEYS <= d->rows[i].position && (range + 1) * KEYS > first_key(d, i);
}

/* out [hd] = weights [n] times v [n,hd] */
static void weigh(dn_real *restrict out, const dn_real *weights, const dn_real *v, size_t n, size_t hd)
{
    memset(out, 0, hd * sizeof *out);
    for (size_t j = 0; j + FOUR <= n; j += FOUR) {
        const dn_real *restrict a = v + j * hd, *w = weights + j;
#pragma omp simd
        for (size_t c = 0; c < hd; c++)
            out[c] += (w[0] * a[c] + w[1] * a[hd + c]) + (w[2] * a[2 * hd + c] + w[3] * a[3 * hd + c]);
    }
    for (size_t j = n / FOUR * FOUR; j < n; j++)
        for (size_t c = 0; c < hd; c++)
            out[c] += weights[j] * v[j * hd + c];
}

/* n rows of a cache, widened into `room` if they are narrow. */
static const dn_real *rows_of(const dn_real *cache, const uint16_t *narrow, size_t at, size_t n, size_t hd, dn_real *restrict room)
{
    if (!narrow)
        return cache + at;
    for (size_t i = 0; i < n * hd; i++)
        room[i] = dn_widened(narrow[at + i]);
    return room;
}

/* Number i's sequence, the query heads that share keys kv. */
static void attend(const decode *d, size_t i, size_t kv, size_t range)
{
    const dn_attention_shape *x = d->shape;
    size_t first = dn_max(range * KEYS, first_key(d, i)), hd = x->hd;
    size_t n = dn_min((range + 1) * KEYS, d->rows[i].position + 1) - first;
    size_t at = ((2 * d->rows[i].sequence * x->NKV + kv) * x->room + first) * hd;
    dn_real scale = (dn_real)(1 / sqrt((double)hd)), weights[KEYS];
    dn_real *wide = d->wide ? d->wide + (size_t)omp_get_thread_num() * 2 * KEYS * hd : NULL;
    const dn_real *k = rows_of(d->k, d->narrow_k, at, n, hd, wide);
    const dn_real *v = rows_of(d->v, d->narrow_v, at, n, hd, wide ? wide + KEYS * hd : NULL);
    for (size_t h = kv * d->readers; h < (kv + 1) * d->readers; h++) {
        const dn_real *q = d->q + i * x->ld + h * hd;
        dn_real *part = part_of(d, i, h, range);
        for (size_t j = 0; j < n; j++)
            weights[j] = scale * dn_row_dot(q, k + j * hd, hd);
        part[0] = dn_row_max(weights, n);
        dn_shift_row(weights, weights, part[0], n);
        dn_exp_row(weights, n);
        part[1] = dn_row_sum(weights, n);
        weigh(part + 2, weights, v, n, hd);
    }
}

static void merge(const decode *d, dn_real *o, size_t i, size_t h)
{
    size_t first = first_key(d, i) / KEYS, n = d->rows[i].position / KEYS + 1, hd = d->shape->hd;
    dn_real max = part_of(d, i, h, first)[0], sum = 0;
    for (size_t range = first + 1; range < n; range++)
        max = part_of(d, i, h, range)[0] > max ? part_of(d, i, h, range)[0] : max;
    memset(o, 0, hd * sizeof *o);
    for (size_t range = first; range < n; range++) {
        const dn_real *part = part_of(d, i, h, range);
        dn_real weight = DN_EXP(part[0] - max);
        sum += weight * part[1];
        for (size_t c = 0; c < hd; c++)
            o[c] += weight * part[2 + c];
    }
    for (size_t c = 0; c < hd; c++)
        o[c] /= sum;
}

/* d: rows, queries and caches. */
static void decode_all(dn_stream *s, dn_buf *o, size_t n, decode d)
{
    size_t last = 0, NH = d.shape->NH, NKV = d.shape->NKV, hd = d.shape->hd;
    for (size_t i = 0; i < n; i++)
        last = dn_max(last, d.rows[i].position);
    size_t ranges = d.ranges = last / KEYS + 1, tasks = n * NKV * ranges;
    size_t parts = n * NH * dn_blocks(d.shape->room, KEYS) * (hd + 2);
    d.readers = NKV ? NH / NKV : 0;
    d.parts = dn_scratch(s, (parts + (d.narrow_k ? (size_t)s->n_threads * 2 * KEYS * hd : 0)) * sizeof *d.parts);
    if (!d.parts)
        return;
    d.wide = d.narrow_k ? d.parts + parts : NULL;
#pragma omp parallel num_threads(s->n_threads) if (tasks > 1 && 2 * n * NKV * last * hd > ALONE)
    {
#pragma omp for schedule(static, 1)
        for (size_t task = 0; task < tasks; task++)
            if (sees(&d, task / ranges / NKV, task % ranges))
                attend(&d, task / ranges / NKV, task / ranges % NKV, task % ranges);
#pragma omp for schedule(static)
        for (size_t i = 0; i < n * NH; i++)
            merge(&d, dn_host(o) + i * hd, i / NH, i % NH);
    }
}

void DN_CPU(attention_decode)(dn_stream *s, dn_buf *o, const dn_buf *q, const dn_buf *k, const dn_buf *v,
                              const dn_cache_row *rows, size_t n, const dn_attention_shape *shape)
{
    decode_all(s, o, n, (decode){.shape = shape, .rows = rows, .q = dn_host(q), .k = dn_host(k), .v = dn_host(v)});
}

void DN_CPU(attention_decode_bf16)(dn_stream *s, dn_buf *o, const dn_buf *q, const dn_bf16 *k, const dn_bf16 *v,
                                   const dn_cache_row *rows, size_t n, const dn_attention_shape *shape)
{
    decode_all(s, o, n,
               (decode){.shape = shape, .rows = rows, .q = dn_host(q), .narrow_k = dn_host_bf16(k), .narrow_v = dn_host_bf16(v)});
}
