#include "comm/link.h"

#include "base/clock.h"
#include "base/fail.h"
#include "comm/internal.h"
#include "shm/wait.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* ---- text ---- */

typedef struct unit {
    const char *name;
    double factor;
} unit;

/* A number > 0 with one of the units [n], up to `end`. */
static bool read_quantity(const char *text, const char *end, const unit *units, size_t n, double *out)
{
    char *rest;
    double number = strtod(text, &rest);
    if (!isdigit((unsigned char)*text) || rest >= end || !isfinite(number) || !(number >= 0))
        return false;
    for (size_t i = 0; i < n; i++)
        if (strlen(units[i].name) == (size_t)(end - rest) && strncmp(rest, units[i].name, (size_t)(end - rest)) == 0) {
            *out = number * units[i].factor;
            return isfinite(*out);
        }
    return false;
}

dn_status dn_link_parse(const char *text, const char *where, dn_link *link)
{
    static const unit rates[] = {{"bit", 0.125}, {"kbit", 125}, {"Mbit", 125e3}, {"Gbit", 125e6}};
    static const unit times[] = {{"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    const char *colon = strchr(text, ':');
    *link = (dn_link){0};
    if (!*text)
        return DN_OK;
    if (colon && read_quantity(text, colon, rates, sizeof rates / sizeof *rates, &link->bytes_per_s) &&
        read_quantity(colon + 1, text + strlen(text), times, sizeof times / sizeof *times, &link->latency_s) &&
        link->bytes_per_s > 0)
        return DN_OK;
    *link = (dn_link){0};
    return dn_fail(DN_ERR_CONFIG,
                   "%s: '%.100s' is no link: give bandwidth and latency as 1Gbit:5ms (bit, kbit, Mbit, Gbit; us, ms, s)",
                   where, text);
}

/* ---- time ---- */

void dn_comm_use_link(dn_comm *comm, const dn_link *link)
{
    comm->link = (dn_link_clock){.link = *link};
    if (link->bytes_per_s > 0)
        prctl(PR_SET_TIMERSLACK, 1000UL); /* ns; the usual 50 us would be added to every exchange */
}

void dn_comm_begun(dn_comm *comm, double when)
{
    comm->link.begun = when;
}

double dn_comm_take_link_s(dn_comm *comm)
{
    double slept_s = comm->link.slept_s;
    comm->link.slept_s = 0;
    return slept_s;
}

double dn_comm_take_awaited_s(dn_comm *comm)
{
    double awaited_s = comm->link.awaited_s;
    comm->link.awaited_s = 0;
    return awaited_s;
}

void dn_link_carry(dn_comm *comm, dn_traffic kind, uint64_t hops, double bytes)
{
    dn_link_clock *c = &comm->link;
    c->done = 0;
    c->called = kind == DN_TRAFFIC_CONTROL ? 0 : dn_clock_s();
    if (c->link.bytes_per_s <= 0 || kind == DN_TRAFFIC_CONTROL)
        return;
    double begun = c->begun > 0 ? c->begun : c->called;
    c->free = fmax(c->free, begun) + bytes / c->link.bytes_per_s;
    c->done = c->free + (double)hops * c->link.latency_s;
    c->begun = c->begun > 0 ? c->done : 0; /* one after another */
}

void dn_comm_sleep_until(dn_comm *comm, double end)
{
    if (end > 0)
        comm->link.slept_s += dn_wait_for_time(comm->world, comm->barrier.ranks[comm->rank], end);
}

void dn_link_wait(dn_comm *comm)
{
    dn_link_clock *c = &comm->link;
    if (c->called > 0)
        c->awaited_s += dn_clock_s() - c->called;
    c->called = 0;
    dn_comm_sleep_until(comm, c->done);
}

dn_status dn_link_end(dn_comm *comm, dn_status status)
{
    if (status == DN_OK)
        dn_link_wait(comm);
    return status;
}
