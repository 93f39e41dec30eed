/*
 * Emulated links: exchanges of a communicator take as long as they would between machines, so that one node
 * measures what a cluster would do. The numbers that are exchanged stay the same, bit for bit.
 *
 * An exchange is done no sooner than
 *
 *     begin + hops * latency + cluster bytes / bandwidth
 *
 * with hops and bytes as dn_comm_stats counts them. Bytes of exchanges that are in flight together follow one
 * another; latencies overlap. Calls that wait sleep until then; begin takes the time, finish sleeps off what
 * is left of it, so that overlap with computation is real. Control (losses, flags, hashes) takes no time.
 */
#ifndef COMM_LINK_H
#define COMM_LINK_H

#include "dionode/comm.h"

typedef struct dn_link {
    double latency_s, bytes_per_s; /* bytes_per_s 0: no link */
} dn_link;

/** Parses "1Gbit:5ms": a number with bit, kbit, Mbit or Gbit (a second), one with us, ms or s. Empty: no link.
 * Errors: DN_ERR_CONFIG "where: ...". */
dn_status dn_link_parse(const char *text, const char *where, dn_link *link) DN_MUST_USE;

/** Seconds that an exchange takes. */
static inline double dn_link_s(const dn_link *link, double hops, double bytes)
{
    return hops * link->latency_s + (link->bytes_per_s > 0 ? bytes / link->bytes_per_s : 0);
}

/** Exchanges that begin after this call go over the link. To be called alike on all members. */
void dn_comm_use_link(dn_comm *comm, const dn_link *link);

/** Exchanges that follow count as begun at that time of dn_clock_s, each when the one before it is done; 0: when
 * they are called. */
void dn_comm_begun(dn_comm *comm, double when);

/** Sleeps until that time of dn_clock_s: what arrives over a link that the caller emulates itself is there then. A stop or a
 * failure ends the sleep. */
void dn_comm_sleep_until(dn_comm *comm, double end);

/** Seconds slept on links since the last call. */
double dn_comm_take_link_s(dn_comm *comm);

/** Seconds since the last call for which this rank awaited exchanges that had been called, control left out, before it slept: on a link
 * they go on within the time that it takes. */
double dn_comm_take_awaited_s(dn_comm *comm);

#endif
