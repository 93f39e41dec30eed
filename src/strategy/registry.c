#include "strategy/strategies.h" /* DN_STRATEGIES(X): made of the list in meson.build */
#include "strategy/strategy.h"

#include <string.h>

#define DECLARE(name) extern const dn_strategy dn_strategy_##name;
#define ADDRESS(name) &dn_strategy_##name,

DN_STRATEGIES(DECLARE)

static const dn_strategy *const strategies[] = {DN_STRATEGIES(ADDRESS)};

const dn_strategy *dn_strategy_find(const char *name)
{
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++)
        if (strcmp(strategies[i]->name, name) == 0)
            return strategies[i];
    return NULL;
}
