/*
 * Mistral (Jiang et al., arXiv:2310.06825): Llama's decoder and names, whose attention may see a window of positions.
 */
#include "model/decoder.h"

static dn_status complete(dn_spec *spec)
{
    return dn_decoder_complete_llama(spec, 1e-5, DN_SILU, false);
}

static const dn_hf_family hf = {.class_name = "MistralForCausalLM", DN_HF_LIKE_LLAMA, .window = DN_HF_WINDOW};

const dn_architecture dn_architecture_mistral = {
    .name = "mistral", DN_DECODER, .hf = &hf, .complete = complete};
