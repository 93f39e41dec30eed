/*
 * Attention to a prefix, by the steps of attention in tiles. All queries see all of it, so that B and T are one dimension, of
 * queries in blocks, and nothing is masked.
 *
 * Forward a task is a block of queries of one head, whose softmax over positions goes on: with the maximum lse, the sum 1 and
 * what was made so far, o. Backward a task is a run of blocks of one head, of as many as the shape has (CHUNKS): it adds up what
 * rows of the prefix get of it, and then these sums are added in order.
 */
#include "compute/cpu/attention.h"

#include <omp.h>

#define CHUNKS ((size_t)16) /* at most, of a head's queries: what is summed up apart */

/* The queries number first .. first + n - 1 of B T, of a head. */
typedef struct queries {
    const dn_attention_shape *shape;
    size_t first, n, head;
} queries;

/* Where the first one stands in q, which row comes next, and the same of o; before its head in a row of the prefix. */
static size_t at_q(const queries *x)
{
    return x->first * x->shape->ld + x->head * x->shape->hd;
}

static size_t ld_o(const queries *x)
{
    return x->shape->NH * x->shape->hd;
}

static size_t at_o(const queries *x)
{
    return x->first * ld_o(x) + x->head * x->shape->hd;
}

static size_t at_lse(const queries *x, size_t i)
{
    size_t row = x->first + i, T = x->shape->T;
    return (row / T * x->shape->NH + x->head) * T + row % T;
}

static size_t at_kv(const dn_attention_shape *x, size_t head)
{
    return head / (x->NH / x->NKV) * x->hd;
}

static size_t ld_kv(const dn_attention_shape *x)
{
    return x->NKV * x->hd;
}

/* ---- forward ---- */

static size_t forward_room(size_t hd)
{
    return (hd + BLOCK) * BLOCK + 2 * BLOCK * dn_whole_vectors(hd);
}

/* Scores stand transposed, [keys, queries], as in attention.c. pk, pv: at the head's first number. */
static void forward_block(const queries *x, dn_real *room, dn_real *o, dn_real *lse, const dn_real *q, const dn_real *pk,
                          const dn_real *pv, size_t n)
{
    size_t hd = x->shape->hd, ld = ld_kv(x->shape), width = dn_whole_vectors(hd), lanes = dn_blocks(x->n, STRIP) * STRIP;
    dn_real *qt = room, *p = qt + hd * BLOCK, *out = p + BLOCK * BLOCK, *copy = out + BLOCK * width;
    dn_real max[BLOCK] = {0}, sum[BLOCK], shrink[BLOCK];
    dn_tile_transpose(qt, BLOCK, scale_of(x->shape), q + at_q(x), x->shape->ld, x->n, hd);
    for (size_t i = 0; i < BLOCK; i++)
        sum[i] = 1;
    for (size_t i = 0; i < x->n; i++)
        max[i] = lse[at_lse(x, i)] * (dn_real)M_LOG2E;
    memset(out, 0, BLOCK * width * sizeof *out);
    put_rows(out, width, false, o + at_o(x), ld_o(x), x->n, hd);

    for (size_t j = 0; j < n; j += BLOCK) {
        size_t keys = dn_min(n - j, BLOCK);
        factor values = whole_vectors(copy, pv + j * ld, ld, keys, hd);
        dn_tile_product(DN_N, keys, lanes, hd, pk + j * ld, ld, qt, BLOCK, false, p, BLOCK);
        for (size_t i = 0; i < lanes; i += STRIP)
            softmax_step(p + i, keys, 1, max + i, sum + i, shrink + i);
        for (size_t i = 0; i < x->n; i++)
            for (size_t c = 0; c < width; c++)
                out[i * width + c] *= shrink[i];
        dn_tile_product(DN_T, x->n, width, keys, p, BLOCK, values.x, values.ld, true, out, width);
    }

    for (size_t i = 0; i < x->n; i++) {
        dn_real inverse = 1 / sum[i];
        for (size_t c = 0; c < hd; c++)
            o[at_o(x) + i * ld_o(x) + c] = out[i * width + c] * inverse;
        lse[at_lse(x, i)] = (dn_real)(M_LN2 * ((double)max[i] + log2((double)sum[i])));
    }
}

void DN_CPU(prefix_forward)(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *pk, const dn_buf *pv, size_t n,
                            const dn_attention_shape *shape)
{
    size_t N = shape->B * shape->T, blocks = dn_blocks(N, BLOCK), room = forward_room(shape->hd);
    dn_real *rooms = dn_scratch(s, (size_t)s->n_threads * room * sizeof *rooms);
    if (!rooms || n == 0)
        return;
#pragma omp parallel for schedule(static) num_threads(s->n_threads) if (n * N * shape->NH * shape->hd > DN_CPU_BLOCK)
    for (size_t task = 0; task < blocks * shape->NH; task++) {
        size_t first = task / shape->NH * BLOCK, head = task % shape->NH, kv = at_kv(shape, head);
        const queries x = {shape, first, dn_min(N - first, BLOCK), head};
        forward_block(&x, rooms + (size_t)omp_get_thread_num() * room, dn_host(o), dn_host(lse), dn_host(q), dn_host(pk) + kv,
                      dn_host(pv) + kv, n);
    }
}

/* ---- backward ---- */

typedef struct backward {
    dn_real *dq;
    const dn_real *d_o, *q, *pk, *pv, *o, *lse;
    size_t n;
} backward;

static size_t backward_room(size_t hd)
{
    return 2 * BLOCK * (hd + BLOCK) + 4 * BLOCK * dn_whole_vectors(hd);
}

/* With P = 2^(S - lse) and D = rowsum(dO * O):  dV += P'dO,  dS = P * (dO V' - D),  dQ += dS K,  dK += dS'Q, of so many rows of the
 * prefix from row j on. dk, dv [keys,width]: the task's own. */
static void add_keys(const backward *g, const queries *all, size_t j, size_t keys, dn_real *room, dn_real *dk, dn_real *dv)
{
    const dn_attention_shape *shape = all->shape;
    size_t hd = shape->hd, width = dn_whole_vectors(hd), lanes = dn_whole_vectors(keys), area = BLOCK * width;
    size_t ld = ld_kv(shape), kv = at_kv(shape, all->head) + j * ld;
    dn_real *kt = room, *vt = kt + hd * BLOCK, *p = vt + hd * BLOCK, *ds = p + BLOCK * BLOCK, *dq = ds + BLOCK * BLOCK,
            *copies = dq + area, lse[BLOCK], d[BLOCK], scale = (dn_real)(1 / sqrt((double)hd));
    factor k_rows = whole_vectors(copies, g->pk + kv, ld, keys, hd);
    dn_tile_transpose(kt, BLOCK, scale_of(shape), g->pk + kv, ld, keys, hd);
    dn_tile_transpose(vt, BLOCK, 1, g->pv + kv, ld, keys, hd);
    for (size_t at = 0; at < all->n; at += BLOCK) {
        const queries x = {shape, all->first + at, dn_min(all->n - at, BLOCK), all->head};
        const dn_real *q = g->q + at_q(&x), *d_o = g->d_o + at_o(&x), *o = g->o + at_o(&x);
        for (size_t i = 0; i < x.n; i++) {
            lse[i] = g->lse[at_lse(&x, i)];
            d[i] = dn_row_dot(d_o + i * ld_o(&x), o + i * ld_o(&x), hd);
        }
        factor q_rows = whole_vectors(copies + area, q, shape->ld, x.n, hd);
        factor d_o_rows = whole_vectors(copies + 2 * area, d_o, ld_o(&x), x.n, hd);
        dn_tile_product(DN_N, x.n, lanes, hd, q, shape->ld, kt, BLOCK, false, p, BLOCK);
        dn_tile_product(DN_N, x.n, lanes, hd, d_o, ld_o(&x), vt, BLOCK, false, ds, BLOCK);
        score_gradient(p, ds, 1, lse, d, scale, x.n, lanes);
        dn_tile_product(DN_T, keys, width, x.n, p, BLOCK, d_o_rows.x, d_o_rows.ld, true, dv, width);
        dn_tile_product(DN_T, keys, width, x.n, ds, BLOCK, q_rows.x, q_rows.ld, true, dk, width);
        dn_tile_product(DN_N, x.n, width, keys, ds, BLOCK, k_rows.x, k_rows.ld, false, dq, width);
        put_rows(g->dq + at_q(&x), shape->ld, true, dq, width, x.n, hd);
    }
}

/* A row of the prefix's gradient of a head, += the sums of all tasks that read it: [chunks,NH] of parts, dk and dv one after the other,
 * [n,width] each. which: 0 of dk, 1 of dv. */
static void add_parts(const dn_attention_shape *x, dn_real *restrict out, const dn_real *restrict parts, size_t chunks, size_t n, size_t row,
                      size_t kv, size_t which)
{
    size_t width = dn_whole_vectors(x->hd), group = x->NH / x->NKV;
    for (size_t chunk = 0; chunk < chunks; chunk++)
        for (size_t head = kv * group; head < (kv + 1) * group; head++) {
            const dn_real *part = parts + ((chunk * x->NH + head) * 2 + which) * n * width + row * width;
            for (size_t c = 0; c < x->hd; c++)
                out[c] += part[c];
        }
}

void DN_CPU(prefix_backward)(dn_stream *s, dn_buf *dq, dn_buf *dpk, dn_buf *dpv, const dn_buf *d_o, const dn_buf *q, const dn_buf *pk,
                             const dn_buf *pv, const dn_buf *o, const dn_buf *lse, size_t n, const dn_attention_shape *shape)
{
    size_t N = shape->B * shape->T, NH = shape->NH, NKV = shape->NKV, blocks = dn_blocks(N, BLOCK), chunks = dn_min(blocks, CHUNKS);
    size_t room = backward_room(shape->hd), one = 2 * n * dn_whole_vectors(shape->hd), n_threads = (size_t)s->n_threads;
    dn_real *rooms = dn_scratch(s, (n_threads * room + chunks * NH * one) * sizeof *rooms), *parts = rooms + n_threads * room;
    const backward g = {dn_host(dq), dn_host(d_o), dn_host(q), dn_host(pk), dn_host(pv), dn_host(o), dn_host(lse), n};
    if (!rooms || n == 0)
        return;
#pragma omp parallel num_threads(s->n_threads) if (n * N * shape->NH * shape->hd > DN_CPU_BLOCK)
    {
#pragma omp for schedule(static)
        for (size_t task = 0; task < chunks * NH; task++) {
            size_t chunk = task / NH, first = blocks * chunk / chunks * BLOCK, end = dn_min(N, blocks * (chunk + 1) / chunks * BLOCK);
            const queries x = {shape, first, end - first, task % NH};
            dn_real *dk = parts + task * one, *dv = dk + one / 2;
            memset(dk, 0, one * sizeof *dk);
            for (size_t j = 0; j < n; j += BLOCK)
                add_keys(&g, &x, j, dn_min(n - j, BLOCK), rooms + (size_t)omp_get_thread_num() * room,
                         dk + j * dn_whole_vectors(shape->hd), dv + j * dn_whole_vectors(shape->hd));
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < n * NKV; i++) {
            size_t at = i * shape->hd; /* rows of NKV heads */
            add_parts(shape, dn_host(dpk) + at, parts, chunks, n, i / NKV, i % NKV, 0);
            add_parts(shape, dn_host(dpv) + at, parts, chunks, n, i / NKV, i % NKV, 1);
        }
    }
}
