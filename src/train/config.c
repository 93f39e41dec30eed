/* A configuration by the table of its keys; values are base/key.h's. Reading YAML is in config_yaml.c. */
#include "dionode/config.h"

#include "base/fail.h"
#include "base/key.h"
#include "pipe/links.h"
#include "optim/option.h"
#include "train/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keys of microsoft/dion's training script, and of its branches, that do not apply on one node without
 * accelerators and services, or that request what is always done here. */
static const char *const ignored[] = {
    "wandb_project_name", "wandb_job_name",  "no_wandb",  "debug",
    "no_compile",         "no_triton",       "fast_fsdp", "time_optimizer",
    "cqr_warmup",         "rcqr_oversample", "verbose",   "shard_independent",
    "no_validation",
};

/* Earlier names of the script's keys. */
static const struct {
    const char *old, *name;
} renamed[] = {{"rank_fraction", "ortho_fraction"}, {"save_every", "checkpoint_freq"}};

bool dn_key_ignored(const char *name)
{
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (strcmp(ignored[i], name) == 0)
            return true;
    return false;
}

const dn_key *dn_config_find(const char *name)
{
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (strcmp(renamed[i].old, name) == 0)
            name = renamed[i].name;
    for (const dn_key *key = dn_config_keys(); key->name; key++)
        if (strcmp(key->name, name) == 0)
            return key;
    return NULL;
}

static dn_status unknown_key(const char *where, const char *name)
{
    const dn_key *keys = dn_config_keys();
    size_t n = 0;
    while (keys[n].name)
        n++;
    const char *nearest = dn_nearest_name(name, &keys->name, n, sizeof *keys);
    if (nearest)
        return dn_fail(DN_ERR_CONFIG, "%s: unknown key '%s'; did you mean '%s'?", where, name, nearest);
    return dn_fail(DN_ERR_CONFIG, "%s: unknown key '%s'; 'dionode train --keys' lists all", where, name);
}

static dn_status check_free_text(const dn_key *key, const char *value, const char *where)
{
    /* The run's own configuration, stored with its checkpoints, is a YAML file. */
    bool holds = true;
    if (key->type == DN_KEY_TEXT)
        DN_TRY(dn_yaml_holds(value, &holds));
    if (holds)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG,
                   "%s: %s has control characters or is not UTF-8; rename the file or folder, or use "
                   "a symbolic link",
                   where, key->name);
}

bool dn_key_is_globs(const char *name)
{
    return strcmp(name, "trainable") == 0 || strcmp(name, "lora_targets") == 0;
}

bool *dn_config_given(dn_config *config, const dn_key *key)
{
    int of_rule = dn_config_option(key), of_strategy = dn_config_strategy_option(key);
    if (!dn_key_is_null(key->initial))
        return NULL;
    return of_rule >= 0 ? &config->given[of_rule] : of_strategy >= 0 ? &config->strategy_given[of_strategy] : NULL;
}

dn_status dn_config_assign(dn_config *config, const char *name, const char *value, const char *where)
{
    const dn_key *key = dn_config_find(name);
    if (!key)
        return unknown_key(where, name);
    int option = dn_config_option(key);
    dn_named_group groups[DN_NAMED_GROUPS_MAX];
    dn_globs globs;
    size_t n;
    if (value && *value && strcmp(key->name, "groups") == 0)
        DN_TRY(dn_groups_parse(value, where, groups, &n));
    if (value && *value && dn_key_is_globs(key->name))
        DN_TRY(dn_globs_parse(value, key->name, where, &globs));
    if (value && strncmp(key->name, "link_", 5) == 0) {
        char at[256];
        snprintf(at, sizeof at, "%.200s: %s", where, key->name);
        dn_link link;
        dn_pipe_links links;
        DN_TRY(strcmp(key->name, "link_pp") == 0 ? dn_pipe_links_parse(value, at, -1, &links) : dn_link_parse(value, at, &link));
    }
    if (value)
        DN_TRY(check_free_text(key, value, where));
    DN_TRY(dn_key_parse((char *)config + key->offset, option < 0 ? key : dn_option_at((size_t)option), value, where));
    bool *given = dn_config_given(config, key);
    if (given)
        *given = value != NULL;
    config->set[key - dn_config_keys()] = value != NULL;
    return DN_OK;
}

bool dn_config_of_model(const dn_key *key)
{
    return key->role == DN_KEY_MODEL || strcmp(key->name, "max_positions") == 0;
}

bool dn_config_says(const dn_config *config, const dn_key *key)
{
    dn_config defaults;
    dn_config_init(&defaults);
    return config->set[key - dn_config_keys()] ||
           !dn_key_equal(key, (const char *)config + key->offset, (const char *)&defaults + key->offset);
}

dn_status dn_config_check(const dn_config *config)
{
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        const void *field = (const char *)config + key->offset;
        DN_TRY(dn_key_check(field, key, DN_ERR_CONFIG, "configuration"));
        DN_TRY(check_free_text(key, field, "configuration"));
    }
    return DN_OK;
}

void dn_config_init(dn_config *config)
{
    memset(config, 0, sizeof *config);
    dn_options_init(&config->optim);
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        if (dn_config_option(key) >= 0)
            continue;
        dn_status status = dn_key_parse((char *)config + key->offset, key, NULL, "default");
        (void)status; /* defaults are in range, as a test checks */
    }
}

dn_status dn_config_set(dn_config *config, const char *assignment)
{
    const char *equals = strchr(assignment, '=');
    char name[64], where[128];
    if (!equals || equals == assignment || (size_t)(equals - assignment) >= sizeof name)
        return dn_fail(DN_ERR_CONFIG, "argument '%.100s': expected key=value", assignment);
    snprintf(name, sizeof name, "%.*s", (int)(equals - assignment), assignment);
    snprintf(where, sizeof where, "argument '%.100s'", assignment);
    if (dn_key_ignored(name)) {
        dn_log(DN_LOG_INFO, "%s: this key does not apply here, ignored", where);
        return DN_OK;
    }
    const char *value = equals + 1;
    if (!*value) /* most likely an unset shell variable */
        return dn_fail(DN_ERR_CONFIG, "%s: %s is empty; give a value, or null for the default", where, name);
    return dn_config_assign(config, name, dn_key_is_null(value) ? NULL : value, where);
}

static void dump_text(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++)
        fputs(*text == '\'' ? "''" : (char[]){*text, 0}, out);
    fputc('\'', out);
}

char *dn_config_dump(const dn_config *config)
{
    char *text = NULL, value[32];
    size_t bytes;
    dn_config copy = *config;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        fprintf(out, "%s: ", key->name);
        const bool *given = dn_config_given(&copy, key);
        bool left_to_model = (*config->init_from || *config->model) && dn_config_of_model(key) && !dn_config_says(config, key);
        if ((given && !*given) || left_to_model)
            fputs("null", out);
        else if (key->type == DN_KEY_TEXT)
            dump_text(out, (const char *)config + key->offset);
        else {
            dn_key_show((const char *)config + key->offset, key, value, sizeof value);
            fputs(value, out);
        }
        fputc('\n', out);
    }
    fclose(out);
    return text;
}
