/* Planted bugs that are a wrong row of a strategy. */
#include "verify/inside.h"

/* Hooks are not told whose they are. */
static _Thread_local const dn_exchange *real[DN_STRATEGY_EXCHANGES_MAX];

static bool has_ended(const dn_exchange *e, const dn_strategy_context *c, uint64_t step)
{
    return e->ends ? e->ends(c, step) : c->step + (e->delay ? e->delay(c->config) : 0) <= step;
}

/* In the step before this one. */
static bool ends_late_0(const dn_strategy_context *c, uint64_t step)
{
    return step > c->step && has_ended(real[0], c, step - 1);
}

static bool ends_late_1(const dn_strategy_context *c, uint64_t step)
{
    return step > c->step && has_ended(real[1], c, step - 1);
}

static bool ends_late_2(const dn_strategy_context *c, uint64_t step)
{
    return step > c->step && has_ended(real[2], c, step - 1);
}

const dn_strategy *dn_plant_strategy(dn_verify *v, const dn_strategy *strategy)
{
    dn_plant *plant = &v->plant;
    static bool (*const late[DN_STRATEGY_EXCHANGES_MAX])(const dn_strategy_context *, uint64_t) = {ends_late_0, ends_late_1,
                                                                                                  ends_late_2};
    if (plant->bug != DN_BUG_LATE_APPLY)
        return strategy;
    plant->strategy = *strategy;
    for (int k = 0; k < dn_strategy_n_exchanges(strategy); k++) {
        real[k] = strategy->exchanges[k];
        plant->exchanges[k] = *real[k];
        if (real[k]->window) /* messages that can be in flight across steps */
            plant->exchanges[k].ends = late[k];
        plant->strategy.exchanges[k] = &plant->exchanges[k];
    }
    return &plant->strategy;
}
