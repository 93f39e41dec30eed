/**
 * Strategies for a program's own tensors: what replicas exchange, and when. docs/strategies.md says what each is.
 *
 *     const dn_strategy_settings how = {.name = "local_sgd", .options = "sync_every=20", .n_steps = STEPS};
 *     status = dn_optim_create_with_strategy(&how, &config, tensors, n, mesh, 0, &optim);
 *     for each step: fill g;  status = dn_optim_step(optim, step, lr, &report);
 *     status = dn_optim_form_consensus(optim);
 *
 * That makes an optimizer as dn_optim_create does (dionode/optim.h); its replicas, the ranks along dp that hold the same blocks,
 * agree as the strategy says. Strategies take the place of averaging gradients: a rank's gradient is that of the mean loss over
 * the rows of its own replica. Messages are begun in one step and taken up in another by the number of the step, never by the
 * clock: results are the same bits in every run.
 *
 * Bytes and hops of exchanges are counted by the communicator along dp (dn_mesh_comm, dn_comm_get_stats), or by those of islands.
 */
#ifndef DIONODE_STRATEGY_H
#define DIONODE_STRATEGY_H

#include "dionode/optim.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dn_strategy_info {
    const char *name; /* as in a configuration */
    const char *help; /* one line */
} dn_strategy_info;

/** Strategy `index` of replicas, from 0; its name is NULL beyond the last. Static. */
DN_API dn_strategy_info dn_strategy_info_at(size_t index);

/* A strategy of a run. */
typedef struct dn_strategy_settings {
    const char *name;
    const char *options; /* "key=value key=value ...", as in a configuration (`dionode train --keys`); NULL: defaults */
    uint64_t n_steps;    /* that the run will make in all: options that are not given may follow it */
} dn_strategy_settings;

/** As dn_optim_heap_bytes, of dn_optim_create_with_strategy. */
DN_API size_t dn_optim_heap_bytes_with_strategy(const dn_strategy_settings *strategy, const dn_optim_config *config,
                                                const dn_optim_tensor *tensors, size_t n, const int size[DN_N_AXES]);

/**
 * As dn_optim_create, under a strategy; collective over the mesh. Weights must hold what the run begins with, or goes on from:
 * strategies keep where replicas set out from. strategy is copied. config->compress is not looked at: strategy `factors` is what
 * it stands for, `average` the other. What takes the place of the rule (demo, replicators) has no use for the rule's settings.
 *
 * Errors: those of dn_optim_create; DN_ERR_CONFIG no such strategy, an option that it does not take or out of range, options or
 * islands that do not go together, n_steps 0, `factors` with a rule of matrices that has none.
 */
DN_API dn_status dn_optim_create_with_strategy(const dn_strategy_settings *strategy, const dn_optim_config *config,
                                               const dn_optim_tensor *tensors, size_t n, const dn_mesh *mesh, int n_threads,
                                               dn_optim **out) DN_MUST_USE;

/** The training loss of the next step, which daso looks at: the same on all ranks. Not collective; without it 0. */
DN_API void dn_optim_set_loss(dn_optim *optim, double loss);

/** Whether replicas' weights may differ, as they do between exchanges. The same on all ranks. */
DN_API bool dn_optim_is_apart(const dn_optim *optim);

/** Collective over the mesh. The gradient of each tensor becomes the mean of the replicas' weights, bit for bit the same in all:
 * what a run that is apart is validated by, and ends with. Weights stay. Gradients may be written after the next barrier.
 * Errors: those of the communicator. */
DN_API dn_status dn_optim_form_consensus(dn_optim *optim) DN_MUST_USE;

/** Communicators along dp of the replicas of this rank's island, and of its twins in all islands, which count what moves there;
 * NULL: the strategy has no islands, or there is one replica. Borrowed. */
DN_API dn_comm *dn_optim_island_comm(const dn_optim *optim);
DN_API dn_comm *dn_optim_across_comm(const dn_optim *optim);

/* ---- state: for checkpoints ---- */

/*
 * A strategy's states follow those of the rule: dn_optim_n_states counts them all. Messages in flight are states, too, which come
 * and go with the steps: "<strategy>.<what>.<step in which it began>.<tensor>". Where replicas are apart (dn_optim_is_apart) each
 * one's weights belong to a checkpoint as well.
 *
 *     save       dn_optim_show_states, barrier, then write all states and weights
 *     go on      fill weights, each replica's own, create; dn_optim_expect_state for each name that was saved, in the same order
 *                on all ranks; write all states, each rank its own; dn_optim_take_states
 *
 * On another number of replicas: the consensus as weights, and no states.
 */

/** Before states are read: what is not kept as numbers is shown as such. Not collective. Errors: those of the device. */
DN_API dn_status dn_optim_show_states(dn_optim *optim) DN_MUST_USE;

/** A state of that name was saved. A message in flight is in flight again, and a state to be written; other names do nothing. Not
 * collective. */
DN_API void dn_optim_expect_state(dn_optim *optim, const char *name);

/** After states have been written. Replicas count as apart until the next step. Not collective. Errors: those of the device. */
DN_API dn_status dn_optim_take_states(dn_optim *optim) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
