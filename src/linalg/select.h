/* Which rows or columns are the largest: a choice on global numbers, the same on every rank. */
#ifndef LINALG_SELECT_H
#define LINALG_SELECT_H

#include <stddef.h>
#include <stdint.h>

/**
 * ids [k] = numbers of the k largest of score [n], rising; 0 <= k <= n. Of equal scores the first ones are
 * taken, and NaN counts as smaller than all. work [n] is workspace. Pure; takes O(n) time as a rule.
 */
void dn_select_largest(const double *score, size_t n, size_t k, double *work, int32_t *ids);

#endif
