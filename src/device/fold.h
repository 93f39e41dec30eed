/* A fold: an element-wise reduction of several source arrays, in their order, written to several targets. */
#ifndef DEVICE_FOLD_H
#define DEVICE_FOLD_H

#include "dionode/types.h"

typedef struct dn_fold {
    dn_type type;
    dn_op op;
    size_t n;       /* elements */
    int n_averaged; /* DN_AVG: divisor of the sum */
    int n_sources, n_targets;
    const char *sources[DN_MAX_RANKS];
    char *targets[DN_MAX_RANKS]; /* a target may be one of the sources */
} dn_fold;

/** Runs a fold of host memory. n_sources >= 1. */
void dn_fold_on_host(const dn_fold *fold);

#endif
