/* Dion's factors P and R are averaged in every step instead of gradients, whose low-rank part they hold. */
#include "strategy/strategy.h"

const dn_strategy dn_strategy_factors = {
    .name = "factors",
    .help = "low-rank factors are averaged in every step, in place of gradients (dion)",
    .factors = true,
};
