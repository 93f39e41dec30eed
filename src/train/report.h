/* What a run tells: to people through the progress line, to programs through metrics.jsonl. Rank 0 speaks. */
#ifndef TRAIN_REPORT_H
#define TRAIN_REPORT_H

#include "train/run.h"

/** Opening lines (model, batch, workers, BLAS, exchange) and the progress bar; nothing on ranks but 0. */
void dn_report_begin(dn_run *run);

/** A finished step: the line of metrics.jsonl and the bar. val_loss, hash: NaN = not measured in this step.
 *  Errors: DN_ERR_IO. */
dn_status dn_report_step(dn_run *run, const dn_step_result *result, double val_loss, double hash) DN_MUST_USE;

/** Ends the bar and says where the run's results are. */
void dn_report_end(dn_run *run);

#endif
