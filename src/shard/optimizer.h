/*
 * One optimizer step of all parameters, on all ranks of a mesh together: the way ranks agree and the rules of
 * optim/ meet here. Matrices go to Dion, to one of the rules that orthonormalize whole matrices (Muon,
 * NorMuon, Dion2, Dion3: owner.h) or to an element-wise rule (AdamW, Lion, SGD), everything else to an
 * element-wise rule.
 *
 * Along the axes that do not cut a parameter, ranks hold copies of the same block of it (dp always;
 * layout.h). What copies exchange: with `compress` those of matrices that the rule compresses
 * (rank fraction < 1 and (m+n) r < m n) average only P and R, and each keeps its own decoupled momentum,
 * re-averaged every momentum_sync_every steps. Of everything else the gradient is averaged in full, in
 * slices: each copy updates, and keeps state for, its slice alone; then weights are gathered.
 *
 * Results do not depend on the mesh, up to rounding; afterwards weights are bitwise equal on all copies.
 *
 * Clipping multiplies all gradients by one factor, min(1, clip_norm / norm), the same on all ranks. With
 * gradients that are nowhere added up there are two norms to choose from, of the mean and of a replica's
 * own, and each parameter counts with the one that the step sees:
 *
 *     dealt (all, without compress)   |mean of G_i|^2            what one worker would measure
 *     decoupled matrices              mean of |G_i|^2 over i     no less: the mean's, and the variance of G_i
 *
 * A scaled gradient of every replica is the scaled mean gradient, so the step after clipping is one worker's
 * as before. Without decoupled matrices, on any mesh, the factor is one worker's, too. With them replicas
 * clip as soon as, or sooner than, one worker on the whole batch would; what a norm of their mean would take,
 * the gradients in full, is what compression is there to spare. fs and tp change nothing.
 * Replicas that step alone (dn_mesh_replica) clip alone, each by its own norm.
 */
#ifndef SHARD_OPTIMIZER_H
#define SHARD_OPTIMIZER_H

#include "dionode/optim.h"
#include "dionode/types.h"
#include "linalg/orth.h"
#include "optim/option.h"
#include "optim/param.h"
#include "tensor/tensor.h"

/* What a step takes from the schedules of the run (optim/schedule.h). */
typedef struct dn_step_params {
    uint64_t step; /* counts from 0: bias correction, momentum re-averaging, draws */
    double lr;     /* base learning rate */
    double decay;  /* factor on the weight decay of all groups; 1: as configured */
} dn_step_params;

/* What a step found out; identical on all replicas. */
typedef struct dn_step_report {
    bool skipped;     /* a gradient was not finite somewhere: no state was touched */
    double grad_norm; /* of averaged gradients; of decoupled replicas', and those that step alone, the root mean square */
    double clip;      /* what gradients were multiplied by: 1, or less with clip_norm; each replica's that steps alone */
    int n_zero;       /* matrices whose momentum is zero everywhere: weights only decay */
    int n_fallback;   /* matrices that the chosen orthonormalization could not do (rank-deficient): by
                         Householder */
    double overlap_s, overlap_bytes; /* this rank's: before the step gradients were on their way for so long, and that many bytes of
                                        them (dn_comm_stats.cluster) during the backward pass; 0: none */
} dn_step_report;

typedef struct dn_optimizer dn_optimizer;

/** Matrices that are stepped on their own have random numbers of their own in every step: so many can. */
#define DN_OPTIMIZER_MATRICES_MAX ((size_t)1 << 20)

/** Whether settings are within their ranges. Errors: DN_ERR_ARG. */
dn_status dn_optimizer_check(const dn_optim_config *config) DN_MUST_USE;

/** The option by which a mean fades so slowly that rounding to the precision of states would leave it as it is for
 * ever; NULL: none does. */
const dn_key *dn_optimizer_stuck(const dn_optim_config *config);

/** Symmetric heap that dn_optimizer_create will take from the group of all, in bytes; exact, and equal on all
 * ranks of a mesh of size[]. config within its ranges. Of params kinds, shapes and cuts are read. SIZE_MAX
 * without memory to find out, and where it is more than can be counted. */
size_t dn_optimizer_heap_bytes(const dn_optim_config *config, const dn_param *params, size_t n_params,
                               const int size[DN_N_AXES]);

/** States for params (borrowed; weights and grads on the symmetric heap of mesh->root) on stream (borrowed). On the
 * mesh of a replica (dn_mesh_replica) it exchanges nothing with other replicas but whether all gradients are finite.
 * Collective over the mesh (borrowed). Each matrix of a split parameter is stepped on its own. Q is drawn
 * from (seed, number of the matrix among all): each rank exactly its part of the whole. Errors:
 * DN_ERR_MEMORY; DN_ERR_ARG out-of-range settings, or blocks that are not those of this rank. Owned by the
 * caller. */
dn_status dn_optimizer_create(const dn_optim_config *config, const dn_param *params, size_t n_params,
                              dn_stream *stream, const dn_mesh *mesh, dn_optimizer **out) DN_MUST_USE;
void dn_optimizer_destroy(dn_optimizer **optimizer);

/** States as they were after dn_optimizer_create, and what the executors know of earlier steps: the optimizer begins anew.
 * Not collective: no rank may still be reading this one's states. Errors: DN_ERR_MEMORY. */
dn_status dn_optimizer_reset(dn_optimizer *optimizer) DN_MUST_USE;

/** Collective, between two steps. Gradients of units from `unit` on (optim/param.h) are complete. Where the mesh is over several
 * nodes they begin to be averaged, on the network's time (shard/overlap.h); elsewhere nothing is done. They are not to be touched
 * then until the next step, or dn_optimizer_drop. Errors: of the group. */
dn_status dn_optimizer_begin(dn_optimizer *optimizer, size_t unit) DN_MUST_USE;
/** Collective. There is no step for what has begun: ends it. */
dn_status dn_optimizer_drop(dn_optimizer *optimizer) DN_MUST_USE;

/** Collective. One step; pace is the same on all ranks. Gradients are each rank's own, of its blocks: over
 * the copies of a block they may differ (by the rows of the batch they come from) and the step takes their
 * mean, or that of their factors; they are left undefined. Begins with a barrier of all ranks. Errors:
 * DN_ERR_NUMERIC, on all ranks, if a momentum has grown beyond the range of dn_real: the run cannot go on but
 * from a checkpoint; of the group. */
dn_status dn_optimizer_step(dn_optimizer *optimizer, const dn_step_params *step_params,
                            dn_step_report *report) DN_MUST_USE;

/** Weight decay of the parameters whose name matches (of split ones, the whole's), from the next step on; schedules
 * multiply it. Alike on all ranks. Returns how many matrices match. */
size_t dn_optimizer_set_weight_decay(dn_optimizer *optimizer, const char *match, double weight_decay);

/** The parameter, as it was given, that a state belongs to. */
const dn_param *dn_optimizer_state_param(const dn_optimizer *optimizer, size_t index);
/** The number of its matrix, as dn_optimizer_choice takes it. */
size_t dn_optimizer_state_matrix(const dn_optimizer *optimizer, size_t index);

/* ---- what it costs ---- */

/** This rank's flops of one step. Dion's: rank-r products with its part of each matrix, and
 * of 4 m r^2 - 4/3 r^3 the share of the rows of P that are its own. Newton-Schulz: of the matrices it owns
 * (dn_ns_flops). */
double dn_optimizer_flops(const dn_optimizer *optimizer);

/* What a step costs the first rank, as far as shapes tell: what decides between factors and gradients. Not counted is what
 * is the same for both: rounds of orthonormalization, what other rules multiply and bring to their owners. */
typedef struct dn_optimizer_cost {
    double flops;           /* of low-rank rules, as dn_optimizer_flops */
    double bytes, bytes_dp; /* as dn_comm_stats.cluster counts them: along fs and tp alone; along sets of axes with dp */
    double hops_dp;         /* of these */
} dn_optimizer_cost;

/** Without memory for states, as dn_optimizer_heap_bytes; a mean over the steps from one averaging of momenta to the next.
 * Errors: DN_ERR_MEMORY. */
dn_status dn_optimizer_predict(const dn_optim_config *config, const dn_param *params, size_t n_params,
                               const int size[DN_N_AXES], dn_optimizer_cost *cost) DN_MUST_USE;

/* How a factor of Dion's was orthonormalized in the step taken last: by how many columns, where, in which rounds. */
typedef struct dn_orth_record {
    size_t r;
    int owner;
    dn_orth_rounds rounds; /* of all power iterations together; none if the step was skipped */
} dn_orth_record;

/* What shapes do not tell of a matrix. */
typedef struct dn_matrix_choice {
    int owner;              /* the rank that has it whole; -1: none */
    size_t r;               /* Dion: the rank of the step to come */
    dn_orth_record orth[2]; /* Dion: P, R */
    const double *lengths;  /* Dion: [columns of Q] how long they were in the step taken last before they were made unit
                               vectors; columns that are new since then count as the longest. Borrowed. NULL: no Dion */
} dn_matrix_choice;

/** Of matrix number `index` among all, in the order of the parameters; each of a split parameter is one. */
dn_matrix_choice dn_optimizer_choice(const dn_optimizer *optimizer, size_t index);

/* ---- state, for checkpoints ---- */

size_t dn_optimizer_n_states(const dn_optimizer *optimizer);
/** "dion.momentum.<param>", "dion.q.<param>", "adamw.m.<param>", ...; of a parameter with views one for each:
 * "dion.q.<param>.<k>". Borrowed; valid as long as the optimizer. All states together are complete: nothing
 * else needs to be saved. */
const dn_tensor *dn_optimizer_state(const dn_optimizer *optimizer, size_t index);
/** The shard of a rank of mesh->root. */
dn_shard dn_optimizer_state_shard(const dn_optimizer *optimizer, size_t index, int rank);

#endif
