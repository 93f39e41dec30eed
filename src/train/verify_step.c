/* A step of a mesh as a case to verify. */
#include "train/verify_trial.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "pipe/schedule.h"
#include "shard/layout.h"

#include <stdio.h>
#include <stdlib.h>

/* Streams of random numbers, above all of training's. */
#define STREAM_ROUNDING ((UINT64_C(3) << 62) + 2)
#define STREAM_STATES   ((UINT64_C(3) << 62) + 3)

/* ---- rows ---- */

/* Targets that count in all rows of a batch. */
static dn_status count_targets(dn_verify_trial *t, uint64_t first, size_t n, size_t *counted)
{
    *counted = 0;
    for (size_t row = 0; row < n; row++) {
        DN_TRY(dn_verify_trial_row(t, first + row, t->instance.inputs, t->instance.targets));
        for (size_t i = 0; i < t->plan.spec.T; i++)
            *counted += t->instance.targets[i] >= 0;
    }
    return DN_OK;
}

/* A planted bug: the row with the same index within the first rank's rows. */
static dn_status draw_row_of_first(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const dn_verify_trial *t = context;
    dn_range own = dn_plan_rows(&t->plan, (size_t)t->plan.config.batch_size, t->mesh->at);
    return dn_verify_trial_row(context, row - own.first, inputs, targets);
}

/* A planted bug: where there is a stage before this one, its first two micro-batches change places. */
static dn_status draw_row_of_other(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const dn_verify_trial *t = context;
    size_t n = t->plan.micro_batch;
    dn_range own = dn_plan_rows(&t->plan, (size_t)t->plan.config.batch_size, t->mesh->at);
    uint64_t at = row % (uint64_t)t->plan.config.batch_size - own.first;
    bool swaps = t->plan.stage > 0 && dn_range_size(own) >= 2 * n && at < 2 * n;
    return dn_verify_trial_row(context, !swaps ? row : at < n ? row + n : row - n, inputs, targets);
}

/* ---- rounding ---- */

static int sign_of(const dn_verify_trial *t, uint64_t stream, uint64_t at)
{
    return dn_random_bits((uint64_t)t->plan.config.seed, stream, at) & 1 ? 1 : -1;
}

/* Every weight changes by about one unit in the last place, up or down, as if the update had been rounded
 * differently. */
static dn_status round_weights(const dn_verify_trial *t, uint64_t step)
{
    size_t at = step * t->plan.n_elements;
    for (size_t i = 0; i < t->plan.n_params; i++) {
        const dn_param *p = &t->instance.params[i];
        dn_real *weights = t->copy;
        dn_download(t->instance.stream, weights, p->weight, dn_param_size(p));
        DN_TRY(dn_stream_sync(t->instance.stream));
        for (size_t k = 0; k < dn_param_size(p); k++, at++) {
            weights[k] *= 1 + (dn_real)sign_of(t, STREAM_ROUNDING, at) * DN_REAL_EPS;
        }
        dn_upload(t->instance.stream, p->weight, weights, dn_param_size(p));
        DN_TRY(dn_stream_sync(t->instance.stream)); /* the copy is reused for the next parameter */
    }
    return DN_OK;
}

/* Whether meshes round states to bfloat16 differently than one rank does. Replicas with momenta of their own
 * do. All others have one rank's values up to rounding of dn_real, which round to the same numbers except
 * near a tie: in double none is near enough. */
static bool rounds_differently(const dn_verify_trial *t)
{
    return t->plan.optim.state_precision != DN_PRECISION_FULL && (DN_REAL != DN_F64 || t->vcase->apart);
}

/* Multiplied by 1 +- this, a bfloat16 number changes by a half to one unit in its last place. */
#define UNIT (1.0 / 256)

/* Every number of a state in bfloat16 becomes the next one, up or down, or stays in a tie. */
static dn_status round_states(const dn_verify_trial *t, uint64_t step)
{
    dn_stream *s = t->instance.stream;
    size_t at = step << 40;
    for (size_t i = 0; i < dn_instance_n_states(&t->instance); i++) {
        const dn_tensor *state = dn_instance_state(&t->instance, i);
        dn_shard shard = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all));
        size_t n = shard.block.rows * shard.block.cols;
        if (state->type == DN_REAL)
            continue;
        s->kernels->from_bf16(s, t->wide, shard.data, n);
        dn_download(s, t->copy, t->wide, n);
        DN_TRY(dn_stream_sync(s));
        for (size_t k = 0; k < n; k++, at++)
            t->copy[k] *= (dn_real)(1 + sign_of(t, STREAM_STATES, at) * UNIT);
        dn_upload(s, t->wide, t->copy, n);
        s->kernels->to_bf16(s, shard.data, t->wide, n);
        DN_TRY(dn_stream_sync(s));
    }
    return dn_stream_sync(s);
}

/* ---- traffic ---- */

/* Columns of bytes: the collectives, and point to point. */
enum { SENT = DN_N_COLLECTIVES, N_WAYS };

static void add_stats(dn_comm_stats *sum, const dn_comm_stats *more)
{
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++) {
        sum->payload[kind] += more->payload[kind];
        sum->hops[kind] += more->hops[kind];
    }
    for (int as = 0; as < DN_N_COLLECTIVES; as++) {
        sum->by_collective[as] += more->by_collective[as];
        sum->cluster_by_collective[as] += more->cluster_by_collective[as];
    }
}

static void add_links(const dn_verify_trial *t, const dn_comm *comm)
{
    dn_verify_case *vcase = t->vcase;
    uint64_t bytes[DN_MAX_RANKS];
    dn_comm_links(comm, bytes, vcase->n_domains);
    for (int domain = 0; domain < vcase->n_domains; domain++)
        vcase->links[vcase->own_domain * vcase->n_domains + domain] += (double)bytes[domain];
}

static dn_comm *comm_of(const dn_verify_trial *t, unsigned set)
{
    const dn_strategy_run *strategy = t->instance.strategy;
    return set <= DN_ALL_AXES ? t->mesh->comms[set]
                              : dn_strategy_comm(strategy, set == DN_SET_ISLAND ? DN_SCOPE_ISLAND : DN_SCOPE_ACROSS);
}

/* Adds what was exchanged since the last call to the step's statistics, or drops it. */
static void take_stats(dn_verify_trial *t, bool of_step)
{
    for (unsigned axes = 1; axes < DN_N_SETS; axes++) {
        dn_comm *comm = comm_of(t, axes);
        if (!comm)
            continue;
        if (of_step && t->vcase->n_domains > 0)
            add_links(t, comm);
        dn_comm_stats stats = dn_comm_get_stats(comm, true);
        if (of_step)
            add_stats(&t->stats[axes], &stats);
    }
}

/* Lines: axes; then replicas of an island, and islands. */
enum { N_LINES = DN_N_AXES + 2 };

static const char *const line_names[N_LINES] = {"dp", "fs", "tp", "pp", "island", "across"};

/* Bytes of a communicator count for its outermost axis: what crosses between replicas is dp's. */
static bool counts_with(unsigned set, int which)
{
    if (set > DN_ALL_AXES || which >= DN_N_AXES)
        return (int)set - DN_SET_ISLAND == which - DN_N_AXES;
    return (set & DN_AXIS(which)) && !(set & (DN_AXIS(which) - 1));
}

/* Bytes of one collective; point to point: of all kinds, less those of all collectives. */
static uint64_t bytes_by(int way, const uint64_t *payload, const uint64_t *by_collective)
{
    uint64_t sent = 0;
    if (way != SENT)
        return by_collective[way];
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        sent += payload[kind];
    for (int as = 0; as < DN_N_COLLECTIVES; as++)
        sent -= by_collective[as];
    return sent;
}

static dn_status show_way(dn_verify_trial *t, int which, int way)
{
    static const char *const names[N_WAYS] = {
        "all-reduce", "reduce", "reduce-scatter", "all-gather", "all-to-all", "broadcast", "sent"};
    char line[DN_VERIFY_LINE_MAX];
    uint64_t counted = 0, expected = 0;
    double cluster = 0;
    for (unsigned axes = 1; axes < DN_N_SETS; axes++) {
        const dn_comm_stats *stats = &t->stats[axes];
        if (!counts_with(axes, which))
            continue;
        counted += bytes_by(way, stats->payload, stats->by_collective);
        expected += bytes_by(way, t->model.payload[axes], t->model.by_collective[axes]);
        cluster += way == SENT ? 0 : stats->cluster_by_collective[way];
    }
    snprintf(line, sizeof line, "%s %s", line_names[which], names[way]);
    if (counted == 0 && expected == 0)
        return DN_OK;
    return dn_verify_bytes(t->v, line, counted, expected, way == SENT ? (double)counted : cluster);
}

/* Bytes of N positions to the next stage, and of their gradient to the one before: all numbers, or those that the channel keeps,
 * forward with their indices of 16 bits; in eights. */
static uint64_t sent_by_stage(const dn_plan *plan, size_t N)
{
    uint64_t bytes = 0;
    size_t kept[2], e = sizeof(dn_real);
    dn_plan_stage_kept(plan, plan->stage, kept);
    if (plan->stage > 0)
        bytes += kept[0] ? (N * kept[0] * e + 7) / 8 * 8 : N * plan->spec.C * e;
    if (plan->stage + 1 < plan->mesh[DN_PP])
        bytes += kept[1] ? (N * kept[1] * 2 + 7) / 8 * 8 + (N * kept[1] * e + 7) / 8 * 8 : N * plan->spec.C * e;
    return bytes;
}

/* A tied head's gradients go from the last stage to the first, which steps, and weights back. */
static void predict_tied(dn_verify_trial *t)
{
    const dn_plan *plan = &t->plan;
    int last = plan->mesh[DN_PP] - 1;
    bool sends_gradients = dn_model_borrows_head(&plan->spec), sends_weights = plan->stage == 0 && last > 0 && dn_spec_is_tied(&plan->spec);
    size_t most = plan->micro_batch * plan->spec.T * plan->spec.C, n = dn_embedding.describe(&plan->spec, 0, NULL);
    for (size_t i = 0; i < n && (sends_gradients || sends_weights); i++) {
        const dn_param *p = &t->instance.params[i];
        dn_traffic kind = sends_gradients ? DN_TRAFFIC_GRADIENT : DN_TRAFFIC_WEIGHTS;
        size_t size = p->grad ? dn_param_size(p) : 0, n_sends = sends_gradients ? (size + most - 1) / most : size > 0;
        dn_traffic_add(&t->model, DN_AXIS(DN_PP), DN_N_COLLECTIVES, kind, size * sizeof(dn_real));
        dn_traffic_add_hops(&t->model, t->mesh->size, DN_AXIS(DN_PP), DN_N_COLLECTIVES, kind, n_sends);
    }
}

/* What a step must exchange: passes over this rank's rows, the optimizer's step. */
static dn_status predict(dn_verify_trial *t, uint64_t step)
{
    const dn_plan *plan = &t->plan;
    const dn_instance *instance = &t->instance;
    dn_param *params = calloc(plan->n_params, sizeof *params);
    size_t *unit_of = calloc(plan->n_params, sizeof *unit_of), n = (size_t)plan->config.batch_size;
    const dn_mesh *mesh = instance->mesh;
    size_t left = dn_range_size(dn_plan_rows(plan, n, mesh->at));
    dn_head_unit at_head = !dn_model_has_head(&plan->spec)       ? DN_HEAD_NONE
                           : !dn_spec_is_tied(&plan->spec)      ? DN_HEAD_LAST
                           : dn_model_borrows_head(&plan->spec) ? DN_HEAD_BORROWED
                                                                 : DN_HEAD_TIED;
    dn_arena weights = {0}, grads = {0};
    if (params && unit_of) {
        dn_model_layout(&plan->spec, plan->stage_mesh, mesh->at, &weights, &grads, params, unit_of);
        for (size_t round = dn_plan_rounds(plan, n); round > 0; round--) {
            uint64_t tp[DN_N_COLLECTIVES];
            size_t B = dn_min(left, plan->micro_batch);
            dn_traffic_of_pass(params, plan->n_params, unit_of, plan->lowest_unit, at_head, mesh, &t->model);
            dn_traffic_add(&t->model, DN_AXIS(DN_PP), DN_N_COLLECTIVES, DN_TRAFFIC_ACTIVATIONS, sent_by_stage(plan, B * plan->spec.T));
            dn_model_tp_bytes(&plan->spec, B, plan->mesh[DN_TP], plan->lowest_unit, tp);
            for (int as = 0; as < DN_N_COLLECTIVES; as++)
                dn_traffic_add(&t->model, DN_AXIS(DN_TP), as, DN_TRAFFIC_ACTIVATIONS, tp[as]);
            left -= B;
        }
        predict_tied(t);
        dn_traffic_of_optimizer(&plan->optim, instance->trained,
                                dn_strategy_n_stepped(plan->strategy, plan->n_trained), &instance->optimizer_mesh, instance->optimizer, step,
                                &t->model);
    }
    dn_status status =
        params && unit_of ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu parameters", plan->n_params);
    free(params);
    free(unit_of);
    return status;
}

static dn_status show_hops(dn_verify_trial *t, int which)
{
    char line[DN_VERIFY_LINE_MAX];
    uint64_t counted = 0, expected = 0;
    for (unsigned axes = 1; axes < DN_N_SETS; axes++)
        for (int kind = 0; kind < DN_N_TRAFFIC && counts_with(axes, which); kind++)
            if (dn_traffic_plans_hops(t->plan.strategy, axes, (dn_traffic)kind)) {
                counted += t->stats[axes].hops[kind];
                expected += t->model.hops[axes][kind];
            }
    snprintf(line, sizeof line, "%s hops", line_names[which]);
    return counted || expected ? dn_verify_hops(t->v, line, counted, expected) : DN_OK;
}

/* ---- the step ---- */

/* *loss: a step's, in and out: this rank's sum, the mean of all. */
static dn_status show_loss(dn_verify_trial *t, size_t counted, double *loss)
{
    double shared[2] = {t->mesh->at[DN_TP] == 0 ? *loss : 0.0,
                        dn_comm_stop_requested(t->mesh->all) ? 1.0 : 0.0};
    DN_TRY(dn_comm_all_reduce_scalars(t->mesh->all, shared, 2, DN_SUM));
    if (shared[1] > 0)
        return dn_fail(DN_ERR_PEER, "stopped by a signal");
    *loss = shared[0] / (double)counted;
    return dn_verify_scalar(t->v, "loss", *loss);
}

/* Gradients are of weights as old as the order of micro-batches says, once there have been as many updates. */
static dn_status check_staleness(const dn_verify_trial *t, uint64_t step)
{
    const dn_pipeline *p = &t->instance.pipeline;
    size_t S = (size_t)t->plan.mesh[DN_PP], stage = (size_t)t->plan.stage, M = dn_plan_rounds(&t->plan, (size_t)t->plan.config.batch_size);
    uint64_t expected = 0;
    for (size_t i = 0; i < M; i++)
        expected += dn_min(dn_pipe_staleness(S, stage, M, i), step);
    if (!p->stash || p->staleness == expected)
        return DN_OK;
    return dn_fail(DN_ERR_NUMERIC, "stage %zu of %zu, step %d: gradients of %zu micro-batches are of weights %d updates old, together, instead of %d",
                   stage, S, (int)step + 1, M, (int)p->staleness, (int)expected);
}

static dn_status compute_gradient(dn_verify_trial *t, uint64_t step, size_t counted, double *loss)
{
    uint64_t n = (uint64_t)t->plan.config.batch_size;
    dn_rows_fn *rows = dn_planted(t->v, DN_BUG_WRONG_ROWS)           ? draw_row_of_first
                       : dn_planted(t->v, DN_BUG_SWAP_MICRO_BATCHES) ? draw_row_of_other
                                                                     : dn_verify_trial_row;
    if (t->delayed.instance)
        return dn_delayed_gradient(&t->delayed, rows, t, step * n, counted, loss);
    if (t->instance.pipeline.stash && dn_planted(t->v, DN_BUG_STASH_NEWEST))
        DN_TRY(dn_stash_begin(&t->instance.stash));
    DN_TRY(dn_instance_gradient(&t->instance, rows, t, step * n, n, counted, loss));
    return dn_planted(t->v, DN_BUG_STASH_NEWEST) ? DN_OK : check_staleness(t, step);
}

dn_status dn_verify_trial_step(dn_verify_trial *t, uint64_t step)
{
    uint64_t n = (uint64_t)t->plan.config.batch_size;
    /* Stages that do not wait go forward with more micro-batches in the first step than in others. */
    bool first = step == 0, shown = first || step + 1 == (uint64_t)t->vcase->n_steps;
    bool whole = !t->vcase->of_clients; /* of clients there are only losses and weights to be compared with these */
    bool counts = whole && step == (t->plan.flows ? 1 : 0);
    double loss;
    size_t counted;
    dn_step_report report;
    dn_comm_tick(t->mesh->all, step + 1, "verify");
    if (dn_verify_rounding(t->v))
        DN_TRY(round_weights(t, step));
    take_stats(t, false);
    if (counts)
        DN_TRY(predict(t, step));
    DN_TRY(count_targets(t, step * n, n, &counted));
    t->instance.begins = whole && !shown && !counts; /* as a run does, in a step whose gradients nobody looks at */
    DN_TRY(compute_gradient(t, step, counted, &loss));
    take_stats(t, counts);
    DN_TRY(show_loss(t, counted, &loss));
    if (shown && whole)
        DN_TRY(dn_verify_trial_show_params(t, "gradient", true, step + 1));
    take_stats(t, false);
    DN_TRY(dn_instance_step(&t->instance, &(dn_step_params){step, t->plan.config.lr, 1}, loss, &report));
    take_stats(t, counts);
    if (dn_verify_rounding(t->v) && rounds_differently(t))
        DN_TRY(round_states(t, step));
    if (counts) {
        const dn_strategy_case replicas = {t->plan.strategy, dn_strategy_settings_of(t->instance.strategy), t->instance.optimizer,
                                           t->instance.strategy};
        dn_traffic_of_strategy(&replicas, t->instance.trained, t->plan.n_trained, t->instance.mesh, step, &t->model);
        dn_traffic_of_orthonormalizing(&t->plan.optim, t->instance.trained,
                                       dn_strategy_n_stepped(t->plan.strategy, t->plan.n_trained),
                                       &t->instance.optimizer_mesh, t->instance.optimizer, &t->model);
        for (int which = 0; which < N_LINES; which++) {
            for (int way = 0; way < N_WAYS; way++)
                DN_TRY(show_way(t, which, way));
            DN_TRY(show_hops(t, which));
        }
    }
    if (shown)
        DN_TRY(dn_verify_trial_show_params(t, "weights", false, step + 1));
    if (!shown || !whole)
        return DN_OK;
    DN_TRY(dn_verify_trial_show_tied(t, step + 1));
    return dn_verify_trial_show_states(t, step + 1);
}
