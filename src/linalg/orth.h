/*
 * Orthonormalization of the columns of a tall matrix: the orthonormal factor of a QR-type factorization, by
 * one of four methods that agree up to rounding (dion.md 1.3). What a method cannot do, Householder does.
 */
#ifndef LINALG_ORTH_H
#define LINALG_ORTH_H

#include "compute/kernels.h"

#include <stdbool.h>

/*
 * There is no warm-up from rcqr to cqr as the reference has it: a step is a function of its state, not of the
 * age of the run, and cqr2 is accurate from the first step at about the price of cqr.
 */
typedef enum dn_orth {
    DN_ORTH_CQR2, /* Cholesky QR twice, inside in double: the default     */
    DN_ORTH_QR,   /* Householder                                           */
    DN_ORTH_CQR,  /* Cholesky QR once, error grows as cond^2; else rcqr    */
    DN_ORTH_RCQR, /* randomized Cholesky QR, the reference's default; Householder when m = r */
} dn_orth;

/**
 * p [m,r], m >= r, finite, in place: p becomes P with P^T P = I and p = P T, T upper triangular with positive
 * diagonal. Columns that depend on earlier ones are replaced by others, orthonormal to all.
 * *fell_back = the chosen method failed (p is numerically rank-deficient, or ill-conditioned for cqr and
 * rcqr) and Householder did the work; false when Householder is what the method means. rcqr draws its sketch
 * from (seed, draw). Waits for the stream. Errors: of the stream; DN_ERR_NUMERIC if p is not finite.
 */
dn_status dn_orthonormalize(dn_stream *s, dn_orth method, dn_buf *p, size_t m, size_t r, uint64_t seed,
                            uint64_t draw, bool *fell_back) DN_MUST_USE;

#endif
