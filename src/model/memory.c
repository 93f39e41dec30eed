/*
 * The memory of a model, and what a pass costs.
 *
 * One allocation, in this order (N = room, every part starts on a multiple of DN_ARENA_ALIGN):
 *
 *     angles [T,rot] | y [N,C], gain, dgain | before [N,C] | low [2,N,rank] | wide [N, widest] | rounded | dy [N,C] | of each slot:
 *     tokens, targets [N] | x [N,C] | outputs [L,N,C] | messages of channels | layer 0 | layer 1 ...
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
#include "nn/channel.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

/* ---- layout ---- */

/* What a model has room for: micro-batches of B sequences in slots, or a cache of n_sequences. */
typedef struct extent {
    size_t B, n_slots, n_sequences;
    bool cache_bf16;
} extent;

static size_t room_of(const dn_spec *spec, const extent *e)
{
    return e->n_sequences ? dn_max(e->n_sequences, dn_min(spec->T, DN_MODEL_CHUNK)) : e->B * spec->T;
}

static dn_pass pass_of(const dn_spec *spec, const extent *e, int tp_size, int tp_rank)
{
    return (dn_pass){.spec = spec,
                     .room = room_of(spec, e),
                     .n_sequences = e->n_sequences,
                     .cache_bf16 = e->cache_bf16,
                     .narrow = spec->narrow && !e->n_sequences && spec->classes == 0 && spec->lora.rank == 0 && spec->mlp.lags <= 1,
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
    for (size_t i = 0; i < dn_model_n_layers(pass->spec); i++) {
        const dn_layer_place place = dn_model_place(pass->spec, i);
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

size_t dn_layer_cached_bytes(const dn_pass *pass, const dn_layer_ops *ops)
{
    size_t n = ops->cached ? ops->cached(pass) : 0;
    return n * (ops->cache_narrows && pass->cache_bf16 ? sizeof(uint16_t) : sizeof(dn_real));
}

static void lay_cache(const dn_pass *pass, dn_layer *layers, dn_arena *own)
{
    for (size_t i = 0; i < dn_model_n_layers(pass->spec); i++) {
        const dn_layer_ops *ops = dn_model_place(pass->spec, i).ops;
        size_t sequence = dn_size_mul(dn_layer_cached_bytes(pass, ops), pass->spec->T);
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
    size_t N = pass.room, widest = 0, lowest = dn_model_lowest_of(spec);
    for (size_t i = 0; i < dn_model_n_layers(spec); i++) {
        const dn_layer_ops *ops = dn_model_place(spec, i).ops;
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
        pass.y = dn_layer_take_activations(&pass, own, N, spec->C);
        pass.gain = dn_layer_take(own, dn_layer_gain_size(spec));
        pass.dgain = dn_layer_take(own, dn_layer_gain_size(spec));
    }
    if (spec->parallel == DN_YES)
        pass.before = dn_layer_take(own, N * spec->C);
    if (spec->lora.rank > 0)
        pass.low = dn_layer_take(own, dn_size_mul(2 * spec->lora.rank, N));
    pass.wide = dn_layer_take(own, N * widest);
    if (pass.narrow)
        pass.rounded = dn_layer_take_narrow(own, N * dn_max(widest, spec->C));
    pass.dy = dn_layer_take(shared, N * spec->C);
    for (size_t s = 0; s < e->n_slots; s++) {
        pass.tokens = dn_arena_take(own, N * sizeof(int32_t));
        pass.targets = dn_arena_take(own, N * sizeof(int32_t));
        pass.x = dn_layer_take(crossing, N * spec->C);
        if (spec->sherl > 0 || spec->outputs)
            pass.outputs = dn_layer_take(own, dn_size_mul(N * spec->C, spec->L));
        dn_bytes *messages = dn_arena_take(own, dn_channels_bytes(spec, spec->n_channels, N));
        if (slots) {
            slots[s].pass = pass;
            slots[s].messages = messages;
        }
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
    for (size_t i = dn_model_first_run(spec); tp_size > 1 && i < dn_model_n_layers(spec); i++) {
        const dn_layer_place place = dn_model_place(spec, i);
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
    for (size_t i = 0, first = 0; i < dn_model_n_layers(spec); i++) {
        const dn_layer_place place = dn_model_place(spec, i);
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
    return dn_spec_is_tied(spec) && dn_model_has_head(spec) && i + 1 == dn_model_n_layers(spec);
}

static size_t rounded(size_t bytes)
{
    size_t unit = _Alignof(max_align_t);
    return (bytes + unit - 1) / unit * unit;
}

/* The model, its slots, their layers and what these keep, but for buffers. */
static dn_model *describe(const dn_spec *spec, const extent *e)
{
    size_t n = dn_model_n_layers(spec), kept = 0, n_slots = e->n_slots;
    size_t n_rows = e->n_sequences ? room_of(spec, e) : 0;
    for (size_t i = 0; i < n; i++)
        kept += rounded(dn_model_place(spec, i).ops->kept_bytes);
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
            dn_layer_place place = dn_model_place(spec, i);
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
    model->spec.narrow = spec->narrow && parts->stream->kernels->narrow;
    const footprint need = measure(&model->spec, &e, tp_size, tp_rank);
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
    dn_arena exchanged = {.base = parts->exchange, .capacity = measure(&model->spec, &e, tp_size, 0).exchanged};
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

void dn_model_on_complete(dn_model *model, dn_complete_fn *complete, void *context)
{
    model->complete = complete;
    model->complete_context = context;
}

void dn_model_on_progress(dn_model *model, dn_progress_fn *progress, void *context)
{
    for (size_t s = 0; s < model->n_slots; s++) {
        model->slots[s].pass.progress = progress;
        model->slots[s].pass.progress_context = context;
    }
}
