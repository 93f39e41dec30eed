/*
 * Orthonormalization of the columns of tall matrices whose rows lie with the members of a communicator: the
 * orthonormal factor of a QR-type factorization, by one of four methods that agree up to rounding (dion.md
 * 1.3, 2.3). What a method cannot do, Householder does.
 *
 * One algorithm for one member and for many, in rounds that all matrices of a batch go through together:
 *
 *     every member   a small matrix of its rows: the Gram matrix P'P [r,r], or a sketch S P [k,r]
 *     the owner      adds those of all members in their order, factors the sum, inverts the factor: T [r,r]
 *     every member   P = P T, its rows
 *
 * with a barrier after the first line and one after the second. cqr is one such round by the Gram matrix;
 * cqr2 has a second one where the first leaves more than the rounding of dn_real; rcqr is a round by a sketch
 * and one by the Gram matrix. For Householder's QR the owner gathers the rows, factors the whole, and members
 * take their rows back; cqr2 does that too where a matrix is said to be steep, and is two to five times as
 * fast as by the two rounds that it would take.
 */
#ifndef LINALG_ORTH_H
#define LINALG_ORTH_H

#include "compute/kernels.h"
#include "dionode/comm.h"
#include "dionode/orth.h"

/* The rows of P that a member holds: row0 .. row0 + rows - 1 (there may be none), dense, from element `at` of
 * its copy of p on. The parts of all members together are P, each row once. */
typedef struct dn_orth_shard {
    size_t row0, rows, at;
} dn_orth_shard;

typedef enum dn_orth_info {
    DN_ORTH_OK,
    DN_ORTH_FELL_BACK,  /* the method failed and Householder did the work: P is numerically rank-deficient, or
                           ill-conditioned. Not said where Householder is what the method means. */
    DN_ORTH_ZERO,       /* P is 0 everywhere, and stays so */
    DN_ORTH_NOT_FINITE, /* P holds NaN or infinity (in double also: squares out of range), and is untouched */
} dn_orth_info;

/* What was done with a matrix; it depends on its numbers. */
typedef struct dn_orth_rounds {
    unsigned grams, sketches; /* partials summed by the owner */
    unsigned applied;         /* triangles that all members read */
    unsigned wholes;          /* rows brought to the owner ... */
    unsigned returned;        /* ... and back */
} dn_orth_rounds;

typedef struct dn_orth_matrix {
    size_t m, r;                /* m >= r */
    dn_buf *p;                  /* [m,r] in parts; symmetric over the communicator; borrowed */
    const dn_orth_shard *parts; /* [communicator size], the same on all members; borrowed */
    int owner;                  /* the member that does what is done once; the same on all members */
    uint64_t draw;              /* random stream of its sketch */
    bool steep;            /* ill-conditioned, as far as is known: Cholesky would take two rounds, or fail.
                              The same on all members */
    dn_orth_info info;     /* out, the same on all members */
    dn_orth_rounds rounds; /* likewise */
} dn_orth_matrix;

/** Workspace for dn_orthonormalize: enough to take all n matrices in one batch, but not more than some 64 MiB
 * (and a whole matrix for Householder), or than the largest matrix needs. Only m, r and steep are
 * read. */
size_t dn_orth_heap_bytes(dn_orth method, int comm_size, const dn_orth_matrix *matrices, size_t n);

/** What the owner of a matrix computes in the first round, for sharing matrices out to owners: the factor of
 * a small matrix and its inverse, or Householder's of the whole. Only m, r and steep are read. */
double dn_orth_owner_flops(dn_orth method, const dn_orth_matrix *matrix);

/**
 * Collective over communicator, all arguments but the memory behind them equal on all members. p becomes P
 * with P'P = I and p = P R, R upper triangular with positive diagonal; columns that depend on earlier ones
 * are replaced by others, orthonormal to all. Each member changes its rows only. Members may read each
 * other's rows after the communicator's next barrier, and must not write p or the workspace before it.
 *
 * The bits of P depend on the parts, by rounding; not on the number of threads, nor on the batch. rcqr draws
 * its sketch from (seed, draw). workspace: workspace_bytes on the symmetric heap, at least
 * dn_orth_heap_bytes; borrowed for the call. What members read of each other is
 * counted as DN_TRAFFIC_ORTH: partials as reduced to owners, triangles and findings as gathered from owners,
 * rows as sent. Waits for the stream. Errors: of the stream and of the communicator; DN_ERR_ARG the
 * workspace is too small. A matrix that is not finite is no error of the call: see found.
 */
dn_status dn_orthonormalize(dn_stream *s, dn_comm *comm, dn_orth method, uint64_t seed, void *workspace,
                            size_t workspace_bytes, dn_orth_matrix *matrices, size_t n) DN_MUST_USE;

/** Adds the rounds of another orthonormalization of the same matrix. */
void dn_orth_rounds_add(dn_orth_rounds *sum, const dn_orth_rounds *more);

#endif
