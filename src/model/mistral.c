/*
 * Mistral (Jiang et al., arXiv:2310.06825): Llama's decoder and names, whose attention may see a window of positions.
 */
#include "model/decoder.h"

static dn_status complete(dn_spec *spec)
{
    return dn_decoder_complete_llama(spec, 1e-5, DN_SILU, false);
}

static const dn_hf_family hf = {.class_name = "MistralForCausalLM", DN_HF_LIKE_LLAMA, .window = DN_HF_WINDOW};

static const dn_gguf_family gguf = {
    .name = "llama", .keys = DN_GGUF_KEYS_OF_LLAMA " attention_bias mlp_bias", .interleaved = true, .frequencies = true};

const dn_architecture dn_architecture_mistral = {
    .name = "mistral", DN_DECODER, .hf = &hf, .gguf = &gguf, .complete = complete};
