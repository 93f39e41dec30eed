/*
 * A language model without attention: L MLPs, each of which sees, normalized, its own and the three positions
 * before,
 *
 *     x[t] += P max(0, sum over j < 4 of W_j norm(x[t-j]))^2
 *
 * between the embedding and the head of every model here; positions before a sequence are 0. Layer l+1 sees
 * further back than layer l: 3 L positions in all. Parameters in order, each [fan_out, fan_in], row-major:
 *
 *     transformer.wte.weight [V,C]
 *     for each layer l:
 *         mlp.h.<l>.lag_<j>.weight [4C,C], j = 0 .. 3;  mlp.h.<l>.proj.weight [C,4C]
 *     lm_head.weight [V,C]
 */
#include "model/model.h"

#include <float.h>

static const dn_names names = {
    .embedding = "transformer.wte", .head = "lm_head", .block = "mlp.h.", .up = "lag", .down = "proj"};

static dn_status complete(dn_spec *spec)
{
    spec->names = &names;
    if (spec->norm.eps == 0)
        spec->norm.eps = FLT_EPSILON;
    if (spec->mlp.F == 0)
        spec->mlp.F = 4 * spec->C;
    spec->mlp.lags = 4;
    spec->mlp.act = spec->mlp.act != DN_ACTIVATION_UNSET ? spec->mlp.act : DN_RELU2;
    spec->tied = DN_NO;
    spec->parallel = DN_NO;
    return DN_OK;
}

static size_t n_layers(const dn_spec *spec)
{
    return spec->L + 2;
}

static dn_layer_place layer(const dn_spec *spec, size_t i)
{
    const dn_layer_ops *ops = i == 0 ? &dn_embedding : i == spec->L + 1 ? &dn_head : &dn_mlp;
    return (dn_layer_place){ops, i - (ops == &dn_mlp), i};
}

const dn_architecture dn_architecture_mlp = {
    .name = "mlp", .complete = complete, .n_layers = n_layers, .layer = layer};
