/* Which share of the blocks gets prompts, as FedPepTAO finds it from the loss's curvature (train/finetune.h). */
#ifndef TRAIN_PROMPT_SHARE_H
#define TRAIN_PROMPT_SHARE_H

#include "train/finetune.h"

/* Versions that are trained before, of prompts in all blocks; texts of a client's batch; products with its Hessian. */
enum { DN_SHARE_VERSIONS = 10, DN_SHARE_TEXTS = 8, DN_SHARE_PRODUCTS = 50 };

/**
 * The share of a spectrum, whose weights [n] at nodes [n] have the sum 1, that lies above t where that hardly depends on t: t goes up from
 * 0 in steps of 0.1 until the share has changed by less than 0.005 three times in a row; where it has fallen below half of what it
 * is at 0 before that, again in steps half as long. A node's weight is a normal distribution of variance 1e-5, times the largest
 * node less the smallest where that is more than 1. Nodes are finite. Pure.
 */
double dn_prompt_share(const double *nodes, const double *weights, size_t n);

/**
 * The spectrum of the Hessian of the mean loss over rows [n_rows], by the n numbers that are trained of the model, as start [n], not 0, sees
 * it (linalg/lanczos.h, by at most DN_SHARE_PRODUCTS products): nodes and weights [DN_SHARE_PRODUCTS], of which *n_nodes are filled in. On
 * this worker alone. Afterwards weights are undefined. Errors: DN_ERR_MEMORY; of a pass; DN_FINETUNE_STOPPED.
 */
dn_status dn_prompt_spectrum(dn_finetune_run *run, const uint32_t *rows, size_t n_rows, const double *start, double *nodes, double *weights,
                             size_t *n_nodes) DN_MUST_USE;

/** Memory that dn_prompt_measure_share takes on a worker where n numbers are trained. */
size_t dn_prompt_share_bytes(size_t n);

/**
 * *share: that of the Hessian of each client's loss over a batch of its first texts, by what is trained of the model, at the weights
 * as they are, averaged by clients' texts; of clients, without tp and fs. The same on all workers, whatever their number. Afterwards weights are
 * undefined. Collective. Errors: DN_ERR_NUMERIC: the loss has no finite curvature; DN_ERR_MEMORY; of a pass; DN_FINETUNE_STOPPED.
 */
dn_status dn_prompt_measure_share(dn_finetune_run *run, double *share) DN_MUST_USE;

#endif
