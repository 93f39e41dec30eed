#include "train/init.h"

#include "base/fail.h"
#include "base/key.h"
#include "base/size.h"
#include "checkpoint/checkpoint.h"
#include "formats/hf.h"
#include "nn/adapter.h"
#include "train/config_value.h"
#include "train/loaded_model.h"
#include "train/stored_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A rate that suits weights from scratch, as rules name one, can ruin others. */
#define FRACTION_OF_SCRATCH 0.05

/* Hugging Face's folders say so; llm.c's files are called so; all else is a run's, or an error. */
static bool is_folder(const char *path)
{
    char config[DN_PATH_MAX + 16];
    snprintf(config, sizeof config, "%s/config.json", path);
    return access(config, F_OK) == 0;
}

static bool is_llmc(const char *path)
{
    size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".bin") == 0;
}

bool dn_init_is_foreign(const char *path)
{
    return is_folder(path) || is_llmc(path);
}

static dn_status find_checkpoint(const char *run, char path[DN_STORED_PATH_MAX])
{
    return dn_stored_find(run, "init_from takes a run, a Hugging Face folder (config.json) or a model file of llm.c (.bin)", path);
}

static dn_status read_run(const char *run, dn_config *from)
{
    char path[DN_STORED_PATH_MAX];
    dn_checkpoint *checkpoint;
    DN_TRY(find_checkpoint(run, path));
    DN_TRY(dn_checkpoint_peek(path, &checkpoint));
    dn_status status = dn_stored_config(checkpoint, path, from);
    dn_checkpoint_close(&checkpoint);
    if (status == DN_OK && from->max_positions == 0)
        from->max_positions = from->sequence_length;
    return status;
}

static dn_status read_model(const char *path, dn_config *from)
{
    if (is_folder(path))
        return dn_hf_read_config(path, from);
    if (!is_llmc(path))
        return read_run(path, from);
    dn_foreign file;
    dn_status status = dn_llmc_open(path, from, &file);
    dn_foreign_close(&file);
    return status;
}

static void copy(void *to, const void *from, const dn_key *key)
{
    static const size_t sizes[] = {[DN_KEY_INT] = sizeof(int64_t),
                                   [DN_KEY_REAL] = sizeof(double),
                                   [DN_KEY_BOOL] = sizeof(bool),
                                   [DN_KEY_ENUM] = sizeof(int)};
    memcpy(to, from, key->type == DN_KEY_TEXT ? strlen(from) + 1 : sizes[key->type]);
}

static dn_status take(dn_config *config, const dn_config *from, const dn_key *key)
{
    void *is = (char *)config + key->offset;
    const void *there = (const char *)from + key->offset;
    char text[256], given[256];
    if (!dn_config_says(config, key))
        copy(is, there, key);
    config->set[key - dn_config_keys()] = true;
    if (dn_key_equal(key, is, there))
        return DN_OK;
    dn_key_show(there, key, text, sizeof text);
    dn_key_show(is, key, given, sizeof given);
    return dn_fail(DN_ERR_CONFIG, "%s %s contradicts %s: %s has %s; leave the key out", key->name, given,
                   *config->init_from ? "init_from" : "model", *config->init_from ? config->init_from : config->model, text);
}

double dn_init_lr(const dn_config *config)
{
    const dn_rule_info *rule = dn_rule_find(config->optimizer);
    return FRACTION_OF_SCRATCH * (rule ? rule->lr : 0.02);
}

dn_status dn_init_resolve(dn_config *config)
{
    dn_config from;
    dn_config_init(&from);
    if (*config->init_from && *config->model)
        return dn_fail(DN_ERR_CONFIG, "init_from and model both say what the model is: leave one out");
    DN_TRY(*config->init_from ? read_model(config->init_from, &from) : dn_hf_read_config(config->model, &from));
    const char *path = *config->init_from ? config->init_from : config->model;
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        bool new_adapters = from.lora_rank == 0 && strncmp(key->name, "lora_", 5) == 0;
        if (!dn_config_of_model(key) || new_adapters)
            continue;
        DN_TRY(dn_key_check((const char *)&from + key->offset, key, DN_ERR_CONFIG, path));
        DN_TRY(take(config, &from, key));
    }
    const dn_key *lr = dn_config_find("lr");
    if (*config->init_from && !dn_config_says(config, lr))
        config->lr = dn_init_lr(config);
    *config->model = 0; /* its keys have said all of it */
    return DN_OK;
}

dn_status dn_init_tokenizer(const dn_config *config, uint64_t *hash)
{
    char path[DN_STORED_PATH_MAX];
    dn_checkpoint *checkpoint;
    dn_tokenizer *tokenizer;
    *hash = 0;
    if (dn_init_is_foreign(config->init_from)) {
        DN_TRY(dn_model_tokenizer(NULL, config, true, 0, &tokenizer));
        *hash = tokenizer ? dn_tokenizer_hash(tokenizer) : 0;
        dn_tokenizer_close(&tokenizer);
        return DN_OK;
    }
    DN_TRY(find_checkpoint(config->init_from, path));
    DN_TRY(dn_checkpoint_peek(path, &checkpoint));
    *hash = dn_stored_tokenizer(checkpoint);
    dn_checkpoint_close(&checkpoint);
    return DN_OK;
}

/* ---- weights ---- */

/* *found false: what fine-tuning added to the model and the file does not have, which begins anew. */
typedef dn_status read_fn(const void *file, const dn_instance *instance, const dn_param *param, dn_real *to, bool *found);

static dn_status read_foreign(const void *file, const dn_instance *instance, const dn_param *param, dn_real *to, bool *found)
{
    *found = !dn_layer_is_added(param);
    if (*found)
        dn_hf_read_block(file, &instance->plan->spec, param, to);
    return DN_OK;
}

static dn_status read_checkpoint(const void *file, const dn_instance *instance, const dn_param *param, dn_real *to, bool *found)
{
    *found = !dn_layer_is_added(param) || dn_checkpoint_has(file, param->tensor.name);
    if (!*found)
        return DN_OK;
    return dn_checkpoint_block(file, param->tensor.name, param->tensor.rows, param->tensor.cols, &param->block, to);
}

/* A file is read when its numbers are: from a slow disk a large parameter takes long. So a piece at a time, in whole rows; a sign
 * of life follows each. */
enum { PIECE = 1 << 16 };

static dn_status load_in_pieces(const dn_instance *instance, const void *file, read_fn *read, const dn_param *param, dn_real *piece,
                                dn_status (*tick)(void *), void *context)
{
    const dn_block *whole = &param->block;
    const size_t most = dn_max(PIECE / dn_max(whole->cols, 1), 1);
    dn_param part = *param;
    bool found = true;
    for (size_t row = 0; row < whole->rows && found; row += part.block.rows) {
        part.block.row0 = whole->row0 + row;
        part.block.rows = dn_min(most, whole->rows - row);
        DN_TRY(read(file, instance, &part, piece, &found));
        if (found)
            dn_upload(instance->stream, dn_at(param->weight, row * whole->cols), piece, part.block.rows * whole->cols);
        DN_TRY(dn_stream_sync(instance->stream)); /* the piece is overwritten next */
        DN_TRY(tick(context));
    }
    return DN_OK;
}

static dn_status load(const dn_instance *instance, const void *file, read_fn *read, dn_status (*tick)(void *), void *context)
{
    for (size_t i = 0; i < instance->plan->n_params; i++) {
        const dn_param *param = &instance->params[i];
        dn_real *piece = malloc(dn_max(PIECE, param->block.cols) * sizeof *piece);
        dn_status status = piece ? load_in_pieces(instance, file, read, param, piece, tick, context)
                                 : dn_fail(DN_ERR_MEMORY, "no memory to read %s", param->tensor.name);
        free(piece);
        DN_TRY(status);
    }
    return DN_OK;
}

static dn_status load_foreign(const dn_instance *instance, const char *path, dn_status (*tick)(void *), void *context)
{
    dn_foreign file;
    dn_config unread;
    const int alone[DN_N_AXES] = {1, 1, 1}, first[DN_N_AXES] = {0};
    dn_spec base = instance->plan->spec; /* as the file has it, which is the whole model */
    base.classes = base.prompt = base.sherl = base.lora.rank = 0;
    base.unprompted = 0;
    base.stage = (dn_layer_range){0};
    size_t n = dn_model_n_params(&base);
    dn_arena weights = {0}, grads = {0};
    dn_param *params = calloc(n, sizeof *params);
    size_t *unit_of = calloc(n, sizeof *unit_of);
    dn_status status = is_folder(path) ? dn_foreign_open(path, &file) : dn_llmc_open(path, &unread, &file);
    if (status == DN_OK && params && unit_of) {
        dn_model_layout(&base, alone, first, &weights, &grads, params, unit_of);
        status = dn_hf_check(&file, &base, params, n, path);
    } else if (status == DN_OK) {
        status = dn_fail(DN_ERR_MEMORY, "no memory for %zu parameters", n);
    }
    free(params);
    free(unit_of);
    if (status == DN_OK)
        status = load(instance, &file, read_foreign, tick, context);
    dn_foreign_close(&file);
    return status;
}

dn_status dn_init_load(const dn_instance *instance, dn_status (*tick)(void *), void *context)
{
    const char *from = instance->plan->config.init_from;
    char path[DN_STORED_PATH_MAX];
    dn_checkpoint *checkpoint;
    if (is_folder(from) || is_llmc(from))
        return load_foreign(instance, from, tick, context);
    DN_TRY(find_checkpoint(from, path));
    DN_TRY(dn_checkpoint_open(path, tick, context, &checkpoint));
    dn_status status = load(instance, checkpoint, read_checkpoint, tick, context);
    dn_checkpoint_close(&checkpoint);
    return status;
}
