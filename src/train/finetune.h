/* Fine-tuning on labels in progress (dn_finetune): what all ways to learn them have in common. */
#ifndef TRAIN_FINETUNE_H
#define TRAIN_FINETUNE_H

#include "data/partition.h"
#include "dionode/train.h"
#include "train/labelled.h"
#include "train/loaded_model.h"

typedef struct dn_finetune_run {
    const dn_finetuning *what;
    dn_comm *comm; /* of all workers, borrowed; NULL: this process alone */
    int rank, n_workers;
    dn_config config;
    dn_labels labels;
    uint32_t *rows; /* [labels.n]: of training, then those held out */
    size_t n_train, n_test;
    void (*progress)(uint64_t done, uint64_t total, double loss, void *context); /* of rank 0; or NULL */
    void *context;
    uint32_t *by_client; /* [n_train] of clients: rows in the order that the partition is of */
    dn_partition *partition; /* NULL: there are no clients */
    int n_clients;
    /* where the way needs the model: */
    dn_labelled_tokens texts;
    dn_loaded_model model;
    int32_t *inputs, *targets; /* [device_batch_size * sequence_length] */
    dn_real *scores;           /* [device_batch_size, classes] */
} dn_finetune_run;

/* Not an error: a stop was asked for. */
#define DN_FINETUNE_STOPPED DN_RUN_DROPPED

/** Gradients of the mean loss over rows [n], on this worker alone; *loss: sum. Not collective. */
dn_status dn_finetune_gradient(dn_finetune_run *run, const uint32_t *rows, size_t n, double *loss) DN_MUST_USE;

/** Deals rows to clients as config.partition says. Errors: DN_ERR_CONFIG, DN_ERR_DATA a client without rows; DN_ERR_MEMORY. */
dn_status dn_finetune_deal(dn_finetune_run *run) DN_MUST_USE;

/** Trains what is trained of the model, num_iterations steps or versions of clients, and judges it. Fills all of *out but counts of texts and
 * classes. Collective. Errors: DN_ERR_NUMERIC; of the model and the communicator; DN_FINETUNE_STOPPED. */
dn_status dn_finetune_learn(dn_finetune_run *run, dn_finetuned *out) DN_MUST_USE;

/** The first n_versions <= num_iterations of clients; out->exchanged and n_rounds count on. Collective. Errors: as dn_clients_step;
 * DN_FINETUNE_STOPPED. */
dn_status dn_finetune_clients(dn_finetune_run *run, uint64_t n_versions, dn_finetuned *out) DN_MUST_USE;

/** Errors: DN_ERR_CONFIG: an encoder, a number of dimensions or of rounds that there is not. */
dn_status dn_finetune_hdc_check(const dn_finetuning *what) DN_MUST_USE;

/** Hyperdimensional computing: encodes all rows, adds them up by class, retrains. Fills all of *out but counts of texts and classes.
 * Collective. Errors: DN_ERR_DATA a text that is no record of as many numbers as the first; DN_ERR_MEMORY; of the model;
 * DN_FINETUNE_STOPPED. */
dn_status dn_finetune_hdc(dn_finetune_run *run, dn_finetuned *out) DN_MUST_USE;

/** Whether some worker was asked to stop; collective. */
dn_status dn_finetune_pass_on(dn_finetune_run *run) DN_MUST_USE;

#endif
