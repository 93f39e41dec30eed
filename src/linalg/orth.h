/*
 * Orthonormalization of the columns of tall matrices whose rows are sharded over a communicator: the
 * orthonormal factor of a QR factorization, by one of four methods that agree up to rounding (arXiv
 * 2504.05295v3). Where a method fails, Householder QR takes over.
 *
 * The algorithm is the same for any number of ranks. All matrices of a batch pass through its rounds
 * together:
 *
 *     every rank   partial of its rows: the Gram matrix P^T P [r,r], or a sketch S P [k,r]
 *     the owner    sums the partials in rank order, factors the sum, inverts the factor: T [r,r]
 *     every rank   P = P T, its rows
 *
 * with a barrier after the first line and one after the second. cqr is one round with the Gram matrix; cqr2
 * adds a second if the first leaves an error above the rounding of dn_real; rcqr is one round with a sketch
 * and one with the Gram matrix. For Householder QR the owner gathers the rows, factors the whole matrix, and
 * the ranks read their rows back; cqr2 does so, too, for matrices flagged as steep, which is two to five
 * times as fast as the two rounds that they would need.
 */
#ifndef LINALG_ORTH_H
#define LINALG_ORTH_H

#include "compute/kernels.h"
#include "dionode/comm.h"
#include "dionode/orth.h"

/* One rank's shard of P: rows row0 .. row0 + rows - 1 (rows may be 0), dense, from element `at` of its p on.
 * The shards of all ranks tile P. */
typedef struct dn_orth_shard {
    size_t row0, rows, at;
} dn_orth_shard;

typedef enum dn_orth_info {
    DN_ORTH_OK,
    DN_ORTH_FELL_BACK,  /* the method failed and Householder QR was used: P is numerically rank-deficient or
                           ill-conditioned. Not reported where the method itself is Householder QR. */
    DN_ORTH_ZERO,       /* P is 0 everywhere, and stays so */
    DN_ORTH_NOT_FINITE, /* P holds NaN or infinity (in double also: squares out of range), and is untouched */
} dn_orth_info;

/* Rounds that a matrix took, which depends on its values; for the traffic model. */
typedef struct dn_orth_rounds {
    unsigned grams, sketches; /* partials summed by the owner */
    unsigned applied;         /* inverse factors T that all ranks read */
    unsigned wholes;          /* matrices gathered at the owner ... */
    unsigned returned;        /* ... and back */
} dn_orth_rounds;

typedef struct dn_orth_matrix {
    size_t m, r;                /* m >= r */
    dn_buf *p;                  /* this rank's shard of [m,r]; symmetric over the communicator; borrowed */
    const dn_orth_shard *parts; /* [communicator size] shards; the same on all ranks; borrowed */
    int owner;                  /* rank that sums and factors; the same on all ranks */
    uint64_t draw;              /* random stream of its sketch */
    bool steep;            /* expected to be ill-conditioned: Cholesky QR would take two rounds, or fail. The
                              same on all ranks */
    dn_orth_info info;     /* out, the same on all ranks */
    dn_orth_rounds rounds; /* likewise */
} dn_orth_matrix;

/** Bytes of workspace for dn_orthonormalize: enough for all n matrices in one batch, but at most the larger
 * of some 64 MiB (plus a whole matrix for Householder QR) and what the largest matrix needs. Only m, r and
 * steep are read. */
size_t dn_orth_heap_bytes(dn_orth method, int comm_size, const dn_orth_matrix *matrices, size_t n);

/** Flops of a matrix's owner in the first round, for balancing owners: factoring a small matrix and inverting
 * the factor, or Householder QR of the whole. Only m, r and steep are read. */
double dn_orth_owner_flops(dn_orth method, const dn_orth_matrix *matrix);

/**
 * Collective over comm; all arguments are equal on all ranks, except the memory that they point to. p becomes
 * P with P^T P = I and p = P R, R upper triangular with positive diagonal; columns that depend on earlier
 * ones are replaced by columns orthonormal to all others. Each rank writes its own rows only. Ranks may read
 * each other's rows after the next barrier of comm, and must not write p or the workspace before it.
 *
 * The bits of P depend on the sharding (by rounding), but not on the number of threads or on the batch. rcqr
 * draws its sketch from (seed, draw). workspace: workspace_bytes on the symmetric heap, at least
 * dn_orth_heap_bytes; borrowed for the call. Traffic is counted as DN_TRAFFIC_ORTH: partials as reduced to
 * owners, inverse factors and info as gathered from owners, rows as sent. Waits for the stream. Errors: those
 * of the stream and of comm; DN_ERR_ARG if the workspace is too small. A matrix that is not finite is not an
 * error: see info.
 */
dn_status dn_orthonormalize(dn_stream *s, dn_comm *comm, dn_orth method, uint64_t seed, void *workspace,
                            size_t workspace_bytes, dn_orth_matrix *matrices, size_t n) DN_MUST_USE;

/** Adds the rounds of another orthonormalization of the same matrix. */
void dn_orth_rounds_add(dn_orth_rounds *sum, const dn_orth_rounds *more);

#endif
