/* Configuration values: from text to fields and back, by the table of keys. Reading YAML is in config_yaml.c.
 */
#include "dionode/config.h"

#include "base/fail.h"
#include "train/config_value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Keys of the reference's script that have no meaning on one node without accelerators or services. */
static const char *const ignored[] = {
    "wandb_project_name", "wandb_job_name",  "no_wandb",          "debug",           "no_compile",
    "no_triton",          "fast_fsdp",       "use_polar_express", "mixed_precision", "time_optimizer",
    "cqr_warmup",         "rcqr_oversample", "verbose",
};

bool dn_key_ignored(const char *name)
{
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++)
        if (strcmp(ignored[i], name) == 0)
            return true;
    return false;
}

static const dn_key *find_key(const char *name)
{
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

bool dn_value_is_null(const char *value)
{
    return strcmp(value, "null") == 0 || strcmp(value, "~") == 0;
}

static dn_status check_range(const dn_key *key, double number, const char *where)
{
    if (number >= key->min && number <= key->max)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s: %s: %.15g is not between %.15g and %.15g", where, key->name, number,
                   key->min, key->max);
}

static dn_status set_number(void *field, const dn_key *key, const char *value, const char *where)
{
    char *end;
    errno = 0;
    double number = strtod(value, &end);
    bool whole = key->type == DN_KEY_REAL || floor(number) == number;
    if (end == value || *end || errno || !isfinite(number) || !whole)
        return dn_fail(DN_ERR_CONFIG, "%s: %s: '%.100s' is not a %s", where, key->name, value,
                       key->type == DN_KEY_INT ? "whole number" : "number");
    DN_TRY(check_range(key, number, where));
    if (key->type == DN_KEY_INT)
        *(int64_t *)field = (int64_t)number;
    else
        *(double *)field = number;
    return DN_OK;
}

static dn_status set_bool(bool *field, const dn_key *key, const char *value, const char *where)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (int i = 0; i < 4; i++) {
        if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
            *field = strcasecmp(value, yes[i]) == 0;
            return DN_OK;
        }
    }
    return dn_fail(DN_ERR_CONFIG, "%s: %s: '%.100s' is neither true nor false", where, key->name, value);
}

static bool is_choice(const char *choices, const char *value)
{
    size_t n = strlen(value);
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL)
        if (strncmp(c, value, n) == 0 && (c[n] == '|' || c[n] == 0))
            return true;
    return false;
}

static dn_status check_text(const dn_key *key, const char *value, const char *where)
{
    bool none = !*value && dn_value_is_null(key->initial);
    if (key->choices && !none && !is_choice(key->choices, value))
        return dn_fail(DN_ERR_CONFIG, "%s: %s: '%.100s' is not one of %s", where, key->name, value,
                       key->choices);
    if (!*value && !none)
        return dn_fail(DN_ERR_CONFIG, "%s: %s is empty; give a value, or null for the default", where,
                       key->name);
    size_t room = key->choices ? 16 : DN_PATH_MAX;
    if (strlen(value) >= room)
        return dn_fail(DN_ERR_CONFIG, "%s: %s: longer than %zu bytes", where, key->name, room - 1);
    /* The run's own configuration, stored with its checkpoints, is a YAML file. */
    if (!dn_yaml_holds(value))
        return dn_fail(DN_ERR_CONFIG,
                       "%s: %s holds control characters or is not UTF-8; rename what it names, or reach it "
                       "by a symbolic link",
                       where, key->name);
    return DN_OK;
}

/* null: what the key would be without a line for it. */
static dn_status set_null(void *field, const dn_key *key, const char *where)
{
    if (!dn_value_is_null(key->initial))
        return dn_config_value(field, key, key->initial, where);
    if (key->type == DN_KEY_TEXT)
        *(char *)field = 0;
    else if (key->type == DN_KEY_REAL)
        *(double *)field = NAN;
    else
        *(int64_t *)field = 0;
    return DN_OK;
}

dn_status dn_config_value(void *field, const dn_key *key, const char *value, const char *where)
{
    if (!value)
        return set_null(field, key, where);
    switch (key->type) {
    case DN_KEY_INT:
    case DN_KEY_REAL:
        return set_number(field, key, value, where);
    case DN_KEY_BOOL:
        return set_bool(field, key, value, where);
    case DN_KEY_TEXT:
        break;
    }
    DN_TRY(check_text(key, value, where));
    strcpy(field, value);
    return DN_OK;
}

dn_status dn_config_assign(dn_config *config, const char *name, const char *value, const char *where)
{
    const dn_key *key = find_key(name);
    if (!key)
        return unknown_key(where, name);
    return dn_config_value((char *)config + key->offset, key, value, where);
}

static dn_status check_field(const void *field, const dn_key *key)
{
    const char *where = "configuration";
    switch (key->type) {
    case DN_KEY_INT:
        if (*(const int64_t *)field == 0 && dn_value_is_null(key->initial))
            return DN_OK;
        return check_range(key, (double)*(const int64_t *)field, where);
    case DN_KEY_REAL:
        if (isnan(*(const double *)field) && dn_value_is_null(key->initial))
            return DN_OK;
        return check_range(key, *(const double *)field, where);
    case DN_KEY_BOOL:
        return DN_OK;
    case DN_KEY_TEXT:
        break;
    }
    return check_text(key, field, where);
}

dn_status dn_config_check(const dn_config *config)
{
    for (const dn_key *key = dn_config_keys(); key->name; key++)
        DN_TRY(check_field((const char *)config + key->offset, key));
    return DN_OK;
}

void dn_config_init(dn_config *config)
{
    memset(config, 0, sizeof *config);
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        dn_status status = set_null((char *)config + key->offset, key, "default");
        (void)status; /* the table's own defaults are in range: a test holds it to that */
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
    if (dn_key_ignored(name))
        return DN_OK;
    const char *value = equals + 1;
    if (!*value) /* most likely a variable of the shell that is not set */
        return dn_fail(DN_ERR_CONFIG, "%s: %s is empty; give a value, or null for the default", where, name);
    return dn_config_assign(config, name, dn_value_is_null(value) ? NULL : value, where);
}

/* With as few digits as read back to the same number. */
static void show_real(double value, char *text, size_t bytes)
{
    snprintf(text, bytes, "null"); /* NAN */
    for (int digits = 15; !isnan(value) && digits <= 17; digits++) {
        snprintf(text, bytes, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
}

void dn_value_show(const void *field, const dn_key *key, char *text, size_t bytes)
{
    switch (key->type) {
    case DN_KEY_INT:
        if (*(const int64_t *)field == 0 && key->min > 0)
            snprintf(text, bytes, "null");
        else
            snprintf(text, bytes, "%lld", (long long)*(const int64_t *)field);
        return;
    case DN_KEY_REAL:
        show_real(*(const double *)field, text, bytes);
        return;
    case DN_KEY_BOOL:
        snprintf(text, bytes, "%s", *(const bool *)field ? "true" : "false");
        return;
    case DN_KEY_TEXT:
        snprintf(text, bytes, "'%.*s'", (int)bytes - 3, (const char *)field);
    }
}

static void dump_text(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++)
        fputs(*text == '\'' ? "''" : (char[]){*text, 0}, out);
    fputc('\'', out);
}

static void dump_value(FILE *out, const void *field, const dn_key *key)
{
    char text[32];
    if (key->type == DN_KEY_TEXT) {
        dump_text(out, field);
        return;
    }
    dn_value_show(field, key, text, sizeof text);
    fputs(text, out);
}

char *dn_config_dump(const dn_config *config)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (!out)
        return NULL;
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        fprintf(out, "%s: ", key->name);
        dump_value(out, (const char *)config + key->offset, key);
        fputc('\n', out);
    }
    fclose(out);
    return text;
}
