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

/* What a comparison says of each lane: a mask with AVX-512, whose instructions for it the compiler finds by a detour only, else -1
 * or 0. With AVX2 the compiler would turn comparisons round, to blend where an `and` will do. Integers are compared by >, which is
 * one instruction before AVX-512, where >= is two. */
#ifdef __AVX512F__
#ifdef DN_REAL_DOUBLE
typedef __mmask8 dn_lanes;
#define DN_LANES_THAT(x, op, y) _mm512_cmp_pd_mask((__m512d)(x), _mm512_set1_pd(y), DN_IF_##op)
#define DN_BITS_AT_LEAST(x, y)  _mm512_cmpge_epi64_mask((__m512i)(x), _mm512_set1_epi64(y))
#else
typedef __mmask16 dn_lanes;
#define DN_LANES_THAT(x, op, y) _mm512_cmp_ps_mask((__m512)(x), _mm512_set1_ps(y), DN_IF_##op)
#define DN_BITS_AT_LEAST(x, y)  _mm512_cmpge_epi32_mask((__m512i)(x), _mm512_set1_epi32(y))
#endif
#else
typedef dn_vector_bits dn_lanes;
#define DN_BITS_AT_LEAST(x, y) ((x) > (y)-1)
#if defined(__AVX2__) && defined(DN_REAL_DOUBLE)
#define DN_LANES_THAT(x, op, y) ((dn_lanes)_mm256_cmp_pd((__m256d)(x), _mm256_set1_pd(y), DN_IF_##op))
#elif defined(__AVX2__)
#define DN_LANES_THAT(x, op, y) ((dn_lanes)_mm256_cmp_ps((__m256)(x), _mm256_set1_ps(y), DN_IF_##op))
#else
#define DN_LANES_THAT(x, op, y) ((x)DN_IF_##op(y))
#endif
#endif
#ifdef __AVX2__
#define DN_IF_AT_LEAST _CMP_GE_OQ
#define DN_IF_BELOW    _CMP_LT_OQ
#define DN_IF_NOT      _CMP_NEQ_UQ
#else
#define DN_IF_AT_LEAST >=
#define DN_IF_BELOW    <
#define DN_IF_NOT      !=
#endif

enum { DN_VECTORS = DN_GROUP / DN_LANES };

/* Bit i: what was said of number i of a group. */
static inline uint64_t dn_word_of(const dn_lanes that[DN_VECTORS])
{
    uint64_t word = 0;
#if defined(__AVX2__) && !defined(__AVX512F__) && !defined(DN_REAL_DOUBLE)
    for (int i = 0; i < DN_VECTORS; i += 4) { /* packing interleaves halves of registers */
        __m256i first = _mm256_packs_epi32((__m256i)that[i], (__m256i)that[i + 1]),
                second = _mm256_packs_epi32((__m256i)that[i + 2], (__m256i)that[i + 3]),
                bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(first, second), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        word |= (uint64_t)(uint32_t)_mm256_movemask_epi8(bytes) << i * DN_LANES;
    }
#else
    for (int i = 0; i < DN_VECTORS; i++) {
#if defined(__AVX512F__)
        uint64_t bits = that[i];
#elif defined(__AVX2__)
        uint64_t bits = (uint64_t)_mm256_movemask_pd((__m256d)that[i]);
#elif defined(__SSE2__) && defined(DN_REAL_DOUBLE)
        uint64_t bits = (uint64_t)_mm_movemask_pd((__m128d)that[i]);
#elif defined(__SSE2__)
        uint64_t bits = (uint64_t)_mm_movemask_ps((__m128)that[i]);
#else
        uint64_t bits = 0;
        for (int lane = 0; lane < DN_LANES; lane++)
            bits |= (uint64_t)(that[i][lane] & 1) << lane;
#endif
        word |= bits << i * DN_LANES;
    }
#endif
    return word;
}

/* Of a group: which numbers are below 0, not 0 (as NaN is not), of at least that magnitude. */
#define DN_WHICH(name, lanes, ...)                                                                           \
    static inline uint64_t name(const dn_real *x, ##__VA_ARGS__)                                             \
    {                                                                                                        \
        dn_lanes that[DN_VECTORS];                                                                           \
        for (int i = 0; i < DN_VECTORS; i++, x += DN_LANES)                                                  \
            that[i] = (lanes);                                                                               \
        return dn_word_of(that);                                                                             \
    }
DN_WHICH(dn_negative, DN_LANES_THAT(dn_load(x), BELOW, 0))
DN_WHICH(dn_not_zero, DN_LANES_THAT(dn_load(x), NOT, 0))
DN_WHICH(dn_reaching, DN_BITS_AT_LEAST(dn_load_bits(x) & DN_MAGNITUDE, least), dn_real_bits least)
#undef DN_WHICH

/* Asks memory for n numbers; where there is nothing, nothing happens. */
static inline void dn_ask_for(const dn_real *x, size_t n)
{
    for (size_t i = 0; i < n; i += 64 / sizeof *x)
        __builtin_prefetch(x + i);
}

/* How far ahead a pass asks for its numbers whose branches depend on them: a branch that was not foreseen
 * waits for memory, and the processor has looked no further meanwhile. */
enum { DN_AHEAD = 2048 };

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
