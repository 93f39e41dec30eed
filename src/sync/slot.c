#include "sync/slot.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "shm/world.h"
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

dn_block dn_slot_state_part(const dn_slot *slot, const dn_slot_state *state, const int at[DN_N_AXES])
{
    if (state->part)
        return state->part(slot, at);
    bool owns = dn_mesh_rank(slot->layout.size, at) == slot->owner;
    return (dn_block){0, owns ? state->rows : 0, 0, state->cols};
}

/* Elements of the largest part of a state. */
static size_t largest(const dn_slot *slot, const dn_slot_state *state)
{
    size_t most = 0;
    int at[DN_N_AXES];
    for (int rank = 0; rank < dn_axes_size(slot->layout.size, DN_ALL_AXES); rank++) {
        dn_mesh_at(slot->layout.size, rank, at);
        dn_block part = dn_slot_state_part(slot, state, at);
        most = part.rows * part.cols > most ? part.rows * part.cols : most;
    }
    return most;
}

typedef enum taken { STORED, ROOM } taken;

/* Memory for one state: where it is stored, or room to open it in, if it needs any. */
static void *take(const dn_slot *slot, const dn_slot_state *state, taken what, dn_arena *arena)
{
    size_t bytes = what == ROOM ? sizeof(dn_real) : dn_type_bytes(state->type);
    if (what == ROOM && state->type == DN_REAL)
        return NULL;
    return dn_arena_take(arena, dn_size_mul(largest(slot, state), bytes));
}

/* Of all states: first those that have parts on all ranks; behind them, from one place on, what each rank
 * owns. out is the slots again, to be told; NULL: only measures. */
static void lay_out(const dn_slot *slots, size_t n, taken what, dn_arena *arena, dn_slot *out)
{
    dn_arena owners[DN_MAX_RANKS];
    int n_ranks = n > 0 ? dn_axes_size(slots[0].layout.size, DN_ALL_AXES) : 0;
    for (int owned = 0; owned < 2; owned++) {
        for (int rank = 0; rank < n_ranks; rank++)
            owners[rank] = *arena;
        for (size_t i = 0; i < n; i++)
            for (int k = 0; k < slots[i].n_states; k++) {
                const dn_slot_state *state = &slots[i].states[k];
                if ((state->part == NULL) != (owned == 1))
                    continue;
                dn_arena *from = owned ? &owners[slots[i].owner] : arena;
                void *memory = take(&slots[i], state, what, from);
                arena->used = dn_max(arena->used, from->used);
                if (out && what == STORED)
                    out[i].states[k].stored = memory;
                if (out && state->type == (what == STORED ? DN_REAL : DN_BF16))
                    out[i].states[k].data = memory;
            }
    }
}

void dn_slots_take(dn_slot *slots, size_t n, dn_arena *heap)
{
    lay_out(slots, n, STORED, heap, slots);
}

void dn_slots_take_room(dn_slot *slots, size_t n, dn_arena *arena)
{
    lay_out(slots, n, ROOM, arena, slots);
}

size_t dn_slots_room_bytes(const dn_slot *slots, size_t n)
{
    dn_arena measure = {0};
    lay_out(slots, n, ROOM, &measure, NULL);
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
        dn_block part = dn_slot_state_part(slot, &slot->states[i], at);
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
