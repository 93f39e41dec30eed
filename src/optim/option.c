#include "optim/option.h"

#include "base/key.h"
#include "optim/rule.h"

#include <stdio.h>
#include <string.h>

/* ---- of every rule ---- */

static const dn_key general[] = {
    DN_OPTION(groups[DN_PARAM_MATRIX].weight_decay, "weight_decay", "0.01", .max = 1e6,
              .help = "decoupled weight decay of hidden matrices"),
    DN_OPTION(clip_norm, "clip_grad_norm", "0", .max = 1e15,
              .help = "gradients of a larger norm, all together, are scaled down to it; 0 = never"),
    DN_OPTION(state_precision, "state_precision", "full", .choices = "full|bfloat16",
              .help =
                  "momentum, Q and second moments between steps; bfloat16: half the memory, at two to three "
                  "digits"),
};

enum { N_GENERAL = sizeof general / sizeof *general };

/* ---- of several rules ---- */

const dn_key dn_option_mu = DN_OPTION(mu, "mu", "0.95", .max = 1, .help = "decay of the momentum");
const dn_key dn_option_rank_fraction =
    DN_OPTION(rank_fraction, "ortho_fraction", "0.25", .min = 1e-9, .max = 1,
              .help = "the rank as a part of min(rows, columns); of selected rows or columns, their part");
const dn_key dn_option_eps =
    DN_OPTION(eps, "epsilon", "1e-8", .min = 1e-30, .max = 1,
              .help = "added to Dion's column norms, Adam's root and Newton-Schulz's norm");
const dn_key dn_option_nesterov = DN_OPTION(nesterov, "nesterov", "false", .help = "Nesterov momentum");
const dn_key dn_option_adjust =
    DN_OPTION(adjust, "adjust_lr", "spectral_norm", .choices = "spectral_norm|rms_norm|none",
              .help = "scale of updates: sqrt(rows/columns), 0.2 sqrt(max), 1");
const dn_key dn_option_newton_schulz =
    DN_OPTION(newton_schulz, "newton_schulz", "polar_express", .choices = DN_NS_NAMES,
              .help = "coefficients of Newton-Schulz: Polar Express, microsoft/dion's, Keller Jordan's");
const dn_key dn_option_gram =
    DN_OPTION(gram, "use_gram_newton_schulz", "false",
              .help = "the Gram form of Newton-Schulz, cheaper for long matrices; always Dion3's");
const dn_key dn_option_selection =
    DN_OPTION(local_selection, "selection", "global", .choices = "global|local",
              .help = "the largest rows or columns of a matrix, or of each part that fs or tp cuts");
const dn_key dn_option_row_beta2 = DN_OPTION(row_beta2, "muon_beta2", "0.95", .max = DN_DECAY_MAX,
                                             .help = "decay of the second moments of rows");
const dn_key dn_option_beta1 =
    DN_OPTION(beta1, "beta1", "0.9", .max = DN_DECAY_MAX, .help = "first decay rate");
const dn_key dn_option_beta2 =
    DN_OPTION(beta2, "beta2", "0.95", .max = DN_DECAY_MAX, .help = "second decay rate");

const dn_key dn_option_cautious =
    DN_OPTION(cautious, "cautious", "false", .help = "no decay of weights that the update lets grow");

/* ---- all ---- */

static bool takes(const dn_rule *rule, const dn_key *option)
{
    for (size_t i = 0; i < DN_MAX_OPTIONS && rule->options[i]; i++)
        if (rule->options[i] == option)
            return true;
    return false;
}

static bool stands_before(const dn_key *option, size_t rule)
{
    for (size_t k = 0; k < rule; k++)
        if (takes(dn_rule_row(dn_rule_at(k)->name), option))
            return true;
    return false;
}

const dn_key *dn_option_at(size_t index)
{
    if (index < N_GENERAL)
        return &general[index];
    index -= N_GENERAL;
    for (size_t k = 0; dn_rule_at(k); k++) {
        const dn_rule *rule = dn_rule_row(dn_rule_at(k)->name);
        for (size_t i = 0; i < DN_MAX_OPTIONS && rule->options[i]; i++)
            if (!stands_before(rule->options[i], k) && index-- == 0)
                return rule->options[i];
    }
    return NULL;
}

bool dn_rule_takes(const dn_rule_info *rule, const char *key)
{
    const dn_rule *row = dn_rule_row(rule->name);
    for (size_t i = 0; i < DN_MAX_OPTIONS && row->options[i]; i++)
        if (strcmp(row->options[i]->name, key) == 0)
            return true;
    return false;
}

void dn_options_init(dn_optim_config *config)
{
    config->matrix_rule = DN_MATRIX_RULE;
    config->scalar_rule = DN_SCALAR_RULE;
    for (int kind = 0; kind < DN_PARAM_N_KINDS; kind++)
        config->groups[kind] = (dn_group_options){.lr_scale = 1};
    const dn_key *option;
    for (size_t i = 0; (option = dn_option_at(i)); i++) {
        dn_status status = dn_key_parse((char *)config + option->offset, option, NULL, "default");
        (void)status; /* defaults are in range: a test holds the rows to that */
    }
}

dn_optim_config dn_optim_defaults(void)
{
    dn_optim_config config = {0};
    dn_options_init(&config);
    return config;
}
