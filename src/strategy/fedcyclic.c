/* Cyclic aggregation as published (Lee et al., arXiv 2210.16520): federated averaging whose server multiplies the mean m of round j by
 * a rate that rises and falls (cyclic.c has the formulas). a is the version before:
 *
 *     scale: w = (1 - r_j) m, as the authors' code has it          step: w = m - r_j (m - a)
 *
 * `scale` is the default here: it is what was published. Harmless it is only where norms forget a scale of the weights, which this
 * project's models do in part. With amplitude 0 it is fedavg, bit for bit.
 */
#include "strategy/cyclic.h"

enum { FRACTION, AMPLITUDE, CYCLES, FORM };

static int out(const dn_strategy_config *config, int n_clients)
{
    return dn_option_of_clients(config->options[FRACTION].real, n_clients);
}

static void serve(const dn_client_context *c, const dn_client_numbers *x)
{
    const dn_option_value *o = c->config->options;
    const dn_cycle cycle = {o[AMPLITUDE].real, (uint64_t)o[CYCLES].whole, o[FORM].choice};
    dn_cycle_apply(&cycle, c->step, c->config->n_steps, c->stream, x->weight, x->version, x->n);
}

static const dn_client_rules rules = {.out = out, .serve = serve};

const dn_strategy dn_strategy_fedcyclic = {
    .name = "fedcyclic",
    .help = "of clients: fedavg whose averages overshoot and fall short by turns",
    .family = DN_OF_CLIENTS,
    .lossless = "cycle_amplitude=0",
    .options = {[FRACTION] = {&dn_option_client_fraction, "0.1"},
                [AMPLITUDE] = {&dn_option_cycle_amplitude, "0.01"},
                [CYCLES] = {&dn_option_cycles, "10"},
                [FORM] = {&dn_option_cycle_form, "scale"}},
    .clients = &rules,
};
