#include "train/run.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "checkpoint/checkpoint.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "train/alike.h"
#include "train/init.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LIMITS_S 0.07
#define SHORT_RUN_FLOPS 1e10 /* a quarter of a second of one core */
#define MODEST 5 /* times the default rate of trained weights; scratch is 20 */

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

/* False once a stop is requested while memory is zeroed and weights are drawn or read: each rank skips the rest when
 * it sees the request, and they agree on the stop afterwards. */
static bool is_wanted(void *context)
{
    const dn_run *run = context;
    dn_run_tick(context);
    return !dn_comm_stop_requested(run->comm);
}

static dn_status read_on(void *context)
{
    return is_wanted(context) ? DN_OK : DN_RUN_DROPPED;
}

/* Those of init_from, unless the run goes on from a checkpoint of its own. */
static dn_status load_first_weights(dn_run *run)
{
    const dn_config *config = &run->plan.config;
    char path[DN_PATH_MAX + 64];
    bool found;
    if (!*config->init_from)
        return DN_OK;
    DN_TRY(dn_checkpoint_latest(config->checkpoint_dir, path, sizeof path, &found));
    if (found)
        return DN_OK;
    dn_log(DN_LOG_INFO, "weights of %s; lr %g", config->init_from, config->lr);
    if (!config->lora_rank && config->lr > MODEST * dn_init_lr(config))
        dn_log(DN_LOG_WARNING, "lr %g suits weights from scratch and can ruin trained ones: with %s leave it out (%g), or stay below %g",
               config->lr, config->optimizer, dn_init_lr(config), MODEST * dn_init_lr(config));
    dn_status status = dn_init_load(&run->instance, read_on, run);
    return status == DN_RUN_DROPPED ? DN_OK : status;
}

/* Opens the files of a loader. Errors: fewer tokens than one row. */
static dn_status open_tokens(const dn_run *run, bool validation, dn_tokens **tokens, dn_loader *loader)
{
    const dn_config *config = &run->plan.config;
    char pattern[DN_PATTERN_MAX];
    dn_plan_files(config, validation, pattern);
    DN_TRY(dn_plan_tokens(config, validation, tokens));
    *loader = (dn_loader){.tokens = *tokens,
                          .T = run->plan.spec.T,
                          .vocab_size = run->plan.spec.V,
                          .seed = (uint64_t)config->seed,
                          .shuffle = !validation && config->shuffle};
    if (dn_loader_rows(loader) > 0)
        return DN_OK;
    return dn_fail(DN_ERR_DATA,
                   "%s: less than one sequence of %zu tokens and its target; use more data or a smaller "
                   "sequence_length",
                   pattern, loader->T);
}

static dn_status open_data(dn_run *run)
{
    DN_TRY(open_tokens(run, false, &run->train_tokens, &run->train));
    run->tokenizer = dn_tokens_origin_of(run->train_tokens).tokenizer;
    if (run->plan.config.val_tokens == 0)
        return DN_OK;
    DN_TRY(open_tokens(run, true, &run->val_tokens, &run->val));
    size_t counted;
    DN_TRY(dn_loader_counted(&run->val, 0, dn_run_val_rows(run), &counted));
    if (counted == 0)
        return dn_fail(DN_ERR_DATA, "of the first %lld validation tokens none counts as a target: raise val_tokens",
                       (long long)run->plan.config.val_tokens);
    return dn_plan_same_tokenizer(run->tokenizer, dn_tokens_origin_of(run->val_tokens).tokenizer, "validation files");
}

/* Bytes of all stages: of a checkpoint, and of states on all workers. */
static dn_status measure_states(dn_run *run)
{
    double bytes[2] = {dn_run_stage_checkpoint_bytes(run)};
    for (size_t i = 0; i < dn_instance_n_states(&run->instance); i++) {
        dn_type type = dn_instance_state(&run->instance, i)->type;
        for (int rank = 0; rank < dn_comm_size(run->instance.mesh->all); rank++) { /* copies count each */
            dn_block block = dn_instance_state_shard(&run->instance, i, rank).block;
            bytes[1] += (double)(block.rows * block.cols * dn_type_bytes(type));
        }
    }
    if (run->instance.mesh->stages)
        DN_TRY(dn_comm_all_reduce_scalars(run->instance.mesh->stages, bytes, 2, DN_SUM));
    run->checkpoint_bytes = bytes[0];
    run->state_bytes = bytes[1];
    return DN_OK;
}

/* All workers measure at once, as they share cores and caches, and briefly. The first product is a warm-up.
 * Between products a worker notices failures of others. A run that takes no longer than the measurement goes without. */
static dn_status measure_limits(dn_run *run)
{
    double tokens = (double)(run->plan.config.batch_size * run->plan.config.sequence_length);
    double steps = (double)dn_run_goal(run) - (double)run->step;
    run->limits = (dn_flop_limits){.gemm = NAN, .fma = NAN};
    if (steps * tokens * dn_model_flops_per_token(&run->plan.spec, run->instance.params) < SHORT_RUN_FLOPS)
        return DN_OK;
    DN_TRY(dn_comm_barrier(run->comm));
    double best[2] = {0}, end_s = dn_clock_s() + LIMITS_S;
    for (int n = 0; n < 2 || dn_clock_s() < end_s; n++) {
        dn_flop_limits now = dn_flop_limits_measure(run->stream, 0);
        best[0] = fmax(best[0], now.gemm);
        best[1] = fmax(best[1], now.fma);
        DN_TRY(dn_comm_tick(run->comm, run->step + 1, run->phase));
    }
    DN_TRY(dn_comm_all_reduce_scalars(run->comm, best, 2, DN_SUM));
    run->limits = (dn_flop_limits){.gemm = best[0], .fma = best[1]};
    return DN_OK;
}

/* Links between replicas, between their islands, and between stages, and what ends a pass of stages. */
static void open_ways(dn_run *run)
{
    const dn_plan *plan = &run->plan;
    for (unsigned axes = 1; axes <= DN_ALL_AXES; axes++)
        if ((axes & DN_AXIS(DN_DP)) && run->mesh->comms[axes])
            dn_comm_use_link(run->mesh->comms[axes], &plan->link_dp);
    run->instance.pipeline.links = &plan->link_pp;
    run->instance.pipeline.gate = run->instance.pipeline.stages ? dn_run_gate : NULL;
    run->instance.pipeline.gate_context = run;
    for (dn_scope scope = DN_SCOPE_ISLAND; scope < DN_N_SCOPES; scope++) {
        dn_comm *of_scope = dn_strategy_comm(run->instance.strategy, scope);
        if (of_scope)
            dn_comm_use_link(of_scope, scope == DN_SCOPE_ACROSS ? &plan->link_across : &plan->link_dp);
    }
}

dn_status dn_run_open(dn_run *run, const dn_plan *plan, dn_comm *comm)
{
    memset(run, 0, sizeof *run);
    run->plan = *plan;
    plan = &run->plan;
    run->comm = comm;
    run->rank = dn_comm_rank(comm);
    dn_run_enter(run, "initializing");
    const char *kernels, *threads = getenv("OMP_NUM_THREADS");
    DN_TRY(dn_kernels_of_precision(plan->config.precision, &kernels));
    DN_TRY(dn_stream_create(kernels, threads ? atoi(threads) : 1, &run->stream));
    dn_stream_on_progress(run->stream, is_wanted, run);
    if (plan->strategy->clients)
        dn_stream_round_alike(run->stream);
    DN_TRY(open_data(run));
    if (dn_comm_n_nodes(comm) > 1) { /* each has files of its own, or sees the same ones */
        DN_TRY(dn_alike_data(run->train_tokens, plan->spec.V, "training tokens", comm));
        DN_TRY(dn_alike_data(run->val_tokens, plan->spec.V, "validation tokens", comm));
    }

    DN_TRY(dn_mesh_create(comm, plan->mesh, &run->mesh));
    DN_TRY(dn_plan_enter_stage(&run->plan, run->mesh->at[DN_PP]));
    DN_TRY(dn_instance_open(&run->instance, plan, run->mesh, run->stream, true));
    DN_TRY(dn_model_init(&plan->spec, run->instance.params, run->stream, (uint64_t)plan->config.seed));
    DN_TRY(load_first_weights(run));
    dn_model_on_progress(run->instance.model, dn_run_pass_on, run);
    run->instance.begins = true;
    DN_TRY(dn_instance_begin(&run->instance));
    if (plan->strategy->clients) {
        DN_TRY(dn_client_rows_open(run));
        DN_TRY(dn_clients_begin(run->instance.clients));
    }
    DN_TRY(dn_run_agree_to_begin(run));
    DN_TRY(dn_run_restore(run));
    open_ways(run);
    run->reported = true;

    DN_TRY(measure_states(run));
    DN_TRY(dn_run_check_disk(run));
    if (run->rank == 0) {
        char path[DN_PATH_MAX + 16];
        dn_comm_report_saved(comm, run->step);
        snprintf(path, sizeof path, "%s/metrics.jsonl", plan->config.checkpoint_dir);
        DN_TRY(dn_metrics_open(path, run->step + 1, &run->metrics));
        if (plan->config.tensorboard)
            DN_TRY(dn_tensorboard_open(plan->config.checkpoint_dir, &run->tensorboard));
    }
    return measure_limits(run);
}

/* A failed run's, too: what was copied is good. The message of the failure stays. */
static void await_saving(dn_run *run)
{
    char message[DN_MESSAGE_MAX];
    if (!run->saving.busy)
        return;
    snprintf(message, sizeof message, "%s", dn_error_message());
    dn_saving_over(&run->saving, dn_run_tick, run);
    dn_status told = dn_fail(DN_OK, "%s", message);
    (void)told;
}

void dn_run_close(dn_run *run)
{
    await_saving(run);
    if (run->metrics) {
        dn_status status = dn_metrics_close(&run->metrics),
                  of_events = dn_tensorboard_close(&run->tensorboard);
        (void)status; /* every line was flushed and checked when it was written */
        (void)of_events;
    }
    dn_client_rows_close(run);
    dn_instance_close(&run->instance);
    dn_stream_destroy(&run->stream);
    dn_mesh_destroy(&run->mesh);
    dn_tokens_close(&run->train_tokens);
    dn_tokens_close(&run->val_tokens);
}

/* XXH3 of the weights; from a device in chunks. */
static dn_status hash_weights(dn_run *run, uint64_t *digest)
{
    size_t bytes = run->plan.parameter_bytes, chunk = (size_t)1 << 20;
    if (!dn_device_is_apart()) {
        *digest = XXH3_64bits(run->instance.values, bytes);
        return DN_OK;
    }
    XXH3_state_t *hash = XXH3_createState();
    char *host = malloc(chunk);
    dn_status status = hash && host ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a hash of the weights");
    if (status == DN_OK)
        XXH3_64bits_reset(hash);
    for (size_t at = 0, n; at < bytes && status == DN_OK; at += n) {
        n = dn_min(chunk, bytes - at);
        dn_copy_bytes(run->stream, host, (char *)run->instance.values + at, n);
        status = dn_stream_sync(run->stream);
        XXH3_64bits_update(hash, host, n);
    }
    if (status == DN_OK)
        *digest = XXH3_64bits_digest(hash);
    XXH3_freeState(hash);
    free(host);
    return status;
}

dn_status dn_run_check_replicas(dn_run *run, double *hash)
{
    dn_comm *dp = dn_mesh_comm(run->instance.mesh, DN_AXIS(DN_DP));
    const int64_t mask = (INT64_C(1) << 52) - 1; /* exact in a double, too */
    *hash = NAN;
    if (dn_strategy_apart(run->instance.strategy))
        return DN_OK;
    DN_TRY(dn_stream_sync(run->stream));
    uint64_t digest;
    DN_TRY(hash_weights(run, &digest));
    int64_t bits = (int64_t)(digest >> 12);
    int64_t low = bits, high = bits;
    DN_TRY(dn_comm_all_reduce(dp, &low, 1, DN_I64, DN_MIN, DN_TRAFFIC_CONTROL));
    DN_TRY(dn_comm_all_reduce(dp, &high, 1, DN_I64, DN_MAX, DN_TRAFFIC_CONTROL));
    int64_t shared[2] = {run->mesh->at[DN_DP] == 0 ? bits : 0, low != high};
    DN_TRY(dn_comm_all_reduce(run->comm, shared, 2, DN_I64, DN_SUM, DN_TRAFFIC_CONTROL));
    *hash = (double)(shared[0] & mask);
    if (shared[1] == 0)
        return DN_OK;
    return dn_fail(
        DN_ERR_NUMERIC,
        "step %llu: the replicas' weights are no longer bitwise equal; resume from the last checkpoint, and "
        "report this: it is a bug, or faulty hardware",
        (unsigned long long)run->step);
}
