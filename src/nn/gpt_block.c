/*
 * One block of the GPT: x += attention(norm(x)), x += mlp(norm(x)); forward and backward side by side.
 *
 * The residual stream is one buffer, updated in place: the backward pass of RMS-norm needs its output and
 * rstd, never its input, so no layer's input is kept. For the same reason relu squared keeps only its result.
 */
#include "nn/gpt_parts.h"

#include "compute/kernels.h"
#include "nn/linear.h"

/* q, k, v and their gradients lie side by side in rows of 3C. */
static dn_attention_shape attention_shape(const dn_gpt *gpt, size_t B, size_t T)
{
    const dn_gpt_shape *shape = &gpt->shape;
    return (dn_attention_shape){B, T, shape->NH, shape->C / shape->NH, 3 * shape->C};
}

static void attention_forward(dn_gpt *gpt, const dn_gpt_block *b, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T, C = gpt->shape.C;
    dn_attention_shape shape = attention_shape(gpt, B, T);
    dn_buf *q = b->qkv, *k = dn_at(b->qkv, C), *v = dn_at(b->qkv, 2 * C);

    s->kernels->rmsnorm_forward(s, b->y1, b->rstd1, gpt->x, N, C);
    dn_linear_forward(s, b->qkv, b->y1, b->params[DN_BLOCK_Q].weight, N, 3 * C, C);
    s->kernels->norm_rotary_forward(s, q, b->q_rstd, &shape);
    s->kernels->norm_rotary_forward(s, k, b->k_rstd, &shape);
    s->kernels->attention_forward(s, b->o, b->lse, q, k, v, &shape);
    dn_linear_forward_add(s, gpt->x, b->o, b->params[DN_BLOCK_PROJ].weight, N, C, C);
}

static void attention_backward(dn_gpt *gpt, const dn_gpt_block *b, size_t B, size_t T)
{
    dn_stream *s = gpt->stream;
    size_t N = B * T, C = gpt->shape.C;
    dn_attention_shape shape = attention_shape(gpt, B, T);
    const dn_param *w_qkv = &b->params[DN_BLOCK_Q], *w_proj = &b->params[DN_BLOCK_PROJ];
    dn_buf *q = b->qkv, *k = dn_at(b->qkv, C), *v = dn_at(b->qkv, 2 * C);
    dn_buf *dqkv = gpt->wide, *dq = dqkv, *dk = dn_at(dqkv, C), *dv = dn_at(dqkv, 2 * C);

    dn_linear_backward(s, gpt->dy, w_proj->grad, gpt->x, b->o, w_proj->weight, N, C, C);
    s->kernels->attention_backward(s, dq, dk, dv, gpt->dy, q, k, v, b->o, b->lse, &shape);
    s->kernels->norm_rotary_backward(s, dq, q, b->q_rstd, &shape);
    s->kernels->norm_rotary_backward(s, dk, k, b->k_rstd, &shape);
    dn_linear_backward(s, gpt->dy, w_qkv->grad, dqkv, b->y1, w_qkv->weight, N, 3 * C, C);
    s->kernels->rmsnorm_backward(s, gpt->x, gpt->dy, b->y1, b->rstd1, N, C);
}

static void mlp_forward(dn_gpt *gpt, const dn_gpt_block *b, size_t N)
{
    dn_stream *s = gpt->stream;
    size_t C = gpt->shape.C;

    s->kernels->rmsnorm_forward(s, b->y2, b->rstd2, gpt->x, N, C);
    dn_linear_forward(s, b->a, b->y2, b->params[DN_BLOCK_FC].weight, N, 4 * C, C);
    s->kernels->relu2_forward(s, b->a, N * 4 * C);
    dn_linear_forward_add(s, gpt->x, b->a, b->params[DN_BLOCK_MLP_PROJ].weight, N, C, 4 * C);
}

static void mlp_backward(dn_gpt *gpt, const dn_gpt_block *b, size_t N)
{
    dn_stream *s = gpt->stream;
    size_t C = gpt->shape.C;
    const dn_param *w_fc = &b->params[DN_BLOCK_FC], *w_proj = &b->params[DN_BLOCK_MLP_PROJ];
    dn_buf *da = gpt->wide;

    dn_linear_backward(s, da, w_proj->grad, gpt->x, b->a, w_proj->weight, N, C, 4 * C);
    s->kernels->relu2_backward(s, da, b->a, N * 4 * C);
    dn_linear_backward(s, gpt->dy, w_fc->grad, da, b->y2, w_fc->weight, N, 4 * C, C);
    s->kernels->rmsnorm_backward(s, gpt->x, gpt->dy, b->y2, b->rstd2, N, C);
}

void dn_gpt_block_forward(dn_gpt *gpt, const dn_gpt_block *block, size_t B, size_t T)
{
    attention_forward(gpt, block, B, T);
    mlp_forward(gpt, block, B * T);
}

void dn_gpt_block_backward(dn_gpt *gpt, const dn_gpt_block *block, size_t B, size_t T)
{
    mlp_backward(gpt, block, B * T);
    attention_backward(gpt, block, B, T);
}
