/*
 * Carries out a strategy (strategy.h) in one run: a step of the rule, and what replicas exchange before, instead of or
 * after it.
 *
 * The ranks along dp hold the same block of each parameter. A mean of the numbers of a block is reduced to owners, each
 * of a share of the block's rows (shard/bucket.h), and gathered from them, with as many bytes as an all-reduce. Other
 * messages stay where their senders wrote them, and are read in place.
 *
 * Memory is symmetric, and all of it is allocated when a run is opened: states, windows (delay + 1 messages of each
 * parameter) and, where bytes are in flight across steps, room to show them to checkpoints as numbers. A step
 * allocates nothing.
 */
#ifndef STRATEGY_ENGINE_H
#define STRATEGY_ENGINE_H

#include "shard/optimizer.h"
#include "strategy/strategy.h"

typedef struct dn_strategy_run dn_strategy_run;

/* What a strategy works on; borrowed. */
typedef struct dn_strategy_parts {
    const dn_optim_config *optim;
    const dn_param *params; /* [n_params] weights and gradients on the symmetric heap of mesh->root */
    size_t n_params;
    dn_stream *stream;
    const dn_mesh *mesh;     /* of all replicas */
    dn_optimizer *optimizer; /* of the strategy's mesh (dn_strategy_mesh); instead of a rule: of no parameters */
} dn_strategy_parts;

/** The mesh that the optimizer stands on: the whole, or this rank's replica. Not collective. */
dn_mesh dn_strategy_mesh(const dn_strategy *strategy, const dn_mesh *whole);
/** Errors: DN_ERR_CONFIG: a strategy of_whole_model for one of several stages; one that leaves replicas apart, and some stage
 * trains nothing (n_least: the fewest trained parameters of a stage), so that it would not notice. */
dn_status dn_strategy_check_stages(const dn_strategy *strategy, int n_stages, size_t n_least) DN_MUST_USE;
/** Errors: DN_ERR_CONFIG: islands that do not divide the replicas. */
dn_status dn_strategy_check_mesh(const dn_strategy *strategy, const dn_strategy_config *config,
                                 const int size[DN_N_AXES]) DN_MUST_USE;
/** Islands by NUMA domains or by nodes, where the settings ask for these: consecutive replicas whose ranks are in the same one are
 * one. domains, nodes [ranks of the mesh]: those of each rank, by any numbers; -1: of none alone. Errors: DN_ERR_CONFIG: replicas
 * that lie in several, or islands that are unequal or apart. */
dn_status dn_strategy_place_islands(const dn_strategy *strategy, dn_strategy_config *config, const int size[DN_N_AXES],
                                    const int *domains, const int *nodes) DN_MUST_USE;
/** Its size. */
void dn_strategy_mesh_size(const dn_strategy *strategy, const int whole[DN_N_AXES], int size[DN_N_AXES]);
/** Parameters that the optimizer has: all, or none. */
size_t dn_strategy_n_stepped(const dn_strategy *strategy, size_t n_params);

/** Bytes that dn_strategy_open allocates on the symmetric heap of mesh->all; exact. Of params only shapes and
 * shardings are read. SIZE_MAX: more than can be counted. */
size_t dn_strategy_heap_bytes(const dn_strategy *strategy, const dn_strategy_config *config, const dn_param *params,
                              size_t n_params, const int size[DN_N_AXES]);

/** config is copied, and islands by NUMA domains are those of the ranks of the mesh. To be called on all ranks, as it allocates
 * symmetric memory; no barrier. Errors: DN_ERR_MEMORY; those of dn_strategy_place_islands. The caller owns *out. */
dn_status dn_strategy_open(const dn_strategy *strategy, const dn_strategy_config *config, const dn_strategy_parts *parts,
                           dn_strategy_run **out) DN_MUST_USE;
/** Collective, at the end of a run that goes well: what is on its way to other nodes has come, as their memory may go then. Messages in
 * flight are not taken up. After a failure nobody waits: the processes end. */
dn_status dn_strategy_settle(dn_strategy_run *run) DN_MUST_USE;
void dn_strategy_close(dn_strategy_run **run);

/** Initializes the states from the present weights, which must be equal in all replicas. Not collective. */
dn_status dn_strategy_begin(dn_strategy_run *run) DN_MUST_USE;

/** Collective. One step (params->step counts from 0) of weights and gradients as dn_optimizer_step takes them: a gradient
 * that is not finite in some replica skips it, and nothing is changed or exchanged. loss: of the step, the same on all
 * ranks. Errors: those of dn_optimizer_step
 * and of the communicators; DN_ERR_NUMERIC: what was exchanged is not finite. */
dn_status dn_strategy_step(dn_strategy_run *run, const dn_step_params *params, double loss,
                           dn_step_report *report) DN_MUST_USE;

/** Whether replicas' weights differ, as they may between exchanges. The same on all ranks. To be set when a
 * run is restored. */
bool dn_strategy_apart(const dn_strategy_run *run);
void dn_strategy_set_apart(dn_strategy_run *run, bool apart);

/** The row, and the settings, with islands that are known. */
const dn_strategy *dn_strategy_row(const dn_strategy_run *run);
const dn_strategy_config *dn_strategy_settings_of(const dn_strategy_run *run);

/** As dn_optimizer_set_weight_decay, also where the strategy is instead of a rule. */
size_t dn_strategy_set_weight_decay(dn_strategy_run *run, const char *match, double weight_decay);

/** What was exchanged in the last step, of an exchange of the row and a parameter: whether, and the length of this
 * rank's message. */
typedef struct dn_strategy_sent {
    bool sent;
    size_t n;
} dn_strategy_sent;
dn_strategy_sent dn_strategy_last(const dn_strategy_run *run, int exchange, size_t param);

/** Makes size and coordinates of a mesh those of the replicas of a scope: along dp, of an island's replicas, or of
 * islands. */
void dn_strategy_scope_at(const dn_strategy *strategy, const dn_strategy_config *config, dn_scope scope,
                          int size[DN_N_AXES], int at[DN_N_AXES]);
/** The communicator along dp of DN_SCOPE_ISLAND or DN_SCOPE_ACROSS, which counts what is exchanged there; NULL: the strategy
 * has no islands. Borrowed. */
dn_comm *dn_strategy_comm(const dn_strategy_run *run, dn_scope scope);

/* ---- states ---- */

/* As the optimizer's are (shard/optimizer.h): those of the row, of each parameter, its numbers, then
 * messages in flight. */
size_t dn_strategy_n_states(const dn_strategy_run *run);
const dn_tensor *dn_strategy_state(const dn_strategy_run *run, size_t index);
dn_shard dn_strategy_state_shard(const dn_strategy_run *run, size_t index, int rank);
/** Whether name and shape depend on how the mesh cuts the parameter. */
bool dn_strategy_state_is_cut(const dn_strategy_run *run, size_t index);

/** Before states are read to be saved: shows bytes in flight, and the row's numbers, as numbers of the device. */
dn_status dn_strategy_show(dn_strategy_run *run) DN_MUST_USE;

/** Of a run that is restored: a state of that name was saved. If it is a message in flight it is in flight again, a state that
 * waits for its numbers; any other name does nothing. To be called on all ranks, with the names in the same order; not
 * collective. Then states are restored, and dn_strategy_restored takes up what is not numbers of the device. */
void dn_strategy_expect(dn_strategy_run *run, const char *name);
dn_status dn_strategy_restored(dn_strategy_run *run) DN_MUST_USE;

#endif
