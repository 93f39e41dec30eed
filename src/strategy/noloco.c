/* NoLoCo (Kolehmainen et al., arXiv 2506.10911): no collective. Replicas step alone; every sync_every steps random pairs
 * take an outer step along their mean drift and towards each other. a_i is where replica i set out from, m_i its momentum,
 * means are over the pair:
 *
 *     m_i = mu m_i + eta mean(w - a) + eta (mean(a) - a_i);  a_i = a_i + m_i;  w_i = a_i
 *
 * A message is w - a, then a. Replicas stay apart; validation and checkpoints see their mean, which pairs do not change but
 * for their drift. This project's choice: of an odd number of replicas one is its own partner.
 */
#include "strategy/strategy.h"

enum { SYNC_EVERY, OUTER_LR, OUTER_MOMENTUM };
enum { ANCHOR, MOMENTUM };

static size_t drift_and_anchor(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    return 2 * rows * cols;
}

static dn_status encode(const dn_strategy_context *c, const dn_strategy_param *x, dn_message *message)
{
    dn_strategy_difference(c->stream, message->numbers, x->weight, x->states[ANCHOR], x->n);
    c->stream->kernels->copy(c->stream, dn_at(message->numbers, x->n), x->states[ANCHOR], x->n);
    return DN_OK;
}

static void decode(const dn_strategy_context *c, const dn_strategy_param *x, const dn_message *message)
{
    const dn_kernels *k = c->stream->kernels;
    const dn_option_value *o = c->config->options;
    double half = o[OUTER_LR].real / 2;
    dn_buf *a = x->states[ANCHOR], *m = x->states[MOMENTUM], *w = x->weight;
    k->axpby(c->stream, w, -1, a, 1, x->n);
    k->axpby(c->stream, m, half, w, o[OUTER_MOMENTUM].real, x->n);
    k->axpby(c->stream, m, half, message->numbers, 1, x->n);
    k->axpby(c->stream, m, half, dn_at(message->numbers, x->n), 1, x->n);
    k->axpby(c->stream, m, -half, a, 1, x->n);
    k->axpby(c->stream, a, 1, m, 1, x->n);
    k->copy(c->stream, w, a, x->n);
}

static const dn_exchange pairs = {
    .pattern = DN_PAIR,
    .kind = DN_TRAFFIC_DELTA,
    .length = drift_and_anchor,
    .due = dn_strategy_every,
    .encode = encode,
    .decode = decode,
};

const dn_strategy dn_strategy_noloco = {
    .name = "noloco",
    .help = "replicas step alone; every sync_every steps random pairs take an outer step towards each other",
    .family = DN_AFTER_RULE,
    .lossless = "sync_every=1 outer_lr=1 outer_momentum=0 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .lossless_replicas = 2,
    .options = {[SYNC_EVERY] = {&dn_option_sync_every, "50"},
                [OUTER_LR] = {&dn_option_outer_lr, "0.7"},
                [OUTER_MOMENTUM] = {&dn_option_outer_momentum, "0.5"}},
    .states = {[ANCHOR] = {.name = "noloco.anchor", .residence = DN_PER_REPLICA, .weight = true},
               [MOMENTUM] = {.name = "noloco.momentum", .residence = DN_PER_REPLICA}},
    .exchanges = {&pairs},
};
