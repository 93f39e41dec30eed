/*
 * Carries out a strategy (strategy.h) in one run: the exchange after the optimizer's step.
 *
 * The ranks along dp hold the same block of each parameter. The block's rows are sharded over them
 * (shard/bucket.h): an exchange reduces the mean of each shard to its owner, and gathers what the owner makes
 * of it to all, with as many bytes as an all-reduce. States of a strategy are kept once, by the owners.
 */
#ifndef STRATEGY_ENGINE_H
#define STRATEGY_ENGINE_H

#include "strategy/strategy.h"
#include "shard/optimizer.h"

typedef struct dn_strategy_run dn_strategy_run;

/** Bytes that dn_strategy_open allocates on the symmetric heap of mesh->all; exact. Of params only shapes and
 * shardings are read. */
size_t dn_strategy_heap_bytes(const dn_strategy *strategy, const dn_param *params, size_t n_params,
                              const int size[DN_N_AXES]);

/** config is copied; all else is borrowed: params (weights on the symmetric heap), the mesh of all replicas.
 * To be called on all ranks, as it allocates symmetric memory; no barrier. Errors: DN_ERR_MEMORY. The caller
 * owns *out. */
dn_status dn_strategy_open(const dn_strategy *strategy, const dn_strategy_config *config, const dn_param *params,
                           size_t n_params, dn_stream *stream, const dn_mesh *mesh, dn_strategy_run **out) DN_MUST_USE;
void dn_strategy_close(dn_strategy_run **run);

/** Initializes the states from the present weights, which must be equal in all replicas. Not collective. */
dn_status dn_strategy_begin(dn_strategy_run *run) DN_MUST_USE;

/** Collective. Exchanges what the strategy says after the optimizer's step (counted from 0), which no rank
 * has skipped. Errors: those of the communicators. */
dn_status dn_strategy_exchange(dn_strategy_run *run, uint64_t step) DN_MUST_USE;

/** Whether replicas' weights differ, as they do between exchanges. The same on all ranks. To be set when a
 * run is restored. */
bool dn_strategy_apart(const dn_strategy_run *run);
void dn_strategy_set_apart(dn_strategy_run *run, bool apart);

/* States, as the optimizer's are (shard/optimizer.h). None is per replica. */
size_t dn_strategy_n_states(const dn_strategy_run *run);
const dn_tensor *dn_strategy_state(const dn_strategy_run *run, size_t index);
dn_shard dn_strategy_state_shard(const dn_strategy_run *run, size_t index, int rank);

#endif
