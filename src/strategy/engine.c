#include "strategy/engine.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/draw.h"
#include "compute/kernels.h"
#include "shard/bucket.h"

#include <stdio.h>
#include <stdlib.h>

struct dn_strategy_run {
    const dn_strategy *strategy;
    dn_strategy_config config;
    const dn_param *params; /* [n_params] */
    size_t n_params;
    dn_stream *stream;
    const dn_mesh *mesh;
    dn_bucket weights;         /* over dp */
    dn_strategy_shard *bucket; /* [n_params] */
    dn_tensor *states;         /* [n_params * states of the strategy] */
    int n_kinds;               /* states of a parameter */
    bool apart;
};

static int count_states(const dn_strategy *strategy)
{
    int n = 0;
    while (n < DN_STRATEGY_STATES_MAX && strategy->states[n])
        n++;
    return n;
}

bool dn_strategy_every(const dn_strategy_config *config, uint64_t step)
{
    return (step + 1) % config->sync_every == 0;
}

/* ---- shares ---- */

/* Of the whole parameter. */
static dn_block shard_of(const dn_param *p, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    dn_block block = dn_param_block(p, size, at);
    dn_range rows = dn_shard_range(block.rows, 1, size[DN_DP], at[DN_DP]);
    return (dn_block){block.row0 + rows.first, dn_range_size(rows), block.col0, block.cols};
}

/* States of all parameters, each with room for the largest share; shares NULL: only measures. */
static void take_states(const dn_strategy *strategy, const dn_param *params, size_t n_params,
                        const int size[DN_N_AXES], dn_arena *heap, dn_strategy_shard *bucket)
{
    const int first[DN_N_AXES] = {0}; /* nobody has more */
    for (size_t i = 0; i < n_params; i++) {
        dn_block most = shard_of(&params[i], size, first);
        for (int k = 0; k < count_states(strategy); k++) {
            void *state = dn_arena_take(heap, dn_size_mul(most.rows * most.cols, sizeof(dn_real)));
            if (bucket)
                bucket[i].states[k] = state;
        }
    }
}

size_t dn_strategy_heap_bytes(const dn_strategy *strategy, const dn_param *params, size_t n_params,
                              const int size[DN_N_AXES])
{
    dn_arena measure = {0};
    take_states(strategy, params, n_params, size, &measure, NULL);
    return measure.used;
}

/* ---- opening ---- */

static dn_status open_states(dn_strategy_run *r)
{
    void *base = NULL;
    size_t bytes = dn_strategy_heap_bytes(r->strategy, r->params, r->n_params, r->mesh->size);
    if (bytes > 0) {
        DN_TRY(dn_comm_alloc_device(r->mesh->all, bytes, &base));
        DN_TRY(dn_stream_zero(r->stream, base, bytes / sizeof(dn_real)));
    }
    dn_arena heap = {.base = base, .capacity = bytes};
    if (bytes > 0)
        take_states(r->strategy, r->params, r->n_params, r->mesh->size, &heap, r->bucket);
    for (size_t i = 0; i < r->n_params; i++)
        for (int k = 0; k < r->n_kinds; k++) {
            dn_tensor *state = &r->states[i * (size_t)r->n_kinds + (size_t)k];
            *state = r->params[i].tensor;
            snprintf(state->name, sizeof state->name, "%s.%.*s", r->strategy->states[k],
                     DN_PARAM_NAME_MAX - 1, r->params[i].tensor.name);
        }
    return DN_OK;
}

static dn_status open_bucket(dn_strategy_run *r)
{
    const dn_mesh *mesh = r->mesh;
    r->weights = dn_bucket_of(mesh, DN_REAL);
    for (size_t i = 0; i < r->n_params; i++) {
        const dn_param *p = &r->params[i];
        dn_block share = shard_of(p, mesh->size, mesh->at);
        r->bucket[i].n = share.rows * share.cols;
        r->bucket[i].weight = dn_at(p->weight, (share.row0 - p->block.row0) * share.cols);
        DN_TRY(dn_bucket_add(&r->weights, dn_axes_of(mesh->size, DN_AXIS(DN_DP)), p->weight, p->block.rows,
                             p->block.cols));
    }
    return DN_OK;
}

dn_status dn_strategy_open(const dn_strategy *strategy, const dn_strategy_config *config,
                           const dn_param *params, size_t n_params, dn_stream *stream, const dn_mesh *mesh,
                           dn_strategy_run **out)
{
    *out = NULL;
    dn_strategy_run *r = calloc(1, sizeof *r);
    if (!r)
        return dn_fail(DN_ERR_MEMORY, "no memory for a strategy");
    *r = (dn_strategy_run){.strategy = strategy,
                           .config = *config,
                           .params = params,
                           .n_params = strategy->local ? n_params : 0,
                           .stream = stream,
                           .mesh = mesh,
                           .n_kinds = count_states(strategy)};
    r->bucket = calloc(n_params + 1, sizeof *r->bucket);
    r->states = calloc(n_params * (size_t)r->n_kinds + 1, sizeof *r->states);
    dn_status status = r->bucket && r->states
                           ? open_states(r)
                           : dn_fail(DN_ERR_MEMORY, "no memory for the tables of %zu parameters", n_params);
    if (status == DN_OK)
        status = open_bucket(r);
    if (status != DN_OK)
        dn_strategy_close(&r);
    *out = r;
    return status;
}

void dn_strategy_close(dn_strategy_run **run)
{
    dn_strategy_run *r = *run;
    *run = NULL;
    if (!r)
        return;
    dn_bucket_clear(&r->weights);
    free(r->bucket);
    free(r->states);
    free(r);
}

dn_status dn_strategy_begin(dn_strategy_run *r)
{
    for (size_t i = 0; i < r->n_params && r->strategy->begin; i++)
        r->strategy->begin(r->stream, &r->bucket[i]);
    return dn_stream_sync(r->stream);
}

/* ---- after a step ---- */

dn_status dn_strategy_exchange(dn_strategy_run *r, uint64_t step)
{
    const dn_strategy *strategy = r->strategy;
    if (!strategy->local)
        return DN_OK;
    r->apart = r->mesh->size[DN_DP] > 1;
    if (!strategy->due(&r->config, step))
        return DN_OK;
    DN_TRY(dn_stream_sync(r->stream));
    DN_TRY(dn_comm_barrier(r->mesh->all)); /* nobody reads the weights of its own replica any more */
    DN_TRY(dn_bucket_reduce(&r->weights, DN_AVG, DN_TRAFFIC_WEIGHTS));
    for (size_t i = 0; i < r->n_params && strategy->apply; i++)
        strategy->apply(r->stream, &r->config, &r->bucket[i]);
    DN_TRY(dn_stream_sync(r->stream));
    r->apart = false;
    return dn_bucket_gather(&r->weights, DN_TRAFFIC_WEIGHTS);
}

bool dn_strategy_apart(const dn_strategy_run *r)
{
    return r->apart;
}

void dn_strategy_set_apart(dn_strategy_run *r, bool apart)
{
    r->apart = apart;
}

/* ---- states ---- */

size_t dn_strategy_n_states(const dn_strategy_run *r)
{
    return r->n_params * (size_t)r->n_kinds;
}

const dn_tensor *dn_strategy_state(const dn_strategy_run *r, size_t index)
{
    return &r->states[index];
}

/* Along axes that cut nothing each rank has a copy. */
dn_shard dn_strategy_state_shard(const dn_strategy_run *r, size_t index, int rank)
{
    size_t i = index / (size_t)r->n_kinds, k = index % (size_t)r->n_kinds;
    const dn_param *p = &r->params[i];
    int at[DN_N_AXES];
    dn_mesh_at(r->mesh->size, rank, at);
    unsigned copies = dn_axes_without(r->mesh->size, DN_AXIS(DN_DP) | dn_tensor_axes(&p->tensor));
    return (dn_shard){.block = shard_of(p, r->mesh->size, at),
                      .data = r->bucket[i].states[k],
                      .rank = rank,
                      .replica = dn_axes_rank(r->mesh->size, copies, at)};
}
