/* The executor of element-wise rules: each rank updates its part of a parameter, and keeps state for that
 * part alone. */
#include "base/arena.h"
#include "base/fail.h"
#include "base/size.h"
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

/* A parameter at a time; where states are stored in bfloat16 a chunk at a time, whose states are widened to
 * room of their own. */
static dn_status step_all(dn_param_group *group, uint64_t step, double lr, dn_step_report *report)
{
    dn_stream *s = group->stream;
    (void)report;
    for (size_t i = 0; i < group->n_param_states; i++) {
        const dn_param_state *ps = &group->param_states[i];
        const dn_update_params params = dn_param_state_update_params(ps, step, lr);
        bool widened = ps->type != DN_REAL;
        size_t n = dn_param_state_size(ps), most = widened ? CHUNK : n;
        for (size_t first = 0; first < n; first += most) {
            dn_chunk x = {.param = ps->param,
                          .n = dn_min(most, n - first),
                          .weight = dn_at(ps->weight, first),
                          .grad = dn_at(ps->grad, first)};
            for (int k = 0; k < ps->n_states; k++) {
                const dn_state_tensor *state = &ps->states[k];
                x.states[k] = widened ? dn_at(group->work, k * CHUNK) : dn_at(state->data, first);
                if (widened)
                    s->kernels->from_bf16(s, x.states[k], dn_bf16_at(state->stored, first), x.n);
            }
            group->rule->update(s, group->config, &x, &params);
            for (int k = 0; k < ps->n_states && widened; k++)
                s->kernels->to_bf16(s, dn_bf16_at(ps->states[k].stored, first), x.states[k], x.n);
        }
    }
    return dn_stream_sync(s);
}

/* Copies deal the work; states have the parameter's own shape. */
static void describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *ps)
{
    (void)config;
    ps->layout = dn_layout_of(ps->param, size, false);
    for (int k = 0; k < dn_rule_n_states(ps->rule); k++)
        dn_param_state_add(ps, ps->rule->states[k].name, dn_param_state_block);
}

const dn_executor dn_executor_element_wise = {
    .describe = describe, .heap_bytes = heap_bytes, .open = open_group, .step = step_all};
