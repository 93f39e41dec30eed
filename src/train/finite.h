/* Checks for NaN and infinity. Skipping steps does not catch every NaN: one in the embedding of a rare token
 * spoils few steps, each of which is skipped, and training would go on. */
#ifndef TRAIN_FINITE_H
#define TRAIN_FINITE_H

#include "train/instance.h"

/** This rank's shards of the weights and, of an instance that trains, of all states of optimizer and strategy. Not
 * collective. tick (may be NULL) is called after each tensor. Errors: DN_ERR_NUMERIC "<where>: <tensor> is not finite;
 * <todo>". */
dn_status dn_finite_check(const dn_instance *instance, const char *where, const char *todo, void (*tick)(void *),
                          void *context) DN_MUST_USE;

#endif
