/*
 * The GPT: its memory, and whole passes over a micro-batch.
 *
 * One allocation, in this order (N = B*T; every part starts on a multiple of DN_ARENA_ALIGN):
 *
 *     tokens, targets [N] | x [N,C] | y [N,C] rstd [N] | dy [N,C] | wide [N,4C] | logits [logits_rows,V]
 *     | block 0: y1 [N,C] rstd1 [N] qkv [N,3C] q_rstd, k_rstd [N,NH] o [N,C] lse [B,NH,T]
 *     |          y2 [N,C] rstd2 [N] a [N,4C]
 *     | block 1 ... | block L-1 |
 *
 * Forward, x is the residual stream; when the head has its normalized copy y, x is free and becomes the
 * residual stream's gradient. dy and wide are gradients on their way through a layer.
 */
#include "nn/gpt.h"

#include "base/fail.h"
#include "compute/kernels.h"
#include "nn/gpt_parts.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

static dn_buf *take(dn_arena *arena, size_t elements)
{
    return dn_arena_take(arena, elements * sizeof(dn_real));
}

static void lay_shared(dn_gpt *gpt, dn_arena *arena)
{
    size_t N = gpt->B * gpt->shape.T, C = gpt->shape.C;
    gpt->tokens = dn_arena_take(arena, N * sizeof(int32_t));
    gpt->targets = dn_arena_take(arena, N * sizeof(int32_t));
    gpt->x = take(arena, N * C);
    gpt->y = take(arena, N * C);
    gpt->rstd = take(arena, N);
    gpt->dy = take(arena, N * C);
    gpt->wide = take(arena, N * 4 * C);
    gpt->logits_rows = dn_gpt_head_rows(&gpt->shape, N);
    gpt->logits = take(arena, gpt->logits_rows * gpt->shape.V);
}

static void lay_block(dn_gpt_block *block, const dn_gpt_shape *shape, size_t B, dn_arena *arena)
{
    size_t N = B * shape->T, C = shape->C, NH = shape->NH;
    block->y1 = take(arena, N * C);
    block->rstd1 = take(arena, N);
    block->qkv = take(arena, N * 3 * C);
    block->q_rstd = take(arena, N * NH);
    block->k_rstd = take(arena, N * NH);
    block->o = take(arena, N * C);
    block->lse = take(arena, N * NH);
    block->y2 = take(arena, N * C);
    block->rstd2 = take(arena, N);
    block->a = take(arena, N * 4 * C);
}

size_t dn_gpt_activation_bytes(const dn_gpt_shape *shape, size_t B)
{
    dn_gpt measured = {.shape = *shape, .B = B};
    dn_gpt_block block;
    dn_arena arena = {0};
    lay_shared(&measured, &arena);
    for (size_t l = 0; l < shape->L; l++)
        lay_block(&block, shape, B, &arena);
    return arena.used;
}

static void lay_all(dn_gpt *gpt)
{
    dn_arena arena = {.base = gpt->memory, .capacity = gpt->memory_bytes};
    lay_shared(gpt, &arena);
    for (size_t l = 0; l < gpt->shape.L; l++) {
        gpt->blocks[l].params = gpt->params + 1 + DN_BLOCK_N_PARAMS * l;
        lay_block(&gpt->blocks[l], &gpt->shape, gpt->B, &arena);
    }
    assert(arena.used == arena.capacity);
}

dn_status dn_gpt_create(const dn_gpt_shape *shape, size_t B, const dn_param *params, dn_stream *stream,
                        dn_gpt **out)
{
    DN_TRY(dn_gpt_check(shape));
    if (B < 1 || B > INT32_MAX / shape->T)
        return dn_fail(DN_ERR_CONFIG,
                       "device_batch_size is %zu: with sequence_length %zu it must be from 1 to %zu", B,
                       shape->T, INT32_MAX / shape->T);
    dn_gpt *gpt = calloc(1, sizeof *gpt + shape->L * sizeof *gpt->blocks);
    if (!gpt)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe a model of %zu layers", shape->L);
    gpt->shape = *shape;
    gpt->B = B;
    gpt->params = params;
    gpt->stream = stream;
    gpt->memory_bytes = dn_gpt_activation_bytes(shape, B);
    dn_status status = dn_device_alloc(stream, gpt->memory_bytes, &gpt->memory);
    if (status != DN_OK) {
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
    free(*gpt);
    *gpt = NULL;
}

void dn_gpt_on_progress(dn_gpt *gpt, void (*progress)(void *context), void *context)
{
    gpt->progress = progress;
    gpt->progress_context = context;
}

/* A token outside the vocabulary would read and write past the embedding. */
static dn_status check_tokens(const dn_gpt *gpt, const char *what, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (size_t)tokens[i] >= gpt->shape.V)
            return dn_fail(DN_ERR_DATA,
                           "%s %" PRId32 " at position %zu of the micro-batch is not below vocab_size %zu: "
                           "use the tokenizer that the model was made for",
                           what, tokens[i], i, gpt->shape.V);
    return DN_OK;
}

static dn_status upload_batch(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B)
{
    size_t N = B * gpt->shape.T;
    if (B > gpt->B)
        return dn_fail(DN_ERR_ARG, "micro-batch of %zu sequences for a model with room for %zu", B, gpt->B);
    DN_TRY(check_tokens(gpt, "token", tokens, N));
    DN_TRY(check_tokens(gpt, "target", targets, N));
    dn_upload_ids(gpt->stream, gpt->tokens, tokens, N);
    dn_upload_ids(gpt->stream, gpt->targets, targets, N);
    return DN_OK;
}

/* Tokens to y, the normalized input of the head. */
static void trunk_forward(dn_gpt *gpt, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T, C = gpt->shape.C;
    s->kernels->embed_forward(s, gpt->x, gpt->params[0].weight, gpt->tokens, N, C);
    for (size_t l = 0; l < gpt->shape.L; l++) {
        dn_gpt_block_forward(gpt, &gpt->blocks[l], B, T);
        dn_gpt_progress(gpt);
    }
    s->kernels->rmsnorm_forward(s, gpt->y, gpt->rstd, gpt->x, N, C);
}

/* dy, the gradient of y, to the gradients of all parameters below the head. */
static void trunk_backward(dn_gpt *gpt, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T, C = gpt->shape.C;
    s->kernels->fill(s, gpt->x, N * C, 0);
    s->kernels->rmsnorm_backward(s, gpt->x, gpt->dy, gpt->y, gpt->rstd, N, C);
    for (size_t l = gpt->shape.L; l-- > 0;) {
        dn_gpt_block_backward(gpt, &gpt->blocks[l], B, T);
        dn_gpt_progress(gpt);
    }
    s->kernels->embed_backward(s, gpt->params[0].grad, gpt->x, gpt->tokens, N, C);
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
    trunk_forward(gpt, B, gpt->shape.T);
    dn_gpt_head_train(gpt, B * gpt->shape.T, scale);
    trunk_backward(gpt, B, gpt->shape.T);
    return finish(gpt, loss_sum);
}

dn_status dn_gpt_loss(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B, double *loss_sum)
{
    DN_TRY(upload_batch(gpt, tokens, targets, B));
    gpt->loss = 0;
    trunk_forward(gpt, B, gpt->shape.T);
    dn_gpt_head_loss(gpt, B * gpt->shape.T);
    return finish(gpt, loss_sum);
}

dn_status dn_gpt_next(dn_gpt *gpt, const int32_t *tokens, size_t n, dn_real *logits)
{
    if (n < 1 || n > gpt->shape.T)
        return dn_fail(DN_ERR_ARG, "a prompt of %zu tokens: the model takes 1 to %zu", n, gpt->shape.T);
    DN_TRY(check_tokens(gpt, "token", tokens, n));
    dn_upload_ids(gpt->stream, gpt->tokens, tokens, n);
    trunk_forward(gpt, 1, n);
    dn_gpt_head_row(gpt, n);
    dn_download(gpt->stream, logits, gpt->logits, gpt->shape.V);
    return dn_stream_sync(gpt->stream);
}
