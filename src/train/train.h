/* A training run that is part of something larger: it does not speak to people itself. */
#ifndef TRAIN_TRAIN_H
#define TRAIN_TRAIN_H

#include "dionode/train.h"

typedef struct dn_train_observer {
    int error_output;                           /* descriptor for what the workers say; 0: standard error */
    void (*look)(uint64_t step, void *context); /* now and then, with the step that is going on; or NULL */
    void *context;
} dn_train_observer;

/** dn_train with a watch (borrowed). */
dn_status dn_train_observed(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                            const dn_train_observer *watch, int *signal_out) DN_MUST_USE;

#endif
