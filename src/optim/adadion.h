/*
 * AdaDion's adaptive rank: the number of columns of a matrix's basis follows from how evenly the
 * captured momentum is distributed over them. Pure functions of global values, so that all ranks agree. Q and
 * R are allocated for the largest rank; a step uses their first `rank` columns.
 */
#ifndef OPTIM_ADADION_H
#define OPTIM_ADADION_H

#include <stddef.h>

typedef struct dn_adadion_rule {
    double smoothing;          /* of the effective rank: 0.9 */
    double margin;             /* target rank, in effective ranks: 1.5 */
    size_t least;              /* 16 */
    size_t multiple;           /* 8 */
    size_t most_up, most_down; /* per step: 16, 8 */
} dn_adadion_rule;

/** The published values. */
dn_adadion_rule dn_adadion_defaults(void);

/** exp of the entropy of R's column norms, normalized to sum 1: 1 if only one is not 0, r if all are equal.
 * column_squares [r]: squared norms; all zero: 0. */
double dn_adadion_effective_rank(const double *column_squares, size_t r);

/**
 * The rank of the next step. r: the current rank; cap: the largest, r <= cap. *smoothed is the matrix's
 * state: 0 before the first step, then the running mean of the effective rank; an effective rank of 0 (a zero
 * matrix) changes nothing. The target, margin * smoothed, is rounded to a multiple, clamped to [least, cap]
 * (cap wins), and approached by at most most_up or most_down. If the rank shrinks, the last columns are
 * dropped; if it grows, the caller fills columns r and up with random unit vectors (only their direction
 * matters to Dion).
 */
size_t dn_adadion_next_rank(const dn_adadion_rule *rule, double effective, double *smoothed, size_t r,
                            size_t cap);

#endif
