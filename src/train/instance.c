#include "train/instance.h"

#include "base/fail.h"
#include "comm/world.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "base/size.h"
#include "shard/layout.h"
#include "shard/param_address.h"
#include "tensor/axes.h"
#include "train/clients.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dn_status alloc_zeroed(const dn_instance *instance, size_t bytes, dn_buf **out)
{
    void *memory;
    DN_TRY(dn_comm_alloc_device(instance->mesh->root, bytes, &memory));
    *out = memory;
    /* Padding is compared between replicas, too. */
    return dn_stream_zero(instance->stream, *out, bytes / sizeof(dn_real));
}

/* Weights and gradients: memory, descriptions, and how weights are read over fs. */
static dn_status open_params(dn_instance *instance, bool training)
{
    const dn_plan *plan = instance->plan;
    const dn_mesh *mesh = instance->mesh;
    size_t *unit_of = calloc(plan->n_params, sizeof *unit_of);
    instance->params = calloc(plan->n_params, sizeof *instance->params);
    instance->trained = calloc(plan->n_trained + 1, sizeof *instance->trained); /* a stage may train nothing */
    dn_status status =
        unit_of && instance->params && instance->trained
            ? alloc_zeroed(instance, plan->parameter_bytes, &instance->values)
            : dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", plan->n_params);
    if (status == DN_OK && training)
        status = alloc_zeroed(instance, plan->gradient_bytes, &instance->grads);
    if (status == DN_OK) {
        dn_arena values = {(char *)instance->values, plan->parameter_bytes, 0};
        dn_arena grads = {(char *)instance->grads, plan->gradient_bytes, 0};
        status = dn_plan_lay_out(plan, &plan->spec, mesh->at, &values, &grads, instance->params, unit_of, instance->trained);
    }
    if (status == DN_OK)
        status = dn_weights_create(instance->params, plan->n_params, unit_of, mesh, plan->gather,
                                   instance->stream, &instance->weights);
    if (status == DN_OK && plan->spec.narrow && instance->stream->kernels->narrow)
        status = dn_weights_narrow_units(instance->weights, plan->spec.tied == DN_YES);
    free(unit_of);
    return status;
}

static dn_status open_channels(dn_instance *instance)
{
    const dn_plan *plan = instance->plan;
    size_t kept[2];
    void *heap = NULL;
    dn_plan_stage_kept(plan, plan->stage, kept);
    size_t bytes = dn_pipeline_heap_bytes(kept, plan->micro_batch, plan->spec.T, plan->spec.C, plan->n_slots);
    if (bytes > 0)
        DN_TRY(dn_comm_alloc_device(instance->mesh->root, bytes, &heap));
    dn_pipeline_open_channels(&instance->pipeline, kept, plan->n_slots, heap);
    return DN_OK;
}

static dn_status open_stash(dn_instance *instance)
{
    const dn_plan *plan = instance->plan;
    size_t n_kept = dn_plan_stage_stashed(plan, plan->stage);
    instance->stash = (dn_stash){.newest = instance->values,
                                 .n = plan->gradient_bytes / sizeof(dn_real),
                                 .n_kept = n_kept,
                                 .stream = instance->stream};
    if (n_kept > 0)
        DN_TRY(alloc_zeroed(instance, dn_size_mul(n_kept, plan->gradient_bytes), &instance->stash.copies));
    instance->stashed = calloc(n_kept * plan->n_trained + 1, sizeof *instance->stashed);
    if (!instance->stashed)
        return dn_fail(DN_ERR_MEMORY, "no memory to describe %zu copies of the weights", n_kept);
    for (size_t i = 0; i < n_kept * plan->n_trained; i++) {
        dn_tensor *t = &instance->stashed[i];
        const dn_tensor *of = &instance->trained[i % plan->n_trained].tensor;
        *t = *of;
        t->per_replica = plan->strategy->family == DN_AFTER_RULE;
        snprintf(t->name, sizeof t->name, "stash.%zu.%.*s", 1 + i / plan->n_trained, DN_PARAM_NAME_MAX - 1, of->name);
    }
    instance->pipeline.stash = &instance->stash;
    instance->pipeline.weights = instance->weights;
    return DN_OK;
}

dn_status dn_instance_open(dn_instance *instance, const dn_plan *plan, const dn_mesh *whole, dn_stream *stream,
                           bool training)
{
    size_t tokens = plan->micro_batch * plan->spec.T;
    size_t bytes = plan->n_sequences
                       ? dn_model_cache_heap_bytes(&plan->spec, plan->n_sequences, plan->mesh[DN_TP])
                       : dn_model_heap_bytes(&plan->spec, plan->micro_batch, plan->n_slots, plan->mesh[DN_TP]);
    void *exchange = NULL;
    *instance = (dn_instance){.plan = plan, .stage = dn_mesh_stage(whole), .stream = stream};
    const dn_mesh *mesh = instance->mesh = &instance->stage;
    DN_TRY(open_params(instance, training));
    if (training) {
        instance->optimizer_mesh = dn_strategy_mesh(plan->strategy, mesh);
        DN_TRY(dn_optimizer_create(&plan->optim, instance->trained, dn_strategy_n_stepped(plan->strategy, plan->n_trained),
                                   stream, &instance->optimizer_mesh, &instance->optimizer));
        if (plan->strategy->clients) /* steps of clients wait for no other worker */
            instance->optimizer_mesh.root = instance->optimizer_mesh.all;
        const dn_strategy_parts replicas = {.optim = &plan->optim,
                                            .params = instance->trained,
                                            .n_params = plan->n_trained,
                                            .stream = stream,
                                            .mesh = mesh,
                                            .optimizer = instance->optimizer};
        DN_TRY(dn_strategy_open(plan->strategy, &plan->strategy_config, &replicas, &instance->strategy));
    }
    if (bytes > 0)
        DN_TRY(dn_comm_alloc_device(mesh->root, bytes, &exchange));
    const dn_model_parts parts = {.B = plan->micro_batch,
                                  .n_slots = plan->n_slots,
                                  .n_sequences = plan->n_sequences,
                                  .cache_bf16 = plan->cache_bf16,
                                  .params = instance->params,
                                  .weights = instance->weights,
                                  .tp = dn_mesh_comm(mesh, DN_AXIS(DN_TP)),
                                  .exchange = exchange,
                                  .stream = stream};
    DN_TRY(dn_model_create(&plan->spec, &parts, &instance->model));
    instance->pipeline = (dn_pipeline){.model = instance->model, .stream = stream, .stages = mesh->stages, .room = plan->micro_batch,
                                       .T = plan->spec.T, .C = plan->spec.C};
    DN_TRY(open_channels(instance));
    if (training && plan->flows)
        DN_TRY(open_stash(instance));
    instance->inputs = malloc(tokens * sizeof *instance->inputs);
    instance->targets = malloc(tokens * sizeof *instance->targets);
    if (!instance->inputs || !instance->targets)
        return dn_fail(DN_ERR_MEMORY, "no memory for a micro-batch of %zu tokens", tokens);
    return DN_OK;
}

dn_status dn_instance_settle(dn_instance *instance)
{
    DN_TRY(dn_optimizer_drop(instance->optimizer));
    return dn_strategy_settle(instance->strategy);
}

void dn_instance_close(dn_instance *instance)
{
    dn_model_destroy(&instance->model);
    dn_strategy_close(&instance->strategy);
    dn_optimizer_destroy(&instance->optimizer);
    dn_weights_destroy(&instance->weights);
    free(instance->inputs);
    free(instance->targets);
    free(instance->params);
    free(instance->trained);
    free(instance->stashed);
    memset(instance, 0, sizeof *instance);
}

dn_status dn_instance_begin(dn_instance *instance)
{
    DN_TRY(dn_strategy_begin(instance->strategy));
    return instance->pipeline.stash ? dn_stash_begin(&instance->stash) : DN_OK;
}

double dn_instance_read_bytes(const dn_instance *instance, bool narrow)
{
    double bytes = 0;
    for (size_t i = 0; i < instance->plan->n_params; i++) {
        const dn_param *p = &instance->params[i];
        if (p->kind != DN_PARAM_EMBEDDING || (i == 0 && dn_spec_is_tied(&instance->plan->spec)))
            bytes += (double)dn_param_size(p) * (narrow && p->kind != DN_PARAM_VECTOR ? sizeof(uint16_t) : sizeof(dn_real));
    }
    return bytes;
}

/* ---- passes over rows ---- */

/* Rows that are read for a pass: this worker's are `own`, of n from `first` on, in `rounds` micro-batches. Behind them come those of the
 * next n rows. */
typedef struct reading {
    dn_instance *instance;
    dn_rows_fn *rows;
    void *context;
    uint64_t first;
    size_t n, rounds;
    dn_range own;
    bool begins; /* gradients of the last micro-batch begin to be averaged */
} reading;

static dn_status read_micro_batch(void *context, size_t m, const int32_t **tokens, const int32_t **targets, size_t *B)
{
    const reading *r = context;
    const dn_plan *plan = r->instance->plan;
    size_t at = dn_min(r->own.first + m % r->rounds * plan->micro_batch, r->own.end), T = plan->spec.T;
    uint64_t first = r->first + m / r->rounds * r->n + at;
    *B = dn_min(r->own.end - at, plan->micro_batch);
    if (!tokens)
        return DN_OK;
    *tokens = r->instance->inputs;
    *targets = r->instance->targets;
    for (size_t i = 0; i < *B; i++)
        DN_TRY(r->rows(r->context, first + i, r->instance->inputs + i * T, r->instance->targets + i * T));
    return DN_OK;
}

static dn_status begin_average(void *context, size_t unit)
{
    const dn_instance *instance = context;
    return dn_optimizer_begin(instance->optimizer, unit);
}

/* All micro-batches of it: the last ones may be empty. scale 0: the loss only. */
static dn_status pass(reading *r, double scale, double *loss_sum)
{
    size_t B;
    const int32_t *tokens, *targets;
    dn_pipeline *pipeline = &r->instance->pipeline;
    *loss_sum = 0;
    if (pipeline->stash && scale != 0)
        return dn_pipeline_flow(pipeline, read_micro_batch, r, r->rounds, scale, loss_sum);
    pipeline->flows = false;
    if (pipeline->stages)
        return dn_pipeline_pass(pipeline, read_micro_batch, r, r->rounds, scale, loss_sum);
    for (size_t m = 0; m < r->rounds; m++) {
        DN_TRY(read_micro_batch(r, m, &tokens, &targets, &B));
        dn_model_on_complete(r->instance->model, r->begins && m + 1 == r->rounds ? begin_average : NULL, r->instance);
        if (scale != 0)
            DN_TRY(dn_model_train(r->instance->model, tokens, targets, B, scale, loss_sum));
        else
            DN_TRY(dn_model_loss(r->instance->model, tokens, targets, B, loss_sum));
    }
    return DN_OK;
}

/* Parameters that one stage has and another trains, the first of both. */
static size_t n_shared(const dn_instance *instance)
{
    const dn_plan *plan = instance->plan;
    const dn_spec last = dn_plan_stage_spec(plan, plan->mesh[DN_PP] - 1);
    return instance->pipeline.stages ? dn_model_n_borrowed(&last) : 0;
}

/* All workers make the same number of micro-batches, as these have collectives. */
static dn_status pass_together(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first, size_t n, double scale,
                               bool begins, double *loss_sum)
{
    const dn_plan *plan = instance->plan;
    reading r = {instance, rows, context, first, n, dn_plan_rounds(plan, n), dn_plan_rows(plan, n, instance->mesh->at), begins};
    return pass(&r, scale, loss_sum);
}

static void clear_gradients(dn_instance *instance)
{
    instance->stream->kernels->fill(instance->stream, instance->grads, instance->plan->gradient_bytes / sizeof(dn_real), 0);
}

dn_status dn_instance_gradient(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first,
                               size_t n, size_t counted, double *loss_sum)
{
    const dn_plan *plan = instance->plan;
    dn_stream *s = instance->stream;
    size_t n_grads = plan->gradient_bytes / sizeof(dn_real);
    /* The mean over the n_dealt ranks is then the mean over all targets that count, however many each has. Rounding to bfloat16
     * gives the same on every mesh only of what differs by a power of two: the rest of n_dealt comes afterwards. */
    double ranks = plan->n_dealt, before = strcmp(plan->config.precision, "float") == 0 ? ranks : exp2(floor(log2(ranks)));
    clear_gradients(instance);
    DN_TRY(pass_together(instance, rows, context, first, n, before / (double)dn_max(counted, 1), instance->begins && before == ranks,
                         loss_sum));
    DN_TRY(dn_pipeline_return_gradients(&instance->pipeline, instance->params, n_shared(instance), s));
    if (before != ranks)
        s->kernels->scale(s, instance->grads, ranks / before, instance->grads, n_grads);
    return dn_stream_sync(s);
}

dn_status dn_instance_gradient_alone(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first, size_t n,
                                     size_t counted, double *loss_sum)
{
    size_t micro_batch = instance->plan->micro_batch;
    reading r = {instance, rows, context, first, n, (n + micro_batch - 1) / micro_batch, {0, n}, false};
    clear_gradients(instance);
    return pass(&r, 1 / (double)dn_max(counted, 1), loss_sum);
}

dn_status dn_instance_loss(dn_instance *instance, dn_rows_fn *rows, void *context, uint64_t first, size_t n,
                           double *loss_sum)
{
    return pass_together(instance, rows, context, first, n, 0, false, loss_sum);
}

/* ---- steps ---- */

dn_status dn_instance_step(dn_instance *instance, const dn_step_params *step_params, double loss, dn_step_report *report)
{
    *report = (dn_step_report){.skipped = true, .grad_norm = NAN, .clip = 1};
    if (instance->pipeline.stash)
        DN_TRY(dn_stash_keep(&instance->stash));
    if (!isfinite(loss))
        return dn_optimizer_drop(instance->optimizer);
    DN_TRY(dn_strategy_step(instance->strategy, step_params, loss, report));
    return dn_pipeline_lend_weights(&instance->pipeline, instance->params, n_shared(instance));
}

/* ---- replicas that differ ---- */

/* Trained weights lie as their gradients do, in front of all others. */

static dn_status copy(dn_instance *instance, dn_buf *to, const dn_buf *from)
{
    instance->stream->kernels->copy(instance->stream, to, from,
                                    instance->plan->gradient_bytes / sizeof(dn_real));
    return dn_stream_sync(instance->stream);
}

static dn_status average(dn_instance *instance, dn_buf *x)
{
    DN_TRY(dn_comm_all_reduce(dn_mesh_comm(instance->mesh, DN_AXIS(DN_DP)), x,
                              instance->plan->gradient_bytes / sizeof(dn_real), DN_REAL, DN_AVG,
                              DN_TRAFFIC_WEIGHTS));
    return dn_comm_barrier(instance->mesh->all); /* others read it in place */
}

dn_status dn_instance_form_consensus(dn_instance *instance)
{
    DN_TRY(copy(instance, instance->grads, instance->values));
    return average(instance, instance->grads);
}

dn_status dn_instance_enter_consensus(dn_instance *instance)
{
    DN_TRY(copy(instance, instance->grads, instance->values));
    return average(instance, instance->values);
}

dn_status dn_instance_leave_consensus(dn_instance *instance)
{
    DN_TRY(copy(instance, instance->values, instance->grads));
    return dn_comm_barrier(instance->mesh->all);
}

/* ---- states ---- */

size_t dn_instance_n_states(const dn_instance *instance)
{
    if (instance->clients)
        return dn_client_store_n_saved(dn_clients_store(instance->clients));
    return dn_optimizer_n_states(instance->optimizer) + dn_strategy_n_states(instance->strategy) +
           instance->stash.n_kept * instance->plan->n_trained;
}

const dn_tensor *dn_instance_state(const dn_instance *instance, size_t index)
{
    if (instance->clients)
        return dn_client_store_saved(dn_clients_store(instance->clients), index);
    size_t n = dn_optimizer_n_states(instance->optimizer), n_of_both = n + dn_strategy_n_states(instance->strategy);
    return index < n           ? dn_optimizer_state(instance->optimizer, index)
           : index < n_of_both ? dn_strategy_state(instance->strategy, index - n)
                               : &instance->stashed[index - n_of_both];
}

/* As far from the weights as on any rank of the stage. */
static dn_shard stashed_shard(const dn_instance *instance, size_t index, int rank)
{
    const dn_plan *plan = instance->plan;
    size_t age = 1 + index / plan->n_trained, i = index % plan->n_trained;
    const dn_param *p = &instance->trained[i];
    const int *size = plan->stage_mesh;
    int at[DN_N_AXES];
    dn_mesh_at(size, rank, at);
    ptrdiff_t behind = (const char *)dn_stash_at(&instance->stash, age) - (const char *)instance->values;
    unsigned cut = dn_tensor_axes(&p->tensor) | DN_AXIS(DN_DP);
    return (dn_shard){.block = dn_param_block(p, size, at),
                      .data = (char *)dn_param_address(size, instance->trained, i, false, at) + behind,
                      .rank = rank,
                      .replica = at[DN_DP] + size[DN_DP] * dn_axes_rank(size, dn_axes_without(size, cut), at)};
}

dn_shard dn_instance_state_shard(const dn_instance *instance, size_t index, int rank)
{
    if (instance->clients)
        return dn_client_store_shard(dn_clients_store(instance->clients), index, rank);
    size_t n = dn_optimizer_n_states(instance->optimizer), n_of_both = n + dn_strategy_n_states(instance->strategy);
    return index < n           ? dn_optimizer_state_shard(instance->optimizer, index, rank)
           : index < n_of_both ? dn_strategy_state_shard(instance->strategy, index - n, rank)
                               : stashed_shard(instance, index - n_of_both, rank);
}
