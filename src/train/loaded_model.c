#include "train/loaded_model.h"

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "device/device.h"
#include "dionode/topo.h"
#include "train/config_diff.h"
#include "train/finite.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Relative paths of data are relative to where the run was started. That is found from the checkpoint's path,
 * which ends with the configuration's relative checkpoint_dir. */
static void resolve_paths(dn_config *config, const char *checkpoint)
{
    char place[PATH_MAX];
    const char *dir = config->checkpoint_dir;
    while (strncmp(dir, "./", 2) == 0)
        dir += 2;
    size_t n = strlen(dir);
    while (n > 0 && dir[n - 1] == '/')
        n--;
    if (*dir == '/' || n == 0 || !realpath(checkpoint, place))
        return;
    *strrchr(place, '/') = 0;
    size_t whole = strlen(place);
    if (whole <= n || place[whole - n - 1] != '/' || strncmp(place + whole - n, dir, n) != 0)
        return;
    char *const names[] = {config->data_dir, config->train_files, config->val_files};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (*names[i] && *names[i] != '/' && whole - n + strlen(names[i]) < DN_PATH_MAX) {
            memmove(names[i] + whole - n, names[i], strlen(names[i]) + 1);
            memcpy(names[i], place, whole - n); /* it ends with a slash */
        }
}

/* As it was trained, but on a mesh of one and B sequences at a time. */
static dn_status make_plan(dn_loaded_model *model, const dn_checkpoint *checkpoint, const char *path,
                           const char *const *assignments, size_t n, size_t B)
{
    dn_config config;
    const char *text = dn_checkpoint_meta(checkpoint, "config");
    if (!text)
        return dn_fail(DN_ERR_CHECKPOINT, "%s: not a checkpoint of a run: it has no configuration", path);
    DN_TRY(dn_checkpoint_step(checkpoint, &model->step));
    model->tokenizer = dn_plan_tokenizer_of(dn_checkpoint_meta(checkpoint, "tokenizer"));
    dn_config_init(&config);
    DN_TRY(dn_config_parse(&config, text, path));
    const dn_config stored = config;
    resolve_paths(&config, path);
    for (size_t i = 0; i < n; i++)
        DN_TRY(dn_config_set(&config, assignments[i]));
    DN_TRY(dn_config_check_model(&stored, &config, path));
    DN_TRY(dn_device_select(config.device));
    config.dp_size = config.fs_size = config.tp_size = 1;
    config.batch_size = config.device_batch_size = (int64_t)B;
    return dn_plan_make(&config, 1, &model->plan);
}

static dn_status use_whole_machine(dn_loaded_model *model)
{
    dn_topo *topo;
    DN_TRY(dn_topo_create(1, &topo));
    int n_threads = dn_topo_place(topo, 0)->n_threads;
    dn_topo_destroy(&topo);
    return dn_stream_create("cpu", n_threads, &model->stream);
}

static dn_status load_weights(dn_loaded_model *model, const dn_checkpoint *checkpoint, const char *path)
{
    DN_TRY(dn_comm_create_alone(model->plan.model_bytes, &model->comm));
    DN_TRY(dn_mesh_create(model->comm, model->plan.mesh, &model->mesh));
    DN_TRY(dn_instance_open(&model->instance, &model->plan, model->mesh, model->stream, false));
    for (size_t i = 0; i < model->plan.n_params; i++) {
        const dn_param *p = &model->instance.params[i];
        const dn_real *data;
        DN_TRY(dn_checkpoint_tensor(checkpoint, p->tensor.name, p->tensor.rows, p->tensor.cols, &data));
        dn_upload(model->stream, p->weight, data, dn_param_size(p));
    }
    DN_TRY(dn_stream_sync(model->stream));
    return dn_finite_check(&model->instance, path, "use an older checkpoint of that run", NULL, NULL);
}

dn_status dn_loaded_model_open(dn_loaded_model *model, const char *run, const char *const *assignments,
                               size_t n, size_t B)
{
    memset(model, 0, sizeof *model);
    char path[DN_PATH_MAX + 64];
    bool found;
    DN_TRY(dn_checkpoint_latest(run, path, sizeof path, &found));
    if (!found)
        return dn_fail(DN_ERR_CHECKPOINT,
                       "'%s' has no checkpoint; train first, or pass a run's checkpoint_dir", run);
    dn_checkpoint *checkpoint;
    DN_TRY(dn_checkpoint_open(path, NULL, NULL, &checkpoint));
    dn_status status = make_plan(model, checkpoint, path, assignments, n, B);
    if (status == DN_OK)
        status = use_whole_machine(model);
    if (status == DN_OK)
        status = load_weights(model, checkpoint, path);
    dn_checkpoint_close(&checkpoint);
    return status;
}

void dn_loaded_model_close(dn_loaded_model *model)
{
    dn_instance_close(&model->instance);
    dn_stream_destroy(&model->stream);
    dn_mesh_destroy(&model->mesh);
    dn_comm_destroy(&model->comm);
}
