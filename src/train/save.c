/*
 * A run to and from a checkpoint. Everything the next step depends on is in it: weights, optimizer state
 * (each replica's own momentum among it) and the step, from which schedule, data order and random numbers
 * follow.
 */
#include "train/run.h"

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "compute/kernels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_ = DN_PARAM_NAME_MAX + 64 };

static void replica_name(char *name, const char *state, int replica)
{
    snprintf(name, NAME_MAX_, "%s.replica%d", state, replica);
}

/* The tensors of a checkpoint, each with room for its name and, if it lies in several places, for a copy. */
typedef struct tensor_list {
    dn_tensor *tensors;
    dn_shard *shards; /* the one of each */
    char (*names)[NAME_MAX_];
    dn_real **copies;
    size_t n;
} tensor_list;

static void add(tensor_list *list, const char *name, size_t rows, size_t cols, const void *data)
{
    dn_shard *shard = &list->shards[list->n];
    *shard = (dn_shard){{0, rows, 0, cols}, data};
    snprintf(list->names[list->n], NAME_MAX_, "%s", name);
    list->tensors[list->n] = (dn_tensor){list->names[list->n], rows, cols, 1, shard};
    list->n++;
}

/* The whole of one replica's state, out of the shards of all ranks: the symmetric heap is host memory, and
 * peers' shards are read where they are. */
static dn_status add_state(const dn_run *run, tensor_list *list, size_t index, int replica, const char *name)
{
    const dn_state *state = dn_optimizer_state(run->optimizer, index);
    dn_real *whole = malloc(state->rows * state->cols * sizeof *whole);
    if (!whole)
        return dn_fail(DN_ERR_MEMORY, "no memory for a copy of %s", name);
    list->copies[list->n] = whole;
    for (int rank = 0; rank < run->plan.n_workers; rank++) {
        dn_state_shard shard = dn_optimizer_state_shard(run->optimizer, index, rank);
        const dn_block b = shard.block;
        for (size_t i = 0; i < b.rows && shard.replica == replica; i++)
            dn_download(run->stream, whole + (b.row0 + i) * state->cols + b.col0,
                        dn_at(shard.data, i * b.cols), b.cols);
    }
    add(list, name, state->rows, state->cols, whole);
    return dn_stream_sync(run->stream);
}

static dn_status list_tensors(const dn_run *run, tensor_list *list)
{
    size_t n_states = dn_optimizer_n_states(run->optimizer);
    size_t room = run->plan.n_params + n_states * (size_t)run->plan.n_workers;
    list->tensors = calloc(room, sizeof *list->tensors);
    list->shards = calloc(room, sizeof *list->shards);
    list->names = calloc(room, sizeof *list->names);
    list->copies = calloc(room, sizeof *list->copies);
    if (!list->tensors || !list->shards || !list->names || !list->copies)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu tensors", room);
    for (size_t i = 0; i < run->plan.n_params; i++)
        add(list, run->params[i].name, run->params[i].rows, run->params[i].cols, run->params[i].weight);
    for (size_t i = 0; i < n_states; i++) {
        const dn_state *state = dn_optimizer_state(run->optimizer, i);
        if (!state->per_replica)
            DN_TRY(add_state(run, list, i, 0, state->name));
        for (int r = 0; state->per_replica && r < run->plan.n_workers; r++) {
            char name[NAME_MAX_];
            replica_name(name, state->name, r);
            DN_TRY(add_state(run, list, i, r, name));
        }
    }
    return DN_OK;
}

static dn_status write_tensors(dn_run *run, const tensor_list *list)
{
    char step[32], replicas[16];
    snprintf(step, sizeof step, "%llu", (unsigned long long)run->step);
    snprintf(replicas, sizeof replicas, "%d", run->plan.n_workers);
    char *config = dn_config_dump(&run->plan.config);
    if (!config)
        return dn_fail(DN_ERR_MEMORY, "no memory for the configuration's text");
    const dn_meta meta[] = {{"format", "pt"}, {"step", step}, {"replicas", replicas}, {"config", config}};
    dn_status status =
        dn_checkpoint_write(run->plan.config.checkpoint_dir, run->step, meta, sizeof meta / sizeof *meta,
                            list->tensors, list->n, dn_run_tick, run);
    free(config);
    return status;
}

static dn_status save_from_rank_0(dn_run *run)
{
    tensor_list list = {0};
    dn_status status = list_tensors(run, &list);
    if (status == DN_OK)
        status = write_tensors(run, &list);
    for (size_t i = 0; i < list.n; i++)
        free(list.copies[i]);
    free(list.copies);
    free(list.tensors);
    free(list.shards);
    free(list.names);
    return status;
}

dn_status dn_run_save(dn_run *run)
{
    dn_run_enter(run, "saving checkpoint");
    DN_TRY(dn_stream_sync(run->stream));
    DN_TRY(dn_comm_barrier(run->comm)); /* everybody's momentum is complete */
    if (run->rank == 0)
        DN_TRY(save_from_rank_0(run));
    return dn_comm_barrier(run->comm); /* nobody changes it before it is written */
}

static dn_status restore_tensor(dn_run *run, const dn_checkpoint *checkpoint, const char *name, size_t rows,
                                size_t cols, dn_buf *to)
{
    const dn_real *data;
    DN_TRY(dn_checkpoint_tensor(checkpoint, name, rows, cols, &data));
    dn_upload(run->stream, to, data, rows * cols);
    return DN_OK;
}

/* This rank's shard of a state. */
static dn_status restore_shard(dn_run *run, const dn_checkpoint *checkpoint, const char *name, size_t index,
                               dn_buf *to)
{
    const dn_state *state = dn_optimizer_state(run->optimizer, index);
    const dn_block b = dn_optimizer_state_shard(run->optimizer, index, run->rank).block;
    const dn_real *data;
    DN_TRY(dn_checkpoint_tensor(checkpoint, name, state->rows, state->cols, &data));
    for (size_t i = 0; i < b.rows; i++)
        dn_upload(run->stream, dn_at(to, i * b.cols), data + (b.row0 + i) * state->cols + b.col0, b.cols);
    return DN_OK;
}

/* The mean over the replicas of a checkpoint: what the method means by "the" momentum (dion.md 2.6). */
static dn_status restore_mean(dn_run *run, const dn_checkpoint *checkpoint, size_t index, int n_saved)
{
    char name[NAME_MAX_];
    const dn_kernels *k = run->stream->kernels;
    dn_state_shard shard = dn_optimizer_state_shard(run->optimizer, index, run->rank);
    size_t n = shard.block.rows * shard.block.cols;
    dn_buf *staging = (dn_buf *)run->grads; /* as long as all gradients, and not in use yet */
    k->fill(run->stream, shard.data, n, 0.0);
    for (int r = 0; r < n_saved; r++) {
        replica_name(name, dn_optimizer_state(run->optimizer, index)->name, r);
        DN_TRY(restore_shard(run, checkpoint, name, index, staging));
        k->axpby(run->stream, shard.data, 1.0 / n_saved, staging, 1.0, n);
    }
    return DN_OK;
}

/* Each of as many replicas as were saved takes up its own momentum, bit for bit. On another mesh, or with
 * another way of exchange, all start from the mean. */
static dn_status restore_state(dn_run *run, const dn_checkpoint *checkpoint, size_t index, int n_saved)
{
    char name[NAME_MAX_];
    const dn_state *state = dn_optimizer_state(run->optimizer, index);
    dn_state_shard shard = dn_optimizer_state_shard(run->optimizer, index, run->rank);
    replica_name(name, state->name, 0);
    if (!dn_checkpoint_has(checkpoint, name))
        return restore_shard(run, checkpoint, state->name, index, shard.data);
    if (!state->per_replica || n_saved != run->plan.n_workers)
        return restore_mean(run, checkpoint, index, n_saved);
    replica_name(name, state->name, shard.replica);
    return restore_shard(run, checkpoint, name, index, shard.data);
}

static dn_status restore_states(dn_run *run, const dn_checkpoint *checkpoint, int n_saved)
{
    for (size_t i = 0; i < run->plan.n_params; i++) {
        const dn_param *p = &run->params[i];
        DN_TRY(restore_tensor(run, checkpoint, p->name, p->rows, p->cols, p->weight));
    }
    for (size_t i = 0; i < dn_optimizer_n_states(run->optimizer); i++)
        DN_TRY(restore_state(run, checkpoint, i, n_saved));
    return dn_stream_sync(run->stream);
}

dn_status dn_run_restore(dn_run *run, const char *path)
{
    dn_checkpoint *checkpoint;
    dn_run_enter(run, "reading checkpoint");
    DN_TRY(dn_checkpoint_open(path, &checkpoint));
    const char *step = dn_checkpoint_meta(checkpoint, "step"),
               *replicas = dn_checkpoint_meta(checkpoint, "replicas");
    int n_saved = replicas ? atoi(replicas) : 0;
    dn_status status = DN_OK;
    if (!step || n_saved < 1)
        status =
            dn_fail(DN_ERR_CHECKPOINT, "%s: not a checkpoint of a run: it names no step or replicas", path);
    if (status == DN_OK)
        status = restore_states(run, checkpoint, n_saved);
    if (status == DN_OK)
        run->step = strtoull(step, NULL, 10);
    dn_checkpoint_close(&checkpoint);
    return status;
}
