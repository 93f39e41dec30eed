#include "base/fail.h"
#include "optim/rule.h"
#include "strategy/strategies.h" /* DN_STRATEGIES(X): made of the list in meson.build */
#include "strategy/strategy.h"

#include <string.h>

#define DECLARE(name) extern const dn_strategy dn_strategy_##name;
#define ADDRESS(name) &dn_strategy_##name,

DN_STRATEGIES(DECLARE)

static const dn_strategy *const strategies[] = {DN_STRATEGIES(ADDRESS)};

enum { N_STRATEGIES = sizeof strategies / sizeof *strategies };

const dn_strategy *dn_strategy_at(size_t index)
{
    return index < N_STRATEGIES ? strategies[index] : NULL;
}

const dn_strategy *dn_strategy_find(const char *name)
{
    for (size_t i = 0; i < N_STRATEGIES; i++)
        if (strcmp(strategies[i]->name, name) == 0)
            return strategies[i];
    return NULL;
}

dn_status dn_strategy_check_rule(const dn_strategy *strategy, const char *matrix_rule)
{
    if (strategy->factors && dn_rule_row(matrix_rule) && !dn_rule_has_factors(matrix_rule))
        return dn_fail(DN_ERR_CONFIG, "strategy %s: rule %s has no low-rank factors to exchange; use strategy average",
                       strategy->name, matrix_rule);
    return DN_OK;
}

int dn_strategy_n_kinds(const dn_strategy *strategy)
{
    int n = 0;
    while (n < DN_STRATEGY_STATES_MAX && strategy->states[n].name)
        n++;
    return n;
}

uint64_t dn_strategy_delay(const dn_strategy *strategy, const dn_strategy_config *config)
{
    uint64_t least = UINT64_MAX;
    for (int k = 0; k < dn_strategy_n_exchanges(strategy); k++) {
        const dn_exchange *e = strategy->exchanges[k];
        uint64_t delay = e->delay ? e->delay(config) : 0;
        if ((!e->used || e->used(config)) && delay < least)
            least = delay;
    }
    return least == UINT64_MAX ? 0 : least;
}

int dn_strategy_n_exchanges(const dn_strategy *strategy)
{
    int n = 0;
    while (n < DN_STRATEGY_EXCHANGES_MAX && strategy->exchanges[n])
        n++;
    return n;
}
