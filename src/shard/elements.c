/* The executor of element-wise rules: each rank updates its part of a parameter, and keeps state for that
 * part alone. */
#include "base/arena.h"
#include "base/fail.h"
#include "compute/kernels.h"
#include "shard/executor.h"

/* Elements of a chunk where states need room to be opened: work enough for a few threads, and it stays in
 * their cache. */
#define CHUNK ((size_t)1 << 18)
#define ROOM  (CHUNK * sizeof(dn_real)) /* of one state */

static size_t heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES],
                         const dn_param_state *param_states, size_t n)
{
    (void)size;
    int most = 0;
    for (size_t i = 0; i < n; i++)
        most = param_states[i].n_states > most ? param_states[i].n_states : most;
    return config->state_precision == DN_PRECISION_FULL ? 0 : (size_t)most * ROOM;
}

static dn_status open_group(dn_param_group *group, void *workspace)
{
    group->work = workspace;
    return DN_OK;
}

/* Where states are stored in bfloat16 a chunk of each is widened to room of its own. */
static dn_chunk open_chunk(const dn_param_group *group, const dn_param_state *ps, size_t first)
{
    size_t left = dn_param_state_size(ps) - first;
    dn_chunk x = {.param = ps->param,
                  .n = ps->type == DN_REAL || left < CHUNK ? left : CHUNK,
                  .weight = dn_at(ps->weight, first),
                  .grad = dn_at(ps->grad, first)};
    for (int k = 0; k < ps->n_states; k++) {
        const dn_state_tensor *state = &ps->states[k];
        x.states[k] = ps->type == DN_REAL ? dn_at(state->data, first) : dn_at(group->work, k * CHUNK);
        if (ps->type != DN_REAL)
            group->stream->kernels->from_bf16(group->stream, x.states[k], dn_bf16_at(state->stored, first),
                                              x.n);
    }
    return x;
}

static void close_chunk(const dn_param_group *group, const dn_param_state *ps, const dn_chunk *x,
                        size_t first)
{
    for (int k = 0; k < ps->n_states && ps->type != DN_REAL; k++)
        group->stream->kernels->to_bf16(group->stream, dn_bf16_at(ps->states[k].stored, first), x->states[k],
                                        x->n);
}

static dn_status step_all(dn_param_group *group, uint64_t step, double lr, dn_step_report *report)
{
    (void)report;
    for (size_t i = 0; i < group->n_param_states; i++) {
        const dn_param_state *ps = &group->param_states[i];
        const dn_update_params params = dn_param_state_update_params(ps, step, lr);
        for (size_t first = 0; first < dn_param_state_size(ps);) {
            dn_chunk x = open_chunk(group, ps, first);
            group->rule->update(group->stream, group->config, &x, &params);
            close_chunk(group, ps, &x, first);
            first += x.n;
        }
    }
    return dn_stream_sync(group->stream);
}

/* Copies deal the work; states have the parameter's own shape. */
static void describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *ps)
{
    (void)config;
    const dn_param *param = ps->param;
    ps->layout = dn_layout_of(param, size, false);
    for (int k = 0; k < dn_rule_n_states(ps->rule); k++)
        dn_param_state_add(ps, ps->rule->states[k].name, param->rows, param->cols, dn_param_state_block);
}

const dn_executor dn_executor_element_wise = {
    .describe = describe, .heap_bytes = heap_bytes, .open = open_group, .step = step_all};
