/* Numbers rounded to bfloat16 in pairs, as instructions of AVX512_BF16 and of AMX multiply them: the first in the lower half of a
 * word. */
#ifndef COMPUTE_CPU_PAIRS_H
#define COMPUTE_CPU_PAIRS_H

#include "compute/cpu/bf16.h"
#include "compute/cpu/simd.h"

#define INLINE static inline __attribute__((always_inline))

/* Rounds 32 numbers to 16 words, the first of `low` into the lowest half-word; below 2^-126 all are 0, as they are to what
 * multiplies them. */
#ifdef __AVX512BF16__
INLINE __m512i round_both(const float *low, const float *high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(high), _mm512_loadu_ps(low));
}
#endif

/* Pairs of consecutive numbers of a row x [n], sixteen at a time and those `step` words apart; of an odd n the last is paired
 * with 0. */
INLINE void pair_along(uint32_t *restrict out, size_t step, const dn_real *restrict x, size_t n)
{
    size_t l = 0, pairs = n / 2;
#ifdef __AVX512BF16__
    for (; l + 16 <= pairs; l += 16)
        _mm512_storeu_si512(out + l / 16 * step, round_both(x + 2 * l, x + 2 * l + 16));
#endif
    for (; l < pairs; l++)
        out[l / 16 * step + l % 16] = dn_rounded_to_bf16(x[2 * l]) | dn_rounded_to_bf16(x[2 * l + 1]) << 16;
    if (n % 2)
        out[pairs / 16 * step + pairs % 16] = dn_rounded_to_bf16(x[n - 1]);
}

INLINE void pair_two_rows(uint32_t *restrict out, const dn_real *restrict low, const dn_real *restrict high, size_t n)
{
    size_t j = 0;
#ifdef __AVX512BF16__
    const __m512i in_turn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4,
                                             19, 3, 18, 2, 17, 1, 16, 0);
    for (; j + 16 <= n; j += 16)
        _mm512_storeu_si512(out + j, _mm512_permutexvar_epi16(in_turn, round_both(low + j, high + j)));
#endif
    for (; j < n; j++)
        out[j] = dn_rounded_to_bf16(low[j]) | dn_rounded_to_bf16(high[j]) << 16;
}

INLINE void pair_last_row(uint32_t *restrict out, const dn_real *restrict low, size_t n)
{
    for (size_t j = 0; j < n; j++)
        out[j] = dn_rounded_to_bf16(low[j]);
}

/* out [n/2,ld] = pairs of consecutive rows of x [n,columns]; of an odd n the last is paired with 0. */
static inline void pair_across(uint32_t *out, size_t ld, const dn_real *x, size_t ldx, size_t n, size_t columns)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        pair_two_rows(out + i / 2 * ld, x + i * ldx, x + (i + 1) * ldx, columns);
    if (n % 2)
        pair_last_row(out + n / 2 * ld, x + (n - 1) * ldx, columns);
}

#ifdef __AVX512F__
/* Rows whose numbers differ by d exchange what is on the wrong side of their diagonal. */
INLINE void exchange(__m512i rows[16], int d)
{
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __mmask16 right = _mm512_test_epi32_mask(lane, _mm512_set1_epi32(d));
    const __m512i upper = _mm512_mask_add_epi32(lane, right, lane, _mm512_set1_epi32(16 - d));
    const __m512i lower = _mm512_add_epi32(upper, _mm512_set1_epi32(d));
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++)
        if (!(i & d)) {
            __m512i above = rows[i], below = rows[i + d];
            rows[i] = _mm512_permutex2var_epi32(above, upper, below);
            rows[i + d] = _mm512_permutex2var_epi32(above, lower, below);
        }
}

/* Sixteen by sixteen in registers. */
static inline void turn_square(uint32_t *out, size_t ld, const uint32_t *x, size_t ldx)
{
    __m512i rows[16];
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        rows[i] = _mm512_loadu_si512(x + i * ldx);
    exchange(rows, 1);
    exchange(rows, 2);
    exchange(rows, 4);
    exchange(rows, 8);
#pragma GCC unroll 16
    for (size_t i = 0; i < 16; i++)
        _mm512_storeu_si512(out + i * ld, rows[i]);
}
#endif

/* out [pairs,columns] = the transpose of x [columns,pairs], of up to 16 of both, or four by four, which compilers make shuffles
 * of. */
static inline void turn(uint32_t *out, size_t ld, const uint32_t *x, size_t ldx, size_t columns, size_t pairs)
{
#ifdef __AVX512F__
    if (columns == 16 && pairs == 16) {
        turn_square(out, ld, x, ldx);
        return;
    }
#endif
    typedef uint32_t four __attribute__((vector_size(16), aligned(4), may_alias));
    size_t whole = columns / 4 * 4, deep = pairs / 4 * 4;
    for (size_t i = 0; i < whole; i += 4)
        for (size_t l = 0; l < deep; l += 4) {
            const uint32_t *from = x + i * ldx + l;
            four a = *(const four *)from, b = *(const four *)(from + ldx), c = *(const four *)(from + 2 * ldx),
                 d = *(const four *)(from + 3 * ldx);
            four left = __builtin_shufflevector(a, c, 0, 4, 1, 5), right = __builtin_shufflevector(a, c, 2, 6, 3, 7);
            four left_too = __builtin_shufflevector(b, d, 0, 4, 1, 5), right_too = __builtin_shufflevector(b, d, 2, 6, 3, 7);
            *(four *)(out + l * ld + i) = __builtin_shufflevector(left, left_too, 0, 4, 1, 5);
            *(four *)(out + (l + 1) * ld + i) = __builtin_shufflevector(left, left_too, 2, 6, 3, 7);
            *(four *)(out + (l + 2) * ld + i) = __builtin_shufflevector(right, right_too, 0, 4, 1, 5);
            *(four *)(out + (l + 3) * ld + i) = __builtin_shufflevector(right, right_too, 2, 6, 3, 7);
        }
    for (size_t i = 0; i < columns; i++)
        for (size_t l = i < whole ? deep : 0; l < pairs; l++)
            out[l * ld + i] = x[i * ldx + l];
}

#endif
