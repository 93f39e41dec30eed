#include "shard/optimizer.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/key.h"
#include "comm/world.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "optim/named_group.h"
#include "shard/executor.h"
#include "shard/bucket.h"
#include "shard/overlap.h"
#include "shard/views.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RULES = 2 + DN_NAMED_GROUPS_MAX };

/* State number k of a parameter. */
typedef struct listed {
    const dn_param_state *ps;
    int k;
} listed;

struct dn_optimizer {
    dn_optim_config config;
    dn_param *params; /* [n_params] as they are stepped: views.h */
    size_t n_params;
    dn_stream *stream;
    const dn_mesh *mesh;
    bool skipped;                 /* the step taken last */
    dn_param_state *param_states; /* [n_params], those of a parameter group together */
    dn_param_group *groups;       /* one a rule */
    size_t n_groups;
    double *squares;                       /* [n_params] squared norms of gradients */
    dn_bucket gradients, weights, momenta; /* averaged, gathered, averaged from time to time */
    dn_overlap overlap;                    /* gradients that are averaged before the step */
    listed *states;
    size_t n_states;
    dn_buf *heap; /* [heap_bytes] states and workspaces */
    size_t heap_bytes;
    void *workspaces[MAX_RULES]; /* [n_groups] */
};

/* Replicas that step alone, each with an optimizer on its own mesh; 1: one optimizer stands on the whole mesh. */
static int n_alone(const dn_optimizer *o)
{
    return dn_mesh_n_alone(o->mesh);
}

/* ---- settings ---- */

/* A mean that fades by less than this a step does not fade at all in bfloat16: what is left of a number is
 * within half a unit in its last place, 2^-9 to 2^-8 of it, and rounds to the number that was. */
#define LEAST_FADING (1.0 / 256)

/* Every rule that some parameter may have, once: of matrices, of all else, of groups. NULL for a name without a row.
 * Returns how many. */
static size_t rules_of(const dn_optim_config *c, const dn_rule *rules[MAX_RULES])
{
    size_t n = 0;
    for (size_t i = 0; i < 2 + c->n_named_groups; i++) {
        const char *name = i == 0 ? c->matrix_rule : i == 1 ? c->scalar_rule : c->named_groups[i - 2].rule;
        const dn_rule *rule = dn_rule_row(name);
        size_t k = 0;
        while (k < n && rules[k] != rule)
            k++;
        if (k == n && (rule || i < 2))
            rules[n++] = rule;
    }
    return n;
}

const dn_key *dn_optimizer_stuck(const dn_optim_config *c)
{
    const dn_rule *rules[MAX_RULES];
    size_t n = rules_of(c, rules);
    for (size_t k = 0; k < n && c->state_precision != DN_PRECISION_FULL; k++)
        for (int i = 0; rules[k] && i < DN_MAX_STATES && rules[k]->decays[i]; i++) {
            const dn_key *decay = rules[k]->decays[i];
            if (*(const double *)((const char *)c + decay->offset) >= 1 - LEAST_FADING)
                return decay;
        }
    return NULL;
}

/* Finds a rule by name; a name without a row is an error. */
static dn_status find_rule(const char *name, const char *what, const dn_rule **rule)
{
    *rule = dn_rule_row(name);
    if (*rule)
        return DN_OK;
    char names[256] = "";
    for (size_t i = 0, at = 0; dn_rule_at(i) && at < sizeof names; i++)
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", i ? ", " : "", dn_rule_at(i)->name);
    return dn_fail(DN_ERR_ARG, "the rule for %s is '%s': give one of %s", what, name ? name : "(null)",
                   names);
}

/* Of a rate that is given, not NAN: the range of its key. */
static bool beyond(double rate)
{
    return rate < 0 || rate > 1e6;
}

static dn_status check_group(const dn_named_group *group)
{
    const dn_rule *rule;
    if (group->rule)
        DN_TRY(find_rule(group->rule, group->match, &rule));
    if (beyond(group->lr_scale) || beyond(group->weight_decay) || group->rank_fraction <= 0 || group->rank_fraction > 1)
        return dn_fail(DN_ERR_ARG,
                       "group %s: lr_scale %g, weight_decay %g, rank_fraction %g: give 0 to 1e6, and a fraction "
                       "above 0, at most 1",
                       group->match, group->lr_scale, group->weight_decay, group->rank_fraction);
    return DN_OK;
}

dn_status dn_optimizer_check(const dn_optim_config *c)
{
    const dn_rule *matrices, *others;
    DN_TRY(find_rule(c->matrix_rule, "matrices", &matrices));
    DN_TRY(find_rule(c->scalar_rule, "vectors, embedding and head", &others));
    if (others->info.matrices_only)
        return dn_fail(DN_ERR_ARG,
                       "%s is a rule for matrices only: give another for vectors, embedding and head",
                       others->info.name);
    if (c->n_named_groups > DN_NAMED_GROUPS_MAX)
        return dn_fail(DN_ERR_ARG, "%zu groups of parameters: there can be %d", c->n_named_groups, DN_NAMED_GROUPS_MAX);
    for (size_t i = 0; i < c->n_named_groups; i++)
        DN_TRY(check_group(&c->named_groups[i]));
    const dn_key *option;
    for (size_t i = 0; (option = dn_option_at(i)); i++) {
        dn_key named = *option;
        named.name = option->field;
        DN_TRY(dn_key_check((const char *)c + option->offset, &named, DN_ERR_ARG, "optimizer"));
    }
    for (int kind = 0; kind < DN_PARAM_N_KINDS; kind++) {
        const dn_group_options *g = &c->groups[kind];
        if (isnan(g->lr_scale) || beyond(g->lr_scale) || isnan(g->weight_decay) || beyond(g->weight_decay))
            return dn_fail(DN_ERR_ARG, "groups[%d]: lr_scale %g, weight_decay %g: give 0 to 1e6", kind, g->lr_scale,
                           g->weight_decay);
    }
    option = dn_optimizer_stuck(c);
    if (!option)
        return DN_OK;
    return dn_fail(DN_ERR_ARG, "%s rounds to no change in bfloat16: give less than %.3f, or full state precision",
                   option->field, 1 - LEAST_FADING);
}

static dn_status check_param(const dn_optim_config *config, const dn_param *p, const dn_mesh *mesh)
{
    const dn_optim_config own = dn_param_config(config, p);
    if (p->kind != DN_PARAM_MATRIX && dn_param_rule(&own, p)->info.matrices_only)
        return dn_fail(DN_ERR_ARG, "%s: %s is a rule for hidden matrices only", p->tensor.name,
                       dn_param_rule(&own, p)->info.name);
    if (p->tensor.rows * p->tensor.cols == 0)
        return dn_fail(DN_ERR_ARG, "%s: a parameter of %zu x %zu", p->tensor.name, p->tensor.rows,
                       p->tensor.cols);
    if (dn_sharding_axes(p->tensor.row_sharding) & dn_sharding_axes(p->tensor.col_sharding))
        return dn_fail(DN_ERR_ARG, "%s: rows and columns are cut along the same axis", p->tensor.name);
    if (dn_tensor_axes(&p->tensor) & DN_AXIS(DN_DP))
        return dn_fail(DN_ERR_ARG, "%s: cut along dp, which holds replicas", p->tensor.name);
    dn_block block = dn_param_block(p, mesh->size, mesh->at);
    if (memcmp(&block, &p->block, sizeof block) != 0)
        return dn_fail(DN_ERR_ARG, "%s: its block is not the one of this rank", p->tensor.name);
    return dn_views_check(p);
}

/* ---- parameter states and parameter groups ---- */

/* Slots, those of a rule together in the order of the parameters, and where in the list rules begin:
 * starts [MAX_RULES + 1]. Returns the number of rules. */
static size_t make_param_states(const dn_optim_config *config, const dn_param *params, size_t n_params,
                                const int size[DN_N_AXES], dn_param_state *param_states, size_t *starts)
{
    const dn_rule *rules[MAX_RULES];
    size_t n = 0, n_rules = 0, n_known = rules_of(config, rules);
    for (size_t k = 0; k < n_known; k++) {
        const dn_executor *executor = dn_executor_of(rules[k]);
        starts[n_rules] = n;
        for (size_t i = 0; i < n_params; i++) {
            size_t index = params[i].place ? params[i].place - 1 : i;
            dn_param_state ps = dn_param_state_of(config, &params[i], index, size);
            if (ps.rule == rules[k])
                param_states[n++] = ps;
        }
        if (executor->deal)
            executor->deal(config, size, &param_states[starts[n_rules]], n - starts[n_rules]);
        n_rules += n > starts[n_rules];
    }
    starts[n_rules] = n;
    return n_rules;
}

/* Takes states of all parameter states, then the workspace of each rule: work [n_rules]. False without memory
 * to find out how much. */
static bool take_heap(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *param_states,
                      const size_t *starts, size_t n_rules, dn_arena *heap, void **work)
{
    dn_param_states_take(param_states, starts[n_rules], heap);
    for (size_t k = 0; k < n_rules; k++) {
        const dn_param_state *own = &param_states[starts[k]];
        size_t bytes = dn_executor_of(own->rule)->heap_bytes(config, size, own, starts[k + 1] - starts[k]);
        if (bytes == SIZE_MAX)
            return false;
        work[k] = dn_arena_take(heap, bytes);
    }
    return true;
}

size_t dn_optimizer_heap_bytes(const dn_optim_config *config, const dn_param *params, size_t n_params,
                               const int size[DN_N_AXES])
{
    dn_arena measure = {0};
    size_t starts[MAX_RULES + 1], n = dn_views_of(config, params, n_params, NULL);
    void *work[MAX_RULES];
    dn_param *views = calloc(n + 1, sizeof *views);
    dn_param_state *param_states = calloc(n + 1, sizeof *param_states);
    bool known = param_states && views;
    if (known) {
        dn_views_of(config, params, n_params, views);
        size_t n_rules = make_param_states(config, views, n, size, param_states, starts);
        known = take_heap(config, size, param_states, starts, n_rules, &measure, work);
    }
    free(views);
    free(param_states);
    return known ? measure.used : SIZE_MAX;
}

/* ---- creation ---- */

static dn_status allocate_tables(dn_optimizer *o)
{
    size_t n = o->n_params + 1; /* calloc of 0 may be NULL */
    o->params = calloc(n, sizeof *o->params);
    o->param_states = calloc(n, sizeof *o->param_states);
    o->groups = calloc(MAX_RULES, sizeof *o->groups);
    o->squares = calloc(n, sizeof *o->squares);
    o->states = calloc(DN_MAX_STATES * n, sizeof *o->states);
    if (!o->params || !o->param_states || !o->groups || !o->squares || !o->states)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu parameters", o->n_params);
    return DN_OK;
}

/* What copies of a parameter state's block bring together, but for gradients, and its states in the list of all. */
static dn_status list_param_state(dn_optimizer *o, dn_param_state *ps)
{
    const dn_param *param = ps->param;
    const dn_layout *layout = &ps->layout;
    size_t rows = param->block.rows, cols = param->block.cols;
    dn_block part = dn_layout_block(layout, o->mesh->at);
    DN_TRY(dn_bucket_add(&o->weights, layout->slices, param->weight, rows, cols));
    for (int i = 0; i < ps->n_states; i++) {
        dn_state_tensor *state = &ps->states[i];
        if (state->tensor.per_replica)
            DN_TRY(dn_bucket_add(&o->momenta, layout->replicas, state->stored, part.rows, part.cols));
        state->tensor.per_replica |= n_alone(o) > 1;
        o->states[o->n_states++] = (listed){ps, i};
    }
    return DN_OK;
}

static dn_status create(dn_optimizer *o, const dn_param *params, size_t n_params)
{
    size_t starts[MAX_RULES + 1];
    void *base;
    const int *size = o->mesh->size;
    size_t bytes = o->heap_bytes = dn_optimizer_heap_bytes(&o->config, params, n_params, size);
    o->n_params = dn_views_of(&o->config, params, n_params, NULL);
    if (o->n_params >= DN_OPTIMIZER_MATRICES_MAX)
        return dn_fail(DN_ERR_ARG, "%zu matrices: split into fewer than %zu", o->n_params,
                       DN_OPTIMIZER_MATRICES_MAX);
    DN_TRY(allocate_tables(o));
    dn_views_of(&o->config, params, n_params, o->params);

    /* Symmetric heap, zeroed: states start at 0, and no page is touched first in a step. */
    DN_TRY(dn_comm_alloc_device(o->mesh->root, bytes, &base));
    DN_TRY(dn_stream_zero(o->stream, base, bytes / sizeof(dn_real)));
    o->heap = base;
    dn_arena heap = {.base = base, .capacity = bytes};
    size_t n_rules = make_param_states(&o->config, o->params, o->n_params, size, o->param_states, starts);
    if (!take_heap(&o->config, size, o->param_states, starts, n_rules, &heap, o->workspaces))
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu parameters", o->n_params);

    o->gradients = o->weights = dn_bucket_of(o->mesh, DN_REAL);
    o->momenta = dn_bucket_of(o->mesh, o->n_params ? o->param_states[0].type : DN_REAL);
    for (size_t i = 0; i < o->n_params; i++) {
        dn_param_state_bind(&o->param_states[i], o->mesh->at);
        DN_TRY(list_param_state(o, &o->param_states[i]));
    }
    DN_TRY(dn_overlap_open(&o->overlap, &o->gradients, o->param_states, o->n_params));
    for (size_t k = 0; k < n_rules; k++) {
        dn_param_state *param_states = &o->param_states[starts[k]];
        dn_param_group *group = &o->groups[o->n_groups++];
        *group = (dn_param_group){.rule = param_states[0].rule,
                                  .executor = dn_executor_of(param_states[0].rule),
                                  .config = &o->config,
                                  .stream = o->stream,
                                  .mesh = o->mesh,
                                  .param_states = param_states,
                                  .n_param_states = starts[k + 1] - starts[k]};
        DN_TRY(group->executor->open(group, o->workspaces[k]));
    }
    return dn_comm_barrier(o->mesh->all);
}

dn_status dn_optimizer_create(const dn_optim_config *config, const dn_param *params, size_t n_params,
                              dn_stream *stream, const dn_mesh *mesh, dn_optimizer **out)
{
    *out = NULL;
    DN_TRY(dn_optimizer_check(config));
    if (mesh->size[DN_PP] > 1)
        return dn_fail(DN_ERR_ARG, "an optimizer on a mesh of %d stages: each stage has its own, on dn_mesh_stage", mesh->size[DN_PP]);
    for (size_t i = 0; i < n_params; i++)
        DN_TRY(check_param(config, &params[i], mesh));
    dn_optimizer *o = calloc(1, sizeof *o);
    if (!o)
        return dn_fail(DN_ERR_MEMORY, "no memory for an optimizer");
    o->config = *config;
    o->stream = stream;
    o->mesh = mesh;
    dn_status status = create(o, params, n_params);
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
    for (size_t k = 0; k < o->n_groups; k++)
        if (o->groups[k].executor->close)
            o->groups[k].executor->close(&o->groups[k]);
    dn_bucket_clear(&o->gradients);
    dn_bucket_clear(&o->weights);
    dn_bucket_clear(&o->momenta);
    free(o->params);
    free(o->param_states);
    free(o->groups);
    free(o->squares);
    free(o->states);
    free(o);
}

dn_status dn_optimizer_reset(dn_optimizer *o)
{
    for (size_t k = 0; k < o->n_groups; k++)
        if (o->groups[k].executor->close)
            o->groups[k].executor->close(&o->groups[k]);
    DN_TRY(dn_stream_zero(o->stream, o->heap, o->heap_bytes / sizeof(dn_real)));
    for (size_t k = 0; k < o->n_groups; k++)
        DN_TRY(o->groups[k].executor->open(&o->groups[k], o->workspaces[k]));
    return DN_OK;
}

/* ---- one step ---- */

/* Norm of what the parameter states work with, as the reduction left it: means where gradients were dealt,
 * each replica's own where they are decoupled, and of those the root mean square. Not finite if one number of
 * one rank is not, on all ranks alike. Passing through it, every rank has also left its previous step. Of
 * replicas that step alone *norm is this one's, and *all, as finite as all of them, their root mean square:
 * they skip together. */
static dn_status measure_gradients(dn_optimizer *o, double *norm, double *all)
{
    for (size_t i = 0; i < o->n_params; i++)
        o->stream->kernels->sum_squares(o->stream, &o->squares[i], o->param_states[i].grad,
                                        dn_param_state_size(&o->param_states[i]));
    DN_TRY(dn_stream_sync(o->stream));
    double sum = 0;
    for (size_t i = 0; i < o->n_params; i++)
        sum += o->squares[i] / dn_axes_size(o->mesh->size, o->param_states[i].layout.replicas);
    DN_TRY(dn_comm_all_reduce_scalars(o->mesh->all, &sum, 1, DN_SUM));
    if (o->mesh->stages)
        DN_TRY(dn_comm_all_reduce_scalars(o->mesh->stages, &sum, 1, DN_SUM));
    *norm = *all = sqrt(sum);
    if (n_alone(o) == 1)
        return DN_OK;
    DN_TRY(dn_comm_all_reduce_scalars(o->mesh->root, &sum, 1,
                                      DN_SUM)); /* each replica's, from each of its ranks */
    *all = sqrt(sum / dn_comm_size(o->mesh->root));
    return DN_OK;
}

size_t dn_optimizer_set_weight_decay(dn_optimizer *o, const char *match, double weight_decay)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_params; i++)
        if (dn_param_named(o->param_states[i].param, match)) {
            o->param_states[i].base.weight_decay = weight_decay;
            n++;
        }
    return n;
}

dn_status dn_optimizer_begin(dn_optimizer *o, size_t unit)
{
    if (dn_comm_n_nodes(o->mesh->all) == 1)
        return DN_OK;
    DN_TRY(dn_stream_sync(o->stream));
    return dn_overlap_begin(&o->overlap, unit, DN_AVG, DN_TRAFFIC_GRADIENT);
}

dn_status dn_optimizer_drop(dn_optimizer *o)
{
    return dn_overlap_finish(&o->overlap);
}

/* All at once, or what has not begun yet. */
static dn_status average_gradients(dn_optimizer *o, dn_step_report *report)
{
    if (o->overlap.n_begun == 0)
        return dn_bucket_reduce(&o->gradients, DN_AVG, DN_TRAFFIC_GRADIENT);
    report->overlap_s = dn_clock_s() - o->overlap.begun_s;
    report->overlap_bytes = o->overlap.cluster_bytes;
    DN_TRY(dn_optimizer_begin(o, 0));
    return dn_overlap_finish(&o->overlap);
}

dn_status dn_optimizer_step(dn_optimizer *o, const dn_step_params *step_params, dn_step_report *report)
{
    double norm, limit = o->config.clip_norm;
    *report = (dn_step_report){.clip = 1};
    dn_comm_enter(o->mesh->all, "optimizer");
    DN_TRY(average_gradients(o, report));
    DN_TRY(measure_gradients(o, &norm, &report->grad_norm));
    o->skipped = report->skipped = !isfinite(report->grad_norm);
    if (report->skipped)
        return DN_OK;

    if (limit > 0 && norm > limit)
        report->clip = limit / norm;
    for (size_t i = 0; i < o->n_params; i++) {
        dn_param_state *ps = &o->param_states[i];
        ps->options.weight_decay = step_params->decay * ps->base.weight_decay;
        if (report->clip < 1)
            o->stream->kernels->scale(o->stream, ps->grad, report->clip, ps->grad, dn_param_state_size(ps));
    }
    for (size_t k = 0; k < o->n_groups; k++)
        DN_TRY(o->groups[k].executor->step(&o->groups[k], step_params->step, step_params->lr, report));
    DN_TRY(dn_stream_sync(o->stream));
    DN_TRY(dn_bucket_gather(&o->weights, DN_TRAFFIC_WEIGHTS));

    uint64_t every = (uint64_t)o->config.momentum_sync_every; /* 0: never */
    if (every == 0 || (step_params->step + 1) % every != 0)
        return DN_OK;
    DN_TRY(dn_bucket_reduce(&o->momenta, DN_AVG, DN_TRAFFIC_MOMENTUM));
    return dn_bucket_gather(&o->momenta, DN_TRAFFIC_MOMENTUM);
}

/* ---- what it costs ---- */

double dn_optimizer_flops(const dn_optimizer *o)
{
    double flops = 0;
    for (size_t k = 0; k < o->n_groups; k++)
        if (o->groups[k].executor->flops)
            flops += o->groups[k].executor->flops(&o->groups[k]);
    return flops;
}

void dn_optimizer_cost_add(dn_optimizer_cost *cost, const int size[DN_N_AXES], unsigned axes, double times, double bytes)
{
    double ranks = dn_axes_size(size, axes);
    *(axes & DN_AXIS(DN_DP) ? &cost->bytes_dp : &cost->bytes) += times * bytes * (ranks - 1) / ranks;
}

void dn_optimizer_cost_add_hops(dn_optimizer_cost *cost, const int size[DN_N_AXES], unsigned sets, double times)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if ((axes & DN_AXIS(DN_DP)) && (sets >> axes & 1))
            cost->hops_dp += times * (dn_axes_size(size, axes) - 1);
}

/* What copies bring together (list_param_state), and what the rules add. */
static void predict(const dn_optim_config *config, const int size[DN_N_AXES], const dn_param_state *param_states,
                    const size_t *starts, size_t n_rules, dn_optimizer_cost *cost)
{
    const int first[DN_N_AXES] = {0};
    double every = (double)config->momentum_sync_every;
    unsigned slices = 0, replicas = 0;
    for (size_t i = 0; i < starts[n_rules]; i++) {
        const dn_param_state *ps = &param_states[i];
        double n = (double)dn_block_size(dn_param_block(ps->param, size, first));
        dn_optimizer_cost_add(cost, size, ps->layout.slices, 2, n * sizeof(dn_real));
        if (every > 0)
            dn_optimizer_cost_add(cost, size, ps->layout.replicas, 2 / every,
                                  (double)dn_block_size(dn_layout_block(&ps->layout, first)) * (double)dn_type_bytes(ps->type));
        slices |= 1u << ps->layout.slices;
        replicas |= 1u << ps->layout.replicas;
    }
    dn_optimizer_cost_add_hops(cost, size, slices, 2);
    if (every > 0)
        dn_optimizer_cost_add_hops(cost, size, replicas, 2 / every);
    for (size_t k = 0; k < n_rules; k++) {
        const dn_executor *executor = dn_executor_of(param_states[starts[k]].rule);
        if (executor->predict)
            executor->predict(config, size, &param_states[starts[k]], starts[k + 1] - starts[k], cost);
    }
}

dn_status dn_optimizer_predict(const dn_optim_config *config, const dn_param *params, size_t n_params,
                               const int size[DN_N_AXES], dn_optimizer_cost *cost)
{
    size_t starts[MAX_RULES + 1], n = dn_views_of(config, params, n_params, NULL);
    dn_param *views = calloc(n + 1, sizeof *views);
    dn_param_state *param_states = calloc(n + 1, sizeof *param_states);
    *cost = (dn_optimizer_cost){0};
    dn_status status = views && param_states ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu parameters", n);
    if (status == DN_OK) {
        dn_views_of(config, params, n_params, views);
        size_t n_rules = make_param_states(config, views, n, size, param_states, starts);
        predict(config, size, param_states, starts, n_rules, cost);
    }
    free(views);
    free(param_states);
    return status;
}

dn_matrix_choice dn_optimizer_choice(const dn_optimizer *o, size_t index)
{
    dn_matrix_choice choice = {.owner = -1};
    for (size_t k = 0; k < o->n_groups; k++) {
        const dn_param_group *group = &o->groups[k];
        for (size_t i = 0; i < group->n_param_states; i++)
            if (group->param_states[i].index == index && group->executor->tell)
                group->executor->tell(group, i, &choice);
    }
    if (o->skipped)
        choice.orth[0].rounds = choice.orth[1].rounds = (dn_orth_rounds){0};
    return choice;
}

/* ---- what it holds ---- */

size_t dn_optimizer_n_states(const dn_optimizer *o)
{
    return o->n_states;
}

const dn_param *dn_optimizer_state_param(const dn_optimizer *o, size_t index)
{
    return o->states[index].ps->param->view_of;
}

size_t dn_optimizer_state_matrix(const dn_optimizer *o, size_t index)
{
    return o->states[index].ps->index;
}

const dn_tensor *dn_optimizer_state(const dn_optimizer *o, size_t index)
{
    return &o->states[index].ps->states[o->states[index].k].tensor;
}

dn_shard dn_optimizer_state_shard(const dn_optimizer *o, size_t index, int rank)
{
    const dn_param_state *ps = o->states[index].ps;
    const dn_state_tensor *state = &ps->states[o->states[index].k];
    int at[DN_N_AXES], here = rank % dn_comm_size(o->mesh->all), alone = rank / dn_comm_size(o->mesh->all);
    dn_mesh_at(o->mesh->size, here, at);
    int copy = state->everywhere ? here : dn_axes_rank(o->mesh->size, ps->layout.replicas, at);
    return (dn_shard){.block = dn_state_tensor_block(ps, state, at),
                      .data = state->stored,
                      .rank = rank,
                      .replica = alone + n_alone(o) * copy};
}
