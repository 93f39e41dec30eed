/*
 * Saves a run to a checkpoint and restores it. The checkpoint holds everything the next step depends on:
 * weights, optimizer states (including per-replica momentum) and the step, which determines schedule, data
 * order and random numbers. Tensors are stored unsharded, so a run can resume on another mesh.
 */
#include "train/run.h"

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "shard/param_address.h"
#include "shm/limits.h"
#include "train/config_diff.h"
#include "train/finite.h"
#include "train/stored_run.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void replica_name(char *name, const char *state, int replica)
{
    snprintf(name, DN_TENSOR_NAME_MAX, "%.*s.replica%d", DN_TENSOR_NAME_MAX - 24, state, replica);
}

/* The tensors to write, each with up to one shard per worker. */
typedef struct tensor_list {
    dn_sharded_tensor *tensors;
    dn_shard *shards;
    size_t n, n_shards;
} tensor_list;

/* replica: the replica whose copy this is; -1: the tensor is the same on all. */
static void begin_tensor(tensor_list *list, const dn_tensor *tensor, int replica)
{
    dn_sharded_tensor *t = &list->tensors[list->n++];
    *t = (dn_sharded_tensor){.tensor = *tensor, .shards = list->shards + list->n_shards};
    if (replica >= 0)
        replica_name(t->tensor.name, tensor->name, replica);
}

static void add_shard(tensor_list *list, dn_shard shard)
{
    list->tensors[list->n - 1].n_shards++;
    list->shards[list->n_shards++] = shard;
}

/* Ranks along an axis that does not shard a parameter hold the same block: only the first one writes it. */
static bool holds_first_copy(const dn_param *p, const int at[DN_N_AXES])
{
    for (dn_axis axis = DN_DP + 1; axis < DN_N_AXES; axis++)
        if (axis != DN_PP && at[axis] > 0 && !(dn_tensor_axes(&p->tensor) & DN_AXIS(axis)))
            return false;
    return true;
}

/* The shards of one replica's weights, or of the consensus, which is stored in the gradients' memory. */
static void add_param_shards(const dn_run *run, size_t index, int replica, bool consensus, tensor_list *list)
{
    const dn_param *p = &run->instance.params[index];
    for (int rank = 0; rank < run->plan.n_workers; rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(run->plan.mesh, rank, at);
        if (at[DN_DP] == replica && at[DN_PP] == run->mesh->at[DN_PP] && holds_first_copy(p, at))
            add_shard(list, (dn_shard){.block = dn_param_block(p, run->plan.mesh, at),
                                       .data = dn_param_address(run->plan.mesh, run->instance.params, index,
                                                                consensus, at),
                                       .rank = rank});
    }
}

/* Writes the first replica's weights if all are equal; otherwise the consensus, and each replica's own. */
static void list_param(const dn_run *run, size_t index, tensor_list *list)
{
    const dn_param *p = &run->instance.params[index];
    bool apart = dn_strategy_apart(run->instance.strategy) && !p->frozen;
    begin_tensor(list, &p->tensor, -1);
    add_param_shards(run, index, 0, apart, list);
    for (int replica = 0; apart && replica < run->plan.mesh[DN_DP]; replica++) {
        begin_tensor(list, &p->tensor, replica);
        add_param_shards(run, index, replica, false, list);
    }
}

/* The number in the run of a rank of this stage. */
static int rank_in_run(const dn_run *run, int rank)
{
    int at[DN_N_AXES];
    dn_mesh_at(run->plan.stage_mesh, rank, at);
    at[DN_PP] = run->mesh->at[DN_PP];
    return dn_mesh_rank(run->plan.mesh, at);
}

static void list_state(const dn_run *run, size_t index, tensor_list *list)
{
    const dn_tensor *state = dn_instance_state(&run->instance, index);
    int n = state->per_replica ? run->plan.mesh[DN_DP] : 1;
    for (int replica = 0; replica < n; replica++) {
        begin_tensor(list, state, state->per_replica ? replica : -1);
        for (int rank = 0; rank < dn_comm_size(run->instance.mesh->all); rank++) {
            dn_shard shard = dn_instance_state_shard(&run->instance, index, rank);
            shard.rank = rank_in_run(run, rank);
            if (shard.replica == replica)
                add_shard(list, shard);
        }
    }
}

/* Whether run->val_loss was measured at the step that is being saved. */
static bool is_validated(const dn_run *run)
{
    return run->val_step == dn_run_good_step(run) && isfinite(run->val_loss);
}

/* Whether the validation loss of this checkpoint is not larger than any before: then that is the one to beat. */
static bool takes_lead(dn_run *run)
{
    if (!is_validated(run) || run->val_loss > run->best_loss)
        return false;
    run->best_loss = run->val_loss;
    return true;
}

/* A draft may take half of the memory that is left. Where nothing goes on that could be held up, there is none. */
static dn_status write_tensors(dn_run *run, const tensor_list *list)
{
    const char *dir = run->plan.config.checkpoint_dir;
    uint64_t saved_step = dn_run_good_step(run), room = dn_run_over(run) ? 0 : dn_limits_memory("") / 2;
    dn_checkpoint_draft *draft;
    char step[32], replicas[16], val_loss[32], tokenizer[24];
    snprintf(step, sizeof step, "%llu", (unsigned long long)saved_step);
    snprintf(replicas, sizeof replicas, "%d", run->plan.mesh[DN_DP]);
    char *config = dn_config_dump(&run->plan.config);
    if (!config)
        return dn_fail(DN_ERR_MEMORY, "no memory to write the configuration");
    snprintf(val_loss, sizeof val_loss, "%.17g", run->val_loss);
    snprintf(tokenizer, sizeof tokenizer, "%016" PRIx64, run->tokenizer);
    dn_meta meta[8] = {{"format", "pt"}, {"step", step}, {"replicas", replicas}, {"config", config}};
    size_t n = 4;
    if (is_validated(run))
        meta[n++] = (dn_meta){"val_loss", val_loss};
    if (run->tokenizer)
        meta[n++] = (dn_meta){"tokenizer", tokenizer};
    if (run->validation_due && run->n_skipped == 0)
        meta[n++] = (dn_meta){"validation", "due"};
    if (!run->learned)
        meta[n++] = (dn_meta){"learned", "nothing"};
    dn_status status = dn_checkpoint_write(run->comm, dir, saved_step, (size_t)run->plan.config.checkpoint_keep, meta, n,
                                           list->tensors, list->n, dn_run_tick, run, room, &draft);
    free(config);
    if (status != DN_OK || run->rank != 0)
        return status;
    run->saving = (dn_saving){.draft = draft, .comm = run->comm, .dir = dir, .step = saved_step, .best = takes_lead(run)};
    if (draft) {
        dn_saving_begin(&run->saving);
        return DN_OK;
    }
    dn_comm_report_saved(run->comm, saved_step);
    return run->saving.best ? dn_checkpoint_set_best(dir, saved_step) : DN_OK;
}

/* ---- the tensors of all stages ---- */

/* In a file weights come first, then states of dn_real, then those of fewer bytes; of each kind those of the first stage. */
enum { PARAMS, REALS, OTHERS, N_PARTS };

/* One stage's part of the list as others read it: shards lie as far from the weights as there, whose offset is the same on all
 * ranks of the run (dn_instance_open). */
static void move_shards(const dn_run *run, tensor_list *list, bool away)
{
    uintptr_t values = (uintptr_t)run->instance.values;
    for (size_t i = 0; i < list->n_shards; i++) {
        uintptr_t data = (uintptr_t)list->shards[i].data;
        list->shards[i].data = (void *)(away ? data - values : data + values);
    }
}

static void free_list(tensor_list *list)
{
    free(list->tensors);
    free(list->shards);
    *list = (tensor_list){0};
}

static dn_status make_list(tensor_list *list, size_t n_tensors, size_t n_shards)
{
    *list = (tensor_list){.tensors = calloc(n_tensors + 1, sizeof *list->tensors), .shards = calloc(n_shards + 1, sizeof *list->shards)};
    return list->tensors && list->shards ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu tensors", n_tensors);
}

/* What the first rank of a stage has listed becomes known to all: `from`, filled on the ranks of that stage. */
static dn_status share_list(const dn_run *run, int stage, tensor_list *from)
{
    int at[DN_N_AXES] = {0};
    at[DN_PP] = stage;
    int root = dn_mesh_rank(run->plan.mesh, at);
    size_t n[2] = {from->n, from->n_shards};
    DN_TRY(dn_comm_broadcast(run->comm, n, sizeof n, root, DN_TRAFFIC_CONTROL));
    if (stage != run->mesh->at[DN_PP])
        DN_TRY(make_list(from, n[0], n[1]));
    from->n = n[0];
    from->n_shards = n[1];
    if (stage == run->mesh->at[DN_PP])
        move_shards(run, from, true);
    DN_TRY(dn_comm_broadcast(run->comm, from->tensors, from->n * sizeof *from->tensors, root, DN_TRAFFIC_CONTROL));
    DN_TRY(dn_comm_broadcast(run->comm, from->shards, from->n_shards * sizeof *from->shards, root, DN_TRAFFIC_CONTROL));
    move_shards(run, from, false);
    for (size_t i = 0, shards = 0; i < from->n; shards += from->tensors[i++].n_shards)
        from->tensors[i].shards = from->shards + shards;
    return DN_OK;
}

/* parts [N_PARTS]: of this stage. */
static dn_status list_stage(const dn_run *run, tensor_list *parts)
{
    size_t n_states = dn_instance_n_states(&run->instance), n_replicas = (size_t)run->plan.mesh[DN_DP],
           n_ranks = (size_t)dn_comm_size(run->instance.mesh->all);
    for (int part = 0; part < N_PARTS; part++) {
        size_t room = part == PARAMS ? run->plan.n_params * (n_replicas + 1) : n_states * n_replicas;
        DN_TRY(make_list(&parts[part], room, room * n_ranks));
    }
    for (size_t i = dn_model_n_borrowed(&run->plan.spec); i < run->plan.n_params; i++)
        list_param(run, i, &parts[PARAMS]);
    for (size_t i = 0; i < n_states; i++)
        list_state(run, i, &parts[dn_instance_state(&run->instance, i)->type == DN_REAL ? REALS : OTHERS]);
    return DN_OK;
}

/* all: of all stages, in the order of the file. */
static dn_status join_lists(const dn_run *run, tensor_list (*stages)[N_PARTS], tensor_list *all)
{
    size_t n_tensors = 0, n_shards = 0;
    for (int s = 0; s < run->plan.mesh[DN_PP]; s++)
        for (int part = 0; part < N_PARTS; part++) {
            if (run->plan.mesh[DN_PP] > 1)
                DN_TRY(share_list(run, s, &stages[s][part]));
            n_tensors += stages[s][part].n;
            n_shards += stages[s][part].n_shards;
        }
    DN_TRY(make_list(all, n_tensors, n_shards));
    for (int part = 0; part < N_PARTS; part++)
        for (int s = 0; s < run->plan.mesh[DN_PP]; s++)
            for (size_t i = 0; i < stages[s][part].n; i++)
                all->tensors[all->n++] = stages[s][part].tensors[i];
    return DN_OK;
}

static dn_status save_all(dn_run *run)
{
    int n_stages = run->plan.mesh[DN_PP];
    if (run->rank == 0) {
        DN_TRY(dn_lock_check(run->plan.config.checkpoint_dir, &run->lock));
        DN_TRY(dn_metrics_sync(run->metrics));
    }
    tensor_list(*stages)[N_PARTS] = calloc((size_t)n_stages, sizeof *stages), all = {0};
    dn_status status = stages ? list_stage(run, stages[run->mesh->at[DN_PP]])
                              : dn_fail(DN_ERR_MEMORY, "no memory for lists of tensors");
    if (status == DN_OK)
        status = join_lists(run, stages, &all);
    if (status == DN_OK)
        status = write_tensors(run, &all);
    for (int s = 0; s < n_stages && stages; s++)
        for (int part = 0; part < N_PARTS; part++)
            free_list(&stages[s][part]);
    free_list(&all);
    free(stages);
    return status;
}

dn_status dn_run_save(dn_run *run)
{
    dn_run_enter(run, "saving checkpoint");
    DN_TRY(dn_stream_sync(run->stream));
    DN_TRY(dn_run_settle(run)); /* all ranks have finished their step, too: others read their states */
    DN_TRY(dn_strategy_show(run->instance.strategy));
    if (dn_strategy_apart(run->instance.strategy))
        DN_TRY(dn_instance_form_consensus(&run->instance));
    DN_TRY(save_all(run));
    return dn_comm_barrier(run->comm); /* no rank overwrites its states before they are copied */
}

/* ---- restoring ---- */

/* Reads a block of a tensor into `to` [block.rows, block.cols] on the symmetric heap. */
static dn_status restore_block(const dn_run *run, const dn_checkpoint *checkpoint, const char *name, size_t rows, size_t cols,
                               dn_block block, dn_buf *to)
{
    if (!dn_device_is_apart())
        return dn_checkpoint_block(checkpoint, name, rows, cols, &block, (dn_real *)to);
    size_t n = block.rows * block.cols;
    dn_real *host = malloc((n + 1) * sizeof *host);
    dn_status status = host ? dn_checkpoint_block(checkpoint, name, rows, cols, &block, host)
                            : dn_fail(DN_ERR_MEMORY, "no memory to stage %zu elements of a checkpoint", n);
    if (status == DN_OK) {
        dn_upload(run->stream, to, host, n);
        status = dn_stream_sync(run->stream);
    }
    free(host);
    return status;
}

/* Staging memory for n elements: the first or second half of the gradients, which are not in use yet. Only in
 * degenerate models is a row of a state longer than half of a rank's trained parameters. */
static dn_status staging(const dn_run *run, int which, size_t n, dn_buf **out)
{
    size_t half = run->plan.gradient_bytes / sizeof(dn_real) / 2;
    *out = dn_at(run->instance.grads, (size_t)which * half);
    return n <= half ? DN_OK
                     : dn_fail(DN_ERR_CHECKPOINT,
                               "a row of an optimizer state has %zu elements, more than half "
                               "of a worker's trained parameters: resume with fewer workers",
                               n);
}

/* The mean of a per-replica state over the replicas in the checkpoint: for decoupled momenta, the averaged
 * momentum. */
static dn_status restore_mean(dn_run *run, const dn_checkpoint *checkpoint, const dn_tensor *state,
                              int n_saved, dn_block block, dn_buf *to)
{
    char name[DN_TENSOR_NAME_MAX];
    const dn_kernels *k = run->stream->kernels;
    size_t n = block.rows * block.cols;
    dn_buf *one;
    DN_TRY(staging(run, 1, n, &one));
    k->fill(run->stream, to, n, 0.0);
    for (int r = 0; r < n_saved; r++) {
        replica_name(name, state->name, r);
        DN_TRY(restore_block(run, checkpoint, name, state->rows, state->cols, block, one));
        k->axpby(run->stream, to, 1.0 / n_saved, one, 1.0, n);
    }
    return DN_OK;
}

/* With as many replicas as were saved each restores its own copy, bit for bit. With another number, or a
 * strategy under which replicas are equal, all start from the mean. */
static dn_status restore_copy(dn_run *run, const dn_checkpoint *checkpoint, const dn_tensor *state,
                              int n_saved, dn_block block, dn_buf *to)
{
    char name[DN_TENSOR_NAME_MAX];
    replica_name(name, state->name, 0);
    if (!dn_checkpoint_has(checkpoint, name))
        return restore_block(run, checkpoint, state->name, state->rows, state->cols, block, to);
    if (!state->per_replica || n_saved != run->plan.mesh[DN_DP])
        return restore_mean(run, checkpoint, state, n_saved, block, to);
    replica_name(name, state->name, run->mesh->at[DN_DP]);
    return restore_block(run, checkpoint, name, state->rows, state->cols, block, to);
}

/* From any precision in the file; values that were bfloat16 are restored exactly. A state may be as large as
 * all parameters, so it is read in batches of rows that fit the staging memory. */
static dn_status restore_state(dn_run *run, const dn_checkpoint *checkpoint, size_t index, int n_saved)
{
    const dn_tensor *state = dn_instance_state(&run->instance, index);
    const dn_shard shard = dn_instance_state_shard(&run->instance, index, dn_comm_rank(run->instance.mesh->all));
    size_t bytes = dn_type_bytes(state->type), half = run->plan.gradient_bytes / sizeof(dn_real) / 2;
    size_t most = shard.block.cols > 0 ? half / shard.block.cols : 1;
    for (size_t row = 0, n_rows; row < shard.block.rows; row += n_rows) {
        n_rows = most < 1 ? 1 : most < shard.block.rows - row ? most : shard.block.rows - row;
        dn_block rows = {shard.block.row0 + row, n_rows, shard.block.col0, shard.block.cols};
        size_t n = n_rows * rows.cols;
        void *to = (char *)shard.data + row * rows.cols * bytes;
        dn_buf *wide = to;
        if (state->type != DN_REAL)
            DN_TRY(staging(run, 0, n, &wide));
        DN_TRY(restore_copy(run, checkpoint, state, n_saved, rows, wide));
        if (state->type != DN_REAL)
            run->stream->kernels->to_bf16(run->stream, to, wide, n);
        DN_TRY(dn_stream_sync(run->stream));
    }
    return DN_OK;
}

static bool has_state(const dn_checkpoint *checkpoint, const char *state)
{
    char name[DN_TENSOR_NAME_MAX];
    replica_name(name, state, 0);
    return dn_checkpoint_has(checkpoint, state) || dn_checkpoint_has(checkpoint, name);
}

/* Whether the strategy has states of which the checkpoint has none: it was written under another strategy. */
static bool is_new(const dn_run *run, const dn_checkpoint *checkpoint)
{
    return dn_strategy_n_states(run->instance.strategy) > 0 &&
           !has_state(checkpoint, dn_strategy_state(run->instance.strategy, 0)->name);
}

/* Messages that were in flight are in flight again. Of what each replica has of its own the file has all. */
static void expect_messages(dn_run *run, const dn_checkpoint *checkpoint)
{
    for (const char *next = dn_checkpoint_next(checkpoint, NULL); next; next = dn_checkpoint_next(checkpoint, next)) {
        char name[DN_TENSOR_NAME_MAX];
        const char *first = strstr(next, ".replica0");
        snprintf(name, sizeof name, "%.*s", (int)(first ? first - next : 0), next);
        if (first)
            dn_strategy_expect(run->instance.strategy, name);
    }
}

/* As many replicas as were saved apart take up their own weights, and their messages in flight, if they may be apart; all
 * others the consensus. Strategy's states are those of a beginning, unless the checkpoint has them. */
static dn_status restore_weights(dn_run *run, dn_checkpoint *checkpoint, int n_saved)
{
    char name[DN_TENSOR_NAME_MAX];
    replica_name(name, run->plan.n_trained ? run->instance.trained[0].tensor.name : "", 0);
    bool own = !is_new(run, checkpoint) && n_saved == run->plan.mesh[DN_DP];
    bool apart = own && dn_checkpoint_has(checkpoint, name) && run->plan.strategy->family == DN_AFTER_RULE;
    for (size_t i = 0; i < run->plan.n_params; i++) {
        const dn_param *p = &run->instance.params[i];
        replica_name(name, p->tensor.name, run->mesh->at[DN_DP]);
        DN_TRY(restore_block(run, checkpoint, apart && !p->frozen ? name : p->tensor.name, p->tensor.rows, p->tensor.cols,
                             p->block, p->weight));
    }
    dn_strategy_set_apart(run->instance.strategy, apart);
    DN_TRY(dn_instance_begin(&run->instance));
    if (own)
        expect_messages(run, checkpoint);
    return DN_OK;
}

static dn_status restore_clients(dn_run *run, const dn_checkpoint *checkpoint, uint64_t step, const char *path)
{
    dn_clients *clients = run->instance.clients;
    DN_TRY(dn_clients_expect(clients, step));
    for (size_t i = 0; i < dn_client_store_n_saved(dn_clients_store(clients)); i++) {
        const char *name = dn_client_store_saved(dn_clients_store(clients), i)->name;
        if (dn_checkpoint_has(checkpoint, name))
            DN_TRY(restore_state(run, checkpoint, i, 1));
        else if (dn_client_store_must_be(dn_clients_store(clients), i))
            return dn_fail(DN_ERR_CHECKPOINT, "%s holds no %s, which clients train now: clients, their speeds, links and rows, and strategy "
                           "and seed must stay what they were; or use another checkpoint_dir", path, name);
    }
    DN_TRY(dn_stream_sync(run->stream));
    return dn_clients_restored(clients);
}

static dn_status restore_states(dn_run *run, dn_checkpoint *checkpoint, int n_saved, uint64_t step, const char *path)
{
    DN_TRY(restore_weights(run, checkpoint, n_saved));
    run->instance.stash.made = step;
    if (run->instance.clients)
        return restore_clients(run, checkpoint, step, path);
    size_t of_optimizer = dn_optimizer_n_states(run->instance.optimizer);
    for (size_t i = 0; i < dn_instance_n_states(&run->instance); i++) {
        const char *name = dn_instance_state(&run->instance, i)->name;
        if (has_state(checkpoint, name))
            DN_TRY(restore_state(run, checkpoint, i, n_saved));
        else if (i < of_optimizer)
            return dn_fail(DN_ERR_CHECKPOINT,
                           "%s holds no state %s of the optimizer: that parameter was not trained so. Resume with optimizer, "
                           "scalar_opt, groups and trainable as they were, or begin anew from its weights: init_from=%s and "
                           "another checkpoint_dir",
                           path, name, run->plan.config.checkpoint_dir);
    }
    DN_TRY(dn_strategy_restored(run->instance.strategy));
    return dn_stream_sync(run->stream);
}

/* Refuses another model; logs other settings of training that differ. */
static dn_status compare_settings(const dn_run *run, const dn_config *stored, const char *path)
{
    char changes[800];
    DN_TRY(dn_config_check_model(stored, &run->plan.config, path));
    if (dn_config_differences(stored, &run->plan.config, DN_KEY_TRAINING, changes, sizeof changes) > 0)
        dn_log(DN_LOG_WARNING, "resuming with changed settings (checkpoint -> now): %s", changes);
    return DN_OK;
}

static bool same_validation(const dn_config *a, const dn_config *b)
{
    char files_a[DN_PATTERN_MAX], files_b[DN_PATTERN_MAX];
    dn_plan_files(a, true, files_a);
    dn_plan_files(b, true, files_b);
    return strcmp(files_a, files_b) == 0 && a->val_tokens == b->val_tokens && a->sequence_length == b->sequence_length;
}

/* NAN if it was not measured, or on other validation tokens, with which losses cannot be compared. */
static double read_loss(const dn_run *run, const dn_checkpoint *checkpoint, const dn_config *stored)
{
    const char *text = dn_checkpoint_meta(checkpoint, "val_loss");
    return text && same_validation(stored, &run->plan.config) ? strtod(text, NULL) : NAN;
}

/* Reads the best checkpoint's validation loss. */
static dn_status find_best(dn_run *run)
{
    char path[DN_PATH_MAX + 64];
    dn_checkpoint *best;
    dn_config stored;
    DN_TRY(dn_checkpoint_best(run->plan.config.checkpoint_dir, path, sizeof path));
    if (access(path, F_OK) != 0)
        return DN_OK;
    DN_TRY(dn_checkpoint_peek(path, &best));
    dn_status status = dn_stored_config(best, path, &stored);
    if (status == DN_OK)
        run->best_loss = read_loss(run, best, &stored);
    dn_checkpoint_close(&best);
    return status;
}

static dn_status read_on(void *context)
{
    const dn_run *run = context;
    dn_run_tick(context);
    return dn_comm_stop_requested(run->comm) ? DN_RUN_DROPPED : DN_OK;
}

static dn_status restore(dn_run *run, const char *path)
{
    dn_checkpoint *checkpoint;
    dn_config stored;
    dn_run_enter(run, "reading checkpoint");
    DN_TRY(dn_checkpoint_open(path, read_on, run, &checkpoint));
    const char *replicas = dn_checkpoint_meta(checkpoint, "replicas");
    int n_saved = replicas ? atoi(replicas) : 0;
    uint64_t step;
    dn_status status = dn_checkpoint_step(checkpoint, &step);
    if (status == DN_OK && n_saved < 1)
        status = dn_fail(
            DN_ERR_CHECKPOINT,
            "%s: not a checkpoint of dionode train: it has no number of replicas in its metadata", path);
    if (status == DN_OK)
        status = dn_stored_config(checkpoint, path, &stored);
    if (status == DN_OK)
        status = compare_settings(run, &stored, path);
    if (status == DN_OK)
        status = dn_plan_same_tokenizer(dn_stored_tokenizer(checkpoint),
                                        run->tokenizer, "training files");
    if (status == DN_OK)
        status = restore_states(run, checkpoint, n_saved, step, path);
    if (status == DN_OK)
        status = dn_finite_check(&run->instance, path, "move it away to resume from an older checkpoint",
                                 dn_run_tick, run);
    if (status == DN_OK) {
        run->step = run->val_step = run->saved_step = step;
        run->saved = true;
        run->val_loss = read_loss(run, checkpoint, &stored);
        run->validation_due = dn_checkpoint_meta(checkpoint, "validation") != NULL;
        run->learned = !dn_checkpoint_meta(checkpoint, "learned");
    }
    dn_checkpoint_close(&checkpoint);
    return status;
}

/* All ranks see the same newest checkpoint ("": none): ranks of different nodes may look into different folders. */
static dn_status agree_on_newest(const dn_run *run, const char *path)
{
    const char *name = strrchr(path, '/');
    unsigned long long step = 0;
    double seen[2] = {-1, 1}; /* smallest, and largest as its negative */
    if (name && sscanf(name, "/step_%llu", &step) == 1) {
        seen[0] = (double)step;
        seen[1] = -seen[0];
    }
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, seen, 2, DN_MIN));
    if (seen[0] == -seen[1])
        return DN_OK;
    return dn_fail(DN_ERR_CHECKPOINT,
                   "%s is not the same folder on all nodes: give checkpoint_dir a folder that all of them see, or set "
                   "checkpoint_gather, so that its newest checkpoint is copied from the first node to the others",
                   run->plan.config.checkpoint_dir);
}

dn_status dn_run_restore(dn_run *run)
{
    char path[DN_PATH_MAX + 64];
    bool found;
    run->val_loss = run->best_loss = NAN;
    if (run->plan.config.checkpoint_gather)
        DN_TRY(dn_checkpoint_bring(run->comm, run->plan.config.checkpoint_dir, (size_t)run->plan.config.checkpoint_keep));
    DN_TRY(dn_checkpoint_latest(run->plan.config.checkpoint_dir, path, sizeof path, &found));
    DN_TRY(agree_on_newest(run, found ? path : ""));
    if (!found)
        return DN_OK;
    dn_status status = restore(run, path);
    if (status != DN_RUN_DROPPED)
        DN_TRY(status);
    DN_TRY(dn_run_agree_to_begin(
        run)); /* a stop that any rank has seen stops all; otherwise all states are restored */
    if (run->rank != 0)
        return DN_OK;
    DN_TRY(find_best(run));
    /* A run may have been killed after it wrote the newest checkpoint and before it linked it as the best
     * one. */
    if (run->val_loss == run->best_loss || !takes_lead(run))
        return DN_OK;
    return dn_checkpoint_set_best(run->plan.config.checkpoint_dir, run->step);
}
