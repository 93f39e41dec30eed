/* Which blocks get prompts, as FedPepTAO chooses them (train/finetune.h). */
#ifndef TRAIN_PROMPT_LAYERS_H
#define TRAIN_PROMPT_LAYERS_H

#include "train/finetune.h"

enum { DN_PROMPT_TEXTS = 64, DN_PROMPT_BLOCKS = 64 }; /* at most: of a batch that is scored, of a model */

/**
 * How unlike each other a block's outputs of a batch's texts are, of which products [B,B] are the inner products, flattened: with K
 * their cosines and e_j its eigenvalues, sum ln(e_j + 1e-5) + 1 / (e_j + 1e-5). The higher, the more alike. Changes products. A text
 * whose output is 0 is like no other.
 */
double dn_prompt_score(double *products, size_t B);

/** The share of the blocks, one at least, whose scores [L] are highest, of equal ones the first; one bit for each of the others. 1 <= L <= DN_PROMPT_BLOCKS. */
uint64_t dn_prompt_left_out(const double *scores, size_t L, double share);

/**
 * *left_out: the blocks that get no prompt, one bit each, where that share of all gets some. The model is opened without prompts, and with room
 * for what its blocks put out. Each client takes a batch of its first texts, or, without clients, all workers one of the first of all;
 * scores are averaged by clients' texts. The same on all workers, whatever their number. Collective. Errors: as of a pass.
 */
dn_status dn_prompt_choose(dn_finetune_run *run, double share, uint64_t *left_out) DN_MUST_USE;

#endif
