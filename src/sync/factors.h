/*
 * Dion on all its matrices, on any mesh: the phases of optim/dion.h on every rank's block, with the exchanges
 * between them (dion.md 1.2 and 2.3; layout.h for blocks, bands and the groups a and b). Of one matrix, on a
 * rank with the block B [m_a, n_b], replicas being the ranks that share it:
 *
 *     Q_b                      bands gathered over a
 *     P_a = B Q_b              summed over b, averaged over replicas, to bands
 *     P                        orthonormalized where the bands are, by all ranks; bands gathered over b,
 * replicas R_b = B^T P_a            summed over a, averaged over replicas, to bands; bands gathered over a,
 * replicas column norms of R        of each band, summed over all ranks M, X                     the block,
 * from P_a and R_b; the rank's band of Q is kept
 *
 * Replicas then evolve as one: the mean of their momenta is the momentum of one rank on the mean gradient.
 * Whatever a step finds out (not finite, zero, fallen back), it finds of whole matrices, on all ranks alike.
 *
 * Matrices are taken in batches, which meet once for all of theirs. A rank alone keeps a batch in its cache.
 */
#ifndef SYNC_FACTORS_H
#define SYNC_FACTORS_H

#include "linalg/orth.h"
#include "sync/method.h"
#include "sync/shares.h"

enum { DN_STATE_MOMENTUM, DN_STATE_Q }; /* of a slot of Dion */

/* One matrix. */
typedef struct dn_factored {
    const dn_slot *slot;
    dn_dion dion;        /* this rank's block */
    dn_bands bands;      /* its rows of P, Q, R */
    double scale;        /* 1 over the number of replicas: of a term of their mean */
    dn_buf *p;           /* [m_a, r] symmetric */
    dn_buf *basis;       /* [n_b, r] symmetric: Q, then R, then the new Q */
    double *squares;     /* [r] of R's columns */
    dn_orth_found found; /* the worst of this step */
} dn_factored;

/* What goes through the phases together. Buffers of different batches are the same memory. */
typedef struct dn_factor_batch {
    dn_factored *matrices;
    dn_orth_matrix *orth; /* the same matrices for dn_orthonormalize */
    size_t n;
    double *squares; /* of all matrices */
    size_t n_squares;
    dn_shares p, q, r;
} dn_factor_batch;

typedef struct dn_factors {
    const dn_party *party; /* borrowed */
    dn_factor_batch *batches;
    size_t n_batches;
    void *orth_workspace; /* symmetric */
    size_t orth_bytes;
    /* Of all batches together. */
    dn_factored *matrices;
    dn_orth_matrix *orth;
    dn_orth_part *parts;
    double *squares;
} dn_factors;

/* The plan (factors_plan.c): hooks of the method's row. */
size_t dn_factors_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                             size_t n);
dn_status dn_factors_open(dn_party *party, void *workspace) DN_MUST_USE;
void dn_factors_close(dn_party *party);

#endif
