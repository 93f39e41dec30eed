/*
 * GPT-2 (Radford et al., 2019): pre-norm decoder, LayerNorm with gain and bias, learned positions, biases on all products,
 * MLP of width 4C with GELU by tanh, the head is the embedding. Parameters in order, named as Llama's:
 *
 *     model.embed_tokens.weight [V,C], model.embed_positions.weight [max_positions,C], model.norm.weight, .bias [C]
 *     for each layer l, behind model.layers.<l>.:
 *         self_attn.q_proj.weight, .k_proj, .v_proj, .o_proj [C,C], and their biases [C]
 *         input_layernorm.weight, .bias [C]
 *         mlp.up_proj.weight [F,C], .down_proj.weight [C,F], their biases; post_attention_layernorm.weight, .bias [C]
 */
#include "model/decoder.h"

#include <math.h>

static dn_status complete(dn_spec *spec)
{
    spec->names = &dn_decoder_names;
    spec->norm = (dn_norm_spec){
        .center = true, .eps = spec->norm.eps > 0 ? spec->norm.eps : 1e-5, .gain = true, .bias = true};
    spec->positions = true;
    spec->attention.qkv_bias = spec->attention.o_bias = spec->mlp.bias = true;
    return dn_decoder_complete(spec, 4 * spec->C, DN_GELU_TANH, true);
}

/* What ends in the residual stream is smaller, as 2 L of them add up. */
static double first_std(const dn_spec *spec, const dn_param *param)
{
    bool ends = param->kind == DN_PARAM_MATRIX && param->tensor.col_sharding.axis == DN_TP;
    return ends ? 0.02 / sqrt(2 * (double)spec->L) : 0.02;
}

static const char *const tensor_names[][2] = {{"model.embed_tokens", "transformer.wte"},
                                              {"model.embed_positions", "transformer.wpe"},
                                              {"model.norm", "transformer.ln_f"},
                                              {"lm_head", "lm_head"},
                                              {"input_layernorm", "ln_1"},
                                              {"self_attn.o_proj", "attn.c_proj"},
                                              {"post_attention_layernorm", "ln_2"},
                                              {"mlp.up_proj", "mlp.c_fc"},
                                              {"mlp.down_proj", "mlp.c_proj"}};

static const dn_hf_tensors tensors = {.block = "transformer.h.",
                                      .names = tensor_names,
                                      .n = sizeof tensor_names / sizeof *tensor_names,
                                      .qkv = "attn.c_attn",
                                      .transposed = true};

static const dn_hf_family hf = {.class_name = "GPT2LMHeadModel", .dim = "n_embd", .layers = "n_layer", .heads = "n_head",
                                .hidden = "n_inner", .positions = "n_positions", .eps = "layer_norm_epsilon",
                                .activation = "activation_function", .default_activation = "gelu_new",
                                .default_eps = 1e-5, .hidden_is_4C = true, .tied = true, .tensors = &tensors};

static const dn_gguf_family gguf = {.name = "gpt2", .keys = "", .stacked = true};

const dn_architecture dn_architecture_gpt2 = {
    .name = "gpt2", DN_DECODER, .hf = &hf, .gguf = &gguf, .complete = complete, .first_std = first_std};
