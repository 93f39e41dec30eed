/* What a run tells: to people through the progress line, to programs through metrics.jsonl. Rank 0 speaks. */
#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H

#include "train/run.h"

/** Opening lines (model, batch, workers, BLAS, exchange) and the progress bar; nothing on ranks but 0. */
void dn_report_begin(dn_run *run);

/** The step run->last, unless it is told: the line of metrics.jsonl and the bar. val_loss: NaN = not measured. Errors:
 * DN_ERR_IO. */
dn_status dn_report_step(dn_run *run, double val_loss) DN_MUST_USE;

/** A validation whose step is told already: it joins its line of metrics.jsonl. Errors: DN_ERR_IO. */
dn_status dn_report_validation(dn_run *run, double val_loss) DN_MUST_USE;

/** That a save which was asked for is made. */
void dn_report_saved(dn_run *run);

/** Ends the bar and says where the run's results are. */
void dn_report_end(dn_run *run);

/** That a stop came before there was a state. Instead of begin and end. */
void dn_report_not_begun(const dn_run *run);

/** That nothing is left to do: the run has come to the end that `key` sets. Instead of begin and end. */
void dn_report_complete(const dn_run *run, const char *key);

#endif
