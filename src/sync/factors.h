/*
 * Dion on all its matrices, on any mesh: the phases of optim/dion.h on every rank's block, with the exchanges
 * between them (dion.md 1.2 and 2.3; layout.h for blocks, bands and the groups a and b). Of one matrix, on a
 * rank with the block B [m_a, n_b], replicas being the ranks that share it:
 *
 *     Q_b               bands gathered over a
 *     P_a = B Q_b       summed over b, averaged over replicas, to bands
 *     P                 orthonormalized where the bands are, by all ranks;
 *                       bands gathered over b and replicas
 *     R_b = B^T P_a     summed over a, averaged over replicas, to bands;
 *                       bands gathered over a and replicas
 *     norms             of R's columns: of each band, summed over all ranks
 *     M                 the block, from P_a and R_b
 *     Q_b               R_b with unit columns; Orth-Dion: orthonormalized as P is, bands gathered as R's
 *     X                 the block, from P_a and Q_b; the rank's band of Q is kept
 *
 * Replicas then evolve as one: the mean of their momenta is the momentum of one rank on the mean gradient.
 * Whatever a step finds out (not finite, zero, fallen back), it finds of whole matrices, on all ranks alike.
 *
 * With adaptive ranks (optim/adadion.h) r is one step's: buffers have room for the largest, and everything in
 * them is as dense as if r had always been what it is, so that what is exchanged and computed follows it.
 *
 * Matrices are taken in batches, which meet once for all of theirs. A rank alone keeps a batch in its cache.
 */
#ifndef SYNC_FACTORS_H
#define SYNC_FACTORS_H

#include "linalg/orth.h"
#include "sync/executor.h"
#include "sync/shares.h"

/* Of a slot of Dion. The rank's is [1,2], with adaptive ranks only: the rank of the next step and the running
 * effective rank; 0 before the first. Q then has a column for each of the largest rank, of which the first
 * ones take part. */
enum { DN_STATE_MOMENTUM, DN_STATE_Q, DN_STATE_RANK };

/* One matrix. */
typedef struct dn_factored {
    const dn_slot *slot;
    dn_dion dion;        /* this rank's block; its shape.r is this step's */
    dn_bands bands;      /* its rows of P, Q, R */
    double scale;        /* 1 over the number of replicas: of a term of their mean */
    dn_buf *p;           /* [m_a, r] symmetric */
    dn_buf *basis;       /* [n_b, r] symmetric: Q, then R, then the new Q */
    double *squares;     /* [r] of R's columns */
    dn_orth_found found; /* the worst of this step */
    dn_real rank[2];     /* as DN_STATE_RANK */
} dn_factored;

/* What goes through the phases together. Buffers of different batches are the same memory. */
typedef struct dn_factor_batch {
    dn_factored *matrices;
    dn_product *products;            /* [n] room for one of each */
    dn_orth_matrix *orth_p, *orth_r; /* their P, and for Orth-Dion their R, for dn_orthonormalize */
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
    dn_formula rounds; /* what orthonormalizing has exchanged in the step taken last */
    /* Of all batches together. */
    dn_factored *matrices;
    dn_product *products;
    dn_orth_matrix *orth_p, *orth_r;
    dn_orth_part *parts_p, *parts_r;
    double *squares;
    /* Adaptive ranks. */
    int32_t *columns; /* 0, 1, ...: the first columns of a basis */
    dn_real *draws;   /* room for fresh columns */
} dn_factors;

/* The plan (factors_plan.c): hooks of the executor. */
size_t dn_factors_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                             size_t n);
dn_status dn_factors_open(dn_party *party, void *workspace) DN_MUST_USE;
void dn_factors_close(dn_party *party);
/** Takes up the ranks that the states say: what depends on them is laid out anew. Allocates nothing. */
dn_status dn_factors_fit(dn_factors *f) DN_MUST_USE;

/* Adaptive ranks (factors_rank.c). */

/** Columns that a step can add to a matrix. */
size_t dn_factors_most_fresh(void);
/** After the update of a batch, all ranks having read its R: the next rank of each matrix, and the columns
 * that it adds to Q. */
dn_status dn_factors_adapt(const dn_factors *f, dn_factor_batch *b, uint64_t step) DN_MUST_USE;

#endif
