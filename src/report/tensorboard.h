/*
 * A run's metrics as TensorBoard reads them: an event file beside metrics.jsonl that holds the same values, as floats.
 * A file of records: length, checksum of the length, an Event (protocol buffers), checksum of the Event.
 */
#ifndef REPORT_TENSORBOARD_H
#define REPORT_TENSORBOARD_H

#include "report/metrics.h"

typedef struct dn_tensorboard dn_tensorboard;

#define DN_TENSORBOARD_FILE "events.out.tfevents.dionode" /* TensorBoard looks for "tfevents" in names */

/** Recreates the file in `dir` from dir/metrics.jsonl, also when a run resumes, as that may have removed
 * steps. Errors: DN_ERR_IO; those of dn_series_read. Owned by the caller. */
dn_status dn_tensorboard_open(const char *dir, dn_tensorboard **out) DN_MUST_USE;
/** Appends the finite values of a step by a single write. Allocates nothing. Errors: DN_ERR_IO. */
dn_status dn_tensorboard_write(dn_tensorboard *t, uint64_t step, const dn_metric *values, size_t n) DN_MUST_USE;
/** Closes; NULL is a no-op; sets *t to NULL. Errors: DN_ERR_IO. */
dn_status dn_tensorboard_close(dn_tensorboard **t) DN_MUST_USE;

#endif
