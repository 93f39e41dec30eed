/** Element types, reductions, and the largest number of ranks. */
#ifndef DIONODE_TYPES_H
#define DIONODE_TYPES_H

#include "dionode/real.h"

#include <stddef.h>

/* Largest number of ranks of a run. */
#define DN_MAX_RANKS 256

typedef enum dn_type { DN_F32, DN_F64, DN_BF16, DN_I32, DN_I64, DN_N_TYPES } dn_type;

#if defined DN_REAL_DOUBLE
#define DN_REAL DN_F64
#elif !defined DN_REAL_EITHER
#define DN_REAL DN_F32
#endif

/*
 * Reductions. DN_AVG: the sum times the rounded 1/size (exact for powers of two); of integers the sum divided
 * by size, truncated towards 0. Integer sums wrap around. BF16 is accumulated in F32 and rounded once, to
 * nearest even.
 */
typedef enum dn_op { DN_SUM, DN_AVG, DN_MIN, DN_MAX, DN_N_OPS } dn_op;

static inline size_t dn_type_bytes(dn_type type)
{
    static const unsigned char bytes[] = {4, 8, 2, 4, 8}; /* in the order of dn_type */
    return bytes[type];
}

#endif
