/*
 * Qwen3 (arXiv:2505.09388), the dense ones: Llama's decoder and names, whose heads of q and k are RMS-normalized and
 * multiplied by gains, model.layers.<l>.self_attn.q_norm.weight and .k_norm.weight [hd].
 */
#include "model/decoder.h"

static dn_status complete(dn_spec *spec)
{
    spec->attention.qk_norm = spec->attention.qk_gain = true;
    return dn_decoder_complete_llama(spec, 1e-6, DN_SILU, false);
}

static const dn_hf_family hf = {.class_name = "Qwen3ForCausalLM", DN_HF_LIKE_LLAMA, .attention_bias = true, .window = DN_HF_WINDOW_IF_USED};

static const dn_gguf_family gguf = {.name = "qwen3", .keys = DN_GGUF_KEYS_OF_LLAMA};

const dn_architecture dn_architecture_qwen3 = {.name = "qwen3", DN_DECODER, .hf = &hf, .gguf = &gguf, .complete = complete};
