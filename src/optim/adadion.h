/*
 * AdaDion's adaptive rank: how many columns a matrix's basis has follows from how evenly the
 * captured momentum spreads over them. Pure functions of global numbers, so every rank decides the same. The
 * rank only says how many of the basis's columns, the first ones, take part: Q and R are allocated for the
 * largest.
 */
#ifndef OPTIM_ADADION_H
#define OPTIM_ADADION_H

#include <stddef.h>

typedef struct dn_adadion_rule {
    double smoothing;          /* of the effective rank: 0.9 */
    double margin;             /* the rank aimed at, in effective ranks: 1.5 */
    size_t least;              /* 16 */
    size_t multiple;           /* 8 */
    size_t most_up, most_down; /* a step: 16, 8 */
} dn_adadion_rule;

/** The published values. */
dn_adadion_rule dn_adadion_defaults(void);

/** exp of the entropy of the norms of R's columns as shares of their sum: 1 when one holds all, r when they
 * are equal. column_squares [r]: squared norms; all zero: 0. */
double dn_adadion_effective_rank(const double *column_squares, size_t r);

/**
 * The rank of the next step. r: the present one; cap: the largest, r <= cap. *smoothed is the matrix's state:
 * 0 before the first step, then the running effective rank; an effective rank of 0 (a zero matrix) changes
 * nothing. The rank aimed at, margin * smoothed, is rounded to a multiple, held between least and cap (the
 * cap counts), and approached by at most most_up or most_down. If the result is smaller, the last columns are
 * dropped; if it is larger, columns r and up are fresh: random unit vectors, for the driver to fill in (Dion
 * does not see their length, only their direction).
 */
size_t dn_adadion_next_rank(const dn_adadion_rule *rule, double effective, double *smoothed, size_t r,
                            size_t cap);

#endif
