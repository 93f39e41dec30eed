/*
 * What stages of an asynchronous pipeline compute, on ranks that each have the whole model: for each micro-batch of a step the weights
 * are put together from those that each stage would have gone forward with. Knows the cut and how old weights are
 * (dn_pipe_staleness); nothing of slots, messages or copies in stages.
 */
#ifndef TRAIN_DELAYED_H
#define TRAIN_DELAYED_H

#include "train/instance.h"

typedef struct dn_delayed {
    dn_instance *instance; /* borrowed: of the whole model on this rank */
    dn_plan stages;        /* of the mesh with stages */
    size_t n_versions;     /* that are kept, the newest among them */
    uint64_t made;         /* updates */
    dn_real *versions;     /* [n_versions, all weights] a ring; owned, as all below */
    dn_real *sum;          /* of the gradients */
    uint64_t *rows;        /* [batch_size] of a micro-batch */
} dn_delayed;

/** stages is copied. Errors: DN_ERR_MEMORY. To be closed in any case. */
dn_status dn_delayed_open(dn_delayed *delayed, dn_instance *instance, const dn_plan *stages) DN_MUST_USE;
void dn_delayed_close(dn_delayed *delayed);

/** As dn_instance_gradient, of the batch_size rows from `first` on; to be called once before each update. Not collective. */
dn_status dn_delayed_gradient(dn_delayed *delayed, dn_rows_fn *rows, void *context, uint64_t first, size_t counted,
                              double *loss_sum) DN_MUST_USE;

#endif
