/* DES-LOC (Iacob et al., arXiv 2505.22549): local SGD that averages the rule's states, too, at periods of their own: they
 * change more slowly than weights. Every H steps weights, every H K_u first moments (momenta), every H K_v second ones.
 *
 * This project's choices: second moments are averaged before first ones. Where a replica's second moment is 0 (a word that it
 * never met) its first moment stays 0, as the others' divided by epsilon would throw the weight away.
 */
#include "strategy/strategy.h"

#include <string.h>

enum { SYNC_EVERY, FIRST_EVERY, SECOND_EVERY };

static const dn_key first_every =
    DN_STRATEGY_INT("first_moment_every", 1, 1e6, "first moments (momenta) are averaged with every so many of the weights' exchanges");
static const dn_key second_every =
    DN_STRATEGY_INT("second_moment_every", 1, 1e6, "second moments are averaged with every so many of the weights' exchanges");

static bool is_due(const dn_strategy_context *c, int option)
{
    const dn_option_value *o = c->config->options;
    return (c->step + 1) % ((uint64_t)o[SYNC_EVERY].whole * (uint64_t)o[option].whole) == 0;
}

static bool first_due(const dn_strategy_context *c, const dn_strategy_param *x)
{
    (void)x;
    return is_due(c, FIRST_EVERY);
}

static bool second_due(const dn_strategy_context *c, const dn_strategy_param *x)
{
    (void)x;
    return is_due(c, SECOND_EVERY);
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
                [SECOND_EVERY] = {&second_every, "6"}},
    .exchanges = {&second, &first, &weights},
    .scratch = two_blocks,
};
