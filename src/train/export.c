/* `dionode export`: a run's weights as a Hugging Face folder. */
#include "dionode/train.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/key.h"
#include "checkpoint/checkpoint.h"
#include "formats/hf_write.h"
#include "train/config_value.h"
#include "train/plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)4000000000)

static dn_status weights_of(void *context, const dn_param *param, const dn_real **values)
{
    return dn_checkpoint_tensor(context, param->tensor.name, param->tensor.rows, param->tensor.cols, values);
}

/* Of one worker, which holds all. */
static dn_status plan_of(const dn_checkpoint *checkpoint, const char *path, dn_config *config, dn_plan *plan)
{
    const char *text = dn_checkpoint_meta(checkpoint, "config");
    if (!text)
        return dn_fail(DN_ERR_CHECKPOINT, "%s: not a checkpoint of a run: it holds no configuration", path);
    dn_config_init(config);
    DN_TRY(dn_config_parse(config, text, path));
    *config->init_from = 0;
    config->dp_size = config->fs_size = config->tp_size = 1;
    return dn_plan_make(config, 1, plan);
}

static bool same_attention(const dn_attention_spec *a, const dn_attention_spec *b)
{
    return a->NH == b->NH && a->NKV == b->NKV && a->hd == b->hd && a->window == b->window && a->qkv_bias == b->qkv_bias &&
           a->o_bias == b->o_bias && a->rot == b->rot && a->theta == b->theta && a->scaling == b->scaling &&
           a->factor == b->factor && a->low == b->low && a->high == b->high && a->original_T == b->original_T;
}

static bool same_model(const dn_spec *a, const dn_spec *b)
{
    return a->V == b->V && a->C == b->C && a->L == b->L && a->norm.eps == b->norm.eps && a->mlp.F == b->mlp.F &&
           a->mlp.act == b->mlp.act && a->mlp.bias == b->mlp.bias && a->tied == b->tied && a->parallel == b->parallel &&
           a->max_positions == b->max_positions && same_attention(&a->attention, &b->attention);
}

/* What the family's config.json says, read again, must be this model: a key that it does not have is lost there. */
static dn_status check_config(const dn_config *of_run, const dn_spec *spec, dn_foreign_type type)
{
    if (!dn_hf_knows(spec))
        return dn_fail(DN_ERR_CONFIG,
                       "no format of Hugging Face's holds architecture %s; its checkpoints are safetensors, which other "
                       "programs open as they are",
                       spec->architecture->name);
    dn_config again = *of_run;
    dn_plan plan;
    for (const dn_key *key = dn_config_keys(); key->name; key++)
        if (key->role == DN_KEY_MODEL)
            DN_TRY(dn_config_assign(&again, key->name, dn_key_is_null(key->initial) ? NULL : key->initial, "config.json"));
    char *text = dn_hf_write_config(spec, type);
    dn_status status = text ? dn_hf_parse_config(text, strlen(text), "config.json", &again)
                            : dn_fail(DN_ERR_MEMORY, "no memory for config.json");
    free(text);
    DN_TRY(status);
    DN_TRY(dn_plan_make(&again, 1, &plan));
    if (same_model(&plan.spec, spec))
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "a config.json of model_type %s cannot say all that this run's configuration says of the "
                                  "model (biases, window, activation): it would open as another model",
                   spec->architecture->name);
}

static dn_status write_folder(const dn_plan *plan, dn_checkpoint *checkpoint, const char *folder, dn_foreign_type type)
{
    const int first[DN_N_AXES] = {0};
    dn_arena weights = {0}, grads = {0};
    dn_param *params = calloc(plan->n_params, sizeof *params);
    size_t *unit_of = calloc(plan->n_params, sizeof *unit_of);
    dn_status status = params && unit_of ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu parameters", plan->n_params);
    if (status == DN_OK) {
        dn_model_layout(&plan->spec, plan->mesh, first, &weights, &grads, params, unit_of);
        status = dn_hf_write(folder, &plan->spec, params, plan->n_params, type, FILE_BYTES, weights_of, checkpoint);
    }
    free(params);
    free(unit_of);
    return status;
}

static dn_status check_folder(const char *folder)
{
    char config[DN_PATH_MAX + 16];
    snprintf(config, sizeof config, "%s/config.json", folder);
    if (access(config, F_OK) == 0)
        return dn_fail(DN_ERR_IO, "%s holds a model: name another folder", folder);
    return dn_dir_make(folder);
}

dn_status dn_export(const char *run, const char *folder, const char *dtype)
{
    static const char *const names[] = {"float32", "float64", "float16", "bfloat16"};
    char path[DN_PATH_MAX + 64];
    int type = -1;
    bool found;
    for (int i = 0; i < 4; i++)
        type = strcmp(dtype, names[i]) == 0 ? i : type;
    if (type < 0)
        return dn_fail(DN_ERR_ARG, "dtype '%s' is none of " DN_FOREIGN_TYPE_NAMES, dtype);
    DN_TRY(dn_checkpoint_latest(run, path, sizeof path, &found));
    if (!found)
        return dn_fail(DN_ERR_CHECKPOINT, "'%s' holds no checkpoint; train first, or name a run's checkpoint_dir", run);
    dn_checkpoint *checkpoint;
    dn_config config;
    dn_plan plan;
    DN_TRY(dn_checkpoint_open(path, NULL, NULL, &checkpoint));
    dn_status status = plan_of(checkpoint, path, &config, &plan);
    if (status == DN_OK)
        status = check_config(&config, &plan.spec, (dn_foreign_type)type);
    if (status == DN_OK)
        status = check_folder(folder);
    if (status == DN_OK)
        status = write_folder(&plan, checkpoint, folder, (dn_foreign_type)type);
    dn_checkpoint_close(&checkpoint);
    return status;
}
