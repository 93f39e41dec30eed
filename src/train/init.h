/* Weights to begin with: `init_from` names a run, a checkpoint, a Hugging Face folder or llm.c's model file. */
#ifndef TRAIN_INIT_H
#define TRAIN_INIT_H

#include "train/instance.h"

/** Whether it is a Hugging Face folder or llm.c's model file: all else is a run's. */
bool dn_init_is_foreign(const char *path);

/** The learning rate of trained weights if none is given: a twentieth of the rule's for weights from scratch
 * (dn_rule_info). */
double dn_init_lr(const dn_config *config);

/** Sets the keys of the model in *config by what its init_from or model names, and beside init_from the learning rate if it
 * is not given; then they count as given, and model is empty. Errors: DN_ERR_CONFIG naming a key that says otherwise; of
 * what is read. */
dn_status dn_init_resolve(dn_config *config) DN_MUST_USE;

/** *hash = that of the tokenizer that the weights of init_from were trained with; 0: unknown. Errors: of what is read;
 * DN_ERR_CONFIG a folder's tokenizer has more tokens than its model. */
dn_status dn_init_tokenizer(const dn_config *config, uint64_t *hash) DN_MUST_USE;

/** This rank's blocks of all parameters become those of what init_from names. tick (may fail) is called now and then.
 * Returns after sync. Errors: of what is read; DN_ERR_DATA: a tensor is missing, left over or of another shape. */
dn_status dn_init_load(const dn_instance *instance, dn_status (*tick)(void *), void *context) DN_MUST_USE;

#endif
