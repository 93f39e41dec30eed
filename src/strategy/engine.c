#include "strategy/engine.h"

#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/draw.h"
#include "optim/named_group.h"
#include "strategy/run.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool dn_strategy_every(const dn_strategy_context *c, const dn_strategy_param *x)
{
    (void)x;
    return (c->step + 1) % (uint64_t)c->config->options[0].whole == 0;
}

bool dn_strategy_always(const dn_strategy_context *c)
{
    (void)c;
    return true;
}

void dn_strategy_difference(dn_stream *s, dn_buf *out, const dn_buf *a, const dn_buf *b, size_t n)
{
    s->kernels->copy(s, out, a, n);
    s->kernels->axpby(s, out, -1, b, 1, n);
}

void dn_strategy_average_coded(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message,
                               const dn_codec *codec, const dn_codec_config *config)
{
    if (message->from == 0)
        c->stream->kernels->fill(c->stream, x->grad, x->n, 0);
    dn_codec_decode_add(c->stream, codec, config, x->grad, 1. / c->n_replicas, message->bytes, x->n, c->scratch);
}

void dn_strategy_measure_model(const dn_param *params, size_t n_params, size_t *n_layers, double *n_elements)
{
    *n_layers = 0;
    *n_elements = 0;
    for (size_t i = 0; i < n_params; i++) {
        *n_layers = dn_max(*n_layers, (size_t)(dn_strategy_layer(&params[i]) + 1));
        *n_elements += (double)params[i].tensor.rows * (double)params[i].tensor.cols;
    }
}

int dn_strategy_layer(const dn_param *p)
{
    for (const char *at = p->tensor.name; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL) {
        char *end;
        long layer = strtol(at, &end, 10);
        if (end > at && (*end == '.' || !*end))
            return (int)layer;
    }
    return -1;
}

/* ---- the optimizer's mesh ---- */

void dn_strategy_mesh_size(const dn_strategy *strategy, const int whole[DN_N_AXES], int size[DN_N_AXES])
{
    memcpy(size, whole, DN_N_AXES * sizeof *size);
    if (strategy->family != DN_ON_WHOLE_MESH)
        size[DN_DP] = 1;
}

dn_mesh dn_strategy_mesh(const dn_strategy *strategy, const dn_mesh *whole)
{
    return strategy->family == DN_ON_WHOLE_MESH ? *whole : dn_mesh_replica(whole);
}

dn_status dn_strategy_check_stages(const dn_strategy *strategy, int n_stages, size_t n_least)
{
    if (n_stages > 1 && strategy->of_whole_model)
        return dn_fail(DN_ERR_CONFIG, "strategy %s with pp_size %d: what it exchanges depends on the whole model, of which a stage "
                                      "has a part; leave out one of the two",
                       strategy->name, n_stages);
    if (n_stages > 1 && strategy->family == DN_AFTER_RULE && n_least == 0)
        return dn_fail(DN_ERR_CONFIG, "strategy %s with pp_size %d: some stage trains nothing; use fewer stages", strategy->name,
                       n_stages);
    return DN_OK;
}

size_t dn_strategy_n_stepped(const dn_strategy *strategy, size_t n_params)
{
    return strategy->family == DN_INSTEAD_OF_RULE ? 0 : n_params;
}

/* ---- opening ---- */

static dn_status open_tables(dn_strategy_run *r)
{
    size_t n = r->n_params + 1; /* calloc of 0 may be NULL */
    bool known = true;
    r->blocks = calloc(n, sizeof *r->blocks);
    r->shares = calloc(n, sizeof *r->shares);
    r->share_at = calloc(n, sizeof *r->share_at);
    r->tensors = calloc(n * DN_STRATEGY_STATES_MAX, sizeof *r->tensors);
    r->squares = calloc(n, sizeof *r->squares);
    r->equal = calloc(n, sizeof *r->equal);
    r->numbers = calloc(r->strategy->n_numbers + 1, sizeof *r->numbers);
    for (int k = 0; k < r->n_exchanges; k++) {
        dn_exchange_run *e = &r->exchanges[k];
        e->row = r->strategy->exchanges[k];
        e->delay = e->row->delay ? e->row->delay(&r->config) : 0;
        e->depth = dn_strategy_depth(e->row, &r->config);
        e->n_probe = e->row->n_probe ? e->row->n_probe(&r->config) : 0;
        e->messages = calloc(e->depth * n, sizeof *e->messages);
        e->tensors = calloc(e->depth * n, sizeof *e->tensors);
        e->last = calloc(n, sizeof *e->last);
        e->probe = calloc(e->n_probe + 1, sizeof *e->probe);
        e->mesh = &r->scopes[e->row->scope];
        e->now = e->early =
            (dn_mean_lists){dn_bucket_of(e->mesh, DN_REAL), dn_bucket_of(&r->scopes[DN_SCOPE_ISLAND], DN_REAL)};
        known = known && e->messages && e->tensors && e->last && e->probe;
    }
    if (known && r->blocks && r->shares && r->share_at && r->tensors && r->squares && r->equal && r->numbers)
        return DN_OK;
    return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu parameters", r->n_params);
}

/* This rank's block of a parameter, its share, and the rates that the update of a strategy that replaces the rule has. */
static void describe(dn_strategy_run *r, size_t i)
{
    const dn_param *p = &r->parts.params[i];
    const dn_mesh *mesh = r->parts.mesh;
    const dn_optim_config own = dn_param_config(r->parts.optim, p);
    dn_strategy_param *block = &r->blocks[i], *share = &r->shares[i];
    block->param = p;
    block->index = i;
    block->n_params = r->n_params;
    block->rows = p->block.rows;
    block->cols = p->block.cols;
    block->n = dn_param_size(p);
    block->weight = p->weight;
    block->grad = p->grad;
    block->lr_scale = own.groups[p->kind].lr_scale;
    block->decay = own.groups[p->kind].weight_decay;
    dn_block rows = dn_strategy_share(p, mesh->size, mesh->at);
    r->share_at[i] = (rows.row0 - p->block.row0) * rows.cols;
    dn_buf *states[DN_STRATEGY_STATES_MAX];
    memcpy(states, share->states, sizeof states);
    *share = *block;
    share->rows = rows.rows;
    share->n = rows.rows * rows.cols;
    share->weight = dn_at(p->weight, r->share_at[i]);
    share->grad = dn_at(p->grad, r->share_at[i]);
    for (int k = 0; k < r->n_kinds; k++) {
        const dn_state_of_strategy *state = &r->strategy->states[k];
        bool whole = state->residence != DN_SHARDED && !state->shape;
        share->states[k] = whole ? dn_at(states[k], r->share_at[i]) : states[k];
    }
}

/* Buckets get their capacity now: a step allocates nothing. */
static dn_status open_buckets(dn_strategy_run *r)
{
    const int *size = r->parts.mesh->size;
    r->copies = dn_bucket_of(r->parts.mesh, DN_REAL);
    for (size_t i = 0; i < r->n_params; i++) {
        const dn_param *p = &r->parts.params[i];
        unsigned copies = dn_axes_without(size, DN_AXIS(DN_DP) | dn_tensor_axes(&p->tensor));
        if (copies && r->strategy->family != DN_AFTER_RULE)
            DN_TRY(dn_bucket_add(&r->copies, copies, p->grad, p->block.rows, p->block.cols));
    }
    for (int k = 0; k < r->n_exchanges; k++)
        DN_TRY(dn_strategy_reserve(r, &r->exchanges[k]));
    return DN_OK;
}

static dn_status open_run(dn_strategy_run *r)
{
    const dn_strategy_parts *parts = &r->parts;
    void *base = NULL;
    if (!dn_strategy_has_engine(r->strategy))
        return open_tables(r);
    size_t of_islands = dn_strategy_islands_bytes(r->strategy, parts->mesh->size);
    size_t bytes =
        dn_strategy_heap_bytes(r->strategy, &r->config, parts->params, parts->n_params, parts->mesh->size) - of_islands;
    int domains[DN_MAX_RANKS], nodes[DN_MAX_RANKS];
    for (int rank = 0; rank < dn_comm_size(parts->mesh->all); rank++) {
        domains[rank] = dn_comm_domain(parts->mesh->all, rank);
        nodes[rank] = dn_comm_node(parts->mesh->all, rank);
    }
    DN_TRY(dn_strategy_place_islands(r->strategy, &r->config, parts->mesh->size, domains, nodes));
    DN_TRY(open_tables(r));
    DN_TRY(dn_strategy_open_islands(r));
    if (bytes > 0) {
        DN_TRY(dn_comm_alloc_device(parts->mesh->root, bytes, &base));
        DN_TRY(dn_stream_zero(parts->stream, base, bytes / sizeof(dn_real)));
    }
    dn_arena heap = {.base = base, .capacity = bytes};
    if (bytes > 0)
        dn_strategy_lay_out(r->strategy, &r->config, parts->params, parts->n_params, parts->mesh->size, &heap, r);
    dn_strategy_measure_model(parts->params, parts->n_params, &r->n_layers, &r->n_elements);
    for (size_t i = 0; i < r->n_params; i++)
        describe(r, i);
    dn_strategy_name_states(r);
    return open_buckets(r);
}

dn_status dn_strategy_open(const dn_strategy *strategy, const dn_strategy_config *config, const dn_strategy_parts *parts,
                           dn_strategy_run **out)
{
    *out = NULL;
    dn_strategy_run *r = calloc(1, sizeof *r);
    if (!r)
        return dn_fail(DN_ERR_MEMORY, "no memory for a strategy");
    r->strategy = strategy;
    r->config = *config;
    r->parts = *parts;
    r->n_params = dn_strategy_has_engine(strategy) ? parts->n_params : 0;
    r->n_kinds = dn_strategy_n_kinds(strategy);
    r->n_exchanges = dn_strategy_n_exchanges(strategy);
    dn_status status = open_run(r);
    if (status != DN_OK)
        dn_strategy_close(&r);
    *out = r;
    return status;
}

dn_status dn_strategy_settle(dn_strategy_run *r)
{
    for (int k = 0; k < r->n_exchanges; k++) {
        dn_exchange_run *e = &r->exchanges[k];
        if (e->moving)
            DN_TRY(dn_overlap_finish(&e->ahead));
        e->moving = 0;
        for (size_t i = 0; i < e->depth * r->n_params; i++)
            if (e->messages[i].ahead)
                DN_TRY(dn_comm_await_ahead(dn_mesh_comm(e->mesh, DN_AXIS(DN_DP)), e->messages[i].ticket, e->row->kind));
    }
    return DN_OK;
}

void dn_strategy_close(dn_strategy_run **run)
{
    dn_strategy_run *r = *run;
    *run = NULL;
    if (!r)
        return;
    for (int k = 0; k < r->n_exchanges; k++) {
        dn_exchange_run *e = &r->exchanges[k];
        dn_bucket_clear(&e->now.all);
        dn_bucket_clear(&e->now.inside);
        dn_bucket_clear(&e->early.all);
        dn_bucket_clear(&e->early.inside);
        free(e->messages);
        free(e->tensors);
        free(e->last);
        free(e->probe);
    }
    dn_bucket_clear(&r->copies);
    dn_strategy_close_islands(r);
    free(r->blocks);
    free(r->shares);
    free(r->share_at);
    free(r->tensors);
    free(r->squares);
    free(r->equal);
    free(r->numbers);
    free(r);
}

dn_status dn_strategy_begin(dn_strategy_run *r)
{
    const dn_strategy_context c = dn_strategy_context_of(r, NULL, 0);
    dn_stream *s = r->parts.stream;
    for (size_t i = 0; i < r->n_params; i++) {
        for (int k = 0; k < r->n_kinds; k++) {
            const dn_state_of_strategy *state = &r->strategy->states[k];
            const dn_strategy_param *x = state->residence == DN_SHARDED ? &r->shares[i] : &r->blocks[i];
            if (state->weight)
                s->kernels->copy(s, x->states[k], x->weight, x->n);
        }
        if (r->strategy->begin)
            DN_TRY(r->strategy->begin(&c, &r->blocks[i]));
    }
    return dn_stream_sync(s);
}

/* ---- a step ---- */

/* Gradients of parameters that ranks of a replica have copies of become the mean of these; *norm: of this replica's
 * gradient, *all: the root mean square of the replicas', and not finite if one number of one rank is not. */
static dn_status measure(dn_strategy_run *r, double *norm, double *all)
{
    const dn_mesh *mesh = r->parts.mesh;
    dn_stream *s = r->parts.stream;
    double sum = 0;
    DN_TRY(dn_bucket_reduce(&r->copies, DN_AVG, DN_TRAFFIC_GRADIENT));
    DN_TRY(dn_bucket_gather(&r->copies, DN_TRAFFIC_GRADIENT));
    for (size_t i = 0; i < r->n_params; i++)
        s->kernels->sum_squares(s, &r->squares[i], r->blocks[i].grad, r->blocks[i].n);
    DN_TRY(dn_stream_sync(s));
    for (size_t i = 0; i < r->n_params; i++) {
        const dn_param *p = r->blocks[i].param;
        unsigned copies = dn_axes_without(mesh->size, DN_AXIS(DN_DP) | dn_tensor_axes(&p->tensor));
        sum += r->squares[i] / dn_axes_size(mesh->size, copies);
    }
    DN_TRY(dn_comm_all_reduce_scalars(dn_mesh_comm(mesh, DN_ALL_AXES & ~DN_AXIS(DN_DP)), &sum, 1, DN_SUM));
    if (mesh->stages)
        DN_TRY(dn_comm_all_reduce_scalars(mesh->stages, &sum, 1, DN_SUM));
    *norm = *all = sqrt(sum);
    if (mesh->size[DN_DP] == 1)
        return DN_OK;
    DN_TRY(dn_comm_all_reduce_scalars(mesh->all, &sum, 1, DN_SUM)); /* each replica's, from each of its ranks */
    *all = sqrt(sum / dn_comm_size(mesh->all));
    return DN_OK;
}

static void set_rates(dn_strategy_run *r, const dn_step_params *params)
{
    for (size_t i = 0; i < r->n_params; i++) {
        dn_strategy_param *x = &r->blocks[i];
        x->lr = params->lr * x->lr_scale;
        x->weight_decay = params->decay * x->decay;
    }
}

/* Each replica clips its own gradient, before anything is made of it. */
static dn_status step_instead(dn_strategy_run *r, const dn_step_params *params, dn_step_report *report)
{
    double norm, limit = r->parts.optim->clip_norm;
    dn_stream *s = r->parts.stream;
    *report = (dn_step_report){.clip = 1};
    DN_TRY(measure(r, &norm, &report->grad_norm));
    report->skipped = !isfinite(report->grad_norm);
    if (report->skipped)
        return DN_OK;
    if (limit > 0 && norm > limit)
        report->clip = limit / norm;
    for (size_t i = 0; i < r->n_params && report->clip < 1; i++)
        s->kernels->scale(s, r->blocks[i].grad, report->clip, r->blocks[i].grad, r->blocks[i].n);
    set_rates(r, params);
    return dn_strategy_exchange(r, params->step, false);
}

static dn_status step_before(dn_strategy_run *r, const dn_step_params *params, dn_step_report *report)
{
    double norm;
    *report = (dn_step_report){.clip = 1};
    DN_TRY(measure(r, &norm, &report->grad_norm));
    report->skipped = !isfinite(report->grad_norm);
    if (report->skipped)
        return DN_OK;
    DN_TRY(dn_strategy_exchange(r, params->step, false));
    DN_TRY(dn_optimizer_step(r->parts.optimizer, params, report));
    if (!report->skipped)
        return DN_OK;
    return dn_fail(DN_ERR_NUMERIC, "step %llu: replicas' gradients are beyond the range of numbers after their exchange; "
                   "lower lr, or resume from an older checkpoint", (unsigned long long)params->step + 1);
}

static dn_status step_after(dn_strategy_run *r, const dn_step_params *params, dn_step_report *report)
{
    const dn_strategy_context c = dn_strategy_context_of(r, NULL, params->step);
    memset(r->equal, 0, r->n_params * sizeof *r->equal);
    DN_TRY(dn_strategy_exchange(r, params->step, true));
    DN_TRY(dn_optimizer_step(r->parts.optimizer, params, report));
    if (report->skipped)
        return DN_OK;
    set_rates(r, params);
    if (r->strategy->observe)
        r->strategy->observe(&c);
    DN_TRY(dn_strategy_exchange(r, params->step, false));
    r->apart = false;
    for (size_t i = 0; i < r->n_params; i++)
        r->apart = r->apart || (r->parts.mesh->size[DN_DP] > 1 && !r->equal[i]);
    return DN_OK;
}

dn_status dn_strategy_step(dn_strategy_run *r, const dn_step_params *params, double loss, dn_step_report *report)
{
    r->loss = loss;
    switch (r->strategy->family) {
    case DN_BEFORE_RULE:
        return step_before(r, params, report);
    case DN_INSTEAD_OF_RULE:
        return step_instead(r, params, report);
    case DN_AFTER_RULE:
        return step_after(r, params, report);
    default:
        return dn_optimizer_step(r->parts.optimizer, params, report);
    }
}

bool dn_strategy_apart(const dn_strategy_run *r)
{
    return r->apart;
}

void dn_strategy_set_apart(dn_strategy_run *r, bool apart)
{
    r->apart = apart;
}

const dn_strategy *dn_strategy_row(const dn_strategy_run *r)
{
    return r->strategy;
}

const dn_strategy_config *dn_strategy_settings_of(const dn_strategy_run *r)
{
    return &r->config;
}

size_t dn_strategy_set_weight_decay(dn_strategy_run *r, const char *match, double weight_decay)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_params; i++)
        if (fnmatch(match, r->blocks[i].param->tensor.name, 0) == 0) {
            r->blocks[i].decay = weight_decay;
            n++;
        }
    return dn_max(n, dn_optimizer_set_weight_decay(r->parts.optimizer, match, weight_decay));
}

dn_strategy_sent dn_strategy_last(const dn_strategy_run *r, int exchange, size_t param)
{
    return r->exchanges[exchange].last[param];
}
