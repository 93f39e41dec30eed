/* Summary statistics of time samples. */
#ifndef BENCH_SUMMARY_H
#define BENCH_SUMMARY_H

#include <stddef.h>

typedef struct dn_summary {
    double mean, p50, p99, max;
} dn_summary;

/** Sorts samples [n >= 1]. Percentiles are samples, not interpolated (nearest rank: the smallest sample
 * that at least that many percent do not exceed). */
dn_summary dn_summarize(double *samples, size_t n);

#endif
