/* Top-k selection of rows or columns by global scores, with the same result on every rank. */
#ifndef LINALG_SELECT_H
#define LINALG_SELECT_H

#include <stddef.h>
#include <stdint.h>

/**
 * ids [k] = indices of the k largest of score [n], ascending; 0 <= k <= n. Ties go to the lower index; NaN is
 * smaller than all. work [n] is workspace. Pure; O(n) on average.
 */
void dn_select_largest(const double *score, size_t n, size_t k, double *work, int32_t *ids);

#endif
