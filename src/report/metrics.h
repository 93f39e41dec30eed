/*
 * metrics.jsonl: one JSON object a line, one line a step, each written at once and whole. A run that goes on
 * from step s first drops the lines of steps >= s and any torn last line, so the file reads as if the run had
 * never stopped.
 */
#ifndef REPORT_METRICS_H
#define REPORT_METRICS_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dn_metrics dn_metrics;

#define DN_METRICS_LINE_MAX 8192 /* bytes of a line; about 200 values */

typedef struct dn_metric {
    const char *key; /* plain ASCII without quotes, backslashes and control characters */
    double value;    /* reads back to the same bits; NaN and infinities are left out, JSON has none */
} dn_metric;

/** Opens (or creates) path for appending from step `next_step` on: everything from the first line with such a
 * step is cut off; from step 1 on, everything. Steps from 1 on of which no line is left, and lines that repeat a step, are warnings. Errors:
 * DN_ERR_IO; DN_ERR_CHECKPOINT naming the line, if one that must stay is not an object with a step, or one to
 * be cut off is not ours. Owned by the caller. */
dn_status dn_metrics_open(const char *path, uint64_t next_step, dn_metrics **out) DN_MUST_USE;
/** Appends {"step": step, key: value, ...}. Whole numbers below 2^53 are written as integers, others with up
 * to 17 significant digits. Allocates nothing. Errors: DN_ERR_IO, the file is then as before; DN_ERR_ARG: the
 * line is too long. */
dn_status dn_metrics_write(dn_metrics *metrics, uint64_t step, const dn_metric *values, size_t n) DN_MUST_USE;
/** What was written survives a power cut: called before a checkpoint is published, so that no checkpoint has steps
 * that the file lacks. Errors: DN_ERR_IO. */
dn_status dn_metrics_sync(dn_metrics *metrics) DN_MUST_USE;
/** Adds a value to the line of `step`, if that is the last one that was written or found; otherwise as a line of its
 * own. Errors: DN_ERR_IO, the file is then as before. */
dn_status dn_metrics_amend(dn_metrics *metrics, uint64_t step, const dn_metric *value) DN_MUST_USE;
/** Closes; NULL is a no-op; sets *metrics to NULL. Errors: DN_ERR_IO. */
dn_status dn_metrics_close(dn_metrics **metrics) DN_MUST_USE;

#endif
