/*
 * Options of rules: fields of dn_optim_config, each defined once, by a row with name, default, range and
 * help. The rows provide configuration keys and their help, validation, and defaults.
 *
 * An option of one rule only is defined in the rule's file, a shared one in option.c; a rule lists its
 * options (dn_rule.options).
 */
#ifndef OPTIM_OPTION_H
#define OPTIM_OPTION_H

#include "dionode/key.h"
#include "dionode/optim.h"

#define DN_FIELD_TYPE(field_)                                                                                \
    _Generic(((dn_optim_config *)0)->field_, int64_t                                                         \
             : DN_KEY_INT, double                                                                            \
             : DN_KEY_REAL, bool                                                                             \
             : DN_KEY_BOOL, default                                                                          \
             : DN_KEY_ENUM)

/* The row of a field: key, default, then designated initializers of dn_key: range or choices, help. */
#define DN_OPTION(field_, name_, initial_, ...)                                                              \
    {                                                                                                        \
        .name = name_, .field = #field_, .type = DN_FIELD_TYPE(field_),                                      \
        .offset = offsetof(dn_optim_config, field_), .initial = initial_, __VA_ARGS__                        \
    }

/* Largest decay of a running mean; at 1 it would never change. */
#define DN_DECAY_MAX 0.999999

/* Shared. */
extern const dn_key dn_option_mu, dn_option_rank_fraction, dn_option_eps, dn_option_nesterov,
    dn_option_adjust, dn_option_newton_schulz, dn_option_gram, dn_option_selection, dn_option_row_beta2,
    dn_option_beta1, dn_option_beta2, dn_option_cautious;

/** The index-th option (from 0): first those of every rule, then the others in the order of the rules that
 * list them. NULL beyond the last. Offsets are within dn_optim_config. Static. */
const dn_key *dn_option_at(size_t index);

/** Sets every option of a config to its default, and the rules to "dion" and "lion". */
void dn_options_init(dn_optim_config *config);

#endif
