#include "train/config_diff.h"

#include "base/fail.h"
#include "train/config_value.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 200 }; /* bytes of a value that a message shows */

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
        dn_value_show((const char *)before + key->offset, key, was, sizeof was);
        dn_value_show((const char *)now + key->offset, key, is, sizeof is);
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
