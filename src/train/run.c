#include "train/run.h"

#include "base/fail.h"
#include "checkpoint/checkpoint.h"
#include "compute/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

void dn_run_tick(void *context)
{
    dn_run *run = context;
    dn_comm_tick(run->comm, run->step + 1, run->phase);
}

void dn_run_enter(dn_run *run, const char *phase)
{
    run->phase = phase;
    dn_run_tick(run);
}

static dn_status open_model(dn_run *run)
{
    const dn_plan *plan = &run->plan;
    run->params = calloc(plan->n_params, sizeof *run->params);
    if (!run->params)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", plan->n_params);
    void *weights, *grads;
    DN_TRY(dn_comm_alloc(run->comm, plan->parameter_bytes, &weights));
    DN_TRY(dn_comm_alloc(run->comm, plan->parameter_bytes, &grads));
    run->weights = weights;
    run->grads = grads;
    run->n_elements = dn_gpt_n_elements(&plan->shape);
    dn_arena weight_arena = {weights, plan->parameter_bytes, 0},
             grad_arena = {grads, plan->parameter_bytes, 0};
    const int size[DN_N_AXES] = {1, 1, 1}, at[DN_N_AXES] = {0, 0, 0};
    dn_gpt_layout(&plan->shape, size, at, &weight_arena, &grad_arena, run->params);
    DN_TRY(dn_gpt_init(&plan->shape, run->params, run->stream, (uint64_t)plan->config.seed));
    DN_TRY(dn_optimizer_create(&plan->optim, run->params, plan->n_params, run->stream, run->comm,
                               &run->optimizer));
    run->unit_of = calloc(plan->n_params, sizeof *run->unit_of);
    if (!run->unit_of)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu units", plan->n_params);
    dn_gpt_units(&plan->shape, run->unit_of);
    DN_TRY(dn_comm_create_alone(dn_mesh_heap_bytes(size), &run->alone));
    DN_TRY(dn_mesh_create(run->alone, size, &run->mesh));
    DN_TRY(dn_weights_create(run->params, plan->n_params, run->unit_of, run->mesh, DN_GATHER_IN_PLACE,
                             run->stream, &run->model_weights));
    DN_TRY(dn_gpt_create(&plan->shape, plan->micro_batch, run->params, run->model_weights,
                         dn_mesh_group(run->mesh, DN_AXIS(DN_TP)), NULL, run->stream, &run->gpt));
    dn_gpt_on_progress(run->gpt, dn_run_tick, run);
    return DN_OK;
}

/* Opens the files of a loader; a stream shorter than one row is no stream to train on. */
static dn_status open_tokens(const dn_run *run, bool validation, dn_tokens **tokens, dn_loader *loader)
{
    const dn_config *config = &run->plan.config;
    char pattern[DN_PATH_MAX + 16];
    dn_plan_files(config, validation, pattern, sizeof pattern);
    DN_TRY(dn_tokens_open(pattern, tokens));
    *loader = (dn_loader){*tokens, run->plan.shape.T, run->plan.shape.V, (uint64_t)config->seed, !validation};
    if (dn_loader_rows(loader) > 0)
        return DN_OK;
    return dn_fail(DN_ERR_DATA,
                   "%s: less than one sequence of %zu tokens and its target; give more data or lower "
                   "sequence_length",
                   pattern, loader->T);
}

static dn_status open_data(dn_run *run)
{
    DN_TRY(open_tokens(run, false, &run->train_tokens, &run->train));
    if (run->plan.config.val_tokens > 0)
        DN_TRY(open_tokens(run, true, &run->val_tokens, &run->val));
    size_t tokens = run->plan.micro_batch * run->plan.shape.T;
    run->inputs = malloc(tokens * sizeof *run->inputs);
    run->targets = malloc(tokens * sizeof *run->targets);
    if (!run->inputs || !run->targets)
        return dn_fail(DN_ERR_MEMORY, "no memory for a micro-batch of %zu tokens", tokens);
    return DN_OK;
}

static dn_status restore_latest(dn_run *run)
{
    char path[DN_PATH_MAX + 64];
    bool found;
    DN_TRY(dn_checkpoint_latest(run->plan.config.checkpoint_dir, path, sizeof path, &found));
    return found ? dn_run_restore(run, path) : DN_OK;
}

static dn_status open_metrics(dn_run *run)
{
    if (run->rank != 0)
        return DN_OK;
    char path[DN_PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/metrics.jsonl", run->plan.config.checkpoint_dir);
    return dn_metrics_open(path, run->step + 1, &run->metrics);
}

/* All workers measure at once, so that the sum is what the cores give together. */
static dn_status measure_peak(dn_run *run)
{
    DN_TRY(dn_comm_barrier(run->comm));
    run->peak_flops = dn_gemm_peak(run->stream);
    return dn_comm_all_reduce_scalars(run->comm, &run->peak_flops, 1, DN_SUM);
}

dn_status dn_run_open(dn_run *run, const dn_plan *plan, dn_comm *comm)
{
    memset(run, 0, sizeof *run);
    run->plan = *plan;
    run->comm = comm;
    dn_run_enter(run, "initializing");
    run->rank = dn_comm_rank(comm);
    const char *threads = getenv("OMP_NUM_THREADS");
    DN_TRY(dn_stream_create("cpu", threads ? atoi(threads) : 1, &run->stream));
    DN_TRY(open_data(run));
    DN_TRY(open_model(run));
    DN_TRY(restore_latest(run));
    DN_TRY(open_metrics(run));
    return measure_peak(run);
}

void dn_run_close(dn_run *run)
{
    if (run->metrics) {
        dn_status status = dn_metrics_close(&run->metrics);
        (void)status; /* every line was flushed and checked when it was written */
    }
    dn_gpt_destroy(&run->gpt);
    dn_weights_destroy(&run->model_weights);
    dn_mesh_destroy(&run->mesh);
    dn_comm_destroy(&run->alone);
    free(run->unit_of);
    dn_optimizer_destroy(&run->optimizer);
    dn_stream_destroy(&run->stream);
    dn_tokens_close(&run->train_tokens);
    dn_tokens_close(&run->val_tokens);
    free(run->inputs);
    free(run->targets);
    free(run->params);
}

dn_status dn_run_check_replicas(dn_run *run, double *hash)
{
    DN_TRY(dn_stream_sync(run->stream));
    uint64_t bits =
        XXH3_64bits(run->weights, run->n_elements * sizeof(dn_real)) >> 12; /* exact in a double */
    double low = (double)bits, high = (double)bits;
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, &low, 1, DN_MIN));
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, &high, 1, DN_MAX));
    *hash = low;
    if (low == high)
        return DN_OK;
    return dn_fail(
        DN_ERR_NUMERIC,
        "step %llu: the replicas' weights are no longer the same bits; resume from the last checkpoint and "
        "report this: it is a bug or a broken machine",
        (unsigned long long)run->step);
}
