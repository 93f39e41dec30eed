/*
 * How long a recorded run would have taken on a network:
 *
 *     sum over steps of  compute + max(0, hops * latency + cluster bytes / bandwidth - hidden - wait - delay * compute)
 *
 * compute is the measured step less what it slept on an emulated link; what moves through shared memory, or between nodes, stays in
 * it. wait is for how long the step awaited that: it goes on within the network's time, so the longer of the two counts. (Of runs that
 * did not record it both count.) delay is the number of steps during which an exchange may go on beside computation. hidden is what
 * goes on during the backward pass of runs on several nodes: as long as it was under way, but no more than what began by then takes.
 */
#ifndef REPORT_LINKTIME_H
#define REPORT_LINKTIME_H

#include "comm/link.h"
#include "report/record.h"

typedef struct dn_named_link {
    const char *name;
    dn_link link; /* bytes_per_s 0: as measured */
} dn_named_link;

enum { DN_N_LINKS = 4 };

/** The links that a comparison predicts times for, the first as measured. */
extern const dn_named_link dn_links[DN_N_LINKS];

/** Seconds of the steps up to and including `step`. NaN where a number is not recorded. */
double dn_record_link_s(const dn_record *record, uint64_t step, const dn_link *link);

/** The first step whose validation loss is at most `target`; 0: none. */
uint64_t dn_record_reaches(const dn_record *record, double target);

#endif
