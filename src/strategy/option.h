/*
 * Options of strategies: configuration keys, each defined once, by a row with name, default, range and help: in the
 * strategy's file, or here where several strategies take it. A strategy lists its options, each with its own default
 * (dn_strategy.options), and finds their values in the same order.
 */
#ifndef STRATEGY_OPTION_H
#define STRATEGY_OPTION_H

#include "codec/codec.h"
#include "dionode/config.h"

#include <math.h>

enum { DN_STRATEGY_OPTIONS_MAX = 10 };

/* `initial` of a row is not looked at: what a strategy lists is. What follows the ranges is the help. */
#define DN_STRATEGY_INT(name_, min_, max_, ...)                                                                        \
    {                                                                                                                  \
        .name = name_, .type = DN_KEY_INT, .initial = "null", .min = min_, .max = max_, .help = __VA_ARGS__             \
    }
#define DN_STRATEGY_REAL(name_, min_, max_, ...)                                                                       \
    {                                                                                                                  \
        .name = name_, .type = DN_KEY_REAL, .initial = "null", .min = min_, .max = max_, .help = __VA_ARGS__            \
    }
/* choices: "a|b|c"; the value is a number, in that order. */
#define DN_STRATEGY_ENUM(name_, choices_, ...)                                                                         \
    {                                                                                                                  \
        .name = name_, .type = DN_KEY_ENUM, .initial = "null", .choices = choices_, .help = __VA_ARGS__                 \
    }

/* An option as a strategy takes it. */
typedef struct dn_strategy_option {
    const dn_key *key;
    const char *initial; /* default; "null": the strategy finds one (NAN, 0) */
} dn_strategy_option;

/* Shared. */
extern const dn_key dn_option_sync_every, dn_option_outer_lr, dn_option_outer_momentum, dn_option_wire, dn_option_density,
    dn_option_client_fraction;

/** How many of n clients a fraction is: the nearest number, at least 1. */
int dn_option_of_clients(double fraction, int n_clients);

/** The codec that a value of `wire` means. */
const dn_codec *dn_option_codec(dn_option_value wire);
/** Whether it sends numbers as they are. */
bool dn_option_is_plain(dn_option_value wire);
/** A dn_strategy.cut_dependent of it. */
const char *dn_option_wire_is_cut_dependent(dn_option_value wire);

/** The index-th option (from 0) of all strategies, in the order of the rows that list them. NULL beyond the last. */
const dn_key *dn_strategy_option_at(size_t index);

/** The default that all strategies have that take it, or "null": each its own. */
const char *dn_strategy_initial(const dn_key *key);

#endif
