/*
 * The registry of architectures, and the running of a model's layers.
 *
 * One allocation, in this order (N = room, every part starts on a multiple of DN_ARENA_ALIGN):
 *
 *     angles [T,hd] | y [N,C], gain, dgain [C] | wide [N, widest] | dy [N,C] | of each slot:
 *     tokens, targets [N] | x [N,C] | layer 0 | layer 1 ...
 *
 * angles for attention, y and gains for norms with gains, the last layer with the first slot only. With
 * several ranks in tp, dy, x and what layers exchange lie in symmetric memory instead, in the same order.
 */
#include "model/instance.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/draw.h"
#include "model/architectures.h" /* DN_ARCHITECTURES(X): made of the list in meson.build */
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
                                                      : NULL;
    if (!spec->architecture->attention && of_heads)
        return dn_fail(DN_ERR_CONFIG, "architecture %s has no attention: leave out %s",
                       spec->architecture->name, of_heads);
    return spec->architecture->complete(spec);
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

static size_t n_layers_of(const dn_spec *spec)
{
    return spec->architecture->n_layers(spec);
}

static dn_layer_place place_of(const dn_spec *spec, size_t i)
{
    return spec->architecture->layer(spec, i);
}

/* ---- parameters ---- */

size_t dn_model_n_params(const dn_spec *spec)
{
    size_t n = 0;
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        dn_layer_place place = place_of(spec, i);
        n += place.ops->describe(spec, place.index, NULL);
    }
    return n;
}

void dn_model_layout(const dn_spec *spec, const int size[DN_N_AXES], const int at[DN_N_AXES],
                     dn_arena *weights, dn_arena *grads, dn_param *params, size_t *unit_of)
{
    size_t n_params = 0, room = 0;
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        dn_layer_place place = place_of(spec, i);
        size_t n = place.ops->describe(spec, place.index, params + n_params);
        for (size_t p = 0; p < n; p++)
            unit_of[n_params++] = place.unit;
    }
    for (size_t p = 0; p < n_params; p++)
        room = dn_size_add(room, dn_param_max_size(&params[p], size));
    dn_buf *weight = dn_arena_take(weights, dn_size_mul(room, sizeof(dn_real)));
    dn_buf *grad = dn_arena_take(grads, dn_size_mul(room, sizeof(dn_real)));

    /* A stack begins behind the rooms of those before it and has no gaps inside. */
    for (size_t p = 0, next = 0, rooms = 0; p < n_params; p++) {
        dn_param *param = &params[p];
        param->block = dn_param_block(param, size, at);
        if (param->stack == 0)
            next = rooms;
        param->weight = weight ? dn_at(weight, next) : NULL;
        param->grad = grad ? dn_at(grad, next) : NULL;
        next += dn_param_size(param);
        rooms += dn_param_max_size(param, size);
    }
}

double dn_model_first_std(const dn_param *param)
{
    if (param->kind == DN_PARAM_EMBEDDING)
        return 1;
    double out = (double)param->tensor.rows, in = (double)param->tensor.cols;
    return fmin(1, sqrt(out / in)) / sqrt(in);
}

dn_status dn_model_init(const dn_spec *spec, const dn_param *params, dn_stream *stream, uint64_t seed)
{
    for (size_t p = 0; p < dn_model_n_params(spec); p++) {
        const dn_param *param = &params[p];
        if (param->kind == DN_PARAM_VECTOR) {
            stream->kernels->fill(stream, param->weight, dn_param_size(param), !dn_layer_is_bias(param));
            continue;
        }
        const dn_draw draw = {seed, p, spec->architecture->first_std(param), param->tensor.cols,
                              param->block};
        DN_TRY(dn_draw_normal(stream, param->weight, &draw));
    }
    return dn_stream_sync(stream);
}

/* ---- memory and costs ---- */

static dn_pass pass_of(const dn_spec *spec, size_t B, int tp_size, int tp_rank)
{
    return (dn_pass){.spec = spec,
                     .room = B * spec->T,
                     .tp_size = tp_size,
                     .tp_rank = tp_rank,
                     .vocab = dn_layer_vocab_shard(spec, tp_size, tp_rank)};
}

/* Takes all memory of the slots, and what they share. slots NULL: there are none yet, and nothing is filled.
 */
static void lay_out(const dn_spec *spec, size_t B, size_t n_slots, int tp_size, int tp_rank,
                    dn_model_slot *slots, dn_arena *own, dn_arena *exchanged)
{
    _Alignas(max_align_t) char measured[DN_LAYER_KEPT_MAX] = {0};
    dn_pass pass = pass_of(spec, B, tp_size, tp_rank);
    dn_arena *shared = tp_size > 1 ? exchanged : own;
    size_t N = pass.room, widest = 0;
    for (size_t i = 0; i < n_layers_of(spec); i++) {
        const dn_layer_ops *ops = place_of(spec, i).ops;
        size_t wide = ops->wide ? ops->wide(&pass) : 0;
        widest = dn_max(widest, wide);
    }
    if (spec->architecture->attention)
        pass.angles = dn_layer_take(own, spec->T * spec->attention.hd);
    if (spec->norm.gain) {
        pass.y = dn_layer_take(own, N * spec->C);
        pass.gain = dn_layer_take(own, spec->C);
        pass.dgain = dn_layer_take(own, spec->C);
    }
    pass.wide = dn_layer_take(own, N * widest);
    pass.dy = dn_layer_take(shared, N * spec->C);
    for (size_t s = 0; s < n_slots; s++) {
        pass.tokens = dn_arena_take(own, N * sizeof(int32_t));
        pass.targets = dn_arena_take(own, N * sizeof(int32_t));
        pass.x = dn_layer_take(shared, N * spec->C);
        if (slots)
            slots[s].pass = pass;
        for (size_t i = 0; i < n_layers_of(spec); i++) {
            const dn_layer_ops *ops = place_of(spec, i).ops;
            if (ops->lay && (ops->backward || s == 0))
                ops->lay(&pass, slots ? slots[s].layers[i].kept : measured, own, shared);
        }
    }
}

size_t dn_model_activation_bytes(const dn_spec *spec, size_t B, size_t n_slots, int tp_size)
{
    dn_arena own = {0}, exchanged = {0};
    lay_out(spec, B, n_slots, tp_size, 0, NULL, &own, &exchanged);
    return own.used;
}

size_t dn_model_heap_bytes(const dn_spec *spec, size_t B, size_t n_slots, int tp_size)
{
    dn_arena own = {0}, exchanged = {0};
    lay_out(spec, B, n_slots, tp_size, 0, NULL, &own, &exchanged);
    return exchanged.used;
}

void dn_model_tp_bytes(const dn_spec *spec, size_t B, int tp_size, bool train,
                       uint64_t bytes[DN_N_COLLECTIVES])
{
    size_t N = B * spec->T;
    for (int c = 0; c < DN_N_COLLECTIVES; c++)
        bytes[c] = 0;
    for (size_t i = 0; tp_size > 1 && i < n_layers_of(spec); i++) {
        const dn_layer_ops *ops = place_of(spec, i).ops;
        size_t sums = (size_t)(ops->sums_forward + (train ? ops->sums_backward : 0));
        bytes[DN_ALL_REDUCE] += sums * N * spec->C * sizeof(dn_real);
        bytes[DN_ALL_GATHER] += (size_t)ops->gathered * N * sizeof(dn_real);
    }
}

double dn_model_flops_per_token(const dn_spec *spec)
{
    double flops = 0;
    for (size_t i = 0; i < n_layers_of(spec); i++)
        flops += place_of(spec, i).ops->flops(spec);
    return flops;
}

/* ---- a model ---- */

static size_t rounded(size_t bytes)
{
    size_t unit = _Alignof(max_align_t);
    return (bytes + unit - 1) / unit * unit;
}

/* The model, its slots, their layers and what these keep, but for buffers. */
static dn_model *describe(const dn_spec *spec, size_t n_slots)
{
    size_t n = n_layers_of(spec), kept = 0;
    for (size_t i = 0; i < n; i++)
        kept += rounded(place_of(spec, i).ops->kept_bytes);
    size_t head = rounded(sizeof(dn_model) + n_slots * sizeof(dn_model_slot)),
           layers = rounded(n * sizeof(dn_layer));
    dn_model *model = calloc(1, head + n_slots * (layers + kept));
    if (!model)
        return NULL;
    char *memory = (char *)model + head;
    model->spec = *spec;
    model->n_slots = n_slots;
    model->n_layers = n;
    for (size_t s = 0; s < n_slots; s++) {
        model->slots[s].layers = (dn_layer *)(void *)memory;
        memory += layers;
        for (size_t i = 0, n_params = 0; i < n; i++) {
            dn_layer_place place = place_of(spec, i);
            assert(place.ops->kept_bytes <= DN_LAYER_KEPT_MAX && (place.ops->backward || i + 1 == n));
            bool own = place.ops->backward || s == 0;
            model->slots[s].layers[i] =
                (dn_layer){place, n_params, own ? memory : model->slots[0].layers[i].kept};
            n_params += place.ops->describe(spec, place.index, NULL);
            memory += rounded(place.ops->kept_bytes);
            model->n_units = place.unit + 1;
        }
    }
    return model;
}

dn_status dn_model_create(const dn_spec *spec, const dn_model_parts *parts, dn_model **out)
{
    DN_TRY(dn_model_check_batch(spec, parts->B));
    int tp_size = dn_comm_size(parts->tp), tp_rank = dn_comm_rank(parts->tp);
    assert((tp_size > 1) == (parts->exchange != NULL) && parts->n_slots > 0);
    dn_model *model = describe(spec, parts->n_slots);
    if (!model)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe a model of %zu layers", spec->L);
    dn_arena own = {0}, exchanged = {0};
    lay_out(&model->spec, parts->B, parts->n_slots, tp_size, tp_rank, NULL, &own, &exchanged);
    model->memory_bytes = own.used;
    dn_status status = dn_device_alloc(parts->stream, model->memory_bytes, &model->memory);
    if (status != DN_OK) {
        free(model);
        return status != DN_ERR_MEMORY ? status
                                       : dn_fail(status,
                                                 "activations of %zu sequences of %zu tokens "
                                                 "(device_batch_size, sequence_length): %s",
                                                 parts->B, spec->T, dn_error_message());
    }
    own = (dn_arena){.base = model->memory, .capacity = model->memory_bytes};
    exchanged = (dn_arena){.base = parts->exchange,
                           .capacity = dn_model_heap_bytes(spec, parts->B, parts->n_slots, tp_size)};
    lay_out(&model->spec, parts->B, parts->n_slots, tp_size, tp_rank, model->slots, &own, &exchanged);
    for (size_t s = 0; s < model->n_slots; s++) {
        model->slots[s].pass.weights = parts->weights;
        model->slots[s].pass.tp = parts->tp;
        model->slots[s].pass.stream = parts->stream;
    }
    if (spec->architecture->attention)
        status = dn_rotary_fill(parts->stream, model->slots[0].pass.angles, spec);
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
static dn_status check_tokens(const dn_model *model, const char *what, const int32_t *tokens, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (size_t)tokens[i] >= model->spec.V)
            return dn_fail(DN_ERR_DATA,
                           "%s %" PRId32 " at position %zu of the micro-batch is not below vocab_size %zu: "
                           "use the tokenizer that the model was made for",
                           what, tokens[i], i, model->spec.V);
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
    if (N > pass->room)
        return dn_fail(DN_ERR_ARG, "micro-batch of %zu sequences for a model with room for %zu", B,
                       pass->room / model->spec.T);
    DN_TRY(check_tokens(model, "token", tokens, N));
    if (targets)
        DN_TRY(check_tokens(model, "target", targets, N));
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
    if (targets)
        dn_upload_ids(pass->stream, pass->targets, targets, N);
    return DN_OK;
}

dn_status dn_model_unit_forward(dn_model *model, size_t slot, size_t unit)
{
    dn_model_slot *s = &model->slots[slot];
    bool both_ways = unit + 1 == model->n_units && s->pass.goal == DN_GOAL_TRAIN;
    DN_TRY(dn_weights_unshard(s->pass.weights, unit, both_ways));
    for (size_t i = 0; i < model->n_layers; i++)
        if (s->layers[i].place.unit == unit)
            DN_TRY(s->layers[i].place.ops->forward(&s->pass, &s->layers[i]));
    return dn_weights_reshard(s->pass.weights, unit, both_ways);
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
    for (size_t unit = 0; unit < model->n_units; unit++) {
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
    DN_TRY(begin(model, slot, DN_GOAL_TRAIN, tokens, targets, B, model->spec.T, scale));
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
    for (size_t unit = model->n_units - 1; unit-- > 0;) {
        DN_TRY(dn_model_unit_backward(model, slot, unit));
        if (is_inner(model, unit))
            DN_TRY(dn_pass_progress(&model->slots[slot].pass, true));
    }
    return dn_stream_sync(model->slots[slot].pass.stream);
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
    DN_TRY(begin(model, 0, DN_GOAL_LOSS, tokens, targets, B, model->spec.T, 0));
    DN_TRY(forward(model, 0));
    return add_loss(model, 0, loss_sum);
}

dn_status dn_model_next(dn_model *model, const int32_t *tokens, size_t n, dn_real *logits)
{
    const dn_pass *pass = &model->slots[0].pass;
    if (n < 1 || n > model->spec.T)
        return dn_fail(DN_ERR_ARG, "a prompt of %zu tokens: the model takes 1 to %zu", n, model->spec.T);
    if (pass->tp_size > 1)
        return dn_fail(DN_ERR_ARG, "logits of a model cut over %d ranks: load it with tp_size 1",
                       pass->tp_size);
    DN_TRY(begin(model, 0, DN_GOAL_NEXT, tokens, NULL, 1, n, 0));
    DN_TRY(forward(model, 0));
    const dn_head_kept *head = model->slots[0].layers[model->n_layers - 1].kept;
    dn_download(pass->stream, logits, head->logits, model->spec.V);
    return dn_stream_sync(pass->stream);
}
