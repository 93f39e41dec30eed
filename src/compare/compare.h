/* Internals of dn_compare: the list of runs, and the execution of one. */
#ifndef COMPARE_COMPARE_H
#define COMPARE_COMPARE_H

#include "dionode/compare.h"
#include "report/comparison.h"
#include "train/train.h"

/** Contenders (n_steps) and trials (lr, seed, dir), n_seeds, n_clients, n_steps and step_tokens by options; the rest of *out is
 * zero. Owned by the caller, also after a failure. Errors: DN_ERR_CONFIG, DN_ERR_MEMORY. */
dn_status dn_compare_expand(const dn_compare_options *options, dn_comparison *out) DN_MUST_USE;

/** The configuration of one trial. Errors: DN_ERR_CONFIG. */
dn_status dn_compare_config(const dn_config *common, const dn_contender *contender, const dn_trial *trial, dn_config *out) DN_MUST_USE;

/** Reads the record of this run in trial->dir and fills trial->end. Errors: DN_ERR_CONFIG if the folder holds
 * a run of another configuration, naming the keys that differ; those of dn_record_read. */
dn_status dn_trial_inspect(dn_trial *trial, const dn_config *config) DN_MUST_USE;

/** Executes or resumes the run, then inspects it. A failure of the run itself is recorded as its end, and is
 * no error; *signal_out as in dn_compare. */
dn_status dn_trial_run(dn_trial *trial, const dn_config *config,
                       void (*progress)(uint64_t step, void *context), void *context,
                       int *signal_out) DN_MUST_USE;

#endif
