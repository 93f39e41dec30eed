/*
 * One optimizer step of all parameters, on all replicas together: the way replicas agree and the rules of
 * optim/ meet here. Matrices go to Dion (or to the element-wise rule when optimizer is adamw or lion),
 * everything else to the element-wise rule.
 *
 * Exchange over the replica group (dion.md 2.2): with `compress` the replicas average only P and R of the
 * matrices that the rule compresses (rank fraction < 1 and (m+n) r < m n), each matrix orthonormalized once,
 * by its owner, and each keeps its own decoupled momentum; every other gradient is averaged in full. Without
 * it all gradients are averaged. Momenta are re-averaged every momentum_sync_every steps (2.6). Afterwards
 * weights are bitwise equal on all replicas.
 */
#ifndef SYNC_OPTIMIZER_H
#define SYNC_OPTIMIZER_H

#include "dionode/comm.h"
#include "linalg/orth.h"
#include "optim/param.h"

#include <stdbool.h>

typedef enum dn_rule { DN_RULE_DION, DN_RULE_ADAMW, DN_RULE_LION } dn_rule;

typedef struct dn_group {
    double lr_scale; /* multiplies the step's learning rate */
    double weight_decay;
} dn_group;

typedef struct dn_optim_config {
    dn_rule matrix_rule; /* for DN_PARAM_MATRIX */
    dn_rule scalar_rule; /* for everything else: AdamW or Lion */
    dn_group groups[4];  /* by dn_param_kind */
    /* Dion */
    double mu, rank_fraction, eps;
    size_t rank_multiple_of;
    int power_iters;
    dn_orth orth;
    bool compress;           /* replicate_mesh_grad_sync */
    int momentum_sync_every; /* steps; 0 = never */
    /* AdamW, Lion */
    double beta1, beta2;
    uint64_t seed; /* of the initial Q and of sketches */
} dn_optim_config;

/* What a step found out; identical on all replicas. */
typedef struct dn_step_report {
    bool skipped;     /* a gradient was not finite somewhere: no state was touched (dion.md 8.3) */
    double grad_norm; /* root mean over replicas of the squared norm of their gradients before averaging */
    int n_zero;       /* matrices whose momentum is zero everywhere: only decayed */
    int n_fallback;   /* matrices that the chosen orthonormalization could not do (rank-deficient): by
                         Householder */
} dn_step_report;

typedef struct dn_optimizer dn_optimizer;

/** Symmetric heap that dn_optimizer_create will take from the group, in bytes; exact. config within its
 * ranges. */
size_t dn_optimizer_heap_bytes(const dn_optim_config *config, const dn_param *params, size_t n_params);

/** States for params (borrowed; weights and grads on the group's symmetric heap) on stream (borrowed),
 * replicas = the members of dp (borrowed). Collective. Q is drawn from (seed, parameter index): equal on all
 * replicas. Errors: DN_ERR_MEMORY; DN_ERR_ARG out-of-range settings. Owned by the caller. */
dn_status dn_optimizer_create(const dn_optim_config *config, dn_param *params, size_t n_params,
                              dn_stream *stream, dn_comm *dp, dn_optimizer **out) DN_MUST_USE;
void dn_optimizer_destroy(dn_optimizer **optimizer);

/** Collective. One step with base learning rate lr; step counts from 0 (bias correction, momentum
 * re-averaging). Gradients are the replica's own mean over its share of the batch (the step averages them or
 * their factors over dp); they are left undefined. Begins by meeting all members. Errors: DN_ERR_NUMERIC, on
 * all members, if a momentum has grown beyond the range of dn_real: the run cannot go on but from a
 * checkpoint; of the group. */
dn_status dn_optimizer_step(dn_optimizer *optimizer, uint64_t step, double lr,
                            dn_step_report *report) DN_MUST_USE;

/** Flops of one step on one worker by dion.md 1.11 (four rank-r products a matrix and 4 m r^2 - 4/3 r^3), and
 * the payload bytes that a step must move: factors of compressed matrices, all other gradients, and what all
 * gradients in full would be. 0 for a group of one. Re-averaging of momenta, when due, adds uncompressed -
 * gradient bytes. */
double dn_optimizer_flops(const dn_optimizer *optimizer);
void dn_optimizer_formula(const dn_optimizer *optimizer, uint64_t *factor_bytes, uint64_t *gradient_bytes,
                          uint64_t *uncompressed_bytes);

/* ---- state, for checkpoints ---- */
typedef struct dn_state {
    char name[DN_PARAM_NAME_MAX + 32]; /* "dion.momentum.<param>", "dion.q.<param>", "adamw.m.<param>", ... */
    size_t rows, cols;
    dn_buf *data;     /* on the symmetric heap: rank 0 reads replicas' copies in place */
    bool per_replica; /* decoupled momentum: each replica's differs; everything else is bitwise equal */
} dn_state;

size_t dn_optimizer_n_states(const dn_optimizer *optimizer);
/** Borrowed; valid as long as the optimizer. A restored state is complete: nothing else needs to be saved. */
const dn_state *dn_optimizer_state(const dn_optimizer *optimizer, size_t index);

#endif
