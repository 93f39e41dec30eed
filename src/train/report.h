/* Reporting of a run, by rank 0: to the terminal, and to metrics.jsonl. */
#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H

#include "train/run.h"

/** Prints the opening lines (model, batch, workers, BLAS, exchange) and starts the progress bar; a no-op on
 * other ranks. */
void dn_report_begin(dn_run *run);

/** Reports step run->last, unless already reported: a line of metrics.jsonl, and the bar. val_loss: NaN if
 * not measured. Errors: DN_ERR_IO. */
dn_status dn_report_step(dn_run *run, double val_loss) DN_MUST_USE;

/** Adds a validation loss to the line of a step that is already reported. Errors: DN_ERR_IO. */
dn_status dn_report_validation(dn_run *run, double val_loss) DN_MUST_USE;

/** Reports that a requested checkpoint was saved. */
void dn_report_saved(dn_run *run);

/** Ends the bar and prints where the results are. */
void dn_report_end(dn_run *run);

/** Instead of begin and end: prints that a stop was requested before there was a state. */
void dn_report_not_begun(const dn_run *run);

/** Instead of begin and end: prints that the run is complete, having reached the limit that `key` sets. */
void dn_report_complete(const dn_run *run, const char *key);

#endif
