/* Checks for NaN and infinity. Skipping steps does not catch every NaN: one in the embedding of a rare token
 * spoils few steps, each of which is skipped, and training would go on. */
#ifndef TRAIN_FINITE_H
#define TRAIN_FINITE_H

#include "train/instance.h"

/** This rank's weights. Not collective. Errors: DN_ERR_NUMERIC "<where>: <tensor> is not finite; <todo>". */
dn_status dn_finite_weights(const dn_instance *instance, const char *where, const char *todo) DN_MUST_USE;

/** The optimizer's states, as far as this rank (of mesh->all) holds them. As above. */
dn_status dn_finite_states(const dn_instance *instance, int rank, const char *where,
                           const char *todo) DN_MUST_USE;

#endif
