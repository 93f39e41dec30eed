/* DES-LOC (Iacob et al., arXiv 2505.22549): local SGD that averages the rule's states, too, at periods of their own: they
 * change more slowly than weights. Every H steps weights, every H K_u first moments (momenta), every H K_v second ones.
 *
 * This project's choice: K_v is K_u if not given, and second moments are averaged before first ones. The authors recommend twice K_u.
 * But Adam's step stays of the size of lr because, of one replica's gradients, and with beta1^2 < beta2,
 *
 *     m^2 <= c v,  c = (1 - beta1)^2 / ((1 - beta2) (1 - beta1^2 / beta2))        (Cauchy and Schwarz)
 *
 * which (mean of m)^2 <= mean of m^2 <= c (mean of v) keeps where both are averaged, and nothing keeps where m alone is: the others'
 * momentum over the v of a replica that has not met a word for some half-lives of beta2 moves the weight by hundreds of lr. The v
 * of a word that it never met is 0; there, whatever K_v, the replica's momentum stays 0.
 */
#include "strategy/strategy.h"

#include <string.h>

enum { SYNC_EVERY, FIRST_EVERY, SECOND_EVERY };

static const dn_key first_every =
    DN_STRATEGY_INT("first_moment_every", 1, 1e6, "first moments (momenta) are averaged with every so many of the weights' exchanges");
static const dn_key second_every =
    DN_STRATEGY_INT("second_moment_every", 1, 1e6, "second moments are averaged with every so many of the weights' exchanges; null = with the first");

static bool is_due(const dn_strategy_context *c, int64_t every)
{
    return (c->step + 1) % ((uint64_t)c->config->options[SYNC_EVERY].whole * (uint64_t)every) == 0;
}

static bool first_due(const dn_strategy_context *c, const dn_strategy_param *x)
{
    (void)x;
    return is_due(c, c->config->options[FIRST_EVERY].whole);
}

static bool second_due(const dn_strategy_context *c, const dn_strategy_param *x)
{
    const dn_option_value *o = c->config->options;
    (void)x;
    return is_due(c, o[SECOND_EVERY].whole ? o[SECOND_EVERY].whole : o[FIRST_EVERY].whole);
}

static bool is_first(const char *state)
{
    return strcmp(state, "m") == 0 || strcmp(state, "momentum") == 0;
}

static bool is_second(const char *state)
{
    return strcmp(state, "v") == 0 || strcmp(state, "second") == 0;
}

static size_t two_blocks(const dn_strategy_config *config, dn_param_kind kind, size_t rows, size_t cols)
{
    (void)config;
    return 2 * rows * cols;
}

static const dn_exchange second = {
    .of = DN_OF_STATES, .kind = DN_TRAFFIC_MOMENTUM, .due = second_due, .takes = is_second};
static const dn_exchange first = {
    .of = DN_OF_STATES, .kind = DN_TRAFFIC_MOMENTUM, .due = first_due, .takes = is_first, .where = is_second};
static const dn_exchange weights = {
    .of = DN_OF_WEIGHT, .kind = DN_TRAFFIC_WEIGHTS, .due = dn_strategy_every, .equalizes = dn_strategy_always};

const dn_strategy dn_strategy_desloc = {
    .name = "desloc",
    .help = "local_sgd that averages the rule's momenta and second moments, too, less often",
    .family = DN_AFTER_RULE,
    .lossless = "sync_every=1 first_moment_every=1 second_moment_every=1 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {[SYNC_EVERY] = {&dn_option_sync_every, "30"},
                [FIRST_EVERY] = {&first_every, "3"},
                [SECOND_EVERY] = {&second_every, "null"}},
    .exchanges = {&second, &first, &weights},
    .scratch = two_blocks,
};
