/* DiLoCo (Douillard et al., arXiv 2311.08105; with Muon inside it is MuLoCo): replicas step alone, with any rule; every
 * sync_every steps their mean drift is the gradient of an outer step with Nesterov momentum. a is where the replicas
 * set out from, b the outer momentum:
 *
 *     d = a - mean of w_i;  b = mu b + d;  a = a - eta (d + mu b);  w = a
 *
 * Where eta and mu are not given they follow the number of rounds in the run: momentum that few rounds build up does
 * harm. eta 1 and mu 0 are local_sgd.
 */
#include "strategy/outer.h"

enum { SYNC_EVERY, OUTER_LR, OUTER_MOMENTUM };
enum { ANCHOR, MOMENTUM };

static void step_outer(const dn_strategy_context *c, const dn_strategy_param *x, dn_buf *w)
{
    const dn_option_value *o = c->config->options;
    dn_outer outer = dn_outer_by_rounds(o[OUTER_LR].real, o[OUTER_MOMENTUM].real,
                                        c->config->n_steps / (uint64_t)o[SYNC_EVERY].whole);
    c->stream->kernels->axpby(c->stream, w, 1, x->states[ANCHOR], -1, x->n);
    dn_outer_step(c->stream, outer, x->states[ANCHOR], x->states[MOMENTUM], w, x->n);
    c->stream->kernels->copy(c->stream, w, x->states[ANCHOR], x->n);
}

static const dn_exchange weights = {
    .pattern = DN_MEAN,
    .of = DN_OF_WEIGHT,
    .kind = DN_TRAFFIC_WEIGHTS,
    .due = dn_strategy_every,
    .at_owner = step_outer,
    .equalizes = dn_strategy_always,
};

const dn_strategy dn_strategy_diloco = {
    .name = "diloco",
    .help = "replicas step alone; every sync_every steps an outer step with momentum along their mean drift",
    .family = DN_AFTER_RULE,
    .lossless = "sync_every=1 outer_lr=1 outer_momentum=0 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {[SYNC_EVERY] = {&dn_option_sync_every, "30"},
                [OUTER_LR] = {&dn_option_outer_lr, "null"},
                [OUTER_MOMENTUM] = {&dn_option_outer_momentum, "null"}},
    .states = {[ANCHOR] = {.name = "diloco.anchor", .residence = DN_SHARDED, .weight = true}, [MOMENTUM] = {.name = "diloco.momentum", .residence = DN_SHARDED}},
    .exchanges = {&weights},
};
