#include "train/config_diff.h"

#include "base/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 200 }; /* bytes of a value that a message shows */

static void show_real(double value, char text[SHOWN])
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, SHOWN, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
}

static void show(const dn_config *config, const dn_key *key, char text[SHOWN])
{
    const void *field = (const char *)config + key->offset;
    switch (key->type) {
    case DN_KEY_INT:
        if (*(const int64_t *)field == 0 && key->min > 0)
            snprintf(text, SHOWN, "null");
        else
            snprintf(text, SHOWN, "%lld", (long long)*(const int64_t *)field);
        return;
    case DN_KEY_REAL:
        show_real(*(const double *)field, text);
        return;
    case DN_KEY_BOOL:
        snprintf(text, SHOWN, "%s", *(const bool *)field ? "true" : "false");
        return;
    case DN_KEY_TEXT:
        snprintf(text, SHOWN, "'%.*s'", SHOWN - 3, (const char *)field);
    }
}

static bool same_value(const dn_key *key, const dn_config *a, const dn_config *b)
{
    static const size_t sizes[] = {sizeof(int64_t), sizeof(double), sizeof(bool), 0}; /* by dn_key_type */
    const char *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;
    return key->type == DN_KEY_TEXT ? strcmp(x, y) == 0 : memcmp(x, y, sizes[key->type]) == 0;
}

size_t dn_config_differences(const dn_config *before, const dn_config *now, dn_key_role role, char *text,
                             size_t bytes)
{
    size_t n = 0;
    *text = 0;
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        char was[SHOWN], is[SHOWN];
        if (key->role != role || same_value(key, before, now))
            continue;
        show(before, key, was);
        show(now, key, is);
        size_t used = strlen(text);
        snprintf(text + used, bytes - used, "%s%s %s -> %s", n > 0 ? ", " : "", key->name, was, is);
        n++;
    }
    return n;
}

dn_status dn_config_check_model(const dn_config *stored, const dn_config *now, const char *path)
{
    char differences[600];
    if (dn_config_differences(stored, now, DN_KEY_MODEL, differences, sizeof differences) == 0)
        return DN_OK;
    return dn_fail(DN_ERR_CHECKPOINT,
                   "%s: of another model than the configuration (checkpoint -> configuration): %s; give the "
                   "checkpoint's values, or choose another checkpoint or folder",
                   path, differences);
}
