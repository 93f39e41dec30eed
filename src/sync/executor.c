#include "sync/executor.h"

const dn_executor *dn_executor_of(const dn_rule *rule)
{
    static const dn_executor *const table[] = {[DN_ELEMENT_WISE] = &dn_executor_element_wise,
                                               [DN_OWNER] = &dn_executor_owner,
                                               [DN_LOW_RANK] = &dn_executor_low_rank};
    return table[rule->executor];
}

dn_step_params dn_slot_params(const dn_slot *slot, uint64_t step, double lr)
{
    return (dn_step_params){
        .step = step, .lr = lr * slot->group.lr_scale, .weight_decay = slot->group.weight_decay};
}
