/*
 * Causal attention in blocks of 64 queries by 64 keys: forward one (sequence, head) a task, backward one
 * (sequence, head of keys), whose query heads follow each other.
 *
 * The products of a block are small enough for OpenBLAS's kernels for small matrices (m n k <= 10^6, about
 * 95 % of peak where the general path with its packing reaches 65 %), and a block stays in L1. K and V are
 * transposed once per task, because those kernels want the right factor as k x n. Blocks above the diagonal
 * are never touched. Inside a parallel region OpenBLAS runs each product on the calling thread.
 *
 * A task's scratch:   K' [blocks][hd][64] | V' (backward) [blocks][hd][64] | scores: forward a panel
 * [blocks][64][64] of one query block against all its keys, backward one block of P and one of dS.
 *
 * The backward pass computes the scores again, P = exp(S - lse), and with D = rowsum(dO * O):
 * dV += P'dO, dS = P * (dO V' - D), dQ += dS K, dK += dS'Q. Mathematics: Dao et al., arXiv:2205.14135.
 */
#include "compute/cpu/blas.h"
#include "compute/cpu/vector_math.h"

#include <omp.h>
#include <string.h>

#define BLOCK ((size_t)64)
#define AREA  (BLOCK * BLOCK)

/* One head of one sequence, and the keys and values that it reads, n_blocks blocks of them. Rows of q and its
 * gradient are ld apart, of k and v and theirs ld_kv, rows of o and d_o ldo. */
typedef struct head {
    size_t T, keys, first, window, hd, ld, ld_kv, ldo, n_blocks;
    dn_real scale;
    bool adds;                      /* not the first of those that read the same keys */
    size_t at, at_kv, at_o, at_lse; /* where its elements start in q; k, v; o; lse */
} head;

static head head_of(const dn_attention_shape *shape, size_t b, size_t h)
{
    size_t ldo = shape->NH * shape->hd, row = b * shape->T * shape->ld, keys = shape->first + shape->T;
    size_t readers = shape->NH / shape->NKV, cached = (2 * b * shape->NKV + h / readers) * shape->room * shape->hd;
    return (head){.T = shape->T,
                  .keys = keys,
                  .first = shape->first,
                  .window = shape->window,
                  .hd = shape->hd,
                  .ld = shape->ld,
                  .ld_kv = shape->room ? shape->hd : shape->ld,
                  .ldo = ldo,
                  .n_blocks = dn_blocks(keys, BLOCK),
                  .scale = (dn_real)(1 / sqrt((double)shape->hd)),
                  .adds = h % readers > 0,
                  .at = row + h * shape->hd,
                  .at_kv = shape->room ? cached : row + h / readers * shape->hd,
                  .at_o = b * shape->T * ldo + h * shape->hd,
                  .at_lse = (b * shape->NH + h) * shape->T};
}

static size_t rows_of(const head *a, size_t block)
{
    return dn_min(a->T - block * BLOCK, BLOCK);
}

static size_t keys_of(const head *a, size_t block)
{
    return dn_min(a->keys - block * BLOCK, BLOCK);
}

/* The first block of keys that queries of block i see. */
static size_t seen_from(const head *a, size_t i)
{
    size_t position = a->first + i * BLOCK;
    return a->window > 0 && position >= a->window ? (position + 1 - a->window) / BLOCK : 0;
}

/* Behind the last one, which is seen in part. */
static size_t seen_by(const head *a, size_t i)
{
    return dn_blocks(a->first + i * BLOCK + rows_of(a, i), BLOCK);
}

/* c [m, n] = alpha op(a) b + beta c */
static void multiply(bool transpose, size_t m, size_t n, size_t k, dn_real alpha, const dn_real *a,
                     size_t lda, const dn_real *b, size_t ldb, dn_real beta, dn_real *c, size_t ldc)
{
    dn_cblas_gemm(CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, CblasNoTrans, (int)m, (int)n, (int)k,
                  alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

/* out [blocks][hd][BLOCK] = x' by blocks of rows; x [keys, hd]. */
static void transpose_blocks(const head *a, dn_real *restrict out, const dn_real *restrict x)
{
    for (size_t j = 0; j < a->keys; j++)
        for (size_t c = 0; c < a->hd; c++)
            out[(j / BLOCK * a->hd + c) * BLOCK + j % BLOCK] = x[j * a->ld_kv + c];
}

/* Keys after the query (and beyond the last) count as -infinity. */
static void mask_later(const head *a, dn_real *scores, size_t i, size_t j)
{
    size_t end = a->first + i * BLOCK + 1; /* of what the block's first query sees */
    for (size_t row = 0; row < rows_of(a, i); row++)
        for (size_t key = dn_max(end + row, j * BLOCK) - j * BLOCK; key < BLOCK; key++)
            scores[row * BLOCK + key] = -(dn_real)INFINITY;
}

/* Keys `window` and more before the query count as -infinity. */
static void mask_earlier(const head *a, dn_real *scores, size_t i, size_t j)
{
    size_t begin = a->first + i * BLOCK + 1; /* less window: of what the block's first query sees */
    for (size_t row = 0; row < rows_of(a, i); row++)
        for (size_t key = 0; key < BLOCK && j * BLOCK + key + a->window < begin + row; key++)
            scores[row * BLOCK + key] = -(dn_real)INFINITY;
}

/* scores [rows, BLOCK] of query block i against key block j. */
static void score_block(const head *a, dn_real *scores, const dn_real *q, const dn_real *kt, size_t i,
                        size_t j)
{
    multiply(false, rows_of(a, i), keys_of(a, j), a->hd, a->scale, q + i * BLOCK * a->ld, a->ld,
             kt + j * a->hd * BLOCK, BLOCK, 0, scores, BLOCK);
    if ((j + 1) * BLOCK > a->first + i * BLOCK + 1)
        mask_later(a, scores, i, j);
    if (a->window > 0)
        mask_earlier(a, scores, i, j);
}

/* scores = e^(scores - shift of the row) */
static void exp_block(dn_real *scores, const dn_real *shift, size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        dn_shift_row(scores + i * BLOCK, scores + i * BLOCK, shift[i], BLOCK);
    dn_exp_row(scores, rows * BLOCK);
}

/* panel [seen_by(i)][rows, BLOCK], from seen_from(i) on, = scores of query block i, then their exponentials less the row's maximum;
 * max, sum [rows] of each row. */
static void softmax_panel(const head *a, dn_real *panel, dn_real *max, dn_real *sum, const dn_real *q,
                          const dn_real *kt, size_t i)
{
    size_t rows = rows_of(a, i);
    for (size_t row = 0; row < rows; row++) {
        max[row] = -(dn_real)INFINITY;
        sum[row] = 0;
    }
    for (size_t j = seen_from(a, i); j < seen_by(a, i); j++) {
        score_block(a, panel + j * AREA, q, kt, i, j);
        for (size_t row = 0; row < rows; row++) {
            dn_real block_max = dn_row_max(panel + j * AREA + row * BLOCK, BLOCK);
            max[row] = block_max > max[row] ? block_max : max[row];
        }
    }
    for (size_t j = seen_from(a, i); j < seen_by(a, i); j++) {
        exp_block(panel + j * AREA, max, rows);
        for (size_t row = 0; row < rows; row++)
            sum[row] += dn_row_sum(panel + j * AREA + row * BLOCK, BLOCK);
    }
}

static void forward_head(const head *a, dn_real *scratch, dn_real *o, dn_real *lse, const dn_real *q,
                         const dn_real *k, const dn_real *v)
{
    dn_real *kt = scratch, *panel = kt + a->n_blocks * a->hd * BLOCK;
    dn_real max[BLOCK], sum[BLOCK];
    transpose_blocks(a, kt, k);
    for (size_t i = 0; i < dn_blocks(a->T, BLOCK); i++) {
        size_t rows = rows_of(a, i);
        dn_real *out = o + i * BLOCK * a->ldo;
        softmax_panel(a, panel, max, sum, q, kt, i);
        for (size_t j = seen_from(a, i); j < seen_by(a, i); j++)
            multiply(false, rows, a->hd, keys_of(a, j), 1, panel + j * AREA, BLOCK, v + j * BLOCK * a->ld_kv,
                     a->ld_kv, j > seen_from(a, i), out, a->ldo);
        for (size_t row = 0; row < rows; row++) {
            for (size_t c = 0; c < a->hd; c++)
                out[row * a->ldo + c] /= sum[row];
            lse[i * BLOCK + row] = (dn_real)((double)max[row] + log((double)sum[row]));
        }
    }
}

void DN_CPU(attention_forward)(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                               const dn_buf *v, const dn_attention_shape *shape)
{
    size_t slice = dn_blocks(shape->first + shape->T, BLOCK) * (shape->hd * BLOCK + AREA);
    dn_real *scratch = dn_scratch(s, (size_t)s->n_threads * slice * sizeof *scratch);
    if (!scratch)
        return;
#pragma omp parallel for schedule(dynamic) num_threads(s->n_threads)
    for (size_t task = 0; task < shape->B * shape->NH; task++) {
        head a = head_of(shape, task / shape->NH, task % shape->NH);
        forward_head(&a, scratch + (size_t)omp_get_thread_num() * slice, dn_host(o) + a.at_o,
                     dn_host(lse) + a.at_lse, dn_host(q) + a.at, dn_host(k) + a.at_kv, dn_host(v) + a.at_kv);
    }
}

typedef struct gradients {
    dn_real *dq, *dk, *dv;
    const dn_real *d_o, *q, *k, *v, *o, *lse;
} gradients;

/* ds = p * (dp - d of the row), in place of dp */
static void score_gradient(dn_real *restrict dp, const dn_real *restrict p, const dn_real *restrict d,
                           size_t rows)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < BLOCK; j++)
            dp[i * BLOCK + j] = p[i * BLOCK + j] * (dp[i * BLOCK + j] - d[i]);
}

/* What queries of block i and keys of block j <= i owe each other. */
static void backward_block(const head *a, const gradients *g, const dn_real *kt, const dn_real *vt,
                           dn_real *p, dn_real *ds, const dn_real *d, size_t i, size_t j)
{
    size_t rows = rows_of(a, i), keys = rows_of(a, j);
    size_t row_at = i * BLOCK * a->ld, key_at = j * BLOCK * a->ld;
    const dn_real *d_o = g->d_o + i * BLOCK * a->ldo;
    dn_real add = i > j || a->adds; /* the diagonal block is a key block's first */
    score_block(a, p, g->q, kt, i, j);
    exp_block(p, g->lse + i * BLOCK, rows);
    multiply(true, keys, a->hd, rows, 1, p, BLOCK, d_o, a->ldo, add, g->dv + key_at, a->ld);
    multiply(false, rows, keys, a->hd, 1, d_o, a->ldo, vt + j * a->hd * BLOCK, BLOCK, 0, ds, BLOCK);
    score_gradient(ds, p, d, rows);
    multiply(false, rows, a->hd, keys, a->scale, ds, BLOCK, g->k + key_at, a->ld, j > seen_from(a, i), g->dq + row_at,
             a->ld);
    multiply(true, keys, a->hd, rows, a->scale, ds, BLOCK, g->q + row_at, a->ld, add, g->dk + key_at, a->ld);
}

static void backward_head(const head *a, dn_real *scratch, const gradients *g)
{
    size_t transposed = a->n_blocks * a->hd * BLOCK;
    dn_real *kt = scratch, *vt = kt + transposed, *p = vt + transposed, *ds = p + AREA;
    dn_real d[BLOCK];
    if (!a->adds) {
        transpose_blocks(a, kt, g->k);
        transpose_blocks(a, vt, g->v);
    }
    for (size_t i = 0; i < a->n_blocks; i++) {
        for (size_t row = i * BLOCK; row < i * BLOCK + rows_of(a, i); row++)
            d[row % BLOCK] = dn_row_dot(g->d_o + row * a->ldo, g->o + row * a->ldo, a->hd);
        for (size_t j = seen_from(a, i); j <= i; j++)
            backward_block(a, g, kt, vt, p, ds, d, i, j);
    }
}

void DN_CPU(attention_backward)(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                                const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                                const dn_buf *lse, const dn_attention_shape *shape)
{
    size_t slice = 2 * (dn_blocks(shape->T, BLOCK) * shape->hd * BLOCK + AREA);
    dn_real *scratch = dn_scratch(s, (size_t)s->n_threads * slice * sizeof *scratch);
    if (!scratch)
        return;
#pragma omp parallel for schedule(dynamic) num_threads(s->n_threads)
    for (size_t task = 0; task < shape->B * shape->NKV; task++)
        for (size_t reader = 0; reader < shape->NH / shape->NKV; reader++) {
            head a = head_of(shape, task / shape->NKV, task % shape->NKV * (shape->NH / shape->NKV) + reader);
            gradients g = {dn_host(dq) + a.at,    dn_host(dk) + a.at_kv, dn_host(dv) + a.at_kv,
                           dn_host(d_o) + a.at_o, dn_host(q) + a.at,     dn_host(k) + a.at_kv,
                           dn_host(v) + a.at_kv,  dn_host(o) + a.at_o,   dn_host(lse) + a.at_lse};
            backward_head(&a, scratch + (size_t)omp_get_thread_num() * slice, &g);
        }
}
