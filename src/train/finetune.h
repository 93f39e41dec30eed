/* Fine-tuning on labels in progress (dn_finetune): what all ways to learn them have in common. */
#ifndef TRAIN_FINETUNE_H
#define TRAIN_FINETUNE_H

#include "dionode/train.h"
#include "train/labelled.h"
#include "train/loaded_model.h"

typedef struct dn_finetune_run {
    const dn_finetuning *what;
    dn_config config;
    dn_labels labels;
    uint32_t *rows; /* [labels.n]: of training, then those held out */
    size_t n_train, n_test;
    void (*progress)(uint64_t done, uint64_t total, double loss, void *context); /* or NULL */
    void *context;
    /* where the way needs the model: */
    dn_labelled_tokens texts;
    dn_loaded_model model;
    int32_t *inputs, *targets; /* [device_batch_size * sequence_length] */
    dn_real *scores;           /* [device_batch_size, classes] */
} dn_finetune_run;

/** Hyperdimensional computing: encodes all rows, adds them up by class, retrains. Fills all of *out but counts of texts and classes.
 * Errors: DN_ERR_DATA a text that is no record of as many numbers as the first; DN_ERR_CONFIG; DN_ERR_MEMORY; of the model. */
dn_status dn_finetune_hdc(dn_finetune_run *run, dn_finetuned *out) DN_MUST_USE;

#endif
