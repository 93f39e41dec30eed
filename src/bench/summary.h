/* Many samples of one time, in a few numbers. */
#ifndef BENCH_SUMMARY_H
#define BENCH_SUMMARY_H

#include <stddef.h>

typedef struct dn_summary {
    double mean, p50, p99, max;
} dn_summary;

/** Sorts samples [n >= 1]. Percentiles are samples, not interpolated: the smallest that at least so many
 * percent of all do not exceed (nearest rank). */
dn_summary dn_summarize(double *samples, size_t n);

#endif
