/*
 * The low-rank executor: Dion on all of its matrices, on any mesh (arXiv 2504.05295v3). The mathematics of
 * one block is optim/dion.h's; here are the exchanges between (layout.h: blocks, shards, and the axes a that
 * cut B's rows and b that cut its columns). Of one matrix, on a rank with the block B [m_a, n_b]; replicas
 * are ranks that have the same block, each with a momentum of its own:
 *
 *     Q_b               all-gather of shards over a
 *     P_a = B Q_b       reduce-scatter over b and replicas, to shards
 *     P                 orthonormalized in shards, by all ranks; then all-gather over b and replicas
 *     R_b = B^T P_a     reduce-scatter over a and replicas, to shards; then all-gather over the same
 *     norms             of R's columns: all-reduce of what each shard adds
 *     M                 the block, from P_a and R_b
 *     Q_b               R_b with unit columns; Orth-Dion: orthonormalized as P is, then all-gather as of R
 *     X                 the block, from P_a and Q_b; the rank keeps its shard of Q
 *
 * Replicas exchange P and R in place of the gradient: the mean of their momenta is the momentum of one rank
 * on the mean gradient. Whether a matrix is finite, zero, or has fallen back to Householder is decided on
 * whole matrices, so all ranks decide alike.
 *
 * With adaptive ranks (optim/adadion.h) r is that of the step: buffers have room for the largest, and factors
 * are packed with leading dimension r, so that traffic and work follow r.
 *
 * Matrices go through a step in batches; each exchange is one for all matrices of a batch. On a mesh of one
 * rank a batch fits the cache. Over several nodes the sums of P and R of some matrices are on their way while those of others
 * are computed.
 */
#ifndef SHARD_LOWRANK_H
#define SHARD_LOWRANK_H

#include "linalg/orth.h"
#include "shard/deal.h"
#include "shard/executor.h"
#include "shard/overlap.h"

/* States of a matrix. Only with adaptive ranks: DN_STATE_RANK [1,2], the rank of the next step and the
 * running mean of the effective rank, 0 before the first step; Q then has as many columns as the largest
 * rank, and a step uses the first r. */
enum { DN_STATE_MOMENTUM, DN_STATE_Q, DN_STATE_RANK };

/* One matrix. */
typedef struct dn_lowrank_matrix {
    const dn_param_state *ps;
    dn_dion dion;            /* this rank's block; its shape.r is this step's */
    dn_factor_shards shards; /* its rows of P, Q, R */
    double scale;            /* 1 / the number of replicas: P and R are their means */
    dn_buf *p;               /* [m_a, r] symmetric */
    dn_buf *basis;           /* [n_b, r] symmetric: Q, then R, then the new Q */
    double *squares;         /* [r] squared norms of R's columns */
    double *lengths;         /* [columns of Q] their norms, of the step taken last; of columns beyond r the largest */
    dn_orth_info info;       /* the worst of this step's orthonormalizations */
    dn_orth_record orth[2];  /* how P, and R, was orthonormalized in it */
    dn_real rank[2];         /* as DN_STATE_RANK */
} dn_lowrank_matrix;

/* A batch: matrices that go through a step together. Batches use the same symmetric memory in turn. */
typedef struct dn_lowrank_batch {
    dn_lowrank_matrix *matrices;
    dn_product *products;            /* [n] arguments of gemm_many */
    dn_orth_matrix *orth_p, *orth_r; /* [n] P, and for Orth-Dion R, as arguments of dn_orthonormalize */
    size_t n;
    double *squares; /* [n_squares] those of all matrices, which are exchanged together */
    size_t n_squares;
    dn_bucket p, q, r;
    dn_overlap sum_p, sum_r; /* of terms of P, and of R: over nodes a group of matrices at a time */
} dn_lowrank_batch;

typedef struct dn_lowrank {
    const dn_param_group *group; /* borrowed */
    dn_lowrank_batch *batches;
    size_t n_batches;
    dn_comm *orth_comm;   /* whose ranks orthonormalize factors, each its shards; borrowed */
    void *orth_workspace; /* symmetric */
    size_t orth_bytes;
    dn_deal deal; /* of this step's orthonormalizations */
    /* The arrays that batches are parts of. */
    dn_lowrank_matrix *matrices;
    dn_product *products;
    dn_orth_matrix *orth_p, *orth_r;
    dn_orth_shard *parts_p, *parts_r;
    double *squares, *lengths;
    /* Adaptive ranks. */
    int32_t *columns; /* 0, 1, ...: numbers of columns */
    dn_real *draws;   /* room for new columns of a matrix's shard of Q */
} dn_lowrank;

/* The plan (lowrank_plan.c): hooks of the executor (executor.h). */
size_t dn_lowrank_heap_bytes(const dn_optim_config *config, const int size[DN_N_AXES],
                             const dn_param_state *param_states, size_t n);
/** How many of n parameter states make the next batch: at least one. The same on all ranks. */
size_t dn_lowrank_batch_of(const dn_optim_config *config, const dn_param_state *param_states, size_t n);
dn_status dn_lowrank_open(dn_param_group *group, void *workspace) DN_MUST_USE;
void dn_lowrank_close(dn_param_group *group);
/** With adaptive ranks, before a step: reads each matrix's rank from its state, and lays out anew what
 * depends on it. Not collective; allocates nothing. Errors: those of the stream. */
dn_status dn_lowrank_fit(dn_lowrank *f) DN_MUST_USE;
/** The matrices of one of n_groups groups of a batch. */
dn_range dn_lowrank_group(const dn_lowrank_batch *b, size_t n_groups, size_t group);

/* Adaptive ranks (lowrank_rank.c). */

/** Columns that one step can add to a Q, at most. */
size_t dn_lowrank_max_new_columns(void);
/** After the update of a batch, when all ranks have read its R: the next rank of each matrix, and random
 * columns of Q where it rises. Not collective. Errors: those of the stream. */
dn_status dn_lowrank_adapt(const dn_lowrank *f, dn_lowrank_batch *b, uint64_t step) DN_MUST_USE;

#endif
