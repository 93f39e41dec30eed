#include "train/loaded_model.h"

#include "base/fail.h"
#include "device/device.h"
#include "dionode/topo.h"
#include "train/config_diff.h"
#include "train/config_value.h"
#include "train/finite.h"
#include "train/init.h"
#include "train/stored_run.h"

#include <glob.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BYTES = 256 };

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

dn_status dn_loaded_config(const dn_checkpoint *checkpoint, const char *path, dn_config *out)
{
    DN_TRY(dn_stored_config(checkpoint, path, out));
    *out->init_from = 0; /* its keys are in the configuration, and weights the checkpoint's */
    *out->trainable = 0;
    resolve_paths(out, path);
    return DN_OK;
}

/* ---- whose ids ---- */

static bool holds_tokenizer(const char *folder)
{
    static const char *const names[] = {"tokenizer.json", "tokenizer.model"};
    char path[DN_PATH_MAX + 32];
    glob_t found = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (access(path, F_OK) == 0)
            return true;
    }
    snprintf(path, sizeof path, "%s/*.tiktoken", folder);
    bool any = glob(path, 0, NULL, &found) == 0;
    globfree(&found);
    return any;
}

dn_status dn_model_tokenizer(const char *named, const dn_config *config, bool foreign, uint64_t trained_with, dn_tokenizer **out)
{
    const char *folder = foreign ? config->init_from : config->vocab_size > BYTES ? config->data_dir : "";
    dn_status status = DN_OK;
    *out = NULL;
    if (!named && (!*folder || !holds_tokenizer(folder)))
        return DN_OK;
    DN_TRY(dn_tokenizer_open(named ? named : folder, out));
    if (trained_with && trained_with != dn_tokenizer_hash(*out))
        status = dn_fail(DN_ERR_DATA, "%s: not the tokenizer that the run was trained with; name that (--tokenizer)",
                         named ? named : folder);
    else if (dn_tokenizer_size(*out) > (size_t)config->vocab_size)
        status = dn_fail(DN_ERR_CONFIG, "a tokenizer of %zu tokens for a model of %lld: name the one it was trained with",
                         dn_tokenizer_size(*out), (long long)config->vocab_size);
    if (status != DN_OK)
        dn_tokenizer_close(out);
    return status;
}

/* How a model is to be loaded. */
typedef struct purpose {
    const char *const *assignments; /* [n] */
    size_t n, B, n_sequences;
    bool cache_bf16;
    int n_workers; /* of tp */
} purpose;

/* As it was trained, but on another mesh, B sequences at a time, and in float. Stages were cut, and channels laid, for the trained length. */
static dn_status plan_for(dn_plan *plan, dn_config *config, int64_t trained_length, const purpose *p)
{
    dn_config trained = *config;
    trained.sequence_length = trained_length;
    config->dp_size = config->pp_size = config->fs_size = 1;
    config->tp_size = p->n_workers;
    *config->link_pp = *config->pp_link_times = '\0'; /* may name one for each boundary */
    strcpy(config->precision, "float"); /* what is not trained is read so, on any processor */
    config->batch_size = config->device_batch_size = (int64_t)p->B;
    DN_TRY(dn_plan_whole(config, &trained, p->n_workers, plan));
    if (p->n_sequences)
        dn_plan_generation(plan, p->n_sequences, p->cache_bf16);
    return DN_OK;
}

static dn_status plan_checkpoint(dn_plan *plan, const dn_checkpoint *checkpoint, const char *path, const purpose *p)
{
    dn_config config;
    DN_TRY(dn_loaded_config(checkpoint, path, &config));
    const dn_config stored = config;
    for (size_t i = 0; i < p->n; i++)
        DN_TRY(dn_config_set(&config, p->assignments[i]));
    DN_TRY(dn_config_check_model(&stored, &config, path));
    return plan_for(plan, &config, stored.sequence_length, p);
}

/* What config.json does not say is as in a run that begins with this model. */
static dn_status plan_foreign(dn_plan *plan, const char *path, const purpose *p)
{
    dn_config config;
    const dn_key *T = dn_config_find("sequence_length");
    dn_config_init(&config);
    if (strlen(path) >= sizeof config.init_from)
        return dn_fail(DN_ERR_CONFIG, "%.100s...: a path of more than %zu bytes", path, sizeof config.init_from - 1);
    strcpy(config.init_from, path);
    for (size_t i = 0; i < p->n; i++)
        DN_TRY(dn_config_set(&config, p->assignments[i]));
    DN_TRY(dn_init_resolve(&config));
    if (!dn_config_says(&config, T))
        config.sequence_length = config.max_positions < DN_FOREIGN_T ? config.max_positions : DN_FOREIGN_T;
    return plan_for(plan, &config, config.sequence_length, p);
}

/* A worker has its threads from the launcher. */
static dn_status open_stream(dn_loaded_model *model)
{
    const char *kernels, *threads = getenv("OMP_NUM_THREADS");
    DN_TRY(dn_kernels_of_precision(model->plan.config.precision, &kernels));
    if (!model->alone)
        return dn_stream_create(kernels, threads ? atoi(threads) : 1, &model->stream);
    dn_topo *topo;
    DN_TRY(dn_topo_create(1, &topo));
    int n_threads = dn_topo_place(topo, 0)->n_threads;
    dn_topo_destroy(&topo);
    return dn_stream_create(kernels, n_threads, &model->stream);
}

static dn_status load_weight(const dn_loaded_model *model, const dn_checkpoint *checkpoint, const dn_param *p)
{
    dn_real *own = calloc(dn_param_size(p) + 1, sizeof *own);
    dn_status status = own ? dn_checkpoint_block(checkpoint, p->tensor.name, p->tensor.rows, p->tensor.cols, &p->block, own)
                           : dn_fail(DN_ERR_MEMORY, "no memory to read %s", p->tensor.name);
    if (status == DN_OK) {
        dn_upload(model->stream, p->weight, own, dn_param_size(p));
        status = dn_stream_sync(model->stream);
    }
    free(own);
    return status;
}

/* A worker has selected its device before it joined the others. */
static dn_status open_instance(dn_loaded_model *model, bool training)
{
    if (model->alone)
        DN_TRY(dn_device_select(model->plan.config.device, model->plan.config.device_debug));
    DN_TRY(open_stream(model));
    if (model->alone)
        DN_TRY(dn_comm_create_alone(training ? model->plan.arena_bytes : model->plan.model_bytes, &model->comm));
    DN_TRY(dn_mesh_create(model->comm, model->plan.mesh, &model->mesh));
    return dn_instance_open(&model->instance, &model->plan, model->mesh, model->stream, training);
}

static dn_status load_weights(dn_loaded_model *model, const dn_checkpoint *checkpoint, const char *path)
{
    for (size_t i = 0; i < model->plan.n_params; i++)
        DN_TRY(load_weight(model, checkpoint, &model->instance.params[i]));
    return dn_finite_check(&model->instance, path, "use an older checkpoint of that run", NULL, NULL);
}

static dn_status find_checkpoint(const char *run, char path[DN_STORED_PATH_MAX])
{
    return dn_stored_find(run,
                          "train first, or name a run's checkpoint_dir, a Hugging Face folder with its config.json, or a model "
                          "file of llm.c (.bin)",
                          path);
}

/* A large file is read for longer than a worker may be silent. */
static dn_status tick(void *comm)
{
    return dn_comm_tick(comm, 0, "loading");
}

static dn_status tick_alone(void *nothing)
{
    (void)nothing;
    return DN_OK;
}

static dn_status load_foreign(dn_loaded_model *model, const char *path, const purpose *p)
{
    model->foreign = true;
    DN_TRY(plan_foreign(&model->plan, path, p));
    DN_TRY(open_instance(model, false));
    DN_TRY(dn_init_load(&model->instance, model->alone ? tick_alone : tick, model->comm));
    return dn_finite_check(&model->instance, path, "its weights are damaged", NULL, NULL);
}

static dn_status load(dn_loaded_model *model, const char *run, const purpose *p)
{
    char path[DN_STORED_PATH_MAX];
    dn_checkpoint *checkpoint;
    if (dn_init_is_foreign(run))
        return load_foreign(model, run, p);
    DN_TRY(find_checkpoint(run, path));
    DN_TRY(dn_checkpoint_open(path, model->alone ? NULL : tick, model->comm, &checkpoint));
    model->tokenizer = dn_stored_tokenizer(checkpoint);
    dn_status status = dn_checkpoint_step(checkpoint, &model->step);
    if (status == DN_OK)
        status = plan_checkpoint(&model->plan, checkpoint, path, p);
    if (status == DN_OK)
        status = open_instance(model, false);
    if (status == DN_OK)
        status = load_weights(model, checkpoint, path);
    dn_checkpoint_close(&checkpoint);
    return status;
}

dn_status dn_loaded_model_open(dn_loaded_model *model, const char *run, const char *const *assignments, size_t n, size_t B)
{
    *model = (dn_loaded_model){.alone = true};
    return load(model, run, &(purpose){.assignments = assignments, .n = n, .B = B, .n_workers = 1});
}

dn_status dn_loaded_model_generate(dn_loaded_model *model, const char *run, dn_comm *comm, size_t n_sequences, bool cache_bf16)
{
    *model = (dn_loaded_model){.comm = comm, .alone = !comm};
    return load(model, run,
                &(purpose){.B = 1,
                           .n_sequences = n_sequences,
                           .cache_bf16 = cache_bf16,
                           .n_workers = comm ? dn_comm_size(comm) : 1});
}

dn_status dn_loaded_model_tune(dn_loaded_model *model, const dn_config *config, const dn_tuning *tuning, dn_comm *comm)
{
    *model = (dn_loaded_model){.comm = comm, .alone = !comm, .foreign = dn_init_is_foreign(config->init_from)};
    DN_TRY(dn_plan_tuning(config, tuning, comm ? dn_comm_size(comm) : 1, &model->plan));
    DN_TRY(open_instance(model, true));
    if (model->plan.strategy->clients)
        dn_stream_round_alike(model->stream);
    DN_TRY(dn_model_init(&model->plan.spec, model->instance.params, model->stream, (uint64_t)config->seed));
    DN_TRY(dn_init_load(&model->instance, comm ? tick : tick_alone, comm));
    DN_TRY(dn_finite_check(&model->instance, config->init_from, "its weights are damaged", NULL, NULL));
    return dn_strategy_begin(model->instance.strategy);
}

dn_status dn_loaded_model_plan(dn_plan *plan, const char *run, int n_workers, size_t n_sequences)
{
    const purpose p = {.B = 1, .n_sequences = n_sequences, .n_workers = n_workers};
    char path[DN_STORED_PATH_MAX];
    dn_checkpoint *checkpoint;
    if (dn_init_is_foreign(run))
        return plan_foreign(plan, run, &p);
    DN_TRY(find_checkpoint(run, path));
    DN_TRY(dn_checkpoint_peek(path, &checkpoint));
    dn_status status = plan_checkpoint(plan, checkpoint, path, &p);
    dn_checkpoint_close(&checkpoint);
    return status;
}

void dn_loaded_model_close(dn_loaded_model *model)
{
    dn_instance_close(&model->instance);
    dn_stream_destroy(&model->stream);
    dn_mesh_destroy(&model->mesh);
    if (model->alone)
        dn_comm_destroy(&model->comm);
}
