#include "sync/method.h"

const dn_method *dn_method_of(dn_rule rule)
{
    static const dn_method *const table[] = {
        [DN_RULE_DION] = &dn_method_dion,       [DN_RULE_ADAMW] = &dn_method_adamw,
        [DN_RULE_LION] = &dn_method_lion,       [DN_RULE_MUON] = &dn_method_muon,
        [DN_RULE_NORMUON] = &dn_method_normuon, [DN_RULE_DION2] = &dn_method_dion2,
        [DN_RULE_DION3] = &dn_method_dion3,     [DN_RULE_SGD] = &dn_method_sgd,
    };
    return (size_t)rule < sizeof table / sizeof *table ? table[rule] : NULL;
}
