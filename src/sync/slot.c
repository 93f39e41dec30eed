#include "sync/slot.h"

#include <stdio.h>

static void describe_dion(const dn_optim_config *config, const dn_param *param, dn_slot *slot)
{
    dn_dion_shape z =
        dn_dion_shape_of(param->rows, param->cols, config->rank_fraction, config->rank_multiple_of);
    slot->shape = z;
    slot->compressed = config->compress && dn_dion_compresses(&z, config->rank_fraction);
    slot->count[DN_SLOT_SECOND] = slot->count[DN_SLOT_R] = z.n * z.r;
    slot->count[DN_SLOT_P] = z.m * z.r;
}

dn_slot dn_slot_of(const dn_optim_config *config, const dn_param *param)
{
    dn_slot slot = {.rule = param->kind == DN_PARAM_MATRIX ? config->matrix_rule : config->scalar_rule};
    slot.count[DN_SLOT_MOMENTUM] = dn_param_size(param);
    if (slot.rule == DN_RULE_DION)
        describe_dion(config, param, &slot);
    else if (slot.rule == DN_RULE_ADAMW)
        slot.count[DN_SLOT_SECOND] = dn_param_size(param);
    return slot;
}

int *dn_slots_take(const dn_optim_config *config, const dn_param *params, size_t n_params, dn_arena *arena,
                   dn_slot *slots)
{
    for (size_t i = 0; slots && i < n_params; i++)
        slots[i] = dn_slot_of(config, &params[i]);
    for (int buffer = 0; buffer < DN_N_SLOT_BUFFERS; buffer++)
        for (size_t i = 0; i < n_params; i++) {
            dn_slot slot = dn_slot_of(config, &params[i]);
            void *taken = dn_arena_take(arena, slot.count[buffer] * sizeof(dn_real));
            if (slots && slot.count[buffer])
                slots[i].buffers[buffer] = taken;
        }
    return dn_arena_take(arena, n_params * sizeof(int));
}

dn_state dn_slot_state(const dn_slot *slot, const dn_param *param, int buffer, int n_replicas)
{
    static const char *const names[][2] = {[DN_RULE_DION] = {"dion.momentum", "dion.q"},
                                           [DN_RULE_ADAMW] = {"adamw.m", "adamw.v"},
                                           [DN_RULE_LION] = {"lion.m", NULL}};
    bool is_q = slot->rule == DN_RULE_DION && buffer == DN_SLOT_SECOND;
    dn_state state = {.rows = is_q ? slot->shape.n : param->rows,
                      .cols = is_q ? slot->shape.r : param->cols,
                      .data = slot->buffers[buffer],
                      .per_replica = slot->compressed && n_replicas > 1 && !is_q};
    snprintf(state.name, sizeof state.name, "%s.%s", names[slot->rule][buffer], param->name);
    return state;
}
