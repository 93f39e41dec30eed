/*
 * Vectors as wide as the registers of the instruction set, for loops that the compiler does not see through: those whose
 * results are bits, and sums whose order is fixed (DN_SUM_LANES). Numbers are taken in groups of 64, as many as a word has
 * bits.
 */
#ifndef COMPUTE_CPU_SIMD_H
#define COMPUTE_CPU_SIMD_H

#include "compute/cpu/cpu.h"

#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define DN_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define DN_VECTOR_BYTES 32
#else
#define DN_VECTOR_BYTES 16
#endif

/* A number's bits, as a signed integer: without the sign they have the order of magnitudes, with NaN as the largest. */
#ifdef DN_REAL_DOUBLE
typedef int64_t dn_real_bits;
#define DN_SIGN_BIT INT64_MIN
enum { DN_FRACTION = 52, DN_EXPONENT_BIAS = 1023 };
#else
typedef int32_t dn_real_bits;
#define DN_SIGN_BIT INT32_MIN
enum { DN_FRACTION = 23, DN_EXPONENT_BIAS = 127 };
#endif
#define DN_MAGNITUDE (~DN_SIGN_BIT)

static inline dn_real_bits dn_bits_of(dn_real x)
{
    dn_real_bits bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline dn_real dn_real_of(dn_real_bits bits)
{
    dn_real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#define DN_VECTOR(type, bytes) type __attribute__((vector_size(bytes), aligned(sizeof(type)), may_alias))
typedef DN_VECTOR(dn_real, DN_VECTOR_BYTES) dn_vector;
typedef DN_VECTOR(dn_real_bits, DN_VECTOR_BYTES) dn_vector_bits;
enum { DN_GROUP = 64, DN_LANES = DN_VECTOR_BYTES / sizeof(dn_real) };

static inline dn_vector dn_load(const dn_real *x)
{
    return *(const dn_vector *)x;
}

static inline dn_vector_bits dn_load_bits(const dn_real *x)
{
    return *(const dn_vector_bits *)x;
}

/* Bit i: lane i of a comparison, which is -1 or 0. */
static inline uint64_t dn_lanes_that(dn_vector_bits comparison)
{
#if defined(__AVX512F__) && defined(DN_REAL_DOUBLE)
    return _mm512_movepi64_mask((__m512i)comparison);
#elif defined(__AVX512F__)
    return _mm512_movepi32_mask((__m512i)comparison);
#elif defined(__AVX2__) && defined(DN_REAL_DOUBLE)
    return (uint64_t)_mm256_movemask_pd((__m256d)comparison);
#elif defined(__AVX2__)
    return (uint64_t)_mm256_movemask_ps((__m256)comparison);
#elif defined(__SSE2__) && defined(DN_REAL_DOUBLE)
    return (uint64_t)_mm_movemask_pd((__m128d)comparison);
#elif defined(__SSE2__)
    return (uint64_t)_mm_movemask_ps((__m128)comparison);
#else
    uint64_t word = 0;
    for (int i = 0; i < DN_LANES; i++)
        word |= (uint64_t)(comparison[i] & 1) << i;
    return word;
#endif
}

/* Of a group: which numbers are at least `edge`, below 0, not 0 (as NaN is not), of at least that magnitude. */
#define DN_WHICH(name, comparison, ...)                                                                      \
    static inline uint64_t name(const dn_real *x, ##__VA_ARGS__)                                             \
    {                                                                                                        \
        uint64_t word = 0;                                                                                   \
        for (int i = 0; i < DN_GROUP; i += DN_LANES)                                                         \
            word |= dn_lanes_that(comparison) << i;                                                          \
        return word;                                                                                         \
    }
DN_WHICH(dn_at_least, dn_load(x + i) >= edge, dn_real edge)
DN_WHICH(dn_negative, dn_load(x + i) < 0)
DN_WHICH(dn_not_zero, dn_load(x + i) != 0)
DN_WHICH(dn_reaching, (dn_load_bits(x + i) & DN_MAGNITUDE) >= least, dn_real_bits least)
#undef DN_WHICH

/* The group at x, of which n numbers are there: `room` with zeros behind them, where n < 64. */
static inline const dn_real *dn_group(const dn_real *x, size_t n, dn_real room[DN_GROUP])
{
    if (n >= DN_GROUP)
        return x;
    memcpy(room, x, n * sizeof *x);
    memset(room + n, 0, (DN_GROUP - n) * sizeof *x);
    return room;
}

#endif
