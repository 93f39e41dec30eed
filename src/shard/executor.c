#include "shard/executor.h"

const dn_executor *dn_executor_of(const dn_rule *rule)
{
    static const dn_executor *const table[] = {[DN_ELEMENT_WISE] = &dn_executor_element_wise,
                                               [DN_OWNER] = &dn_executor_owner,
                                               [DN_LOW_RANK] = &dn_executor_low_rank};
    return table[rule->executor];
}

dn_update_params dn_param_state_update_params(const dn_param_state *ps, uint64_t step, double lr)
{
    return (dn_update_params){
        .step = step, .lr = lr * ps->options.lr_scale, .weight_decay = ps->options.weight_decay};
}
