/*
 * Options of rules: fields of dn_optim_config, each told of once, in a row of name, default, range and help.
 * From the rows come configuration keys and their help, the checks of the library and its defaults.
 *
 * An option that only one rule has stands in the rule's file, before its row, one that several share in
 * option.c; a rule lists those that it takes (dn_rule.options).
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

/* The row of a field: its key, default, and by name of dn_key's members range or choices, and help. */
#define DN_OPTION(field_, name_, initial_, ...)                                                              \
    {                                                                                                        \
        .name = name_, .field = #field_, .type = DN_FIELD_TYPE(field_),                                      \
        .offset = offsetof(dn_optim_config, field_), .initial = initial_, __VA_ARGS__                        \
    }

/* Decays of means: at 1 they would never learn anything. */
#define DN_DECAY_MAX 0.999999

/* Shared. */
extern const dn_key dn_option_mu, dn_option_rank_fraction, dn_option_eps, dn_option_nesterov,
    dn_option_adjust, dn_option_newton_schulz, dn_option_gram, dn_option_selection, dn_option_row_beta2,
    dn_option_beta1, dn_option_beta2, dn_option_cautious;

/** Option number index of all there are, from 0: those of every rule, then each where the first rule lists
 * it. NULL beyond the last. Offsets are in dn_optim_config. Static. */
const dn_key *dn_option_at(size_t index);

/** Sets every option of a config to its default, and the rules to "dion" and "lion". */
void dn_options_init(dn_optim_config *config);

#endif
