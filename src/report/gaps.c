#include "report/gaps.h"

#include "base/fail.h"
#include "base/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void dn_gaps_end(dn_gaps *g, uint64_t last)
{
    if (last <= g->last)
        return;
    enum { ENTRY = 48 }; /* bytes of ", ", two numbers and what is between them */
    size_t used = strlen(g->text), room = sizeof g->text - used;
    const char *comma = g->missing ? ", " : "";
    if (used < sizeof g->text - 2 * ENTRY && last - g->last == 1)
        snprintf(g->text + used, room, "%s%" PRIu64, comma, last);
    else if (used < sizeof g->text - 2 * ENTRY)
        snprintf(g->text + used, room, "%s%" PRIu64 "-%" PRIu64, comma, g->last + 1, last);
    else if (g->text[used - 1] != '.')
        snprintf(g->text + used, room, ", ...");
    g->missing += last - g->last;
    g->last = last;
}

void dn_gaps_add(dn_gaps *g, uint64_t step)
{
    if (step == 0)
        return;
    dn_gaps_end(g, step - 1);
    if (step <= g->last)
        g->repeated++;
    else
        g->last = step;
}

bool dn_gaps_none(const dn_gaps *g)
{
    return g->missing == 0 && g->repeated == 0;
}

void dn_gaps_log(const dn_gaps *g, const char *path, const char *where)
{
    if (g->missing)
        dn_log(DN_LOG_WARNING, "%s lacks the lines of %" PRIu64 " step%s%s: %s", path, g->missing,
               dn_plural((long long)g->missing), where, g->text);
    if (g->repeated)
        dn_log(DN_LOG_WARNING, "%s has %" PRIu64 " line%s of steps that it has already: of another run?", path,
               g->repeated, dn_plural((long long)g->repeated));
}
