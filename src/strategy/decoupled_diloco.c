/* Decoupled DiLoCo (arXiv 2604.21428): learners, each on its own clock, make local_steps steps and send what they moved by; the server
 * merges whoever is there as soon as they are a quorum, each by its tokens squared over its steps, and makes DiLoCo's outer step. a
 * is the version before, a_i the one that learner i set out from:
 *
 *     d = sum f_i (a_i - w_i) / sum f_i,  f_i = tokens_i^2 / steps_i;   b = mu b + d;   a = a - eta (d + mu b)
 *
 * Read was an account of the text, not the text. This project's choices: the whole model is merged at once, not by fragments; a learner
 * begins each round with fresh states of its rule; who has sent gets the new version at once, without a time of grace. With all
 * learners waited for, eta 1, mu 0 and learners of as many rows and steps it is fedavg, bit for bit.
 */
#include "strategy/outer.h"

enum { FRACTION, QUORUM, OUTER_LR, OUTER_MOMENTUM };

static const dn_key quorum_key = DN_STRATEGY_REAL("quorum", 1e-6, 1, "part of the learners, at least one, that the server waits for to make a version");

static int out(const dn_strategy_config *config, int n_clients)
{
    return dn_option_of_clients(config->options[FRACTION].real, n_clients);
}

static int quorum(const dn_strategy_config *config, int n_clients)
{
    return dn_option_of_clients(config->options[QUORUM].real, n_clients);
}

/* Tokens are steps times a batch that all have. */
static double weight(const dn_client_context *c)
{
    return (double)c->n_steps;
}

static void serve(const dn_client_context *c, const dn_client_numbers *x)
{
    const dn_option_value *o = c->config->options;
    const dn_outer outer = dn_outer_by_rounds(o[OUTER_LR].real, o[OUTER_MOMENTUM].real, c->config->n_steps);
    const dn_kernels *k = c->stream->kernels;
    dn_buf *d = x->weight, *b = x->states[0];
    if (outer.lr == 1 && outer.momentum == 0)
        return; /* a - d is the mean */
    k->axpby(c->stream, d, 1, x->version, -1, x->n);
    k->axpby(c->stream, b, 1, d, outer.momentum, x->n);
    k->axpby(c->stream, d, 1, x->version, -outer.lr, x->n);
    k->axpby(c->stream, d, -outer.lr * outer.momentum, b, 1, x->n);
}

static const dn_client_rules rules = {
    .out = out,
    .quorum = quorum,
    .weight = weight,
    .of_changes = true,
    .serve = serve,
    .states = {"decoupled_diloco.momentum"},
};

const dn_strategy dn_strategy_decoupled_diloco = {
    .name = "decoupled_diloco",
    .help = "of clients: learners on their own clocks; what a quorum of them moved by makes an outer step",
    .family = DN_OF_CLIENTS,
    .lossless = "client_fraction=1 quorum=1 outer_lr=1 outer_momentum=0",
    .options = {[FRACTION] = {&dn_option_client_fraction, "1"},
                [QUORUM] = {&quorum_key, "0.5"},
                [OUTER_LR] = {&dn_option_outer_lr, "null"},
                [OUTER_MOMENTUM] = {&dn_option_outer_momentum, "null"}},
    .clients = &rules,
};
