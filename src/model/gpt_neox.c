/*
 * GPT-NeoX (Black et al., arXiv:2204.06745) and Pythia (arXiv:2304.01373): LayerNorm with gain and bias, biases on all
 * products, rotary positions on a quarter of each head, GELU, and attention and MLP side by side, of the same x.
 * Parameters are named as Llama's.
 */
#include "model/decoder.h"

static dn_status complete(dn_spec *spec)
{
    spec->names = &dn_decoder_names;
    spec->norm = (dn_norm_spec){
        .center = true, .eps = spec->norm.eps > 0 ? spec->norm.eps : 1e-5, .gain = true, .bias = true};
    spec->parallel = spec->parallel != DN_UNSET ? spec->parallel : DN_YES;
    dn_attention_spec *a = &spec->attention;
    a->qkv_bias = a->o_bias = spec->mlp.bias = true;
    a->rotary = a->rotary > 0 ? a->rotary : 0.25;
    a->turn = 1;
    return dn_decoder_complete(spec, 4 * spec->C, DN_GELU_ERF, false);
}

static const char *const tensor_names[][2] = {{"model.embed_tokens", "gpt_neox.embed_in"},
                                              {"model.norm", "gpt_neox.final_layer_norm"},
                                              {"lm_head", "embed_out"},
                                              {"input_layernorm", "input_layernorm"},
                                              {"self_attn.o_proj", "attention.dense"},
                                              {"post_attention_layernorm", "post_attention_layernorm"},
                                              {"mlp.up_proj", "mlp.dense_h_to_4h"},
                                              {"mlp.down_proj", "mlp.dense_4h_to_h"}};

static const dn_hf_tensors tensors = {.block = "gpt_neox.layers.",
                                      .names = tensor_names,
                                      .n = sizeof tensor_names / sizeof *tensor_names,
                                      .qkv = "attention.query_key_value",
                                      .by_head = true};

static const dn_hf_family hf = {.class_name = "GPTNeoXForCausalLM", DN_HF_SIZES, .eps = "layer_norm_eps",
                                .default_activation = "gelu", .default_eps = 1e-5, .parallel = true,
                                .attention_bias = true, .biased = true, .rotary = 0.25, .tensors = &tensors};

static const dn_gguf_family gguf = {
    .name = "gptneox", .keys = "rope_theta rope_scaling rotary_fraction parallel_residual", .stacked = true, .parallel = true};

const dn_architecture dn_architecture_gpt_neox = {
    .name = "gpt_neox", DN_DECODER, .hf = &hf, .gguf = &gguf, .complete = complete};
