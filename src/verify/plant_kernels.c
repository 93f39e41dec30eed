/* Planted bugs that are a wrong call of a kernel. */
#include "verify/plant.h"

#include "base/size.h"

#include <math.h>

enum { AT_ONCE = 64 }; /* items of a batch whose descriptions are copied */

static const dn_planted_kernels *planted(const dn_stream *s)
{
    return (const dn_planted_kernels *)s->kernels;
}

static const dn_plant_tensor *find(const dn_plant_list *list, const void *at)
{
    for (size_t i = 0; i < list->n; i++) {
        const char *first = list->tensors[i].data;
        if ((const char *)at >= first && (const char *)at < first + list->tensors[i].bytes)
            return &list->tensors[i];
    }
    return NULL;
}

/* What was queued has been done, with arguments that are the wrapper's. A failure stays with the stream. */
static void finish(dn_stream *s)
{
    dn_status status = dn_stream_sync(s);
    (void)status;
}

/* ---- products: each as `change` makes it, or not at all ---- */

typedef bool change_fn(const dn_plant *plant, dn_product *product);

static void multiply_changed(dn_stream *s, const dn_product *products, size_t n, change_fn *change)
{
    for (size_t first = 0; first < n; first += AT_ONCE) {
        dn_product changed[AT_ONCE];
        size_t n_changed = 0;
        for (size_t i = first; i < dn_min(n, first + AT_ONCE); i++) {
            changed[n_changed] = products[i];
            n_changed += change(planted(s)->plant, &changed[n_changed]);
        }
        planted(s)->real->gemm_many(s, changed, n_changed);
        finish(s);
    }
}

/* The share of one of dp replicas becomes all of it. */
static bool do_not_divide(const dn_plant *plant, dn_product *product)
{
    int n_replicas = plant->mesh->size[DN_DP];
    if (n_replicas > 1 && product->alpha * n_replicas == 1)
        product->alpha = 1;
    return true;
}

static void add_factors_undivided(dn_stream *s, const dn_product *products, size_t n)
{
    multiply_changed(s, products, n, do_not_divide);
}

/* An update's sqrt(rows/cols) is taken of the part that is updated. */
static bool scale_by_own_shape(const dn_plant *plant, dn_product *product)
{
    const dn_plant_tensor *whole = find(&plant->memory.weights, product->c);
    if (whole && product->m > 0 && product->n > 0)
        product->alpha *=
            sqrt((double)product->m / (double)product->n * (double)whole->cols / (double)whole->rows);
    return true;
}

static void update_by_own_shape(dn_stream *s, const dn_product *products, size_t n)
{
    multiply_changed(s, products, n, scale_by_own_shape);
}

/* A sum of no terms is not set to zero: what was there, the basis of the step before where R should be, stays
 * as it does for a matrix that is zero. */
static bool has_terms(const dn_plant *plant, dn_product *product)
{
    return product->k > 0;
}

static void leave_empty_products(dn_stream *s, const dn_product *products, size_t n)
{
    multiply_changed(s, products, n, has_terms);
}

/* ---- bands: all but the first are read from their second row on ---- */

typedef void bands_fn(dn_stream *s, const dn_row_block *bands, size_t n);

static void read_one_row_off(dn_stream *s, const dn_row_block *bands, size_t n, bands_fn *real)
{
    for (size_t first = 0; first < n; first += AT_ONCE) {
        dn_row_block off[AT_ONCE];
        size_t n_off = dn_min(n - first, (size_t)AT_ONCE);
        for (size_t i = 0; i < n_off; i++) {
            off[i] = bands[first + i];
            if (off[i].row0 == 0 || off[i].rows == 0)
                continue;
            off[i].p = dn_at(off[i].p, off[i].r);
            off[i].rows--;
        }
        real(s, off, n_off);
        finish(s);
    }
}

static void gram_one_row_off(dn_stream *s, const dn_row_block *bands, size_t n)
{
    read_one_row_off(s, bands, n, planted(s)->real->gram);
}

static void sketch_one_row_off(dn_stream *s, const dn_row_block *bands, size_t n)
{
    read_one_row_off(s, bands, n, planted(s)->real->sketch);
}

/* ---- Q: the last rank's is not stored ---- */

static bool stays_old(const dn_stream *s, const void *at)
{
    const dn_plant *plant = planted(s)->plant;
    const dn_comm *all = plant->mesh->all;
    return dn_comm_rank(all) == dn_comm_size(all) - 1 && find(&plant->memory.bases, at);
}

static void copy_but_to_q(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    if (!stays_old(s, y))
        planted(s)->real->copy(s, y, x, n);
}

static void fill_but_q(dn_stream *s, dn_buf *x, size_t n, double value)
{
    if (!stays_old(s, x))
        planted(s)->real->fill(s, x, n, value);
}

static void add_columns_but_to_q(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y,
                                 size_t k, size_t rows, size_t cols)
{
    if (!stays_old(s, x))
        planted(s)->real->add_columns(s, x, host_ids, a, y, k, rows, cols);
}

static void narrow_but_to_q(dn_stream *s, dn_bf16 *y, const dn_buf *x, size_t n)
{
    if (!stays_old(s, y))
        planted(s)->real->to_bf16(s, y, x, n);
}

/* ---- heads: where tp cuts them, those of k start half a head late ---- */

static const dn_buf *cut_off(const dn_stream *s, const dn_buf *k, const dn_attention_shape *shape)
{
    bool cut = planted(s)->plant->mesh->size[DN_TP] > 1 && shape->NH > 0;
    return dn_at(k, cut ? shape->hd / 2 : 0);
}

static void attend_half_a_head_off(dn_stream *s, dn_buf *o, dn_buf *lse, const dn_buf *q, const dn_buf *k,
                                   const dn_buf *v, const dn_attention_shape *shape)
{
    planted(s)->real->attention_forward(s, o, lse, q, cut_off(s, k, shape), v, shape);
}

static void attend_back_half_a_head_off(dn_stream *s, dn_buf *dq, dn_buf *dk, dn_buf *dv, const dn_buf *d_o,
                                        const dn_buf *q, const dn_buf *k, const dn_buf *v, const dn_buf *o,
                                        const dn_buf *lse, const dn_attention_shape *shape)
{
    planted(s)->real->attention_backward(s, dq, dk, dv, d_o, q, cut_off(s, k, shape), v, o, lse, shape);
}

/* ---- vocabulary: all parts but the first start one row late ---- */

static dn_vocab_shard one_off(const dn_vocab_shard *words)
{
    return (dn_vocab_shard){words->first + (words->first > 0), words->n};
}

static void embed_one_off(dn_stream *s, dn_buf *x, size_t ld, const dn_buf *wte, double scale, const dn_ids *tokens,
                          const dn_vocab_shard *words, size_t N, size_t C)
{
    dn_vocab_shard off = one_off(words);
    planted(s)->real->embed_forward(s, x, ld, wte, scale, tokens, &off, N, C);
    finish(s);
}

static void embed_back_one_off(dn_stream *s, dn_buf *dwte, const dn_buf *dx, size_t ld, double scale, const dn_ids *tokens,
                               const dn_vocab_shard *words, size_t N, size_t C)
{
    dn_vocab_shard off = one_off(words);
    planted(s)->real->embed_backward(s, dwte, dx, ld, scale, tokens, &off, N, C);
    finish(s);
}

static void copy_rows_one_off(dn_stream *s, dn_buf *x, const dn_buf *y, const dn_ids *tokens,
                              const dn_vocab_shard *words, size_t N, size_t C)
{
    dn_vocab_shard off = one_off(words);
    planted(s)->real->copy_rows(s, x, y, tokens, &off, N, C);
    finish(s);
}

static void cross_entropy_one_off(dn_stream *s, dn_buf *part, dn_buf *logits, const dn_ids *targets,
                                  const dn_vocab_shard *words, size_t N)
{
    dn_vocab_shard off = one_off(words);
    planted(s)->real->cross_entropy_part(s, part, logits, targets, &off, N);
    finish(s);
}

static void join_one_off(dn_stream *s, double *host_loss, dn_buf *logits, const dn_buf *const *host_parts,
                         size_t n_parts, size_t own, const dn_ids *targets, const dn_vocab_shard *words,
                         size_t N, double scale)
{
    dn_vocab_shard off = one_off(words);
    planted(s)->real->cross_entropy_join(s, host_loss, logits, host_parts, n_parts, own, targets, &off, N,
                                         scale);
    finish(s);
}

/* ---- Q: all ranks' is too long. P = orth(M Q) does not depend on how long columns are, so no step shows it. ---- */

static void copy_longer_to_q(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    if (find(&planted(s)->plant->memory.bases, y))
        planted(s)->real->scale(s, y, 2, x, n);
    else
        planted(s)->real->copy(s, y, x, n);
}

static void add_columns_longer_to_q(dn_stream *s, dn_buf *x, const int32_t *host_ids, double a, const dn_buf *y, size_t k,
                                    size_t rows, size_t cols)
{
    bool to_q = find(&planted(s)->plant->memory.bases, x) != NULL;
    planted(s)->real->add_columns(s, x, host_ids, to_q ? 2 * a : a, y, k, rows, cols);
}

/* ---- what replicas owe ---- */

static bool is_owed(const dn_stream *s, const void *at)
{
    return find(&planted(s)->plant->memory.residuals, at);
}

/* Something new is added to what is owed, or that to something: it counts nothing. */
static void forget_what_is_owed(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n)
{
    planted(s)->real->axpby(s, y, is_owed(s, x) ? 0 : a, x, a > 0 && is_owed(s, y) ? 0 : b, n);
}

static void owe_what_is_taken(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n)
{
    if (a > 0 || !is_owed(s, y))
        planted(s)->real->axpby(s, y, a, x, b, n);
}

static void owe_entries(dn_stream *s, dn_buf *y, double a, const dn_bytes *indices, const dn_buf *values,
                        const dn_tiling *tiling, size_t k)
{
    if (!is_owed(s, y))
        planted(s)->real->add_entries(s, y, a, indices, values, tiling, k);
}

static void owe_rows(dn_stream *s, dn_buf *out, dn_buf *x, const int32_t *host_ids, size_t k, size_t cols, double keep)
{
    planted(s)->real->take_rows(s, out, x, host_ids, k, cols, is_owed(s, x) ? 1 : keep);
}

static void owe_what_is_above(dn_stream *s, uint64_t *host, dn_buf *q, dn_buf *x, size_t n, double tau)
{
    planted(s)->real->split_above(s, host, q, x, n, tau);
    planted(s)->real->axpby(s, x, 1, q, 1, n);
}

/* ---- what crosses between stages ---- */

/* By the entries of the next position. */
static void take_by_others(dn_stream *s, dn_buf *values, const dn_buf *x, const dn_bytes *indices, const dn_tiling *tiling, size_t k)
{
    dn_tiling but_the_last = *tiling;
    planted(s)->real->take_entries(s, values, x, indices, tiling, k);
    but_the_last.rows -= but_the_last.rows > 0;
    planted(s)->real->take_entries(s, values, x, dn_bytes_at(indices, k * dn_index_bytes(tiling)), &but_the_last, k);
}

/* ---- where replicas set out from ---- */

static bool is_anchor(const dn_stream *s, const void *at)
{
    return find(&planted(s)->plant->memory.anchors, at);
}

static void copy_but_to_anchor(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    if (!is_anchor(s, y))
        planted(s)->real->copy(s, y, x, n);
}

static void add_but_to_anchor(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n)
{
    if (!is_anchor(s, y))
        planted(s)->real->axpby(s, y, a, x, b, n);
}

static void divide_by_all(dn_stream *s, dn_buf *x, const dn_buf *counts, size_t n)
{
    planted(s)->real->scale(s, x, 1. / planted(s)->plant->mesh->size[DN_DP], x, n);
}

void dn_plant_in_kernels(dn_bug bug, dn_kernels *table)
{
    switch (bug) {
    case DN_BUG_SUM_FOR_AVERAGE:
        table->gemm_many = add_factors_undivided;
        break;
    case DN_BUG_LOCAL_FAN_OUT:
        table->gemm_many = update_by_own_shape;
        break;
    case DN_BUG_LOCAL_ZERO_GUARD:
        table->gemm_many = leave_empty_products;
        break;
    case DN_BUG_WRONG_BAND_OFFSET:
        table->gram = gram_one_row_off;
        table->sketch = sketch_one_row_off;
        break;
    case DN_BUG_STALE_Q:
        table->copy = copy_but_to_q;
        table->fill = fill_but_q;
        table->add_columns = add_columns_but_to_q;
        table->to_bf16 = narrow_but_to_q;
        break;
    case DN_BUG_LONG_Q:
        table->copy = copy_longer_to_q;
        table->add_columns = add_columns_longer_to_q;
        break;
    case DN_BUG_WRONG_HEAD_SPLIT:
        table->attention_forward = attend_half_a_head_off;
        table->attention_backward = attend_back_half_a_head_off;
        break;
    case DN_BUG_WRONG_VOCAB_OFFSET:
        table->embed_forward = embed_one_off;
        table->embed_backward = embed_back_one_off;
        table->copy_rows = copy_rows_one_off;
        table->cross_entropy_part = cross_entropy_one_off;
        table->cross_entropy_join = join_one_off;
        break;
    case DN_BUG_SKIP_FEEDBACK:
        table->axpby = forget_what_is_owed;
        break;
    case DN_BUG_OWN_NOT_SUBTRACTED:
        table->axpby = owe_what_is_taken;
        table->add_entries = owe_entries;
        table->take_rows = owe_rows;
        table->split_above = owe_what_is_above;
        break;
    case DN_BUG_OTHER_MASK_BACKWARD:
        table->take_entries = take_by_others;
        break;
    case DN_BUG_MEAN_FOR_SENDERS:
        table->divide_counts = divide_by_all;
        break;
    case DN_BUG_STALE_ANCHOR:
        table->copy = copy_but_to_anchor;
        table->axpby = add_but_to_anchor;
        break;
    default:
        break;
    }
}
