/* The running of a model's layers: a micro-batch forward and backward, and positions with a cache. */
#include "model/instance.h"

#include "base/fail.h"
#include "nn/channel.h"
#include "nn/classifier.h"
#include "nn/head.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

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

/* Leaves of the stream behind a unit, or of its gradient, what would reach another stage. */
static dn_status cross(const dn_model *model, size_t slot, size_t unit, bool forward)
{
    const dn_model_slot *s = &model->slots[slot];
    const dn_pass *pass = &s->pass;
    size_t N = pass->B * pass->T, C = model->spec.C;
    for (size_t i = 0; i < model->spec.n_channels; i++) {
        size_t kept = model->spec.channels[i].kept;
        dn_bytes *message = dn_bytes_at(s->messages, dn_channels_bytes(&model->spec, i, pass->room));
        dn_buf *numbers = dn_channel_numbers(kept, C, N, message);
        if (model->spec.channels[i].unit != unit)
            continue;
        if (forward && pass->tp_size > 1 && unit == 0) { /* others may still read x, as the embedding left it */
            DN_TRY(dn_stream_sync(pass->stream));
            DN_TRY(dn_comm_barrier(pass->tp));
        }
        if (forward)
            dn_channel_encode(pass->stream, kept, C, N, message, pass->x);
        else
            dn_channel_encode_gradient(pass->stream, kept, C, N, numbers, pass->x, message);
        dn_channel_decode_gradient(pass->stream, kept, C, N, pass->x, numbers, message);
    }
    return DN_OK;
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
    DN_TRY(cross(model, slot, unit, true));
    return dn_weights_reshard(s->pass.weights, weights_of(model, unit), both_ways);
}

dn_status dn_model_unit_backward(dn_model *model, size_t slot, size_t unit)
{
    dn_model_slot *s = &model->slots[slot];
    DN_TRY(cross(model, slot, unit, false));
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
    for (size_t unit = dn_model_first_run(&model->spec); unit < model->n_units; unit++) {
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

static dn_status complete(const dn_model *model, size_t unit)
{
    return model->complete ? model->complete(model->complete_context, unit) : DN_OK;
}

dn_status dn_model_backward(dn_model *model, size_t slot)
{
    size_t unit = model->n_units - model->has_head;

    if (slot >= model->n_slots || !model->slots[slot].forward_done)
        return dn_fail(DN_ERR_ARG, "no micro-batch waits in slot %zu to go backward", slot);
    model->slots[slot].forward_done = false;
    DN_TRY(complete(model, unit)); /* the head, which went backward in the forward pass */
    while (unit-- > model->lowest) {
        DN_TRY(dn_model_unit_backward(model, slot, unit));
        DN_TRY(complete(model, unit));
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

const dn_buf *dn_model_output(const dn_model *model, size_t l)
{
    const dn_pass *pass = &model->slots[0].pass;
    assert(pass->outputs && l < model->spec.L);
    return dn_at(pass->outputs, l * pass->room * model->spec.C);
}

/* ---- with a cache ---- */

size_t dn_model_cached_bytes(const dn_model *model)
{
    size_t bytes = 0;
    for (size_t i = 0; i < model->n_layers; i++)
        bytes += dn_layer_cached_bytes(&model->slots[0].pass, model->slots[0].layers[i].place.ops);
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
    int32_t positions[DN_MODEL_CHUNK];
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
        some = dn_min(n - done, DN_MODEL_CHUNK);
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
        size_t n = dn_layer_cached_bytes(pass, layer->place.ops) * pass->spec->T / sizeof(dn_real);
        pass->stream->kernels->copy(pass->stream, dn_at(layer->cache, to * n), dn_at(layer->cache, from * n), n);
    }
    return dn_stream_sync(pass->stream);
}
