/* A fold: a range read from several places, combined element by element in their order, and written to
 * several. */
#ifndef DEVICE_FOLD_H
#define DEVICE_FOLD_H

#include "dionode/types.h"

typedef struct dn_fold {
    dn_type type;
    dn_op op;
    size_t n;       /* elements */
    int n_averaged; /* DN_AVG: by how many the sum is divided */
    int n_sources, n_targets;
    const char *sources[DN_MAX_RANKS];
    char *targets[DN_MAX_RANKS]; /* a target may be one of the sources */
} dn_fold;

/** Does it, on addresses that the host reads. n_sources >= 1. */
void dn_fold_on_host(const dn_fold *fold);

#endif
