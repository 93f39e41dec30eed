#include "shard/param_state.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "optim/named_group.h"
#include "shm/world.h"
#include "shard/executor.h"

#include <assert.h>
#include <stdio.h>

dn_param_state dn_param_state_of(const dn_optim_config *config, const dn_param *param, uint64_t index,
                                 const int size[DN_N_AXES])
{
    const dn_optim_config own = dn_param_config(config, param);
    dn_param_state ps = {
        .param = param, .index = index, .base = own.groups[param->kind], .fraction = own.rank_fraction};
    ps.options = ps.base;
    ps.type = config->state_precision == DN_PRECISION_BFLOAT16 ? DN_BF16 : DN_REAL;
    ps.rule = dn_param_rule(&own, param);
    dn_executor_of(ps.rule)->describe(&own, size, &ps);
    return ps;
}

dn_state_tensor *dn_param_state_add(dn_param_state *ps, const char *name,
                                    dn_block (*part)(const dn_param_state *, const int at[DN_N_AXES]))
{
    assert(ps->n_states < DN_MAX_STATES);
    dn_state_tensor *state = &ps->states[ps->n_states++];
    *state = (dn_state_tensor){.tensor = ps->param->tensor, .part = part};
    state->tensor.type = ps->type;
    snprintf(state->tensor.name, sizeof state->tensor.name, "%s.%.*s", name, DN_PARAM_NAME_MAX - 1,
             ps->param->tensor.name);
    return state;
}

dn_block dn_param_state_block(const dn_param_state *ps, const int at[DN_N_AXES])
{
    return dn_layout_block(&ps->layout, at);
}

dn_block dn_state_tensor_block(const dn_param_state *ps, const dn_state_tensor *state,
                               const int at[DN_N_AXES])
{
    if (state->part)
        return state->part(ps, at);
    bool owns = dn_mesh_rank(ps->layout.size, at) == ps->owner;
    return (dn_block){0, owns ? state->tensor.rows : 0, 0, state->tensor.cols};
}

/* Elements of the largest part of a state. */
static size_t largest(const dn_param_state *ps, const dn_state_tensor *state)
{
    size_t most = 0;
    int at[DN_LAYOUT_LARGEST][DN_N_AXES];
    if (!state->part)
        return state->tensor.rows * state->tensor.cols;
    for (int i = 0, n = dn_layout_largest(&ps->layout, at); i < n; i++)
        most = dn_max(most, dn_block_size(state->part(ps, at[i])));
    return most;
}

typedef enum taken { STORED, ROOM } taken;

/* Memory of all states, where they are stored, or room to open them in, where that is needed: first those
 * that have parts on all ranks; behind them, from one place on, what each rank owns. out is the parameter
 * states again, to be told; NULL: only measures. */
static void lay_out(const dn_param_state *param_states, size_t n, taken what, dn_arena *arena,
                    dn_param_state *out)
{
    dn_arena owners[DN_MAX_RANKS];
    int n_ranks = n > 0 ? dn_axes_size(param_states[0].layout.size, DN_ALL_AXES) : 0;
    for (int owned = 0; owned < 2; owned++) {
        for (int rank = 0; rank < n_ranks; rank++)
            owners[rank] = *arena;
        for (size_t i = 0; i < n; i++)
            for (int k = 0; k < param_states[i].n_states; k++) {
                const dn_state_tensor *state = &param_states[i].states[k];
                size_t each = what == ROOM ? sizeof(dn_real) : dn_type_bytes(state->tensor.type);
                if ((state->part == NULL) != (owned == 1) || (what == ROOM && state->tensor.type == DN_REAL))
                    continue;
                dn_arena *from = owned ? &owners[param_states[i].owner] : arena;
                void *memory = dn_arena_take(from, dn_size_mul(largest(&param_states[i], state), each));
                arena->used = dn_max(arena->used, from->used);
                if (out && what == STORED)
                    out[i].states[k].stored = memory;
                if (out && state->tensor.type == (what == STORED ? DN_REAL : DN_BF16))
                    out[i].states[k].data = memory;
            }
    }
}

void dn_param_states_take(dn_param_state *param_states, size_t n, dn_arena *heap)
{
    lay_out(param_states, n, STORED, heap, param_states);
}

void dn_param_states_take_buffers(dn_param_state *param_states, size_t n, dn_arena *arena)
{
    lay_out(param_states, n, ROOM, arena, param_states);
}

size_t dn_param_states_buffer_bytes(const dn_param_state *param_states, size_t n)
{
    dn_arena measure = {0};
    lay_out(param_states, n, ROOM, &measure, NULL);
    return measure.used;
}

void dn_param_state_load(dn_stream *s, const dn_param_state *ps)
{
    for (int i = 0; i < ps->n_states; i++) {
        const dn_state_tensor *state = &ps->states[i];
        if (state->tensor.type != DN_REAL)
            s->kernels->from_bf16(s, state->data, state->stored, dn_block_size(state->block));
    }
}

void dn_param_state_store(dn_stream *s, const dn_param_state *ps)
{
    for (int i = 0; i < ps->n_states; i++) {
        const dn_state_tensor *state = &ps->states[i];
        if (state->tensor.type != DN_REAL)
            s->kernels->to_bf16(s, state->stored, state->data, dn_block_size(state->block));
    }
}

void dn_param_state_bind(dn_param_state *ps, const int at[DN_N_AXES])
{
    ps->part = dn_layout_block(&ps->layout, at);
    for (int i = 0; i < ps->n_states; i++)
        ps->states[i].block = dn_state_tensor_block(ps, &ps->states[i], at);
    size_t skipped = (ps->part.row0 - ps->param->block.row0) * ps->param->block.cols;
    ps->weight = dn_at(ps->param->weight, skipped);
    ps->grad = dn_at(ps->param->grad, skipped);
}

dn_status dn_param_state_not_finite(const dn_param_state *ps)
{
    return dn_fail(DN_ERR_NUMERIC, "%s: optimizer state beyond the range of numbers; training diverged, lower lr",
                   ps->param->tensor.name);
}
