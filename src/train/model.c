#include "train/model.h"

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "dionode/topo.h"

#include <stdlib.h>
#include <string.h>

static dn_status read_config(dn_model *model, const dn_checkpoint *checkpoint, const char *path,
                             const char *const *assignments, size_t n)
{
    const char *text = dn_checkpoint_meta(checkpoint, "config"),
               *step = dn_checkpoint_meta(checkpoint, "step");
    if (!text || !step)
        return dn_fail(DN_ERR_CHECKPOINT, "%s: not a checkpoint of a run: it holds no configuration", path);
    dn_config_init(&model->config);
    DN_TRY(dn_config_parse(&model->config, text, path));
    for (size_t i = 0; i < n; i++)
        DN_TRY(dn_config_set(&model->config, assignments[i]));
    const dn_config *c = &model->config;
    model->shape = (dn_gpt_shape){(size_t)c->vocab_size, (size_t)c->sequence_length, (size_t)c->model_dim,
                                  (size_t)c->n_layer, (size_t)c->n_head};
    model->step = strtoull(step, NULL, 10);
    return dn_gpt_check(&model->shape);
}

static dn_status use_whole_machine(dn_model *model)
{
    dn_topo *topo;
    DN_TRY(dn_topo_create(1, &topo));
    int n_threads = dn_topo_place(topo, 0)->n_threads;
    dn_topo_destroy(&topo);
    return dn_stream_create("cpu", n_threads, &model->stream);
}

static dn_status load_weights(dn_model *model, const dn_checkpoint *checkpoint)
{
    size_t n_params = dn_gpt_n_params(&model->shape);
    model->params = calloc(n_params, sizeof *model->params);
    if (!model->params)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", n_params);
    dn_arena measured = {0}, no_grads = {0};
    const int size[DN_N_AXES] = {1, 1, 1}, at[DN_N_AXES] = {0, 0, 0};
    dn_gpt_layout(&model->shape, size, at, &measured, &no_grads, model->params);
    model->weights_bytes = measured.used;
    DN_TRY(dn_device_alloc(model->stream, model->weights_bytes, &model->weights));
    dn_arena weights = {model->weights, model->weights_bytes, 0};
    no_grads = (dn_arena){0};
    dn_gpt_layout(&model->shape, size, at, &weights, &no_grads, model->params);
    for (size_t i = 0; i < n_params; i++) {
        const dn_param *p = &model->params[i];
        const dn_real *data;
        DN_TRY(dn_checkpoint_tensor(checkpoint, p->name, p->rows, p->cols, &data));
        dn_upload(model->stream, p->weight, data, dn_param_size(p));
    }
    return dn_stream_sync(model->stream);
}

static dn_status make_model(dn_model *model, size_t B)
{
    const int size[DN_N_AXES] = {1, 1, 1};
    size_t n_params = dn_gpt_n_params(&model->shape);
    model->unit_of = calloc(n_params, sizeof *model->unit_of);
    if (!model->unit_of)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu units", n_params);
    dn_gpt_units(&model->shape, model->unit_of);
    DN_TRY(dn_comm_create_alone(dn_mesh_heap_bytes(size), &model->alone));
    DN_TRY(dn_mesh_create(model->alone, size, &model->mesh));
    DN_TRY(dn_weights_create(model->params, n_params, model->unit_of, model->mesh, DN_GATHER_IN_PLACE,
                             model->stream, &model->model_weights));
    return dn_gpt_create(&model->shape, B, model->params, model->model_weights, model->alone, NULL,
                         model->stream, &model->gpt);
}

dn_status dn_model_open(dn_model *model, const char *run, const char *const *assignments, size_t n, size_t B)
{
    memset(model, 0, sizeof *model);
    char path[DN_PATH_MAX + 64];
    bool found;
    DN_TRY(dn_checkpoint_latest(run, path, sizeof path, &found));
    if (!found)
        return dn_fail(DN_ERR_CHECKPOINT,
                       "'%s' holds no checkpoint; train first, or name a run's checkpoint_dir", run);
    dn_checkpoint *checkpoint;
    DN_TRY(dn_checkpoint_open(path, &checkpoint));
    dn_status status = read_config(model, checkpoint, path, assignments, n);
    if (status == DN_OK)
        status = use_whole_machine(model);
    if (status == DN_OK)
        status = load_weights(model, checkpoint);
    dn_checkpoint_close(&checkpoint);
    return status == DN_OK ? make_model(model, B) : status;
}

void dn_model_close(dn_model *model)
{
    dn_gpt_destroy(&model->gpt);
    dn_weights_destroy(&model->model_weights);
    dn_mesh_destroy(&model->mesh);
    dn_comm_destroy(&model->alone);
    free(model->unit_of);
    if (model->weights)
        dn_device_free(model->stream, model->weights, model->weights_bytes);
    dn_stream_destroy(&model->stream);
    free(model->params);
}
