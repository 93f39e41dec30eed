#include "strategy/option.h"

#include "base/fail.h"
#include "base/key.h"
#include "codec/codecs.h" /* DN_DENSE_CODEC_NAMES */
#include "optim/option.h"
#include "strategy/strategy.h"

#include <stdio.h>
#include <string.h>

const dn_key dn_option_sync_every = DN_STRATEGY_INT("sync_every", 1, 1e12, "steps between exchanges of replicas that step alone");
const dn_key dn_option_outer_lr =
    DN_STRATEGY_REAL("outer_lr", 1e-9, 1e6, "outer step along the replicas' mean drift; null = by the number of exchanges");
const dn_key dn_option_outer_momentum =
    DN_STRATEGY_REAL("outer_momentum", 0, DN_DECAY_MAX, "momentum of that step; null = by the number of exchanges");

const dn_key dn_option_density = DN_STRATEGY_REAL("density", 1e-9, 1, "part of the numbers that is sent");
const dn_key dn_option_wire =
    DN_STRATEGY_ENUM("wire", DN_DENSE_CODEC_NAMES, "how numbers travel: as they are (f32), or in fewer bits");

const dn_key dn_option_client_fraction =
    DN_STRATEGY_REAL("client_fraction", 1e-6, 1, "part of the clients that train at a time, at least one");

int dn_option_of_clients(double fraction, int n_clients)
{
    int n = (int)lround(fraction * n_clients);
    return n < 1 ? 1 : n;
}

const dn_codec *dn_option_codec(dn_option_value wire)
{
    static const char names[] = DN_DENSE_CODEC_NAMES;
    const char *at = names;
    char name[DN_KEY_CHOICE_MAX];
    for (int i = 0; i < wire.choice; i++)
        at = strchr(at, '|') + 1;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "|"), at);
    return dn_codec_find(name);
}

bool dn_option_is_plain(dn_option_value wire)
{
    return dn_option_codec(wire) == dn_codec_find("f32");
}

const char *dn_option_wire_is_cut_dependent(dn_option_value wire)
{
    const dn_codec *codec = dn_option_codec(wire);
    bool alone = codec == dn_codec_find("f32") || codec == dn_codec_find("bf16");
    return alone ? NULL : "numbers that share a scale are those of a rank's block";
}

/* The place of an option among those of a strategy; -1: it has no such option. */
static int place_of(const dn_strategy *strategy, const dn_key *key)
{
    for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && strategy->options[i].key; i++)
        if (strategy->options[i].key == key)
            return i;
    return -1;
}

static bool stands_before(const dn_key *key, size_t row)
{
    for (size_t k = 0; k < row; k++)
        if (place_of(dn_strategy_at(k), key) >= 0)
            return true;
    return false;
}

const dn_key *dn_strategy_option_at(size_t index)
{
    for (size_t k = 0; dn_strategy_at(k); k++) {
        const dn_strategy_option *options = dn_strategy_at(k)->options;
        for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && options[i].key; i++)
            if (!stands_before(options[i].key, k) && index-- == 0)
                return options[i].key;
    }
    return NULL;
}

const char *dn_strategy_initial(const dn_key *key)
{
    const char *initial = NULL;
    for (size_t k = 0; dn_strategy_at(k); k++) {
        int place = place_of(dn_strategy_at(k), key);
        const char *own = place >= 0 ? dn_strategy_at(k)->options[place].initial : initial;
        if (initial && strcmp(initial, own) != 0)
            return "null";
        initial = own;
    }
    return initial;
}

/* ---- settings of a run ---- */

/* null is none of an option's own values: what that means is the strategy's (outer_lr). */
static dn_status take(const dn_strategy *strategy, int place, const char *value, dn_strategy_config *config)
{
    return dn_key_parse(&config->options[place], strategy->options[place].key, dn_key_is_null(value) ? NULL : value,
                        strategy->name);
}

static dn_status set(const dn_strategy *strategy, char *setting, dn_strategy_config *config)
{
    char *equals = strchr(setting, '=');
    if (!equals)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: '%s': expected key=value", strategy->name, setting);
    *equals = 0;
    for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && strategy->options[i].key; i++)
        if (strcmp(strategy->options[i].key->name, setting) == 0)
            return take(strategy, i, dn_key_is_null(equals + 1) ? strategy->options[i].initial : equals + 1, config);
    return dn_fail(DN_ERR_CONFIG, "strategy %s has no option '%s'", strategy->name, setting);
}

dn_status dn_strategy_configure(const dn_strategy *strategy, const char *settings, uint64_t n_steps, uint64_t seed,
                                dn_strategy_config *config)
{
    char text[512];
    *config = (dn_strategy_config){.n_steps = n_steps, .seed = seed};
    for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && strategy->options[i].key; i++)
        DN_TRY(take(strategy, i, strategy->options[i].initial, config));
    if (settings && strlen(settings) >= sizeof text)
        return dn_fail(DN_ERR_CONFIG, "strategy %s: settings of more than %zu bytes", strategy->name, sizeof text - 1);
    snprintf(text, sizeof text, "%s", settings ? settings : "");
    for (char *rest, *one = strtok_r(text, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
        DN_TRY(set(strategy, one, config));
    return strategy->check ? strategy->check(config) : DN_OK;
}
