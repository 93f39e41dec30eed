/* Local SGD (Stich, arXiv 1805.09767): replicas step alone, with any rule, and every sync_every steps
 *
 *     w = mean of w_i
 */
#include "strategy/strategy.h"

static const dn_exchange weights = {
    .pattern = DN_MEAN,
    .of = DN_OF_WEIGHT,
    .kind = DN_TRAFFIC_WEIGHTS,
    .due = dn_strategy_every,
    .equalizes = dn_strategy_always,
};

const dn_strategy dn_strategy_local_sgd = {
    .name = "local_sgd",
    .help = "replicas step alone; weights are averaged every sync_every steps",
    .family = DN_AFTER_RULE,
    .lossless = "sync_every=1 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {{&dn_option_sync_every, "30"}},
    .exchanges = {&weights},
};
