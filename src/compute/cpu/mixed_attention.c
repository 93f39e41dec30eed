/*
 * Attention in mixed precision: as attention.c has it, of queries, keys, values and d_o in bfloat16, by tiles
 * (tiles.h). Scores and all of the softmax are in float; probabilities and gradients of scores are rounded as
 * operands of the next product.
 *
 * A product needs its left factor in rows of pairs, its right one in pairs of rows. Each is made that way
 * from where it comes without a transposition but for blocks of q, k, v and d_o, which are packed once and
 * stay for all tasks: so of the output, and of dK and dV, it is the transpose that adds up, [hd,BLOCK].
 * `wide` is hd in whole blocks of 32, what is not there is 0, and blocks of keys begin at multiples of BLOCK,
 * so that windows leave some to mask.
 */
#include "compute/cpu/attention.h"
#include "compute/cpu/mixed.h"
#include "compute/cpu/tiles.h"

#include <omp.h>

static const dn_kernels *others; /* attention of caches is theirs */

static size_t wide_of(size_t hd)
{
    return dn_blocks(hd, 2 * TILE) * 2 * TILE;
}

/* ---- packing: blocks of x [rows,hd], rows ld apart, of up to BLOCK rows ---- */

/* Words of a packed block. */
static size_t block_words(size_t wide)
{
    return BLOCK * wide / 2;
}

/* out [columns,ld] = the transpose of x [rows,columns], both in whole squares. */
static void turn_all(uint32_t *out, size_t ld, const uint32_t *x, size_t ldx, size_t rows, size_t columns)
{
    for (size_t i = 0; i < rows; i += TILE)
        for (size_t j = 0; j < columns; j += TILE)
            turn(out + j * ld + i, ld, x + i * ldx + j, ldx, TILE, TILE);
}

/* out [BLOCK,wide/2]: a left factor */
static void pack_rows(uint32_t *out, size_t wide, const dn_real *x, size_t ld, size_t rows, size_t hd)
{
    if (rows < BLOCK || hd < wide)
        memset(out, 0, block_words(wide) * sizeof *out);
    for (size_t i = 0; i < rows; i++)
        pair_along(out + i * wide / 2, TILE, x + i * ld, hd);
}

/* out [BLOCK/2,wide]: a right factor */
static void pack_across(uint32_t *out, size_t wide, const dn_real *x, size_t ld, size_t rows, size_t hd)
{
    if (rows < BLOCK || hd < wide)
        memset(out, 0, block_words(wide) * sizeof *out);
    pair_across(out, wide, x, ld, rows, hd);
}

/* out [wide/2,BLOCK] = x': a right factor; `room` as large as out. */
static void pack_rows_turned(uint32_t *out, uint32_t *room, size_t wide, const dn_real *x, size_t ld, size_t rows, size_t hd)
{
    pack_rows(room, wide, x, ld, rows, hd);
    turn_all(out, BLOCK, room, wide / 2, BLOCK, wide / 2);
}

/* out [wide,BLOCK/2] = x': a left factor */
static void pack_across_turned(uint32_t *out, uint32_t *room, size_t wide, const dn_real *x, size_t ld, size_t rows, size_t hd)
{
    pack_across(room, wide, x, ld, rows, hd);
    turn_all(out, BLOCK / 2, room, wide, BLOCK / 2, wide);
}

/* C [m,n] = A B, or with `add` C + A B; m and n are whole blocks of 32, pairs of 16. */
static void multiply(size_t m, size_t n, size_t pairs, const uint32_t *a, size_t lda, const uint32_t *b, size_t ldb, bool add, dn_real *c, size_t ldc)
{
    for (size_t i = 0; i < m; i += 2 * TILE)
        for (size_t j = 0; j < n; j += 2 * TILE) {
            begin_sums(add, c + i * ldc + j, ldc);
            for (size_t l = 0; l < pairs; l += TILE) {
                load_tile(4, a + i * lda + l, lda);
                load_tile(6, b + l * ldb + j, ldb);
                load_tile(7, b + l * ldb + j + TILE, ldb);
                add_product(0, 4, 6);
                add_product(1, 4, 7);
                load_tile(5, a + (i + TILE) * lda + l, lda);
                add_product(2, 5, 6);
                add_product(3, 5, 7);
            }
            end_sums(c + i * ldc + j, ldc);
        }
}

/* ---- forward: a task is a block of queries against all keys that they see ---- */

static size_t forward_room(size_t wide)
{
    return 2 * block_words(wide) + BLOCK * BLOCK / 2 + BLOCK * BLOCK + 2 * BLOCK * wide;
}

/* Scores stand transposed, [keys, queries], as in attention.c. packed: of each block of the head's keys its
 * rows, and its values across and turned. */
static void forward_block(const dn_attention_shape *x, const one_head *a, size_t block, void *room, dn_real *o, dn_real *lse, const dn_real *q,
                          const uint32_t *packed)
{
    size_t hd = x->hd, wide = wide_of(hd), words = block_words(wide), position = block * BLOCK, rows = dn_min(x->T - position, BLOCK);
    size_t lanes = dn_blocks(rows, STRIP) * STRIP, begin = first_key(x, position) / BLOCK * BLOCK, end = position + rows;
    uint32_t *qt = room, *pairs = qt + 2 * words;
    dn_real *p = (dn_real *)(pairs + BLOCK * BLOCK / 2), *out = p + BLOCK * BLOCK, *turned = out + BLOCK * wide;
    dn_real max[BLOCK], sum[BLOCK] = {0}, shrink[BLOCK], scale = scale_of(x);
    for (size_t i = 0; i < BLOCK; i++)
        max[i] = -(dn_real)FLT_MAX; /* finite, since of a tile's keys a query may see none */
    pack_rows_turned(qt, qt + words, wide, q + position * a->ld, a->ld, rows, hd);

    for (size_t j = begin, keys; j < end; j += keys) {
        keys = j >= position ? STRIP : BLOCK;
        size_t from = j > position ? j - position : 0; /* queries before see none of them */
        const uint32_t *k = packed + j / BLOCK * 2 * words, *v = k + words;
        multiply(keys, lanes - from, wide / 2, k + j % BLOCK * wide / 2, wide / 2, qt + from, BLOCK, false, p + from, BLOCK);
        for (size_t key = j; key < j + keys; key++) {
            dn_real *scores = p + (key - j) * BLOCK;
            if (key > position)
                mask(scores, from, dn_min(key - position, lanes));
            if (x->window > 0)
                mask(scores, dn_max(key + x->window, position + from) - position, lanes);
        }
        for (size_t i = from; i < lanes; i += STRIP)
            softmax_step(p + i, keys, scale, max + i, sum + i, shrink + i);
        for (size_t c = 0; c < wide && j > begin; c++)
            for (size_t i = from; i < lanes; i++)
                out[c * BLOCK + i] *= shrink[i];
        pair_across(pairs + from, BLOCK, p + from, BLOCK, keys, lanes - from);
        multiply(wide, lanes - from, keys / 2, v + j % BLOCK / 2, BLOCK / 2, pairs + from, BLOCK, j > begin, out + from, BLOCK);
    }

    turn_all((uint32_t *)turned, wide, (const uint32_t *)out, BLOCK, wide, lanes);
    for (size_t i = 0; i < rows; i++) {
        dn_real inverse = 1 / sum[i];
        for (size_t c = 0; c < hd; c++)
            o[(position + i) * a->ldo + c] = turned[i * wide + c] * inverse;
        lse[position + i] = (dn_real)(M_LN2 * ((double)max[i] * (double)scale + log2((double)sum[i])));
    }
}

static void mixed_forward(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_attention_shape *x)
{
    size_t heads = x->B * x->NH, blocks = dn_blocks(x->T, BLOCK), n_threads = (size_t)s->n_threads, readers = x->NH / dn_max(x->NKV, 1);
    size_t wide = wide_of(x->hd), words = block_words(wide), room = forward_room(wide), n_blocks = x->B * x->NKV * blocks;
    if (x->room) {
        others->attention_forward(s, o, lse, q, k, v, x);
        return;
    }
    uint32_t *rooms = dn_scratch(s, (n_threads * room + 2 * n_blocks * words) * sizeof *rooms), *packed = rooms + n_threads * room;
    atomic_size_t taken = 0;
    if (!rooms)
        return;
#pragma omp parallel num_threads(s->n_threads)
    {
        uint32_t *own = rooms + (size_t)omp_get_thread_num() * room;
        begin_tiles();
#pragma omp for schedule(static)
        for (size_t i = 0; i < n_blocks; i++) {
            size_t kv = i / blocks, at = i % blocks * BLOCK, rows = dn_min(x->T - at, BLOCK);
            size_t from = head_of(x, kv / x->NKV, kv % x->NKV * readers).at_kv + at * x->ld;
            pack_rows(packed + 2 * i * words, wide, dn_host(k) + from, x->ld, rows, x->hd);
            pack_across_turned(packed + (2 * i + 1) * words, own, wide, dn_host(v) + from, x->ld, rows, x->hd);
        }
        for (dn_cpu_task t; take(&taken, heads, blocks, n_threads, &t);) { /* the longest first */
            size_t b = t.head / x->NH, h = t.head % x->NH;
            one_head a = head_of(x, b, h);
            forward_block(x, &a, blocks - 1 - t.part, own, dn_host(o) + a.at_o, dn_host(lse) + a.at_lse, dn_host(q) + a.at,
                          packed + 2 * (b * x->NKV + h / readers) * blocks * words);
        }
        end_tiles();
    }
}

/* ---- backward: a task is a block of keys against all queries that see them ---- */

typedef struct backward {
    const dn_attention_shape *shape;
    dn_real *dq, *dk, *dv;
    const dn_real *k, *v, *lse;
    const uint32_t *packed; /* of each block of q of a head: its rows, its columns; then of d_o */
    dn_real *d;             /* [B,NH,T]: rowsum(dO * O) */
    atomic_uint *added;     /* [B,NH,blocks]: how many blocks of keys have added to a block of dQ */
} backward;

static size_t backward_room(size_t wide)
{
    return 4 * block_words(wide) + 3 * BLOCK * BLOCK / 2 + 2 * BLOCK * BLOCK + 3 * BLOCK * wide;
}

/* From sums [wide,BLOCK]; `room` as large. */
static void put_turned(dn_real *to, size_t ld, const dn_real *sums, dn_real *room, size_t wide, size_t rows, size_t hd)
{
    turn_all((uint32_t *)room, wide, (const uint32_t *)sums, BLOCK, wide, BLOCK);
    put_rows(to, ld, false, room, wide, rows, hd);
}

/* As in attention.c: block j of the keys, and in which order and when it adds to dQ. */
static void backward_block(const backward *g, size_t b, size_t kv, size_t j, void *room)
{
    const dn_attention_shape *x = g->shape;
    size_t hd = x->hd, wide = wide_of(hd), words = block_words(wide), readers = x->NH / x->NKV, blocks = dn_blocks(x->T, BLOCK);
    size_t first = j * BLOCK, keys = dn_min(x->T - first, BLOCK);
    size_t end = x->window > 0 ? dn_min(x->T, first + keys + x->window - 1) : x->T; /* of queries that see any */
    uint32_t *kt = room, *vt = kt + words, *k_across = vt + words, *p_across = k_across + 2 * words, *ds_across = p_across + BLOCK * BLOCK / 2,
             *ds_rows = ds_across + BLOCK * BLOCK / 2;
    dn_real *p = (dn_real *)(ds_rows + BLOCK * BLOCK / 2), *ds = p + BLOCK * BLOCK, *dk = ds + BLOCK * BLOCK, *dv = dk + BLOCK * wide,
            *dq = dv + BLOCK * wide, scale = (dn_real)(1 / sqrt((double)hd));
    one_head a = head_of(x, b, kv * readers);
    size_t at_kv = a.at_kv + first * a.ld;
    pack_rows_turned(vt, k_across, wide, g->v + at_kv, a.ld, keys, hd);
    pack_rows_turned(kt, k_across, wide, g->k + at_kv, a.ld, keys, hd);
    pack_across(k_across, wide, g->k + at_kv, a.ld, keys, hd);
    memset(dk, 0, 2 * BLOCK * wide * sizeof *dk);

    for (size_t h = kv * readers; h < (kv + 1) * readers; h++)
        for (size_t i = dn_blocks(end, BLOCK); i-- > j;) {
            size_t block = (b * x->NH + h) * blocks + i;
            unsigned before = (unsigned)(j - first_key(x, i * BLOCK) / BLOCK);
            const uint32_t *q = g->packed + 4 * block * words, *qt = q + words, *d_o = qt + words, *d_ot = d_o + words;
            a = head_of(x, b, h);
            for (size_t at = i * BLOCK, some; at < dn_min(x->T, (i + 1) * BLOCK); at += some) {
                some = i == j ? STRIP : BLOCK;
                size_t rows = dn_min(x->T - at, some), lanes = dn_min(BLOCK, at + some - first), in = at % BLOCK;
                multiply(some, lanes, wide / 2, q + in * wide / 2, wide / 2, kt, BLOCK, false, p, BLOCK);
                multiply(some, lanes, wide / 2, d_o + in * wide / 2, wide / 2, vt, BLOCK, false, ds, BLOCK);
                for (size_t row = 0; row < rows; row++) {
                    mask(p + row * BLOCK, at + row + 1 - first, lanes);
                    mask(p + row * BLOCK, 0, dn_min(dn_max(first_key(x, at + row), first) - first, lanes));
                }
                score_gradient(p, ds, scale_of(x), g->lse + a.at_lse + at, g->d + a.at_lse + at, scale, rows, lanes);
                memset(p + rows * BLOCK, 0, (some - rows) * BLOCK * sizeof *p);
                memset(ds + rows * BLOCK, 0, (some - rows) * BLOCK * sizeof *ds);
                pair_across(p_across, BLOCK, p, BLOCK, some, lanes);
                pair_across(ds_across, BLOCK, ds, BLOCK, some, lanes);
                for (size_t row = 0; row < some; row++)
                    pair_along(ds_rows + row * BLOCK / 2, TILE, ds + row * BLOCK, lanes);
                multiply(wide, lanes, some / 2, d_ot + in / 2, BLOCK / 2, p_across, BLOCK, true, dv, BLOCK);
                multiply(wide, lanes, some / 2, qt + in / 2, BLOCK / 2, ds_across, BLOCK, true, dk, BLOCK);
                bool whole = wide == hd && rows == some; /* then where it belongs */
                dn_real *to = whole ? g->dq + a.at + at * a.ld : dq;
                await_turn(g->added + block, before);
                multiply(some, wide, lanes / 2, ds_rows, BLOCK / 2, k_across, wide, whole && before > 0, to, whole ? a.ld : wide);
                if (!whole)
                    put_rows(g->dq + a.at + at * a.ld, a.ld, before > 0, dq, wide, rows, hd);
            }
            atomic_store_explicit(g->added + block, before + 1, memory_order_release);
        }
    put_turned(g->dk + at_kv, a.ld, dk, dq, wide, keys, hd);
    put_turned(g->dv + at_kv, a.ld, dv, dq, wide, keys, hd);
}

/* Block i of the queries of a head, and of d_o; and D of its rows. */
static void pack_queries(const backward *g, const dn_real *q, const dn_real *d_o, const dn_real *o, size_t number, size_t i, uint32_t *out,
                         uint32_t *room)
{
    const dn_attention_shape *x = g->shape;
    size_t at = i * BLOCK, rows = dn_min(x->T - at, BLOCK), wide = wide_of(x->hd), words = block_words(wide);
    one_head a = head_of(x, number / x->NH, number % x->NH);
    q += a.at + at * a.ld, d_o += a.at_o + at * a.ldo, o += a.at_o + at * a.ldo;
    pack_rows(out, wide, q, a.ld, rows, x->hd);
    pack_across_turned(out + words, room, wide, q, a.ld, rows, x->hd);
    pack_rows(out + 2 * words, wide, d_o, a.ldo, rows, x->hd);
    pack_across_turned(out + 3 * words, room, wide, d_o, a.ldo, rows, x->hd);
    for (size_t row = 0; row < rows; row++)
        g->d[a.at_lse + at + row] = dn_row_dot(d_o + row * a.ldo, o + row * a.ldo, x->hd);
}

static void mixed_backward(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o, const dn_buf *q, const dn_buf *k, const dn_buf *v,
                           const dn_buf *o, const dn_buf *lse, const dn_attention_shape *x)
{
    size_t heads = x->B * x->NH, blocks = dn_blocks(x->T, BLOCK), n_blocks = heads * blocks, n_threads = (size_t)s->n_threads;
    size_t words = 4 * block_words(wide_of(x->hd)), room = backward_room(wide_of(x->hd)), numbers = n_threads * room + n_blocks * words;
    uint32_t *rooms = dn_scratch(s, (numbers + heads * x->T) * sizeof *rooms + n_blocks * sizeof(atomic_uint));
    if (!rooms)
        return;
    uint32_t *packed = rooms + n_threads * room;
    backward g = {.shape = x,
                  .dq = dn_host(dq),
                  .dk = dn_host(dk),
                  .dv = dn_host(dv),
                  .k = dn_host(k),
                  .v = dn_host(v),
                  .lse = dn_host(lse),
                  .packed = packed,
                  .d = (dn_real *)(rooms + numbers),
                  .added = (atomic_uint *)(rooms + numbers + heads * x->T)};
    atomic_size_t taken = 0;
    memset(g.added, 0, n_blocks * sizeof *g.added);
#pragma omp parallel num_threads(s->n_threads)
    {
        uint32_t *own = rooms + (size_t)omp_get_thread_num() * room;
        begin_tiles();
#pragma omp for schedule(static)
        for (size_t i = 0; i < n_blocks; i++)
            pack_queries(&g, dn_host(q), dn_host(d_o), dn_host(o), i / blocks, i % blocks, packed + i * words, own);
        for (dn_cpu_task t; take(&taken, x->B * x->NKV, blocks, n_threads, &t);)
            backward_block(&g, t.head / x->NKV, t.head % x->NKV, t.part, own);
        end_tiles();
    }
}

void DN_CPU(mix_attention)(const dn_kernels *plain, dn_kernels *mixed)
{
    others = plain;
    mixed->attention_forward = mixed_forward;
    mixed->attention_backward = mixed_backward;
}
