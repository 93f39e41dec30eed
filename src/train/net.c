#include "train/net.h"

#include "base/fail.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "sync/layout.h"

#include <stdlib.h>
#include <string.h>

static dn_status take(const dn_net *net, dn_buf **out)
{
    void *memory;
    DN_TRY(dn_comm_alloc(net->mesh->all, net->plan->parameter_bytes, &memory));
    *out = memory;
    /* Room that no part fills is compared between replicas too. */
    return dn_stream_zero(net->stream, *out, net->plan->parameter_bytes / sizeof(dn_real));
}

static dn_status open_params(dn_net *net, bool training, size_t *unit_of)
{
    const dn_plan *plan = net->plan;
    net->params = calloc(plan->n_params, sizeof *net->params);
    if (!net->params)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", plan->n_params);
    DN_TRY(take(net, &net->values));
    if (training)
        DN_TRY(take(net, &net->grads));
    dn_arena values = {(char *)net->values, plan->parameter_bytes, 0},
             grads = {(char *)net->grads, plan->parameter_bytes, 0};
    dn_model_layout(&plan->spec, plan->mesh, net->mesh->at, &values, &grads, net->params, unit_of);
    return DN_OK;
}

static dn_status open_weights(dn_net *net, bool training)
{
    const dn_plan *plan = net->plan;
    size_t *unit_of = calloc(plan->n_params, sizeof *unit_of);
    if (!unit_of)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", plan->n_params);
    dn_status status = open_params(net, training, unit_of);
    if (status == DN_OK)
        status = dn_weights_create(net->params, plan->n_params, unit_of, net->mesh, plan->gather, net->stream,
                                   &net->weights);
    free(unit_of);
    return status;
}

static dn_status open_model(dn_net *net)
{
    const dn_plan *plan = net->plan;
    size_t bytes = dn_model_heap_bytes(&plan->spec, plan->micro_batch, 1, plan->mesh[DN_TP]);
    void *exchange = NULL;
    if (bytes > 0)
        DN_TRY(dn_comm_alloc(net->mesh->all, bytes, &exchange));
    const dn_model_parts parts = {.B = plan->micro_batch,
                                  .n_slots = 1,
                                  .params = net->params,
                                  .weights = net->weights,
                                  .tp = dn_mesh_group(net->mesh, DN_AXIS(DN_TP)),
                                  .exchange = exchange,
                                  .stream = net->stream};
    return dn_model_create(&plan->spec, &parts, &net->model);
}

static dn_status open_tokens(dn_net *net)
{
    size_t tokens = net->plan->micro_batch * net->plan->spec.T;
    net->inputs = malloc(tokens * sizeof *net->inputs);
    net->targets = malloc(tokens * sizeof *net->targets);
    if (!net->inputs || !net->targets)
        return dn_fail(DN_ERR_MEMORY, "no memory for a micro-batch of %zu tokens", tokens);
    return DN_OK;
}

/* Optimizer and strategy. */
static dn_status open_training(dn_net *net)
{
    const dn_plan *plan = net->plan;
    net->optimizer_mesh = plan->strategy->local ? dn_mesh_replica(net->mesh) : *net->mesh;
    DN_TRY(dn_optimizer_create(&plan->optim, net->params, plan->n_params, net->stream, &net->optimizer_mesh,
                               &net->optimizer));
    return dn_strategy_open(plan->strategy, &plan->strategy_config, net->params, plan->n_params, net->stream, net->mesh,
                            &net->strategy);
}

dn_status dn_net_open(dn_net *net, const dn_plan *plan, const dn_mesh *mesh, dn_stream *stream, bool training)
{
    *net = (dn_net){.plan = plan, .mesh = mesh, .stream = stream};
    DN_TRY(open_weights(net, training));
    if (training)
        DN_TRY(open_training(net));
    DN_TRY(open_model(net));
    return open_tokens(net);
}

void dn_net_close(dn_net *net)
{
    dn_model_destroy(&net->model);
    dn_strategy_close(&net->strategy);
    dn_optimizer_destroy(&net->optimizer);
    dn_weights_destroy(&net->weights);
    free(net->inputs);
    free(net->targets);
    free(net->params);
    memset(net, 0, sizeof *net);
}

/* ---- passes over rows ---- */

/* Rows `range` of the n from `first` on, at most a micro-batch of them, into the token buffers. */
static dn_status load(dn_net *net, dn_rows_fn *rows, void *context, uint64_t first, size_t n)
{
    size_t T = net->plan->spec.T;
    for (size_t i = 0; i < n; i++)
        DN_TRY(rows(context, first + i, net->inputs + i * T, net->targets + i * T));
    return DN_OK;
}

/* All workers go through as many micro-batches, as they meet in each; a worker's last ones may be empty.
 * scale 0: the loss only. */
static dn_status pass(dn_net *net, dn_rows_fn *rows, void *context, uint64_t first, size_t n, double scale,
                      double *loss_sum)
{
    const dn_plan *plan = net->plan;
    dn_range own = dn_plan_rows(plan, n, net->mesh->at);
    size_t at = own.first;
    for (size_t round = dn_plan_rounds(plan, n); round > 0; round--) {
        size_t B = own.end - at < plan->micro_batch ? own.end - at : plan->micro_batch;
        DN_TRY(load(net, rows, context, first + at, B));
        if (scale != 0)
            DN_TRY(dn_model_train(net->model, net->inputs, net->targets, B, scale, loss_sum));
        else
            DN_TRY(dn_model_loss(net->model, net->inputs, net->targets, B, loss_sum));
        at += B;
    }
    return DN_OK;
}

dn_status dn_net_gradient(dn_net *net, dn_rows_fn *rows, void *context, uint64_t first, size_t n,
                          double *loss_sum)
{
    const dn_plan *plan = net->plan;
    /* Averaged over all to whom rows were dealt, this makes the mean over n rows whatever each one's share.
     */
    double scale = (double)plan->n_dealt / ((double)n * (double)plan->spec.T);
    *loss_sum = 0;
    net->stream->kernels->fill(net->stream, net->grads, plan->parameter_bytes / sizeof(dn_real), 0);
    return pass(net, rows, context, first, n, scale, loss_sum);
}

dn_status dn_net_loss(dn_net *net, dn_rows_fn *rows, void *context, uint64_t first, size_t n,
                      double *loss_sum)
{
    *loss_sum = 0;
    return pass(net, rows, context, first, n, 0, loss_sum);
}

/* ---- steps ---- */

dn_status dn_net_step(dn_net *net, const dn_pace *pace, dn_step_report *report)
{
    DN_TRY(dn_optimizer_step(net->optimizer, pace, report));
    return report->skipped ? DN_OK : dn_strategy_exchange(net->strategy, pace->step);
}

/* ---- replicas that are apart ---- */

static dn_status copy(dn_net *net, dn_buf *to, const dn_buf *from)
{
    net->stream->kernels->copy(net->stream, to, from, net->plan->parameter_bytes / sizeof(dn_real));
    return dn_stream_sync(net->stream);
}

static dn_status average(dn_net *net, dn_buf *x)
{
    DN_TRY(dn_comm_all_reduce(dn_mesh_group(net->mesh, DN_AXIS(DN_DP)), x, net->plan->parameter_bytes / sizeof(dn_real),
                              DN_REAL, DN_AVG, DN_TRAFFIC_WEIGHTS));
    return dn_comm_barrier(net->mesh->all); /* others read it where it is */
}

dn_status dn_net_form_consensus(dn_net *net)
{
    DN_TRY(copy(net, net->grads, net->values));
    return average(net, net->grads);
}

dn_status dn_net_enter_consensus(dn_net *net)
{
    DN_TRY(copy(net, net->grads, net->values));
    return average(net, net->values);
}

dn_status dn_net_leave_consensus(dn_net *net)
{
    DN_TRY(copy(net, net->values, net->grads));
    return dn_comm_barrier(net->mesh->all);
}

/* ---- states ---- */

size_t dn_net_n_states(const dn_net *net)
{
    return dn_optimizer_n_states(net->optimizer) + dn_strategy_n_states(net->strategy);
}

const dn_state *dn_net_state(const dn_net *net, size_t index)
{
    size_t n = dn_optimizer_n_states(net->optimizer);
    return index < n ? dn_optimizer_state(net->optimizer, index) : dn_strategy_state(net->strategy, index - n);
}

dn_state_shard dn_net_state_shard(const dn_net *net, size_t index, int rank)
{
    size_t n = dn_optimizer_n_states(net->optimizer);
    return index < n ? dn_optimizer_state_shard(net->optimizer, index, rank)
                     : dn_strategy_state_shard(net->strategy, index - n, rank);
}
