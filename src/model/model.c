/*
 * The registry of architectures, and the running of a model's layers.
 *
 * One allocation, in this order (N = room, every part starts on a multiple of DN_ARENA_ALIGN):
 *
 *     angles [T,rot] | y [N,C], gain, dgain | before [N,C] | low [2,N,rank] | wide [N, widest] | dy [N,C] | of each slot:
 *     tokens, targets [N] | x [N,C] | outputs [L,N,C] | layer 0 | layer 1 ...
 *
 * angles for attention, y and gains for norms with gains, before for layers side by side, the last layer with
 * the first slot only. With several ranks in tp, dy, x and what layers exchange lie in symmetric memory instead, in the same order;
 * x alone in a stage of a pipeline, from where its neighbours read it.
 *
 * A model that generates goes only forward, so that all layers keep what they keep in the same place; behind it
 * lies the cache, layer by layer. So do layers below the lowest unit with something trained, where no backward pass comes.
 */
#include "model/instance.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/draw.h"
#include "model/architectures.h" /* DN_ARCHITECTURES(X): made of the list in meson.build */
#include "nn/adapter.h"
#include "nn/classifier.h"
#include "nn/head.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
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

static size_t n_layers_of(const dn_spec *spec)
{
    return layers_end(spec) - spec->stage.first + dn_model_borrows_head(spec);
}

static dn_layer_place place_of(const dn_spec *spec, size_t i)
{
    size_t borrowed = dn_model_borrows_head(spec);
    if (i < borrowed)
        return layer_of_whole(spec, i);
    dn_layer_place place = layer_of_whole(spec, spec->stage.first + i - borrowed);
    place.unit -= layer_of_whole(spec, spec->stage.first).unit - borrowed;
    if (spec->classes > 0 && dn_model_has_head(spec) && i + 1 == n_layers_of(spec))
        place.ops = &dn_classifier;
    return place;
}

/* The first layer that passes run through, and its unit. */
static size_t first_run(const dn_spec *spec)
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
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        dn_layer_place place = place_of(spec, i);
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
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        dn_layer_place place = place_of(spec, i);
        size_t n = place.ops->describe(spec, place.index, params + n_params);
        for (size_t p = 0; p < n; p++)
            unit_of[n_params++] = place.unit; /* a tied head has none */
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
    size_t unit = first_run(spec);
    if (spec->stage.first > 0) /* stages before this one wait for its gradient */
        return unit;
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        const dn_layer_place place = place_of(spec, i);
        unit = place.unit;
        for (size_t n = place.ops->describe(spec, place.index, NULL); n > 0; n--, params++)
            if (!params->frozen)
                return unit;
    }
    return unit;
}

/* The same before there are parameters, a layer's at a time: what is measured and what is laid out must not differ by what memory there
 * was to ask for. */
static size_t lowest_of(const dn_spec *spec)
{
    dn_param params[DN_LAYER_PARAMS_MAX];
    size_t unit = 0;
    if (spec->trained.n == 0 && spec->lora.rank == 0)
        return 0;
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        const dn_layer_place place = place_of(spec, i);
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

/* ---- memory and costs ---- */

/* What a model has room for: micro-batches of B sequences in slots, or a cache of n_sequences. */
typedef struct extent {
    size_t B, n_slots, n_sequences;
    bool cache_bf16;
} extent;

/* Of a cache, one token of each sequence, or some of one sequence, which take turns. */
enum { CHUNK = DN_CACHE_SEQUENCES_MAX };

static size_t room_of(const dn_spec *spec, const extent *e)
{
    return e->n_sequences ? dn_max(e->n_sequences, dn_min(spec->T, CHUNK)) : e->B * spec->T;
}

static dn_pass pass_of(const dn_spec *spec, const extent *e, int tp_size, int tp_rank)
{
    return (dn_pass){.spec = spec,
                     .room = room_of(spec, e),
                     .n_sequences = e->n_sequences,
                     .cache_bf16 = e->cache_bf16,
                     .tp_size = tp_size,
                     .tp_rank = tp_rank,
                     .vocab = dn_layer_vocab_shard(spec, tp_size, tp_rank)};
}

/* What the layers of a slot keep. Those that never go backward, with a cache all, begin where the first one does. */
static void lay_layers(const dn_pass *pass, size_t lowest, dn_layer *layers, bool first_slot, dn_arena *own, dn_arena *shared)
{
    _Alignas(max_align_t) char measured[DN_LAYER_KEPT_MAX] = {0};
    const dn_arena own_begin = *own, shared_begin = *shared;
    dn_arena own_end = *own, shared_end = *shared;
    for (size_t i = 0; i < n_layers_of(pass->spec); i++) {
        const dn_layer_place place = place_of(pass->spec, i);
        bool forward_only = pass->n_sequences || place.unit < lowest;
        if (place.ops->lay && (place.ops->backward || first_slot)) {
            if (forward_only) {
                *own = own_begin;
                *shared = shared_begin;
            } else {
                *own = own_end;
                *shared = shared_end;
            }
            place.ops->lay(pass, layers ? layers[i].kept : measured, own, shared);
        }
        own_end.used = dn_max(own_end.used, own->used);
        shared_end.used = dn_max(shared_end.used, shared->used);
    }
    *own = own_end;
    *shared = shared_end;
}

/* Of a position. */
static size_t cached_bytes(const dn_pass *pass, const dn_layer_ops *ops)
{
    size_t n = ops->cached ? ops->cached(pass) : 0;
    return n * (ops->cache_narrows && pass->cache_bf16 ? sizeof(uint16_t) : sizeof(dn_real));
}

static void lay_cache(const dn_pass *pass, dn_layer *layers, dn_arena *own)
{
    for (size_t i = 0; i < n_layers_of(pass->spec); i++) {
        const dn_layer_ops *ops = place_of(pass->spec, i).ops;
        size_t sequence = dn_size_mul(cached_bytes(pass, ops), pass->spec->T);
        dn_buf *cache = dn_arena_take(own, dn_size_mul(sequence, pass->n_sequences));
        if (layers)
            layers[i].cache = cache;
    }
}

/* Takes all memory of the slots, and what they share. slots NULL: there are none yet, and nothing is filled.
 */
static void lay_out(const dn_spec *spec, const extent *e, int tp_size, int tp_rank, dn_model_slot *slots,
                    dn_arena *own, dn_arena *exchanged)
{
    dn_pass pass = pass_of(spec, e, tp_size, tp_rank);
    dn_arena *shared = tp_size > 1 ? exchanged : own, *crossing = dn_model_is_stage(spec) ? exchanged : shared;
    size_t N = pass.room, widest = 0, lowest = lowest_of(spec);
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        const dn_layer_ops *ops = place_of(spec, i).ops;
        size_t wide = ops->wide ? ops->wide(&pass) : 0;
        widest = dn_max(widest, wide);
    }
    if (spec->architecture->attention)
        pass.angles = pass.angle_table = dn_layer_take(own, spec->T * spec->attention.rot);
    if (spec->architecture->attention && e->n_sequences)
        pass.angles = dn_layer_take(own, N * spec->attention.rot);
    if (e->n_sequences)
        pass.positions = dn_arena_take(own, N * sizeof(int32_t));
    if (spec->norm.gain) {
        pass.y = dn_layer_take(own, N * spec->C);
        pass.gain = dn_layer_take(own, dn_layer_gain_size(spec));
        pass.dgain = dn_layer_take(own, dn_layer_gain_size(spec));
    }
    if (spec->parallel == DN_YES)
        pass.before = dn_layer_take(own, N * spec->C);
    if (spec->lora.rank > 0)
        pass.low = dn_layer_take(own, dn_size_mul(2 * spec->lora.rank, N));
    pass.wide = dn_layer_take(own, N * widest);
    pass.dy = dn_layer_take(shared, N * spec->C);
    for (size_t s = 0; s < e->n_slots; s++) {
        pass.tokens = dn_arena_take(own, N * sizeof(int32_t));
        pass.targets = dn_arena_take(own, N * sizeof(int32_t));
        pass.x = dn_layer_take(crossing, N * spec->C);
        if (spec->sherl > 0)
            pass.outputs = dn_layer_take(own, dn_size_mul(N * spec->C, spec->L));
        if (slots)
            slots[s].pass = pass;
        lay_layers(&pass, lowest, slots ? slots[s].layers : NULL, s == 0, own, shared);
    }
    if (e->n_sequences)
        lay_cache(&pass, slots ? slots[0].layers : NULL, own);
}

/* Bytes of a rank. */
typedef struct footprint {
    size_t own, exchanged;
} footprint;

static footprint measure(const dn_spec *spec, const extent *e, int tp_size, int tp_rank)
{
    dn_arena own = {0}, exchanged = {0};
    lay_out(spec, e, tp_size, tp_rank, NULL, &own, &exchanged);
    return (footprint){own.used, exchanged.used};
}

size_t dn_model_activation_bytes(const dn_spec *spec, size_t B, size_t n_slots, int tp_size)
{
    return measure(spec, &(extent){B, n_slots, 0, false}, tp_size, 0).own;
}

size_t dn_model_heap_bytes(const dn_spec *spec, size_t B, size_t n_slots, int tp_size)
{
    return measure(spec, &(extent){B, n_slots, 0, false}, tp_size, 0).exchanged;
}

size_t dn_model_cache_bytes(const dn_spec *spec, size_t n_sequences, bool cache_bf16, int tp_size)
{
    return measure(spec, &(extent){0, 1, n_sequences, cache_bf16}, tp_size, 0).own;
}

size_t dn_model_cache_heap_bytes(const dn_spec *spec, size_t n_sequences, int tp_size)
{
    return measure(spec, &(extent){0, 1, n_sequences, false}, tp_size, 0).exchanged;
}

void dn_model_tp_bytes(const dn_spec *spec, size_t B, int tp_size, size_t lowest, uint64_t bytes[DN_N_COLLECTIVES])
{
    size_t N = B * spec->T;
    for (int c = 0; c < DN_N_COLLECTIVES; c++)
        bytes[c] = 0;
    for (size_t i = first_run(spec); tp_size > 1 && i < n_layers_of(spec); i++) {
        const dn_layer_place place = place_of(spec, i);
        size_t sums = (size_t)(place.ops->sums_forward + (place.unit >= lowest ? place.ops->sums_backward : 0));
        bytes[DN_ALL_REDUCE] += sums * N * spec->C * sizeof(dn_real);
        bytes[DN_ALL_GATHER] += (size_t)place.ops->gathered * N * sizeof(dn_real);
    }
}

/* Each matrix: 2 for each element forward, 2 for the gradient of what goes into it, 2 for its own. */
double dn_model_flops_per_token(const dn_spec *spec, const dn_param *params)
{
    double flops = 0;
    size_t lowest = dn_model_lowest(spec, params);
    for (size_t i = 0, first = 0; i < n_layers_of(spec); i++) {
        const dn_layer_place place = place_of(spec, i);
        size_t end = first + place.ops->describe(spec, place.index, NULL);
        flops += place.unit < lowest ? place.ops->flops(spec) / 3 : place.ops->flops(spec);
        for (; first < end; first++) {
            const dn_param *p = &params[first];
            bool product = p->kind == DN_PARAM_MATRIX || p->kind == DN_PARAM_HEAD ||
                           (first == 0 && dn_spec_is_tied(spec));
            if (product && p->frozen && (place.unit >= lowest || first == 0))
                flops -= 2 * (double)p->tensor.rows * (double)p->tensor.cols;
        }
    }
    return flops;
}

/* ---- a model ---- */

/* Whether layer i is a head whose parameters are the first layer's. */
static bool tied_head(const dn_spec *spec, size_t i)
{
    return dn_spec_is_tied(spec) && dn_model_has_head(spec) && i + 1 == n_layers_of(spec);
}

static size_t rounded(size_t bytes)
{
    size_t unit = _Alignof(max_align_t);
    return (bytes + unit - 1) / unit * unit;
}

/* The model, its slots, their layers and what these keep, but for buffers. */
static dn_model *describe(const dn_spec *spec, const extent *e)
{
    size_t n = n_layers_of(spec), kept = 0, n_slots = e->n_slots;
    size_t n_rows = e->n_sequences ? room_of(spec, e) : 0;
    for (size_t i = 0; i < n; i++)
        kept += rounded(place_of(spec, i).ops->kept_bytes);
    size_t head = rounded(sizeof(dn_model) + n_slots * sizeof(dn_model_slot)),
           layers = rounded(n * sizeof(dn_layer));
    size_t n_labels = spec->classes > 0 ? 2 * e->B : 0;
    dn_model *model = calloc(1, head + n_slots * (layers + kept) + n_rows * sizeof(dn_cache_row) + n_labels * sizeof(int32_t));
    if (!model)
        return NULL;
    char *memory = (char *)model + head;
    model->spec = *spec;
    model->n_slots = n_slots;
    model->n_layers = n;
    model->T = spec->T;
    for (size_t s = 0; s < n_slots; s++) {
        model->slots[s].layers = (dn_layer *)(void *)memory;
        memory += layers;
        for (size_t i = 0, n_params = 0; i < n; i++) {
            dn_layer_place place = place_of(spec, i);
            assert(place.ops->kept_bytes <= DN_LAYER_KEPT_MAX && place.ops->describe(spec, place.index, NULL) <= DN_LAYER_PARAMS_MAX &&
                   (place.ops->backward || i + 1 == n));
            bool own = place.ops->backward || s == 0;
            model->slots[s].layers[i] =
                (dn_layer){place, tied_head(spec, i) ? 0 : n_params, NULL,
                           own ? memory : model->slots[0].layers[i].kept};
            n_params += place.ops->describe(spec, place.index, NULL);
            memory += rounded(place.ops->kept_bytes);
            model->n_units = place.unit + 1;
            model->has_head = dn_model_has_head(spec);
        }
    }
    model->rows = n_rows ? (dn_cache_row *)(void *)memory : NULL;
    model->labels = n_labels ? (int32_t *)(void *)(memory + n_rows * sizeof(dn_cache_row)) : NULL;
    return model;
}

dn_status dn_model_create(const dn_spec *spec, const dn_model_parts *parts, dn_model **out)
{
    const extent e = parts->n_sequences ? (extent){0, 1, parts->n_sequences, parts->cache_bf16}
                                        : (extent){parts->B, parts->n_slots, 0, false};
    DN_TRY(dn_model_check_batch(spec, e.n_sequences ? e.n_sequences : e.B));
    int tp_size = dn_comm_size(parts->tp), tp_rank = dn_comm_rank(parts->tp);
    assert((tp_size > 1 || dn_model_is_stage(spec)) == (parts->exchange != NULL) && e.n_slots > 0);
    dn_model *model = describe(spec, &e);
    if (!model)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe a model of %zu layers", spec->L);
    const footprint need = measure(spec, &e, tp_size, tp_rank);
    model->memory_bytes = need.own;
    dn_status status = dn_device_alloc(parts->stream, model->memory_bytes, &model->memory);
    if (status != DN_OK) {
        free(model);
        return status != DN_ERR_MEMORY ? status
               : e.n_sequences         ? dn_fail(status, "a cache of %zu sequences of %zu tokens: %s", e.n_sequences,
                                                 spec->T, dn_error_message())
                                       : dn_fail(status,
                                                 "activations of %zu sequences of %zu tokens "
                                                 "(device_batch_size, sequence_length): %s",
                                                 e.B, spec->T, dn_error_message());
    }
    dn_arena own = {.base = model->memory, .capacity = model->memory_bytes};
    dn_arena exchanged = {.base = parts->exchange, .capacity = measure(spec, &e, tp_size, 0).exchanged};
    lay_out(&model->spec, &e, tp_size, tp_rank, model->slots, &own, &exchanged);
    model->slots[0].pass.rows = model->rows;
    model->lowest = dn_model_lowest(spec, parts->params);
    for (size_t s = 0; s < model->n_slots; s++) {
        model->slots[s].pass.weights = parts->weights;
        model->slots[s].pass.tp = parts->tp;
        model->slots[s].pass.stream = parts->stream;
    }
    if (spec->architecture->attention)
        status = dn_rotary_fill(parts->stream, model->slots[0].pass.angle_table, spec);
    if (status == DN_OK)
        *out = model;
    else
        dn_model_destroy(&model);
    return status;
}

void dn_model_destroy(dn_model **model)
{
    if (!*model)
        return;
    dn_device_free((*model)->slots[0].pass.stream, (*model)->memory, (*model)->memory_bytes);
    free(*model);
    *model = NULL;
}

void dn_model_on_progress(dn_model *model, dn_progress_fn *progress, void *context)
{
    for (size_t s = 0; s < model->n_slots; s++) {
        model->slots[s].pass.progress = progress;
        model->slots[s].pass.progress_context = context;
    }
}

/* ---- a micro-batch ---- */

/* A token outside the vocabulary would read and write past the embedding. */
static dn_status check_tokens(const dn_model *model, const char *what, int32_t least, const int32_t *tokens,
                              size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < least || (tokens[i] >= 0 && (size_t)tokens[i] >= model->spec.V))
            return dn_fail(DN_ERR_DATA,
                           "%s %" PRId32 " at position %zu of the micro-batch is not below vocab_size %zu: "
                           "use the tokenizer that the model was made for",
                           what, tokens[i], i, model->spec.V);
    return DN_OK;
}

static dn_status begin_targets(dn_model *model, dn_pass *pass, const int32_t *targets, size_t B, size_t T)
{
    if (model->spec.classes == 0) {
        DN_TRY(check_tokens(model, "target", -1, targets, B * T));
        dn_upload_ids(pass->stream, pass->targets, targets, B * T);
        return DN_OK;
    }
    int32_t *rows = model->labels, *classes = rows + pass->room / model->spec.T;
    size_t n = 0;
    for (size_t b = 0; b < B; b++)
        for (size_t t = 0, first = n; t < T; t++) {
            int32_t class = targets[b * T + t];
            if (class == -1)
                continue;
            if (class < -1 || (size_t)class >= model->spec.classes || n > first)
                return dn_fail(DN_ERR_DATA, "class %" PRId32 " at position %zu of sequence %zu, of %zu classes and one a sequence",
                               class, t, b, model->spec.classes);
            rows[n] = (int32_t)(b * T + t);
            classes[n++] = class;
        }
    pass->labelled = rows;
    pass->n_labels = n;
    dn_upload_ids(pass->stream, pass->targets, classes, n);
    return DN_OK;
}

/* Into a slot: B sequences of T; targets NULL: there are none. scale: DN_GOAL_TRAIN's. */
static dn_status begin(dn_model *model, size_t slot, dn_goal goal, const int32_t *tokens,
                       const int32_t *targets, size_t B, size_t T, double scale)
{
    if (slot >= model->n_slots)
        return dn_fail(DN_ERR_ARG, "slot %zu of a model that has %zu", slot, model->n_slots);
    dn_pass *pass = &model->slots[slot].pass;
    size_t N = B * T;
    if (N > pass->room || (model->labels && B > pass->room / model->spec.T))
        return dn_fail(DN_ERR_ARG, "micro-batch of %zu sequences for a model with room for %zu", B,
                       pass->room / model->spec.T);
    DN_TRY(check_tokens(model, "token", 0, tokens, N));
    if (targets)
        DN_TRY(begin_targets(model, pass, targets, B, T));
    model->slots[slot].forward_done = false;
    pass->goal = goal;
    pass->B = B;
    pass->T = T;
    pass->scale = scale;
    pass->loss = 0;
    for (int rank = 0; rank < pass->tp_size; rank++) {
        const dn_vocab_shard vocab = dn_layer_vocab_shard(pass->spec, pass->tp_size, rank);
        pass->rows_of[rank] = 0;
        for (size_t i = 0; i < N; i++)
            pass->rows_of[rank] += (size_t)tokens[i] - vocab.first < vocab.n;
    }
    dn_upload_ids(pass->stream, pass->tokens, tokens, N);
    return DN_OK;
}

/* The unit of parameters that a pass opens for one of its own. */
static size_t weights_of(const dn_model *model, size_t unit)
{
    return dn_spec_is_tied(&model->spec) && model->has_head && unit + 1 == model->n_units ? 0 : unit;
}

dn_status dn_model_unit_forward(dn_model *model, size_t slot, size_t unit)
{
    dn_model_slot *s = &model->slots[slot];
    bool both_ways = unit + 1 == model->n_units && model->has_head && s->pass.goal == DN_GOAL_TRAIN;
    DN_TRY(dn_weights_unshard(s->pass.weights, weights_of(model, unit), both_ways));
    for (size_t i = 0; i < model->n_layers; i++)
        if (s->layers[i].place.unit == unit)
            DN_TRY(s->layers[i].place.ops->forward(&s->pass, &s->layers[i]));
    if (s->pass.outputs && unit < model->spec.L)
        s->pass.stream->kernels->copy(s->pass.stream, dn_at(s->pass.outputs, unit * s->pass.room * model->spec.C), s->pass.x,
                                      s->pass.B * s->pass.T * model->spec.C);
    return dn_weights_reshard(s->pass.weights, weights_of(model, unit), both_ways);
}

dn_status dn_model_unit_backward(dn_model *model, size_t slot, size_t unit)
{
    dn_model_slot *s = &model->slots[slot];
    DN_TRY(dn_weights_unshard(s->pass.weights, unit, true));
    for (size_t i = model->n_layers; i-- > 0;)
        if (s->layers[i].place.unit == unit)
            DN_TRY(s->layers[i].place.ops->backward(&s->pass, &s->layers[i]));
    return dn_weights_reshard(s->pass.weights, unit, true);
}

/* Between embedding and head. */
static bool is_inner(const dn_model *model, size_t unit)
{
    return unit > 0 && unit + 1 < model->n_units;
}

static dn_status forward(dn_model *model, size_t slot)
{
    for (size_t unit = first_run(&model->spec); unit < model->n_units; unit++) {
        DN_TRY(dn_model_unit_forward(model, slot, unit));
        if (is_inner(model, unit))
            DN_TRY(dn_pass_progress(&model->slots[slot].pass, true));
    }
    model->slots[slot].forward_done = model->slots[slot].pass.goal == DN_GOAL_TRAIN;
    return DN_OK;
}

static dn_status add_loss(const dn_model *model, size_t slot, double *loss_sum)
{
    DN_TRY(dn_stream_sync(model->slots[slot].pass.stream));
    *loss_sum += model->slots[slot].pass.loss;
    return DN_OK;
}

/* Queues all of it: the loss is there after the next sync. */
static dn_status train_forward(dn_model *model, size_t slot, const int32_t *tokens, const int32_t *targets,
                               size_t B, double scale)
{
    if (scale == 0)
        return dn_fail(DN_ERR_ARG,
                       "the gradient's scale is 0: use dn_model_loss for a loss without gradient");
    DN_TRY(begin(model, slot, DN_GOAL_TRAIN, tokens, targets, B, model->T, scale));
    return forward(model, slot);
}

dn_status dn_model_forward(dn_model *model, size_t slot, const int32_t *tokens, const int32_t *targets,
                           size_t B, double scale, double *loss_sum)
{
    DN_TRY(train_forward(model, slot, tokens, targets, B, scale));
    return add_loss(model, slot, loss_sum);
}

dn_status dn_model_backward(dn_model *model, size_t slot)
{
    if (slot >= model->n_slots || !model->slots[slot].forward_done)
        return dn_fail(DN_ERR_ARG, "no micro-batch waits in slot %zu to go backward", slot);
    model->slots[slot].forward_done = false;
    for (size_t unit = model->n_units - model->has_head; unit-- > model->lowest;) {
        DN_TRY(dn_model_unit_backward(model, slot, unit));
        if (is_inner(model, unit))
            DN_TRY(dn_pass_progress(&model->slots[slot].pass, true));
    }
    return dn_stream_sync(model->slots[slot].pass.stream);
}

dn_buf *dn_model_stream(dn_model *model, size_t slot)
{
    return model->slots[slot].pass.x;
}

dn_status dn_model_train(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B,
                         double scale, double *loss_sum)
{
    DN_TRY(train_forward(model, 0, tokens, targets, B, scale));
    DN_TRY(dn_model_backward(model, 0));
    return add_loss(model, 0, loss_sum);
}

dn_status dn_model_loss(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B,
                        double *loss_sum)
{
    DN_TRY(begin(model, 0, DN_GOAL_LOSS, tokens, targets, B, model->T, 0));
    DN_TRY(forward(model, 0));
    return add_loss(model, 0, loss_sum);
}

void dn_model_set_length(dn_model *model, size_t T)
{
    assert(T >= 1 && T <= model->spec.T && !model->rows);
    model->T = T;
}

dn_status dn_model_classify(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B, dn_real *scores,
                            const dn_buf **outputs)
{
    assert(model->spec.classes > 0);
    const dn_pass *pass = &model->slots[0].pass;
    DN_TRY(begin(model, 0, DN_GOAL_NEXT, tokens, targets, B, model->T, 0));
    DN_TRY(forward(model, 0));
    const dn_classifier_kept *k = model->slots[0].layers[model->n_layers - 1].kept;
    if (outputs)
        *outputs = model->spec.norm.gain ? pass->y : k->norm.n;
    dn_download(pass->stream, scores, k->scores, pass->n_labels * model->spec.classes);
    return dn_stream_sync(pass->stream);
}

/* ---- with a cache ---- */

size_t dn_model_cached_bytes(const dn_model *model)
{
    size_t bytes = 0;
    for (size_t i = 0; i < model->n_layers; i++)
        bytes += cached_bytes(&model->slots[0].pass, model->slots[0].layers[i].place.ops);
    return bytes;
}

static dn_status check_rows(const dn_pass *pass, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (pass->rows[i].sequence >= pass->n_sequences || pass->rows[i].position >= pass->spec->T)
            return dn_fail(DN_ERR_ARG, "position %zu of sequence %zu, in a cache of %zu sequences of %zu",
                           pass->rows[i].position, pass->rows[i].sequence, pass->n_sequences, pass->spec->T);
    return DN_OK;
}

/* B sequences of T tokens, one of them 1, at pass->rows. logits [B,V], or NULL. */
static dn_status extend(dn_model *model, const int32_t *tokens, size_t B, size_t T, dn_real *logits)
{
    dn_pass *pass = &model->slots[0].pass;
    int32_t positions[CHUNK];
    DN_TRY(check_rows(pass, B * T));
    DN_TRY(begin(model, 0, DN_GOAL_NEXT, tokens, NULL, B, T, 0));
    for (size_t i = 0; i < B * T; i++)
        positions[i] = (int32_t)pass->rows[i].position;
    dn_upload_ids(pass->stream, pass->positions, positions, B * T);
    if (model->spec.architecture->attention)
        dn_rotary_select(pass);
    DN_TRY(forward(model, 0));
    const dn_head_kept *head = model->slots[0].layers[model->n_layers - 1].kept;
    if (logits)
        dn_download(pass->stream, logits, head->next, B * model->spec.V);
    return dn_stream_sync(pass->stream);
}

dn_status dn_model_prefill(dn_model *model, size_t sequence, size_t first, const int32_t *tokens, size_t n,
                           dn_real *logits)
{
    dn_pass *pass = &model->slots[0].pass;
    if (!pass->rows || n == 0)
        return dn_fail(DN_ERR_ARG, "%zu tokens for a model %s a cache", n, pass->rows ? "with" : "without");
    for (size_t done = 0, some; done < n; done += some) {
        some = dn_min(n - done, CHUNK);
        for (size_t i = 0; i < some; i++)
            pass->rows[i] = (dn_cache_row){sequence, first + done + i};
        DN_TRY(extend(model, tokens + done, 1, some, done + some == n ? logits : NULL));
    }
    return DN_OK;
}

dn_status dn_model_decode(dn_model *model, const dn_cache_row *rows, const int32_t *tokens, size_t B, dn_real *logits)
{
    dn_pass *pass = &model->slots[0].pass;
    if (!pass->rows || B == 0 || B > pass->n_sequences)
        return dn_fail(DN_ERR_ARG, "%zu sequences for a cache of %zu", B, pass->n_sequences);
    memcpy(pass->rows, rows, B * sizeof *rows);
    return extend(model, tokens, B, 1, logits);
}

dn_status dn_model_fork(dn_model *model, size_t from, size_t to)
{
    dn_pass *pass = &model->slots[0].pass;
    if (from >= pass->n_sequences || to >= pass->n_sequences || from == to)
        return dn_fail(DN_ERR_ARG, "sequence %zu becomes a copy of %zu, of %zu", to, from, pass->n_sequences);
    for (size_t i = 0; i < model->n_layers; i++) {
        const dn_layer *layer = &model->slots[0].layers[i];
        size_t n = cached_bytes(pass, layer->place.ops) * pass->spec->T / sizeof(dn_real);
        pass->stream->kernels->copy(pass->stream, dn_at(layer->cache, to * n), dn_at(layer->cache, from * n), n);
    }
    return dn_stream_sync(pass->stream);
}
