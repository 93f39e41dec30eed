#include "model/model.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/draw.h"
#include "model/architectures.h" /* DN_ARCHITECTURES(X): made of the list in meson.build */

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

dn_status dn_model_check(const dn_spec *spec)
{
    return spec->architecture->check(spec);
}

/* So that a count of positions is an int, as BLAS takes it, and all sizes of activations stay within a size_t. */
dn_status dn_model_check_batch(const dn_spec *spec, size_t B)
{
    DN_TRY(dn_model_check(spec));
    if (B < 1 || B > INT32_MAX / spec->T)
        return dn_fail(
            DN_ERR_CONFIG,
            "%zu sequences at a time: with sequence_length %zu, device_batch_size can be from 1 to "
            "%zu",
            B, spec->T, INT32_MAX / spec->T);
    return DN_OK;
}

size_t dn_model_n_params(const dn_spec *spec)
{
    return spec->architecture->n_params(spec);
}

void dn_model_layout(const dn_spec *spec, const int size[DN_N_AXES], const int at[DN_N_AXES], dn_arena *weights,
                     dn_arena *grads, dn_param *params, size_t *unit_of)
{
    size_t n_params = dn_model_n_params(spec), room = 0;
    spec->architecture->describe(spec, params, unit_of);
    for (size_t p = 0; p < n_params; p++)
        room = dn_size_add(room, dn_param_room(&params[p], size));
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
        rooms += dn_param_room(param, size);
    }
}

dn_status dn_model_init(const dn_spec *spec, const dn_param *params, dn_stream *stream, uint64_t seed)
{
    for (size_t p = 0; p < dn_model_n_params(spec); p++) {
        const dn_param *param = &params[p];
        const dn_draw draw = {seed, p, spec->architecture->first_std(param), param->cols, param->block};
        DN_TRY(dn_draw_normal(stream, param->weight, &draw));
    }
    return DN_OK;
}

size_t dn_model_activation_bytes(const dn_spec *spec, size_t B, int tp_size)
{
    return spec->architecture->activation_bytes(spec, B, tp_size);
}

size_t dn_model_heap_bytes(const dn_spec *spec, size_t B, int tp_size)
{
    return spec->architecture->heap_bytes(spec, B, tp_size);
}

void dn_model_tp_bytes(const dn_spec *spec, size_t B, int tp_size, bool train, uint64_t bytes[DN_N_COLLECTIVES])
{
    spec->architecture->tp_bytes(spec, B, tp_size, train, bytes);
}

double dn_model_flops_per_token(const dn_spec *spec)
{
    return spec->architecture->flops_per_token(spec);
}

dn_status dn_model_create(const dn_spec *spec, const dn_model_parts *parts, dn_model **out)
{
    DN_TRY(dn_model_check_batch(spec, parts->B));
    dn_model *model = calloc(1, sizeof *model);
    if (!model)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe a model");
    model->spec = *spec;
    dn_status status = spec->architecture->create(spec, parts, &model->instance);
    if (status != DN_OK) {
        free(model);
        return status;
    }
    *out = model;
    return DN_OK;
}

void dn_model_destroy(dn_model **model)
{
    if (!*model)
        return;
    (*model)->spec.architecture->destroy((*model)->instance);
    free(*model);
    *model = NULL;
}

void dn_model_on_progress(dn_model *model, dn_progress_fn *progress, void *context)
{
    model->spec.architecture->on_progress(model->instance, progress, context);
}

dn_status dn_model_train(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B, double scale,
                         double *loss_sum)
{
    return model->spec.architecture->train(model->instance, tokens, targets, B, scale, loss_sum);
}

dn_status dn_model_loss(dn_model *model, const int32_t *tokens, const int32_t *targets, size_t B, double *loss_sum)
{
    return model->spec.architecture->loss(model->instance, tokens, targets, B, loss_sum);
}

dn_status dn_model_next(dn_model *model, const int32_t *tokens, size_t n, dn_real *logits)
{
    return model->spec.architecture->next(model->instance, tokens, n, logits);
}
