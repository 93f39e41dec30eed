#include "model/decoder.h"

#include "base/fail.h"

size_t dn_decoder_n_layers(const dn_spec *spec)
{
    return 2 * spec->L + 2;
}

dn_layer_place dn_decoder_layer(const dn_spec *spec, size_t i)
{
    if (i == 0)
        return (dn_layer_place){&dn_embedding, 0, 0};
    if (i + 1 == dn_decoder_n_layers(spec))
        return (dn_layer_place){&dn_head, 0, spec->L + 1};
    size_t block = (i - 1) / 2;
    return (dn_layer_place){i % 2 ? &dn_attention : &dn_mlp, block, block + 1};
}

const dn_names dn_decoder_names = {.embedding = "model.embed_tokens",
                                   .positions = "model.embed_positions",
                                   .head = "lm_head",
                                   .block = "model.layers.",
                                   .q = "self_attn.q_proj",
                                   .k = "self_attn.k_proj",
                                   .v = "self_attn.v_proj",
                                   .o = "self_attn.o_proj",
                                   .q_norm = "self_attn.q_norm",
                                   .k_norm = "self_attn.k_norm",
                                   .gate = "mlp.gate_proj",
                                   .up = "mlp.up_proj",
                                   .down = "mlp.down_proj",
                                   .attention_norm = "input_layernorm",
                                   .mlp_norm = "post_attention_layernorm",
                                   .norm = "model.norm"};

static dn_status complete_rotary(dn_spec *spec)
{
    dn_attention_spec *a = &spec->attention;
    a->rotary = a->rotary > 0 ? a->rotary : 1;
    a->rot = spec->positions ? 0 : 2 * (size_t)((double)a->hd * a->rotary / 2);
    if (a->hd % 2 != 0)
        return dn_fail(DN_ERR_CONFIG,
                       "heads of odd size %zu (head_dim, or model_dim %zu over n_head %zu): rotary positions "
                       "need an even one",
                       a->hd, spec->C, a->NH);
    return DN_OK;
}

dn_status dn_decoder_complete(dn_spec *spec, size_t F, dn_activation act, bool tied)
{
    dn_attention_spec *a = &spec->attention;
    if (a->hd == 0 && spec->C % a->NH != 0)
        return dn_fail(DN_ERR_CONFIG,
                       "n_head %zu does not divide model_dim %zu: choose one that does, or give head_dim", a->NH,
                       spec->C);
    spec->mlp.F = spec->mlp.F > 0 ? spec->mlp.F : F;
    spec->mlp.lags = 1;
    spec->mlp.act = spec->mlp.act != DN_ACTIVATION_UNSET ? spec->mlp.act : act;
    spec->tied = spec->tied != DN_UNSET ? spec->tied : tied ? DN_YES : DN_NO;
    spec->parallel = spec->parallel != DN_UNSET ? spec->parallel : DN_NO;
    a->NKV = a->NKV > 0 ? a->NKV : a->NH;
    a->hd = a->hd > 0 ? a->hd : spec->C / a->NH;
    a->theta = a->theta > 0 ? a->theta : 10000;
    if (a->NH % a->NKV != 0)
        return dn_fail(DN_ERR_CONFIG, "n_kv_head %zu does not divide n_head %zu: choose one that does", a->NKV,
                       a->NH);
    if (spec->mlp.gated && spec->mlp.act == DN_RELU2)
        return dn_fail(DN_ERR_CONFIG, "activation relu2 is not for the gated MLP of architecture %s: choose another",
                       spec->architecture->name);
    return complete_rotary(spec);
}

dn_status dn_decoder_complete_llama(dn_spec *spec, double eps, dn_activation act, bool tied)
{
    spec->names = &dn_decoder_names;
    spec->norm.eps = spec->norm.eps > 0 ? spec->norm.eps : eps;
    spec->norm.gain = true;
    spec->attention.turn = 1;
    spec->mlp.gated = true;
    return dn_decoder_complete(spec, (8 * spec->C + 23) / 24 * 8, act, tied);
}
