/*
 * The GPT of microsoft/dion (models/gpt_model.py; dion.md section 4): pre-norm decoder, RMSNorm without
 * gains, rotary positions, RMS-normalized q and k, causal softmax attention, ReLU squared MLP of width 4C,
 * untied embedding and head, no biases. Forward and backward by hand over the kernel table.
 *
 * Over fs the weights come in pieces (sync/weights.h). Over tp each rank computes with its heads, its columns
 * of the MLP and its words of the vocabulary, which are those of its blocks of the parameters; shares may be
 * uneven and empty. All ranks of tp hold the same bits of the residual stream and its gradient.
 *
 * Letters: B sequences of a micro-batch, T positions, C model width, V vocabulary, L layers, NH heads, hd =
 * C/NH. Parameters in order, each [fan_out, fan_in], row-major:
 *
 *     transformer.wte.weight [V,C]
 *     for each layer l:
 *         transformer.h.<l>.attn.c_q.weight, .attn.c_k.weight, .attn.c_v.weight [C,C]
 *             (adjacent in memory: a stack, one gemm serves all three)
 *         transformer.h.<l>.attn.c_proj.weight [C,C], .mlp.c_fc.weight [4C,C], .mlp.c_proj.weight [C,4C]
 *     lm_head.weight [V,C]
 *
 * tp cuts the rows of all but the two projections, whose columns it cuts (attention between heads only); fs
 * cuts the other dimension.
 */
#ifndef NN_GPT_H
#define NN_GPT_H

#include "base/arena.h"
#include "nn/progress.h"
#include "nn/spec.h"
#include "sync/weights.h"

/** Number of parameter tensors: 6 L + 2. */
size_t dn_gpt_n_params(const dn_spec *spec);

/** Checks sizes: positive and within what counts and BLAS can hold, NH divides C, heads of even size. Errors:
 * DN_ERR_CONFIG naming the key. */
dn_status dn_gpt_check(const dn_spec *spec) DN_MUST_USE;

/** Fills all but places and blocks of params [dn_gpt_n_params], and the unit of each: the embedding is unit 0, layer l
 * is unit l + 1, the head unit L + 1. With spec->split_heads c_q, c_k and c_v, whose rows are those of the heads, are
 * NH matrices each for the optimizer. */
void dn_gpt_describe(const dn_spec *spec, dn_param *params, size_t *unit_of);

/** Standard deviation of a parameter's first values (dion.md section 4): 1 of the embedding, of matrices
 * min(1, sqrt(out/in)) / sqrt(in). */
double dn_gpt_first_std(const dn_param *param);

typedef struct dn_gpt dn_gpt;

/**
 * Model over params (dn_model_layout), weights (dn_weights_create over params and its units), a group of tp
 * and a stream, all borrowed, with activations for micro-batches of up to B sequences, equal on all ranks.
 * All memory but the stream's scratch is allocated here, except `exchange`: dn_gpt_heap_bytes of symmetric
 * memory of the tp group, borrowed; NULL for a group of one. Not collective. Errors: DN_ERR_CONFIG as
 * dn_model_check_batch; DN_ERR_MEMORY naming the sizes, before a page is touched. Owned by the caller.
 */
dn_status dn_gpt_create(const dn_spec *spec, size_t B, const dn_param *params, dn_weights *weights,
                        dn_comm *tp, void *exchange, dn_stream *stream, dn_gpt **out) DN_MUST_USE;
void dn_gpt_destroy(dn_gpt **gpt);

/** For a spec and B that dn_model_check_batch lets pass: bytes dn_gpt_create will allocate for activations on
 * the rank of tp that needs most (the first), for memory checks before workers start; and symmetric bytes on
 * each rank: 0 for a group of one. */
size_t dn_gpt_activation_bytes(const dn_spec *spec, size_t B, int tp_size);
size_t dn_gpt_heap_bytes(const dn_spec *spec, size_t B, int tp_size);

/** progress (NULL = none): so that whoever watches a long pass knows it from a hung one, and can end it. context
 * is borrowed. */
void dn_gpt_on_progress(dn_gpt *gpt, dn_progress_fn *progress, void *context);

/**
 * Collective over fs and tp. One micro-batch, forward and backward. tokens, targets: host int32 [B*T], 0 <= B
 * <= created B, each from 0 to V-1; the same on all ranks of tp. A rank of fs without rows takes part with B
 * = 0. The parameters' grads += scale * d(sum of token losses)/d(weight), averaged over fs, scale not 0;
 * *loss_sum += the sum over B*T tokens of -log p, in nats, the same bits on all ranks of tp. Clears no
 * gradients. Returns after sync. Errors: DN_ERR_ARG B or scale, DN_ERR_DATA a token outside the vocabulary;
 * DN_ERR_MEMORY from a kernel, or those of a barrier: gradients are half written then.
 */
dn_status dn_gpt_train(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B, double scale,
                       double *loss_sum) DN_MUST_USE;

/** Collective over fs and tp. Forward only; *loss_sum and errors as above. */
dn_status dn_gpt_loss(dn_gpt *gpt, const int32_t *tokens, const int32_t *targets, size_t B,
                      double *loss_sum) DN_MUST_USE;

/** Collective over fs. logits [V] (host) of the token after tokens[0 .. n-1], 1 <= n <= T. Errors: DN_ERR_ARG
 * n, or a model cut over tp: each of its ranks has the logits of its words only; DN_ERR_DATA a token outside
 * the vocabulary. */
dn_status dn_gpt_next(dn_gpt *gpt, const int32_t *tokens, size_t n, dn_real *logits) DN_MUST_USE;

/**
 * What one micro-batch of B sequences, trained or only evaluated, adds to the ledger of each rank of tp: the
 * payload in bytes by collective, all of kind DN_TRAFFIC_ACTIVATIONS. With N = B T: all-reduces of [N,C], two
 * a layer forward, two backward, one for the gradient of the head's input, and one for the embedding, whose
 * rows are read in place but counted as the all-reduce that a cluster would need; three numbers a position,
 * gathered, for the loss. Nothing for a group of one.
 */
void dn_gpt_tp_bytes(const dn_spec *spec, size_t B, int tp_size, bool train,
                     uint64_t bytes[DN_N_COLLECTIVES]);

/** Flops of forward and backward per token: 6 per matrix and head element, plus causal attention's products
 *  (6 T C per layer: half of the full square). Recomputation and element-wise work are not counted. */
double dn_gpt_flops_per_token(const dn_spec *spec);

#endif
