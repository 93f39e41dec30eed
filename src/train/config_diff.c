#include "train/config_diff.h"

#include "base/fail.h"
#include "base/key.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 200 }; /* bytes of a value that a message shows */

size_t dn_config_differences(const dn_config *before, const dn_config *now, dn_key_role role, char *text,
                             size_t bytes)
{
    size_t n = 0;
    *text = 0;
    for (const dn_key *key = dn_config_keys(); key->name; key++) {
        const void *a = (const char *)before + key->offset, *b = (const char *)now + key->offset;
        char was[SHOWN], is[SHOWN];
        if (key->role != role || dn_key_equal(key, a, b))
            continue;
        dn_key_show(a, key, was, sizeof was);
        dn_key_show(b, key, is, sizeof is);
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
                   "%s is of another model than the configuration (checkpoint -> configuration): %s; use the "
                   "checkpoint's values, or another checkpoint or folder",
                   path, differences);
}
