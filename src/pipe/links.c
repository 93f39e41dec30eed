#include "pipe/links.h"

#include "base/fail.h"

#include <stdio.h>
#include <string.h>

dn_status dn_pipe_links_parse(const char *text, const char *key, int n, dn_pipe_links *out)
{
    int given = 0;
    *out = (dn_pipe_links){0};
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL, given++) {
        char one[64];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(at, ","), at);
        if (*text && !*one)
            return dn_fail(DN_ERR_CONFIG, "%s: '%.100s': an empty link between commas", key, text);
        if (given < DN_MAX_RANKS)
            DN_TRY(dn_link_parse(one, key, &out->of[given]));
    }
    for (int i = 1; given == 1 && i < n; i++)
        out->of[i] = out->of[0];
    return !*text || given == 1 || given == n || n < 0
               ? DN_OK
               : dn_fail(DN_ERR_CONFIG, "%s: %d links for %d boundaries of stages: give one, or one for each", key, given, n);
}
