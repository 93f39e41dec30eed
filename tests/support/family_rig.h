/* One whole matrix under one rule of the family, driven through its row of the registry (Dion: through its
 * phases): for the tests against stored vectors and for the relations between rules. Asserts where a call
 * fails. */
#ifndef SUPPORT_FAMILY_RIG_H
#define SUPPORT_FAMILY_RIG_H

#include "compute/kernels.h"
#include "linalg/newton_schulz.h"
#include "optim/rule.h"
#include "support/rules.h"

#include <stdbool.h>

/* What does not concern a rule is ignored. */
typedef struct family_options {
    const char *rule; /* of the registry; "orth_dion": dion with that setting */
    size_t rows, cols;
    dn_adjust adjust;
    dn_ns_method ns;
    double beta2; /* of NorMuon's second moments */
    bool nesterov, cautious;
    double mu; /* Dion2's ef_decay too */
    double weight_decay;
    double fraction; /* of rows or columns (dion2, dion3), of the rank (dion) */
} family_options;

typedef struct family_rig {
    family_options options;
    dn_stream *stream;
    size_t step; /* taken */
    size_t rank; /* of Dion */
    dn_buf *weight, *grad;
    dn_buf *states[DN_MAX_STATES]; /* of the rule; momentum and Q of Dion. None is NULL */
    size_t sizes[DN_MAX_STATES];   /* their elements; 0 of those that the rule does not have */
    dn_buf *u, *r;                 /* what is orthonormalized; Dion's R */
    void *memory, *workspace;
    size_t memory_bytes, workspace_bytes;
} family_rig;

/** Muon's options with the reference's defaults: Polar Express, spectral norm, mu 0.95, no weight decay,
 * fraction 1. */
family_options family_defaults(const char *rule, size_t rows, size_t cols);

/** Everything starts at 0, states that say so as the identity. kernels as for dn_stream_create. */
family_rig family_create(const family_options *options, const char *kernels, int n_threads);
void family_destroy(family_rig *rig);

void family_set(const family_rig *rig, dn_buf *to, const double *from, size_t n);
/** Owned by the caller. */
double *family_get(const family_rig *rig, const dn_buf *from, size_t n);

/** One step with that gradient [rows, cols]. Dion's second state and R are orthonormalized by Gram-Schmidt.
 */
void family_step(family_rig *rig, const double *grad, double lr);

#endif
