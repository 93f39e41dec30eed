/*
 * Llama (Touvron et al., arXiv:2302.13971; its second version shares keys and values among heads): pre-norm decoder,
 * RMSNorm with gains, rotary positions, causal softmax attention, SwiGLU, untied embedding and head, no biases. Parameters
 * in order, named as Hugging Face's model_type llama names them, each [fan_out, fan_in], row-major:
 *
 *     model.embed_tokens.weight [V,C]
 *     for each layer l, behind model.layers.<l>.:
 *         self_attn.q_proj.weight [NH*hd,C], .k_proj.weight, .v_proj.weight [NKV*hd,C], .o_proj.weight [C,NH*hd]
 *         input_layernorm.weight [C]
 *         mlp.gate_proj.weight, .up_proj.weight [F,C], .down_proj.weight [C,F], post_attention_layernorm.weight [C]
 *     lm_head.weight [V,C], model.norm.weight [C]
 */
#include "model/decoder.h"

static const dn_names names = {.embedding = "model.embed_tokens",
                               .head = "lm_head",
                               .block = "model.layers.",
                               .q = "self_attn.q_proj",
                               .k = "self_attn.k_proj",
                               .v = "self_attn.v_proj",
                               .o = "self_attn.o_proj",
                               .gate = "mlp.gate_proj",
                               .up = "mlp.up_proj",
                               .down = "mlp.down_proj",
                               .attention_norm = "input_layernorm",
                               .mlp_norm = "post_attention_layernorm",
                               .norm = "model.norm"};

/* A third of 8C hidden columns, as many weights as two matrices of 4C, up to a multiple of 8. */
static dn_status complete(dn_spec *spec)
{
    spec->names = &names;
    if (spec->norm.eps == 0)
        spec->norm.eps = 1e-5;
    spec->norm.gain = true;
    spec->attention.turn = 1;
    spec->mlp.act = DN_SWIGLU;
    return dn_decoder_complete(spec, (8 * spec->C + 23) / 24 * 8);
}

const dn_architecture dn_architecture_llama = {.name = "llama",
                                               .attention = true,
                                               .complete = complete,
                                               .n_layers = dn_decoder_n_layers,
                                               .layer = dn_decoder_layer,
                                               .first_std = dn_model_first_std};
