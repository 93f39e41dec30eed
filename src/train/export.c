/* `dionode export`: a run's weights in formats of other programs. */
#include "dionode/train.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/key.h"
#include "checkpoint/checkpoint.h"
#include "formats/write.h"
#include "nn/adapter.h"
#include "train/config_value.h"
#include "train/init.h"
#include "text/tokenizer.h"
#include "train/loaded_model.h"
#include "train/stored_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)4000000000)

/* Where weights come from. */
typedef struct source {
    const dn_checkpoint *checkpoint;
    dn_lora_spec lora; /* adapters to be merged; rank 0: none */
    dn_real *merged;   /* of the last matrix that has one; owned */
} source;

static dn_status weights_of(void *context, const dn_param *param, const dn_real **values)
{
    source *from = context;
    const dn_checkpoint *checkpoint = from->checkpoint;
    size_t rows = param->tensor.rows, cols = param->tensor.cols, r = from->lora.rank;
    char name_a[DN_TENSOR_NAME_MAX + 16], name_b[DN_TENSOR_NAME_MAX + 16];
    const dn_real *a, *b, *w;
    DN_TRY(dn_checkpoint_tensor(checkpoint, param->tensor.name, rows, cols, &w));
    *values = w;
    int stem = (int)(strlen(param->tensor.name) - strlen(".weight"));
    snprintf(name_a, sizeof name_a, "%.*s.lora_A.weight", stem > 0 ? stem : 0, param->tensor.name);
    snprintf(name_b, sizeof name_b, "%.*s.lora_B.weight", stem > 0 ? stem : 0, param->tensor.name);
    if (r == 0 || param->kind != DN_PARAM_MATRIX || !dn_checkpoint_has(checkpoint, name_a))
        return DN_OK;
    DN_TRY(dn_checkpoint_tensor(checkpoint, name_a, r, cols, &a));
    DN_TRY(dn_checkpoint_tensor(checkpoint, name_b, rows, r, &b));
    free(from->merged);
    from->merged = malloc(rows * cols * sizeof *from->merged);
    if (!from->merged)
        return dn_fail(DN_ERR_MEMORY, "no memory to merge %s", param->tensor.name);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            double sum = 0;
            for (size_t k = 0; k < r; k++)
                sum += (double)b[i * r + k] * (double)a[k * cols + j];
            from->merged[i * cols + j] = (dn_real)((double)w[i * cols + j] + from->lora.scale * sum);
        }
    *values = from->merged;
    return DN_OK;
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

/* ---- what a format can say ---- */

/* What the family's config.json says, read again, must be this model: a key that it does not have is lost there. */
static dn_status check_hf(const dn_plan *run, dn_foreign_type type)
{
    const dn_spec *spec = &run->spec;
    if (!dn_hf_knows(spec))
        return dn_fail(DN_ERR_CONFIG,
                       "no format of Hugging Face's holds architecture %s; its checkpoints are safetensors, which other "
                       "programs open as they are",
                       spec->architecture->name);
    dn_config again = run->config;
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

static bool is_among(const char *word, const char *words)
{
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && (!at[n] || at[n] == ' '))
            return true;
    return false;
}

/* A key that a format does not hold must say what the architecture does by itself. */
static dn_status check_keys(const dn_plan *run, const char *format, const char *held, const char *more)
{
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        dn_config without = run->config;
        dn_plan plan;
        char value[256];
        if (key->role != DN_KEY_MODEL || is_among(key->name, held) || is_among(key->name, more))
            continue;
        DN_TRY(dn_config_assign(&without, key->name, dn_key_is_null(key->initial) ? NULL : key->initial, format));
        if (dn_plan_make(&without, 1, &plan) == DN_OK && same_model(&plan.spec, &run->spec))
            continue;
        dn_key_show((const char *)&run->config + key->offset, key, value, sizeof value);
        return dn_fail(DN_ERR_CONFIG, "%s cannot say %s %s of architecture %s: it would open as another model; export as hf",
                       format, key->name, value, run->spec.architecture->name);
    }
    return DN_OK;
}

static dn_status check_gguf(const dn_plan *run, dn_foreign_type type)
{
    const dn_gguf_family *family = run->spec.architecture->gguf;
    if (type == DN_FOREIGN_F64)
        return dn_fail(DN_ERR_CONFIG, "GGUF has matrices as float32, float16 or bfloat16 here, not float64");
    if (!family)
        return dn_fail(DN_ERR_CONFIG, "GGUF has no architecture %s", run->spec.architecture->name);
    if (run->spec.attention.scaling == DN_ROPE_LLAMA3 && !family->frequencies)
        return dn_fail(DN_ERR_CONFIG, "GGUF's architecture %s cannot say rope_scaling %s; export as hf", family->name,
                       run->config.rope_scaling);
    return check_keys(run, "GGUF", "architecture vocab_size model_dim n_layer n_head mlp_dim norm_eps tie_embeddings",
                      family->keys);
}

static dn_status check_llmc(const dn_plan *run, dn_foreign_type type)
{
    if (type != DN_FOREIGN_F32 && type != DN_FOREIGN_BF16)
        return dn_fail(DN_ERR_CONFIG, "llm.c's model files are float32 or bfloat16");
    if (strcmp(run->spec.architecture->name, "gpt2") != 0)
        return dn_fail(DN_ERR_CONFIG, "llm.c's model files are of architecture gpt2, not %s", run->spec.architecture->name);
    return check_keys(run, "llm.c's format", "architecture vocab_size model_dim n_layer n_head", "");
}

/* ---- writing ---- */

static dn_status write_hf(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type,
                          const dn_tokenizer *tokenizer)
{
    if (tokenizer)
        DN_TRY(dn_tokenizer_copy(tokenizer, to));
    if (tokenizer)
        DN_TRY(dn_hf_write_generation(to, tokenizer));
    return dn_hf_write(to, model, type, FILE_BYTES);
}

static dn_status write_gguf(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type,
                            const dn_tokenizer *tokenizer)
{
    char path[DN_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/model.gguf", to->dir);
    if (!tokenizer && model->spec->V > 256)
        dn_log(DN_LOG_INFO, "the file holds no tokenizer, as the run's data have none: --tokenizer names one");
    return dn_gguf_write(path, model, type, tokenizer);
}

static dn_status write_llmc(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type,
                            const dn_tokenizer *tokenizer)
{
    char path[DN_PATH_MAX + 16];
    (void)tokenizer;
    snprintf(path, sizeof path, "%s/model.bin", to->dir);
    return dn_llmc_write(path, model, type);
}

static const struct format {
    const char *name, *file; /* without which the folder holds no such model */
    dn_status (*check)(const dn_plan *run, dn_foreign_type type);
    dn_status (*write)(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type,
                       const dn_tokenizer *tokenizer);
} formats[] = {{"hf", "config.json", check_hf, write_hf},
               {"gguf", "model.gguf", check_gguf, write_gguf},
               {"llmc", "model.bin", check_llmc, write_llmc}};

/* Of adapters, as of the formats. */
#define ADAPTER_FILE "adapter_config.json"

/* A folder for one model: whatever format another is of, programs would mix them up. */
static dn_status make_folder(const char *folder)
{
    char path[DN_PATH_MAX + 32];
    const size_t n = sizeof formats / sizeof *formats;
    for (size_t i = 0; i <= n; i++) {
        const char *file = i < n ? formats[i].file : ADAPTER_FILE;
        snprintf(path, sizeof path, "%s/%s", folder, file);
        if (access(path, F_OK) == 0)
            return dn_fail(DN_ERR_IO, "%s holds a model (%s): name another folder", folder, file);
    }
    return dn_dir_make(folder);
}

static dn_status write_adapters(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type,
                                const dn_tokenizer *tokenizer, const char *base)
{
    if (tokenizer)
        DN_TRY(dn_tokenizer_copy(tokenizer, to));
    return dn_peft_write(to, model, type, *base ? base : NULL);
}

/* base: of the adapters that are written alone; NULL: the model is. */
static dn_status write_model(const dn_plan *plan, source *from, const struct format *format, const char *folder,
                             dn_foreign_type type, const dn_tokenizer *tokenizer, const char *base)
{
    size_t existing = dn_dir_existing(folder);
    dn_atomic_files files = {.dir = folder};
    const int first[DN_N_AXES] = {0};
    dn_arena weights = {0}, grads = {0};
    dn_param *params = calloc(plan->n_params, sizeof *params);
    size_t *unit_of = calloc(plan->n_params, sizeof *unit_of);
    dn_status status = params && unit_of
                           ? make_folder(folder)
                           : dn_fail(DN_ERR_MEMORY, "no memory for %zu parameters", plan->n_params);
    if (status == DN_OK) {
        dn_model_layout(&plan->spec, plan->mesh, first, &weights, &grads, params, unit_of);
        size_t n = 0;
        for (size_t i = 0; i < plan->n_params; i++)
            if (!base || dn_param_of_adapter(&params[i]))
                params[n++] = params[i];
        const dn_model_weights model = {&plan->spec, params, n, weights_of, from};
        status = base ? write_adapters(&files, &model, type, tokenizer, base)
                      : format->write(&files, &model, type, tokenizer);
    }
    status = dn_atomic_files_end(&files, status);
    if (status != DN_OK)
        dn_dir_remove_made(folder, existing);
    free(params);
    free(unit_of);
    return status;
}

/* The configuration loses its adapters, which are merged. */
static void strip_adapters(dn_config *config)
{
    config->lora_rank = 0;
    config->lora_alpha = NAN;
    *config->lora_targets = 0;
}

/* Whether adapters can be written alone, as PEFT's folder; *stored is the run's configuration. */
static dn_status check_adapters(const dn_plan *plan, const source *from, const char *path, const struct format *format,
                                dn_config *stored)
{
    const dn_hf_family *hf = plan->spec.architecture->hf;
    DN_TRY(dn_stored_config(from->checkpoint, path, stored));
    if (*stored->trainable)
        return dn_fail(DN_ERR_CONFIG, "%s: beside adapters other weights were trained (trainable), which an adapter cannot say: --merge",
                       path);
    if (format != &formats[0] || !hf || hf->tensors)
        return dn_fail(DN_ERR_CONFIG, "%s has adapters, which %s of architecture %s does not hold: --merge makes one model of both",
                       path, format->name, plan->spec.architecture->name);
    return DN_OK;
}

static dn_status export(source *from, const char *path, const struct format *format, const char *folder, dn_foreign_type type,
                        const dn_export_options *options)
{
    dn_config config, stored;
    dn_plan plan;
    dn_tokenizer *tokenizer;
    DN_TRY(dn_loaded_config(from->checkpoint, path, &config));
    config.dp_size = config.pp_size = config.fs_size = config.tp_size = 1; /* of one worker, which holds all */
    DN_TRY(dn_plan_make(&config, 1, &plan));
    if (options->merge && plan.spec.lora.rank == 0)
        return dn_fail(DN_ERR_CONFIG, "%s has no adapters to merge: leave out --merge", path);
    bool alone = plan.spec.lora.rank > 0 && !options->merge;
    if (alone) {
        DN_TRY(check_adapters(&plan, from, path, format, &stored));
    } else {
        from->lora = plan.spec.lora;
        strip_adapters(&config);
        DN_TRY(dn_plan_make(&config, 1, &plan));
        DN_TRY(format->check(&plan, type));
    }
    DN_TRY(dn_model_tokenizer(options->tokenizer, &config, false,
                              dn_stored_tokenizer(from->checkpoint), &tokenizer));
    dn_status status = write_model(&plan, from, format, folder, type, tokenizer, alone ? stored.init_from : NULL);
    dn_tokenizer_close(&tokenizer);
    return status;
}

dn_status dn_export(const char *run, const char *folder, const dn_export_options *options)
{
    static const char *const types[] = {"float32", "float64", "float16", "bfloat16"};
    char path[DN_STORED_PATH_MAX];
    const struct format *format = NULL;
    int type = -1;
    for (int i = 0; i < 4; i++)
        type = strcmp(options->dtype, types[i]) == 0 ? i : type;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        format = strcmp(options->format, formats[i].name) == 0 ? &formats[i] : format;
    if (type < 0)
        return dn_fail(DN_ERR_CONFIG, "dtype '%s' is none of " DN_FOREIGN_TYPE_NAMES, options->dtype);
    if (!format)
        return dn_fail(DN_ERR_CONFIG, "format '%s' is none of hf|gguf|llmc", options->format);
    if (dn_init_is_foreign(run))
        return dn_fail(DN_ERR_CHECKPOINT, "%s is a model of another program, and export writes what a run has trained: begin one with "
                       "init_from=%s, and export its checkpoint_dir", run, run);
    DN_TRY(dn_stored_find(run, "train first, or name a run's checkpoint_dir", path));
    dn_checkpoint *checkpoint;
    DN_TRY(dn_checkpoint_open(path, NULL, NULL, &checkpoint));
    source from = {.checkpoint = checkpoint};
    dn_status status = export(&from, path, format, folder, (dn_foreign_type)type, options);
    free(from.merged);
    dn_checkpoint_close(&checkpoint);
    return status;
}
