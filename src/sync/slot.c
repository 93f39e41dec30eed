#include "sync/slot.h"

#include "sync/method.h"

#include <assert.h>

dn_slot dn_slot_of(const dn_optim_config *config, const dn_param *param, uint64_t index,
                   const int size[DN_N_AXES])
{
    dn_slot slot = {.param = param, .index = index, .group = config->groups[param->kind]};
    slot.method = dn_method_of(param->kind == DN_PARAM_MATRIX ? config->matrix_rule : config->scalar_rule);
    slot.method->describe(config, size, &slot);
    return slot;
}

void dn_slot_add_state(dn_slot *slot, const char *name, size_t rows, size_t cols,
                       dn_block (*part)(const dn_slot *, const int at[DN_N_AXES]))
{
    assert(slot->n_states < DN_MAX_STATES);
    slot->states[slot->n_states++] = (dn_slot_state){.name = name, .rows = rows, .cols = cols, .part = part};
}

dn_block dn_slot_part(const dn_slot *slot, const int at[DN_N_AXES])
{
    return dn_layout_part(&slot->layout, at);
}

/* Elements of the largest part of any rank. */
static size_t room(const dn_slot *slot, const dn_slot_state *state)
{
    const int *size = slot->layout.size;
    size_t most = 0;
    for (int rank = 0; rank < dn_axes_size(size, DN_ALL_AXES); rank++) {
        int at[DN_N_AXES];
        dn_mesh_at(size, rank, at);
        dn_block part = state->part(slot, at);
        if (most < part.rows * part.cols)
            most = part.rows * part.cols;
    }
    return most;
}

void dn_slot_take(dn_slot *slot, dn_arena *heap)
{
    for (int i = 0; i < slot->n_states; i++)
        slot->states[i].data = dn_arena_take(heap, room(slot, &slot->states[i]) * sizeof(dn_real));
}

void dn_slot_point(dn_slot *slot, const int at[DN_N_AXES])
{
    slot->part = dn_layout_part(&slot->layout, at);
    size_t skipped = (slot->part.row0 - slot->param->block.row0) * slot->param->block.cols;
    slot->weight = dn_at(slot->param->weight, skipped);
    slot->grad = dn_at(slot->param->grad, skipped);
}
