/* What checkpoints say of the run that wrote them, and the plan of a run that goes on from one. */
#ifndef TRAIN_STORED_RUN_H
#define TRAIN_STORED_RUN_H

#include "checkpoint/checkpoint.h"
#include "train/plan.h"

enum { DN_STORED_PATH_MAX = DN_PATH_MAX + 64 };

/** The newest checkpoint in `run`, a run's folder, or that file itself. takes: what belongs there, for the message. Errors:
 * DN_ERR_CHECKPOINT there is none, or it is another program's file; DN_ERR_IO; DN_ERR_ARG. */
dn_status dn_stored_find(const char *run, const char *takes, char path[DN_STORED_PATH_MAX]) DN_MUST_USE;

/** The configuration that the run had. path: the checkpoint's. Errors: DN_ERR_CHECKPOINT there is none; DN_ERR_CONFIG. */
dn_status dn_stored_config(const dn_checkpoint *checkpoint, const char *path, dn_config *out) DN_MUST_USE;

/** Hash of the tokenizer whose ids it was trained on; 0: unknown, or bytes. */
uint64_t dn_stored_tokenizer(const dn_checkpoint *checkpoint);

/** The plan of a training run. What auto chose when the run began, its newest checkpoint knows, and it stays: exchange.kept.
 * Errors: as dn_plan_make. */
dn_status dn_plan_run(const dn_config *config, int n_workers, dn_plan *plan) DN_MUST_USE;

#endif
