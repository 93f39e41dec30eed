/*
 * Deals work that one rank does for all: factorizations, and whole matrices (dn_param_state.owner,
 * dn_orth_matrix.owner). Items come in batches. Ranks wait for each other at the end of a batch, so each is
 * shared out evenly by itself; what is left to choose goes to the rank that has been given least so far. So a
 * matrix that fills a batch alone, with what is kept for it, is not always the first rank's.
 */
#ifndef SHARD_DEAL_H
#define SHARD_DEAL_H

#include "dionode/comm.h"

#include <stddef.h>

typedef struct dn_deal {
    double given[DN_MAX_RANKS]; /* by rank, in all batches so far; starts at 0 */
} dn_deal;

/** One batch of n items: the most expensive first, each to the rank with least of this batch, of such ranks
 * to the one with least of all. cost, owner: of item i; owners are -1 before. The same on all ranks. */
void dn_deal_batch(dn_deal *deal, int n_ranks, void *items, size_t n, double (*cost)(void *items, size_t i),
                   int *(*owner)(void *items, size_t i));

#endif
