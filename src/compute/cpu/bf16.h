/* Rounding to bfloat16, the upper half of a float's bits. */
#ifndef COMPUTE_CPU_BF16_H
#define COMPUTE_CPU_BF16_H

#include "compute/cpu/cpu.h"

#include <math.h>

/* x as a float from which rounding to bfloat16 gives what rounding x itself would: for a double, cut off, and
 * the last bit set where something was (no tie is then mistaken for one). */
static inline uint32_t dn_bits_to_round(dn_real x)
{
    uint32_t bits;
    float f = (float)x;
    memcpy(&bits, &f, sizeof bits);
#ifdef DN_REAL_DOUBLE
    bits -= fabs((double)f) > fabs(x); /* rounded away from 0: one back; from infinity to the largest */
    memcpy(&f, &bits, sizeof f);
    bits |= (double)f != x && !isnan(x);
#endif
    return bits;
}

/** The bits of x in bfloat16: the nearest, ties to even; NaN stays NaN of its sign. */
static inline uint32_t dn_rounded_to_bf16(dn_real x)
{
    uint32_t bits = dn_bits_to_round(x);
    uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    uint32_t not_a_number = (bits >> 31 << 15) | 0x7fc0;
    return (bits & 0x7fffffff) > 0x7f800000 ? not_a_number : nearest;
}

static inline void dn_round_to_bf16(uint16_t *restrict y, const dn_real *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = (uint16_t)dn_rounded_to_bf16(x[i]);
}

#endif
