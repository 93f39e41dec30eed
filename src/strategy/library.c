/* dionode/optim.h and dionode/strategy.h: a program's own tensors as parameters of the optimizer, where they lie or through
 * copies, on all ranks together or under a strategy. */
#include "dionode/strategy.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "dionode/topo.h"
#include "shm/barrier.h"
#include "shard/layout.h"
#include "shard/optimizer.h"
#include "shard/views.h"
#include "strategy/engine.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MAX 1e6 /* of learning rates and decay, as of their keys */

/* A tensor whose numbers the optimizer does not work on where they are. */
typedef struct copied {
    const dn_param *param; /* with room of the optimizer's */
    dn_real *weight, *grad;
    size_t stride;
} copied;

/* What stays as it is of a tensor without a gradient: its weights, then its states, of this rank. */
typedef struct frozen {
    bool on;
    char *kept; /* owned */
} frozen;

struct dn_optim {
    const dn_mesh *mesh; /* borrowed, or: */
    dn_comm *own_comm;
    dn_mesh *own_mesh;
    dn_stream *stream;
    dn_param *params; /* [n] */
    copied *copies;   /* [n_copies] */
    frozen *frozen;   /* [n] */
    size_t n, n_copies;
    dn_mesh optimizer_mesh;
    dn_optim_config config; /* of the rule, which the strategy looks at, too */
    dn_optimizer *optimizer;
    dn_strategy_run *strategy;
    double loss; /* of the next step */
};

/* How replicas agree. */
typedef struct agreement {
    const dn_strategy *strategy;
    dn_strategy_config config;
    dn_optim_config optim;
} agreement;

/* As config says. */
static const dn_strategy whole_mesh = {.name = "average", .family = DN_ON_WHOLE_MESH};

static dn_status read_settings(const dn_strategy_settings *how, const dn_optim_config *config, agreement *out)
{
    *out = (agreement){.strategy = &whole_mesh, .optim = *config};
    if (!how)
        return DN_OK;
    if (!how->name)
        return dn_fail(DN_ERR_CONFIG, "dn_strategy_settings.name is NULL: name a strategy (dn_strategy_info_at lists them)");
    out->strategy = dn_strategy_find(how->name);
    if (!out->strategy)
        return dn_fail(DN_ERR_CONFIG, "there is no strategy '%s'", how->name);
    if (out->strategy->clients)
        return dn_fail(DN_ERR_CONFIG, "strategy %s is of clients, which train whole models: `dionode train` has them", how->name);
    if (how->n_steps < 1)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: n_steps is 0: give the steps that the run will make", how->name);
    DN_TRY(dn_strategy_check_rule(out->strategy, config->matrix_rule));
    out->optim.compress = out->strategy->factors;
    return dn_strategy_configure(out->strategy, how->options, how->n_steps, config->seed, &out->config);
}

/* ---- tensors as parameters ---- */

static const int origin[DN_N_AXES] = {0};

/* BLAS counts rows and columns each in an int. */
static dn_status describe(const dn_optim_tensor *t, const int size[DN_N_AXES], const int at[DN_N_AXES],
                          dn_param *param)
{
    const dn_tensor *tensor = &t->tensor;
    *param = (dn_param){.tensor = *tensor, .kind = t->kind, .n_views = t->n_views, .place = t->place};
    param->tensor.type = DN_REAL;
    param->tensor.per_replica = false;
    if (t->split_rows[0] > 0)
        param->n_views = 0;
    for (size_t k = 0; k < DN_OPTIM_SPLITS_MAX && t->split_rows[k] > 0; k++)
        param->split_rows[param->n_views++] = t->split_rows[k];
    if ((unsigned)t->kind >= DN_PARAM_N_KINDS)
        return dn_fail(DN_ERR_ARG, "%s: there is no kind %d", tensor->name, (int)t->kind);
    if (tensor->rows < 1 || tensor->rows > INT32_MAX || tensor->cols < 1 || tensor->cols > INT32_MAX)
        return dn_fail(DN_ERR_ARG, "%s: [%zu, %zu]: give 1 to %d rows and as many columns", tensor->name,
                       tensor->rows, tensor->cols, INT32_MAX);
    const dn_dim_sharding shardings[] = {tensor->row_sharding, tensor->col_sharding};
    for (int k = 0; k < 2; k++)
        if (shardings[k].unit && shardings[k].axis != DN_FS && shardings[k].axis != DN_TP)
            return dn_fail(DN_ERR_ARG, "%s: sharded along axis %d, but only fs and tp shard", tensor->name,
                           (int)shardings[k].axis);
    param->block = dn_tensor_block(tensor, size, at);
    return DN_OK;
}

static dn_status describe_all(const dn_optim_tensor *tensors, size_t n, const int size[DN_N_AXES],
                              const int at[DN_N_AXES], dn_param *params)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = tensors[i].tensor.name;
        size_t length = strnlen(name, DN_OPTIM_NAME_MAX);
        if (length < 1 || length >= DN_OPTIM_NAME_MAX)
            return dn_fail(DN_ERR_ARG, "tensor %zu: its name must have 1 to %d bytes", i,
                           DN_OPTIM_NAME_MAX - 1);
        for (size_t k = 0; k < i; k++)
            if (strcmp(tensors[k].tensor.name, name) == 0)
                return dn_fail(DN_ERR_ARG, "tensors %zu and %zu are both named %s", k, i, name);
        DN_TRY(describe(&tensors[i], size, at, &params[i]));
    }
    return DN_OK;
}

/* ---- memory ---- */

static bool is_dense(const dn_optim_tensor *t, dn_block block)
{
    return t->stride == 0 || t->stride == block.cols;
}

/* The same on all ranks. */
static bool is_copied(const dn_optim_tensor *t, const dn_param *param, const int size[DN_N_AXES])
{
    bool alone = dn_axes_size(size, DN_ALL_AXES) == 1;
    return dn_device_is_apart() || (alone ? !is_dense(t, param->block) : !t->in_place);
}

static size_t room(const dn_param *param, const int size[DN_N_AXES])
{
    return dn_size_mul(dn_param_max_size(param, size), sizeof(dn_real));
}

static dn_status check_memory(const dn_optim_tensor *t, const dn_param *param, const dn_mesh *mesh)
{
    const dn_block b = param->block;
    size_t bytes = dn_block_size(b) * sizeof(dn_real);
    if (bytes == 0)
        return DN_OK;
    if (!t->weight || !t->grad)
        return dn_fail(DN_ERR_ARG, "%s: this rank holds a part of it, and gives no %s", t->tensor.name,
                       t->weight ? "gradient" : "weight");
    if (t->stride && t->stride < b.cols)
        return dn_fail(DN_ERR_ARG, "%s: rows of %zu that begin %zu apart", t->tensor.name, b.cols, t->stride);
    if (!t->in_place || dn_comm_size(mesh->all) == 1)
        return DN_OK;
    if (!is_dense(t, b))
        return dn_fail(DN_ERR_ARG, "%s: in place, but not dense: rows of %zu begin %zu apart", t->tensor.name,
                       b.cols, t->stride);
    if (dn_comm_place(mesh->all, t->weight, bytes) == DN_PLACE_PRIVATE ||
        dn_comm_place(mesh->all, t->grad, bytes) == DN_PLACE_PRIVATE)
        return dn_fail(DN_ERR_ARG, "%s: in place, but not in symmetric memory: take it from dn_comm_alloc",
                       t->tensor.name);
    return DN_OK;
}

/* Offsets of weights and gradients in symmetric memory, and their opposites: maxima over all ranks that are
 * opposite, too, show that all are the same. A rank that has nothing of a tensor does not count. */
static dn_status check_places(const dn_optim *o, const dn_optim_tensor *tensors)
{
    const dn_comm *all = o->mesh->all;
    bool any = false;
    for (size_t i = 0; i < o->n; i++)
        any = any || tensors[i].in_place;
    if (!any || dn_comm_size(all) == 1)
        return DN_OK;
    double(*places)[4] = calloc(o->n, sizeof *places);
    if (!places)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu tensors", o->n);
    for (size_t i = 0; i < o->n; i++) {
        const dn_optim_tensor *t = &tensors[i];
        size_t bytes = dn_param_size(&o->params[i]) * sizeof(dn_real);
        bool counts = t->in_place && bytes > 0;
        places[i][0] = counts ? (double)dn_comm_place(all, t->weight, bytes) : -INFINITY;
        places[i][1] = counts ? (double)dn_comm_place(all, t->grad, bytes) : -INFINITY;
        places[i][2] = counts ? -places[i][0] : -INFINITY;
        places[i][3] = counts ? -places[i][1] : -INFINITY;
    }
    dn_status status = dn_comm_all_reduce(o->mesh->all, places, 4 * o->n, DN_F64, DN_MAX, DN_TRAFFIC_CONTROL);
    for (size_t i = 0; i < o->n && status == DN_OK; i++) {
        const double *p = places[i];
        if (isfinite(p[0]) && (p[0] != -p[2] || p[1] != -p[3]))
            status = dn_fail(DN_ERR_ARG,
                             "%s: in place, but not at the same offset on all ranks: all must call "
                             "dn_comm_alloc in the same order with the same sizes",
                             tensors[i].tensor.name);
    }
    free(places);
    return status;
}

/* Where the optimizer works on a tensor. */
static dn_status place(dn_optim *o, const dn_optim_tensor *t, dn_param *param)
{
    void *weight = t->weight, *grad = t->grad;
    if (is_copied(t, param, o->mesh->size)) {
        size_t bytes = room(param, o->mesh->size);
        DN_TRY(dn_comm_alloc_device(o->mesh->all, bytes, &weight));
        DN_TRY(dn_comm_alloc_device(o->mesh->all, bytes, &grad));
        o->copies[o->n_copies++] =
            (copied){param, t->weight, t->grad, t->stride ? t->stride : param->block.cols};
    }
    param->weight = weight;
    param->grad = grad;
    return DN_OK;
}

/* ---- creation ---- */

static size_t heap_bytes(const agreement *how, const dn_optim_tensor *tensors, size_t n, const int size[DN_N_AXES])
{
    dn_arena heap = {0};
    dn_param *params = calloc(n + 1, sizeof *params);
    int of_optimizer[DN_N_AXES];
    dn_strategy_mesh_size(how->strategy, size, of_optimizer);
    bool known = params && dn_optimizer_check(&how->optim) == DN_OK &&
                 dn_strategy_check_mesh(how->strategy, &how->config, size) == DN_OK &&
                 describe_all(tensors, n, size, origin, params) == DN_OK;
    for (size_t i = 0; known && i < n; i++) {
        known = dn_views_check(&params[i]) == DN_OK;
        for (int k = 0; k < 2 && is_copied(&tensors[i], &params[i], size); k++)
            dn_arena_take(&heap, room(&params[i], size));
    }
    if (known) {
        dn_arena_take(&heap, dn_optimizer_heap_bytes(&how->optim, params, dn_strategy_n_stepped(how->strategy, n), of_optimizer));
        dn_arena_take(&heap, dn_strategy_heap_bytes(how->strategy, &how->config, params, n, size));
    }
    free(params);
    return known ? heap.used : 0;
}

size_t dn_optim_heap_bytes_with_strategy(const dn_strategy_settings *strategy, const dn_optim_config *config,
                                         const dn_optim_tensor *tensors, size_t n, const int size[DN_N_AXES])
{
    agreement how;
    return read_settings(strategy, config, &how) == DN_OK ? heap_bytes(&how, tensors, n, size) : 0;
}

size_t dn_optim_heap_bytes(const dn_optim_config *config, const dn_optim_tensor *tensors, size_t n,
                           const int size[DN_N_AXES])
{
    return dn_optim_heap_bytes_with_strategy(NULL, config, tensors, n, size);
}

static dn_status create_alone(dn_optim *o, size_t heap_bytes)
{
    const int one[DN_N_AXES] = {1, 1, 1};
    DN_TRY(dn_comm_create_alone(dn_size_add(heap_bytes, dn_mesh_heap_bytes(one)), &o->own_comm));
    DN_TRY(dn_mesh_create(o->own_comm, one, &o->own_mesh));
    o->mesh = o->own_mesh;
    return DN_OK;
}

static dn_status choose_threads(const dn_mesh *mesh, int *n_threads)
{
    const char *text = getenv("OMP_NUM_THREADS");
    dn_topo *topo;
    *n_threads = text ? atoi(text) : 0;
    if (*n_threads > 0)
        return DN_OK;
    DN_TRY(dn_topo_create(dn_comm_size(mesh->all), &topo));
    *n_threads = dn_topo_place(topo, 0)->n_threads;
    dn_topo_destroy(&topo);
    return DN_OK;
}

/* Numbers of tensors that are worked on elsewhere, to where that is. */
static dn_status copy_in(const dn_optim *o, bool gradients)
{
    if (o->n_copies > 0)
        DN_TRY(dn_comm_barrier(o->mesh->all)); /* others may still read the copies of the step before */
    for (size_t i = 0; i < o->n_copies; i++) {
        const copied *c = &o->copies[i];
        const dn_block b = c->param->block;
        for (size_t row = 0; row < b.rows; row++) {
            dn_upload(o->stream, dn_at(c->param->weight, row * b.cols), c->weight + row * c->stride, b.cols);
            if (gradients)
                dn_upload(o->stream, dn_at(c->param->grad, row * b.cols), c->grad + row * c->stride, b.cols);
        }
    }
    return dn_stream_sync(o->stream);
}

static dn_status copy_out(const dn_optim *o, bool gradients)
{
    for (size_t i = 0; i < o->n_copies; i++) {
        const copied *c = &o->copies[i];
        const dn_block b = c->param->block;
        for (size_t row = 0; row < b.rows; row++)
            dn_download(o->stream, (gradients ? c->grad : c->weight) + row * c->stride,
                        dn_at(gradients ? c->param->grad : c->param->weight, row * b.cols), b.cols);
    }
    return dn_stream_sync(o->stream);
}

static dn_status open_strategy(dn_optim *o, const agreement *how)
{
    const dn_strategy_parts parts = {.optim = &o->config,
                                     .params = o->params,
                                     .n_params = o->n,
                                     .stream = o->stream,
                                     .mesh = o->mesh,
                                     .optimizer = o->optimizer};
    DN_TRY(dn_strategy_open(how->strategy, &how->config, &parts, &o->strategy));
    if (how->strategy->family == DN_ON_WHOLE_MESH)
        return DN_OK;
    DN_TRY(copy_in(o, false));
    return dn_strategy_begin(o->strategy);
}

static dn_status create(dn_optim *o, const agreement *how, const dn_optim_tensor *tensors, int n_threads)
{
    o->params = calloc(o->n + 1, sizeof *o->params);
    o->copies = calloc(o->n + 1, sizeof *o->copies);
    o->frozen = calloc(o->n + 1, sizeof *o->frozen);
    if (!o->params || !o->copies || !o->frozen)
        return dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu tensors", o->n);
    DN_TRY(describe_all(tensors, o->n, o->mesh->size, o->mesh->at, o->params));
    for (size_t i = 0; i < o->n; i++)
        DN_TRY(check_memory(&tensors[i], &o->params[i], o->mesh));
    DN_TRY(check_places(o, tensors));
    if (n_threads == 0)
        DN_TRY(choose_threads(o->mesh, &n_threads));
    DN_TRY(dn_stream_create("cpu", n_threads, &o->stream));
    for (size_t i = 0; i < o->n; i++)
        DN_TRY(place(o, &tensors[i], &o->params[i]));
    o->optimizer_mesh = dn_strategy_mesh(how->strategy, o->mesh);
    o->config = how->optim;
    DN_TRY(dn_optimizer_create(&o->config, o->params, dn_strategy_n_stepped(how->strategy, o->n), o->stream,
                               &o->optimizer_mesh, &o->optimizer));
    return open_strategy(o, how);
}

dn_status dn_optim_create_with_strategy(const dn_strategy_settings *strategy, const dn_optim_config *config,
                                        const dn_optim_tensor *tensors, size_t n, const dn_mesh *mesh, int n_threads,
                                        dn_optim **out)
{
    const int one[DN_N_AXES] = {1, 1, 1};
    agreement how;
    *out = NULL;
    DN_TRY(read_settings(strategy, config, &how));
    DN_TRY(dn_strategy_check_mesh(how.strategy, &how.config, mesh ? mesh->size : one));
    dn_optim *o = *out = calloc(1, sizeof *o);
    if (!o)
        return dn_fail(DN_ERR_MEMORY, "no memory for an optimizer");
    o->mesh = mesh;
    o->n = n;
    dn_status status = mesh ? DN_OK : create_alone(o, heap_bytes(&how, tensors, n, one));
    if (status == DN_OK)
        status = create(o, &how, tensors, n_threads);
    if (status != DN_OK)
        dn_optim_destroy(out);
    return status;
}

dn_status dn_optim_create(const dn_optim_config *config, const dn_optim_tensor *tensors, size_t n,
                          const dn_mesh *mesh, int n_threads, dn_optim **out)
{
    return dn_optim_create_with_strategy(NULL, config, tensors, n, mesh, n_threads, out);
}

void dn_optim_destroy(dn_optim **optim)
{
    dn_optim *o = *optim;
    *optim = NULL;
    if (!o)
        return;
    if (o->strategy)
        (void)!dn_strategy_settle(o->strategy); /* a failure is the caller's already */
    dn_strategy_close(&o->strategy);
    dn_optimizer_destroy(&o->optimizer);
    dn_stream_destroy(&o->stream);
    dn_mesh_destroy(&o->own_mesh);
    dn_comm_destroy(&o->own_comm);
    for (size_t i = 0; o->frozen && i < o->n; i++)
        free(o->frozen[i].kept);
    free(o->params);
    free(o->copies);
    free(o->frozen);
    free(o);
}

/* ---- one step ---- */

dn_status dn_optim_set_weight_decay(dn_optim *o, const char *match, double weight_decay)
{
    if (!(weight_decay >= 0 && weight_decay <= RATE_MAX))
        return dn_fail(DN_ERR_ARG, "weight decay %g of %s: give 0 to %g", weight_decay, match, RATE_MAX);
    if (dn_strategy_set_weight_decay(o->strategy, match, weight_decay) == 0)
        return dn_fail(DN_ERR_ARG, "weight decay of %s: no tensor has such a name", match);
    return DN_OK;
}

/* Copies weights and states of a tensor, this rank's part, to what is kept or back; kept NULL: only counts. Returns the
 * bytes. */
static size_t keep(const dn_optim *o, size_t tensor, char *kept, bool back)
{
    const dn_param *param = &o->params[tensor];
    int rank = dn_comm_rank(o->mesh->all);
    size_t used = dn_param_size(param) * sizeof(dn_real);
    if (kept)
        memcpy(back ? (void *)param->weight : kept, back ? kept : (const void *)param->weight, used);
    for (size_t i = 0; i < dn_optimizer_n_states(o->optimizer); i++) {
        if (dn_optimizer_state_param(o->optimizer, i) != param)
            continue;
        const dn_shard shard = dn_optimizer_state_shard(o->optimizer, i, rank);
        size_t bytes = dn_block_size(shard.block) * dn_type_bytes(dn_optimizer_state(o->optimizer, i)->type);
        if (kept && bytes)
            memcpy(back ? shard.data : kept + used, back ? kept + used : shard.data, bytes);
        used += bytes;
    }
    return used;
}

dn_status dn_optim_set_frozen(dn_optim *o, size_t tensor, bool is_frozen)
{
    if (tensor >= o->n)
        return dn_fail(DN_ERR_ARG, "tensor %zu of %zu", tensor, o->n);
    if (is_frozen && dn_strategy_row(o->strategy)->family != DN_ON_WHOLE_MESH)
        return dn_fail(DN_ERR_ARG, "%s: replicas exchange all tensors under strategy %s: none can be left without a gradient",
                       o->params[tensor].tensor.name, dn_strategy_row(o->strategy)->name);
    frozen *f = &o->frozen[tensor];
    if (is_frozen && !f->kept)
        f->kept = malloc(keep(o, tensor, NULL, false) + 1);
    if (is_frozen && !f->kept)
        return dn_fail(DN_ERR_MEMORY, "%s: no memory to keep it as it is", o->params[tensor].tensor.name);
    f->on = is_frozen;
    return DN_OK;
}

/* Before a step and after it. A step that finds no gradient still works on a matrix: it is put back. */
static dn_status keep_frozen(dn_optim *o, bool back)
{
    bool any = false;
    for (size_t i = 0; i < o->n; i++)
        any = any || o->frozen[i].on;
    if (any && back)
        DN_TRY(dn_comm_barrier(o->mesh->all)); /* others may still read what is put back */
    for (size_t i = 0; i < o->n; i++) {
        if (!o->frozen[i].on)
            continue;
        keep(o, i, o->frozen[i].kept, back);
        if (!back)
            o->stream->kernels->fill(o->stream, o->params[i].grad, dn_param_size(&o->params[i]), 0);
    }
    return dn_stream_sync(o->stream);
}

dn_status dn_optim_step(dn_optim *o, uint64_t step, double lr, dn_optim_report *report)
{
    dn_step_report found;
    if (!(lr >= 0 && lr <= RATE_MAX))
        return dn_fail(DN_ERR_ARG, "a step at learning rate %g: give 0 to %g", lr, RATE_MAX);
    DN_TRY(copy_in(o, true));
    DN_TRY(keep_frozen(o, false));
    const dn_step_params step_params = {.step = step, .lr = lr, .decay = 1};
    dn_comm_tick(o->mesh->all, step + 1, "optimizer"); /* people count steps from 1 */
    DN_TRY(dn_strategy_step(o->strategy, &step_params, o->loss, &found));
    DN_TRY(keep_frozen(o, true));
    *report = (dn_optim_report){.skipped = found.skipped,
                                .grad_norm = found.grad_norm,
                                .clip = found.clip,
                                .n_zero = found.n_zero,
                                .n_fallback = found.n_fallback};
    return found.skipped ? DN_OK : copy_out(o, false);
}

/* ---- replicas that differ ---- */

dn_strategy_info dn_strategy_info_at(size_t index)
{
    const dn_strategy *row;
    for (size_t k = 0; (row = dn_strategy_at(k)) && (row->clients || index-- > 0);)
        k++;
    return row ? (dn_strategy_info){row->name, row->help} : (dn_strategy_info){NULL, NULL};
}

void dn_optim_set_loss(dn_optim *o, double loss)
{
    o->loss = loss;
}

bool dn_optim_is_apart(const dn_optim *o)
{
    return dn_strategy_apart(o->strategy);
}

dn_status dn_optim_form_consensus(dn_optim *o)
{
    dn_comm *dp = dn_mesh_comm(o->mesh, DN_AXIS(DN_DP));
    DN_TRY(copy_in(o, false));
    for (size_t i = 0; i < o->n; i++) {
        const dn_param *p = &o->params[i];
        o->stream->kernels->copy(o->stream, p->grad, p->weight, dn_param_size(p));
    }
    DN_TRY(dn_stream_sync(o->stream));
    for (size_t i = 0; i < o->n; i++)
        DN_TRY(dn_comm_all_reduce(dp, o->params[i].grad, dn_param_size(&o->params[i]), DN_REAL, DN_AVG, DN_TRAFFIC_WEIGHTS));
    return copy_out(o, true);
}

dn_comm *dn_optim_island_comm(const dn_optim *o)
{
    return dn_strategy_comm(o->strategy, DN_SCOPE_ISLAND);
}

dn_comm *dn_optim_across_comm(const dn_optim *o)
{
    return dn_strategy_comm(o->strategy, DN_SCOPE_ACROSS);
}

/* ---- state ---- */

size_t dn_optim_n_states(const dn_optim *o)
{
    return dn_optimizer_n_states(o->optimizer) + dn_strategy_n_states(o->strategy);
}

const dn_tensor *dn_optim_state(const dn_optim *o, size_t index)
{
    size_t n = dn_optimizer_n_states(o->optimizer);
    return index < n ? dn_optimizer_state(o->optimizer, index) : dn_strategy_state(o->strategy, index - n);
}

dn_shard dn_optim_state_shard(const dn_optim *o, size_t index, int rank)
{
    size_t n = dn_optimizer_n_states(o->optimizer);
    return index < n ? dn_optimizer_state_shard(o->optimizer, index, rank)
                     : dn_strategy_state_shard(o->strategy, index - n, rank);
}

dn_status dn_optim_show_states(dn_optim *o)
{
    return dn_strategy_show(o->strategy);
}

void dn_optim_expect_state(dn_optim *o, const char *name)
{
    dn_strategy_expect(o->strategy, name);
}

dn_status dn_optim_take_states(dn_optim *o)
{
    bool alone = dn_strategy_row(o->strategy)->family == DN_AFTER_RULE;
    dn_strategy_set_apart(o->strategy, alone && o->mesh->size[DN_DP] > 1);
    return dn_strategy_restored(o->strategy);
}
