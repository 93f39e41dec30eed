/*
 * One block of the GPT: x += attention(norm(x)), x += mlp(norm(x)); forward and backward side by side.
 *
 * The residual stream is one buffer, updated in place: the backward pass of RMS-norm needs its output and
 * rstd, never its input, so no layer's input is kept. For the same reason relu squared keeps only its result.
 *
 * Over tp a rank has the heads and the columns of the MLP of its share. What both projections make of them is
 * a part of a sum, and so is the gradient of both normalized inputs: four sums over tp a block and step.
 */
#include "nn/gpt_parts.h"

#include "base/fail.h"
#include "base/inject.h"
#include "nn/linear.h"

static const dn_weight *weight_of(const dn_gpt *gpt, const dn_gpt_block *b, size_t which)
{
    return dn_weights_of(gpt->weights, b->first_param + which);
}

/* x += the sum over tp of in w^T. */
static dn_status project(dn_gpt *gpt, const dn_buf *in, const dn_weight *w, size_t N)
{
    dn_stream *s = gpt->stream;
    if (!dn_gpt_cut(gpt)) {
        dn_linear_forward_add(s, gpt->x, in, w, N);
        return DN_OK;
    }
    dn_linear_forward(s, gpt->dy, in, w, N);
    if (!dn_injected(DN_INJECT_SKIP_TP_REDUCE))
        DN_TRY(dn_gpt_sum_dy(gpt, N));
    s->kernels->axpby(s, gpt->x, 1, gpt->dy, 1, N * gpt->spec.C);
    return DN_OK;
}

/* q, k, v and their gradients lie side by side in rows of 3W: k from here on. */
static size_t start_of_k(const dn_gpt *gpt)
{
    size_t half_a_head = gpt->spec.C / gpt->spec.NH / 2;
    bool off = dn_injected(DN_INJECT_WRONG_HEAD_SPLIT) && dn_gpt_cut(gpt) && gpt->share.W > 0;
    return gpt->share.W + (off ? half_a_head : 0);
}

static dn_attention_shape attention_shape(const dn_gpt *gpt, size_t B, size_t T)
{
    return (dn_attention_shape){B, T, gpt->share.heads, gpt->spec.C / gpt->spec.NH, 3 * gpt->share.W};
}

static dn_status attention_forward(dn_gpt *gpt, const dn_gpt_block *b, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T, W = gpt->share.W;
    dn_attention_shape shape = attention_shape(gpt, B, T);
    dn_buf *q = b->qkv, *k = dn_at(b->qkv, start_of_k(gpt)), *v = dn_at(b->qkv, 2 * W);

    s->kernels->rmsnorm_forward(s, b->y1, b->rstd1, gpt->x, N, gpt->spec.C);
    dn_linear_forward(s, b->qkv, b->y1, weight_of(gpt, b, DN_BLOCK_Q), N);
    s->kernels->norm_rotary_forward(s, q, b->q_rstd, &shape);
    s->kernels->norm_rotary_forward(s, k, b->k_rstd, &shape);
    s->kernels->attention_forward(s, b->o, b->lse, q, k, v, &shape);
    return project(gpt, b->o, weight_of(gpt, b, DN_BLOCK_PROJ), N);
}

static dn_status attention_backward(dn_gpt *gpt, const dn_gpt_block *b, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T, W = gpt->share.W;
    dn_attention_shape shape = attention_shape(gpt, B, T);
    dn_buf *q = b->qkv, *k = dn_at(b->qkv, start_of_k(gpt)), *v = dn_at(b->qkv, 2 * W);
    dn_buf *dqkv = gpt->wide, *dq = dqkv, *dk = dn_at(dqkv, W), *dv = dn_at(dqkv, 2 * W);

    dn_linear_backward(s, gpt->dy, gpt->x, b->o, weight_of(gpt, b, DN_BLOCK_PROJ), N);
    s->kernels->attention_backward(s, dq, dk, dv, gpt->dy, q, k, v, b->o, b->lse, &shape);
    s->kernels->norm_rotary_backward(s, dq, q, b->q_rstd, &shape);
    s->kernels->norm_rotary_backward(s, dk, k, b->k_rstd, &shape);
    dn_linear_backward(s, gpt->dy, dqkv, b->y1, weight_of(gpt, b, DN_BLOCK_Q), N);
    DN_TRY(dn_gpt_sum_dy(gpt, N));
    s->kernels->rmsnorm_backward(s, gpt->x, gpt->dy, b->y1, b->rstd1, N, gpt->spec.C);
    return DN_OK;
}

static dn_status mlp_forward(dn_gpt *gpt, const dn_gpt_block *b, size_t N)
{
    dn_stream *s = gpt->stream;

    s->kernels->rmsnorm_forward(s, b->y2, b->rstd2, gpt->x, N, gpt->spec.C);
    dn_linear_forward(s, b->a, b->y2, weight_of(gpt, b, DN_BLOCK_FC), N);
    s->kernels->relu2_forward(s, b->a, N * gpt->share.hidden);
    return project(gpt, b->a, weight_of(gpt, b, DN_BLOCK_MLP_PROJ), N);
}

static dn_status mlp_backward(dn_gpt *gpt, const dn_gpt_block *b, size_t N)
{
    dn_stream *s = gpt->stream;
    dn_buf *da = gpt->wide;

    dn_linear_backward(s, da, gpt->x, b->a, weight_of(gpt, b, DN_BLOCK_MLP_PROJ), N);
    s->kernels->relu2_backward(s, da, b->a, N * gpt->share.hidden);
    dn_linear_backward(s, gpt->dy, da, b->y2, weight_of(gpt, b, DN_BLOCK_FC), N);
    DN_TRY(dn_gpt_sum_dy(gpt, N));
    s->kernels->rmsnorm_backward(s, gpt->x, gpt->dy, b->y2, b->rstd2, N, gpt->spec.C);
    return DN_OK;
}

dn_status dn_gpt_block_forward(dn_gpt *gpt, size_t l, size_t B, size_t T)
{
    DN_TRY(dn_weights_open(gpt->weights, l + 1, false));
    DN_TRY(attention_forward(gpt, &gpt->blocks[l], B, T));
    DN_TRY(mlp_forward(gpt, &gpt->blocks[l], B * T));
    return dn_weights_close(gpt->weights, l + 1, false);
}

dn_status dn_gpt_block_backward(dn_gpt *gpt, size_t l, size_t B, size_t T)
{
    DN_TRY(dn_weights_open(gpt->weights, l + 1, true));
    DN_TRY(mlp_backward(gpt, &gpt->blocks[l], B * T));
    DN_TRY(attention_backward(gpt, &gpt->blocks[l], B, T));
    return dn_weights_close(gpt->weights, l + 1, true);
}
