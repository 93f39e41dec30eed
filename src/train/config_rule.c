/* What a configuration leaves to the rule: settings of microsoft/dion's training script (dn_rule.script); and to the
 * strategy. */
#include "base/fail.h"
#include "base/key.h"
#include "optim/rule.h"
#include "train/config_value.h"

#include <stdio.h>
#include <string.h>

/* One of "KEY:option=value ...". */
typedef struct setting {
    char condition[32], option[32], value[32];
} setting;

/* The next setting of a text, which moves on; false: there is none. */
static bool next_setting(const char **text, setting *s)
{
    size_t length = strcspn(*text, " ");
    if (length == 0)
        return false;
    const char *colon = memchr(*text, ':', length), *equals = memchr(*text, '=', length);
    const char *option = colon ? colon + 1 : *text;
    snprintf(s->condition, sizeof s->condition, "%.*s", colon ? (int)(colon - *text) : 0, *text);
    snprintf(s->option, sizeof s->option, "%.*s", (int)(equals - option), option);
    snprintf(s->value, sizeof s->value, "%.*s", (int)(*text + length - equals - 1), equals + 1);
    *text += length + strspn(*text + length, " ");
    return true;
}

/* The last setting of an option in a text: without a condition, or else with one. False: there is none. */
static bool find(const char *text, const char *option, setting *found)
{
    bool any = false;
    for (setting s; next_setting(&text, &s);)
        if (strcmp(s.option, option) == 0 && (!any || !*s.condition)) {
            *found = s;
            any = true;
        }
    return any;
}

static void append(char *text, size_t bytes, const char *a, const char *b)
{
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", a, b);
}

static void by_rule(const dn_key *key, char *text, size_t bytes)
{
    setting s, next;
    const dn_key *option = NULL;
    const char *before = "; ";
    *text = 0;
    for (size_t i = 0; (option = dn_option_at(i)) && strcmp(option->name, key->name) != 0;)
        i++;
    for (size_t i = 0; option && dn_rule_script(i).name; i++) {
        if (!find(dn_rule_script(i).settings, key->name, &s))
            continue;
        if (!*text)
            append(text, bytes, option->initial, "");
        append(text, bytes, before, dn_rule_script(i).name);
        before = ", ";
        bool again = dn_rule_script(i + 1).name && find(dn_rule_script(i + 1).settings, key->name, &next);
        if (again && strcmp(next.value, s.value) == 0)
            continue;
        append(text, bytes, *s.condition ? " with " : "", s.condition);
        append(text, bytes, ": ", s.value);
        before = "; ";
    }
}

/* ---- strategies ---- */

/* A strategy's own default of an option; NULL: it has no such option. */
static const char *initial_of(const dn_strategy *strategy, const char *name)
{
    for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && strategy->options[i].key; i++)
        if (strcmp(strategy->options[i].key->name, name) == 0)
            return strategy->options[i].initial;
    return NULL;
}

void dn_config_strategies(const dn_key *key, char *text, size_t bytes)
{
    *text = 0;
    for (size_t k = 0; dn_strategy_at(k); k++)
        if (initial_of(dn_strategy_at(k), key->name))
            append(text, bytes, *text ? ", " : "", dn_strategy_at(k)->name);
}

/* Strategies of one default stand together. */
static void by_strategy(const dn_key *key, char *text, size_t bytes)
{
    *text = 0;
    for (size_t k = 0; dn_strategy_at(k); k++) {
        const char *initial = initial_of(dn_strategy_at(k), key->name), *other;
        bool told = !initial || dn_key_is_null(initial);
        for (size_t before = 0; before < k && !told; before++)
            told = (other = initial_of(dn_strategy_at(before), key->name)) && strcmp(other, initial) == 0;
        for (size_t i = k; dn_strategy_at(i) && !told; i++) {
            other = initial_of(dn_strategy_at(i), key->name);
            if (other && strcmp(other, initial) == 0)
                append(text, bytes, i > k ? ", " : *text ? "; " : "", dn_strategy_at(i)->name);
        }
        if (!told)
            append(text, bytes, ": ", initial);
    }
}

void dn_config_by_rule(const dn_key *key, char *text, size_t bytes)
{
    char strategies[512];
    dn_config_strategies(key, strategies, sizeof strategies);
    *text = 0;
    if (!*strategies)
        by_rule(key, text, bytes);
    else if (dn_key_is_null(key->initial))
        by_strategy(key, text, bytes);
}

dn_status dn_config_resolve_strategy(dn_config *config, const dn_strategy *strategy, dn_strategy_config *out)
{
    *out = (dn_strategy_config){.n_steps = (uint64_t)config->num_iterations, .seed = (uint64_t)config->seed};
    for (int i = 0; i < DN_STRATEGY_OPTIONS_MAX && strategy->options[i].key; i++) {
        const dn_key *key = dn_config_find(strategy->options[i].key->name);
        dn_option_value *value = &config->strategy_options[dn_config_strategy_option(key)];
        bool *given = dn_config_given(config, key);
        const char *initial = strategy->options[i].initial;
        if (given && !*given)
            DN_TRY(dn_key_parse(value, key, dn_key_is_null(initial) ? NULL : initial, "strategy"));
        if (given)
            *given = true;
        out->options[i] = *value;
    }
    return strategy->check ? strategy->check(out) : DN_OK;
}

/* ---- rules ---- */

static const char *settings_of(const char *name)
{
    for (size_t i = 0; dn_rule_script(i).name; i++)
        if (strcmp(dn_rule_script(i).name, name) == 0)
            return dn_rule_script(i).settings;
    return "";
}

static dn_status apply(dn_config *config, const setting *s)
{
    const dn_key *key = dn_config_find(s->option), *same = dn_config_find(s->value);
    int option = key ? dn_config_option(key) : -1;
    if (*s->condition && !*((const bool *)config + dn_config_find(s->condition)->offset))
        return DN_OK;
    if (option >= 0 && config->given[option])
        return DN_OK;
    if (same && same->type == DN_KEY_REAL)
        *(double *)((char *)config + key->offset) = *(const double *)((const char *)config + same->offset);
    else
        DN_TRY(dn_key_parse((char *)config + key->offset, key, s->value, "optimizer"));
    return DN_OK;
}

dn_status dn_config_resolve(dn_config *config)
{
    dn_optim_config *o = &config->optim;
    const char *text = settings_of(config->optimizer);
    for (setting s; next_setting(&text, &s);)
        DN_TRY(apply(config, &s));
    o->n_named_groups = 0;
    if (*config->groups)
        DN_TRY(dn_groups_parse(config->groups, "configuration", o->named_groups, &o->n_named_groups));
    for (const dn_key *key = dn_config_keys(); key->name; key++)
        if (dn_config_option(key) >= 0)
            config->given[dn_config_option(key)] = strcmp(key->initial, "null") == 0;
    return DN_OK;
}
