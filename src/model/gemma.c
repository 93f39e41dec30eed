/*
 * Gemma, the first one (arXiv:2403.08295): Llama's decoder and names, with the embedding times sqrt(C), gains kept less 1,
 * GeGLU by tanh in the MLP; the head is the embedding.
 */
#include "model/decoder.h"

#include <math.h>

static dn_status complete(dn_spec *spec)
{
    spec->norm.offset = 1;
    spec->embed_scale = sqrt((double)spec->C);
    return dn_decoder_complete_llama(spec, 1e-6, DN_GELU_TANH, true);
}

static const dn_hf_family hf = {.class_name = "GemmaForCausalLM", DN_HF_SIZES, .eps = "rms_norm_eps",
                                .default_activation = "gelu_pytorch_tanh", .default_eps = 1e-6, .gelu_means_tanh = true,
                                .grouped = true, .tied = true, .attention_bias = true, .rotary = 1};

static const dn_gguf_family gguf = {.name = "gemma", .keys = DN_GGUF_KEYS_OF_LLAMA};

const dn_architecture dn_architecture_gemma = {.name = "gemma", DN_DECODER, .hf = &hf, .gguf = &gguf, .complete = complete};
