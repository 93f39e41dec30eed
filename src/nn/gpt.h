/*
 * The GPT of microsoft/dion (models/gpt_model.py; dion.md section 4): pre-norm decoder, RMSNorm without
 * gains, rotary positions, RMS-normalized q and k, causal softmax attention, ReLU squared MLP of width 4C,
 * untied embedding and head, no biases. Forward and backward by hand over the kernel table; no knowledge of
 * ranks.
 *
 * Letters: B sequences of a micro-batch, T positions, C model width, V vocabulary, L layers, NH heads, hd =
 * C/NH. Parameters in order, each [fan_out, fan_in], row-major:
 *
 *     transformer.wte.weight [V,C]
 *     for each layer l:
 *         transformer.h.<l>.attn.c_q.weight, .attn.c_k.weight, .attn.c_v.weight [C,C]
 *             (adjacent in memory: one gemm serves all three)
 *         transformer.h.<l>.attn.c_proj.weight [C,C], .mlp.c_fc.weight [4C,C], .mlp.c_proj.weight [C,4C]
 *     lm_head.weight [V,C]
 */
#ifndef NN_GPT_H
#define NN_GPT_H

#include "base/arena.h"
#include "optim/param.h"

typedef struct dn_gpt_shape {
    size_t V, T, C, L, NH; /* NH divides C; C/NH even */
} dn_gpt_shape;

/** Number of parameter tensors (6 L + 2) and of elements in them. */
size_t dn_gpt_n_params(const dn_gpt_shape *shape);
size_t dn_gpt_n_elements(const dn_gpt_shape *shape);

/** Checks sizes: positive and within what counts and BLAS can hold, NH divides C, heads of even size. Errors:
 * DN_ERR_CONFIG naming the key. */
dn_status dn_gpt_check(const dn_gpt_shape *shape) DN_MUST_USE;

/**
 * Fills params [dn_gpt_n_params]: names, kinds, shapes; weights from `weights` and gradients from `grads`,
 * both contiguous in parameter order without gaps (so grads as a whole is one vector). An arena without base
 * measures.
 */
void dn_gpt_layout(const dn_gpt_shape *shape, dn_arena *weights, dn_arena *grads, dn_param *params);

/** Initial weights (dion.md section 4): embedding N(0,1), matrices N(0, s), s = min(1, sqrt(out/in)) /
 * sqrt(in). Element i of parameter p is draw i of stream p under seed: the same on every rank and mesh.
 * Uploads through the stream; returns after sync. */
dn_status dn_gpt_init(const dn_gpt_shape *shape, dn_param *params, dn_stream *stream,
                      uint64_t seed) DN_MUST_USE;

typedef struct dn_gpt dn_gpt;

/** Model over borrowed params (dn_gpt_layout) and stream, with activations for micro-batches of up to B
 * sequences; all memory but the stream's scratch is allocated here. Errors: DN_ERR_CONFIG as dn_gpt_check,
 * and for B * T beyond 2^31 - 1; DN_ERR_MEMORY naming the size. Owned by the caller. */
dn_status dn_gpt_create(const dn_gpt_shape *shape, size_t B, const dn_param *params, dn_stream *stream,
                        dn_gpt **out) DN_MUST_USE;
void dn_gpt_destroy(dn_gpt **gpt);

/** Bytes dn_gpt_create will allocate for activations; for memory checks before workers start. */
size_t dn_gpt_activation_bytes(const dn_gpt_shape *shape, size_t B);

/** progress (NULL = none) is called after each layer and each chunk of the head, so that whoever watches a
 * long pass knows it from a hung one. context is borrowed. */
void dn_gpt_on_progress(dn_gpt *gpt, void (*progress)(void *context), void *context);

/**
 * One micro-batch, forward and backward. tokens, targets: host int32 [B*T], B <= created B, each from 0 to
 * V-1. grads += scale * d(sum of token losses)/d(weight), scale not 0; *loss_sum += the sum over B*T tokens
 * of -log p, in nats. Clears no gradients. Returns after sync. Errors: DN_ERR_ARG B or scale, DN_ERR_DATA a
 * token outside the vocabulary; DN_ERR_MEMORY from a kernel: gradients are half written then.
 */
dn_status dn_gpt_train(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B, double scale,
                       double *loss_sum) DN_MUST_USE;

/** Forward only; *loss_sum and errors as above. */
dn_status dn_gpt_loss(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B,
                      double *loss_sum) DN_MUST_USE;

/** logits [V] (host) of the token after tokens[0 .. n-1], 1 <= n <= T. Errors: DN_ERR_ARG n, DN_ERR_DATA a
 * token outside the vocabulary. */
dn_status dn_gpt_next(dn_gpt *gpt, const int32_t *tokens, size_t n, dn_real *logits) DN_MUST_USE;

/** Flops of forward and backward per token: 6 per matrix and head element, plus causal attention's products
 *  (6 T C per layer: half of the full square). Recomputation and element-wise work are not counted. */
double dn_gpt_flops_per_token(const dn_gpt_shape *shape);

#endif
