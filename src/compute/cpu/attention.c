/*
 * Causal attention in tiles: of the scores only a tile at a time is there, and is used up before the next one
 * is made (Dao et al., arXiv:2205.14135; Dao, arXiv:2307.08691). tile_product reads q, k, v and d_o where
 * they are; transposed is only what a whole task multiplies with.
 *
 * A task is a block of one head, so that few heads feed many threads (dn_cpu_task_of). Whoever does it does the same: bits
 * depend on the shape alone.
 */
#include "compute/cpu/attention.h"

#include <omp.h>
#include <string.h>

/* ---- forward: a task is a block of queries against all keys that they see ---- */

static size_t forward_room(size_t hd)
{
    return (hd + BLOCK) * BLOCK + 2 * BLOCK * dn_whole_vectors(hd);
}

/*
 * Scores stand transposed, [keys, queries]: so a query is a lane of a vector in all of the softmax, and only
 * Q is transposed. Keys come in tiles of BLOCK; across the diagonal of STRIP, which the strips of queries
 * before them do not see.
 */
static void forward_block(const dn_attention_shape *x, const one_head *a, size_t block, dn_real *room, dn_real *o,
                          dn_real *lse, const dn_real *q, const dn_real *k, const dn_real *v)
{
    size_t hd = x->hd, width = dn_whole_vectors(hd), rows = dn_min(x->T - block * BLOCK, BLOCK);
    size_t lanes = dn_blocks(rows, STRIP) * STRIP, position = x->first + block * BLOCK;
    size_t begin = first_key(x, position), end = position + rows;
    dn_real *qt = room, *p = qt + hd * BLOCK, *out = p + BLOCK * BLOCK, *v_room = out + BLOCK * width;
    dn_real max[BLOCK], sum[BLOCK] = {0}, shrink[BLOCK];
    for (size_t i = 0; i < BLOCK; i++)
        max[i] = -(dn_real)FLT_MAX; /* finite, since of a tile's keys a query may see none */
    ask_for(q + block * BLOCK * a->ld, a->ld, rows, hd);
    ask_for(k + begin * a->ld_kv, a->ld_kv, dn_min(end - begin, BLOCK), hd);
    ask_for(v + begin * a->ld_kv, a->ld_kv, dn_min(end - begin, BLOCK), hd);
    dn_tile_transpose(qt, BLOCK, scale_of(x), q + block * BLOCK * a->ld, a->ld, rows, hd);

    for (size_t j = begin, keys; j < end; j += keys) {
        keys = dn_min(end - j, j + BLOCK > position + 1 ? STRIP : BLOCK);
        size_t from = j > position ? (j - position) / STRIP * STRIP : 0; /* queries before see none of them */
        const dn_real *k_tile = k + j * a->ld_kv, *v_tile = v + j * a->ld_kv;
        size_t next = j + keys, n_next = dn_min(end - next, BLOCK);
        ask_for(k + next * a->ld_kv, a->ld_kv, n_next, hd);
        ask_for(v + next * a->ld_kv, a->ld_kv, n_next, hd);
        dn_tile_product(DN_N, keys, lanes - from, hd, k_tile, a->ld_kv, qt + from, BLOCK, false, p + from,
                        BLOCK);
        for (size_t key = j; key < j + keys; key++) {
            dn_real *scores = p + (key - j) * BLOCK;
            if (key > position)
                mask(scores, from, key - position);
            if (x->window > 0)
                mask(scores, key + x->window - position, lanes);
        }
        for (size_t i = from; i < lanes; i += STRIP)
            softmax_step(p + i, keys, 1, max + i, sum + i, shrink + i);
        for (size_t i = from; i < rows && j > begin; i++)
            if (shrink[i] != 1)
                for (size_t c = 0; c < width; c++)
                    out[i * width + c] *= shrink[i];
        factor values = whole_vectors(v_room, v_tile, a->ld_kv, keys, hd);
        dn_tile_product(DN_T, rows - from, width, keys, p + from, BLOCK, values.x, values.ld, j > begin,
                        out + from * width, width);
    }

    for (size_t i = 0; i < rows; i++) {
        dn_real inverse = 1 / sum[i];
        for (size_t c = 0; c < hd; c++)
            o[(block * BLOCK + i) * a->ldo + c] = out[i * width + c] * inverse;
        lse[block * BLOCK + i] = (dn_real)(M_LN2 * ((double)max[i] + log2((double)sum[i])));
    }
}

void DN_CPU(attention_forward)(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                               const dn_buf *v, const dn_attention_shape *shape)
{
    size_t heads = shape->B * shape->NH, blocks = dn_blocks(shape->T, BLOCK);
    size_t n_threads = (size_t)s->n_threads, room = forward_room(shape->hd);
    dn_real *rooms = dn_scratch(s, n_threads * room * sizeof *rooms);
    atomic_size_t taken = 0;
    if (!rooms)
        return;
#pragma omp parallel num_threads(s->n_threads)
    for (dn_cpu_task t; take(&taken, heads, blocks, n_threads, &t);) { /* the longest first */
        one_head a = head_of(shape, t.head / shape->NH, t.head % shape->NH);
        forward_block(shape, &a, blocks - 1 - t.part, rooms + (size_t)omp_get_thread_num() * room,
                      dn_host(o) + a.at_o, dn_host(lse) + a.at_lse, dn_host(q) + a.at, dn_host(k) + a.at_kv,
                      dn_host(v) + a.at_kv);
    }
}

/* ---- backward: a task is a block of keys against all queries that see them ---- */

typedef struct backward {
    const dn_attention_shape *shape;
    dn_real *dq, *dk, *dv;
    const dn_real *d_o, *q, *k, *v, *lse;
    dn_real *d;         /* [B,NH,T]: rowsum(dO * O) */
    atomic_uint *added; /* [B,NH,blocks]: how many blocks of keys have added to a block of dQ */
} backward;

static size_t backward_room(size_t hd)
{
    return 2 * BLOCK * (hd + BLOCK) + 6 * BLOCK * dn_whole_vectors(hd);
}

/*
 * Block j of the keys of sequence b that have number kv. With P = 2^(S - lse) and D = rowsum(dO * O):
 * dV += P'dO,  dS = P * (dO V' - D),  dQ += dS K,  dK += dS'Q.
 *
 * dK and dV are the task's own. To a block of dQ the blocks of keys that it sees add in order: each waits for
 * those before. All go through the queries from the last one on, so that they follow each other at the
 * distance of a tile. Who waits waits for tasks of lower numbers, and of those the lowest that is not done
 * waits for none.
 */
static void backward_block(const backward *g, size_t b, size_t kv, size_t j, dn_real *room)
{
    const dn_attention_shape *x = g->shape;
    size_t hd = x->hd, width = dn_whole_vectors(hd), area = BLOCK * width;
    size_t readers = x->NH / x->NKV, blocks = dn_blocks(x->T, BLOCK);
    size_t first = j * BLOCK, keys = dn_min(x->T - first, BLOCK);
    size_t end = x->window > 0 ? dn_min(x->T, first + keys + x->window - 1) : x->T; /* of queries that see any */
    dn_real *kt = room, *vt = kt + hd * BLOCK, *p = vt + hd * BLOCK, *ds = p + BLOCK * BLOCK;
    dn_real *dk = ds + BLOCK * BLOCK, *dv = dk + area, *dq = dv + area, *copies = dq + area;
    dn_real scale = (dn_real)(1 / sqrt((double)hd));
    one_head a = head_of(x, b, kv * readers);
    size_t at_kv = a.at_kv + first * a.ld;
    ask_for(g->k + at_kv, a.ld, keys, hd);
    ask_for(g->v + at_kv, a.ld, keys, hd);
    factor k_rows = whole_vectors(copies, g->k + at_kv, a.ld, keys, hd);
    dn_tile_transpose(kt, BLOCK, scale_of(x), g->k + at_kv, a.ld, keys, hd);
    dn_tile_transpose(vt, BLOCK, 1, g->v + at_kv, a.ld, keys, hd);
    memset(dk, 0, 2 * area * sizeof *dk);

    for (size_t h = kv * readers; h < (kv + 1) * readers; h++)
        for (size_t i = dn_blocks(end, BLOCK); i-- > j;) {
            atomic_uint *added = g->added + (b * x->NH + h) * blocks + i;
            unsigned before = (unsigned)(j - first_key(x, i * BLOCK) / BLOCK);
            a = head_of(x, b, h);
            if (i > j) {
                ask_for(g->q + a.at + (i - 1) * BLOCK * a.ld, a.ld, BLOCK, hd);
                ask_for(g->d_o + a.at_o + (i - 1) * BLOCK * a.ldo, a.ldo, BLOCK, hd);
                ask_for(g->dq + a.at + (i - 1) * BLOCK * a.ld, a.ld, BLOCK, hd);
            }
            for (size_t at = i * BLOCK, rows; at < dn_min(x->T, (i + 1) * BLOCK); at += rows) {
                rows = dn_min(x->T - at, i == j ? STRIP : BLOCK);
                size_t seen = dn_min(keys, at + rows - first), lanes = dn_whole_vectors(seen);
                const dn_real *q = g->q + a.at + at * a.ld, *d_o = g->d_o + a.at_o + at * a.ldo;
                factor q_rows = whole_vectors(copies + area, q, a.ld, rows, hd);
                factor d_o_rows = whole_vectors(copies + 2 * area, d_o, a.ldo, rows, hd);
                dn_tile_product(DN_N, rows, lanes, hd, q, a.ld, kt, BLOCK, false, p, BLOCK);
                dn_tile_product(DN_N, rows, lanes, hd, d_o, a.ldo, vt, BLOCK, false, ds, BLOCK);
                for (size_t row = 0; row < rows; row++) {
                    mask(p + row * BLOCK, at + row + 1 - first, lanes);
                    mask(p + row * BLOCK, 0, dn_min(dn_max(first_key(x, at + row), first) - first, lanes));
                }
                score_gradient(p, ds, 1, g->lse + a.at_lse + at, g->d + a.at_lse + at, scale, rows, lanes);
                dn_tile_product(DN_T, seen, width, rows, p, BLOCK, d_o_rows.x, d_o_rows.ld, true, dv, width);
                dn_tile_product(DN_T, seen, width, rows, ds, BLOCK, q_rows.x, q_rows.ld, true, dk, width);
                dn_real *to = width == hd ? g->dq + a.at + at * a.ld : dq; /* where it belongs, if that is whole vectors */
                await_turn(added, before);
                dn_tile_product(DN_N, rows, width, seen, ds, BLOCK, k_rows.x, k_rows.ld, to != dq && before > 0, to,
                                to == dq ? width : a.ld);
                if (to == dq)
                    put_rows(g->dq + a.at + at * a.ld, a.ld, before > 0, dq, width, rows, hd);
            }
            atomic_store_explicit(added, before + 1, memory_order_release);
        }
    put_rows(g->dk + at_kv, a.ld, false, dk, width, keys, hd);
    put_rows(g->dv + at_kv, a.ld, false, dv, width, keys, hd);
}

void DN_CPU(attention_backward)(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                                const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                                const dn_buf *lse, const dn_attention_shape *shape)
{
    size_t NH = shape->NH, NKV = shape->NKV, hd = shape->hd, T = shape->T, rows = shape->B * NH * T;
    size_t blocks = dn_blocks(T, BLOCK), counters = shape->B * NH * blocks, n_threads = (size_t)s->n_threads;
    size_t room = backward_room(hd), numbers = n_threads * room + rows;
    dn_real *rooms = dn_scratch(s, numbers * sizeof *rooms + counters * sizeof(atomic_uint));
    if (!rooms)
        return;
    backward g = {.shape = shape,
                  .dq = dn_host(dq),
                  .dk = dn_host(dk),
                  .dv = dn_host(dv),
                  .d_o = dn_host(d_o),
                  .q = dn_host(q),
                  .k = dn_host(k),
                  .v = dn_host(v),
                  .lse = dn_host(lse),
                  .d = rooms + n_threads * room,
                  .added = (atomic_uint *)(rooms + numbers)};
    atomic_size_t taken = 0;
    memset(g.added, 0, counters * sizeof *g.added);
#pragma omp parallel num_threads(s->n_threads)
    {
#pragma omp for schedule(static)
        for (size_t row = 0; row < rows; row++) {
            size_t b = row / NH / T, t = row / NH % T, h = row % NH; /* in the order of memory */
            g.d[(b * NH + h) * T + t] = dn_row_dot(g.d_o + row * hd, dn_host(o) + row * hd, hd);
        }
        for (dn_cpu_task t; take(&taken, shape->B * NKV, blocks, n_threads, &t);)
            backward_block(&g, t.head / NKV, t.head % NKV, t.part,
                           rooms + (size_t)omp_get_thread_num() * room);
    }
}
