/*
 * Arithmetic on sizes. Code that plans memory adds and multiplies with dn_size_add and dn_size_mul, which
 * saturate instead of wrapping: what does not fit a size_t is SIZE_MAX, and so is all that is computed from
 * it, and no machine has SIZE_MAX bytes.
 */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stddef.h>
#include <stdint.h>

static inline size_t dn_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t dn_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

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
