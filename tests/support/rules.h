/* Rules by name, in tests. */
#ifndef SUPPORT_RULES_H
#define SUPPORT_RULES_H

#include "optim/rule.h"

#include <stdbool.h>
#include <string.h>

static inline bool is_rule(const char *rule, const char *name)
{
    return strcmp(rule, name) == 0;
}

static inline bool is_owner_rule(const char *rule)
{
    return dn_rule_row(rule)->executor == DN_OWNER;
}

#endif
