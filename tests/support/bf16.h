/* bfloat16 by its definition: the upper half of a float, of a fraction's 8 bits. */
#ifndef SUPPORT_BF16_H
#define SUPPORT_BF16_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* The nearest to x, ties to even. */
static inline uint16_t nearest_bf16(double x)
{
    int exponent;
    double fraction = frexp(x, &exponent);
    float half = isfinite(x) ? (float)ldexp(nearbyint(ldexp(fraction, 8)), exponent - 8) : (float)x;
    uint32_t bits;
    memcpy(&bits, &half, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static inline double of_bf16(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float half;
    memcpy(&half, &bits, sizeof half);
    return (double)half;
}

#endif
