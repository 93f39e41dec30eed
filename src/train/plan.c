#include "train/plan.h"

#include "base/fail.h"
#include "base/size.h"
#include "dionode/topo.h"
#include "optim/named_group.h"
#include "pipe/cut.h"
#include "pipe/ratios.h"
#include "pipe/pipeline.h"
#include "pipe/schedule.h"
#include "shard/views.h"
#include "tensor/axes.h"
#include "train/clients.h"
#include "train/config_value.h"
#include "train/init.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int or_one(int64_t size)
{
    return size ? (int)size : 1;
}

static double or_zero(double value)
{
    return isnan(value) ? 0 : value;
}

dn_config dn_plan_config_on(const dn_config *config, const int size[DN_N_AXES])
{
    dn_config c = *config;
    c.dp_size = size[DN_DP];
    c.pp_size = dn_axis_size(size, DN_PP);
    c.fs_size = size[DN_FS];
    c.tp_size = size[DN_TP];
    return c;
}

dn_status dn_plan_mesh(const dn_config *c, int *n_workers)
{
    bool given = c->dp_size || c->pp_size || c->fs_size || c->tp_size;
    DN_TRY(dn_config_check(c));
    int64_t n = given ? (int64_t)or_one(c->dp_size) * or_one(c->pp_size) * or_one(c->fs_size) * or_one(c->tp_size) : 0;
    *n_workers = (int)n;
    if (n <= DN_MAX_RANKS)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "dp_size %d x pp_size %d x fs_size %d x tp_size %d make %lld workers: the most is %d",
                   or_one(c->dp_size), or_one(c->pp_size), or_one(c->fs_size), or_one(c->tp_size), (long long)n, DN_MAX_RANKS);
}

void dn_plan_files(const dn_config *c, bool validation, char pattern[DN_PATTERN_MAX])
{
    const char *given = validation ? c->val_files : c->train_files;
    char *end = pattern;
    if (*given) {
        snprintf(pattern, DN_PATTERN_MAX, "%s", given);
        return;
    }
    for (const char *from = c->data_dir; *from; *end++ = *from++)
        if (strchr("*?[\\", *from))
            *end++ = '\\';
    snprintf(end, DN_PATTERN_MAX - (size_t)(end - pattern), "/*%s*.bin", validation ? "val" : "train");
}

dn_status dn_plan_tokens(const dn_config *config, bool validation, dn_tokens **out)
{
    char pattern[DN_PATTERN_MAX];
    dn_plan_files(config, validation, pattern);
    return dn_tokens_open(pattern, strcmp(config->data_format, "uint16") == 0 ? DN_TOKENS_UINT16 : DN_TOKENS_SHARDS,
                          out);
}

dn_status dn_plan_same_tokenizer(uint64_t one, uint64_t other, const char *what)
{
    if (!one || !other || one == other)
        return DN_OK;
    return dn_fail(DN_ERR_DATA,
                   "%s: tokenized by another tokenizer (hash %016" PRIx64 ", not %016" PRIx64 "): "
                   "prepare the data with the tokenizer of the model",
                   what, other, one);
}

/* Index of the value in a list of names "a|b|c". The table of keys has checked it already, unless its list
 * differs. */
static dn_status choose(const char *key, const char *value, const char *names, int *out)
{
    size_t length = strlen(value);
    *out = 0;
    for (const char *name = names; name; name = strchr(name, '|') ? strchr(name, '|') + 1 : NULL, ++*out)
        if (strncmp(name, value, length) == 0 && (name[length] == '|' || !name[length]))
            return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s is '%s': use one of %s", key, value, names);
}

/* The rule's name in the registry, which outlives the configuration. */
static dn_status choose_rule(const char *key, const char *value, const char **out)
{
    const dn_rule_info *rule = dn_rule_find(value);
    if (!rule)
        return dn_fail(DN_ERR_CONFIG, "%s: there is no rule '%s'", key, value);
    *out = rule->name;
    return DN_OK;
}

/* Both schedules share warm-up and warm-down. */
static dn_status choose_schedule(const dn_config *c, const char *key, const char *value,
                                 dn_schedule_rule *out)
{
    int shape;
    DN_TRY(choose(key, value, DN_SCHEDULE_NAMES, &shape));
    *out = (dn_schedule_rule){(dn_schedule_shape)shape, c->warmup_ratio, c->warmdown_ratio};
    return DN_OK;
}

dn_status dn_plan_strategy(const dn_config *c, const dn_strategy **out)
{
    *out = dn_strategy_find(*c->strategy ? c->strategy
                                         : c->optim.compress && dn_rule_has_factors(c->optimizer) ? "factors" : "average");
    if (!*out)
        return dn_fail(DN_ERR_CONFIG, "strategy: there is no strategy '%s'", c->strategy);
    if ((*out)->factors && !c->optim.compress)
        return dn_fail(DN_ERR_CONFIG,
                       "strategy %s contradicts replicate_mesh_grad_sync false: leave one of them out",
                       c->strategy);
    return dn_strategy_check_rule(*out, c->optimizer);
}

/* Sizes that are not given are 1, but for dp, which then takes the remaining workers. */
static dn_status plan_mesh(const dn_config *c, dn_plan *plan)
{
    int64_t inner = (int64_t)or_one(c->pp_size) * or_one(c->fs_size) * or_one(c->tp_size);
    plan->mesh[DN_DP] = c->dp_size ? (int)c->dp_size : (int)(plan->n_workers / inner);
    plan->mesh[DN_PP] = or_one(c->pp_size);
    plan->mesh[DN_FS] = or_one(c->fs_size);
    plan->mesh[DN_TP] = or_one(c->tp_size);
    memcpy(plan->stage_mesh, plan->mesh, sizeof plan->stage_mesh);
    plan->stage_mesh[DN_PP] = 1;
    plan->n_dealt = plan->mesh[DN_DP] * plan->mesh[DN_FS];
    if (plan->mesh[DN_DP] * inner == plan->n_workers)
        return DN_OK;
    return dn_fail(
        DN_ERR_CONFIG,
        "dp_size %d x pp_size %d x fs_size %d x tp_size %d is not the number of workers, %d: leave out dp_size or the "
        "number of workers, or change one of them",
        c->dp_size ? (int)c->dp_size : 1, plan->mesh[DN_PP], plan->mesh[DN_FS], plan->mesh[DN_TP], plan->n_workers);
}

dn_range dn_plan_rows(const dn_plan *plan, size_t n, const int at[DN_N_AXES])
{
    int index = at[DN_DP] * plan->mesh[DN_FS] + at[DN_FS];
    return dn_shard_range(n, 1, plan->n_dealt, index);
}

size_t dn_plan_rounds(const dn_plan *plan, size_t n)
{
    const int first[DN_N_AXES] = {0}; /* nobody has more rows */
    return (dn_plan_rows(plan, n, first).end + plan->micro_batch - 1) / plan->micro_batch;
}

static dn_status plan_batches(const dn_config *c, dn_plan *plan)
{
    const int first[DN_N_AXES] = {0};
    size_t most = c->clients ? (size_t)c->batch_size /* a client's */ : dn_plan_rows(plan, (size_t)c->batch_size, first).end;
    plan->micro_batch = most < (size_t)c->device_batch_size ? most : (size_t)c->device_batch_size;
    return dn_model_check_batch(&plan->spec, plan->micro_batch);
}

/* Refuses in the launcher, naming keys, what dn_optimizer_check would refuse in each worker. Ranges of single
 * keys are checked by the table; here, combinations. */
static dn_status plan_optimizer(const dn_config *c, dn_plan *plan)
{
    DN_TRY(dn_plan_strategy(c, &plan->strategy));
    plan->optim = c->optim;
    plan->optim.compress = plan->strategy->factors;
    plan->optim.seed = (uint64_t)c->seed;
    DN_TRY(choose_rule("optimizer", c->optimizer, &plan->optim.matrix_rule));
    DN_TRY(choose_rule("scalar_opt", c->scalar_opt, &plan->optim.scalar_rule));
    DN_TRY(dn_config_resolve_strategy(&plan->config, plan->strategy, &plan->strategy_config));
    DN_TRY(dn_strategy_check_mesh(plan->strategy, &plan->strategy_config, plan->stage_mesh));
    dn_strategy_mesh_size(plan->strategy, plan->stage_mesh, plan->optim_mesh);
    const dn_key *stuck = dn_optimizer_stuck(&plan->optim);
    if (stuck)
        return dn_fail(DN_ERR_CONFIG,
                       "%s rounds to no change with state_precision bfloat16; use less than 0.996, or "
                       "state_precision full",
                       stuck->name);
    if (dn_optimizer_check(&plan->optim) != DN_OK)
        return dn_fail(DN_ERR_CONFIG, "optimizer: %s", dn_error_message());
    return DN_OK;
}

static dn_status check_glob(const dn_plan *plan, const dn_param *params, const char *key, const char *glob)
{
    for (size_t i = 0; i < plan->n_params; i++)
        if (dn_param_named(&params[i], glob))
            return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s: '%s' matches no parameter; names are such as %s and %s", key, glob,
                   params[0].tensor.name, params[plan->n_params / 2].tensor.name);
}

/* Each pattern must match a parameter, and each parameter's rule must apply to its kind. */
static dn_status check_names(const dn_plan *plan, const dn_param *params)
{
    const dn_optim_config *o = &plan->optim;
    for (size_t k = 0; k < o->n_named_groups; k++)
        DN_TRY(check_glob(plan, params, "groups", o->named_groups[k].match));
    for (size_t k = 0; k < plan->spec.trained.n; k++)
        DN_TRY(check_glob(plan, params, "trainable", plan->spec.trained.match[k]));
    for (size_t i = 0; i < plan->n_params; i++) {
        const dn_optim_config own = dn_param_config(o, &params[i]);
        if (params[i].kind != DN_PARAM_MATRIX && dn_param_rule(&own, &params[i])->info.matrices_only)
            return dn_fail(DN_ERR_CONFIG, "groups: rule %s is for hidden matrices only, which %s is not",
                           own.scalar_rule, params[i].tensor.name);
    }
    return DN_OK;
}

static dn_status check_matrices(const dn_plan *plan, const dn_param *params /* trained */)
{
    size_t n = dn_views_of(&plan->optim, params, plan->n_trained, NULL);
    if (n < DN_OPTIMIZER_MATRICES_MAX)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG,
                   "split_heads with n_layer %zu and n_head %zu gives %zu matrices, at most %zu are "
                   "possible: use fewer, "
                   "or split_heads false",
                   plan->spec.L, plan->spec.attention.NH, n, DN_OPTIMIZER_MATRICES_MAX);
}

/* Where the configuration leaves it open, and there is a choice. Neither of the two strategies has settings or a mesh of its
 * own: nothing else depends on which it is but the optimizer's memory. */
static dn_status plan_exchange(dn_plan *plan, const dn_param *params, const dn_param *trained)
{
    dn_config *c = &plan->config;
    if (plan->mesh[DN_DP] == 1 || *c->strategy || !dn_rule_has_factors(c->optimizer))
        return DN_OK;
    double tokens = (double)c->batch_size * (double)plan->spec.T,
           flops = dn_model_flops_per_token(&plan->spec, params) * tokens / plan->n_workers;
    DN_TRY(dn_exchange_predict(&plan->optim, trained, plan->n_trained, plan->stage_mesh, flops, &plan->link_dp, &plan->exchange));
    plan->exchange.asked = c->optim.compress == DN_COMPRESS_AUTO;
    if (plan->exchange.asked)
        c->optim.compress = dn_exchange_takes_factors(&plan->exchange) ? DN_COMPRESS_YES : DN_COMPRESS_NO;
    DN_TRY(dn_plan_strategy(c, &plan->strategy));
    plan->optim.compress = plan->strategy->factors;
    return DN_OK;
}

/* ---- stages ---- */

dn_spec dn_plan_stage_spec(const dn_plan *plan, int stage)
{
    dn_spec spec = plan->spec;
    if (plan->mesh[DN_PP] > 1)
        spec.stage = (dn_layer_range){stage > 0 ? plan->cut[stage - 1] : 0, plan->cut[stage]};
    return spec;
}

dn_status dn_plan_lay_out(const dn_plan *plan, const dn_spec *spec, const int at[DN_N_AXES], dn_arena *weights, dn_arena *grads,
                          dn_param *params, size_t *unit_of, dn_param *trained)
{
    dn_model_layout(spec, plan->stage_mesh, at, weights, grads, params, unit_of);
    size_t n = dn_model_trained(spec, params, trained), place = 1;
    if (!dn_model_is_stage(spec))
        return DN_OK;
    dn_spec before = *spec;
    before.stage = (dn_layer_range){0, spec->stage.first};
    dn_arena unused[2] = {{0}};
    size_t n_before = spec->stage.first ? dn_model_n_params(&before) : 0;
    dn_param *others = calloc(2 * n_before + 1, sizeof *others);
    size_t *units = calloc(n_before + 1, sizeof *units);
    if (others && units && n_before) {
        dn_model_layout(&before, plan->stage_mesh, at, &unused[0], &unused[1], others, units);
        place += dn_views_of(&plan->optim, others + n_before, dn_model_trained(&before, others, others + n_before), NULL);
    }
    dn_status status = others && units ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", n_before);
    free(others);
    free(units);
    for (size_t i = 0; i < n; i++) {
        trained[i].place = place;
        place += dn_views_of(&plan->optim, &trained[i], 1, NULL);
    }
    return status;
}

/* Seconds of each unit's layers for a micro-batch: as measured, or on processors that do so many flops a second. */
static dn_status unit_times(const dn_plan *plan, double tokens, size_t n_units, double *work_s)
{
    const dn_spec *spec = &plan->spec;
    const char *text = plan->config.pp_times;
    double measured[3]; /* embedding, block, head */
    int end = -1;
    if (*text && (sscanf(text, "%lf , %lf , %lf%n", &measured[0], &measured[1], &measured[2], &end) != 3 || text[end] ||
                  !(measured[0] >= 0 && measured[1] > 0 && measured[2] >= 0 && measured[0] + measured[1] + measured[2] < 1e15)))
        return dn_fail(DN_ERR_CONFIG, "pp_times: '%.60s': give seconds of the embedding, a block and the head, as 0.001,0.02,0.03", text);
    for (size_t i = 0; i < spec->architecture->n_layers(spec); i++) {
        const dn_layer_place place = spec->architecture->layer(spec, i);
        work_s[place.unit] += place.ops->flops(spec) * tokens / plan->mesh[DN_TP] / DN_EXCHANGE_FLOPS;
    }
    for (size_t unit = 0; unit < n_units && *text; unit++)
        work_s[unit] = measured[unit == 0 ? 0 : unit + 1 < n_units ? 1 : 2];
    return DN_OK;
}

/* Boundaries of stages take as long as was measured, as the emulated link, or as shared memory on the processors of exchange.h. */
static dn_status plan_links(dn_plan *plan)
{
    const dn_config *c = &plan->config;
    int n = plan->mesh[DN_PP] - 1;
    double bytes = (double)c->device_batch_size * (double)plan->spec.T * (double)plan->spec.C * sizeof(dn_real);
    DN_TRY(dn_pipe_links_parse(c->link_pp, "link_pp", n, &plan->link_pp));
    for (int i = 0; i < n; i++)
        plan->link_s[i] = dn_exchange_link_s(&plan->link_pp.of[i], 1, bytes);
    return dn_pipe_link_times_parse(c->pp_link_times, "pp_link_times", n, plan->link_s);
}

static dn_status plan_cut(dn_plan *plan)
{
    const dn_spec *spec = &plan->spec;
    size_t n_layers = spec->architecture->n_layers(spec), n_units = spec->architecture->layer(spec, n_layers - 1).unit + 1,
           S = (size_t)plan->mesh[DN_PP], end[DN_MAX_RANKS];
    double tokens = (double)plan->config.device_batch_size * (double)spec->T, slowest;
    if (S > n_units)
        return dn_fail(DN_ERR_CONFIG, "pp_size %zu: the model has %zu units to cut between, embedding and head included; use no more",
                       S, n_units);
    double *work_s = calloc(n_units, sizeof *work_s), link_s[DN_MAX_RANKS];
    if (!work_s)
        return dn_fail(DN_ERR_MEMORY, "no memory to cut %zu units", n_units);
    for (size_t s = 1; s < S; s++)
        link_s[s] = 2 * plan->link_s[s - 1]; /* the stream, and its gradient */
    dn_status status = unit_times(plan, tokens, n_units, work_s);
    if (status == DN_OK)
        status = dn_pipe_cut(work_s, n_units, link_s, S, end, &slowest);
    for (size_t s = 0, unit = 0, layer = 0; s < S && status == DN_OK; s++) {
        double own_s = s > 0 ? link_s[s] : 0;
        for (; unit < end[s]; unit++)
            own_s += work_s[unit];
        while (layer < n_layers && spec->architecture->layer(spec, layer).unit < end[s])
            layer++;
        plan->cut[s] = layer;
        plan->stage_share[s] = slowest > 0 ? own_s / slowest : 1;
    }
    free(work_s);
    return status;
}

static dn_status plan_channels(dn_plan *plan)
{
    size_t n = (size_t)plan->mesh[DN_PP] - 1;
    int choice;
    DN_TRY(choose("channel", plan->config.channel, DN_CHANNEL_NAMES, &choice));
    return dn_pipe_kept((dn_channel_choice)choice, plan->config.channel_quantile, plan->config.channel_ratio, plan->link_s, n, plan->spec.C,
                        plan->kept);
}

void dn_plan_stage_kept(const dn_plan *plan, int stage, size_t kept[2])
{
    kept[0] = stage > 0 ? plan->kept[stage - 1] : 0;
    kept[1] = stage >= 0 && stage + 1 < plan->mesh[DN_PP] ? plan->kept[stage] : 0;
}

size_t dn_plan_stage_stashed(const dn_plan *plan, int stage)
{
    size_t M = dn_plan_rounds(plan, (size_t)plan->config.batch_size);
    return plan->flows ? dn_pipe_staleness((size_t)plan->mesh[DN_PP], (size_t)stage, M, 0) : 0;
}

/* The channels between the stages as which it was trained. */
static dn_status add_channels(const dn_config *trained, dn_spec *spec)
{
    dn_plan stages;
    int n = or_one(trained->dp_size) * or_one(trained->pp_size) * or_one(trained->fs_size) * or_one(trained->tp_size);
    DN_TRY(dn_plan_make(trained, n, &stages));
    for (int s = 0; s + 1 < stages.mesh[DN_PP]; s++)
        if (stages.kept[s] > 0)
            spec->channels[spec->n_channels++] = (dn_channel){
                (unsigned)spec->architecture->layer(spec, stages.cut[s] - 1).unit, (unsigned)stages.kept[s]};
    return DN_OK;
}

/* ---- memory ---- */

/* Bytes of a worker of a stage: of the first rank there, whose shards are the largest. */
typedef struct footprint {
    size_t parameters, gradients, model, arena, private;
} footprint;

static size_t slots_of(const dn_plan *plan, int stage)
{
    size_t n_stages = (size_t)plan->mesh[DN_PP], M = plan->flows ? n_stages : dn_plan_rounds(plan, (size_t)plan->config.batch_size);
    return dn_pipe_in_flight(n_stages, (size_t)stage, M);
}

/* params [2 n_params], unit_of [n_params]: scratch. */
static dn_status measure_stage(const dn_plan *plan, int stage, dn_param *params, size_t *unit_of, footprint *out)
{
    const dn_spec of_stage = dn_plan_stage_spec(plan, stage), *spec = &of_stage;
    size_t kept[2], n_slots = slots_of(plan, stage);
    dn_plan_stage_kept(plan, stage, kept);
    const int first[DN_N_AXES] = {0};
    const int *size = plan->stage_mesh;
    dn_arena weights = {0}, grads = {0};
    size_t n = dn_model_n_params(spec), n_trained;
    dn_param *trained = params + n;
    DN_TRY(dn_plan_lay_out(plan, spec, first, &weights, &grads, params, unit_of, trained));
    n_trained = dn_model_trained(spec, params, NULL);
    const size_t model[] = {weights.used, dn_weights_heap_bytes(params, n, unit_of, size, plan->gather),
                            dn_model_heap_bytes(spec, plan->micro_batch, n_slots, size[DN_TP])};
    const size_t training[] = {dn_mesh_heap_bytes(plan->mesh), grads.used,
                               dn_optimizer_heap_bytes(&plan->optim, trained, dn_strategy_n_stepped(plan->strategy, n_trained),
                                                       plan->optim_mesh),
                               dn_strategy_heap_bytes(plan->strategy, &plan->strategy_config, trained, n_trained, size),
                               dn_clients_heap_bytes(plan, trained),
                               dn_pipeline_heap_bytes(kept, plan->micro_batch, spec->T, spec->C, n_slots),
                               dn_size_mul(dn_plan_stage_stashed(plan, stage), grads.used)};
    *out = (footprint){.parameters = weights.used, .gradients = grads.used};
    for (int i = 0; i < 3; i++)
        out->model = dn_size_add(out->model, model[i]);
    out->arena = out->model;
    for (int i = 0; i < 7; i++)
        out->arena = dn_size_add(out->arena, training[i]);
    out->private = dn_model_activation_bytes(spec, plan->micro_batch, n_slots, size[DN_TP]);
    if (spec->narrow)
        out->private = dn_size_add(out->private, dn_weights_narrow_bytes(params, n, unit_of, size));
    return DN_OK;
}

/* Of all stages the most. params [2 n_params], unit_of [n_params]: scratch. */
static dn_status lay_out(dn_plan *plan, dn_param *params, size_t *unit_of)
{
    const int first[DN_N_AXES] = {0};
    dn_arena weights = {0}, grads = {0};
    dn_model_layout(&plan->spec, plan->stage_mesh, first, &weights, &grads, params, unit_of);
    dn_param *trained = params + plan->n_params;
    DN_TRY(check_names(plan, params));
    plan->n_trained = dn_model_trained(&plan->spec, params, trained);
    plan->flops_per_token = dn_model_flops_per_token(&plan->spec, params);
    DN_TRY(check_matrices(plan, trained));
    DN_TRY(plan_exchange(plan, params, trained));
    for (size_t p = 0; p < plan->n_params; p++) {
        size_t n = dn_size_mul(params[p].tensor.rows, params[p].tensor.cols);
        plan->n_elements = dn_size_add(plan->n_elements, n);
        plan->n_trained_elements = dn_size_add(plan->n_trained_elements, params[p].frozen ? 0 : n);
    }
    plan->lowest_unit = dn_model_lowest(&plan->spec, params);
    plan->n_units = unit_of[plan->n_params - 1] + 1;
    plan->gradient_bytes = plan->mesh[DN_PP] == 1 ? grads.used : 0; /* clients, who have no stages, measure by it */
    size_t n_least = plan->n_trained;
    for (int stage = 0; stage < plan->mesh[DN_PP]; stage++) {
        const dn_spec spec = dn_plan_stage_spec(plan, stage);
        footprint own;
        DN_TRY(measure_stage(plan, stage, params, unit_of, &own));
        plan->parameter_bytes = dn_max(plan->parameter_bytes, own.parameters);
        plan->gradient_bytes = dn_max(plan->gradient_bytes, own.gradients);
        plan->model_bytes = dn_max(plan->model_bytes, own.model);
        plan->arena_bytes = dn_max(plan->arena_bytes, own.arena);
        plan->private_bytes = dn_max(plan->private_bytes, own.private);
        plan->n_slots = dn_max(plan->n_slots, slots_of(plan, stage));
        n_least = dn_min(n_least, dn_model_trained(&spec, params, NULL));
    }
    DN_TRY(dn_strategy_check_stages(plan->strategy, plan->mesh[DN_PP], n_least));
    if (plan->mesh[DN_PP] > 1 && plan->config.clients > 0)
        return dn_fail(DN_ERR_CONFIG, "clients with pp_size %d: each client trains on one worker, which holds the whole model; leave out "
                                      "one of the two",
                       plan->mesh[DN_PP]);
    if (plan->arena_bytes < SIZE_MAX && plan->private_bytes < SIZE_MAX)
        return DN_OK;
    return dn_fail(DN_ERR_MEMORY,
                   "the memory of a worker overflows a 64-bit size: use a smaller device_batch_size or a "
                   "smaller model");
}

dn_status dn_plan_enter_stage(dn_plan *plan, int stage)
{
    const dn_spec spec = dn_plan_stage_spec(plan, stage);
    size_t n = dn_model_n_params(&spec);
    dn_param *params = calloc(2 * n, sizeof *params);
    size_t *unit_of = calloc(n, sizeof *unit_of);
    footprint own;
    dn_status status = params && unit_of ? measure_stage(plan, stage, params, unit_of, &own)
                                         : dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions", n);
    if (status == DN_OK) {
        plan->stage = stage;
        plan->n_slots = slots_of(plan, stage);
        plan->spec = spec;
        plan->n_params = n;
        plan->n_trained = dn_model_trained(&spec, params, NULL);
        plan->lowest_unit = dn_model_lowest(&spec, params);
        plan->n_units = unit_of[n - 1] + 1;
        plan->parameter_bytes = own.parameters;
        plan->gradient_bytes = own.gradients;
        plan->private_bytes = own.private;
    }
    free(params);
    free(unit_of);
    return status;
}

static dn_status plan_memory(dn_plan *plan)
{
    dn_param *params = calloc(2 * plan->n_params, sizeof *params);
    size_t *unit_of = calloc(plan->n_params, sizeof *unit_of);
    dn_status status = params && unit_of ? lay_out(plan, params, unit_of)
                                         : dn_fail(DN_ERR_MEMORY, "no memory for %zu parameter descriptions",
                                                   plan->n_params);
    free(params);
    free(unit_of);
    return status;
}

static dn_choice choice_of(const char *value)
{
    return !*value ? DN_UNSET : strcmp(value, "true") == 0 ? DN_YES : DN_NO;
}

/* Parses rope_scaling. */
static dn_status plan_scaling(const dn_config *c, dn_attention_spec *a)
{
    const char *text = c->rope_scaling;
    int end = -1;
    if (!*text)
        return DN_OK;
    if (sscanf(text, "linear:%lf%n", &a->factor, &end) == 1 && end >= 0 && !text[end])
        a->scaling = DN_ROPE_LINEAR;
    else if (sscanf(text, "llama3:%lf,%lf,%lf,%zu%n", &a->factor, &a->low, &a->high, &a->original_T, &end) == 4 &&
             end >= 0 && !text[end] && a->low < a->high)
        a->scaling = DN_ROPE_LLAMA3;
    if (a->scaling != DN_ROPE_PLAIN && a->factor >= 1 && a->factor <= 1e6)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG,
                   "rope_scaling '%.100s' is neither linear:FACTOR nor llama3:FACTOR,LOW,HIGH,POSITIONS, as "
                   "llama3:8,1,4,8192, FACTOR from 1 on and LOW below HIGH",
                   text);
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

/* The matrices whose names in a block, or the last parts of these, lora_targets match: all without it. */
static dn_status plan_adapters(const dn_config *c, dn_spec *spec)
{
    const dn_names *n = spec->names;
    const char *const names[DN_N_ROLES] = {n->q, n->k, n->v, n->o, spec->mlp.gated ? n->gate : NULL, n->up, n->down};
    dn_globs globs = {.n = 1, .match = {"*"}};
    if (!c->lora_rank && (!isnan(c->lora_alpha) || *c->lora_targets))
        return dn_fail(DN_ERR_CONFIG, "lora_alpha and lora_targets are of adapters: give lora_rank, too");
    if (!c->lora_rank)
        return DN_OK;
    if (!spec->architecture->attention)
        return dn_fail(DN_ERR_CONFIG, "architecture %s has no adapters: leave out lora_rank", spec->architecture->name);
    if (*c->lora_targets)
        DN_TRY(dn_globs_parse(c->lora_targets, "lora_targets", "configuration", &globs));
    spec->lora = (dn_lora_spec){.rank = (size_t)c->lora_rank,
                                .scale = isnan(c->lora_alpha) ? 1 : c->lora_alpha / (double)c->lora_rank};
    for (size_t k = 0; k < globs.n; k++) {
        unsigned matched = 0;
        for (int role = 0; role < DN_N_ROLES; role++)
            if (names[role] && (fnmatch(globs.match[k], names[role], 0) == 0 ||
                                fnmatch(globs.match[k], last_part(names[role]), 0) == 0))
                matched |= 1u << role;
        if (!matched)
            return dn_fail(DN_ERR_CONFIG, "lora_targets: '%s' matches no matrix of a block; they are %s, %s, %s, %s, %s%s%s and %s",
                           globs.match[k], n->q, n->k, n->v, n->o, names[DN_ROLE_GATE] ? n->gate : "",
                           names[DN_ROLE_GATE] ? ", " : "", n->up, n->down);
        spec->lora.roles |= matched;
    }
    return DN_OK;
}

static dn_status plan_spec(const dn_config *c, const dn_tuning *tuning, dn_spec *spec)
{
    int activation = -1;
    *spec = (dn_spec){.V = (size_t)c->vocab_size,
                      .T = (size_t)c->sequence_length,
                      .C = (size_t)c->model_dim,
                      .L = (size_t)c->n_layer,
                      .norm.eps = or_zero(c->norm_eps),
                      .attention = {.NH = (size_t)c->n_head,
                                    .NKV = (size_t)c->n_kv_head,
                                    .hd = (size_t)c->head_dim,
                                    .theta = or_zero(c->rope_theta),
                                    .rotary = or_zero(c->rotary_fraction),
                                    .window = (size_t)c->attention_window,
                                    .qkv_bias = c->attention_bias,
                                    .o_bias = c->attention_bias,
                                    .split_heads = c->split_heads},
                      .mlp = {.F = (size_t)c->mlp_dim, .bias = c->mlp_bias},
                      .max_positions = (size_t)c->max_positions,
                      .parallel = choice_of(c->parallel_residual),
                      .tied = choice_of(c->tie_embeddings),
                      .architecture = dn_architecture_find(c->architecture)};
    if (*c->activation)
        DN_TRY(choose("activation", c->activation, DN_ACTIVATION_NAMES, &activation));
    spec->mlp.act = (dn_activation)(activation + 1);
    if (*c->trainable)
        DN_TRY(dn_globs_parse(c->trainable, "trainable", "configuration", &spec->trained));
    DN_TRY(plan_scaling(c, &spec->attention));
    DN_TRY(dn_model_complete(spec));
    spec->narrow = dn_precision_narrows(c->precision, c->device);
    spec->classes = tuning->classes;
    spec->prompt = tuning->prompt;
    spec->unprompted = tuning->unprompted;
    spec->outputs = tuning->outputs;
    spec->sherl = tuning->sherl;
    if (spec->prompt > 0 && !spec->architecture->attention)
        return dn_fail(DN_ERR_CONFIG, "architecture %s has no attention, and so no prompt", spec->architecture->name);
    return plan_adapters(c, spec);
}

/* trained: of stages whose channels are within the model; NULL: there are none. */
static dn_status make(const dn_config *c, const dn_tuning *tuning, const dn_config *trained, int n_workers, dn_plan *plan)
{
    memset(plan, 0, sizeof *plan);
    DN_TRY(dn_config_check(c));
    plan->config = *c;
    c = &plan->config;
    if (*c->init_from || *c->model)
        DN_TRY(dn_init_resolve(&plan->config));
    if (*c->init_from && c->max_positions < c->sequence_length)
        return dn_fail(DN_ERR_CONFIG, "sequence_length %lld is beyond the %lld positions of %s: use less",
                       (long long)c->sequence_length, (long long)c->max_positions, c->init_from);
    DN_TRY(dn_config_resolve(&plan->config));
    plan->n_workers = n_workers;
    plan->stage = -1;
    DN_TRY(plan_spec(c, tuning, &plan->spec));
    if (trained && trained->pp_size > 1 && strcmp(trained->channel, "dense") != 0)
        DN_TRY(add_channels(trained, &plan->spec));
    DN_TRY(plan_mesh(c, plan));
    plan->flows = plan->mesh[DN_PP] > 1 && strcmp(c->pipeline, "async") == 0;
    DN_TRY(plan_batches(c, plan));
    DN_TRY(dn_link_parse(c->link_dp, "link_dp", &plan->link_dp));
    DN_TRY(dn_link_parse(*c->link_across ? c->link_across : c->link_dp, "link_across", &plan->link_across));
    DN_TRY(plan_links(plan));
    DN_TRY(plan_cut(plan));
    DN_TRY(plan_channels(plan));
    DN_TRY(plan_optimizer(c, plan));
    DN_TRY(dn_clients_plan(plan));
    DN_TRY(choose_schedule(c, "schedule", c->schedule, &plan->lr_schedule));
    DN_TRY(choose_schedule(c, "weight_decay_schedule", c->weight_decay_schedule, &plan->decay_schedule));
    int gather;
    DN_TRY(choose("fs_gather", c->fs_gather, DN_WEIGHTS_POLICY_NAMES, &gather));
    plan->gather = (dn_weights_policy)gather;
    plan->n_params = dn_model_n_params(&plan->spec);
    return plan_memory(plan);
}

dn_status dn_plan_make(const dn_config *config, int n_workers, dn_plan *plan)
{
    return make(config, &(dn_tuning){0}, NULL, n_workers, plan);
}

dn_status dn_plan_whole(const dn_config *config, const dn_config *trained, int n_workers, dn_plan *plan)
{
    return make(config, &(dn_tuning){0}, trained, n_workers, plan);
}

dn_status dn_plan_tuning(const dn_config *config, const dn_tuning *tuning, int n_workers, dn_plan *plan)
{
    DN_TRY(make(config, tuning, NULL, n_workers, plan));
    return dn_clients_check_mesh(plan);
}

void dn_plan_generation(dn_plan *plan, size_t n_sequences, bool cache_bf16)
{
    int tp = plan->mesh[DN_TP];
    plan->n_sequences = n_sequences;
    plan->cache_bf16 = cache_bf16;
    plan->model_bytes -= dn_model_heap_bytes(&plan->spec, plan->micro_batch, 1, tp);
    plan->model_bytes = dn_size_add(plan->model_bytes, dn_model_cache_heap_bytes(&plan->spec, n_sequences, tp));
    plan->private_bytes = dn_model_cache_bytes(&plan->spec, n_sequences, cache_bf16, tp);
}
