/*
 * Executors: how a kind of rule (optim/rule.h) steps all of its parameters, on any mesh.
 *
 * The optimizer averages gradients over copies before a step (unless the executor decouples them) and gathers
 * updated weights after it; in between the executor reads and writes each parameter state's block. What it
 * exchanges is said once more in verify/traffic_model.c; an executor of a new kind says it there, too.
 */
#ifndef SHARD_EXECUTOR_H
#define SHARD_EXECUTOR_H

#include "shard/param_state.h"

/* The parameters of one rule. */
typedef struct dn_param_group {
    const dn_rule *rule;
    const struct dn_executor *executor;
    const dn_optim_config *config;
    dn_stream *stream;
    const dn_mesh *mesh;
    dn_param_state *param_states;
    size_t n_param_states;
    void *work; /* the executor's own, made by open */
} dn_param_group;

typedef struct dn_executor {
    /** Fills in layout and states (and shape) of a parameter state that has a parameter and a rule. Only the
     * cuts of the parameter are known. */
    void (*describe)(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *ps);

    /** Deals what one rank does of each to owners, once all parameter states are described; NULL: nothing is.
     */
    void (*deal)(const dn_optim_config *config, const int size[DN_N_AXES], dn_param_state *param_states,
                 size_t n);

    /** What all parameter states need together. heap_bytes: symmetric heap, the same on all ranks; SIZE_MAX
     * without memory to find out, or where it is more than can be counted. open: fills in work; workspace is
     * that heap, zero. After a failure, too, close (may be NULL) frees what is there. */
    size_t (*heap_bytes)(const dn_optim_config *config, const int size[DN_N_AXES],
                         const dn_param_state *param_states, size_t n);
    dn_status (*open)(dn_param_group *group, void *workspace);
    void (*close)(dn_param_group *group);

    /** Collective over the mesh if it exchanges anything. One step; lr is the base rate. Adds to n_zero and
     * n_fallback of the report. */
    dn_status (*step)(dn_param_group *group, uint64_t step, double lr, dn_step_report *report);

    /** This rank's flops of a step; NULL: nothing that counts. */
    double (*flops)(const dn_param_group *group);
    /** Adds what a step of n parameter states, the rule's, will cost the first rank; NULL: nothing that dn_optimizer_cost
     * counts. */
    void (*predict)(const dn_optim_config *config, const int size[DN_N_AXES], const dn_param_state *param_states, size_t n,
                    dn_optimizer_cost *cost);
    /** What shapes do not tell of parameter state i; NULL: nothing. */
    void (*tell)(const dn_param_group *group, size_t i, dn_matrix_choice *choice);
} dn_executor;

/** Adds `times` exchanges of so many bytes, of all together: each a reduce-scatter or an all-gather, along some axes. */
void dn_optimizer_cost_add(dn_optimizer_cost *cost, const int size[DN_N_AXES], unsigned axes, double times, double bytes);

/** Adds their hops: `times` exchanges along each set of axes whose bit is in sets; one carries all that goes along a set at
 * the same time. */
void dn_optimizer_cost_add_hops(dn_optimizer_cost *cost, const int size[DN_N_AXES], unsigned sets, double times);

const dn_executor *dn_executor_of(const dn_rule *rule);

/** What the rule of a parameter state takes from a step with that base rate. */
dn_update_params dn_param_state_update_params(const dn_param_state *ps, uint64_t step, double lr);

extern const dn_executor dn_executor_element_wise, dn_executor_owner, dn_executor_low_rank;

#endif
