/*
 * The rules of the family on a mesh of thread ranks against one rank: a model whose matrices are cut along
 * every axis or none, in sizes that do not divide and leave ranks with nothing.
 *
 * Bound: relative to the norm of a tensor, 1e-12 in double and as many roundings in float. A Newton-Schulz
 * multiplies what sums in another order have changed, a few roundings, by at most 990 (newton_schulz.h); a
 * step adds that times lr 0.02 to weights of size 1, 20 steps 20 times that. Momenta get no more than the
 * roundings of their gradients: nothing comes back to them from O. Where rows are selected, norms of these
 * gradients never come so close to each other that a rounding could choose.
 */
#ifndef SUPPORT_MESH_TASK_H
#define SUPPORT_MESH_TASK_H

#include "optim/rule.h"
#include "support/optim_rig.h"
#include "support/ranks.h"

#define MESH_BOUND (1e-12 / 2.220446049250313e-16 * DN_REAL_EPS)

enum { MESH_N_MODEL = 10, MESH_N_MATRICES = 9, MESH_STEPS = 20, MESH_MAX_RANKS = 8 };

extern const rig_shape mesh_model[MESH_N_MODEL];
/** Rule number k of the registry that is not Dion's kind; NULL beyond the last. */
const char *mesh_family(size_t k);

/* What a rank alone has after the first step and after the last: weights, then states. */
typedef struct mesh_reference {
    double *after[2][(1 + DN_MAX_STATES) * MESH_N_MODEL];
    size_t n;
} mesh_reference;

typedef struct mesh_task {
    dn_optim_config config;
    rig_mesh mesh;
    double scale; /* of gradients */
    bool same;    /* all replicas have the mean gradient */
    /* Of weights and of states after the first step and after the last. */
    double weights[2], states[2];
    size_t broken; /* number of the state that is to break */
    const mesh_reference *expected;
} mesh_task;

/** Fraction 0.3, weight decay 0.1, small gradients; all within MESH_BOUND. */
mesh_task mesh_task_of(const char *rule);
/** Few rows or columns of much longer ones, in the Gram form: on most meshes some are orthonormalized where
 * their parts are. */
mesh_task mesh_long_matrices(const char *rule);

size_t mesh_size_of(size_t i);
/** Of n_dp replicas, whole. Owned by the caller. */
double *mesh_mean_gradient(const mesh_task *t, int n_dp, uint64_t step, size_t i);
/** |x - expected| / |expected|. */
double mesh_relative(const double *x, const double *expected, size_t n);

/** As the replicas of one mean gradient, or as replica dp alone (n_dp 0). */
dn_status mesh_take_step(optim_rig *rig, const mesh_task *t, int n_dp);
/** What a rank alone makes of the mean gradients of n_dp replicas. Asserts. */
mesh_reference mesh_one_rank(const mesh_task *t, int n_dp);
void mesh_forget(mesh_reference *r);

/** In a body: the rig of the task on its mesh. 0 if all is well. */
int mesh_create_rig(optim_rig *rig, dn_comm *comm, const mesh_task *t);
/** Body: all steps, weights and states after the first and the last against expected, copies bit by bit
 * (decoupled momenta: their mean), every statistics against the formula. */
ranks_body mesh_against_one;

/** Ranks that failed. expected may be NULL if the body does not look. */
int mesh_run_on(mesh_task t, const int size[DN_N_AXES], ranks_body *body, const mesh_reference *expected);
/** mesh_against_one on all meshes of up to 8 ranks. Asserts. */
void mesh_run(mesh_task t);

#endif
