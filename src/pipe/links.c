#include "pipe/links.h"

#include "base/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "a" or "a,b,...": one for all n boundaries, or one for each, by `read` to out [n], of that size each. */
static dn_status parse(const char *text, const char *key, int n, dn_status (*read)(const char *one, const char *key, void *out), void *out,
                       size_t size)
{
    int given = 0;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL, given++) {
        char one[64];
        snprintf(one, sizeof one, "%.*s", (int)strcspn(at, ","), at);
        if (*text && !*one)
            return dn_fail(DN_ERR_CONFIG, "%s: '%.100s': nothing between commas", key, text);
        if (given < DN_MAX_RANKS)
            DN_TRY(read(one, key, (char *)out + (size_t)given * size));
    }
    for (int i = 1; given == 1 && i < n; i++)
        memcpy((char *)out + (size_t)i * size, out, size);
    return !*text || given == 1 || given == n || n < 0
               ? DN_OK
               : dn_fail(DN_ERR_CONFIG, "%s: %d links for %d boundaries of stages: give one, or one for each", key, given, n);
}

static dn_status read_link(const char *one, const char *key, void *out)
{
    return dn_link_parse(one, key, out);
}

dn_status dn_pipe_links_parse(const char *text, const char *key, int n, dn_pipe_links *out)
{
    *out = (dn_pipe_links){0};
    return parse(text, key, n, read_link, out->of, sizeof *out->of);
}

static dn_status read_seconds(const char *one, const char *key, void *out)
{
    char *end;
    double seconds = strtod(one, &end);
    if (end == one || *end || !(seconds >= 0 && seconds < 1e15))
        return dn_fail(DN_ERR_CONFIG, "%s: '%.60s': give seconds, as 0.002, or one for each boundary, as 0.002,0.01", key, one);
    *(double *)out = seconds;
    return DN_OK;
}

dn_status dn_pipe_link_times_parse(const char *text, const char *key, int n, double *seconds)
{
    return *text ? parse(text, key, n, read_seconds, seconds, sizeof *seconds) : DN_OK;
}
