/* Local SGD (Stich, arXiv 1805.09767): replicas step alone, with any rule, and every sync_every steps
 *
 *     w = mean of w_i
 */
#include "strategy/strategy.h"

const dn_strategy dn_strategy_local_sgd = {
    .name = "local_sgd",
    .help = "replicas step alone; weights are averaged every sync_every steps",
    .local = true,
    .lossless = "sync_every=1 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .due = dn_strategy_every,
};
