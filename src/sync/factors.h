/*
 * The low-rank executor: Dion on all of its matrices, on any mesh (dion.md 1.2 and 2.3). The mathematics of
 * one block is optim/dion.h's; here are the exchanges between (layout.h: blocks, bands, and the axes a that
 * cut B's rows and b that cut its columns). Of one matrix, on a rank with the block B [m_a, n_b]; replicas
 * are ranks that have the same block, each with a momentum of its own:
 *
 *     Q_b               all-gather of bands over a
 *     P_a = B Q_b       reduce-scatter over b and replicas, to bands
 *     P                 orthonormalized in bands, by all ranks; then all-gather over b and replicas
 *     R_b = B^T P_a     reduce-scatter over a and replicas, to bands; then all-gather over the same
 *     norms             of R's columns: all-reduce of what each band adds
 *     M                 the block, from P_a and R_b
 *     Q_b               R_b with unit columns; Orth-Dion: orthonormalized as P is, then all-gather as of R
 *     X                 the block, from P_a and Q_b; the rank keeps its band of Q
 *
 * Replicas exchange P and R in place of the gradient: the mean of their momenta is the momentum of one rank
 * on the mean gradient. Whether a matrix is finite, zero, or has fallen back to Householder is decided on
 * whole matrices, so all ranks decide alike.
 *
 * With adaptive ranks (optim/adadion.h) r is that of the step: buffers have room for the largest, and factors
 * are packed with leading dimension r, so that traffic and work follow r.
 *
 * Matrices go through a step in buckets; each exchange is one for all matrices of a bucket. On a mesh of one
 * rank a bucket fits the cache.
 */
#ifndef SYNC_FACTORS_H
#define SYNC_FACTORS_H

#include "linalg/orth.h"
#include "sync/deal.h"
#include "sync/executor.h"
#include "sync/shares.h"

/* States of a matrix. Only with adaptive ranks: DN_STATE_RANK [1,2], the rank of the next step and the
 * running mean of the effective rank, 0 before the first step; Q then has as many columns as the largest
 * rank, and a step uses the first r. */
enum { DN_STATE_MOMENTUM, DN_STATE_Q, DN_STATE_RANK };

/* One matrix. */
typedef struct dn_factored {
    const dn_slot *slot;
    dn_dion dion;        /* this rank's block; its shape.r is this step's */
    dn_bands bands;      /* its rows of P, Q, R */
    double scale;        /* 1 / the number of replicas: P and R are their means */
    dn_buf *p;           /* [m_a, r] symmetric */
    dn_buf *basis;       /* [n_b, r] symmetric: Q, then R, then the new Q */
    double *squares;     /* [r] squared norms of R's columns */
    dn_orth_found found; /* the worst of this step's orthonormalizations */
    dn_orth_record orth[2]; /* how P, and R, was orthonormalized in it */
    dn_real rank[2];     /* as DN_STATE_RANK */
} dn_factored;

/* A bucket: matrices that go through a step together. Buckets use the same symmetric memory in turn. */
typedef struct dn_factor_batch {
    dn_factored *matrices;
    dn_product *products;            /* [n] arguments of gemm_many */
    dn_orth_matrix *orth_p, *orth_r; /* [n] P, and for Orth-Dion R, as arguments of dn_orthonormalize */
    size_t n;
    double *squares; /* [n_squares] those of all matrices, which are exchanged together */
    size_t n_squares;
    dn_shares p, q, r;
} dn_factor_batch;

typedef struct dn_factors {
    const dn_party *party; /* borrowed */
    dn_factor_batch *batches;
    size_t n_batches;
    void *orth_workspace; /* symmetric */
    size_t orth_bytes;
    dn_deal deal; /* of this step's orthonormalizations */
    /* The arrays that buckets are parts of. */
    dn_factored *matrices;
    dn_product *products;
    dn_orth_matrix *orth_p, *orth_r;
    dn_orth_part *parts_p, *parts_r;
    double *squares;
    /* Adaptive ranks. */
    int32_t *columns; /* 0, 1, ...: numbers of columns */
    dn_real *draws;   /* room for new columns of a matrix's band of Q */
} dn_factors;

/* The plan (factors_plan.c): hooks of the executor (executor.h). */
size_t dn_factors_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES], const dn_slot *slots,
                             size_t n);
dn_status dn_factors_open(dn_party *party, void *workspace) DN_MUST_USE;
void dn_factors_close(dn_party *party);
/** With adaptive ranks, before a step: reads each matrix's rank from its state, and lays out anew what
 * depends on it. Not collective; allocates nothing. Errors: those of the stream. */
dn_status dn_factors_fit(dn_factors *f) DN_MUST_USE;

/* Adaptive ranks (factors_rank.c). */

/** Columns that one step can add to a Q, at most. */
size_t dn_factors_most_fresh(void);
/** After the update of a bucket, when all ranks have read its R: the next rank of each matrix, and random
 * columns of Q where it rises. Not collective. Errors: those of the stream. */
dn_status dn_factors_adapt(const dn_factors *f, dn_factor_batch *b, uint64_t step) DN_MUST_USE;

#endif
