#include "train/continuation.h"

#include "base/fail.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* Held are less than the longest stop string, and what one more token adds. */
dn_status dn_continuation_open(dn_continuation *c, const dn_tokenizer *tokenizer, const char *const *stops,
                               size_t n_stops)
{
    size_t longest = 0;
    for (size_t i = 0; i < n_stops; i++)
        longest = dn_max(longest, strlen(stops[i]));
    *c = (dn_continuation){.decoder.tokenizer = tokenizer, .stops = stops, .n_stops = n_stops};
    c->held = calloc(longest + (tokenizer ? dn_decode_bound(tokenizer) : 1) + 4, 1);
    return c->held ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu stop strings", n_stops);
}

void dn_continuation_close(dn_continuation *c)
{
    free(c->held);
    *c = (dn_continuation){0};
}

void dn_continuation_skip(dn_continuation *c, int32_t token)
{
    if (c->decoder.tokenizer)
        dn_decode(&c->decoder, token, c->held);
}

/* Where the first stop string begins, of what is held; n_held: nowhere. partly: those count, too, of which
 * only the beginning is there. */
static size_t find_stop(const dn_continuation *c, bool partly)
{
    for (size_t at = 0; at < c->n_held; at++)
        for (size_t i = 0; i < c->n_stops; i++) {
            size_t n = strlen(c->stops[i]), left = c->n_held - at;
            if ((n <= left || partly) && memcmp(c->held + at, c->stops[i], dn_min(n, left)) == 0)
                return at;
        }
    return c->n_held;
}

bool dn_continuation_add(dn_continuation *c, int32_t token, size_t *ready)
{
    if (c->decoder.tokenizer)
        c->n_held += dn_decode(&c->decoder, token, c->held + c->n_held);
    else
        c->held[c->n_held++] = (char)token;
    *ready = find_stop(c, false);
    if (*ready < c->n_held)
        return true;
    *ready = find_stop(c, true);
    return false;
}

void dn_continuation_end(dn_continuation *c, size_t *ready)
{
    if (c->decoder.tokenizer)
        c->n_held += dn_decode_end(&c->decoder, c->held + c->n_held);
    *ready = c->n_held;
}

void dn_continuation_drop(dn_continuation *c, size_t n)
{
    memmove(c->held, c->held + n, c->n_held - n);
    c->n_held -= n;
}
