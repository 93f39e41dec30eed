/*
 * metrics.jsonl: one JSON object a line, one line a step, flushed line by line. A run that goes on from step
 * s first drops the lines of steps >= s and any torn last line, so the file reads as if the run had never
 * stopped.
 */
#ifndef REPORT_METRICS_H
#define REPORT_METRICS_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dn_metrics dn_metrics;

typedef struct dn_metric {
    const char *key;
    double value; /* written with 17 significant digits where needed to read back the same bits; NaN = left
                     out */
} dn_metric;

/** Opens (or creates) path for appending from step `next_step` on. Errors: DN_ERR_IO; DN_ERR_CHECKPOINT if a
 * line that must stay cannot be read. Owned by the caller. */
dn_status dn_metrics_open(const char *path, uint64_t next_step, dn_metrics **out) DN_MUST_USE;
/** Appends {"step": step, key: value, ...}. Whole numbers below 2^53 are written as integers. Errors:
 * DN_ERR_IO. */
dn_status dn_metrics_write(dn_metrics *metrics, uint64_t step, const dn_metric *values, size_t n) DN_MUST_USE;
dn_status dn_metrics_close(dn_metrics **metrics) DN_MUST_USE;

#endif
