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

dn_status dn_decoder_complete(dn_spec *spec, size_t F)
{
    dn_attention_spec *a = &spec->attention;
    if (a->hd == 0 && spec->C % a->NH != 0)
        return dn_fail(DN_ERR_CONFIG,
                       "n_head %zu does not divide model_dim %zu: choose one that does, or give head_dim", a->NH,
                       spec->C);
    spec->mlp.F = spec->mlp.F > 0 ? spec->mlp.F : F;
    spec->mlp.lags = 1;
    a->NKV = a->NKV > 0 ? a->NKV : a->NH;
    a->hd = a->hd > 0 ? a->hd : spec->C / a->NH;
    a->theta = a->theta > 0 ? a->theta : 10000;
    if (a->NH % a->NKV != 0)
        return dn_fail(DN_ERR_CONFIG, "n_kv_head %zu does not divide n_head %zu: choose one that does", a->NKV,
                       a->NH);
    if (a->hd % 2 != 0)
        return dn_fail(DN_ERR_CONFIG,
                       "heads of odd size %zu (head_dim, or model_dim %zu over n_head %zu): rotary positions "
                       "need an even one",
                       a->hd, spec->C, a->NH);
    return DN_OK;
}
