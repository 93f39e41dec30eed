/*
 * Llama (Touvron et al., arXiv:2302.13971; its second version shares keys and values among heads): pre-norm decoder,
 * RMSNorm with gains, rotary positions, causal softmax attention, SwiGLU, head and
 * embedding untied unless asked for, no biases unless asked for. Parameters in order, named as Hugging Face's model_type llama names them, each [fan_out, fan_in], row-major:
 *
 *     model.embed_tokens.weight [V,C]
 *     for each layer l, behind model.layers.<l>.:
 *         self_attn.q_proj.weight [NH*hd,C], .k_proj.weight, .v_proj.weight [NKV*hd,C], .o_proj.weight [C,NH*hd]
 *         input_layernorm.weight [C]
 *         mlp.gate_proj.weight, .up_proj.weight [F,C], .down_proj.weight [C,F], post_attention_layernorm.weight [C]
 *     lm_head.weight [V,C], model.norm.weight [C]
 */
#include "model/decoder.h"

static dn_status complete(dn_spec *spec)
{
    return dn_decoder_complete_llama(spec, 1e-5, DN_SILU, false);
}

static const dn_hf_family hf = {.class_name = "LlamaForCausalLM", DN_HF_LIKE_LLAMA, .attention_bias = true, .mlp_bias = true};

static const dn_gguf_family gguf = {
    .name = "llama", .keys = DN_GGUF_KEYS_OF_LLAMA " attention_bias mlp_bias", .interleaved = true, .frequencies = true};

const dn_architecture dn_architecture_llama = {.name = "llama", DN_DECODER, .hf = &hf, .gguf = &gguf, .complete = complete};
