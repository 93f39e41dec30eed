/*
 * Carries out a strategy (strategy.h) in one run: what comes after the optimizer's step.
 *
 * Along dp each rank has twins in the other replicas, which hold the same block of each parameter. A block's
 * rows are dealt to the twins in shares (shard/bucket.h): an exchange brings the mean of a share to its owner
 * and what the owner makes of it back to all, as many bytes as an all-reduce; states of a strategy are kept
 * once, at the owners.
 */
#ifndef STRATEGY_ENGINE_H
#define STRATEGY_ENGINE_H

#include "strategy/strategy.h"
#include "shard/optimizer.h"

typedef struct dn_strategy_run dn_strategy_run;

/** Symmetric heap that dn_strategy_open takes of mesh->all; exact. Of params shapes and cuts are read. */
size_t dn_strategy_heap_bytes(const dn_strategy *strategy, const dn_param *params, size_t n_params,
                              const int size[DN_N_AXES]);

/** config is copied; all else borrowed: params (weights on the symmetric heap of the mesh), the mesh of all replicas.
 * Takes heap on all ranks alike; nobody meets. Errors: DN_ERR_MEMORY. *out is owned by the caller. */
dn_status dn_strategy_open(const dn_strategy *strategy, const dn_strategy_config *config, const dn_param *params,
                           size_t n_params, dn_stream *stream, const dn_mesh *mesh, dn_strategy_run **out) DN_MUST_USE;
void dn_strategy_close(dn_strategy_run **run);

/** Sets the states to those of a run that begins with the weights as they are, the same in all replicas. Not
 * collective. */
dn_status dn_strategy_begin(dn_strategy_run *run) DN_MUST_USE;

/** Collective. What replicas exchange after the optimizer's step (counted from 0), which no rank has skipped. Errors:
 * those of the groups. */
dn_status dn_strategy_exchange(dn_strategy_run *run, uint64_t step) DN_MUST_USE;

/** Whether replicas' weights differ, as they do between exchanges. The same on all ranks. A restored run is told. */
bool dn_strategy_apart(const dn_strategy_run *run);
void dn_strategy_set_apart(dn_strategy_run *run, bool apart);

/* States, as the optimizer's are (shard/optimizer.h). None is per replica. */
size_t dn_strategy_n_states(const dn_strategy_run *run);
const dn_tensor *dn_strategy_state(const dn_strategy_run *run, size_t index);
dn_shard dn_strategy_state_shard(const dn_strategy_run *run, size_t index, int rank);

#endif
