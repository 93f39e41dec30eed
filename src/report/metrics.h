/*
 * metrics.jsonl: one JSON object per line, one line per step, each written by a single write. A run that
 * resumes at step s first removes the lines of steps >= s and a torn last line, so that the file reads as if
 * the run had never stopped.
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

/** Opens (or creates) path for appending from step `next_step` on. Truncates it at the first line of such a
 * step (for next_step 1, at the start). Logs a warning for steps from 1 on that have no line, and for
 * repeated steps. Errors: DN_ERR_IO; DN_ERR_CHECKPOINT naming the line, if one to be kept is not an object
 * with a step, or one to be removed was not written by Dionode. The caller owns *out. */
dn_status dn_metrics_open(const char *path, uint64_t next_step, dn_metrics **out) DN_MUST_USE;
/** Appends {"step": step, key: value, ...}. Whole numbers below 2^53 are written as integers, others with up
 * to 17 significant digits. Allocates nothing. Errors: DN_ERR_IO, the file is then as before; DN_ERR_ARG: the
 * line is too long. */
dn_status dn_metrics_write(dn_metrics *metrics, uint64_t step, const dn_metric *values, size_t n) DN_MUST_USE;
/** Makes what was written durable (fsync). Called before a checkpoint is published, so that no checkpoint has
 * steps that the file lacks. Errors: DN_ERR_IO. */
dn_status dn_metrics_sync(dn_metrics *metrics) DN_MUST_USE;
/** Adds a value to the line of `step`, if that is the last one that was written or found; otherwise as a line of its
 * own. The line is replaced at once, and durably: the file becomes a new one. Errors: DN_ERR_IO, the file is then as
 * before. */
dn_status dn_metrics_amend(dn_metrics *metrics, uint64_t step, const dn_metric *value) DN_MUST_USE;
/** Closes; NULL is a no-op; sets *metrics to NULL. Errors: DN_ERR_IO. */
dn_status dn_metrics_close(dn_metrics **metrics) DN_MUST_USE;

#endif
