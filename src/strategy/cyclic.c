/* Cyclic aggregation (Lee et al., arXiv 2210.16520): local SGD whose averaging rate rises and falls with the round j. a is
 * where the replicas set out from, m the mean of w_i:
 *
 *     r_j = amplitude * (2 frac(cycles j / rounds) - 1)
 *     step:   w = m - r_j (m - a)          scale: w = (1 - r_j) m, as the authors' code has it
 *
 * This project's choices: `step` is the default, as this model's norms forget a scale of its weights only in part; cycles are
 * counted over the whole run. With amplitude 0 it is local_sgd, bit for bit.
 */
#include "strategy/cyclic.h"

enum { SYNC_EVERY, AMPLITUDE, CYCLES, FORM };

const dn_key dn_option_cycle_amplitude = DN_STRATEGY_REAL("cycle_amplitude", -0.49, 0.49, "by how much the averaging rate rises and falls");
const dn_key dn_option_cycles = DN_STRATEGY_INT("cycles", 1, 1e6, "times that it does so in the run");
const dn_key dn_option_cycle_form = DN_STRATEGY_ENUM("cycle_form", "step|scale", "what it multiplies: the step since the last exchange, or the mean");

void dn_cycle_apply(const dn_cycle *cycle, uint64_t round, uint64_t n_rounds, dn_stream *s, dn_buf *mean, const dn_buf *anchor, size_t n)
{
    double sawtooth = n_rounds ? 2 * (double)(cycle->cycles * round % n_rounds) / (double)n_rounds - 1 : -1;
    double r = cycle->amplitude * sawtooth;
    if (cycle->form == DN_CYCLE_SCALE)
        s->kernels->scale(s, mean, 1 - r, mean, n);
    else if (r != 0)
        s->kernels->axpby(s, mean, r, anchor, 1 - r, n);
}

static void aggregate(const dn_strategy_context *c, const dn_strategy_param *x, dn_buf *mean)
{
    const dn_option_value *o = c->config->options;
    const dn_cycle cycle = {o[AMPLITUDE].real, (uint64_t)o[CYCLES].whole, o[FORM].choice};
    uint64_t every = (uint64_t)o[SYNC_EVERY].whole;
    dn_cycle_apply(&cycle, (c->step + 1) / every - 1, c->config->n_steps / every, c->stream, mean, x->states[0], x->n);
    c->stream->kernels->copy(c->stream, x->states[0], mean, x->n);
}

static const dn_exchange weights = {
    .pattern = DN_MEAN,
    .of = DN_OF_WEIGHT,
    .kind = DN_TRAFFIC_WEIGHTS,
    .due = dn_strategy_every,
    .at_owner = aggregate,
    .equalizes = dn_strategy_always,
};

const dn_strategy dn_strategy_cyclic = {
    .name = "cyclic",
    .help = "local_sgd whose averages overshoot and fall short by turns",
    .family = DN_AFTER_RULE,
    .lossless = "sync_every=1 cycle_amplitude=0 optimizer=sgd scalar_opt=sgd clip_grad_norm=0",
    .options = {[SYNC_EVERY] = {&dn_option_sync_every, "30"},
                [AMPLITUDE] = {&dn_option_cycle_amplitude, "0.01"},
                [CYCLES] = {&dn_option_cycles, "10"},
                [FORM] = {&dn_option_cycle_form, "step"}},
    .states = {{.name = "cyclic.anchor", .residence = DN_SHARDED, .weight = true}},
    .exchanges = {&weights},
};
