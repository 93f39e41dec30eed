/* The executor of element-wise rules: each rank updates its part of a parameter, and keeps state for that
 * part alone. */
#include "base/arena.h"
#include "base/fail.h"
#include "compute/kernels.h"
#include "sync/executor.h"

/* Elements of a chunk where states need room to be opened: work enough for a few threads, and it stays in
 * their cache. */
#define CHUNK ((size_t)1 << 18)
#define ROOM  (CHUNK * sizeof(dn_real)) /* of one state */

static size_t heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                         size_t n)
{
    (void)size;
    int most = 0;
    for (size_t i = 0; i < n; i++)
        most = slots[i].n_states > most ? slots[i].n_states : most;
    return config->state_precision == DN_PRECISION_FULL ? 0 : (size_t)most * ROOM;
}

static dn_status open_party(dn_party *party, void *workspace)
{
    party->work = workspace;
    return DN_OK;
}

/* Where states are stored in bfloat16 a chunk of each is widened to room of its own. */
static dn_chunk open_chunk(const dn_party *party, const dn_slot *slot, size_t first)
{
    size_t left = dn_slot_size(slot) - first;
    dn_chunk x = {.param = slot->param,
                  .n = slot->type == DN_REAL || left < CHUNK ? left : CHUNK,
                  .weight = dn_at(slot->weight, first),
                  .grad = dn_at(slot->grad, first)};
    for (int k = 0; k < slot->n_states; k++) {
        const dn_slot_state *state = &slot->states[k];
        x.states[k] = slot->type == DN_REAL ? dn_at(state->data, first) : dn_at(party->work, k * CHUNK);
        if (slot->type != DN_REAL)
            party->stream->kernels->from_bf16(party->stream, x.states[k], dn_bf16_at(state->stored, first),
                                              x.n);
    }
    return x;
}

static void close_chunk(const dn_party *party, const dn_slot *slot, const dn_chunk *x, size_t first)
{
    for (int k = 0; k < slot->n_states && slot->type != DN_REAL; k++)
        party->stream->kernels->to_bf16(party->stream, dn_bf16_at(slot->states[k].stored, first),
                                        x->states[k], x->n);
}

static dn_status step_all(dn_party *party, uint64_t step, double lr, dn_step_report *report)
{
    (void)report;
    for (size_t i = 0; i < party->n_slots; i++) {
        const dn_slot *slot = &party->slots[i];
        const dn_step_params params = dn_slot_params(slot, step, lr);
        for (size_t first = 0; first < dn_slot_size(slot);) {
            dn_chunk x = open_chunk(party, slot, first);
            party->rule->update(party->stream, party->config, &x, &params);
            close_chunk(party, slot, &x, first);
            first += x.n;
        }
    }
    return dn_stream_sync(party->stream);
}

/* Copies deal the work; states have the parameter's own shape. */
static void describe(const dn_optim_config *config, const int size[DN_N_AXES], dn_slot *slot)
{
    (void)config;
    const dn_param *param = slot->param;
    slot->layout = dn_layout_of(param, size, false);
    for (int k = 0; k < dn_rule_n_states(slot->rule); k++)
        dn_slot_add_state(slot, slot->rule->states[k].name, param->rows, param->cols, dn_slot_part);
}

const dn_executor dn_executor_element_wise = {
    .describe = describe, .heap_bytes = heap_bytes, .open = open_party, .step = step_all};
