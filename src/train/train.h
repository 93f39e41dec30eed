/* A training run within a larger command, which does the reporting. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "base/lock.h"
#include "dionode/topo.h"
#include "dionode/train.h"
#include "train/plan.h"

typedef struct dn_train_observer {
    int error_output; /* descriptor of the workers' standard error; 0: inherited */
    void (*progress)(uint64_t step, void *context); /* called periodically with the current step; or NULL */
    void *context;
} dn_train_observer;

/** dn_train with an observer (borrowed). */
dn_status dn_train_observed(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                            const dn_train_observer *watch, int *signal_out) DN_MUST_USE;

/** Opens and closes the data of a run, so that a missing or damaged file, or one that another tokenizer made than the one that
 * the first weights know, is reported before it begins. Then makes its folder ready and locks it: *lock is to be released,
 * also on failure. For one process of a run: the launcher, or rank 0 under another. */
dn_status dn_train_prepare(const dn_plan *plan, dn_lock *lock) DN_MUST_USE;

/** dn_topo_warn, but once of as many workers: a comparison, and fine-tuning in several ways, start them again and again. */
void dn_train_warn(const dn_topo *topo);

#endif
