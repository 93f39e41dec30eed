/* Federated averaging (McMahan et al., arXiv 1602.05629): in each round clients drawn at random train the same version w on their
 * own rows, and the server takes their mean, each by its rows n_c:
 *
 *     w = sum n_c w_c / sum n_c
 */
#include "strategy/strategy.h"

static int out(const dn_strategy_config *config, int n_clients)
{
    return dn_option_of_clients(config->options[0].real, n_clients);
}

static const dn_client_rules rules = {.out = out};

const dn_strategy dn_strategy_fedavg = {
    .name = "fedavg",
    .help = "of clients: in rounds, whose weights are averaged by their rows",
    .family = DN_OF_CLIENTS,
    .lossless = "client_fraction=1 local_steps=1 optimizer=sgd scalar_opt=sgd mu=0 clip_grad_norm=0",
    .options = {{&dn_option_client_fraction, "0.1"}},
    .clients = &rules,
};
