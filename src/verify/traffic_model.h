/*
 * The traffic model: the payload that one rank must exchange in a step, from shapes, mesh and rule, to be
 * compared with what its communicators have counted (dn_comm_stats). It does not use the optimizer's plan,
 * but derives sharding and exchanges independently from the rules' definitions. Only what shapes do not
 * determine, the owner of a matrix and data-dependent choices, is taken from the optimizer
 * (dn_optimizer_choice).
 *
 * All functions add to a model, by the set of axes of a communicator (without axes of size 1).
 */
#ifndef VERIFY_TRAFFIC_MODEL_H
#define VERIFY_TRAFFIC_MODEL_H

#include "dionode/mesh.h"
#include "strategy/engine.h"
#include "shard/optimizer.h"

/* Behind the sets of axes of a mesh: along dp, inside islands of replicas and across them. */
enum { DN_SET_ISLAND = DN_ALL_AXES + 1, DN_SET_ACROSS, DN_N_SETS };

typedef struct dn_traffic_model {
    uint64_t payload[DN_N_SETS][DN_N_TRAFFIC];
    uint64_t by_collective[DN_N_SETS][DN_N_COLLECTIVES]; /* the same by collective; without sends */
    uint64_t hops[DN_N_SETS][DN_N_TRAFFIC]; /* those that dn_traffic_plans_hops says */
    uint16_t present[DN_N_SETS][DN_N_TRAFFIC]; /* collectives of the batch whose hops are not added yet: bits */
} dn_traffic_model;

/** Whether hops of a kind are modelled, in a set of axes: all that a strategy exchanges between replicas that step apart. Of
 * the optimizer's factors and bases, and of activations, memory decides into how many batches, or chunks, they are divided;
 * control is none. */
bool dn_traffic_plans_hops(const dn_strategy *strategy, unsigned set, dn_traffic kind);

/** Hops of n exchanges of a kind by a collective (DN_N_COLLECTIVES: sends) over axes of a mesh of that size. */
void dn_traffic_add_hops(dn_traffic_model *model, const int size[DN_N_AXES], unsigned axes, int as, dn_traffic kind,
                         uint64_t n);

/** Step `step` (counted from 0) of an optimizer with these settings on params [n_params] of a mesh;
 * optimizer: the one that takes the step. Exact, without the traffic of orthonormalizing Dion's factors,
 * which depends on the data. */
void dn_traffic_of_optimizer(const dn_optim_config *config, const dn_param *params, size_t n_params,
                             const dn_mesh *mesh, const dn_optimizer *optimizer, uint64_t step,
                             dn_traffic_model *model);

/** The traffic of orthonormalizing, of the optimizer's last step, unless it was skipped. */
void dn_traffic_of_orthonormalizing(const dn_optim_config *config, const dn_param *params, size_t n_params,
                                    const dn_mesh *mesh, const dn_optimizer *optimizer,
                                    dn_traffic_model *model);

/** What a rank of a communicator exchanges to orthonormalize one matrix P [m,r], of which it has `rows` rows
 * and the owner (`owns`: this rank is it) owner_rows, in these rounds. */
typedef struct dn_orth_traffic {
    uint64_t reduced, gathered, sent; /* to and from owners; rows to the owner or back */
} dn_orth_traffic;
dn_orth_traffic dn_traffic_of_orth(size_t m, size_t r, const dn_orth_rounds *rounds, size_t rows,
                                   size_t owner_rows, bool owns);

/* A strategy in a run. */
typedef struct dn_strategy_case {
    const dn_strategy *strategy;
    const dn_strategy_config *config;
    const dn_optimizer *optimizer;
    const dn_strategy_run *run; /* what depends on numbers (probes, lengths) is asked of its last step; NULL: probes are 0
                                   and messages as long as they can be */
} dn_strategy_case;

/** What a strategy exchanges in that step, beyond the optimizer. */
void dn_traffic_of_strategy(const dn_strategy_case *strategy, const dn_param *params, size_t n_params, const dn_mesh *mesh,
                            uint64_t step, dn_traffic_model *model);

/* Which unit has the head's weights: none, as in a stage of a pipeline that ends before it; the last; the first, which is the
 * embedding too; the first, which is nothing else, as the embedding belongs to another stage. */
typedef enum dn_head_unit { DN_HEAD_NONE, DN_HEAD_LAST, DN_HEAD_TIED, DN_HEAD_BORROWED } dn_head_unit;

/** Weights and gradients over fs in one forward and backward pass through all units; unit_of [n_params]
 * ascends. The way back ends with lowest_unit. */
void dn_traffic_of_pass(const dn_param *params, size_t n_params, const size_t *unit_of, size_t lowest_unit, dn_head_unit at_head,
                        const dn_mesh *mesh, dn_traffic_model *model);

/** Adds bytes of one collective, or (as: DN_N_COLLECTIVES) of sends. */
void dn_traffic_add(dn_traffic_model *model, unsigned axes, int as, dn_traffic kind, uint64_t bytes);

#endif
