#include "train/verify_trial.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"
#include "device/device.h"
#include "tensor/axes.h"
#include "train/clients.h"
#include "train/config_value.h"

#include <stdlib.h>
#include <string.h>

#define STREAM_TOKENS ((UINT64_C(3) << 62) + 1) /* of random numbers: above all of training's */

/* ---- settings ---- */

static int64_t at_most(int64_t x, int64_t most)
{
    return x < most ? x : most;
}

dn_config dn_verify_case_config(const dn_config *config, int n_ranks, int n_steps)
{
    dn_config c = *config;
    c.batch_size = at_most(c.batch_size, n_ranks);
    c.sequence_length = at_most(c.sequence_length, DN_VERIFY_CASE_TOKENS);
    c.num_iterations = n_steps;
    c.dp_size = c.pp_size = c.fs_size = c.tp_size = 0;
    if (c.optim.compress == DN_COMPRESS_AUTO)
        c.optim.compress = DN_COMPRESS_YES; /* the same on every mesh, and the one that could differ from one rank */
    return c;
}

dn_status dn_verify_case_clients(dn_verify_case *vcase)
{
    const dn_strategy *strategy;
    dn_strategy_config unused;
    dn_config *c = &vcase->of_one;
    *c = vcase->config;
    DN_TRY(dn_plan_strategy(c, &strategy));
    DN_TRY(dn_config_resolve_strategy(c, strategy, &unused)); /* fedavg takes as many clients at a time */
    vcase->of_clients = true;
    if (vcase->by_replicas)
        return DN_OK;
    if (strcmp(strategy->name, "fedavg") != 0)
        return dn_config_set(c, "strategy=fedavg");
    c->batch_size *= c->clients;
    c->clients = 0;
    return dn_config_set(c, "strategy=average");
}

static dn_config on_mesh(const dn_verify_case *vcase, const int size[DN_N_AXES])
{
    dn_config c = vcase->of_clients && dn_axes_size(size, DN_ALL_AXES) == 1 ? vcase->of_one : vcase->config;
    c.dp_size = size[DN_DP];
    c.pp_size = dn_axis_size(size, DN_PP);
    c.fs_size = size[DN_FS];
    c.tp_size = size[DN_TP];
    return c;
}

static dn_status plan_of(const dn_verify_case *vcase, const int size[DN_N_AXES], dn_plan *plan)
{
    dn_config c = on_mesh(vcase, size), trained = on_mesh(vcase, vcase->only);
    const int n = dn_axes_size(size, DN_ALL_AXES), n_stages = dn_axis_size(vcase->only, DN_PP);
    if (dn_axis_size(size, DN_PP) != n_stages) /* they have another number of boundaries */
        *c.link_pp = *c.pp_link_times = '\0';
    return n > 1 || n_stages == 1 ? dn_plan_make(&c, n, plan) : dn_plan_whole(&c, &trained, 1, plan);
}

dn_status dn_verify_case_heap_bytes(const dn_verify_case *vcase, const int size[DN_N_AXES], size_t *bytes)
{
    dn_plan plan;
    DN_TRY(plan_of(vcase, size, &plan));
    *bytes = plan.arena_bytes; /* with a mesh's own, which the comparison counts too */
    return DN_OK;
}

dn_status dn_verify_case_shown_bytes(const dn_verify_case *vcase, size_t *all, size_t *largest)
{
    dn_plan plan;
    DN_TRY(plan_of(vcase, (const int[DN_N_AXES]){1, 1, 1, 1}, &plan));
    size_t times = vcase->n_steps > 1 ? 2 : 1;
    /* weights, gradients, states, and some workspace, which is not shown */
    *all = dn_size_mul(times, plan.arena_bytes);
    *largest = plan.parameter_bytes;
    return DN_OK;
}

/* ---- tokens ---- */

dn_status dn_verify_trial_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const dn_verify_trial *of = context;
    const dn_plan *plan = &of->plan;
    for (size_t t = 0; t <= plan->spec.T; t++) {
        uint64_t bits =
            dn_random_bits((uint64_t)plan->config.seed, STREAM_TOKENS, row * (plan->spec.T + 1) + t);
        int32_t token = (int32_t)(bits % plan->spec.V);
        if (t < plan->spec.T)
            inputs[t] = token;
        if (t > 0)
            targets[t - 1] = bits >> 62 || of->vcase->of_clients ? token : -1;
    }
    return DN_OK;
}

/* ---- all ---- */

static dn_status tick(void *context, bool together)
{
    const dn_verify_trial *t = context;
    dn_comm_tick(t->mesh->all, 0, "verify");
    return DN_OK;
}

static dn_status open_copy(dn_verify_trial *t)
{
    size_t room = 1;
    for (size_t i = 0; i < t->plan.n_params; i++)
        room = dn_max(room, dn_param_size(&t->instance.params[i]));
    for (size_t i = 0; i < dn_instance_n_states(&t->instance); i++) {
        dn_block own = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all)).block;
        room = dn_max(room, own.rows * own.cols);
    }
    void *wide;
    t->wide_bytes = room * sizeof(dn_real);
    DN_TRY(dn_device_alloc(t->vcase->stream, t->wide_bytes, &wide));
    t->wide = wide;
    t->copy = malloc(room * sizeof(dn_real));
    return t->copy ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a copy of %zu numbers", room);
}

/* What a state is to planted bugs: Q of Dion; of a strategy what each replica has of its own, and where replicas set out from. */
typedef enum role { BASIS, RESIDUAL, ANCHOR, N_ROLES } role;

static bool has_role(const dn_verify_trial *t, size_t state, role which)
{
    const dn_tensor *tensor = dn_instance_state(&t->instance, state);
    bool of_strategy = state >= dn_optimizer_n_states(t->instance.optimizer);
    switch (which) {
    case BASIS:
        return strcmp(dn_verify_trial_kind_of_state(tensor->name), "Q") == 0;
    case RESIDUAL:
        return of_strategy && tensor->per_replica;
    default:
        return of_strategy && strstr(tensor->name, ".anchor.");
    }
}

static dn_plant_list list_states(dn_verify_trial *t, dn_plant_tensor *to, role which)
{
    size_t n = 0;
    for (size_t i = 0; i < dn_verify_trial_n_states(t); i++) {
        const dn_tensor *state = dn_instance_state(&t->instance, i);
        dn_shard shard = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all));
        size_t bytes = shard.block.rows * shard.block.cols * dn_type_bytes(state->type);
        if (has_role(t, i, which))
            to[n++] = (dn_plant_tensor){shard.data, bytes, state->rows, state->cols};
    }
    return (dn_plant_list){to, n};
}

static dn_status plant(dn_verify_trial *t)
{
    size_t n_weights = t->plan.n_params, n_states = dn_instance_n_states(&t->instance);
    t->planted = calloc(n_weights + N_ROLES * n_states, sizeof *t->planted);
    if (!t->planted)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu tensors", n_weights + n_states);
    for (size_t i = 0; i < n_weights; i++) {
        const dn_param *p = &t->instance.params[i];
        t->planted[i] = (dn_plant_tensor){p->weight, dn_param_size(p) * sizeof(dn_real),
                                          p->tensor.rows / dn_max(p->n_views, 1), p->tensor.cols};
    }
    const dn_plant_memory memory = {.weights = {t->planted, n_weights},
                                    .bases = list_states(t, t->planted + n_weights, BASIS),
                                    .residuals = list_states(t, t->planted + n_weights + n_states, RESIDUAL),
                                    .anchors = list_states(t, t->planted + n_weights + 2 * n_states, ANCHOR)};
    dn_plant_kernels(t->v, t->instance.stream, &memory);
    return DN_OK;
}

/* Of a device's weights the host compares a copy. */
static dn_status show_replicas(dn_verify_trial *t)
{
    dn_comm *dp = dn_mesh_comm(t->instance.mesh, DN_AXIS(DN_DP));
    size_t bytes = t->plan.parameter_bytes;
    void *copy = dn_device_is_apart() ? malloc(bytes) : NULL;
    if (dn_device_is_apart() && !copy)
        return dn_fail(DN_ERR_MEMORY, "no memory for a copy of the weights");
    if (copy)
        dn_copy_bytes(t->instance.stream, copy, t->instance.values, bytes);
    dn_status status = dn_stream_sync(t->instance.stream);
    if (status == DN_OK)
        status = dn_verify_same(t->v, "replicas", "weights", dp, copy ? copy : t->instance.values, bytes);
    free(copy);
    return status;
}

static dn_status run(dn_verify_trial *t)
{
    const dn_verify_case *vcase = t->vcase;
    t->plan.strategy = dn_plant_strategy(t->v, t->plan.strategy);
    DN_TRY(dn_instance_open(&t->instance, &t->plan, t->mesh, vcase->stream, true));
    DN_TRY(dn_model_init(&t->plan.spec, t->instance.params, vcase->stream, (uint64_t)t->plan.config.seed));
    DN_TRY(dn_instance_begin(&t->instance));
    dn_model_on_progress(t->instance.model, tick, t);
    bool clients = t->plan.strategy->clients != NULL;
    if (clients)
        DN_TRY(dn_verify_trial_open_clients(t));
    if (!t->instance.pipeline.stages && dn_axis_size(vcase->only, DN_PP) > 1) {
        dn_plan stages;
        const dn_config c = on_mesh(vcase, vcase->only);
        DN_TRY(dn_plan_make(&c, dn_axes_size(vcase->only, DN_ALL_AXES), &stages));
        if (stages.flows)
            DN_TRY(dn_delayed_open(&t->delayed, &t->instance, &stages));
    }
    DN_TRY(open_copy(t));
    DN_TRY(plant(t));
    for (uint64_t step = 0; step < (uint64_t)vcase->n_steps; step++)
        DN_TRY(clients ? dn_verify_trial_version(t, step) : dn_verify_trial_step(t, step));
    if (!dn_strategy_apart(t->instance.strategy))
        DN_TRY(show_replicas(t));
    return dn_verify_amount(t->v, "memory a rank", dn_comm_heap_mark(t->mesh->all) + t->plan.private_bytes);
}

dn_status dn_verify_case_run(dn_verify *v, const dn_mesh *mesh, void *context)
{
    dn_verify_trial t = {.vcase = context, .v = v, .mesh = mesh};
    DN_TRY(plan_of(t.vcase, mesh->size, &t.plan));
    DN_TRY(dn_plan_enter_stage(&t.plan, mesh->at[DN_PP]));
    dn_status status = run(&t);
    dn_clients_close(&t.instance.clients);
    dn_delayed_close(&t.delayed);
    dn_instance_close(&t.instance);
    free(t.copy);
    if (t.wide)
        dn_device_free(t.vcase->stream, t.wide, t.wide_bytes);
    free(t.planted);
    return status;
}
