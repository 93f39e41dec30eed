/* The registry of architectures; sizes, layers and parameters of a model. */
#include "model/instance.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/draw.h"
#include "model/architectures.h" /* DN_ARCHITECTURES(X): made of the list in meson.build */
#include "nn/adapter.h"
#include "nn/classifier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DECLARE(name) extern const dn_architecture dn_architecture_##name;
#define ADDRESS(name) &dn_architecture_##name,

DN_ARCHITECTURES(DECLARE)

static const dn_architecture *const architectures[] = {DN_ARCHITECTURES(ADDRESS)};

enum { N_ARCHITECTURES = sizeof architectures / sizeof *architectures };

const dn_architecture *dn_architecture_at(size_t index)
{
    return index < N_ARCHITECTURES ? architectures[index] : NULL;
}

const dn_architecture *dn_architecture_find(const char *name)
{
    for (size_t i = 0; name && i < N_ARCHITECTURES; i++)
        if (strcmp(architectures[i]->name, name) == 0)
            return architectures[i];
    return NULL;
}

/* ---- sizes ---- */

/* The upper bounds keep every count of elements far from overflow and every BLAS dimension an int. */
dn_status dn_model_complete(dn_spec *spec)
{
    const struct {
        const char *key;
        size_t value, limit;
    } sizes[] = {
        {"vocab_size", spec->V, INT32_MAX},      {"sequence_length", spec->T, 1 << 20},
        {"model_dim", spec->C, 1 << 16},         {"n_layer", spec->L, 1 << 10},
        {"n_head", spec->attention.NH, 1 << 16},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].limit)
            return dn_fail(DN_ERR_CONFIG, "%s is %zu: it must be from 1 to %zu", sizes[i].key, sizes[i].value,
                           sizes[i].limit);
    const dn_attention_spec *a = &spec->attention;
    const char *of_heads = a->NKV > 0                 ? "n_kv_head"
                           : a->hd > 0                ? "head_dim"
                           : a->theta > 0             ? "rope_theta"
                           : a->qkv_bias || a->o_bias ? "attention_bias"
                           : a->window > 0            ? "attention_window"
                           : a->rotary > 0            ? "rotary_fraction"
                           : a->scaling               ? "rope_scaling"
                           : spec->parallel == DN_YES ? "parallel_residual"
                           : spec->tied == DN_YES     ? "tie_embeddings"
                                                      : NULL;
    if (!spec->architecture->attention && of_heads)
        return dn_fail(DN_ERR_CONFIG, "architecture %s has no attention: leave out %s",
                       spec->architecture->name, of_heads);
    spec->embed_scale = 1;
    spec->max_positions = spec->max_positions > 0 ? spec->max_positions : spec->T;
    if (spec->max_positions < spec->T)
        return dn_fail(DN_ERR_CONFIG, "sequence_length %zu is beyond the model's max_positions %zu: use less", spec->T,
                       spec->max_positions);
    DN_TRY(spec->architecture->complete(spec));
    if (a->window >= spec->T) /* nothing is beyond it */
        spec->attention.window = 0;
    return DN_OK;
}

/* So that a count of positions is an int, as BLAS takes it, and all sizes of activations stay within a
 * size_t. */
dn_status dn_model_check_batch(const dn_spec *spec, size_t B)
{
    if (B < 1 || B > INT32_MAX / spec->T)
        return dn_fail(
            DN_ERR_CONFIG,
            "%zu sequences at a time: with sequence_length %zu, device_batch_size can be from 1 to "
            "%zu",
            B, spec->T, INT32_MAX / spec->T);
    return DN_OK;
}

static size_t n_layers_of_whole(const dn_spec *spec)
{
    return spec->architecture->n_layers(spec) + (spec->sherl > 0);
}

/* Where a side module stands: in front of the last block, unit L. */
static size_t side_of(const dn_spec *spec)
{
    size_t i = 0;
    while (spec->architecture->layer(spec, i).unit < spec->L)
        i++;
    return i;
}

static dn_layer_place layer_of_whole(const dn_spec *spec, size_t i)
{
    size_t side = spec->sherl > 0 ? side_of(spec) : SIZE_MAX;
    if (i == side)
        return (dn_layer_place){&dn_sherl, 0, spec->L};
    dn_layer_place place = spec->architecture->layer(spec, i - (i > side));
    place.unit += i > side;
    return place;
}

/* Layers from `first` on of the whole model; with a tied head that stands without the embedding in front of them the
 * embedding, whose parameters it needs, and which no pass runs through. */
static size_t layers_end(const dn_spec *spec)
{
    return spec->stage.end ? spec->stage.end : n_layers_of_whole(spec);
}

bool dn_model_has_head(const dn_spec *spec)
{
    return layers_end(spec) == n_layers_of_whole(spec);
}

bool dn_model_is_stage(const dn_spec *spec)
{
    return spec->stage.first > 0 || !dn_model_has_head(spec);
}

bool dn_model_borrows_head(const dn_spec *spec)
{
    return dn_spec_is_tied(spec) && spec->stage.first > 0 && dn_model_has_head(spec);
}

size_t dn_model_n_layers(const dn_spec *spec)
{
    return layers_end(spec) - spec->stage.first + dn_model_borrows_head(spec);
}

dn_layer_place dn_model_place(const dn_spec *spec, size_t i)
{
    size_t borrowed = dn_model_borrows_head(spec);
    if (i < borrowed)
        return layer_of_whole(spec, i);
    dn_layer_place place = layer_of_whole(spec, spec->stage.first + i - borrowed);
    place.unit -= layer_of_whole(spec, spec->stage.first).unit - borrowed;
    if (spec->classes > 0 && dn_model_has_head(spec) && i + 1 == dn_model_n_layers(spec))
        place.ops = &dn_classifier;
    return place;
}

size_t dn_model_first_run(const dn_spec *spec)
{
    return dn_model_borrows_head(spec);
}

/* ---- parameters ---- */

size_t dn_model_n_borrowed(const dn_spec *spec)
{
    return dn_model_borrows_head(spec) ? dn_embedding.describe(spec, 0, NULL) : 0;
}

size_t dn_model_first_param(const dn_spec *spec)
{
    size_t n = 0;
    for (size_t i = 0; i < spec->stage.first; i++) {
        dn_layer_place place = spec->architecture->layer(spec, i);
        n += place.ops->describe(spec, place.index, NULL);
    }
    return n - dn_model_n_borrowed(spec);
}

size_t dn_model_n_params(const dn_spec *spec)
{
    size_t n = 0;
    for (size_t i = 0; i < dn_model_n_layers(spec); i++) {
        dn_layer_place place = dn_model_place(spec, i);
        n += place.ops->describe(spec, place.index, NULL);
    }
    return n;
}

/* What is frozen, and which stacks that takes apart. */
static void freeze(const dn_spec *spec, dn_param *params, size_t n_params)
{
    for (size_t p = 0; p < n_params; p++) {
        bool chosen = dn_globs_match(&spec->trained, &params[p]) || dn_layer_is_added(&params[p]);
        params[p].frozen = !chosen && (spec->lora.rank > 0 || spec->trained.n > 0);
        params[p].apart = false;
    }
    for (size_t first = 0, end; first < n_params; first = end) {
        bool mixed = false;
        for (end = first + 1; end < n_params && params[end].stack > 0; end++)
            mixed = mixed || params[end].frozen != params[first].frozen;
        for (size_t p = first; p < end; p++)
            params[p].apart = mixed;
    }
}

void dn_model_layout(const dn_spec *spec, const int size[DN_N_AXES], const int at[DN_N_AXES],
                     dn_arena *weights, dn_arena *grads, dn_param *params, size_t *unit_of)
{
    size_t n_params = 0;
    for (size_t i = 0; i < dn_model_n_layers(spec); i++) {
        dn_layer_place place = dn_model_place(spec, i);
        size_t n = place.ops->describe(spec, place.index, params + n_params);
        for (size_t p = 0; p < n; p++, n_params++)
            params[n_params].unit = unit_of[n_params] = place.unit; /* a tied head has none */
    }
    freeze(spec, params, n_params);
    for (int frozen = 0; frozen < 2; frozen++) {
        size_t room = 0;
        for (size_t p = 0; p < n_params; p++)
            if (params[p].frozen == frozen)
                room = dn_size_add(room, dn_param_max_size(&params[p], size));
        dn_buf *weight = dn_arena_take(weights, dn_size_mul(room, sizeof(dn_real)));
        dn_buf *grad = frozen ? NULL : dn_arena_take(grads, dn_size_mul(room, sizeof(dn_real)));

        /* A stack begins behind the rooms of those before it and has no gaps inside. */
        for (size_t p = 0, next = 0, rooms = 0; p < n_params; p++) {
            dn_param *param = &params[p];
            if (param->frozen != frozen)
                continue;
            param->block = dn_param_block(param, size, at);
            if (param->stack == 0 || param->apart)
                next = rooms;
            param->weight = weight ? dn_at(weight, next) : NULL;
            param->grad = grad ? dn_at(grad, next) : NULL;
            next += dn_param_size(param);
            rooms += dn_param_max_size(param, size);
        }
    }
}

size_t dn_model_trained(const dn_spec *spec, const dn_param *params, dn_param *trained)
{
    size_t n = 0, n_params = dn_model_n_params(spec);
    for (size_t p = dn_model_n_borrowed(spec); p < n_params; p++)
        if (!params[p].frozen) {
            if (trained)
                trained[n] = params[p];
            n++;
        }
    return n;
}

size_t dn_model_lowest(const dn_spec *spec, const dn_param *params)
{
    size_t unit = dn_model_first_run(spec);
    if (spec->stage.first > 0) /* stages before this one wait for its gradient */
        return unit;
    for (size_t i = 0; i < dn_model_n_layers(spec); i++) {
        const dn_layer_place place = dn_model_place(spec, i);
        unit = place.unit;
        for (size_t n = place.ops->describe(spec, place.index, NULL); n > 0; n--, params++)
            if (!params->frozen)
                return unit;
    }
    return unit;
}

/* The same before there are parameters, a layer's at a time: what is measured and what is laid out must not differ by what memory there
 * was to ask for. */
size_t dn_model_lowest_of(const dn_spec *spec)
{
    dn_param params[DN_LAYER_PARAMS_MAX];
    size_t unit = dn_model_first_run(spec);
    if (spec->stage.first > 0 || (spec->trained.n == 0 && spec->lora.rank == 0))
        return unit;
    for (size_t i = 0; i < dn_model_n_layers(spec); i++) {
        const dn_layer_place place = dn_model_place(spec, i);
        size_t n = place.ops->describe(spec, place.index, NULL);
        unit = place.unit;
        memset(params, 0, n * sizeof *params);
        place.ops->describe(spec, place.index, params);
        freeze(spec, params, n);
        for (size_t p = 0; p < n; p++)
            if (!params[p].frozen)
                return unit;
    }
    return unit;
}

static double first_std(const dn_spec *spec, const dn_param *param)
{
    if (dn_layer_is_added(param) && param->kind == DN_PARAM_MATRIX)
        return 1 / sqrt((double)param->tensor.cols);
    if (dn_layer_is_prefix(param))
        return 0.1; /* a score of about 0, and values that hardly count: the model begins near to what it was */
    if (spec->architecture->first_std)
        return spec->architecture->first_std(spec, param);
    if (param->kind == DN_PARAM_EMBEDDING)
        return dn_spec_is_tied(spec) ? 0.02 : 1;
    double out = (double)param->tensor.rows, in = (double)param->tensor.cols;
    return fmin(1, sqrt(out / in)) / sqrt(in);
}

dn_status dn_model_init(const dn_spec *spec, const dn_param *params, dn_stream *stream, uint64_t seed)
{
    size_t n_borrowed = dn_model_n_borrowed(spec), first = dn_model_first_param(spec), n_params = dn_model_n_params(spec);
    for (size_t p = 0; p < n_params; p++) {
        const dn_param *param = &params[p];
        if (param->kind == DN_PARAM_VECTOR || dn_adapter_is_b(param)) {
            stream->kernels->fill(stream, param->weight, dn_param_size(param),
                                  dn_layer_is_bias(param) || dn_adapter_is_b(param) ? 0
                                  : dn_layer_is_added(param)                        ? 1
                                                                                    : 1 - spec->norm.offset);
            continue;
        }
        const dn_draw draw = {seed, p < n_borrowed ? p : first + p, first_std(spec, param), param->tensor.cols, param->block};
        DN_TRY(dn_draw_normal(stream, param->weight, &draw));
    }
    return dn_stream_sync(stream);
}
