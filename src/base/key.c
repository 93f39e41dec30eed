#include "base/key.h"

#include "base/fail.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool dn_key_is_null(const char *value)
{
    return strcmp(value, "null") == 0 || strcmp(value, "~") == 0;
}

static bool may_be_null(const dn_key *key)
{
    return dn_key_is_null(key->initial);
}

static dn_status check_range(const dn_key *key, double number, dn_status code, const char *where)
{
    if (number >= key->min && number <= key->max)
        return DN_OK;
    return dn_fail(code, "%s: %s: %.15g is not between %.15g and %.15g", where, key->name, number, key->min,
                   key->max);
}

/* Choice number i of "a|b|c" and its length; NULL beyond the last. */
static const char *choice(const char *choices, int i, size_t *length)
{
    for (; i > 0 && choices; i--)
        choices = strchr(choices, '|') ? strchr(choices, '|') + 1 : NULL;
    *length = choices ? strcspn(choices, "|") : 0;
    return choices;
}

/* The number of the choice that value is; -1: it is none. */
static int number_of(const char *choices, const char *value)
{
    size_t length;
    const char *at;
    for (int i = 0; (at = choice(choices, i, &length)); i++)
        if (strlen(value) == length && strncmp(at, value, length) == 0)
            return i;
    return -1;
}

static dn_status set_number(void *field, const dn_key *key, const char *value, const char *where)
{
    char *end;
    errno = 0;
    double number = strtod(value, &end);
    bool whole = key->type == DN_KEY_REAL || floor(number) == number;
    if (number_of(key->choices, value) >= 0) { /* words beside the numbers: -1, -2, ... */
        *(int64_t *)field = -1 - number_of(key->choices, value);
        return DN_OK;
    }
    if (end == value || *end || errno || !isfinite(number) || !whole)
        return dn_fail(DN_ERR_CONFIG, "%s: %s: '%.100s' is not a %s%s%s", where, key->name, value,
                       key->type == DN_KEY_INT ? "whole number" : "number", key->choices ? ", nor " : "",
                       key->choices ? key->choices : "");
    DN_TRY(check_range(key, number, DN_ERR_CONFIG, where));
    if (key->type == DN_KEY_INT)
        *(int64_t *)field = (int64_t)number;
    else
        *(double *)field = number;
    return DN_OK;
}

/* 1, 0; -1: neither. */
static int truth_of(const char *value)
{
    static const char *const yes[] = {"true", "yes", "on", "1"}, *const no[] = {"false", "no", "off", "0"};
    for (int i = 0; i < 4; i++)
        if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0)
            return strcasecmp(value, yes[i]) == 0;
    return -1;
}

static dn_status set_bool(bool *field, const dn_key *key, const char *value, const char *where)
{
    int truth = truth_of(value);
    *field = truth < 0 ? *field : truth;
    if (truth >= 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s: %s: '%.100s' is neither true nor false", where, key->name, value);
}

/* Choices of a truth value and of words beside it: "false|true|auto". */
static bool has_truth(const char *choices)
{
    static const char words[] = "false|true|";
    return strncmp(choices, words, sizeof words - 1) == 0;
}

static dn_status no_choice(const dn_key *key, const char *value, dn_status code, const char *where)
{
    return dn_fail(code, "%s: %s: '%.100s' is not one of %s", where, key->name, value, key->choices);
}

static dn_status check_text(const dn_key *key, const char *value, dn_status code, const char *where)
{
    bool none = !*value && may_be_null(key);
    if (key->choices && !none && number_of(key->choices, value) < 0)
        return no_choice(key, value, code, where);
    if (!*value && !none)
        return dn_fail(code, "%s: %s is empty; give a value, or null for the default", where, key->name);
    if (strlen(value) >= key->room)
        return dn_fail(code, "%s: %s: longer than %zu bytes", where, key->name, key->room - 1);
    return DN_OK;
}

/* null: what the key would be without a line for it. */
static dn_status set_null(void *field, const dn_key *key, const char *where)
{
    if (!may_be_null(key))
        return dn_key_parse(field, key, key->initial, where);
    if (key->type == DN_KEY_TEXT)
        *(char *)field = 0;
    else if (key->type == DN_KEY_REAL)
        *(double *)field = NAN;
    else
        *(int64_t *)field = 0;
    return DN_OK;
}

/* Names of a truth value or an enumerator. */
static dn_status set_choice(void *field, const dn_key *key, const char *value, const char *where)
{
    int number = number_of(key->choices, value);
    if (number < 0 && has_truth(key->choices))
        number = truth_of(value);
    if (number < 0)
        return no_choice(key, value, DN_ERR_CONFIG, where);
    if (key->type == DN_KEY_BOOL)
        *(bool *)field = number == 1;
    else
        memcpy(field, &number, sizeof number);
    return DN_OK;
}

dn_status dn_key_parse(void *field, const dn_key *key, const char *value, const char *where)
{
    if (!value)
        return set_null(field, key, where);
    if (key->type == DN_KEY_INT || key->type == DN_KEY_REAL)
        return set_number(field, key, value, where);
    if (key->type == DN_KEY_BOOL && !key->choices)
        return set_bool(field, key, value, where);
    if (key->type != DN_KEY_TEXT)
        return set_choice(field, key, value, where);
    DN_TRY(check_text(key, value, DN_ERR_CONFIG, where));
    strcpy(field, value);
    return DN_OK;
}

static int enum_of(const void *field)
{
    int number;
    memcpy(&number, field, sizeof number);
    return number;
}

/* The word beside numbers that a number stands for, and its length, or NULL. */
static const char *word_of(const dn_key *key, int64_t number, size_t *length)
{
    return number < 0 && number >= -INT_MAX ? choice(key->choices, (int)(-1 - number), length) : NULL;
}

dn_status dn_key_check(const void *field, const dn_key *key, dn_status code, const char *where)
{
    size_t length;
    switch (key->type) {
    case DN_KEY_INT:
        if ((*(const int64_t *)field == 0 && may_be_null(key)) || word_of(key, *(const int64_t *)field, &length))
            return DN_OK;
        return check_range(key, (double)*(const int64_t *)field, code, where);
    case DN_KEY_REAL:
        if (isnan(*(const double *)field) && may_be_null(key))
            return DN_OK;
        return check_range(key, *(const double *)field, code, where);
    case DN_KEY_BOOL:
        return DN_OK;
    case DN_KEY_ENUM:
        if (enum_of(field) >= 0 && choice(key->choices, enum_of(field), &length))
            return DN_OK;
        return dn_fail(code, "%s: %s: %d is none of %s", where, key->name, enum_of(field), key->choices);
    case DN_KEY_TEXT:
        break;
    }
    return check_text(key, field, code, where);
}

bool dn_key_equal(const dn_key *key, const void *a, const void *b)
{
    static const size_t sizes[] = {[DN_KEY_INT] = sizeof(int64_t),
                                   [DN_KEY_REAL] = sizeof(double),
                                   [DN_KEY_BOOL] = sizeof(bool),
                                   [DN_KEY_ENUM] = sizeof(int)};
    return key->type == DN_KEY_TEXT ? strcmp(a, b) == 0 : memcmp(a, b, sizes[key->type]) == 0;
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

void dn_key_show(const void *field, const dn_key *key, char *text, size_t bytes)
{
    size_t length = 0;
    const char *name = NULL;
    switch (key->type) {
    case DN_KEY_INT:
        if (*(const int64_t *)field == 0 && key->min > 0)
            snprintf(text, bytes, "null");
        else if ((name = word_of(key, *(const int64_t *)field, &length)))
            snprintf(text, bytes, "'%.*s'", (int)length, name);
        else
            snprintf(text, bytes, "%lld", (long long)*(const int64_t *)field);
        return;
    case DN_KEY_REAL:
        show_real(*(const double *)field, text, bytes);
        return;
    case DN_KEY_BOOL:
    case DN_KEY_ENUM:
        if (key->choices)
            name = choice(key->choices, key->type == DN_KEY_ENUM ? enum_of(field) : *(const bool *)field,
                          &length);
        if (name && has_truth(key->choices))
            snprintf(text, bytes, "%.*s", (int)length, name);
        else if (name)
            snprintf(text, bytes, "'%.*s'", (int)length, name);
        else
            snprintf(text, bytes, "%s", *(const bool *)field ? "true" : "false");
        return;
    case DN_KEY_TEXT:
        snprintf(text, bytes, "'%.*s'", (int)bytes - 3, (const char *)field);
    }
}
