/*
 * Dion on all matrices of a replica together, with the exchanges between its phases (dion.md 2.3, 2.6).
 *
 * Each matrix has an owner among the replicas, which alone orthonormalizes it; the others read P and R in
 * place from the owner's arena. What crosses between replicas, for a matrix of oriented shape m x n and rank
 * r:
 *
 *     compressed     each replica keeps its own momentum from its own gradient; P [m,r] and R [n,r] are
 *                    averaged to the owner. The mean of the momenta then evolves exactly as one momentum
 * would. not compressed the gradient came averaged, momenta are equal, the owner computes P and R alone.
 *
 * Everything a replica writes to its weights, it computes from the owner's P and R: equal bits in, equal bits
 * out.
 */
#ifndef SYNC_FACTORS_H
#define SYNC_FACTORS_H

#include "dionode/comm.h"
#include "linalg/orth.h"
#include "optim/dion.h"

typedef struct dn_factored {
    dn_dion dion;
    const char *name; /* of the parameter */
    uint64_t index;   /* likewise; numbers its sketches */
    bool compressed;
    int owner;    /* member of dp; set by dn_factors_deal */
    dn_buf *p;    /* [m,r] symmetric; on the owner: P after dn_comm_barrier */
    dn_buf *r;    /* [n,r] symmetric; likewise R */
    int *verdict; /* symmetric; the owner's counts */
} dn_factored;

typedef struct dn_factors {
    dn_stream *stream;
    dn_comm *dp;
    dn_orth orth;
    int power_iters;
    uint64_t seed; /* of sketches */
    dn_factored *matrices;
    size_t n_matrices;
    dn_owned *p_items, *r_items; /* of the compressed matrices, in the order of matrices */
    size_t n_items;
} dn_factors;

/** Deals the matrices to owners, the most expensive first, each to the member with least work so far; then
 * fills p_items and r_items (room for n_matrices each). The same on all members. */
void dn_factors_deal(dn_factors *factors);

/**
 * Collective. One step of all matrices; gradients of those not compressed are already the mean over dp. A
 * matrix's weight is touched only when all members know that its P and R are numbers. *n_zero and
 * *n_fallback: see dn_step_report. All members have met since the last call (until then they may read its P
 * and R). Errors: DN_ERR_NUMERIC, on every member, if a momentum has grown beyond the range of dn_real; of
 * the group.
 */
dn_status dn_factors_step(dn_factors *factors, uint64_t step, const dn_dion_step *rule, int *n_zero,
                          int *n_fallback) DN_MUST_USE;

/** Flops of one step on this member, by dion.md 1.11. */
double dn_factors_flops(const dn_factors *factors);

#endif
