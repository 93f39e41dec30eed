/* DiLoCo (Douillard et al., arXiv 2311.08105; with Muon inside it is MuLoCo): replicas step alone, with any rule; every
 * sync_every steps their mean drift is the gradient of an outer step with Nesterov momentum. a is where the replicas
 * set out from, b the outer momentum:
 *
 *     d = a - mean of w_i;  b = mu b + d;  a = a - eta (d + mu b);  w = a
 *
 * Where eta and mu are not given they follow the number of rounds in the run: momentum that few rounds build up does
 * harm. eta 1 and mu 0 are local_sgd.
 */
#include "compute/kernels.h"
#include "strategy/strategy.h"

#include <math.h>

static const struct {
    uint64_t rounds; /* below so many */
    double eta, mu;
} by_rounds[] = {{100, 1, 0}, {500, 0.8, 0.6}, {UINT64_MAX, 0.7, 0.9}};

static void begin(dn_stream *s, const dn_strategy_shard *x)
{
    s->kernels->copy(s, x->states[0], x->weight, x->n);
}

static void apply(dn_stream *s, const dn_strategy_config *config, const dn_strategy_shard *x)
{
    const dn_kernels *k = s->kernels;
    dn_buf *a = x->states[0], *b = x->states[1], *d = x->weight;
    int row = 0;
    while (config->n_steps / config->sync_every >= by_rounds[row].rounds)
        row++;
    double eta = isnan(config->outer_lr) ? by_rounds[row].eta : config->outer_lr;
    double mu = isnan(config->outer_momentum) ? by_rounds[row].mu : config->outer_momentum;
    k->axpby(s, d, 1, a, -1, x->n);
    k->axpby(s, b, 1, d, mu, x->n);
    k->axpby(s, a, -eta, d, 1, x->n);
    k->axpby(s, a, -eta * mu, b, 1, x->n);
    k->copy(s, x->weight, a, x->n);
}

const dn_strategy dn_strategy_diloco = {
    .name = "diloco",
    .help = "replicas step alone; every sync_every steps an outer step with momentum along their mean drift",
    .local = true,
    .lossless = "sync_every=1 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .states = {"diloco.anchor", "diloco.momentum"},
    .due = dn_strategy_every,
    .begin = begin,
    .apply = apply,
};
