/*
 * The GPT: its memory, and whole passes over a micro-batch.
 *
 * One allocation, in this order (N = B*T; heads, W = heads * hd, hidden, words: this rank's share; every part
 * starts on a multiple of DN_ARENA_ALIGN):
 *
 *     tokens, targets [N] | y [N,C] rstd [N] | wide [N, max(hidden,3W)] | logits [logits_rows,words]
 *     | block 0: y1 [N,C] rstd1 [N] qkv [N,3W] q_rstd, k_rstd [N,heads] o [N,W] lse [B,heads,T]
 *     |          y2 [N,C] rstd2 [N] a [N,hidden]
 *     | block 1 ... | block L-1 | what is exchanged: x [N,C] | dy [N,C]
 *
 * With several ranks in tp, what is exchanged lies in symmetric memory instead: x [N,C] | dy [N,C] | parts of
 * the cross-entropy, twice [logits_rows,3].
 *
 * Forward, x is the residual stream; when the head has its normalized copy y, x is free and becomes the
 * residual stream's gradient. dy and wide are gradients on their way through a layer.
 */
#include "nn/gpt.h"

#include "base/fail.h"
#include "base/size.h"
#include "nn/gpt_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static dn_buf *take(dn_arena *arena, size_t elements)
{
    return dn_arena_take(arena, dn_size_mul(elements, sizeof(dn_real)));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void lay_shared(dn_gpt *gpt, dn_arena *arena)
{
    size_t N = gpt->B * gpt->spec.T, C = gpt->spec.C;
    gpt->tokens = dn_arena_take(arena, N * sizeof(int32_t));
    gpt->targets = dn_arena_take(arena, N * sizeof(int32_t));
    gpt->y = take(arena, N * C);
    gpt->rstd = take(arena, N);
    gpt->wide = take(arena, N * larger(gpt->share.hidden, 3 * gpt->share.W));
    gpt->logits = take(arena, gpt->logits_rows * gpt->share.words.n);
}

static void lay_block(dn_gpt_block *block, const dn_gpt *gpt, dn_arena *arena)
{
    const dn_gpt_share *share = &gpt->share;
    size_t N = gpt->B * gpt->spec.T, C = gpt->spec.C;
    block->y1 = take(arena, N * C);
    block->rstd1 = take(arena, N);
    block->qkv = take(arena, N * 3 * share->W);
    block->q_rstd = take(arena, N * share->heads);
    block->k_rstd = take(arena, N * share->heads);
    block->o = take(arena, N * share->W);
    block->lse = take(arena, N * share->heads);
    block->y2 = take(arena, N * C);
    block->rstd2 = take(arena, N);
    block->a = take(arena, N * share->hidden);
}

static void lay_exchanged(dn_gpt *gpt, int tp_size, dn_arena *arena)
{
    size_t N = gpt->B * gpt->spec.T, C = gpt->spec.C;
    gpt->x = take(arena, N * C);
    gpt->dy = take(arena, N * C);
    for (size_t i = 0; i < 2 && tp_size > 1; i++)
        gpt->parts[i] = take(arena, 3 * gpt->logits_rows);
}

/* A share as dn_gpt_layout cuts it. */
static dn_gpt_share share_of(const dn_spec *spec, int tp_size, int rank)
{
    size_t hd = spec->C / spec->NH;
    dn_range columns = dn_part(spec->C, hd, tp_size, rank), hidden = dn_part(4 * spec->C, 1, tp_size, rank);
    size_t W = columns.end - columns.first;
    return (dn_gpt_share){W / hd, W, hidden.end - hidden.first, dn_gpt_words(spec, tp_size, rank)};
}

static dn_gpt describe(const dn_spec *spec, size_t B, int tp_size, int rank)
{
    return (dn_gpt){.spec = *spec,
                    .share = share_of(spec, tp_size, rank),
                    .B = B,
                    .logits_rows = dn_gpt_head_rows(spec, tp_size, B * spec->T)};
}

static size_t private_bytes(dn_gpt described, int tp_size)
{
    dn_gpt_block block;
    dn_arena arena = {0};
    lay_shared(&described, &arena);
    for (size_t l = 0; l < described.spec.L; l++)
        lay_block(&block, &described, &arena);
    if (tp_size == 1)
        lay_exchanged(&described, tp_size, &arena);
    return arena.used;
}

size_t dn_gpt_activation_bytes(const dn_spec *spec, size_t B, int tp_size)
{
    return private_bytes(describe(spec, B, tp_size, 0), tp_size);
}

size_t dn_gpt_heap_bytes(const dn_spec *spec, size_t B, int tp_size)
{
    dn_gpt described = describe(spec, B, tp_size, 0);
    dn_arena arena = {0};
    if (tp_size > 1)
        lay_exchanged(&described, tp_size, &arena);
    return arena.used;
}

static void lay_all(dn_gpt *gpt)
{
    dn_arena arena = {.base = gpt->memory, .capacity = gpt->memory_bytes};
    lay_shared(gpt, &arena);
    for (size_t l = 0; l < gpt->spec.L; l++) {
        gpt->blocks[l].first_param = 1 + DN_BLOCK_N_PARAMS * l;
        lay_block(&gpt->blocks[l], gpt, &arena);
    }
    int tp_size = dn_comm_size(gpt->tp);
    dn_arena exchange = {.base = gpt->exchange, .capacity = dn_gpt_heap_bytes(&gpt->spec, gpt->B, tp_size)};
    lay_exchanged(gpt, tp_size, gpt->exchange ? &exchange : &arena);
    assert(arena.used == arena.capacity);
}

static dn_status allocate(dn_gpt *gpt)
{
    size_t size = (size_t)dn_comm_size(gpt->tp);
    gpt->all_parts = calloc(size, sizeof *gpt->all_parts);
    if (!gpt->all_parts)
        return dn_fail(DN_ERR_MEMORY, "no memory for a table of %zu ranks", size);
    dn_status status = dn_device_alloc(gpt->stream, gpt->memory_bytes, &gpt->memory);
    if (status == DN_ERR_MEMORY)
        return dn_fail(status,
                       "activations of %zu sequences of %zu tokens (device_batch_size, sequence_length): %s",
                       gpt->B, gpt->spec.T, dn_error_message());
    return status;
}

dn_status dn_gpt_create(const dn_spec *spec, size_t B, const dn_param *params, dn_weights *weights,
                        dn_comm *tp, void *exchange, dn_stream *stream, dn_gpt **out)
{
    assert((dn_comm_size(tp) > 1) == (exchange != NULL));
    dn_gpt *gpt = calloc(1, sizeof *gpt + spec->L * sizeof *gpt->blocks);
    if (!gpt)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe a model of %zu layers", spec->L);
    *gpt = describe(spec, B, dn_comm_size(tp), dn_comm_rank(tp));
    assert(params[1 + DN_BLOCK_Q].block.rows == gpt->share.W);
    assert(params[1 + DN_BLOCK_FC].block.rows == gpt->share.hidden);
    assert(params[0].block.rows == gpt->share.words.n);
    gpt->weights = weights;
    gpt->tp = tp;
    gpt->exchange = exchange;
    gpt->stream = stream;
    gpt->memory_bytes = private_bytes(*gpt, dn_comm_size(tp));
    dn_status status = allocate(gpt);
    if (status != DN_OK) {
        free(gpt->all_parts);
        free(gpt);
        return status;
    }
    lay_all(gpt);
    *out = gpt;
    return DN_OK;
}

void dn_gpt_destroy(dn_gpt **gpt)
{
    if (!*gpt)
        return;
    dn_device_free((*gpt)->stream, (*gpt)->memory, (*gpt)->memory_bytes);
    free((*gpt)->all_parts);
    free(*gpt);
    *gpt = NULL;
}

void dn_gpt_on_progress(dn_gpt *gpt, dn_progress_fn *progress, void *context)
{
    gpt->progress = progress;
    gpt->progress_context = context;
}

/* A token outside the vocabulary would read and write past the embedding. */
static dn_status check_tokens(const dn_gpt *gpt, const char *what, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (size_t)tokens[i] >= gpt->spec.V)
            return dn_fail(DN_ERR_DATA,
                           "%s %" PRId32 " at position %zu of the micro-batch is not below vocab_size %zu: "
                           "use the tokenizer that the model was made for",
                           what, tokens[i], i, gpt->spec.V);
    return DN_OK;
}

static void count_own_rows(dn_gpt *gpt, const int32_t *tokens, size_t n)
{
    gpt->own_rows = 0;
    for (size_t i = 0; i < n; i++)
        gpt->own_rows += (size_t)tokens[i] - gpt->share.words.first < gpt->share.words.n;
}

static dn_status upload_batch(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B)
{
    size_t N = B * gpt->spec.T;
    if (B > gpt->B)
        return dn_fail(DN_ERR_ARG, "micro-batch of %zu sequences for a model with room for %zu", B, gpt->B);
    DN_TRY(check_tokens(gpt, "token", tokens, N));
    DN_TRY(check_tokens(gpt, "target", targets, N));
    count_own_rows(gpt, tokens, N);
    dn_upload_ids(gpt->stream, gpt->tokens, tokens, N);
    dn_upload_ids(gpt->stream, gpt->targets, targets, N);
    return DN_OK;
}

/* x = the embedded tokens. */
static dn_status embed(dn_gpt *gpt, size_t N)
{
    dn_stream *s = gpt->stream;
    DN_TRY(dn_weights_open(gpt->weights, 0, false));
    const dn_weight *wte = dn_weights_of(gpt->weights, 0);
    for (size_t i = 0; i < wte->n_pieces; i++) {
        const dn_piece *p = &wte->pieces[i];
        s->kernels->embed_forward(s, dn_at(gpt->x, p->col0), gpt->spec.C, p->weight, gpt->tokens,
                                  &gpt->share.words, N, p->cols);
    }
    DN_TRY(dn_weights_close(gpt->weights, 0, false));
    return dn_gpt_share_rows(gpt, N);
}

/* x, the gradient of the embedded tokens, to that of the embedding: each rank adds to its own words. */
static dn_status embed_backward(dn_gpt *gpt, size_t N)
{
    dn_stream *s = gpt->stream;
    DN_TRY(dn_weights_open(gpt->weights, 0, true));
    const dn_weight *wte = dn_weights_of(gpt->weights, 0);
    for (size_t i = 0; i < wte->n_pieces; i++) {
        const dn_piece *p = &wte->pieces[i];
        s->kernels->embed_backward(s, p->grad, dn_at(gpt->x, p->col0), gpt->spec.C, gpt->tokens,
                                   &gpt->share.words, N, p->cols);
    }
    return dn_weights_close(gpt->weights, 0, true);
}

/* Tokens to y, the normalized input of the head. */
static dn_status trunk_forward(dn_gpt *gpt, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T;
    DN_TRY(embed(gpt, N));
    for (size_t l = 0; l < gpt->spec.L; l++) {
        DN_TRY(dn_gpt_block_forward(gpt, l, B, T));
        DN_TRY(dn_gpt_progress(gpt, true));
    }
    s->kernels->rmsnorm_forward(s, gpt->y, gpt->rstd, gpt->x, N, gpt->spec.C);
    return DN_OK;
}

/* dy, the gradient of y, to the gradients of all parameters below the head. */
static dn_status trunk_backward(dn_gpt *gpt, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T, C = gpt->spec.C;
    s->kernels->fill(s, gpt->x, N * C, 0);
    s->kernels->rmsnorm_backward(s, gpt->x, gpt->dy, gpt->y, gpt->rstd, N, C);
    for (size_t l = gpt->spec.L; l-- > 0;) {
        DN_TRY(dn_gpt_block_backward(gpt, l, B, T));
        DN_TRY(dn_gpt_progress(gpt, true));
    }
    return embed_backward(gpt, N);
}

static dn_status finish(dn_gpt *gpt, double *loss_sum)
{
    DN_TRY(dn_stream_sync(gpt->stream));
    *loss_sum += gpt->loss;
    return DN_OK;
}

dn_status dn_gpt_train(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B, double scale,
                       double *loss_sum)
{
    if (scale == 0)
        return dn_fail(DN_ERR_ARG, "the gradient's scale is 0: use dn_gpt_loss for a loss without gradient");
    DN_TRY(upload_batch(gpt, tokens, targets, B));
    gpt->loss = 0;
    DN_TRY(trunk_forward(gpt, B, gpt->spec.T));
    DN_TRY(dn_gpt_head_train(gpt, B * gpt->spec.T, scale));
    DN_TRY(trunk_backward(gpt, B, gpt->spec.T));
    return finish(gpt, loss_sum);
}

dn_status dn_gpt_loss(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B, double *loss_sum)
{
    DN_TRY(upload_batch(gpt, tokens, targets, B));
    gpt->loss = 0;
    DN_TRY(trunk_forward(gpt, B, gpt->spec.T));
    DN_TRY(dn_gpt_head_loss(gpt, B * gpt->spec.T));
    return finish(gpt, loss_sum);
}

dn_status dn_gpt_next(dn_gpt *gpt, const int32_t *tokens, size_t n, dn_real *logits)
{
    if (n < 1 || n > gpt->spec.T)
        return dn_fail(DN_ERR_ARG, "a prompt of %zu tokens: the model takes 1 to %zu", n, gpt->spec.T);
    if (dn_gpt_cut(gpt))
        return dn_fail(DN_ERR_ARG, "logits of a model cut over %d ranks: load it with tp_size 1",
                       dn_comm_size(gpt->tp));
    DN_TRY(check_tokens(gpt, "token", tokens, n));
    dn_upload_ids(gpt->stream, gpt->tokens, tokens, n);
    DN_TRY(trunk_forward(gpt, 1, n));
    DN_TRY(dn_gpt_head_row(gpt, n));
    dn_download(gpt->stream, logits, gpt->logits, gpt->spec.V);
    return dn_stream_sync(gpt->stream);
}
