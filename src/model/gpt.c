/*
 * The GPT of microsoft/dion (models/gpt_model.py; dion.md section 4): pre-norm decoder, RMSNorm without gains, rotary
 * positions, RMS-normalized q and k, causal softmax attention, ReLU squared MLP of width 4C, untied embedding and head,
 * no biases. Parameters in order, each [fan_out, fan_in], row-major:
 *
 *     transformer.wte.weight [V,C]
 *     for each layer l:
 *         transformer.h.<l>.attn.c_q.weight, .attn.c_k.weight, .attn.c_v.weight [C,C]
 *         transformer.h.<l>.attn.c_proj.weight [C,C], .mlp.c_fc.weight [4C,C], .mlp.c_proj.weight [C,4C]
 *     lm_head.weight [V,C]
 */
#include "model/model.h"

#include "base/fail.h"

static dn_status check(const dn_spec *spec)
{
    if (spec->hd == 0 && spec->C % spec->NH != 0)
        return dn_fail(DN_ERR_CONFIG, "n_head %zu does not divide model_dim %zu: choose one that does", spec->NH,
                       spec->C);
    if (dn_head_size(spec) % 2 != 0)
        return dn_fail(DN_ERR_CONFIG,
                       "model_dim %zu over n_head %zu gives heads of odd size %zu: rotary positions need an "
                       "even one",
                       spec->C, spec->NH, dn_head_size(spec));
    return DN_OK;
}

static size_t n_layers(const dn_spec *spec)
{
    return 2 * spec->L + 2;
}

/* Embedding, (attention, MLP) x L, head; attention and MLP of one block are a unit. */
static dn_layer_place layer(const dn_spec *spec, size_t i)
{
    if (i == 0)
        return (dn_layer_place){&dn_embedding, 0, 0};
    if (i + 1 == n_layers(spec))
        return (dn_layer_place){&dn_head, 0, spec->L + 1};
    size_t block = (i - 1) / 2;
    return (dn_layer_place){i % 2 ? &dn_attention : &dn_mlp, block, block + 1};
}

const dn_architecture dn_architecture_gpt = {.name = "gpt",
                                             .heads = true,
                                             .check = check,
                                             .n_layers = n_layers,
                                             .layer = layer,
                                             .first_std = dn_model_first_std};
