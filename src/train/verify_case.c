#include "train/verify_case.h"

#include "base/fail.h"
#include "base/size.h"
#include "base/random.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "pipe/schedule.h"
#include "shard/layout.h"
#include "train/clients.h"
#include "train/config_value.h"
#include "train/delayed.h"
#include "train/instance.h"
#include "tensor/axes.h"
#include "verify/plant.h"
#include "verify/traffic_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Random streams, above all of training's. */
#define STREAM_TOKENS   ((UINT64_C(3) << 62) + 1)
#define STREAM_ROUNDING ((UINT64_C(3) << 62) + 2)
#define STREAM_STATES   ((UINT64_C(3) << 62) + 3)

/* One run on one mesh. */
typedef struct trial {
    dn_verify_case *vcase; /* borrowed, as all but plan and instance */
    dn_verify *v;
    const dn_mesh *mesh;
    dn_plan plan;
    dn_instance instance;
    dn_real *copy; /* private: the largest block of a tensor */
    dn_buf *wide;  /* of the device, as large: a state of bfloat16 */
    size_t wide_bytes;
    dn_plant_tensor *planted;             /* for planted bugs: weights, then states by their roles */
    dn_delayed delayed;                   /* of the reference of one mesh whose stages do not wait */
    dn_comm_stats stats[DN_N_SETS];       /* of the step that is counted, by the communicator's axes */
    dn_traffic_model model;               /* of that step, computed before it, as ranks may change */
} trial;

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
        *c.link_pp = '\0';
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

/* Rows are consecutive chunks of one stream of random tokens. A target in four does not count, but with clients, whose means are
 * weighted by rows. */
static dn_status draw_row(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const trial *of = context;
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

/* Targets that count in all rows of a batch. */
static dn_status count_targets(trial *t, uint64_t first, size_t n, size_t *counted)
{
    *counted = 0;
    for (size_t row = 0; row < n; row++) {
        DN_TRY(draw_row(t, first + row, t->instance.inputs, t->instance.targets));
        for (size_t i = 0; i < t->plan.spec.T; i++)
            *counted += t->instance.targets[i] >= 0;
    }
    return DN_OK;
}

/* A planted bug: the row with the same index within the first rank's rows. */
static dn_status draw_row_of_first(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const trial *t = context;
    dn_range own = dn_plan_rows(&t->plan, (size_t)t->plan.config.batch_size, t->mesh->at);
    return draw_row(context, row - own.first, inputs, targets);
}

/* A planted bug: where there is a stage before this one, its first two micro-batches change places. */
static dn_status draw_row_of_other(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const trial *t = context;
    size_t n = t->plan.micro_batch;
    dn_range own = dn_plan_rows(&t->plan, (size_t)t->plan.config.batch_size, t->mesh->at);
    uint64_t at = row % (uint64_t)t->plan.config.batch_size - own.first;
    bool swaps = t->plan.stage > 0 && dn_range_size(own) >= 2 * n && at < 2 * n;
    return draw_row(context, !swaps ? row : at < n ? row + n : row - n, inputs, targets);
}

/* ---- rounding ---- */

static int sign_of(const trial *t, uint64_t stream, uint64_t at)
{
    return dn_random_bits((uint64_t)t->plan.config.seed, stream, at) & 1 ? 1 : -1;
}

/* Every weight changes by about one unit in the last place, up or down, as if the update had been rounded
 * differently. */
static dn_status round_weights(const trial *t, uint64_t step)
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
static bool rounds_differently(const trial *t)
{
    return t->plan.optim.state_precision != DN_PRECISION_FULL && (DN_REAL != DN_F64 || t->vcase->apart);
}

/* Multiplied by 1 +- this, a bfloat16 number changes by a half to one unit in its last place. */
#define UNIT (1.0 / 256)

/* Every number of a state in bfloat16 becomes the next one, up or down, or stays in a tie. */
static dn_status round_states(const trial *t, uint64_t step)
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

/* ---- showing tensors ---- */

/* "weights" of step 1, "weights, 20 steps" of a later one. */
static const char *line_of(const char *what, uint64_t step, char line[DN_VERIFY_LINE_MAX])
{
    snprintf(line, DN_VERIFY_LINE_MAX, step == 1 ? "%.16s, %d step" : "%.16s, %d steps", what, (int)step);
    return line;
}

/* Shows a block of dn_real or bfloat16; if averaged, the mean over the ranks along these axes. */
static dn_status show(trial *t, const dn_verify_tensor *tensor, unsigned averaged, dn_block block,
                      dn_type stored, const void *data)
{
    size_t n = block.rows * block.cols;
    dn_comm *comm = dn_mesh_comm(t->instance.mesh, averaged);
    dn_stream *s = t->instance.stream;
    if (stored == DN_BF16) {
        s->kernels->from_bf16(s, t->wide, data, n);
        data = t->wide;
    }
    bool in_place = dn_comm_size(comm) == 1 && !dn_device_is_apart();
    if (!in_place)
        dn_download(s, t->copy, data, n);
    DN_TRY(dn_stream_sync(s));
    if (dn_comm_size(comm) == 1)
        return dn_verify_block(t->v, tensor, block, in_place ? data : t->copy);
    DN_TRY(dn_comm_all_reduce(comm, t->copy, n, DN_REAL, DN_AVG, DN_TRAFFIC_CONTROL));
    return dn_verify_block(t->v, tensor, block, t->copy);
}

static dn_status show_params(trial *t, const char *what, bool gradients, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    line_of(what, step, line);
    for (size_t i = gradients ? 0 : dn_model_n_borrowed(&t->plan.spec); i < (gradients ? t->plan.n_trained : t->plan.n_params); i++) {
        const dn_param *p = gradients ? &t->instance.trained[i] : &t->instance.params[i];
        unsigned copies = dn_axes_without(t->instance.mesh->size, dn_tensor_axes(&p->tensor)); /* of the block */
        unsigned apart = t->vcase->by_replicas && dn_strategy_apart(t->instance.strategy) ? DN_AXIS(DN_DP) : 0;
        dn_verify_tensor whole = {line, p->tensor, copies, NULL};
        DN_TRY(show(t, &whole, gradients ? copies : apart, p->block, DN_REAL, gradients ? p->grad : p->weight));
    }
    return DN_OK;
}

/* A head that is the embedding: as the stage that has the head sees it. */
static dn_status show_tied(trial *t, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    bool here = dn_spec_is_tied(&t->plan.spec) && dn_model_has_head(&t->plan.spec);
    for (size_t i = 0; here && i < dn_embedding.describe(&t->plan.spec, 0, NULL); i++) {
        const dn_param *p = &t->instance.params[i];
        dn_verify_tensor whole = {line_of("tied head", step, line), p->tensor,
                                  dn_axes_without(t->instance.mesh->size, dn_tensor_axes(&p->tensor)), NULL};
        DN_TRY(show(t, &whole, 0, p->block, DN_REAL, p->weight));
    }
    return DN_OK;
}

/* Axes along which the copies of a state lie. */
static unsigned replicas_of(const trial *t, size_t state)
{
    unsigned axes = 0;
    int first = dn_instance_state_shard(&t->instance, state, 0).replica;
    for (int axis = 0; axis < DN_N_AXES; axis++) {
        int at[DN_N_AXES] = {0};
        at[axis] = t->instance.mesh->size[axis] > 1;
        int rank = dn_mesh_rank(t->instance.mesh->size, at);
        if (dn_instance_state_shard(&t->instance, state, rank).replica != first)
            axes |= DN_AXIS(axis);
    }
    return axes;
}

/* What "dion.momentum.transformer.h.0..." is. */
static const char *kind_of_state(const char *name)
{
    static const struct {
        const char *infix, *what;
    } kinds[] = {{".q.", "Q"},
                 {".momentum.", "momentum"},
                 {".m.", "momentum"},
                 {".v.", "second moment"},
                 {".second.", "second moment"},
                 {".rank.", "rank"}};
    const char *infix = strchr(name, '.');
    for (size_t i = 0; infix && i < sizeof kinds / sizeof *kinds; i++)
        if (strncmp(infix, kinds[i].infix, strlen(kinds[i].infix)) == 0)
            return kinds[i].what;
    return "other state";
}

/* A column of Q is one of R divided by its length, and so is its error: short columns are rounding for the most part, and in
 * float may be nothing else. By these lengths columns count as they did in R, whose error is of the size of rounding. Other
 * states have none. */
static const double *weights_of(const trial *t, size_t state)
{
    const dn_optimizer *o = t->instance.optimizer;
    bool is_q = state < dn_optimizer_n_states(o) && strcmp(kind_of_state(dn_optimizer_state(o, state)->name), "Q") == 0;
    return is_q ? dn_optimizer_choice(o, dn_optimizer_state_matrix(o, state)).lengths : NULL;
}

/* But for older weights, which only stages have. */
static size_t n_states_of(const trial *t)
{
    return dn_instance_n_states(&t->instance) - t->instance.stash.n_kept * t->plan.n_trained;
}

static dn_status show_states(trial *t, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    for (size_t i = 0; i < n_states_of(t); i++) {
        size_t of_optimizer = dn_optimizer_n_states(t->instance.optimizer);
        if (i >= of_optimizer && dn_strategy_state_is_cut(t->instance.strategy, i - of_optimizer))
            continue; /* one rank has no such tensor */
        const dn_tensor *state = dn_instance_state(&t->instance, i);
        dn_shard shard = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all));
        unsigned replicas = replicas_of(t, i);
        dn_verify_tensor whole = {line_of(kind_of_state(state->name), step, line), *state, replicas, weights_of(t, i)};
        whole.tensor.type = DN_REAL;
        DN_TRY(show(t, &whole, state->per_replica ? replicas : 0, shard.block, state->type, shard.data));
    }
    return DN_OK;
}

/* ---- showing bytes ---- */

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

static void add_links(const trial *t, const dn_comm *comm)
{
    dn_verify_case *vcase = t->vcase;
    uint64_t bytes[DN_MAX_RANKS];
    dn_comm_links(comm, bytes, vcase->n_domains);
    for (int domain = 0; domain < vcase->n_domains; domain++)
        vcase->links[vcase->own_domain * vcase->n_domains + domain] += (double)bytes[domain];
}

static dn_comm *comm_of(const trial *t, unsigned set)
{
    const dn_strategy_run *strategy = t->instance.strategy;
    return set <= DN_ALL_AXES ? t->mesh->comms[set]
                              : dn_strategy_comm(strategy, set == DN_SET_ISLAND ? DN_SCOPE_ISLAND : DN_SCOPE_ACROSS);
}

/* Adds what was exchanged since the last call to the step's statistics, or drops it. */
static void take_stats(trial *t, bool of_step)
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

static dn_status show_way(trial *t, int which, int way)
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
static void predict_tied(trial *t)
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
static dn_status predict(trial *t, uint64_t step)
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

static dn_status show_hops(trial *t, int which)
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

/* ---- a step ---- */

/* *loss: a step's, in and out: this rank's sum, the mean of all. */
static dn_status show_loss(trial *t, size_t counted, double *loss)
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
static dn_status check_staleness(const trial *t, uint64_t step)
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

static dn_status compute_gradient(trial *t, uint64_t step, size_t counted, double *loss)
{
    uint64_t n = (uint64_t)t->plan.config.batch_size;
    dn_rows_fn *rows = dn_planted(t->v, DN_BUG_WRONG_ROWS)           ? draw_row_of_first
                       : dn_planted(t->v, DN_BUG_SWAP_MICRO_BATCHES) ? draw_row_of_other
                                                                     : draw_row;
    if (t->delayed.instance)
        return dn_delayed_gradient(&t->delayed, rows, t, step * n, counted, loss);
    if (t->instance.pipeline.stash && dn_planted(t->v, DN_BUG_STASH_NEWEST))
        DN_TRY(dn_stash_begin(&t->instance.stash));
    DN_TRY(dn_instance_gradient(&t->instance, rows, t, step * n, n, counted, loss));
    return dn_planted(t->v, DN_BUG_STASH_NEWEST) ? DN_OK : check_staleness(t, step);
}

static dn_status take_step(trial *t, uint64_t step)
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
    DN_TRY(compute_gradient(t, step, counted, &loss));
    take_stats(t, counts);
    DN_TRY(show_loss(t, counted, &loss));
    if (shown && whole)
        DN_TRY(show_params(t, "gradient", true, step + 1));
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
        DN_TRY(show_params(t, "weights", false, step + 1));
    if (!shown || !whole)
        return DN_OK;
    DN_TRY(show_tied(t, step + 1));
    return show_states(t, step + 1);
}

/* ---- a version of clients ---- */

/* As many for each; where nothing is compared but numbers of workers, uneven. */
static size_t client_rows(void *context, int client)
{
    const trial *t = context;
    return (size_t)t->plan.config.batch_size * (t->vcase->by_replicas ? 1 + (size_t)client % 3 : 1);
}

static dn_step_params client_rates(void *context, uint64_t version)
{
    return (dn_step_params){version, ((const trial *)context)->plan.config.lr, 1};
}

/* The rows that a client's batches are of: of each step of all clients, one after another, its own. */
typedef struct own_rows {
    trial *trial;
    uint64_t client;
} own_rows;

static dn_status draw_row_of_client(void *context, uint64_t row, int32_t *inputs, int32_t *targets)
{
    const own_rows *x = context;
    const dn_plan *plan = &x->trial->plan;
    uint64_t batch = (uint64_t)plan->config.batch_size, clients = (uint64_t)plan->clients.n;
    return draw_row(x->trial, (row / batch * clients + x->client) * batch + row % batch, inputs, targets);
}

static dn_status client_gradient(void *context, int client, uint64_t first, size_t n, double *loss, size_t *counted)
{
    trial *t = context;
    own_rows rows = {t, dn_planted(t->v, DN_BUG_WRONG_ROWS) ? 0 : (uint64_t)client};
    *counted = n * t->plan.spec.T;
    if (dn_comm_stop_requested(t->mesh->all))
        return DN_RUN_DROPPED;
    return dn_instance_gradient_alone(&t->instance, draw_row_of_client, &rows, first, n, *counted, loss);
}

static dn_status client_wait(void *context)
{
    return dn_comm_tick(((const trial *)context)->mesh->all, 0, "verify");
}

static dn_status client_agree(void *context)
{
    (void)context; /* there is nothing to read */
    return DN_OK;
}

/* Of the server, and versions that are trained: each worker has a part of the numbers. */
static dn_status show_states_of_clients(trial *t, uint64_t step)
{
    char line[DN_VERIFY_LINE_MAX];
    for (size_t i = 0; i < dn_instance_n_states(&t->instance); i++) {
        dn_shard own = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all));
        dn_verify_tensor whole = {line_of("other state", step, line), *dn_instance_state(&t->instance, i), 0, NULL};
        DN_TRY(show(t, &whole, 0, own.block, DN_REAL, own.data));
    }
    return DN_OK;
}

static dn_status make_version(trial *t, uint64_t version)
{
    double loss;
    dn_client_result result;
    dn_status status = dn_clients_step(t->instance.clients, &loss, &result);
    if (status == DN_RUN_DROPPED)
        return dn_fail(DN_ERR_PEER, "stopped by a signal");
    DN_TRY(status);
    DN_TRY(dn_verify_scalar(t->v, "loss", loss));
    bool shown = version == 0 || version + 1 == (uint64_t)t->vcase->n_steps;
    if (!shown)
        return DN_OK;
    DN_TRY(show_params(t, "weights", false, version + 1));
    return t->vcase->by_replicas ? show_states_of_clients(t, version + 1) : DN_OK;
}

static dn_status open_clients(trial *t)
{
    const dn_client_work work = {client_rows, client_rates, client_gradient, client_wait, client_agree, t};
    DN_TRY(dn_clients_open(&t->instance, &work, &t->instance.clients));
    return dn_clients_begin(t->instance.clients);
}

/* ---- all ---- */

static dn_status tick(void *context, bool together)
{
    const trial *t = context;
    dn_comm_tick(t->mesh->all, 0, "verify");
    return DN_OK;
}

static dn_status open_copy(trial *t)
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

static bool has_role(const trial *t, size_t state, role which)
{
    const dn_tensor *tensor = dn_instance_state(&t->instance, state);
    bool of_strategy = state >= dn_optimizer_n_states(t->instance.optimizer);
    switch (which) {
    case BASIS:
        return strcmp(kind_of_state(tensor->name), "Q") == 0;
    case RESIDUAL:
        return of_strategy && tensor->per_replica;
    default:
        return of_strategy && strstr(tensor->name, ".anchor.");
    }
}

static dn_plant_list list_states(trial *t, dn_plant_tensor *to, role which)
{
    size_t n = 0;
    for (size_t i = 0; i < n_states_of(t); i++) {
        const dn_tensor *state = dn_instance_state(&t->instance, i);
        dn_shard shard = dn_instance_state_shard(&t->instance, i, dn_comm_rank(t->instance.mesh->all));
        size_t bytes = shard.block.rows * shard.block.cols * dn_type_bytes(state->type);
        if (has_role(t, i, which))
            to[n++] = (dn_plant_tensor){shard.data, bytes, state->rows, state->cols};
    }
    return (dn_plant_list){to, n};
}

static dn_status plant(trial *t)
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
static dn_status show_replicas(trial *t)
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

static dn_status run(trial *t)
{
    const dn_verify_case *vcase = t->vcase;
    t->plan.strategy = dn_plant_strategy(t->v, t->plan.strategy);
    DN_TRY(dn_instance_open(&t->instance, &t->plan, t->mesh, vcase->stream, true));
    DN_TRY(dn_model_init(&t->plan.spec, t->instance.params, vcase->stream, (uint64_t)t->plan.config.seed));
    DN_TRY(dn_instance_begin(&t->instance));
    dn_model_on_progress(t->instance.model, tick, t);
    bool clients = t->plan.strategy->clients != NULL;
    if (clients)
        DN_TRY(open_clients(t));
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
        DN_TRY(clients ? make_version(t, step) : take_step(t, step));
    if (!dn_strategy_apart(t->instance.strategy))
        DN_TRY(show_replicas(t));
    return dn_verify_amount(t->v, "memory a rank", dn_comm_heap_mark(t->mesh->all) + t->plan.private_bytes);
}

dn_status dn_verify_case_run(dn_verify *v, const dn_mesh *mesh, void *context)
{
    trial t = {.vcase = context, .v = v, .mesh = mesh};
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
