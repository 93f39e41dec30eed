/* Setting configuration values by key. `where` starts every message: "file:line", or the argument. */
#ifndef TRAIN_CONFIG_VALUE_H
#define TRAIN_CONFIG_VALUE_H

#include "dionode/config.h"
#include "optim/named_group.h"
#include "strategy/strategy.h"

/** Whether microsoft/dion's training script has the key and Dionode ignores it. */
bool dn_key_ignored(const char *name);

/** Index (dn_option_at) of the rule option that a key of the table is; -1: it is none. */
int dn_config_option(const dn_key *key);

/** Index (dn_strategy_option_at) of the strategy's option that a key of the table is; -1: it is none. */
int dn_config_strategy_option(const dn_key *key);

/** Where config says whether a key is set whose default depends on rule or strategy; NULL for other keys. */
bool *dn_config_given(dn_config *config, const dn_key *key);

/** Whether a key says what the model is, so that init_from or model says it where config does not; and whether it does: the
 * key was set, or is not the default. */
bool dn_config_of_model(const dn_key *key);
bool dn_config_says(const dn_config *config, const dn_key *key);

/** The key of that name; NULL if there is none. */
const dn_key *dn_config_find(const char *name);

/** Reads `groups` as a configuration has it, a list of mappings, into groups [DN_NAMED_GROUPS_MAX]. Errors: DN_ERR_CONFIG
 * "where: groups: what". */
dn_status dn_groups_parse(const char *text, const char *where, dn_named_group *groups, size_t *n) DN_MUST_USE;

/** Whether a key's value is a list of globs. */
bool dn_key_is_globs(const char *name);

/** The same of such a key. */
dn_status dn_globs_parse(const char *text, const char *key, const char *where, dn_globs *globs) DN_MUST_USE;

/** Sets the options that the configuration leaves to the rule, and marks them as given. Errors: DN_ERR_CONFIG. */
dn_status dn_config_resolve(dn_config *config) DN_MUST_USE;

/** The same of a strategy's options, and what a run under it is configured by. Errors: DN_ERR_CONFIG: settings that do not
 * go together. */
dn_status dn_config_resolve_strategy(dn_config *config, const dn_strategy *strategy, dn_strategy_config *out) DN_MUST_USE;

/** Sets the key of that name; value NULL: null. Errors: DN_ERR_CONFIG, with the nearest name if there is none.
 */
dn_status dn_config_assign(dn_config *config, const char *name, const char *value,
                           const char *where) DN_MUST_USE;

/** Whether every field is within its key's range, as a program may have set it without dn_config_set. Errors:
 * DN_ERR_CONFIG naming key, value and range. */
dn_status dn_config_check(const dn_config *config) DN_MUST_USE;

/** *holds: whether a text survives a round trip through YAML's single quotes: valid UTF-8 without control characters
 * or line breaks. Errors: DN_ERR_MEMORY. */
dn_status dn_yaml_holds(const char *text, bool *holds) DN_MUST_USE;

#endif
