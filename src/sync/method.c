#include "sync/method.h"

const dn_method *dn_method_of(dn_rule rule)
{
    static const dn_method *const table[] = {
        [DN_RULE_DION] = &dn_method_dion,
        [DN_RULE_ADAMW] = &dn_method_adamw,
        [DN_RULE_LION] = &dn_method_lion,
    };
    return (size_t)rule < sizeof table / sizeof *table ? table[rule] : NULL;
}
