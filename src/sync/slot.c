#include "sync/slot.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "sync/executor.h"

#include <assert.h>

dn_slot dn_slot_of(const dn_optim_config *config, const dn_param *param, uint64_t index,
                   const int size[DN_N_AXES])
{
    dn_slot slot = {.param = param, .index = index, .group = config->groups[param->kind]};
    slot.type = config->state_precision == DN_PRECISION_BFLOAT16 ? DN_BF16 : DN_REAL;
    slot.rule = dn_rule_row(param->kind == DN_PARAM_MATRIX ? config->matrix_rule : config->scalar_rule);
    dn_executor_of(slot.rule)->describe(config, size, &slot);
    return slot;
}

void dn_slot_add_state(dn_slot *slot, const char *name, size_t rows, size_t cols,
                       dn_block (*part)(const dn_slot *, const int at[DN_N_AXES]))
{
    assert(slot->n_states < DN_MAX_STATES);
    slot->states[slot->n_states++] =
        (dn_slot_state){.name = name, .rows = rows, .cols = cols, .part = part, .type = slot->type};
}

dn_block dn_slot_part(const dn_slot *slot, const int at[DN_N_AXES])
{
    return dn_layout_part(&slot->layout, at);
}

/* Elements of the largest part of a state. */
static size_t largest(const dn_slot *slot, const dn_slot_state *state)
{
    size_t most = 0;
    int at[DN_N_AXES];
    for (int rank = 0; rank < dn_axes_size(slot->layout.size, DN_ALL_AXES); rank++) {
        dn_mesh_at(slot->layout.size, rank, at);
        dn_block part = state->part(slot, at);
        most = part.rows * part.cols > most ? part.rows * part.cols : most;
    }
    return most;
}

void dn_slot_take(dn_slot *slot, dn_arena *heap)
{
    for (int i = 0; i < slot->n_states; i++) {
        dn_slot_state *state = &slot->states[i];
        state->stored = dn_arena_take(heap, dn_size_mul(largest(slot, state), dn_type_bytes(state->type)));
        state->data = state->type == DN_REAL ? state->stored : NULL;
    }
}

void dn_slots_take_room(dn_slot *slots, size_t n, dn_arena *arena)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < slots[i].n_states; k++) {
            dn_slot_state *state = &slots[i].states[k];
            if (state->type != DN_REAL)
                state->data = dn_arena_take(arena, dn_size_mul(largest(&slots[i], state), sizeof(dn_real)));
        }
}

size_t dn_slots_room_bytes(const dn_slot *slots, size_t n)
{
    dn_arena measure = {0};
    for (size_t i = 0; i < n; i++) {
        dn_slot slot = slots[i];
        dn_slots_take_room(&slot, 1, &measure);
    }
    return measure.used;
}

void dn_slot_open(dn_stream *s, const dn_slot *slot)
{
    for (int i = 0; i < slot->n_states; i++) {
        const dn_slot_state *state = &slot->states[i];
        if (state->type != DN_REAL)
            s->kernels->from_bf16(s, state->data, state->stored, state->n);
    }
}

void dn_slot_close(dn_stream *s, const dn_slot *slot)
{
    for (int i = 0; i < slot->n_states; i++) {
        const dn_slot_state *state = &slot->states[i];
        if (state->type != DN_REAL)
            s->kernels->to_bf16(s, state->stored, state->data, state->n);
    }
}

void dn_slot_point(dn_slot *slot, const int at[DN_N_AXES])
{
    slot->part = dn_layout_part(&slot->layout, at);
    for (int i = 0; i < slot->n_states; i++) {
        dn_block part = slot->states[i].part(slot, at);
        slot->states[i].n = part.rows * part.cols;
    }
    size_t skipped = (slot->part.row0 - slot->param->block.row0) * slot->param->block.cols;
    slot->weight = dn_at(slot->param->weight, skipped);
    slot->grad = dn_at(slot->param->grad, skipped);
}

dn_status dn_slot_broken(const dn_slot *slot)
{
    return dn_fail(DN_ERR_NUMERIC, "%s: momentum beyond the range of numbers; training diverged, lower lr",
                   slot->param->name);
}
