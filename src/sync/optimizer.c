#include "sync/optimizer.h"

#include "base/fail.h"
#include "base/random.h"
#include "optim/adamw.h"
#include "optim/lion.h"
#include "sync/factors.h"
#include "sync/full.h"
#include "sync/slot.h"

#include <math.h>
#include <stdlib.h>

/* First stream of random numbers for Q; those from 0 on belong to the model. */
#define STREAM_Q (UINT64_C(1) << 62)

struct dn_optimizer {
    dn_optim_config config;
    dn_param *params; /* borrowed, [n_params] */
    size_t n_params;
    dn_stream *stream;
    dn_comm *dp;
    dn_slot *slots;  /* [n_params] */
    double *squares; /* [n_params] squared norms of gradients */
    dn_factors factors;
    dn_span *gradients, *momenta; /* what is averaged in full: at each step; from time to time */
    size_t n_gradients, n_momenta;
    dn_state *states;
    size_t n_states;
};

/* ---- creation ---- */

static bool within(double x, double low, double high)
{
    return x >= low && x <= high;
}

static dn_status check_config(const dn_optim_config *c)
{
    if (c->scalar_rule != DN_RULE_ADAMW && c->scalar_rule != DN_RULE_LION)
        return dn_fail(DN_ERR_ARG, "the rule for vectors, embedding and head must be adamw or lion");
    if (!within(c->mu, 0, 1))
        return dn_fail(DN_ERR_ARG, "mu = %g: give 0 to 1", c->mu);
    if (!(c->rank_fraction > 0 && c->rank_fraction <= 1))
        return dn_fail(DN_ERR_ARG, "rank fraction = %g: give more than 0, at most 1", c->rank_fraction);
    if (c->rank_multiple_of < 1 || c->power_iters < 1 || c->momentum_sync_every < 0)
        return dn_fail(DN_ERR_ARG,
                       "rank multiple %zu, power iterations %d, momentum average every %d steps: "
                       "give at least 1, 1 and 0",
                       c->rank_multiple_of, c->power_iters, c->momentum_sync_every);
    if (!within(c->beta1, 0, 1) || c->beta1 == 1 || !within(c->beta2, 0, 1) || c->beta2 == 1)
        return dn_fail(DN_ERR_ARG, "beta1 = %g, beta2 = %g: give 0 to less than 1", c->beta1, c->beta2);
    if (!(c->eps > 0))
        return dn_fail(DN_ERR_ARG, "eps = %g: give more than 0", c->eps);
    return DN_OK;
}

size_t dn_optimizer_heap_bytes(const dn_optim_config *config, const dn_param *params, size_t n_params)
{
    dn_arena measure = {0};
    dn_slots_take(config, params, n_params, &measure, NULL);
    return measure.used;
}

/* Host arrays, all as long as they can become. */
static dn_status allocate_tables(dn_optimizer *o)
{
    size_t n = o->n_params + 1; /* calloc of 0 may be NULL */
    o->slots = calloc(n, sizeof *o->slots);
    o->squares = calloc(n, sizeof *o->squares);
    o->gradients = calloc(n, sizeof *o->gradients);
    o->momenta = calloc(n, sizeof *o->momenta);
    o->states = calloc(2 * n, sizeof *o->states);
    o->factors.matrices = calloc(n, sizeof *o->factors.matrices);
    o->factors.p_items = calloc(n, sizeof *o->factors.p_items);
    o->factors.r_items = calloc(n, sizeof *o->factors.r_items);
    if (!o->slots || !o->squares || !o->gradients || !o->momenta || !o->states || !o->factors.matrices ||
        !o->factors.p_items || !o->factors.r_items)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu parameters", o->n_params);
    return DN_OK;
}

/* Symmetric heap, zeroed: states start at 0, and no page is touched first in a step. */
static dn_status take_heap(dn_optimizer *o, int **verdicts)
{
    size_t bytes = dn_optimizer_heap_bytes(&o->config, o->params, o->n_params);
    void *base;
    DN_TRY(dn_comm_alloc(o->dp, bytes, &base));
    o->stream->kernels->fill(o->stream, base, bytes / sizeof(dn_real), 0);
    dn_arena arena = {.base = base, .capacity = bytes};
    *verdicts = dn_slots_take(&o->config, o->params, o->n_params, &arena, o->slots);
    return dn_stream_sync(o->stream);
}

static dn_status draw_q(dn_optimizer *o, size_t index)
{
    size_t count = o->slots[index].count[DN_SLOT_SECOND];
    dn_real *draws = malloc(count * sizeof *draws);
    if (!draws)
        return dn_fail(DN_ERR_MEMORY, "no memory to draw Q of %s", o->params[index].name);
    dn_random_normal(o->config.seed, STREAM_Q + index, 0, count, 1, draws);
    dn_upload(o->stream, o->slots[index].buffers[DN_SLOT_SECOND], draws, count);
    dn_status status = dn_stream_sync(o->stream);
    free(draws);
    return status;
}

static void add_matrix(dn_optimizer *o, size_t index, int *verdict)
{
    const dn_slot *slot = &o->slots[index];
    const dn_param *param = &o->params[index];
    o->factors.matrices[o->factors.n_matrices++] = (dn_factored){
        .dion = {.shape = slot->shape,
                 .weight = param->weight,
                 .grad = param->grad,
                 .momentum = slot->buffers[DN_SLOT_MOMENTUM],
                 .q = slot->buffers[DN_SLOT_SECOND]},
        .name = param->name,
        .index = index,
        .compressed = slot->compressed,
        .p = slot->buffers[DN_SLOT_P],
        .r = slot->buffers[DN_SLOT_R],
        .verdict = verdict,
    };
}

static void list_states(dn_optimizer *o, size_t index)
{
    const dn_slot *slot = &o->slots[index];
    for (int buffer = DN_SLOT_MOMENTUM; buffer <= DN_SLOT_SECOND; buffer++)
        if (slot->count[buffer])
            o->states[o->n_states++] = dn_slot_state(slot, &o->params[index], buffer, dn_comm_size(o->dp));
}

static dn_status fill_tables(dn_optimizer *o, int *verdicts)
{
    for (size_t i = 0; i < o->n_params; i++) {
        const dn_slot *slot = &o->slots[i];
        size_t size = dn_param_size(&o->params[i]);
        if (slot->compressed)
            o->momenta[o->n_momenta++] = (dn_span){slot->buffers[DN_SLOT_MOMENTUM], size};
        else
            o->gradients[o->n_gradients++] = (dn_span){o->params[i].grad, size};
        list_states(o, i);
        if (slot->rule != DN_RULE_DION)
            continue;
        add_matrix(o, i, &verdicts[i]);
        DN_TRY(draw_q(o, i));
    }
    o->n_momenta = dn_spans_join(o->momenta, o->n_momenta);
    o->n_gradients = dn_spans_join(o->gradients, o->n_gradients);
    dn_factors_deal(&o->factors);
    return dn_factors_take_workspace(&o->factors);
}

static dn_status create(dn_optimizer *o)
{
    o->factors.stream = o->stream;
    o->factors.dp = o->dp;
    o->factors.orth = o->config.orth;
    o->factors.power_iters = o->config.power_iters;
    o->factors.seed = o->config.seed;
    int *verdicts;
    DN_TRY(allocate_tables(o));
    DN_TRY(take_heap(o, &verdicts));
    DN_TRY(fill_tables(o, verdicts));
    return dn_comm_barrier(o->dp);
}

dn_status dn_optimizer_create(const dn_optim_config *config, dn_param *params, size_t n_params,
                              dn_stream *stream, dn_comm *dp, dn_optimizer **out)
{
    DN_TRY(check_config(config));
    for (size_t i = 0; i < n_params; i++)
        if (dn_param_size(&params[i]) == 0)
            return dn_fail(DN_ERR_ARG, "%s: a parameter of %zu x %zu", params[i].name, params[i].rows,
                           params[i].cols);
    dn_optimizer *o = calloc(1, sizeof *o);
    if (!o)
        return dn_fail(DN_ERR_MEMORY, "no memory for an optimizer");
    o->config = *config;
    o->params = params;
    o->n_params = n_params;
    o->stream = stream;
    o->dp = dp;
    dn_status status = create(o);
    if (status != DN_OK)
        dn_optimizer_destroy(&o);
    *out = o;
    return status;
}

void dn_optimizer_destroy(dn_optimizer **optimizer)
{
    dn_optimizer *o = *optimizer;
    *optimizer = NULL;
    if (!o)
        return;
    free(o->slots);
    free(o->squares);
    free(o->gradients);
    free(o->momenta);
    free(o->states);
    dn_factors_free_workspace(&o->factors);
    free(o->factors.matrices);
    free(o->factors.p_items);
    free(o->factors.r_items);
    free(o);
}

/* ---- one step ---- */

/* Root mean over replicas of the squared norm of all their gradients: not finite if one number of one replica
 * is not, on all replicas alike. Passing through it, every member has also left its previous step. */
static dn_status measure_gradients(dn_optimizer *o, double *norm)
{
    for (size_t i = 0; i < o->n_params; i++)
        o->stream->kernels->sum_squares(o->stream, &o->squares[i], o->params[i].grad,
                                        dn_param_size(&o->params[i]));
    DN_TRY(dn_stream_sync(o->stream));
    double mean = 0;
    for (size_t i = 0; i < o->n_params; i++)
        mean += o->squares[i];
    DN_TRY(dn_comm_all_reduce_scalars(o->dp, &mean, 1, DN_AVG));
    *norm = sqrt(mean);
    return DN_OK;
}

static void update_elements(dn_optimizer *o, size_t index, uint64_t step, double lr)
{
    const dn_optim_config *c = &o->config;
    const dn_param *param = &o->params[index];
    const dn_slot *slot = &o->slots[index];
    const dn_group *group = &c->groups[param->kind];
    dn_buf *m = slot->buffers[DN_SLOT_MOMENTUM], *v = slot->buffers[DN_SLOT_SECOND];
    lr *= group->lr_scale;
    if (slot->rule == DN_RULE_ADAMW)
        dn_adamw_update(o->stream, param, m, v, step,
                        (dn_adamw_step){.lr = lr,
                                        .beta1 = c->beta1,
                                        .beta2 = c->beta2,
                                        .eps = c->eps,
                                        .weight_decay = group->weight_decay});
    else
        dn_lion_update(
            o->stream, param, m,
            &(dn_lion_step){
                .lr = lr, .beta1 = c->beta1, .beta2 = c->beta2, .weight_decay = group->weight_decay});
}

static dn_status update_matrices(dn_optimizer *o, uint64_t step, double lr, dn_step_report *report)
{
    const dn_group *group = &o->config.groups[DN_PARAM_MATRIX];
    dn_dion_step rule = {.lr = lr * group->lr_scale,
                         .weight_decay = group->weight_decay,
                         .mu = o->config.mu,
                         .eps = o->config.eps};
    return dn_factors_step(&o->factors, step, &rule, &report->n_zero, &report->n_fallback);
}

static bool is_due(uint64_t step, int every)
{
    return every > 0 && (step + 1) % (uint64_t)every == 0;
}

dn_status dn_optimizer_step(dn_optimizer *o, uint64_t step, double lr, dn_step_report *report)
{
    *report = (dn_step_report){0};
    dn_comm_tick(o->dp, step + 1, "optimizer"); /* people count steps from 1 */
    DN_TRY(measure_gradients(o, &report->grad_norm));
    report->skipped = !isfinite(report->grad_norm);
    if (report->skipped)
        return DN_OK;
    DN_TRY(dn_full_average(o->dp, o->gradients, o->n_gradients, DN_TRAFFIC_GRADIENT));
    DN_TRY(update_matrices(o, step, lr, report));
    for (size_t i = 0; i < o->n_params; i++)
        if (o->slots[i].rule != DN_RULE_DION)
            update_elements(o, i, step, lr);
    DN_TRY(dn_stream_sync(o->stream));
    if (is_due(step, o->config.momentum_sync_every))
        return dn_full_average(o->dp, o->momenta, o->n_momenta, DN_TRAFFIC_MOMENTUM);
    return DN_OK;
}

/* ---- what it costs, what it holds ---- */

double dn_optimizer_flops(const dn_optimizer *o)
{
    return dn_factors_flops(&o->factors);
}

void dn_optimizer_formula(const dn_optimizer *o, uint64_t *factor_bytes, uint64_t *gradient_bytes,
                          uint64_t *uncompressed_bytes)
{
    uint64_t factors = 0, gradients = 0, all = 0;
    for (size_t i = 0; i < o->n_params; i++) {
        const dn_slot *slot = &o->slots[i];
        size_t size = dn_param_size(&o->params[i]);
        all += size;
        if (slot->compressed)
            factors += (uint64_t)o->config.power_iters * (slot->shape.m + slot->shape.n) * slot->shape.r;
        else
            gradients += size;
    }
    uint64_t bytes = dn_comm_size(o->dp) > 1 ? sizeof(dn_real) : 0; /* an element; alone nothing moves */
    *factor_bytes = factors * bytes;
    *gradient_bytes = gradients * bytes;
    *uncompressed_bytes = all * bytes;
}

size_t dn_optimizer_n_states(const dn_optimizer *o)
{
    return o->n_states;
}

const dn_state *dn_optimizer_state(const dn_optimizer *o, size_t index)
{
    return &o->states[index];
}
