/*
 * Qwen2 and 2.5 (arXiv:2407.10671, arXiv:2412.15115): Llama's decoder and names, with biases on q, k and v; on other
 * products only if asked for.
 */
#include "model/decoder.h"

static dn_status complete(dn_spec *spec)
{
    spec->attention.qkv_bias = true;
    return dn_decoder_complete_llama(spec, 1e-6, DN_SILU, false);
}

static const dn_hf_family hf = {.class_name = "Qwen2ForCausalLM", DN_HF_LIKE_LLAMA, .window = DN_HF_WINDOW_IF_USED};

static const dn_gguf_family gguf = {.name = "qwen2", .keys = DN_GGUF_KEYS_OF_LLAMA};

const dn_architecture dn_architecture_qwen2 = {.name = "qwen2", DN_DECODER, .hf = &hf, .gguf = &gguf, .complete = complete};
