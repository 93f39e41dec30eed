/*
 * The GPT of microsoft/dion (models/gpt_model.py): pre-norm decoder, RMSNorm without
 * gains, rotary positions, RMS-normalized q and k, causal softmax attention, ReLU squared MLP of width 4C,
 * untied embedding and head, no biases. Parameters in order, each [fan_out, fan_in], row-major:
 *
 *     transformer.wte.weight [V,C]
 *     for each layer l:
 *         transformer.h.<l>.attn.c_q.weight, .attn.c_k.weight, .attn.c_v.weight [C,C]
 *         transformer.h.<l>.attn.c_proj.weight [C,C], .mlp.c_fc.weight [4C,C], .mlp.c_proj.weight [C,4C]
 *     lm_head.weight [V,C]
 */
#include "model/decoder.h"

#include "base/fail.h"

#include <float.h>

static const dn_names names = {.embedding = "transformer.wte",
                               .head = "lm_head",
                               .block = "transformer.h.",
                               .q = "attn.c_q",
                               .k = "attn.c_k",
                               .v = "attn.c_v",
                               .o = "attn.c_proj",
                               .up = "mlp.c_fc",
                               .down = "mlp.c_proj"};

/* torch's default eps; positions turn the other way. */
static dn_status complete(dn_spec *spec)
{
    spec->names = &names;
    if (spec->norm.eps == 0)
        spec->norm.eps = FLT_EPSILON;
    spec->attention.qk_norm = true;
    spec->attention.turn = -1;
    return dn_decoder_complete(spec, 4 * spec->C, DN_RELU2, false);
}

const dn_architecture dn_architecture_gpt = {.name = "gpt", DN_DECODER, .complete = complete};
