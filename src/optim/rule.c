#include "optim/rule.h"

#include "optim/rules.h" /* DN_RULES(X): made of the list in meson.build */

#include <math.h>
#include <string.h>

#define DECLARE(name) extern const dn_rule dn_rule_##name;
#define ADDRESS(name) &dn_rule_##name,

DN_RULES(DECLARE)

static const dn_rule *const rules[] = {DN_RULES(ADDRESS)};

enum { N_RULES = sizeof rules / sizeof *rules };

const dn_rule_info *dn_rule_at(size_t index)
{
    return index < N_RULES ? &rules[index]->info : NULL;
}

const dn_rule *dn_rule_row(const char *name)
{
    for (size_t i = 0; name && i < N_RULES; i++) {
        if (strcmp(rules[i]->info.name, name) == 0)
            return rules[i];
        for (size_t k = 0; k < DN_MAX_SCRIPT_NAMES && rules[i]->script[k].name; k++)
            if (strcmp(rules[i]->script[k].name, name) == 0)
                return rules[i];
    }
    return NULL;
}

bool dn_rule_has_factors(const char *name)
{
    const dn_rule *rule = dn_rule_row(name);
    return rule && rule->executor == DN_LOW_RANK;
}

dn_script_name dn_rule_script(size_t index)
{
    for (size_t i = 0; i < N_RULES; i++)
        for (size_t k = 0; k < DN_MAX_SCRIPT_NAMES && rules[i]->script[k].name; k++)
            if (index-- == 0)
                return rules[i]->script[k];
    return (dn_script_name){0};
}

const dn_rule_info *dn_rule_find(const char *name)
{
    const dn_rule *rule = dn_rule_row(name);
    return rule ? &rule->info : NULL;
}

dn_selection dn_rule_selection(const dn_rule *rule, size_t rows, size_t cols, double fraction)
{
    dn_selection z = {.rows = rows, .cols = cols};
    z.by_rows = rule->selects != DN_SELECT_SHORT_SIDE || rows <= cols;
    z.size = z.by_rows ? rows : cols;
    z.k = rule->selects == DN_SELECT_ALL ? z.size : (size_t)ceil(fraction * (double)z.size);
    return z;
}
