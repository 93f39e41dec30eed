/*
 * Sizes that never wrap. Whoever plans memory adds and multiplies with these: what does not fit a size_t
 * stays at SIZE_MAX, through all that is computed from it, and SIZE_MAX bytes are more than any machine has.
 */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

/** a + b, at most SIZE_MAX. */
static inline size_t dn_size_add(size_t a, size_t b)
{
    size_t sum;
    return __builtin_add_overflow(a, b, &sum) ? SIZE_MAX : sum;
}

/** a * b, at most SIZE_MAX. */
static inline size_t dn_size_mul(size_t a, size_t b)
{
    size_t product;
    return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}

#endif
